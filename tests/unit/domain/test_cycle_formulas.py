"""Owns the worked numbers of the cycle's own steps: confidence of a forecast, order of limits, quantities, netting.

Each step gets an object with just the facts that it reads; docs/MATHEMATICS.md names these tests.
"""

from __future__ import annotations

import math
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from walstreet.domain import cycle_book, cycle_orders, prefilter_step
from walstreet.domain.arbiter_parameters import ArbiterParameters
from walstreet.domain.conformal_learn import seed
from walstreet.domain.conformal_parameters import ConformalParameters
from walstreet.domain.conformal_state import ConformalState
from walstreet.domain.correlation_risk import CorrelationRiskParameters, RiskBinding
from walstreet.domain.decision_record import column_values
from walstreet.domain.limits import Binding, LimitParameters
from walstreet.domain.units import MINUTE_NS
from walstreet.testing.arbiter_world import GATES_OFF, OPEN_NS, ArbiterWorld
from walstreet_events import PRICE_SCALE, QUANTITY_SCALE, Decision

NOON_NS = OPEN_NS + 150 * MINUTE_NS


# ------------------------------------------------------------------------------------------------- confidence


def taught(scores: list[float], outcomes: list[float]) -> ConformalState:
    """Return a memory of five minutes that holds one matured cross-section."""
    state = ConformalState()
    seed(
        state,
        horizon_minutes=5,
        scores=np.array([scores]),
        outcomes=np.array([outcomes]),
        parameters=ConformalParameters(),
    )
    return state


@pytest.mark.parametrize(
    ("score", "stability"), [(0.1, 0.5), (0.2, 1.0), (0.3, 1.0), (-0.1, 0.0)], ids=["half", "all", "more", "inverted"]
)
def test_stability_of_a_horizon_by_hand(score: float, stability: float) -> None:
    """Forecasts of spread .6 leave sqrt(1 - .36) = .8 in training, skill .2; live outcomes are (1, -1).

    Scores (.1, -.1) leave errors of .9, skill .1, half of .2; (.2, -.2) keep all of it; opposite ones have none.
    """
    state = taught([score, -score], [1.0, -1.0])
    assert prefilter_step._stability(state, 5, 0.6) == pytest.approx(stability)


@pytest.mark.parametrize("score_sigma", [0.0, 1.0, math.nan])
def test_stability_without_a_training_skill_is_unknown(score_sigma: float) -> None:
    """A spread of 0, of 1 or an unknown one says nothing about training, nor does a horizon without outcomes."""
    assert math.isnan(prefilter_step._stability(taught([0.1], [1.0]), 5, score_sigma))
    assert math.isnan(prefilter_step._stability(ConformalState(), 5, 0.6))


def test_confidence_of_a_forecast_by_hand() -> None:
    """Half a horizon old: e^-1; 50,000 USD of a day's 250,000: .5; stability .5: .25 * .367879 = .0919699."""
    inputs = SimpleNamespace(
        horizons_minutes=np.array([5], dtype=np.int64),
        symbols=("AAA", "BBB"),
        ts_ns=0,
        now_ns=5 * MINUTE_NS // 2,
        daily_volume_shares=np.array([2_500.0, np.nan]),
        mid_nano=np.array([100 * PRICE_SCALE] * 2),
        equity_usd=1_000_000.0,
        conformal=taught([0.1, -0.1], [1.0, -1.0]),
    )
    found = prefilter_step.forecast_confidence(inputs, np.array([0.6]), ArbiterParameters())
    assert found[0, 0] == pytest.approx(0.0919699, abs=1e-7)
    assert np.isnan(found[0, 1])


# ------------------------------------------------------------------------------------------- order of the limits


def limited(
    weights: list[float], rho: dict[tuple[int, int], float], *, limits: LimitParameters, risk: CorrelationRiskParameters
) -> cycle_book.Limited:
    """Return weights behind all limits; every name has a sector of its own and 100 bps a day."""
    count = len(weights)
    correlation = np.eye(count)
    for (one, other), value in rho.items():
        correlation[one, other] = correlation[other, one] = value
    run = SimpleNamespace(
        inputs=SimpleNamespace(
            sectors=np.arange(count, dtype=np.int64),
            sigma_day_bps=np.full(count, 100.0),
            book=SimpleNamespace(correlation=correlation),
        ),
        movable=np.ones(count, dtype=np.bool_),
        parameters=msgspec.structs.replace(ArbiterParameters(), limits=limits, correlation=risk),
    )
    return cycle_book._within_limits(run, np.array(weights))


def test_limits_come_before_clusters_and_those_before_volatility() -> None:
    """(.06, .06, .05), the first two tied at .8: names cap at .05, the cluster of .10 at .06, the book at 4 bps.

    .05 each; times .6: (.03, .03, .05), or 3, 3, 5 bps; 9 + 9 + 25 + 2*.8*9 = 57.4, so times 4/57.4^.5 = .527964.
    """
    found = limited(
        [0.06, 0.06, 0.05],
        {(0, 1): 0.8},
        limits=LimitParameters(),
        risk=CorrelationRiskParameters(cluster_gross_max=0.06, volatility_day_bps_max=4.0),
    )
    np.testing.assert_allclose(found.weights, [0.0158389, 0.0158389, 0.0263982], atol=1e-7)
    assert found.volatility_bps == pytest.approx(4.0)
    assert found.clusters.tolist() == [0, 0, 2]
    assert found.binding.tolist() == [RiskBinding.VOLATILITY] * 3


def test_limits_run_again_behind_a_scaled_cluster() -> None:
    """Longs of .04 and .04 against tied shorts of .03 and .03: net .02. The shorts' .06 may be .05, so net is .03.

    Net may be .02, so the whole book is scaled by 2/3: .04 * 2/3 = .026667 and -.025 * 2/3 = -.016667.
    """
    found = limited(
        [0.04, 0.04, -0.03, -0.03],
        {(2, 3): 0.8},
        limits=LimitParameters(net_max=0.02),
        risk=CorrelationRiskParameters(cluster_gross_max=0.05),
    )
    np.testing.assert_allclose(found.weights, [0.026667, 0.026667, -0.016667, -0.016667], atol=1e-6)
    assert found.binding.tolist() == [Binding.NET] * 4


# -------------------------------------------------------------------------------------------------- quantities


def test_quantities_by_hand() -> None:
    """.0501234 of 1 M USD at 100 USD are 501.234 shares, 501; less the 100 held 401. Shorts mirror it, flat is flat."""
    final = np.array([0.0501234, -0.0501234, 0.0, 0.02])
    held = np.array([100, -100, 7, 5], dtype=np.int64) * QUANTITY_SCALE
    run = SimpleNamespace(
        inputs=SimpleNamespace(
            equity_usd=1_000_000.0, mid_nano=np.full(4, 100 * PRICE_SCALE, dtype=np.int64), position_micro=held
        ),
        movable=np.array([True, True, True, False]),
        current=np.array([0.01, -0.01, 0.0007, 0.0005]),
    )
    found = cycle_orders._quantities(run, SimpleNamespace(final=final))
    assert (found // QUANTITY_SCALE).tolist() == [401, -401, -7, 0]


def test_the_part_to_flat_by_hand() -> None:
    """Of -150 against 100 held, -100 lead to flat; -50 lead there whole; 50 more do not; mirrored for shorts."""
    orders = np.array([-150, -50, 50, 150, 50], dtype=np.int64)
    held = np.array([100, 100, 100, -100, 0], dtype=np.int64)
    assert cycle_orders._to_flat(orders, held).tolist() == [-100, -50, 0, 100, 0]


def test_netting_is_asked_for_the_notional_of_whole_shares() -> None:
    """A flat book wants .05: the band's edge is .042, 420 shares of 100 USD, 42,000 USD for netting to judge."""
    world = ArbiterWorld.create(parameters=ArbiterParameters(gates=msgspec.structs.replace(GATES_OFF, netting=True)))
    world.start()
    outputs = world.cycle(NOON_NS, {"AAA": 0.9})
    decision = next(event for event in outputs if isinstance(event, Decision))
    assert column_values(decision, "weight_allowed")[0] == pytest.approx(0.05)
    assert column_values(decision, "weight_banded")[0] == pytest.approx(0.042)
    assert column_values(decision, "netting_wanted_usd")[0] == pytest.approx(42_000.0)
    assert column_values(decision, "quantity_shares")[0] == 420.0
