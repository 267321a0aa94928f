"""Owns the peer of the rotation's benchmark: the same strategy in numba, as somebody who wants it fast would write it.

What points and windows share is computed once: averages, scores and their order, gates and correlation caps as bits,
correlations that slide in constant time. Books hold at most three names. Windows and points, or permuted runs, go to
numba's threads; a permuted run starts from the state before its window. The peer knows what the benchmark needs:
inverse volatility, water-filled caps, bonus and floor of held names, the band, costs without a minimum.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from walstreet.domain.units import BPS, FloatArray, IntArray
from walstreet.research.swing_types import DAYS_PER_YEAR, SwingBars, SwingParameters, Window

NAMES_MAX: Final = 3
"""Names that a peer's book has room for."""
SYMBOLS_MAX: Final = 62
VARIANCE_SHARE_MIN: Final = 1e-12

Jit = Callable[..., Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerProblem:
    """The benchmark's work as plain arrays."""

    prices: tuple[FloatArray, FloatArray, FloatArray, FloatArray]
    """Open, high, low, close, (T, S) each."""
    emas: IntArray
    """(E,) windows: the fast ones, then the slow ones."""
    fast_count: int
    caps: FloatArray
    """(C,) distinct caps."""
    points: IntArray
    """(G, 4) places of the fast one, the slow one and the cap, and the most names."""
    numbers: FloatArray
    windows: IntArray
    """(W, 2) first and last row."""


def make_problem(bars: SwingBars, grid: Sequence[SwingParameters], windows: Sequence[Window]) -> PeerProblem:
    """Return the work of a grid whose points differ in the document's four fields only."""
    fasts, slows = sorted({p.ema_fast for p in grid}), sorted({p.ema_slow for p in grid})
    caps = sorted({p.corr_cap for p in grid})
    assert max(p.top_n for p in grid) <= NAMES_MAX, "the peer's book is small"
    assert len(bars.symbols) <= SYMBOLS_MAX, "the peer's masks are"
    first = grid[0]
    numbers = (
        first.atr_window,
        first.corr_window,
        first.vol_window,
        first.min_score,
        first.hold_bonus,
        first.hold_floor,
        first.max_weight,
        1.0 - first.cash_buffer,
        first.band,
        first.commission_per_share,
        first.slippage_bps / BPS,
    )
    points = [(fasts.index(p.ema_fast), slows.index(p.ema_slow), caps.index(p.corr_cap), p.top_n) for p in grid]
    return PeerProblem(
        prices=(bars.open, bars.high, bars.low, bars.close),
        emas=np.array(fasts + slows, dtype=np.int64),
        fast_count=len(fasts),
        caps=np.array(caps),
        points=np.array(points, dtype=np.int64),
        numbers=np.array(numbers),
        windows=np.array([(window.train_first, window.train_last) for window in windows], dtype=np.int64),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NumbaPeer:
    """The compiled functions."""

    net: Callable[[PeerProblem, int, int], FloatArray]
    """Daily net returns of the first point from a row to a row."""
    calmars: Callable[[PeerProblem], FloatArray]
    """(W, G)."""
    permuted: Callable[[PeerProblem, IntArray], FloatArray]
    """(R, W) best Calmar, from orders (R, W, rows)."""
    set_threads: Callable[[int], None]


@functools.cache
def numba_peer() -> NumbaPeer | None:
    """Return the peer, or None where numba is not installed."""
    try:
        import numba  # noqa: PLC0415 - an extra of the benchmark
    except ImportError:
        return None
    return _compile(numba)


def _compile(numba: Any) -> NumbaPeer:
    jit: Jit = numba.njit(error_model="numpy")
    parallel: Jit = numba.njit(error_model="numpy", parallel=True)
    turn, simulate, calmar = _turn(jit), _simulation(jit), jit(_calmar)
    start, take = jit(_start), jit(_take)
    table_of, grid = _table(jit, start, turn, take), _grid(parallel, simulate, calmar, numba.prange)
    runs = _runs(parallel, (start, turn, take, simulate, calmar), numba.prange)

    def table(problem: PeerProblem) -> Any:
        return table_of(problem.prices, problem.emas, problem.fast_count, problem.caps, problem.numbers)

    def net(problem: PeerProblem, first: int, last: int) -> FloatArray:
        result: FloatArray = simulate(table(problem), problem.points[0], problem.numbers, first, last)
        return result

    def calmars(problem: PeerProblem) -> FloatArray:
        result: FloatArray = grid(table(problem), problem.points, problem.numbers, problem.windows)
        return result

    def permuted(problem: PeerProblem, orders: IntArray) -> FloatArray:
        result: FloatArray = runs(
            problem.prices,
            (problem.emas, problem.fast_count, problem.caps),
            problem.points,
            problem.numbers,
            problem.windows,
            orders,
        )
        return result

    return NumbaPeer(net=net, calmars=calmars, permuted=permuted, set_threads=numba.set_num_threads)


def _start(emas, symbols, rows):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Return what symbols remember before the first row."""
    return (
        np.zeros((len(emas), symbols)),  # levels
        np.full((2, symbols), np.nan),  # newest close, close of the row before
        np.zeros((3, symbols)),  # bars, known returns in a row, sums of returns
        np.zeros((2, symbols)),  # ATR and its seed
        np.zeros((symbols, symbols)),  # sums of products
        np.zeros((rows, symbols)),  # returns
        np.zeros(symbols),  # growth
    )


def _take(days, symbols, emas, fast_count, caps):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Return empty tables of so many days."""
    slow_count = len(emas) - fast_count
    return (
        np.zeros((days, symbols)),  # growth
        np.zeros((days, symbols)),  # close
        np.zeros((days, symbols)),  # inverse volatility
        np.zeros((days, fast_count, symbols)),  # score
        np.zeros((days, fast_count, symbols), dtype=np.int64),  # symbols by score
        np.zeros((days, fast_count), dtype=np.int64),  # how many of them
        np.zeros((days, fast_count, slow_count, 2), dtype=np.int64),  # who may enter, who may stay
        np.zeros((days, len(caps), symbols), dtype=np.int64),  # who may stand beside whom
    )


def _turn(jit: Jit) -> Callable[..., Any]:
    averages, gates, bits = jit(_averages), jit(_gates), jit(_cap_bits)

    def turn(state, table, place, at, prices, setting, numbers):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, PLR0917
        """Move the state by one row, place of its returns, and write the table's day ``at``, if there is one."""
        emas, fast_count, caps = setting
        averages(state, place, prices, emas, numbers)
        if at >= 0:
            gates(state, table, place, at, prices[2], fast_count, numbers)
            bits(state, table, at, caps, numbers)

    compiled: Callable[..., Any] = jit(turn)
    return compiled


def _averages(state, place, prices, emas, numbers):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Move averages, true ranges and the sums that slide."""
    level, last, counts, atr, products, history, growth = state
    highs, lows, closes = prices
    atr_window, now, old = numbers[0], place, place - int(numbers[1])
    symbols = len(growth)
    for s in range(symbols):
        close, before, previous = closes[s], last[0, s], last[1, s]
        last[1, s] = close
        growth[s] = 0.0
        if np.isnan(close):
            counts[1, s] = 0.0
            continue
        span = highs[s] - lows[s]
        if counts[0, s] > 0.0:
            growth[s] = close / before - 1.0
            span = max(span, abs(highs[s] - before), abs(lows[s] - before))
        counts[1, s] = 0.0 if np.isnan(previous) else counts[1, s] + 1.0
        if not np.isnan(previous):
            history[now, s] = close / previous - 1.0
        counts[0, s] += 1.0
        last[0, s] = close
        for e in range(len(emas)):
            step = 2.0 / (emas[e] + 1.0) * (close - level[e, s])
            level[e, s] = close if counts[0, s] == 1.0 else level[e, s] + step
        if counts[0, s] <= atr_window:
            atr[1, s] += span
            atr[0, s] = atr[1, s] / atr_window
        else:
            atr[0, s] = (atr[0, s] * (atr_window - 1.0) + span) / atr_window
    for s in range(symbols):
        counts[2, s] += history[now, s] - history[old, s]
        for other in range(s + 1):
            products[s, other] += history[now, s] * history[now, other] - history[old, s] * history[old, other]


def _gates(state, table, place, at, closes, fast_count, numbers):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, PLR0917
    """Write scores, their order and who passes which gate."""
    level, last, counts, atr, _, history, growth = state
    growths, prices, raws, scores, order, ordered, passing, _ = table
    atr_window, corr_window, vol_window = numbers[0], numbers[1], int(numbers[2])
    for s in range(len(growth)):
        growths[at, s] = growth[s]
        prices[at, s] = last[0, s]
        if counts[1, s] < vol_window or counts[1, s] < corr_window or counts[0, s] < atr_window:
            continue
        mean = 0.0
        for lag in range(vol_window):
            mean += history[place - lag, s]
        mean /= vol_window
        squares = 0.0
        for lag in range(vol_window):
            squares += (history[place - lag, s] - mean) ** 2
        raws[at, s] = 1.0 / max(np.sqrt(squares / (vol_window - 1.0)), 1e-9)
        for f in range(fast_count):
            score = (closes[s] / level[f, s] - 1.0) / max(atr[0, s] / closes[s], 1e-6)
            enters = score >= numbers[3] and closes[s] >= level[f, s]
            stays = numbers[4] > 0.0 and score >= numbers[5]
            scores[at, f, s] = score
            for slow in range(len(level) - fast_count):
                if level[f, s] > level[fast_count + slow, s]:
                    passing[at, f, slow, 0] |= enters << s
                    passing[at, f, slow, 1] |= stays << s
            rank = ordered[at, f]
            if enters:
                ordered[at, f] += 1
                while rank > 0 and scores[at, f, order[at, f, rank - 1]] < score:
                    order[at, f, rank] = order[at, f, rank - 1]
                    rank -= 1
                order[at, f, rank] = s


def _cap_bits(state, table, at, caps, numbers):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Write which symbols may stand beside each other, by cap."""
    counts, products = state[2], state[4]
    beside = table[7]
    window = numbers[1]
    symbols = products.shape[0]
    for s in range(symbols):
        own = products[s, s] - counts[2, s] * counts[2, s] / window
        for other in range(s):
            theirs = products[other, other] - counts[2, other] * counts[2, other] / window
            both = products[s, other] - counts[2, s] * counts[2, other] / window
            if min(own / products[s, s], theirs / products[other, other]) > VARIANCE_SHARE_MIN:
                value = abs(both / np.sqrt(own * theirs))
                for cap in range(len(caps)):
                    beside[at, cap, s] |= (value <= caps[cap]) << other
                    beside[at, cap, other] |= (value <= caps[cap]) << s


def _table(jit: Jit, start: Jit, turn: Jit, take: Jit) -> Callable[..., Any]:
    def table(prices, emas, fast_count, caps, numbers):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        _, highs, lows, closes = prices
        days, symbols = closes.shape
        before = int(max(numbers[1], numbers[2])) + 1
        state = start(emas, symbols, before + days)
        result = take(days, symbols, emas, fast_count, caps)
        for row in range(days):
            turn(
                state,
                result,
                before + row,
                row,
                (highs[row], lows[row], closes[row]),
                (emas, fast_count, caps),
                numbers,
            )
        return result

    compiled: Callable[..., Any] = jit(table)
    return compiled


def _choose(table, day, point, keeps, bonus, book, names):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, PLR0917
    """Write the chosen symbols in universe order and return how many."""
    scores, order, ordered, passing, beside = table[3], table[4], table[5], table[6], table[7]
    fast, slow, cap, most = point
    enter, stay = passing[day, fast, slow, 0], passing[day, fast, slow, 1]
    held = 0
    for index in range(book[0]):
        held |= 1 << book[1][index]
    kept = held & stay if keeps else 0
    fresh = enter & ~held if keeps else enter
    count, chosen, place = 0, 0, 0
    while count < most:
        while place < ordered[day, fast] and not (fresh >> order[day, fast, place]) & 1:
            place += 1
        best, best_key = -1, 0.0
        for index in range(book[0]):
            s = book[1][index]
            key = scores[day, fast, s] + bonus
            if (kept >> s) & 1 and (best < 0 or key > best_key):
                best, best_key = s, key
        if place < ordered[day, fast]:
            s = order[day, fast, place]
            key = scores[day, fast, s]
            if best < 0 or key > best_key or (key == best_key and s < best):
                best, place = s, place + 1
        if best < 0:
            break
        kept &= ~(1 << best)
        if chosen & ~beside[day, cap, best] == 0:
            chosen |= 1 << best
            at = count
            while at > 0 and names[at - 1] > best:
                names[at] = names[at - 1]
                at -= 1
            names[at] = best
            count += 1
    return count


def _weigh(raw, names, count, budget, cap, weights):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, PLR0917
    """Write water-filled weights of the chosen symbols."""
    rest, full_before = budget, 0
    for _ in range(count + 1):
        total = 0.0
        for index in range(count):
            if not (full_before >> index) & 1:
                total += raw[names[index]]
        full = full_before
        for index in range(count):
            if not (full_before >> index) & 1:
                weights[index] = raw[names[index]] / total * rest
                if weights[index] > cap:
                    weights[index] = cap
                    full |= 1 << index
        if full == full_before:
            break
        newly = 0
        for index in range(count):
            newly += ((full ^ full_before) >> index) & 1
        rest = max(0.0, rest - cap * newly)
        full_before = full


def _rebalance(moves, prices, commission, slippage):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Return the cost of moves by symbol."""
    cost = 0.0
    for s in range(len(moves)):
        size = abs(moves[s])
        if size > 0.0:
            cost += size * commission / prices[s] + size * slippage
    return cost


def _simulation(jit: Jit) -> Callable[..., Any]:
    choose, weigh, rebalance = jit(_choose), jit(_weigh), jit(_rebalance)

    def simulate(table, point, numbers, first, last):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        growth, prices, raw = table[0], table[1], table[2]
        keeps = numbers[4] > 0.0
        net = np.empty(last + 1 - first)
        moves = np.zeros(growth.shape[1])
        names, wanted_names = np.zeros(NAMES_MAX, np.int64), np.zeros(NAMES_MAX, np.int64)
        weights, wanted = np.zeros(NAMES_MAX), np.zeros(NAMES_MAX)
        held_count = 0
        for day in range(first, last + 1):
            gross = 0.0
            for index in range(held_count):
                gross += weights[index] * growth[day, names[index]]
            for index in range(held_count):
                weights[index] = weights[index] * (1.0 + growth[day, names[index]]) / (1.0 + gross)
                moves[names[index]] = -weights[index]
            count = choose(table, day, point, keeps, numbers[4], (held_count, names), wanted_names)
            weigh(raw[day], wanted_names, count, numbers[7], numbers[6], wanted)
            largest = 0.0
            for index in range(count):
                moves[wanted_names[index]] += wanted[index]
                largest = max(largest, abs(moves[wanted_names[index]]))
            for index in range(held_count):
                largest = max(largest, abs(moves[names[index]]))
            cost = 0.0
            if largest > numbers[8]:
                cost = rebalance(moves, prices[day], numbers[9], numbers[10])
            for index in range(held_count):
                moves[names[index]] = 0.0
            for index in range(count):
                moves[wanted_names[index]] = 0.0
            if largest > numbers[8]:
                held_count = count
                names[:], weights[:] = wanted_names, wanted
            net[day - first] = gross - cost
        return net

    compiled: Callable[..., Any] = jit(simulate)
    return compiled


def _calmar(net):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Return CAGR over the largest drawdown, 0 without one."""
    equity, peak, fall = 1.0, 1.0, 0.0
    for day in range(len(net)):
        equity *= 1.0 + net[day]
        peak = max(peak, equity)
        fall = max(fall, 1.0 - equity / peak)
    return (equity ** (DAYS_PER_YEAR / len(net)) - 1.0) / fall if fall > 0.0 else 0.0


def _grid(parallel: Jit, simulate: Jit, calmar: Jit, prange: Any) -> Callable[..., Any]:
    def grid(table, points, numbers, windows):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        values = np.empty((len(windows), len(points)))
        for task in prange(len(windows) * len(points)):
            window, point = task // len(points), task % len(points)
            net = simulate(table, points[point], numbers, windows[window, 0], windows[window, 1])
            values[window, point] = calmar(net)
        return values

    compiled: Callable[..., Any] = parallel(grid)
    return compiled


def _runs(parallel: Jit, parts: tuple[Jit, Jit, Jit, Jit, Jit], prange: Any) -> Callable[..., Any]:
    start, turn, take, simulate, calmar = parts

    def runs(sides, setting, points, numbers, windows, orders):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, PLR0917
        opens, highs, lows, closes = sides
        emas, fast_count, caps = setting
        symbols = closes.shape[1]
        best = np.empty((orders.shape[0], len(windows)))
        for window in range(len(windows)):
            first, last = windows[window]
            days = last + 1 - first
            kept = int(max(numbers[1], numbers[2])) + 1
            before = start(emas, symbols, kept + first)
            none = take(1, symbols, emas, fast_count, caps)
            for row in range(first):
                turn(before, none, kept + row, -1, (highs[row], lows[row], closes[row]), setting, numbers)
            gap, high, low, close = (
                opens[first : last + 1] / closes[first - 1 : last],
                highs[first : last + 1] / opens[first : last + 1],
                lows[first : last + 1] / opens[first : last + 1],
                closes[first : last + 1] / opens[first : last + 1],
            )
            for s in range(symbols):
                if np.isnan(gap[:, s]).any():
                    gap[:, s] = np.nan
            for run in prange(orders.shape[0]):
                state = (
                    before[0].copy(),
                    before[1].copy(),
                    before[2].copy(),
                    before[3].copy(),
                    before[4].copy(),
                    np.concatenate((before[5][first:], np.zeros((days, symbols)))),
                    np.zeros(symbols),
                )
                table = take(days, symbols, emas, fast_count, caps)
                newest = closes[first - 1].copy()
                for day in range(days):
                    source = orders[run, window, day]
                    opened = newest * gap[source]
                    newest = opened * close[source]
                    prices = (opened * high[source], opened * low[source], newest)
                    turn(state, table, kept + day, day, prices, setting, numbers)
                top = -np.inf
                for point in range(len(points)):
                    top = max(top, calmar(simulate(table, points[point], numbers, 0, days - 1)))
                best[run, window] = top
        return best

    compiled: Callable[..., Any] = parallel(runs)
    return compiled
