"""Owns the properties of the standardisation that must hold for every input."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet.domain.standardise import StandardiseParameters, StandardiserState, observe_scores, standardised

EXAMPLES = settings(max_examples=1_000, deadline=None)
SMALL = StandardiseParameters(window_days=1, decisions_per_day=6, samples_min=3)
MODELS = ("m", "n")
SPECIAL = np.array([0.0, -0.0, 1.0, 1.0, 2.0, np.nan, np.inf, -1e300])
values = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([0.0, 1.0, np.nan, np.inf, -1e300]))


@st.composite
def histories(draw: st.DrawFn) -> np.ndarray:
    """Return (decisions, 2, N) raw scores with holes and ties; numbers from a drawn seed, shapes from Hypothesis."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(1, 8)), len(MODELS), draw(st.integers(1, 3)))
    wide = generator.normal(size=shape) * 10.0 ** generator.integers(-6, 7, size=shape)
    special = generator.choice(SPECIAL, size=shape)
    return np.where(generator.random(shape) < draw(st.sampled_from([0.0, 0.3, 0.8])), special, wide)


def scores_of(history: np.ndarray, *, models: tuple[str, ...] = MODELS) -> np.ndarray:
    """Return the score of every decision, each judged before it is taken in."""
    state = StandardiserState()
    symbols = tuple(str(index) for index in range(history.shape[2]))
    out = []
    for index, raw in enumerate(history):
        names = {"models": models, "symbols": symbols, "parameters": SMALL}
        out.append(standardised(state, raw, **names))
        observe_scores(state, raw, ts_ns=index + 1, **names)
    return np.array(out)


@EXAMPLES
@given(histories())
def test_scores_are_bounded_and_missing_stays_missing(history: np.ndarray):
    """Every score is within plus and minus 3 or NaN; a missing value, or fewer than three before it, gives NaN."""
    scores = scores_of(history)
    assert np.all((np.abs(scores) <= 3.0) | np.isnan(scores))
    usable = np.abs(np.nan_to_num(history, nan=np.inf, posinf=np.inf, neginf=-np.inf)) <= 1e150
    for index in range(len(history)):
        seen = usable[max(0, index - 6) : index].sum(axis=0)
        assert np.array_equal(np.isfinite(scores[index]), usable[index] & (seen >= 3))


@EXAMPLES
@given(histories(), values)
def test_no_look_ahead(history: np.ndarray, other: float):
    """Changing the last decision changes no score before it, and its own only by its own value."""
    changed = history.copy()
    changed[-1] = other
    assert np.array_equal(scores_of(history)[:-1], scores_of(changed)[:-1], equal_nan=True)


@EXAMPLES
@given(histories())
def test_mirror_symmetry(history: np.ndarray):
    """Negated values give exactly negated scores."""
    assert np.array_equal(scores_of(-history), -scores_of(history), equal_nan=True)


@EXAMPLES
@given(histories(), st.integers(-3, 3))
def test_rows_are_independent_and_scale_does_not_matter(history: np.ndarray, power: int):
    """Reversed models and symbols give reversed scores, and so does a scale that is a power of two: same bits."""
    scores = scores_of(history)
    assert np.array_equal(scores_of(history[:, ::-1], models=MODELS[::-1]), scores[:, ::-1], equal_nan=True)
    assert np.array_equal(scores_of(history[:, :, ::-1]), scores[:, :, ::-1], equal_nan=True)
    assert np.array_equal(scores_of(history * 2.0**power), scores, equal_nan=True)
