"""Owns what kernels promise for any input: optimality, exact-arithmetic error bounds, no drift."""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet import kernels
from walstreet.kernels import EwmaBank, RollingBank, Statistic, Status

ROUNDOFF = Fraction(1, 2**53)
# Bounds are stated to first order; this covers the higher orders and subnormal results.
FIRST_ORDER_SLACK = Fraction(101, 100)
SUBNORMAL_SLACK = Fraction(5e-324) * 10_000

finite = st.floats(-1e12, 1e12)
prices = st.one_of(finite, st.sampled_from((0.0, 1.0, 1.0 + 2**-52, 100.0, 1e-9)))
maybe_missing = st.one_of(prices, prices, prices, st.just(float("nan")))


@pytest.fixture(autouse=True, params=["default", "reference"])
def _implementation(request: pytest.FixtureRequest) -> Iterator[None]:
    before = kernels.implementation().name
    if request.param == "reference":
        kernels.select("reference")
    yield
    kernels.select(before)


@settings(max_examples=500, deadline=None)
@given(values=st.lists(finite, max_size=60))
def test_sum_and_dot_stay_within_the_stated_error(values: list[float]) -> None:
    """The fixed order costs no more than its stated bound against exact arithmetic."""
    array = np.array(values, dtype=np.float64)
    exact = [Fraction(value) for value in values]
    steps = Fraction(len(values), 8) + 4
    sum_bound = steps * ROUNDOFF * sum((abs(value) for value in exact), Fraction(0)) * FIRST_ORDER_SLACK
    assert abs(Fraction(kernels.ordered_sum(array)) - sum(exact, Fraction(0))) <= sum_bound
    squares = sum((value * value for value in exact), Fraction(0))
    dot_bound = (steps + 1) * ROUNDOFF * squares * FIRST_ORDER_SLACK + SUBNORMAL_SLACK
    dot_error: Fraction = Fraction(kernels.ordered_dot(array, array)) - squares
    assert -dot_bound <= dot_error <= dot_bound


@settings(max_examples=500, deadline=None)
@given(values=st.lists(st.floats(-3.0, 3.0), min_size=1, max_size=80))
def test_simplex_projection_satisfies_the_optimality_conditions(values: list[float]) -> None:
    """Weights add up to one, are never negative, and equal the value minus one common threshold."""
    array = np.array(values)
    weights = kernels.simplex_projection(array)
    tolerance = 16 * len(values) * 2.0**-53
    assert (weights >= 0.0).all()
    excess = sum((Fraction(weight) for weight in weights.tolist()), Fraction(-1))
    assert -2 * len(values) * ROUNDOFF <= excess <= 2 * len(values) * ROUNDOFF
    thresholds = (array - weights)[weights > 0.0]
    assert np.ptp(thresholds) <= tolerance
    assert (array[weights == 0.0] <= thresholds.min() + tolerance).all()


@settings(max_examples=500, deadline=None)
@given(
    rows=st.integers(1, 9).flatmap(
        lambda models: st.tuples(
            st.lists(st.floats(0.0, 1.0), min_size=models, max_size=models),
            st.lists(maybe_missing, min_size=models, max_size=models),
        )
    )
)
def test_blend_lies_between_the_models_that_answered(rows: tuple[list[float], list[float]]) -> None:
    """A blend is a mean over those who answered with weight, and never a number without one."""
    weights, predictions = np.array(rows[0]), np.array(rows[1])
    blended, present = kernels.blend(predictions[:, None], weights)
    voting = ~np.isnan(predictions) & (weights > 0.0)
    assert present[0] == pytest.approx(weights[voting].sum(), rel=1e-14)
    if not voting.any():
        assert np.isnan(blended[0])
        return
    slack = 1e-14 * np.abs(predictions[voting]).max() + 1e-300 / present[0]
    assert predictions[voting].min() - slack <= blended[0] <= predictions[voting].max() + slack


def _exact_window(bars: list[float], window: int) -> list[Fraction]:
    return [Fraction(value) for value in bars[-window:] if value == value]  # noqa: PLR0124 - NaN is not equal


@settings(max_examples=500, deadline=None)
@given(bars=st.lists(maybe_missing, min_size=1, max_size=30), window=st.integers(1, 9))
def test_rolling_statistics_stay_within_their_bounds(bars: list[float], window: int) -> None:
    """After any history each window agrees with exact arithmetic: nothing drifts."""
    bank = RollingBank.create(windows_bars=(window,), capacity_bars=9, symbol_count=1)
    for value in bars:
        bank.update(np.array([value]))
    exact = _exact_window(bars, window)
    count = len(exact)
    got = {statistic: float(bank.plane(statistic)[0, 0]) for statistic in Statistic}
    assert got[Statistic.COUNT] == count
    if count == 0:
        assert all(np.isnan(got[statistic]) for statistic in Statistic if statistic is not Statistic.COUNT)
        return
    bound = count * (count + 8) * ROUNDOFF * FIRST_ORDER_SLACK
    mean = sum(exact, Fraction(0)) / count
    centred = sum(((value - mean) * (value - mean) for value in exact), Fraction(0))
    squares = sum((value * value for value in exact), Fraction(0))
    magnitude = sum((abs(value) for value in exact), Fraction(0))
    assert got[Statistic.MINIMUM] == min(exact)
    assert got[Statistic.MAXIMUM] == max(exact)
    assert abs(Fraction(got[Statistic.CENTRED_SQUARES]) - centred) <= bound * centred + SUBNORMAL_SLACK
    assert abs(Fraction(got[Statistic.SUM_OF_SQUARES]) - squares) <= 8 * bound * squares + SUBNORMAL_SLACK
    assert abs(Fraction(got[Statistic.SUM]) - sum(exact)) <= 2 * bound * magnitude + SUBNORMAL_SLACK
    assert abs(Fraction(got[Statistic.MEAN]) - mean) <= 2 * bound * magnitude + SUBNORMAL_SLACK


@settings(max_examples=500, deadline=None)
@given(history=st.lists(maybe_missing, max_size=20), recent=st.lists(maybe_missing, min_size=6, max_size=6))
def test_statistics_depend_on_the_window_alone(history: list[float], recent: list[float]) -> None:
    """Two histories with the same last bars have the same bits, so a restart from bars is exact."""
    banks = []
    for past in (history, []):
        bank = RollingBank.create(windows_bars=(2, 6), capacity_bars=6, symbol_count=1)
        for value in [*past, *recent]:
            bank.update(np.array([value]))
        banks.append(bank.statistics.tobytes())
    assert banks[0] == banks[1]


@settings(max_examples=500, deadline=None)
@given(
    bars=st.lists(maybe_missing, min_size=1, max_size=25),
    half_life=st.sampled_from((0.5, 1.0, 3.0, 20.0)),
)
def test_smoothed_mean_and_variance_match_their_definition(bars: list[float], half_life: float) -> None:
    """Mean and variance equal the weighted ones over the usable bars, computed exactly."""
    bank = EwmaBank.create(half_lives_bars=(half_life,), symbol_count=1)
    for value in bars:
        bank.update(np.array([value]))
        assert bank.status[0] == (Status.UPDATED if value == value else Status.MISSING)  # noqa: PLR0124
    exact = _exact_window(bars, len(bars))
    if not exact:
        assert np.isnan(bank.mean[0, 0])
        return
    alpha = Fraction(float(bank.alphas[0]))
    weights = [(1 - alpha) ** (len(exact) - 1)]
    weights += [alpha * (1 - alpha) ** (len(exact) - 1 - age) for age in range(1, len(exact))]
    mean = sum(weight * value for weight, value in zip(weights, exact, strict=True))
    variance = sum(weight * (value - mean) ** 2 for weight, value in zip(weights, exact, strict=True))
    scale = max(map(abs, exact))
    assert abs(Fraction(float(bank.mean[0, 0])) - mean) <= Fraction(1e-14) * scale + SUBNORMAL_SLACK
    spread = max(abs(value - other) for value in exact for other in exact)
    slack = Fraction(1e-13) * (spread**2 + spread * scale) + SUBNORMAL_SLACK
    assert abs(Fraction(float(bank.variance[0, 0])) - variance) <= slack
