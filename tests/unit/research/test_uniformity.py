"""The Kolmogorov-Smirnov test: against SciPy's where it is installed, and against what it must and must not find."""

import numpy as np
import pytest

from walstreet.research.uniformity import uniformity_test


@pytest.mark.parametrize("count", [20, 100, 1_000])
def test_distance_and_p_value_are_scipys(count: int) -> None:
    """The distance to the last digit; the corrected limit near the exact probability."""
    stats = pytest.importorskip("scipy.stats")
    for seed in range(10):
        values = np.random.default_rng(seed).random(count)
        ours, theirs = uniformity_test(values), stats.kstest(values, "uniform")
        assert ours.distance == pytest.approx(theirs.statistic, abs=1e-12)
        assert ours.p_value == pytest.approx(theirs.pvalue, abs=0.03)


def test_what_is_not_uniform_is_found_and_what_is_stays() -> None:
    """Squares of uniform numbers are too small; an even grid could not be more uniform."""
    values = np.random.default_rng(3).random(400)
    assert uniformity_test(values**2).p_value < 1e-6
    even = uniformity_test((np.arange(400) + 0.5) / 400)
    assert even.p_value == 1.0
    assert even.distance == pytest.approx(0.5 / 400)


@pytest.mark.parametrize("values", [[], [0.5] * 4, [0.1, 0.2, 0.3, 0.4, 1.5], [0.1, 0.2, 0.3, 0.4, float("nan")]])
def test_too_few_and_impossible_numbers_are_refused(values: list[float]) -> None:
    """A p-value outside 0 to 1 is somebody's error."""
    with pytest.raises(ValueError, match="uniformity"):
        uniformity_test(np.array(values))
