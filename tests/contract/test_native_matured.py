"""Owns the contract of the kernels of matured outcomes: native equals NumPy bit for bit, and refuses alike."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet import kernels
from walstreet.kernels import matured
from walstreet.kernels.matured import MaturedBounds, MaturedColumn

walstreet_native = pytest.importorskip("walstreet_native")
pytest.importorskip("walstreet_native.matured", reason="this wheel is from before these kernels")

NAN = float("nan")
BOUNDS = MaturedBounds(1e6, 1e6, 100.0, 10.0, True)
ODD_VALUES = (0.0, -0.0, NAN, float("inf"), -float("inf"), 1e-310, 1.0, 1e7)
LEVELS: list[str] = walstreet_native.available_levels()


@pytest.fixture(autouse=True)
def native_kernels() -> Iterator[None]:
    """Run the native kernels, and leave the process as it was."""
    level = walstreet_native.level()
    kernels.select("native")
    yield
    kernels.select("native", level=level)


def drawn(rng: np.random.Generator, shape: tuple[int, ...], scale: float, *, ties: bool) -> np.ndarray:
    """Return values of which some are odd, and some equal where ``ties``."""
    values = rng.normal(scale=scale, size=shape)
    if ties:
        values = np.round(values, 0 if scale > 1.0 else 1)
    odd = rng.random(shape) < 0.1
    values[odd] = rng.choice(ODD_VALUES, size=int(odd.sum()))
    return values


def same_bits(left: np.ndarray, right: np.ndarray) -> bool:
    """Return whether both hold the same bits, every NaN being the same."""
    return bool(
        left.shape == right.shape
        and np.where(np.isnan(left), 0.0, left).tobytes() == np.where(np.isnan(right), 0.0, right).tobytes()
        and np.array_equal(np.isnan(left), np.isnan(right))
    )


@settings(max_examples=1000, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), models=st.integers(1, 6), symbols=st.integers(0, 80), ties=st.booleans())
def test_matured_rows_have_the_bits_of_numpy(seed: int, models: int, symbols: int, ties: bool) -> None:
    """Random cross-sections with ties, missing and broken values give the same bits on every level."""
    rng = np.random.default_rng(seed)
    scores = drawn(rng, (models, symbols), 1.0, ties=ties)
    slopes = rng.choice([0.5, 1.0, 0.0, -1.0, NAN, 200.0, 3.7], size=models)
    sigma = np.abs(drawn(rng, (symbols,), 20.0, ties=False))
    returns = drawn(rng, (symbols,), 20.0, ties=ties)
    cost = np.where(np.isinf(given_cost := drawn(rng, (symbols,), 5.0, ties=False)), NAN, given_cost)
    bounds = BOUNDS._replace(excess=bool(rng.integers(2)))
    arguments = {"return_bps": returns, "sigma_bps": sigma, "cost_bps": cost, "bounds": bounds}
    expected = matured.reference_matured_rows(scores, slopes, **arguments)
    for level in LEVELS:
        walstreet_native.set_level(level)
        assert same_bits(matured.matured_rows(scores, slopes, **arguments), expected), level


@settings(max_examples=1000, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), models=st.integers(1, 8), symbols=st.integers(1, 60), ties=st.booleans())
def test_contributions_have_the_bits_of_numpy(seed: int, models: int, symbols: int, ties: bool) -> None:
    """Random scores, alphas, outcomes and costs give the same sums, symbols added in their order."""
    rng = np.random.default_rng(seed)
    given = (
        drawn(rng, (models, symbols), 1.0, ties=ties),
        drawn(rng, (models, symbols), 10.0, ties=ties),
        drawn(rng, (symbols,), 2.0, ties=ties),
        drawn(rng, (symbols,), 4.0, ties=False),
    )
    expected = matured.reference_contribution(*given, score_abs_max=1e6, outcome_abs_max=5.0)
    for level in LEVELS:
        walstreet_native.set_level(level)
        found = matured.contribution(*given, score_abs_max=1e6, outcome_abs_max=5.0)
        assert all(same_bits(one, other) for one, other in zip(found, expected, strict=True)), level


@settings(max_examples=1000, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), width=st.integers(1, 300), step=st.integers(1, 4), ties=st.booleans())
def test_row_medians_have_the_bits_of_sorting(seed: int, width: int, step: int, ties: bool) -> None:
    """Selecting the middle gives what sorting gives, for every count of values, equal and subnormal ones included."""
    rng = np.random.default_rng(seed)
    history = rng.normal(scale=10.0 ** rng.integers(-320, 140), size=(7, width)) + 0.0
    if ties:
        history = np.round(rng.normal(scale=2.0, size=history.shape)) + 0.0
    history[rng.random(history.shape) < rng.choice([0.0, 0.1, 0.9])] = NAN
    given = {"used": int(rng.integers(1, width + 1)), "first_row": int(rng.integers(0, 9)), "row_step": step}
    expected = matured.reference_row_medians(history, **given)
    for level in LEVELS:
        walstreet_native.set_level(level)
        found = matured.row_medians(history, **given)
        assert same_bits(found.medians, expected.medians)
        assert same_bits(found.spreads, expected.spreads)
        assert found.counts.tolist() == expected.counts.tolist()


def test_one_cross_section_by_hand() -> None:
    """Three symbols: ranks (1, 2, 3) against (1, 3, 2) correlate by one half, and the sums follow from slope 1/2."""
    scores = np.array([[-2.0, 0.0, 2.0]])
    found = matured.matured_rows(
        scores,
        np.array([0.5]),
        return_bps=np.array([-10.0, 20.0, 10.0]),
        sigma_bps=np.full(3, 10.0),
        cost_bps=np.array([4.0, 4.0, NAN]),
        bounds=BOUNDS,
    )[0]
    # f = (-1, 0, 1), y = (-1, 2, 1). Edge: only the first has |f| * sigma = 10 > 4; it earns 1 * 10 - 4.
    assert found[MaturedColumn.RANK_IC] == 0.5
    assert found[MaturedColumn.CROSS] == 2.0
    assert found[MaturedColumn.SQUARE] == 2.0
    assert (found[MaturedColumn.EDGE], found[MaturedColumn.TRADES]) == (6.0, 1.0)
    # Excess: -1 * (-1 + 2) = -1, 0, 1 * (1 - 2) = -1.
    assert found[MaturedColumn.ERROR] == pytest.approx(-2.0 / 3.0, abs=1e-16)


def test_medians_by_hand() -> None:
    """Of 4, 1, 3, 2 the median is 2.5 and the spread 1; a row without values has neither."""
    history = np.array([[4.0, 1.0, NAN, 3.0, 2.0], [NAN] * 5, [5.0, 5.0, 5.0, 6.0, 7.0]])
    found = matured.row_medians(history, used=5, first_row=0, row_step=1)
    assert found.counts.tolist() == [4, 0, 5]
    assert found.medians[[0, 2]].tolist() == [2.5, 5.0]
    assert found.spreads[[0, 2]].tolist() == [1.0, 0.0]
    assert np.isnan(found.medians[1])


@pytest.mark.parametrize("select", ["native", "reference"])
def test_an_infinite_edge_is_refused(select: str) -> None:
    """A cost of minus infinity would make a model look perfect for good."""
    kernels.select(select)
    row = np.array([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="must be finite"):
        matured.matured_rows(
            row[None, :],
            np.ones(1),
            return_bps=row,
            sigma_bps=np.ones(3),
            cost_bps=np.full(3, -np.inf),
            bounds=BOUNDS,
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": np.ones((2, 3), dtype=np.float32)}, "scores: dtype is float32, must be float64"),
        ({"scores": np.ones((3, 2)).T}, "scores: is not C-contiguous"),
        ({"slopes": np.ones(3)}, r"slopes: shape is \(3,\), must be \(2,\) to agree with scores"),
        ({"cost_bps": np.ones(4)}, r"cost_bps: shape is \(4,\), must be \(3,\) to agree with scores"),
    ],
)
@pytest.mark.parametrize("select", ["native", "reference"])
def test_both_refuse_with_the_same_words(select: str, change: dict[str, np.ndarray], message: str) -> None:
    """An array of another type, layout or shape is refused by its name, whichever kernels run."""
    kernels.select(select)
    given = {"scores": np.ones((2, 3)), "slopes": np.ones(2), "cost_bps": np.ones(3)} | change
    with pytest.raises((TypeError, ValueError), match=message):
        matured.matured_rows(
            given["scores"],
            given["slopes"],
            return_bps=np.ones(3),
            sigma_bps=np.ones(3),
            cost_bps=given["cost_bps"],
            bounds=BOUNDS,
        )


def test_more_columns_than_there_are_are_refused() -> None:
    """Both name the number asked for and the number there is."""
    for select in ("native", "reference"):
        kernels.select(select)
        with pytest.raises(ValueError, match="used: value is 5, must be at most the 4 columns of history"):
            matured.row_medians(np.ones((2, 4)), used=5, first_row=0, row_step=1)
