"""Owns the proof that native kernels return the reference's bits on every level of this processor."""

import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from ctypes import CDLL
from ctypes.util import find_library
from pathlib import Path
from shutil import which

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet.kernels import EwmaBank, RollingBank, reference
from walstreet.kernels.interface import INTERFACE_VERSION, FloatArray, Kernels, Statistic

pytestmark = pytest.mark.spec("card.native", "002.native")

native = pytest.importorskip("walstreet_native", reason="the native wheel is not installed")

LEVELS = tuple(native.available_levels())
TAIL_LENGTHS = range(34)
SPECIALS = (
    float("nan"),
    -float("nan"),
    float("inf"),
    -float("inf"),
    0.0,
    -0.0,
    5e-324,
    -2.2e-308,
    1e-160,
    1e150,
    1.0000000000000002e150,
    -1e300,
)


@pytest.fixture(autouse=True)
def _restored_level() -> Iterator[None]:
    before = native.level()
    yield
    native.set_level(before)


def same_bits(left: np.ndarray, right: np.ndarray) -> bool:
    """Compare arrays bit by bit: signs of zeros and NaN payloads count."""
    return left.shape == right.shape and left.tobytes() == right.tobytes()


def sample(seed: int, shape: tuple[int, ...], *, special_share: float) -> FloatArray:
    """Draw values of many magnitudes, some of them special."""
    generator = np.random.default_rng(seed)
    values = generator.normal(size=shape) * 10.0 ** generator.integers(-8, 9, size=shape)
    return np.where(generator.random(shape) < special_share, generator.choice(SPECIALS, size=shape), values)


def blend_bits(kernels: Kernels, seed: int, symbol_count: int, *, model_count: int = 5) -> bytes:
    """Return the bits of a blend."""
    predictions = sample(seed, (model_count, symbol_count), special_share=0.2)
    weights = np.random.default_rng(seed).random(model_count)
    weights[0] = 0.0
    blended, present = np.empty(symbol_count), np.empty(symbol_count)
    kernels.blend(predictions, weights, blended, present)
    return blended.tobytes() + present.tobytes()


def ewma_bits(kernels: Kernels, seed: int, symbol_count: int, *, bars: int = 12) -> bytes:
    """Return the bits of smoothed state after some bars."""
    bank = EwmaBank.create(half_lives_bars=(0.3, 2.0, 17.5), symbol_count=symbol_count)
    bits = b""
    for values in sample(seed, (bars, symbol_count), special_share=0.2):
        kernels.ewma_update(values, bank.alphas, bank.mean, bank.variance, bank.status)
        bits += bank.mean.tobytes() + bank.variance.tobytes() + bank.status.tobytes()
    return bits


def rolling_bits(
    kernels: Kernels,
    seed: int,
    symbol_count: int,
    *,
    windows: tuple[int, ...] = (1, 2, 5, 9),
    capacity: int = 11,
    special_share: float = 0.1,
) -> bytes:
    """Return the bits of rolling statistics and returns over more bars than the ring holds."""
    bank = RollingBank.create(windows_bars=windows, capacity_bars=capacity, symbol_count=symbol_count)
    lags = np.array([1, max(1, capacity // 2), capacity - 1])
    returns = np.empty((len(lags), symbol_count))
    bits = b""
    for values in sample(seed, (2 * capacity + 3, symbol_count), special_share=special_share):
        kernels.rolling_update(
            values,
            bank.ring,
            bank.bars_seen,
            bank.windows_bars,
            bank.planes,
            bank.status,
            bank.statistics,
        )
        kernels.ring_returns(bank.ring, bank.bars_seen, lags, returns)
        bits += bank.statistics.tobytes() + bank.status.tobytes() + returns.tobytes()
    return bits + bank.ring.tobytes() + bank.bars_seen.tobytes()


def reduction_bits(kernels: Kernels, seed: int, count: int) -> bytes:
    """Return the bits of sums and of a simplex projection of finite values."""
    values = sample(seed, (count,), special_share=0.0)
    values[::7] *= 5e-324
    total = kernels.ordered_sum(values)
    dot = kernels.ordered_dot(values, values[::-1].copy())
    projection = np.empty(count)
    if count > 0:
        kernels.simplex_projection(values * 1e-8, projection)
    return np.array([total, dot]).tobytes() + projection.tobytes()


WORKLOADS: dict[str, Callable[[Kernels, int, int], bytes]] = {
    "reduction": reduction_bits,
    "blend": blend_bits,
    "ewma": ewma_bits,
    "rolling": rolling_bits,
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("workload", WORKLOADS)
def test_every_tail_length_has_the_reference_bits(workload: str, level: str) -> None:
    """Lengths 0 to 33 cover empty, partial and several chunks of eight lanes."""
    native.set_level(level)
    for count in TAIL_LENGTHS:
        expected = WORKLOADS[workload](reference, count, count)
        assert WORKLOADS[workload](native, count, count) == expected, f"{workload} of {count} at {level}"


@pytest.mark.parametrize("level", LEVELS)
def test_complete_bars_have_the_reference_bits(level: str) -> None:
    """Without missing bars the kernel takes its plain form, which must not differ from the masked one."""
    native.set_level(level)
    for count in (1, 7, 8, 9, 64):
        assert rolling_bits(native, count, count, special_share=0.0) == rolling_bits(
            reference, count, count, special_share=0.0
        )


@settings(max_examples=500, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    symbol_count=st.integers(0, 40),
    windows=st.sets(st.integers(1, 12), min_size=1).map(lambda windows: tuple(sorted(windows))),
    extra_capacity=st.integers(0, 4),
    special_share=st.sampled_from((0.0, 0.02, 0.3, 1.0)),
    level=st.sampled_from(LEVELS),
)
def test_random_rolling_states_have_the_reference_bits(
    seed: int,
    symbol_count: int,
    windows: tuple[int, ...],
    extra_capacity: int,
    special_share: float,
    level: str,
) -> None:
    """Any windows, capacity and share of missing bars give the same bits."""
    native.set_level(level)
    capacity = max(2, windows[-1] + extra_capacity)
    results = [
        rolling_bits(kernels, seed, symbol_count, windows=windows, capacity=capacity, special_share=special_share)
        for kernels in (native, reference)
    ]
    assert results[0] == results[1]


@settings(max_examples=500, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    symbol_count=st.integers(0, 40),
    model_count=st.integers(1, 30),
    level=st.sampled_from(LEVELS),
)
def test_random_blends_and_averages_have_the_reference_bits(
    seed: int, symbol_count: int, model_count: int, level: str
) -> None:
    """Any shape with missing, infinite and subnormal inputs gives the same bits."""
    native.set_level(level)
    assert blend_bits(native, seed, symbol_count, model_count=model_count) == blend_bits(
        reference, seed, symbol_count, model_count=model_count
    )
    assert ewma_bits(native, seed, symbol_count, bars=4) == ewma_bits(reference, seed, symbol_count, bars=4)


@settings(max_examples=500, deadline=None)
@given(
    values=st.lists(
        st.one_of(
            st.floats(-2.0, 2.0),
            st.sampled_from((0.0, -0.0, 5e-324, 1e308, -1e308, 0.25, 1 / 3)),
            st.floats(allow_nan=False, allow_infinity=False),
        ),
        min_size=1,
        max_size=140,
    ),
    level=st.sampled_from(LEVELS),
)
def test_random_projections_have_the_reference_bits(values: list[float], level: str) -> None:
    """Any finite values, ties and extreme magnitudes included, project to the same bits."""
    native.set_level(level)
    array = np.array(values)
    ours, expected = np.empty(len(values)), np.empty(len(values))
    native.simplex_projection(array, ours)
    reference.simplex_projection(array, expected)
    assert same_bits(ours, expected)


@pytest.mark.parametrize("level", LEVELS)
def test_large_supports_take_the_heap_sort(level: str) -> None:
    """Hundreds of nearly equal weights all stay in the support, beyond the insertion sort's limit."""
    native.set_level(level)
    values = np.random.default_rng(3).normal(0.0, 1e-6, 700)
    ours, expected = np.empty(700), np.empty(700)
    native.simplex_projection(values, ours)
    reference.simplex_projection(values, expected)
    assert (expected > 0.0).all()
    assert same_bits(ours, expected)


def test_threads_compute_the_same_bits_at_once() -> None:
    """Kernels hold no shared state, so concurrent calls without the interpreter lock agree."""
    expected = [rolling_bits(reference, seed, 65) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda seed: rolling_bits(native, seed % 8, 65), range(64)))
    assert results == expected * 8


DIGEST_PROGRAM = """
import sys
sys.path[:0] = {path!r}
import test_native_kernels as contract
print(contract.native.level(), contract.digest(contract.native))
"""


def digest(kernels: Kernels) -> str:
    """Hash every workload at several sizes."""
    result = hashlib.sha256()
    for workload in WORKLOADS.values():
        for count in (1, 20, 100, 501):
            result.update(workload(kernels, count, count))
    return result.hexdigest()


@pytest.mark.parametrize("level", LEVELS)
def test_a_fresh_process_forced_to_a_level_has_the_same_hash(level: str) -> None:
    """The environment variable chooses the level at import and the hash of all outputs stays."""
    program = DIGEST_PROGRAM.format(path=[str(Path(__file__).parent), *sys.path])
    finished = subprocess.run(
        [sys.executable, "-c", program],
        env={"WALSTREET_NATIVE_LEVEL": level},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert finished.stdout.split() == [level, digest(reference)]


def test_a_level_this_processor_lacks_is_refused_at_import() -> None:
    """A wrong setting is not an ImportError, which would silently select the reference."""
    missing = next((level for level in native.compiled_levels() if level not in LEVELS), "sse9")
    finished = subprocess.run(
        [sys.executable, "-c", "import walstreet_native"],
        env={"WALSTREET_NATIVE_LEVEL": missing},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert finished.returncode == 1
    last_line = finished.stderr.strip().splitlines()[-1]
    assert last_line.startswith("ValueError: environment variable WALSTREET_NATIVE_LEVEL: level: value is")
    assert f"'{missing}'" in last_line
    assert ", ".join(LEVELS) in last_line


def test_baseline_is_always_offered() -> None:
    """The portable level comes first, and forcing it is visible."""
    assert LEVELS[0] == "baseline"
    native.set_level("baseline")
    assert native.level() == "baseline"
    with pytest.raises(ValueError, match="level: value is 'neon9', must be one this processor offers"):
        native.set_level("neon9")
    assert native.level() == "baseline"
    assert native.INTERFACE_VERSION == INTERFACE_VERSION


@pytest.mark.skipif(sys.platform != "linux", reason="the rounding mode is changed through glibc")
@pytest.mark.parametrize("level", LEVELS)
def test_a_changed_rounding_mode_does_not_reach_the_kernels(level: str) -> None:
    """Kernels run in the default mode and restore what they found."""
    upward, library = 0x800, CDLL(find_library("m"))
    native.set_level(level)
    values = np.full(33, 0.1)
    expected = native.ordered_sum(values)
    before = library.fegetround()
    try:
        assert library.fesetround(upward) == 0
        result, mode_after = native.ordered_sum(values), library.fegetround()
    finally:
        library.fesetround(before)
    assert (result, mode_after) == (expected, upward)


@pytest.mark.skipif(which("objdump") is None, reason="objdump is not installed")
def test_no_fused_multiply_add_was_compiled() -> None:
    """A fused operation rounds once instead of twice, so levels would differ."""
    code = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", native._native.__file__],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout
    assert "vfmadd" not in code
    assert "vfmsub" not in code
    assert "vfnmadd" not in code
    assert "mulpd" in code


def _read_only(shape: tuple[int, ...]) -> FloatArray:
    array = np.zeros(shape)
    array.flags.writeable = False
    return array


def _misaligned(count: int) -> FloatArray:
    return np.frombuffer(bytearray(8 * count + 1), dtype=np.float64, offset=1)


def _rolling(**changes: object) -> tuple[object, ...]:
    arguments: dict[str, object] = {
        "values": np.ones(3),
        "ring": np.zeros((1, 4, 8)),
        "bars_seen": np.zeros(1, dtype=np.int64),
        "windows": np.array([1, 4]),
        "planes": np.array([0, 3]),
        "status": np.zeros(3, dtype=np.uint8),
        "statistics": np.zeros((2, 2, 3)),
    }
    return tuple((arguments | changes).values())


def _ewma(**changes: object) -> tuple[object, ...]:
    arguments: dict[str, object] = {
        "values": np.ones(3),
        "alphas": np.array([0.5, 1.0]),
        "mean": np.zeros((2, 3)),
        "variance": np.zeros((2, 3)),
        "status": np.zeros(3, dtype=np.uint8),
    }
    return tuple((arguments | changes).values())


def _returns(**changes: object) -> tuple[object, ...]:
    arguments: dict[str, object] = {
        "ring": np.zeros((1, 4, 8)),
        "bars_seen": np.ones(1, dtype=np.int64),
        "lags": np.array([1, 3]),
        "returns": np.zeros((2, 3)),
    }
    return tuple((arguments | changes).values())


SHARED = np.zeros((2, 3))
BAD_CALLS: list[tuple[str, tuple[object, ...], type[Exception], str]] = [
    ("ordered_sum", ([1.0],), TypeError, "values: is a list, must be a numpy.ndarray of float64"),
    ("ordered_sum", (None,), TypeError, "values: is a NoneType"),
    ("ordered_sum", (np.ones(3, dtype=np.float32),), TypeError, "values: dtype is float32, must be float64"),
    ("ordered_sum", (np.ones(3, dtype=">f8"),), TypeError, "values: dtype is >f8"),
    ("ordered_sum", (np.array(["2020"], dtype="M8[s]"),), TypeError, "dtype is datetime64[s]"),
    ("ordered_sum", (np.ones((2, 2)),), ValueError, "values: shape is (2, 2), must have 1 dimension(s)"),
    ("ordered_sum", (np.ones(()),), ValueError, "values: shape is (), must have 1 dimension(s)"),
    ("ordered_sum", (np.ones(8)[::2],), ValueError, "values: is not C-contiguous (strides (16,))"),
    ("ordered_sum", (_misaligned(4),), ValueError, "values: is not aligned to 8 bytes"),
    ("ordered_sum", (np.array([1.0, np.nan]),), ValueError, "values[1]: value is nan, must be finite"),
    ("ordered_sum", (np.full(9, 1e308),), ValueError, "values: the sum overflows float64"),
    ("ordered_dot", (np.ones(2), np.ones(3)), ValueError, "right: shape is (3,), must be (2,) to agree with left"),
    ("ordered_dot", (np.array([1.0]), np.array([-np.inf])), ValueError, "right[0]: value is -inf"),
    ("ordered_dot", (np.array([np.inf]), np.array([1.0])), ValueError, "left[0]: value is inf"),
    ("simplex_projection", (np.ones(0), np.ones(0)), ValueError, "values: has 0 values, must have from 1 to"),
    ("simplex_projection", (np.ones(2), np.ones(3)), ValueError, "projection: shape is (3,), must be (2,)"),
    ("simplex_projection", (np.array([np.inf, 0.0]), np.ones(2)), ValueError, "values[0]: value is inf"),
    ("simplex_projection", (np.ones(2), _read_only((2,))), ValueError, "projection: is read-only"),
    ("simplex_projection", (SHARED[0], SHARED[0]), ValueError, "projection: shares memory with values"),
    ("blend", (np.ones((0, 3)), np.ones(0), np.ones(3), np.ones(3)), ValueError, "predictions: has 0 models"),
    ("blend", (np.ones((2, 3)), np.ones(3), np.ones(3), np.ones(3)), ValueError, "weights: shape is (3,)"),
    ("blend", (np.ones((2, 3)), np.ones(2), np.ones(2), np.ones(3)), ValueError, "blended: shape is (2,)"),
    ("blend", (np.ones((2, 3)), np.ones(2), np.ones(3), np.ones(4)), ValueError, "weight_present: shape is (4,)"),
    (
        "blend",
        (np.ones((2, 3)), np.array([1.0, -0.25]), np.ones(3), np.ones(3)),
        ValueError,
        "weights[1]: value is -0.25, must be from 0 to 1e+150",
    ),
    (
        "blend",
        (np.ones((2, 3)), np.array([1.0, np.nan]), np.ones(3), np.ones(3)),
        ValueError,
        "weights[1]: value is nan",
    ),
    ("blend", (SHARED, np.ones(2), SHARED[1], np.ones(3)), ValueError, "blended: shares memory with predictions"),
    (
        "blend",
        (np.ones((2, 3)).T.copy().T, np.ones(2), np.ones(3), np.ones(3)),
        ValueError,
        "predictions: is not C-contiguous",
    ),
    ("ewma_update", _ewma(alphas=np.array([0.5, 0.0])), ValueError, "alphas[1]: value is 0.0, must be from"),
    ("ewma_update", _ewma(alphas=np.array([0.5, 1.5])), ValueError, "alphas[1]: value is 1.5"),
    ("ewma_update", _ewma(alphas=np.full(65, 0.5)), ValueError, "alphas: has 65 decays, must have from 1 to 64"),
    ("ewma_update", _ewma(mean=np.zeros((3, 2))), ValueError, "mean: shape is (3, 2), must be (2, 3)"),
    ("ewma_update", _ewma(variance=_read_only((2, 3))), ValueError, "variance: is read-only"),
    ("ewma_update", _ewma(mean=SHARED, variance=SHARED), ValueError, "mean: shares memory with variance"),
    ("ewma_update", _ewma(status=np.zeros(3)), TypeError, "status: dtype is float64, must be uint8"),
    ("rolling_update", _rolling(values=np.ones(9)), ValueError, "ring: shape is (1, 4, 8), must be (2, 4, 8)"),
    ("rolling_update", _rolling(ring=np.zeros((1, 4, 7))), ValueError, "ring: shape is (1, 4, 7)"),
    ("rolling_update", _rolling(ring=np.zeros((1, 0, 8))), ValueError, "ring: has 0 bars, must have from 1 to"),
    ("rolling_update", _rolling(windows=np.array([1, 5])), ValueError, "windows[1]: value is 5, must be from 1 to 4"),
    ("rolling_update", _rolling(windows=np.array([0, 4])), ValueError, "windows[0]: value is 0"),
    ("rolling_update", _rolling(windows=np.array([4, 4])), ValueError, "windows[1]: value is 4 after 4"),
    ("rolling_update", _rolling(windows=np.array([1.0, 4.0])), TypeError, "windows: dtype is float64"),
    ("rolling_update", _rolling(planes=np.array([3, 0])), ValueError, "planes[1]: value is 0 after 3"),
    ("rolling_update", _rolling(planes=np.array([0, 10])), ValueError, "planes[1]: value is 10, must be from 0 to 9"),
    ("rolling_update", _rolling(bars_seen=np.array([-1])), ValueError, "bars_seen[0]: value is -1"),
    ("rolling_update", _rolling(bars_seen=np.array([1, 1])), ValueError, "bars_seen: shape is (2,)"),
    ("rolling_update", _rolling(statistics=np.zeros((2, 3, 3))), ValueError, "statistics: shape is (2, 3, 3)"),
    ("rolling_update", _rolling(status=np.zeros(4, dtype=np.uint8)), ValueError, "status: shape is (4,)"),
    ("ring_returns", _returns(lags=np.array([1, 4])), ValueError, "lags[1]: value is 4, must be from 1 to 3"),
    ("ring_returns", _returns(lags=np.array([0, 1])), ValueError, "lags[0]: value is 0"),
    ("ring_returns", _returns(returns=np.zeros((2, 9))), ValueError, "ring: shape is (1, 4, 8), must be (2, 4, 8)"),
    ("ring_returns", _returns(returns=np.zeros((3, 3))), ValueError, "returns: shape is (3, 3), must be (2, 3)"),
    ("ring_returns", _returns(ring=np.zeros((1, 1, 8))), ValueError, "ring: has 1 bars, must have from 2 to"),
]


@pytest.mark.parametrize(
    ("function", "arguments", "error", "words"), BAD_CALLS, ids=[f"{call[0]}-{call[3][:40]}" for call in BAD_CALLS]
)
def test_both_refuse_bad_arguments_in_the_same_words(
    function: str, arguments: tuple[object, ...], error: type[Exception], words: str
) -> None:
    """Each message names the argument, the value and the remedy, whichever kernels run."""
    messages = []
    for kernels in (native, reference):
        with pytest.raises(error) as caught:
            getattr(kernels, function)(*arguments)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert words in messages[0]
    assert "; " in messages[0]


def test_a_refused_update_leaves_the_state_untouched() -> None:
    """Checks come before the first write, so a wrong call cannot half-apply a bar."""
    for kernels in (native, reference):
        arguments = _rolling(windows=np.array([1, 5]))
        before = [np.array(argument) for argument in arguments]
        with pytest.raises(ValueError, match="windows"):
            kernels.rolling_update(*arguments)
        assert all(same_bits(np.asarray(now), then) for now, then in zip(arguments, before, strict=True))


def test_planes_not_asked_for_are_not_computed_into_others() -> None:
    """Any selection of statistics equals the same rows of the full table."""
    full = RollingBank.create(windows_bars=(2, 5), capacity_bars=5, symbol_count=11)
    part = RollingBank.create(
        windows_bars=(2, 5),
        capacity_bars=5,
        symbol_count=11,
        statistics=(Statistic.SCORE, Statistic.SUM),
    )
    for values in sample(1, (9, 11), special_share=0.1):
        for kernels in (native, reference):
            for bank in (full, part):
                saved = (bank.ring.copy(), bank.bars_seen.copy())
                kernels.rolling_update(
                    values,
                    bank.ring,
                    bank.bars_seen,
                    bank.windows_bars,
                    bank.planes,
                    bank.status,
                    bank.statistics,
                )
                if kernels is native:
                    bank.ring[:], bank.bars_seen[:] = saved
            for statistic in (Statistic.SUM, Statistic.SCORE):
                assert same_bits(part.plane(statistic), full.plane(statistic))
