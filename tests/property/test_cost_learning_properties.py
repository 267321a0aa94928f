"""Owns the properties of learned costs that must hold for every history of fills."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet.domain.cost import CostParameters
from walstreet.domain.cost_learning import (
    CostLearningParameters,
    SlippageMemory,
    corrected_cost_bps,
    correction_bps,
    cost_floor_bps,
    learn,
    realised_slippage_bps,
)

EXAMPLES = settings(max_examples=1000, deadline=None)
DEFAULTS = CostLearningParameters()
SYMBOLS = ("A", "B", "C")
difference = st.one_of(st.floats(-300.0, 300.0), st.sampled_from([math.nan, math.inf]))
fills = st.lists(st.tuples(st.sampled_from(SYMBOLS), difference), max_size=25)


def taught(history, *, sign: float = 1.0) -> SlippageMemory:
    """Return the memory after a history of (symbol, realised - modelled)."""
    memory = SlippageMemory()
    for symbol, value in history:
        learn(memory, symbol, realised_bps=sign * value, modelled_bps=0.0, parameters=DEFAULTS)
    return memory


@EXAMPLES
@given(fills)
def test_corrections_are_bounded_and_odd(history):
    """No correction exceeds its clip, and the opposite surprises give exactly the opposite corrections."""
    values = correction_bps(taught(history), SYMBOLS, DEFAULTS)
    assert np.all(np.abs(values) <= DEFAULTS.correction_bps_max)
    assert np.array_equal(correction_bps(taught(history, sign=-1.0), SYMBOLS, DEFAULTS), -values)


@EXAMPLES
@given(fills)
def test_symbols_learn_from_their_own_fills_only(history):
    """Another symbol's fills change nothing, and symbols without a sound fill are not corrected."""
    values = correction_bps(taught(history), SYMBOLS, DEFAULTS)
    for index, symbol in enumerate(SYMBOLS):
        own = [item for item in history if item[0] == symbol]
        assert correction_bps(taught(own), (symbol,), DEFAULTS)[0] == values[index]
        if not any(math.isfinite(value) for _, value in own):
            assert values[index] == 0.0
    assert np.array_equal(correction_bps(taught(history), SYMBOLS[::-1], DEFAULTS), values[::-1])


@EXAMPLES
@given(st.floats(-40.0, 40.0), st.integers(1, 60), st.integers(1, 60))
def test_more_fills_of_one_kind_say_more(value: float, one: int, two: int):
    """With equal fills the correction has their sign, grows with their number, and never passes two sides' worth."""
    few, many = min(one, two), max(one, two)
    small, large = (correction_bps(taught([("A", value)] * count), ("A",), DEFAULTS)[0].item() for count in (few, many))
    assert abs(small) <= abs(large) + 1e-12
    assert abs(large) <= 2.0 * abs(value)
    assert small * value >= 0.0


@EXAMPLES
@given(
    st.lists(st.one_of(st.floats(0.0, 60.0), st.just(math.nan)), min_size=3, max_size=3),
    fills,
    st.floats(0.0, 30.0),
    st.one_of(st.floats(1.0, 500.0), st.just(math.nan)),
)
def test_the_cost_never_falls_below_its_floor(costs, history, spread: float, price: float):
    """Every known cost is at least spread/2 plus fees and within the clip of the model; the unknown stays unknown."""
    cost = np.array([costs, costs])
    floor = cost_floor_bps(np.full(3, spread), np.full(3, price), CostParameters())
    corrected = corrected_cost_bps(cost, correction_bps(taught(history), SYMBOLS, DEFAULTS), floor)
    missing = np.isnan(cost) | np.isnan(floor)[None, :]
    assert np.array_equal(np.isnan(corrected), missing)
    levels = np.broadcast_to(floor, cost.shape)
    assert np.all(corrected[~missing] >= levels[~missing])
    modelled = np.maximum(cost, levels)
    assert np.all(np.abs(corrected - modelled)[~missing] <= DEFAULTS.correction_bps_max + 1e-9)


@EXAMPLES
@given(st.floats(1.0, 1000.0), st.floats(1.0, 1000.0))
def test_what_one_side_loses_the_other_gains(fill: float, mid: float):
    """The realised slippage of a sell is exactly the opposite of a buy's at the same prices."""
    buy = realised_slippage_bps(side=1, fill_price=fill, arrival_mid=mid)
    assert realised_slippage_bps(side=-1, fill_price=fill, arrival_mid=mid) == -buy
