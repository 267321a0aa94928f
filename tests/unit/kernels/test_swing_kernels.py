"""Owns what the native rotation engine refuses, how it says that it is not there, and its edges by example."""

from collections.abc import Iterator

import msgspec
import numpy as np
import pytest

from walstreet import kernels
from walstreet.domain.counter_random import uniform_words
from walstreet.kernels import swing
from walstreet.kernels.swing import SWING_COLUMNS, swing_implementation, swing_word_order
from walstreet.research.permutation import permutation_key, permutation_order
from walstreet.research.swing_engine import ReferenceEngine
from walstreet.research.swing_native import NativeEngine, choose_engine, key_digest, point_table
from walstreet.research.swing_types import SwingBars, SwingParameters, Window

POINT = SwingParameters(
    ema_fast=3, ema_slow=6, atr_window=4, corr_window=10, vol_window=5, first_day=20, last_day=79, corr_cap=0.99
)
DAYS, SYMBOLS = 80, 4
needs_native = pytest.mark.skipif(swing_implementation()[0] != "native", reason=swing_implementation()[1])


@pytest.fixture
def _reference() -> Iterator[None]:
    before = kernels.implementation()
    kernels.select("reference")
    yield
    kernels.select(before.name, level=before.level if before.name == "native" else None)


def make_bars(days: int = DAYS, symbols: int = SYMBOLS, seed: int = 7) -> SwingBars:
    """Return seeded bars without holes."""
    generator = np.random.default_rng(seed)
    close = 50.0 * np.exp(np.add.accumulate(generator.normal(0.001, 0.01, (days, symbols)), axis=0))
    opens = close * np.exp(generator.normal(0.0, 0.002, (days, symbols)))
    high, low = np.maximum(opens, close) * 1.002, np.minimum(opens, close) * 0.998
    names = tuple("ABCDEFGHIJ"[:symbols])
    return SwingBars(symbols=names, dates=np.arange(days, dtype=np.int32), open=opens, high=high, low=low, close=close)


def run_segments(bars: SwingBars, points: np.ndarray, segments: list[tuple[int, int]]) -> None:
    """Call the kernel with what a test has broken."""
    swing.swing_simulate(bars.high, bars.low, bars.close, points=points, segments=np.array(segments, dtype=np.int64))


def run_windows(windows: list[tuple[int, int]], *, threads: int = 1, objective: str = "Calmar") -> None:
    """Call the grid's kernel with what a test has broken."""
    bars = make_bars()
    swing.swing_objectives(
        bars.high,
        bars.low,
        bars.close,
        points=point_table([POINT]),
        windows=np.array(windows, dtype=np.int64),
        covered=None,
        objective=objective,
        threads=threads,
    )


@needs_native
def test_the_words_order_rows_like_the_reference() -> None:
    """Native and domain generator give one order for any length, an odd one and none included."""
    for count in (0, 1, 2, 3, 7, 64, 755, 756, 4_099):
        key = permutation_key(42, count, 5)
        words = uniform_words(key, count)
        expected = np.argsort(words, kind="stable")
        got = swing_word_order(np.array(key_digest(key), dtype=np.int64), count)
        assert got.tolist() == expected.tolist()
    window = Window(train_first=0, train_last=99, test_first=100, test_last=101)
    digest = np.array(key_digest(permutation_key(1, 2, 3)), dtype=np.int64)
    assert swing_word_order(digest, 99).tolist() == permutation_order(1, 2, 3, window).tolist()


@needs_native
@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("ema_fast", 0.0, "ema_fast is 0.0, must be a whole number from 1.0 to 2000.0"),
        ("ema_slow", 2.5, "ema_slow is 2.5, must be a whole number"),
        ("corr_window", 1.0, "corr_window is 1.0"),
        ("top_n", np.nan, "top_n is nan"),
        ("corr_cap", 1.5, "corr_cap is 1.5, must be from -1.0 to 1.0"),
        ("max_weight", np.inf, "max_weight is inf"),
        ("regime_column", float(SYMBOLS), f"regime_column is {SYMBOLS}.0, must be a whole number from -1.0 to 3.0"),
        ("equity_start_usd", 0.0, "equity_start_usd is 0.0"),
    ],
)
def test_parameters_out_of_range_are_refused_by_name(column: str, value: float, message: str) -> None:
    """The message names the point, the column, the value and the range."""
    points = point_table([POINT])
    points[0, SWING_COLUMNS.index(column)] = value
    with pytest.raises(ValueError, match=rf"points\[0, \d+\]: {message}"):
        run_segments(make_bars(), points, [(20, 79)])


@needs_native
@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ([(20, 80)], r"segments\[0\]: rows are 20 to 80, must be from 0 to 79"),
        ([(-1, 40)], r"segments\[0\]: rows are -1 to 40"),
        ([(40, 20)], r"segments\[0\]: rows are 40 to 20"),
        ([(20, 40), (42, 60)], r"segments\[1\]: begins on row 42, must follow row 40"),
    ],
)
def test_segments_outside_the_bars_or_with_gaps_are_refused(segments: list[tuple[int, int]], message: str) -> None:
    """Nothing is read beyond the bars, and no day is skipped."""
    points = point_table([POINT] * len(segments))
    with pytest.raises(ValueError, match=message):
        run_segments(make_bars(), points, segments)


@needs_native
def test_windows_threads_and_objectives_out_of_range_are_refused() -> None:
    """A window beyond the bars, no thread, too many of them, an unknown objective."""
    with pytest.raises(ValueError, match=r"windows\[1\]: rows are 10 to 80"):
        run_windows([(0, 5), (10, 80)])
    for threads in (0, 65):
        with pytest.raises(ValueError, match=f"threads: value is {threads}, must be from 1 to 64"):
            run_windows([(0, 5)], threads=threads)
        with pytest.raises(ValueError, match=f"threads: value is {threads}"):
            NativeEngine(threads=threads)
    with pytest.raises(ValueError, match="objective: value is 'Sortino'"):
        run_windows([(0, 5)], objective="Sortino")


@needs_native
@pytest.mark.parametrize("value", [0.0, -1.0, np.inf, np.nan])
@pytest.mark.parametrize("side", ["high", "low", "close"])
def test_prices_that_are_no_prices_are_refused(side: str, value: float) -> None:
    """A price is positive and finite where a bar exists; NaN on one side only is no bar."""
    bars = make_bars()
    sides = {name: getattr(bars, name).copy() for name in ("high", "low", "close")}
    sides[side][33, 2] = value
    named = "high" if side == "close" and np.isnan(value) else side
    with pytest.raises(ValueError, match=rf"{named}\[33, 2\]: value is .*positive and finite where a bar exists"):
        swing.swing_simulate(
            sides["high"],
            sides["low"],
            sides["close"],
            points=point_table([POINT]),
            segments=np.array([(20, 79)], dtype=np.int64),
        )


@needs_native
def test_arrays_of_other_kinds_and_shapes_are_refused() -> None:
    """Element type, contiguity, columns and the keys' words are checked before anything runs."""
    bars, points = make_bars(), point_table([POINT])
    rows = np.array([(20, 79)], dtype=np.int64)
    with pytest.raises(TypeError, match="high: dtype is float32"):
        swing.swing_simulate(bars.high.astype(np.float32), bars.low, bars.close, points=points, segments=rows)
    with pytest.raises(ValueError, match="low: is not C-contiguous"):
        swing.swing_simulate(bars.high, np.asfortranarray(bars.low), bars.close, points=points, segments=rows)
    with pytest.raises(ValueError, match=r"points: shape is \(1, 25\)"):
        run_segments(bars, np.ascontiguousarray(points[:, :-1]), [(20, 79)])
    with pytest.raises(ValueError, match="32-bit word"):
        swing_word_order(np.array([0, 0, 0, 1 << 32], dtype=np.int64), 5)


@needs_native
def test_a_name_that_begins_late_is_chosen_only_with_full_windows() -> None:
    """A symbol without a full correlation window has weight 0, and no other day knows of it."""
    bars, start = make_bars(), 50
    for side in (bars.open, bars.high, bars.low, bars.close):
        side[:start, 1] = np.nan
    held = NativeEngine().simulate(bars, [POINT]).held
    first_ready = start + POINT.corr_window - POINT.first_day
    assert not held[:first_ready, 1].any()
    without = SwingBars(
        symbols=("A", "C", "D"),
        dates=bars.dates,
        **{side: np.ascontiguousarray(getattr(bars, side)[:, [0, 2, 3]]) for side in ("open", "high", "low", "close")},
    )
    alone = NativeEngine().simulate(without, [POINT]).held
    assert held[:first_ready][:, [0, 2, 3]].tobytes() == alone[:first_ready].tobytes()


@needs_native
def test_ties_go_to_the_earlier_column() -> None:
    """Of two equal symbols with a perfect correlation only the one that comes first is ever held."""
    bars = make_bars()
    for side in (bars.open, bars.high, bars.low, bars.close):
        side[:, 2] = side[:, 0]
    held = NativeEngine().simulate(bars, [msgspec.structs.replace(POINT, corr_cap=0.9)]).held
    assert held[:, 0].any()
    assert not held[:, 2].any()


@needs_native
def test_constant_prices_are_never_correlated_with_anything() -> None:
    """Returns without variance have no correlation, so that such a name stands alone; like the reference."""
    bars = make_bars()
    for side in (bars.open, bars.high, bars.low, bars.close):
        side[:, 0] = 10.0
    point = msgspec.structs.replace(POINT, min_score=-5.0, hold_bonus=0.0)
    ours, theirs = NativeEngine().simulate(bars, [point]), ReferenceEngine().simulate(bars, [point])
    assert ours.held.tobytes() == theirs.held.tobytes()


@needs_native
def test_correlations_at_the_cap_are_decided_by_the_conventions_arithmetic() -> None:
    """A cap that is one correlation's exact value admits the pair, the float below it does not; like the reference."""
    bars = make_bars(symbols=2)
    point = msgspec.structs.replace(POINT, min_score=-5.0, hold_bonus=0.0, band=0.0, corr_cap=1.0)
    engine, reference = NativeEngine(), ReferenceEngine()
    from walstreet.domain.rotation_indicators import rolling_correlation, row_returns

    returns = row_returns(bars.close)
    values = np.abs(rolling_correlation(returns[:, 0], returns[:, 1], POINT.corr_window))
    both = np.flatnonzero((engine.simulate(bars, [point]).target > 0.0).all(axis=1))
    assert len(both) > 5
    for row in both.tolist():
        for cap, is_admitted in ((values[row + 20], True), (np.nextafter(values[row + 20], -1.0), False)):
            at_cap = msgspec.structs.replace(point, corr_cap=float(cap))
            ours = engine.simulate(bars, [at_cap])
            assert bool((ours.target[row] > 0.0).all()) is is_admitted
            assert ours.target.tobytes() == reference.simulate(bars, [at_cap]).target.tobytes()


def test_weights_by_risk_are_left_to_the_reference() -> None:
    """The choice says why; the native engine itself refuses the point by name."""
    point = msgspec.structs.replace(POINT, weight_method="hrp")
    choice = choose_engine([POINT, point], threads=2)
    assert choice.name == "reference"
    assert isinstance(choice.engine, ReferenceEngine)
    if swing_implementation()[0] == "native":
        assert "'hrp'" in choice.reason
        with pytest.raises(ValueError, match="grid point 1: weight_method is 'hrp'"):
            point_table([POINT, point])


@needs_native
def test_the_native_engine_is_chosen_where_it_runs() -> None:
    """With inverse volatility alone, native kernels and any number of threads."""
    choice = choose_engine([POINT], threads=3)
    assert choice.name == "native"
    assert choice.engine == NativeEngine(threads=3)


@pytest.mark.usefixtures("_reference")
def test_a_process_of_reference_kernels_never_runs_the_native_engine() -> None:
    """The engine refuses, the choice falls back, and both give the reason."""
    name, reason = swing_implementation()
    assert name == "reference"
    choice = choose_engine([POINT], threads=2)
    assert choice.name == "reference"
    assert choice.reason == reason
    with pytest.raises(kernels.KernelsUnavailableError, match="native rotation engine was asked for"):
        NativeEngine().simulate(make_bars(), [POINT])


@needs_native
def test_the_columns_are_those_of_the_compiled_engine() -> None:
    """A wheel with other columns would be refused; every column is a parameter or a flag made from one."""
    from walstreet_native import swing as compiled

    assert tuple(compiled.swing_columns()) == SWING_COLUMNS
    fields = {field.name for field in msgspec.structs.fields(SwingParameters)}
    assert set(SWING_COLUMNS) - fields == {"clips", "settles_later"}
    left_out = fields - set(SWING_COLUMNS)
    assert left_out == {"cap_mode", "settlement", "weight_method", "macd_signal", "first_day", "last_day"}
