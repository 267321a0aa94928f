"""Owns two promises of the decision core on generated cases: costs grow with size and spread, the band is kept."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet.domain.arbiter_parameters import ArbiterParameters
from walstreet.domain.cost import CostInputs, CostParameters, round_trip_cost_bps
from walstreet.domain.cost_learning import corrected_cost_bps, cost_floor_bps
from walstreet.domain.decision_record import column_values
from walstreet.domain.limits import LimitParameters, apply_limits
from walstreet.domain.units import MINUTE_NS, FloatArray
from walstreet.testing.arbiter_world import GATES_OFF, OPEN_NS, ArbiterWorld
from walstreet_events import Decision

EXAMPLES = settings(max_examples=1_000, deadline=None)
SYMBOLS = 8
HORIZONS = np.array([5, 15, 60, 390], dtype=np.int64)
ROUNDING = 1e-12
COST_MODELS = (
    CostParameters(),
    CostParameters(impact="almgren"),
    CostParameters(model="linear"),
    CostParameters(model="linear", linear_coefficients="document_000"),
)


def corrected(
    facts: dict[str, FloatArray], multiplier: float, correction: FloatArray, rules: CostParameters
) -> FloatArray:
    """Return (H, N) costs as a cycle charges them: the model, what fills have taught, and the floor."""
    inputs = CostInputs(session_multiplier=multiplier, **facts)
    floor = cost_floor_bps(inputs.spread_bps, inputs.price_usd, rules)
    return corrected_cost_bps(round_trip_cost_bps(inputs, HORIZONS, rules), correction, floor)


@EXAMPLES
@given(st.integers(0, 2**32 - 1), st.sampled_from(COST_MODELS), st.sampled_from([0.8, 1.0, 1.5]))
def test_corrected_costs_grow_with_spread_and_size(seed: int, rules: CostParameters, multiplier: float) -> None:
    """In every model, at every hour and horizon, a wider spread or a larger order never costs less.

    The correction that fills have taught and the floor are applied, as in the cycle.
    """
    rng = np.random.default_rng(seed)
    facts = {
        "spread_bps": rng.uniform(0.0, 30.0, SYMBOLS),
        "sigma_5m_bps": rng.uniform(1.0, 80.0, SYMBOLS),
        "sigma_day_bps": rng.uniform(20.0, 700.0, SYMBOLS),
        "price_usd": rng.uniform(1.0, 900.0, SYMBOLS),
        "daily_volume_shares": 10.0 ** rng.uniform(4.0, 8.5, SYMBOLS),
        "shares_outstanding": 10.0 ** rng.uniform(6.0, 10.0, SYMBOLS),
        "order_usd": rng.uniform(0.0, 1e6, SYMBOLS),
    }
    correction = rng.uniform(-5.0, 5.0, SYMBOLS)
    base = corrected(facts, multiplier, correction, rules)
    assert np.isfinite(base).all()
    for name, more in (("spread_bps", rng.uniform(0.0, 30.0, SYMBOLS)), ("order_usd", rng.uniform(0.0, 1e7, SYMBOLS))):
        worse = corrected(facts | {name: facts[name] + more}, multiplier, correction, rules)
        assert (worse >= base - ROUNDING * np.abs(base)).all(), name


@EXAMPLES
@given(st.integers(0, 2**32 - 1))
def test_the_cycle_keeps_to_its_band(seed: int) -> None:
    """A weight is left alone, or ends at most one band from its target, or 0 where the target is 0.

    What is left alone is inside the band already; who trades stops at its edge.
    """
    rng = np.random.default_rng(seed)
    names = tuple(f"S{index}" for index in range(SYMBOLS))
    held = {name: int(rng.integers(-400, 400)) for name in names if rng.random() < 0.6}
    world = ArbiterWorld.create(names, parameters=ArbiterParameters(gates=GATES_OFF))
    world.start(positions=held)
    scores = {name: float(rng.normal()) for name in names if rng.random() < 0.9}
    outputs = world.cycle(OPEN_NS + 150 * MINUTE_NS, scores)
    decision = next(event for event in outputs if isinstance(event, Decision))
    allowed, current, banded = (
        column_values(decision, name) for name in ("weight_allowed", "weight_current", "weight_banded")
    )
    # Every symbol of this world trades and has a sector of its own.
    everywhere = np.ones(SYMBOLS, dtype=np.bool_)
    target, _ = apply_limits(allowed, np.arange(SYMBOLS), everywhere, LimitParameters())
    band = float(column_values(decision, "band")[0])
    assert 0.0 <= band <= 0.008
    live = target != 0.0
    assert (banded[~live] == 0.0).all()
    assert (np.abs(banded - target)[live] <= band + ROUNDING).all()
    moved = live & (banded != current)
    assert (np.abs(target - current)[moved] > band).all()
    assert (np.abs(banded - target)[moved] >= band - 1e-9).all()
