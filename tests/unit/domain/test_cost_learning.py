"""Owns the tests of what fills teach about costs."""

import math

import numpy as np
import pytest

from walstreet.domain import cost_learning
from walstreet.domain.cost import CostInputs, CostParameters, round_trip_cost_bps
from walstreet.domain.cost_learning import (
    CostLearningParameters,
    SlippageMemory,
    SlippageRecord,
    corrected_cost_bps,
    correction_bps,
    cost_floor_bps,
    learn,
    modelled_slippage_bps,
    realised_slippage_bps,
)

pytestmark = pytest.mark.spec("000.6")

DEFAULTS = CostLearningParameters()


def after(*differences: float, parameters: CostLearningParameters = DEFAULTS) -> SlippageMemory:
    """Return the memory after fills of A that differ from a modelled slippage of 2 bps."""
    memory = SlippageMemory()
    for difference in differences:
        learn(memory, "A", realised_bps=2.0 + difference, modelled_bps=2.0, parameters=parameters)
    return memory


def market(multiplier: float = 1.0) -> CostInputs:
    """Return one symbol of 50 USD with a spread of 2 bps."""
    return CostInputs(
        spread_bps=np.array([2.0]), sigma_5m_bps=np.array([15.0]), sigma_day_bps=np.array([100.0]),
        price_usd=np.array([50.0]), daily_volume_shares=np.array([1e6]), shares_outstanding=np.array([1e8]),
        order_usd=np.array([5e3]), session_multiplier=multiplier,
    )  # fmt: skip


def test_the_average_by_hand():
    """4 then 8: the mean starts at 4 and moves to 4 + .05*4 = 4.2 over two fills."""
    assert after(4.0, 8.0).records["A"] == SlippageRecord(mean_bps=pytest.approx(4.2), fills=2)


def test_the_correction_by_hand():
    """Two fills of mean 4.2 give 2 * 4.2 * 2/52 = .323 bps to a round trip; an unknown symbol gets 0."""
    values = correction_bps(after(4.0, 8.0), ("A", "B"), DEFAULTS)
    assert values.tolist() == pytest.approx([2.0 * 4.2 * 2.0 / 52.0, 0.0])


def test_with_many_fills_the_whole_average_counts_up_to_the_clip():
    """Two hundred fills of 1 bps correct by 2 * 200/250 = 1.6; of 9 bps by the clip of 5, of -9 by -5."""
    assert correction_bps(after(*[1.0] * 200), ("A",), DEFAULTS)[0] == pytest.approx(1.6)
    assert correction_bps(after(*[9.0] * 200), ("A",), DEFAULTS)[0] == 5.0
    assert correction_bps(after(*[-9.0] * 200), ("A",), DEFAULTS)[0] == -5.0


def test_one_bad_print_is_clipped():
    """A fill 10 000 bps off counts as 50."""
    assert after(1e4).records["A"].mean_bps == 50.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_missing_fill_teaches_nothing(value: float):
    """The record stays and the fill is counted as refused."""
    memory = after(4.0, value)
    assert memory.records["A"].fills == 1
    assert memory.refused == 1


def test_the_number_of_symbols_is_bounded(monkeypatch: pytest.MonkeyPatch):
    """A symbol beyond the bound is refused; the known ones go on learning."""
    monkeypatch.setattr(cost_learning, "SYMBOLS_MAX", 1)
    memory = after(4.0)
    learn(memory, "B", realised_bps=1.0, modelled_bps=0.0, parameters=DEFAULTS)
    learn(memory, "A", realised_bps=1.0, modelled_bps=0.0, parameters=DEFAULTS)
    assert list(memory.records) == ["A"]
    assert (memory.records["A"].fills, memory.refused) == (2, 1)


def test_switched_off_nothing_is_corrected():
    """``enabled: false`` gives 0 for every symbol."""
    assert correction_bps(after(4.0), ("A",), CostLearningParameters(enabled=False)).tolist() == [0.0]


def test_realised_slippage_by_hand():
    """Buying at 100.02 or selling at 99.98 against a mid of 100 costs 2 bps; the other way round it gains 2."""
    assert realised_slippage_bps(side=1, fill_price=100.02, arrival_mid=100.0) == pytest.approx(2.0)
    assert realised_slippage_bps(side=-1, fill_price=99.98, arrival_mid=100.0) == pytest.approx(2.0)
    assert realised_slippage_bps(side=1, fill_price=99.98, arrival_mid=100.0) == pytest.approx(-2.0)
    assert math.isnan(realised_slippage_bps(side=1, fill_price=0.0, arrival_mid=100.0))
    assert math.isnan(realised_slippage_bps(side=1, fill_price=100.0, arrival_mid=math.nan))


@pytest.mark.parametrize("multiplier", [1.0, 1.5, 0.8])
def test_modelled_slippage_is_half_a_round_trip_without_fees(multiplier: float):
    """Spread 2 and impact 2*100*sqrt(5e3/5e7) = 2: half of the sum is 2; the session multiplies it, fees stay out."""
    parameters = CostParameters()
    modelled = modelled_slippage_bps(market(multiplier), parameters)[0]
    assert modelled == pytest.approx(2.0 * multiplier)
    fees = 2.0 * (0.005 / 50.0 * 1e4 + 0.2)
    whole = round_trip_cost_bps(market(multiplier), np.array([5]), parameters)[0, 0]
    assert 2.0 * modelled + fees == pytest.approx(whole)


def test_the_floor_by_hand():
    """Spread 2 at 50 USD: 1 + 2*(1 + .2) = 3.4 bps; missing facts give no floor."""
    values = cost_floor_bps(np.array([2.0, np.nan, 2.0]), np.array([50.0, 50.0, 0.0]), CostParameters())
    assert values[0] == pytest.approx(3.4)
    assert np.isnan(values[1:]).all()


def test_the_corrected_cost_stays_above_its_floor():
    """6 - 1 = 5, but 6 - 5 = 1 is lifted to 3.4; a missing cost or floor is missing."""
    cost = np.array([[6.0, 6.0, np.nan, 6.0]])
    floor = np.array([3.4, 3.4, 3.4, np.nan])
    result = corrected_cost_bps(cost, np.array([-1.0, -5.0, 1.0, 1.0]), floor)
    assert result[0, :2].tolist() == [5.0, 3.4]
    assert np.isnan(result[0, 2:]).all()


def test_the_digest_is_sorted():
    """Two orders of learning give the same content."""
    one, two = SlippageMemory(), SlippageMemory()
    for memory, symbols in ((one, "AB"), (two, "BA")):
        for symbol in symbols:
            learn(memory, symbol, realised_bps=3.0, modelled_bps=2.0, parameters=DEFAULTS)
    assert one.canonical() == two.canonical()


def test_parameters_out_of_range_are_refused():
    """A decay of 0 would never learn."""
    with pytest.raises(ValueError, match=r"cost_learning\.decay is 0"):
        CostLearningParameters(decay=0.0)
