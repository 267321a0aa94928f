"""Owns the properties of the decision components that must hold for every input."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet.domain.arbitrate import ArbitrationParameters, arbitrate
from walstreet.domain.band import BandParameters, apply_band, band_width
from walstreet.domain.blend import aligned_scores, blend_horizons
from walstreet.domain.calibrate import ModelCalibration
from walstreet.domain.cost import CostInputs, CostParameters, round_trip_cost_bps
from walstreet.domain.freshness import within_age
from walstreet.domain.limits import LimitParameters, apply_limits
from walstreet.domain.size import SizeParameters, wanted_weights
from walstreet_events import ROOT, EventId, ModelColumn, ModelStatus, PredictionBlock, float_block

EXAMPLES = settings(max_examples=300, deadline=None)
LIMITS = LimitParameters()
EXCESS = 1e-9
GROSS, NET, SECTOR, NAME = LIMITS.gross_max, LIMITS.net_max, LIMITS.sector_gross_max, LIMITS.name_cap

weights_of_books = st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=30)
scores = st.one_of(st.floats(-5.0, 5.0), st.just(math.nan))


def within_limits(weights: np.ndarray, sectors: np.ndarray) -> bool:
    """Return whether a book without fixed weights keeps every limit."""
    per_sector = np.bincount(sectors, weights=np.abs(weights))
    return bool(
        np.abs(weights).max() <= NAME + EXCESS
        and per_sector.max() <= SECTOR + EXCESS
        and abs(weights.sum()) <= NET + EXCESS
        and np.abs(weights).sum() <= GROSS + EXCESS
    )


@EXAMPLES
@given(weights_of_books, st.integers(1, 6))
def test_limits_hold_and_only_scale_down(values: list[float], sector_count: int):
    """After the limits no cap is exceeded, no weight grew or changed its sign, and a second pass changes nothing."""
    weights = np.array(values)
    sectors = np.arange(len(weights)) % sector_count
    movable = np.ones(len(weights), dtype=np.bool_)
    limited, _ = apply_limits(weights, sectors, movable, LIMITS)
    assert within_limits(limited, sectors)
    assert np.all(np.abs(limited) <= np.abs(weights))
    assert np.all(limited * weights >= 0.0)
    again, _ = apply_limits(limited, sectors, movable, LIMITS)
    assert np.array_equal(again, limited)


@EXAMPLES
@given(weights_of_books, st.data())
def test_fixed_weights_are_untouched_and_never_made_worse(values: list[float], data: st.DataObject):
    """Fixed weights stay, movable ones only shrink, and gross fits unless the fixed part alone exceeds it."""
    weights = np.array(values)
    movable = np.array(data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values))))
    limited, _ = apply_limits(weights, np.zeros(len(weights), dtype=np.int64), movable, LIMITS)
    assert np.array_equal(limited[~movable], weights[~movable])
    assert np.all(np.abs(limited) <= np.abs(weights))
    fixed = np.abs(weights[~movable]).sum()
    assert np.abs(limited).sum() <= max(GROSS, fixed) + EXCESS


@EXAMPLES
@given(weights_of_books, st.permutations(range(30)))
def test_limits_do_not_depend_on_the_order_of_symbols(values: list[float], order: list[int]):
    """Permuting the symbols permutes the result, up to the rounding of sums."""
    weights = np.array(values)
    permutation = np.array([index for index in order if index < len(weights)])
    sectors, movable = np.arange(len(weights)) % 3, np.ones(len(weights), dtype=np.bool_)
    straight, _ = apply_limits(weights, sectors, movable, LIMITS)
    permuted, _ = apply_limits(weights[permutation], sectors[permutation], movable, LIMITS)
    assert np.allclose(permuted, straight[permutation], rtol=0.0, atol=1e-9)


@EXAMPLES
@given(weights_of_books, st.data(), st.sampled_from([1.0, 2.0]))
def test_band_is_respected(values: list[float], data: st.DataObject, multiplier: float):
    """Every weight is unchanged, at the band's edge between holding and target, or 0 for a target of 0."""
    targets = np.array(values)
    current = np.array(data.draw(st.lists(st.floats(-0.5, 0.5), min_size=len(values), max_size=len(values))))
    band = band_width(targets, multiplier=multiplier, parameters=BandParameters())
    assert 0.0 <= band <= multiplier * 0.008
    result = apply_band(targets, current, band)
    low, high = np.minimum(targets, current), np.maximum(targets, current)
    live = targets != 0.0
    assert np.all(result[~live] == 0.0)
    assert np.all((result >= low - 1e-12) & (result <= high + 1e-12))
    assert np.all(np.abs(result - targets)[live] <= band + 1e-12)
    moved = live & (result != current)
    assert np.all(np.abs(targets - current)[moved] > band)


@EXAMPLES
@given(st.lists(scores, min_size=1, max_size=30), st.sampled_from(["auto", "proportional", "vol_target"]))
def test_sizing_is_mirror_symmetric_and_within_its_budget(values: list[float], method: str):
    """The opposite z flips every weight exactly, gross never exceeds the budget, and a missing z gets exactly 0."""
    z = np.array(values)
    sigma = np.linspace(80.0, 300.0, len(z))
    parameters = SizeParameters(method=method)
    weights = wanted_weights(z, sigma, gross_budget=0.5, parameters=parameters)
    mirrored = wanted_weights(-z, sigma, gross_budget=0.5, parameters=parameters)
    assert np.array_equal(mirrored, -weights)
    assert np.abs(weights).sum() <= 0.5 + EXCESS
    assert np.all(weights[np.isnan(z)] == 0.0)
    assert np.all(weights * np.nan_to_num(z) >= 0.0)


def cost_of(spread_bps: float, order_usd: float, parameters: CostParameters, **changes: float) -> np.ndarray:
    """Return (1, 1) cost of one symbol."""
    facts = {
        "sigma_5m_bps": 15.0, "sigma_day_bps": 130.0, "price_usd": 50.0,
        "daily_volume_shares": 1e6, "shares_outstanding": 1e8,
    } | changes  # fmt: skip
    return round_trip_cost_bps(
        CostInputs(
            spread_bps=np.array([spread_bps]),
            order_usd=np.array([order_usd]),
            session_multiplier=1.0,
            **{name: np.array([value]) for name, value in facts.items()},
        ),
        np.array([5]),
        parameters,
    )


cost_models = st.sampled_from([
    CostParameters(), CostParameters(impact="almgren"), CostParameters(model="linear"),
    CostParameters(model="linear", linear_coefficients="document_000"),
])  # fmt: skip


@EXAMPLES
@given(st.floats(0.0, 50.0), st.floats(0.0, 50.0), st.floats(0.0, 1e8), st.floats(0.0, 1e8), cost_models)
def test_costs_grow_with_spread_and_size(
    spread: float, wider: float, size: float, more: float, parameters: CostParameters
):
    """A wider spread or a larger order never costs less, in every model."""
    base = cost_of(spread, size, parameters)[0, 0]
    assert base >= 0.0
    assert cost_of(spread + wider, size, parameters)[0, 0] >= base
    assert cost_of(spread, size + more, parameters)[0, 0] >= base * (1.0 - 1e-13)


@EXAMPLES
@given(
    st.sampled_from(["sigma_day_bps", "price_usd", "daily_volume_shares"]),
    st.sampled_from([math.nan, math.inf, 0.0, -1.0]),
    st.sampled_from([CostParameters(), CostParameters(impact="almgren")]),
)
def test_a_missing_market_fact_never_gives_a_cost(name: str, value: float, parameters: CostParameters):
    """Unknown, infinite, zero and negative facts make the cost unknown."""
    assert np.isnan(cost_of(2.0, 1e5, parameters, **{name: value})[0, 0])


horizon_alphas = st.lists(
    st.lists(st.one_of(st.floats(-100.0, 100.0), st.just(math.nan)), min_size=4, max_size=4), min_size=1, max_size=6
)


@EXAMPLES
@given(horizon_alphas, st.sampled_from(["winner", "softmax"]), st.floats(0.0, 20.0))
def test_arbitration_is_mirror_symmetric_and_never_flips(values: list[list[float]], method: str, cost: float):
    """Opposite alphas flip the result exactly; the sign is the best horizon's; without an edge nothing is chosen."""
    alpha = np.array(values)
    sigma = 10.0 * np.sqrt(np.arange(1, len(alpha) + 1))[:, None] * np.ones((1, 4))
    costs, spread, parameters = np.full_like(alpha, cost), np.full(4, 2.0), ArbitrationParameters(method=method)
    result = arbitrate(alpha, costs, sigma, spread, parameters)
    mirror = arbitrate(-alpha, costs, sigma, spread, parameters)
    assert np.array_equal(mirror.best, result.best)
    assert np.array_equal(mirror.alpha_final_bps, -result.alpha_final_bps, equal_nan=True)
    assert np.array_equal(mirror.clears_reserve, result.clears_reserve)
    for symbol in range(4):
        best = int(result.best[symbol])
        if best < 0:
            assert np.isnan(result.z[symbol])
            assert not result.clears_reserve[symbol]
            continue
        assert result.z[symbol] * result.net_bps[best, symbol] >= 0.0
        assert abs(result.net_bps[best, symbol]) <= abs(alpha[best, symbol])
        assert abs(result.z[symbol]) <= np.nanmax(np.abs(result.net_bps[:, symbol] / sigma[:, symbol])) + 1e-12


@EXAMPLES
@given(st.lists(st.lists(scores, min_size=3, max_size=3), min_size=1, max_size=6), st.data())
def test_blend_stays_between_its_models_and_needs_one(values: list[list[float]], data: st.DataObject):
    """The blend lies within the answers that have weight; it is NaN exactly where there is none."""
    weight = st.one_of(st.just(0.0), st.floats(1e-9, 5.0))
    weights = data.draw(st.lists(weight, min_size=len(values), max_size=len(values)))
    columns = tuple(
        ModelColumn(model=f"m{row}", family="f", horizon_minutes=5, target="return", status=ModelStatus.OK)
        for row in range(len(values))
    )
    block = PredictionBlock(
        id=EventId("1" * 32), cause=ROOT, ts_ns=0, symbols=("A", "B", "C"), warmup=False, features="",
        models=columns, values=float_block(values),
    )  # fmt: skip
    blended = blend_horizons(
        block,
        aligned_scores(block, block.symbols),
        calibrations=[
            ModelCalibration(model=f"m{row}", horizon_minutes=5, slope=1.0, weight=weight)
            for row, weight in enumerate(weights)
        ],
        horizons_minutes=(5,),
        sigma_horizon_bps=np.ones((1, 3)),
    ).blended_bps[0]
    for symbol in range(3):
        answered = [row[symbol] for row, weight in zip(values, weights, strict=True) if weight > 0.0]
        answers = [value for value in answered if not math.isnan(value)]
        assert np.isnan(blended[symbol]) == (not answers)
        if answers:
            assert min(answers) - 1e-9 <= blended[symbol] <= max(answers) + 1e-9


@EXAMPLES
@given(st.floats(allow_nan=True, allow_infinity=True), st.floats(0.0, 1e6))
def test_only_ages_between_zero_and_the_limit_are_fresh(age: float, limit: float):
    """Whatever the age, it is fresh iff it is a number in [0, limit]."""
    assert within_age(np.array([age]), limit)[0] == (0.0 <= age <= limit)
