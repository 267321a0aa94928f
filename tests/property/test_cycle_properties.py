"""Owns the properties of the whole decision cycle, every gate on, over random books and forecasts."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet.domain import horizon_learning
from walstreet.domain.arbiter_parameters import ArbiterParameters
from walstreet.domain.blend import BlendedAlpha
from walstreet.domain.conformal_learn import seed
from walstreet.domain.conformal_state import ConformalState
from walstreet.domain.correlation_risk import CorrelationRiskParameters
from walstreet.domain.cycle import CycleResult, run_cycle
from walstreet.domain.cycle_inputs import BookFacts, CycleInputs
from walstreet.domain.netting import NettingMemory
from walstreet.domain.session_rules import SessionWindow
from walstreet.domain.units import MINUTE_NS, SESSION_MINUTES, FloatArray
from walstreet_events import PRICE_SCALE, QUANTITY_SCALE, Mode, Verdict

COUNT = 9
HORIZONS = (5, 15, 60)
EQUITY_USD = 1_000_000.0
NOW_NS = 1_700_000_000_000_000_000
EXAMPLES = settings(max_examples=1_000, deadline=None)
PARAMETERS = ArbiterParameters()
SENT = (Verdict.ACCEPTED, Verdict.SCALE_OUT_50PCT, Verdict.TIGHTEN_SL)

numbers = st.integers(0, 2**32 - 1)


def learned() -> ConformalState:
    """Return a gate that has seen skill at every horizon; outcomes mirror each other, so long and short are alike."""
    state = ConformalState()
    rng = np.random.default_rng(1)
    for minutes in HORIZONS:
        scores = rng.normal(scale=0.3, size=(1_300, 4))
        outcomes = scores + rng.normal(size=scores.shape)
        seed(
            state,
            horizon_minutes=minutes,
            scores=np.hstack([scores, -scores]),
            outcomes=np.hstack([outcomes, -outcomes]),
            parameters=PARAMETERS.learning.conformal,
        )
    return state


CONFORMAL = learned()
CHOICES = horizon_learning.initial(HORIZONS)


def correlation(draw: np.random.Generator) -> FloatArray:
    """Return a positive definite correlation with unknown pairs."""
    loading = draw.uniform(-0.9, 0.9, size=COUNT)
    rho = np.outer(loading, loading)
    np.fill_diagonal(rho, 1.0)
    unknown = draw.random((COUNT, COUNT)) < 0.1
    return np.where(unknown | unknown.T, np.where(np.eye(COUNT, dtype=bool), 1.0, np.nan), rho)


def world(number: int) -> CycleInputs:
    """Return the inputs of one cycle, all random but sound; a tenth of the forecasts is missing."""
    draw = np.random.default_rng(number)
    symbols = tuple(f"S{index}" for index in range(COUNT))
    sigma_5m = draw.uniform(3.0, 60.0, size=COUNT)
    horizons = np.array(HORIZONS, dtype=np.int64)
    sigma = np.sqrt(horizons / 5.0)[:, None] * sigma_5m
    alpha = np.where(draw.random((3, COUNT)) < 0.1, np.nan, draw.normal(scale=0.8, size=(3, COUNT)) * sigma)
    price = draw.integers(20, 400, size=COUNT) * PRICE_SCALE
    held = np.where(draw.random(COUNT) < 0.5, draw.integers(-120, 120, size=COUNT), 0) * QUANTITY_SCALE
    return CycleInputs(
        symbols=symbols,
        horizons_minutes=horizons,
        ts_ns=NOW_NS,
        now_ns=NOW_NS,
        mode=draw.choice([Mode.LIVE, Mode.LIVE, Mode.DEGRADED, Mode.OBSERVE]),
        reconciled=True,
        equity_usd=EQUITY_USD,
        window=SessionWindow(
            trading=True,
            entries_allowed=bool(draw.random() < 0.9),
            flatten_intraday=bool(draw.random() < 0.1),
            size_multiplier=1.0,
            band_multiplier=1.0,
            cost_multiplier=1.0,
        ),
        bar_fresh=True,
        prediction_fresh=np.ones(3, dtype=np.bool_),
        reference_known=np.ones(COUNT, dtype=np.bool_),
        at_work=np.zeros(COUNT, dtype=np.bool_),
        quote_fresh=draw.random(COUNT) < 0.95,
        mid_nano=price.astype(np.int64),
        mark_usd=price / PRICE_SCALE,
        spread_bps=draw.uniform(0.5, 8.0, size=COUNT),
        sigma_5m_bps=sigma_5m,
        sigma_day_bps=sigma_5m * np.sqrt(SESSION_MINUTES / 5.0),
        daily_volume_shares=draw.uniform(1e6, 1e8, size=COUNT),
        shares_outstanding=np.full(COUNT, np.nan),
        position_micro=held.astype(np.int64),
        prospective_micro=held.astype(np.int64),
        sectors=draw.integers(0, 4, size=COUNT).astype(np.int64),
        sigma_horizon_bps=sigma,
        alpha=BlendedAlpha(raw_bps=alpha, blended_bps=alpha, weight_present=np.ones((3, COUNT))),
        hold_until_ns=np.where(draw.random(COUNT) < 0.5, NOW_NS + MINUTE_NS, 0).astype(np.int64),
        signal_horizon_minutes=np.full(COUNT, 15, dtype=np.int64),
        signal_overnight=np.zeros(COUNT, dtype=np.bool_),
        predictions=None,
        barrier_models=(),
        exits={},
        last_return_bps=draw.normal(scale=5.0, size=COUNT),
        imbalance=draw.uniform(-1.0, 1.0, size=COUNT),
        session_fraction=0.4,
        decision_id=f"{number:032x}",
        choices=CHOICES,
        conformal=CONFORMAL,
        book=BookFacts(
            correlation=correlation(draw),
            regime_switch=draw.random(COUNT) < 0.2,
            turbulent=np.zeros(COUNT, dtype=np.bool_),
            netting=NettingMemory(),
            sweep=bool(draw.random() < 0.1),
            cost_correction_bps=draw.uniform(-2.0, 2.0, size=COUNT),
        ),
    )


def mirrored(inputs: CycleInputs) -> CycleInputs:
    """Return the same market seen from the other side."""
    return dataclasses.replace(
        inputs,
        alpha=BlendedAlpha(
            raw_bps=-inputs.alpha.raw_bps,
            blended_bps=-inputs.alpha.blended_bps,
            weight_present=inputs.alpha.weight_present,
        ),
        position_micro=-inputs.position_micro,
        prospective_micro=-inputs.prospective_micro,
        last_return_bps=-inputs.last_return_bps,
        imbalance=-inputs.imbalance,
    )


def reordered(inputs: CycleInputs, order: list[int]) -> CycleInputs:
    """Return the same cycle with its symbols in another order."""
    changes: dict[str, object] = {"symbols": tuple(inputs.symbols[index] for index in order)}
    for field in dataclasses.fields(inputs):
        value = getattr(inputs, field.name)
        if isinstance(value, np.ndarray) and value.shape[-1:] == (COUNT,):
            changes[field.name] = np.ascontiguousarray(value[..., order])
    changes["alpha"] = BlendedAlpha(
        **{field.name: getattr(inputs.alpha, field.name)[..., order] for field in dataclasses.fields(inputs.alpha)}
    )
    book = inputs.book
    changes["book"] = dataclasses.replace(
        book,
        correlation=np.ascontiguousarray(book.correlation[order][:, order]),
        regime_switch=book.regime_switch[order],
        turbulent=book.turbulent[order],
        cost_correction_bps=book.cost_correction_bps[order],
    )
    return dataclasses.replace(inputs, **changes)  # type: ignore[arg-type]


@EXAMPLES
@given(numbers)
def test_longs_and_shorts_are_mirror_images(number: int) -> None:
    """Negated forecasts and positions give the same verdicts and exactly the negated orders."""
    inputs = world(number)
    one, other = run_cycle(inputs, PARAMETERS), run_cycle(mirrored(inputs), PARAMETERS)
    assert one.verdicts == other.verdicts
    np.testing.assert_array_equal(one.quantity_micro, -other.quantity_micro)
    np.testing.assert_array_equal(one.columns["weight_final"], -other.columns["weight_final"])
    np.testing.assert_array_equal(one.columns["cost_bps"], other.columns["cost_bps"])


def excess(result: CycleResult, name: str, inputs: CycleInputs, parameters: ArbiterParameters) -> list[float]:
    """Return by how much the weights of a stage exceed each limit, beyond what fixed weights alone take."""
    limits, weights = parameters.limits, result.columns[name]
    movable = inputs.quote_fresh
    fixed, free = np.where(movable, 0.0, weights), np.where(movable, weights, 0.0)
    found = [float(np.abs(free).max()) - limits.name_cap]
    for sector in range(4):
        inside = inputs.sectors == sector
        found.append(
            float(np.abs(free[inside]).sum()) - max(limits.sector_gross_max - float(np.abs(fixed[inside]).sum()), 0.0)
        )
    found.append(float(np.abs(free).sum()) - max(limits.gross_max - float(np.abs(fixed).sum()), 0.0))
    found.append(abs(float(weights.sum())) - max(limits.net_max, abs(float(fixed.sum()))))
    return found


@EXAMPLES
@given(numbers)
def test_no_cap_is_exceeded_after_any_stage(number: int) -> None:
    """Name, sector, net and gross hold after the first limits and at the end, with fixed weights using up room."""
    inputs = world(number)
    result = run_cycle(inputs, PARAMETERS)
    for stage in ("weight_limited", "weight_final"):
        assert max(excess(result, stage, inputs, PARAMETERS)) <= 1e-9, stage


@EXAMPLES
@given(numbers)
def test_the_book_keeps_to_its_volatility_and_its_clusters(number: int) -> None:
    """Without fixed weights the volatility is within its cap, and so is the gross weight of every cluster."""
    inputs = dataclasses.replace(world(number), quote_fresh=np.ones(COUNT, dtype=np.bool_))
    parameters = msgspec.structs.replace(
        PARAMETERS,
        correlation=CorrelationRiskParameters(volatility_day_bps_max=15.0, cluster_gross_max=0.08),
    )
    result = run_cycle(inputs, parameters)
    assert result.columns["volatility_book_bps"][0] <= 15.0 * (1.0 + 1e-6)
    weights, cluster = np.abs(result.columns["weight_final"]), result.columns["cluster"]
    for label in np.unique(cluster[cluster >= 0.0]):
        assert weights[cluster == label].sum() <= 0.08 + 1e-9


@EXAMPLES
@given(numbers)
def test_no_gate_increases_exposure(number: int) -> None:
    """From stage to stage weights only shrink or stay, but for the band; what is sent is at most what was planned."""
    inputs = world(number)
    result = run_cycle(inputs, PARAMETERS)
    columns = result.columns
    movable = inputs.quote_fresh
    assert (np.abs(columns["weight_limited"]) <= np.abs(columns["weight_wanted"]) + 1e-12)[movable].all()
    assert (np.abs(columns["weight_gated"]) <= np.abs(columns["weight_limited"]) + 1e-12)[movable].all()
    assert (np.abs(columns["weight_allowed"]) <= np.abs(columns["weight_gated"]) + 1e-12)[movable].all()
    assert (np.abs(columns["weight_final"]) <= np.abs(columns["weight_banded"]) + 1e-12)[movable].all()
    free = run_cycle(
        inputs, msgspec.structs.replace(PARAMETERS, gates=msgspec.structs.replace(PARAMETERS.gates, netting=False))
    )
    assert (np.abs(result.quantity_micro) <= np.abs(free.quantity_micro)).all()
    assert (result.quantity_micro * free.quantity_micro >= 0).all()
    sent = np.array([verdict in SENT for verdict in result.verdicts])
    assert (result.quantity_micro[~sent] == 0).all()


@EXAMPLES
@given(numbers, st.permutations(list(range(COUNT))))
def test_the_order_of_the_symbols_does_not_matter(number: int, order: list[int]) -> None:
    """The same symbols in another order get the same weights, but for the rounding of sums."""
    inputs = world(number)
    one, other = run_cycle(inputs, PARAMETERS), run_cycle(reordered(inputs, order), PARAMETERS)
    np.testing.assert_allclose(other.columns["weight_final"], one.columns["weight_final"][order], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(other.columns["net_bps"], one.columns["net_bps"][:, order], rtol=1e-12)


@EXAMPLES
@given(numbers, st.integers(0, COUNT - 1))
def test_what_is_missing_is_never_bought(number: int, column: int) -> None:
    """A symbol without a forecast, or without a volatility, opens nothing, whatever the others do."""
    inputs = world(number)
    blind = inputs.alpha.blended_bps.copy()
    blind[:, column] = np.nan
    for changed in (
        dataclasses.replace(
            inputs, alpha=BlendedAlpha(raw_bps=blind, blended_bps=blind, weight_present=inputs.alpha.weight_present)
        ),
        dataclasses.replace(
            inputs, sigma_horizon_bps=np.where(np.arange(COUNT) == column, np.nan, inputs.sigma_horizon_bps)
        ),
    ):
        result = run_cycle(changed, PARAMETERS)
        position = int(inputs.position_micro[column])
        quantity = int(result.quantity_micro[column])
        assert quantity * position <= 0
        assert abs(quantity) <= abs(position)


@EXAMPLES
@given(numbers)
def test_a_blocked_gate_opens_nothing(number: int) -> None:
    """A gate that has learned nothing lets positions shrink and nothing else happen."""
    inputs = dataclasses.replace(world(number), conformal=ConformalState())
    result = run_cycle(inputs, PARAMETERS)
    assert (result.quantity_micro * inputs.position_micro <= 0).all()
    assert (np.abs(result.quantity_micro) <= np.abs(inputs.position_micro)).all()
    assert Verdict.ACCEPTED not in {
        verdict for verdict, held in zip(result.verdicts, inputs.position_micro.tolist(), strict=True) if not held
    }
