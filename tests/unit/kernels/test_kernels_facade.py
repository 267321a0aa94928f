"""Owns the examples of what kernels compute and of how they are chosen.

Refusals of wrong input come from walstreet.kernels._checks.
"""

import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from walstreet import kernels
from walstreet.kernels import EwmaBank, KernelsUnavailableError, RollingBank, Statistic, Status

nan = float("nan")


@pytest.fixture(autouse=True)
def _restored_choice() -> Iterator[None]:
    before = kernels.implementation()
    yield
    kernels.select(before.name, level=before.level if before.name == "native" else None)


@pytest.fixture(params=["native", "reference"])
def chosen(request: pytest.FixtureRequest) -> str:
    """Run a test with each kind of kernels that is installed."""
    try:
        kernels.select(request.param)
    except KernelsUnavailableError as error:
        pytest.skip(str(error))
    return str(request.param)


def test_duchi_example(chosen: str) -> None:
    """The published behaviour: negative weights vanish and the rest shifts equally."""
    weights = kernels.simplex_projection(np.array([0.9, 0.5, 0.1, -0.4]))
    np.testing.assert_allclose(weights, [0.7, 0.3, 0.0, 0.0], rtol=0.0, atol=2e-16)


def test_projection_of_weights_is_the_weights(chosen: str) -> None:
    """A point of the simplex is its own projection."""
    assert kernels.simplex_projection(np.array([0.25, 0.75])).tolist() == [0.25, 0.75]
    assert kernels.simplex_projection(np.array([-7.0])).tolist() == [1.0]
    assert kernels.simplex_projection(np.full(4, 1e300)).tolist() == [0.25] * 4


def test_blend_renormalises_over_the_models_that_answered(chosen: str) -> None:
    """Missing models drop out per symbol; with none left there is no prediction, never zero."""
    predictions = np.array([[1.0, nan, nan, 4.0], [3.0, 5.0, nan, np.inf], [nan, nan, nan, 8.0]])
    blended, present = kernels.blend(predictions, np.array([0.25, 0.75, 0.0]))
    assert blended[:2].tolist() == [2.5, 5.0]
    assert np.isnan(blended[2])
    assert blended[3] == 4.0
    assert present.tolist() == [1.0, 0.75, 0.0, 0.25]


def test_blend_writes_into_the_given_arrays(chosen: str) -> None:
    """The hot path allocates nothing."""
    blended, present = np.empty(2), np.empty(2)
    result = kernels.blend(np.ones((1, 2)), np.ones(1), blended=blended, weight_present=present)
    assert result[0] is blended
    assert result[1] is present
    assert blended.tolist() == [1.0, 1.0]


def test_ordered_sum_adds_by_lanes(chosen: str) -> None:
    """The order is eight lanes and a tree: 1e16 meets its opposite before the ones are lost."""
    values = np.array([1e16, 1.0, 1.0, 1.0, -1e16, 1.0, 1.0, 1.0, 0.0, 0.5])
    assert kernels.ordered_sum(values) == 6.5
    assert kernels.ordered_sum(np.array([])) == 0.0
    assert kernels.ordered_dot(values, np.ones(10)) == 6.5


def test_ewma_seeds_moves_and_flags(chosen: str) -> None:
    """The first usable value seeds; missing and out-of-range values leave the state untouched."""
    bank = EwmaBank.create(half_lives_bars=(1.0,), symbol_count=4)
    bank.update(np.array([10.0, nan, 10.0, 10.0]))
    bank.update(np.array([14.0, 3.0, nan, 1e200]))
    assert bank.mean[0].tolist() == [12.0, 3.0, 10.0, 10.0]
    assert bank.variance[0].tolist() == [4.0, 0.0, 0.0, 0.0]
    assert bank.status.tolist() == [Status.UPDATED, Status.UPDATED, Status.MISSING, Status.OUT_OF_RANGE]


def test_rolling_statistics_of_a_short_history(chosen: str) -> None:
    """Windows hold what there is, skip missing bars, and say how many bars they used."""
    bank = RollingBank.create(windows_bars=(2, 4), capacity_bars=4, symbol_count=2)
    for values in ([5.0, 1.0], [1.0, nan], [2.0, nan], [3.0, nan], [6.0, 7.0]):
        bank.update(np.array(values))
    assert bank.plane(Statistic.COUNT).tolist() == [[2.0, 1.0], [4.0, 1.0]]
    assert bank.plane(Statistic.SUM).tolist() == [[9.0, 7.0], [12.0, 7.0]]
    assert bank.plane(Statistic.SUM_OF_SQUARES).tolist() == [[45.0, 49.0], [50.0, 49.0]]
    assert bank.plane(Statistic.CENTRED_SQUARES).tolist() == [[4.5, 0.0], [14.0, 0.0]]
    assert bank.plane(Statistic.MINIMUM).tolist() == [[3.0, 7.0], [1.0, 7.0]]
    assert bank.plane(Statistic.MAXIMUM).tolist() == [[6.0, 7.0], [6.0, 7.0]]
    assert bank.plane(Statistic.MEAN).tolist() == [[4.5, 7.0], [3.0, 7.0]]
    assert bank.plane(Statistic.POSITION)[:, 0].tolist() == [1.0, 1.0]
    assert bank.plane(Statistic.DEVIATION)[0, 0] == np.sqrt(4.5)
    assert bank.plane(Statistic.SCORE)[0, 0] == 1.5 / np.sqrt(4.5)
    assert np.isnan(bank.plane(Statistic.DEVIATION)[:, 1]).all()
    assert np.isnan(bank.plane(Statistic.SCORE)[:, 1]).all()
    assert np.isnan(bank.plane(Statistic.POSITION)[:, 1]).all()


def test_a_constant_window_has_exactly_no_variance(chosen: str) -> None:
    """Cancellation cannot invent volatility where a price stood still."""
    bank = RollingBank.create(windows_bars=(30,), capacity_bars=30, symbol_count=1)
    for _ in range(40):
        bank.update(np.array([123_456.789]))
    assert bank.plane(Statistic.DEVIATION)[0, 0] == 0.0
    assert bank.plane(Statistic.MEAN)[0, 0] == 123_456.789
    assert np.isnan(bank.plane(Statistic.SCORE)[0, 0])


def test_returns_over_lags(chosen: str) -> None:
    """Returns need both bars, a positive base and a ring that is old enough."""
    bank = RollingBank.create(windows_bars=(1,), capacity_bars=5, symbol_count=3)
    lags, returns = np.array([1, 2, 4]), np.empty((3, 3))
    for values in ([8.0, 1.0, -1.0], [nan, 2.0, 0.0], [12.0, 3.0, 5.0]):
        bank.update(np.array(values))
    bank.returns(lags, returns)
    assert returns[0].tolist()[1] == 0.5
    assert returns[1].tolist()[:2] == [0.5, 2.0]
    assert np.isnan(returns[0, [0, 2]]).all()
    assert np.isnan(returns[1, 2])
    assert np.isnan(returns[2]).all()


def test_bars_are_read_back_by_age(chosen: str) -> None:
    """A bar is a copy by age; one the ring does not hold is refused."""
    bank = RollingBank.create(windows_bars=(1,), capacity_bars=2, symbol_count=9)
    for value in (1.0, 2.0, 3.0):
        bank.update(np.full(9, value))
    assert bank.bar(0).tolist() == [3.0] * 9
    assert bank.bar(1).tolist() == [2.0] * 9
    with pytest.raises(ValueError, match="age_bars: value is 2, but the ring holds 2 bars"):
        bank.bar(2)


def test_a_statistic_nobody_asked_for_is_refused() -> None:
    """Reading a plane that is not kept names it."""
    bank = RollingBank.create(windows_bars=(1,), capacity_bars=2, symbol_count=1, statistics=(Statistic.MEAN,))
    with pytest.raises(ValueError, match="statistic: SCORE is not kept"):
        bank.plane(Statistic.SCORE)


def test_alpha_from_half_life() -> None:
    """After one half-life an old value keeps half its weight."""
    assert kernels.alpha_from_half_life_bars(1.0) == 0.5
    assert (1.0 - kernels.alpha_from_half_life_bars(10.0)) ** 10 == pytest.approx(0.5, rel=1e-14)
    for wrong in (0.0, -1.0, nan, 2e6):
        with pytest.raises(ValueError, match="half_life_bars: value is"):
            kernels.alpha_from_half_life_bars(wrong)


def test_selection_is_visible() -> None:
    """The kernels in use are a value for logs and metrics."""
    info = kernels.select("reference")
    assert info == kernels.implementation()
    assert (info.name, info.level, info.version) == ("reference", "numpy", np.__version__)
    assert info.reason == "selected: reference"


def test_wrong_selections_are_refused_and_change_nothing() -> None:
    """An unknown name, and a level where there is none, are the caller's fault."""
    before = kernels.implementation()
    with pytest.raises(ValueError, match="name: value is 'cuda', must be 'native' or 'reference'"):
        kernels.select("cuda")
    with pytest.raises(ValueError, match="level: value is 'avx2', but reference kernels have none"):
        kernels.select("reference", level="avx2")
    assert kernels.implementation() == before


def test_native_level_is_selected_and_reported() -> None:
    """Replay can force the portable level."""
    try:
        info = kernels.select("native", level="baseline")
    except KernelsUnavailableError as error:
        pytest.skip(str(error))
    assert (info.name, info.level, info.reason) == (
        "native",
        "baseline",
        "selected: native at level baseline",
    )
    with pytest.raises(ValueError, match="level: value is 'neon9'"):
        kernels.select("native", level="neon9")
    assert kernels.implementation() == info


FALLBACK_PROGRAM = """
import sys, types
{preparation}
sys.path[:0] = {path!r}
from walstreet import kernels
info = kernels.implementation()
print(info.name, "|", info.reason)
try:
    kernels.select("native")
except kernels.KernelsUnavailableError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("preparation", "reason"),
    [
        ("sys.modules['walstreet_native'] = None", "walstreet_native cannot be imported: import of"),
        (
            "sys.modules['walstreet_native'] = types.SimpleNamespace(INTERFACE_VERSION=0, __version__='0.0.9')",
            "walstreet_native 0.0.9 has interface 0, walstreet needs",
        ),
    ],
    ids=["absent", "stale"],
)
def test_fallback_says_why(preparation: str, reason: str) -> None:
    """Without a fitting native wheel the reference runs, names the reason and refuses to be forced."""
    program = FALLBACK_PROGRAM.format(preparation=preparation, path=sys.path)
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    default, refusal = finished.stdout.splitlines()
    assert default.startswith(f"reference | default: {reason}")
    assert refusal.startswith(f"kernels 'native' were asked for, but {reason}")
    assert refusal.endswith("install walstreet-native or select 'reference'")
