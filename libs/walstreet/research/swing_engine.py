"""Owns the NumPy reference engine of the daily rotation: the oracle of the native one, and complete by itself.

The conventions, step by step, are in ``swing_types``. The strategy is ``walstreet.domain.rotation``, the code that live
trading runs; this module only keeps the book, charges the costs and turns the days.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np

from walstreet.domain.rotation import IndicatorTable, Position, RotationSignals, rotation_signals, rotation_targets
from walstreet.domain.rotation_indicators import close_before, last_close
from walstreet.domain.units import BPS, BoolArray, FloatArray
from walstreet.research.permutation import covering, permutation_order, permuted_bars
from walstreet.research.statistics import objective_value
from walstreet.research.swing_types import (
    DUST,
    Objective,
    SwingBars,
    SwingParameters,
    SwingResult,
    Window,
    check_segments,
)

EQUITY_START = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PriceTable:
    """Bars with what every simulation over them needs, computed once."""

    indicators: IndicatorTable
    returns: FloatArray
    """(T, S) since the symbol's bar before; 0 on a day without a bar and at the first bar."""
    price: FloatArray
    """(T, S) newest close; NaN before the first bar, where nothing can be held."""
    _signals: dict[SwingParameters, RotationSignals] = field(default_factory=dict)

    def signals(self, parameters: SwingParameters) -> RotationSignals:
        """Return the signals of every day, computed once for all windows of a grid point."""
        key = msgspec.structs.replace(parameters, first_day=0, last_day=0)
        if key not in self._signals:
            self._signals[key] = rotation_signals(self.indicators, parameters)
        return self._signals[key]


@dataclass(slots=True, kw_only=True)
class Book:
    """What is held between two days."""

    held: list[Position]
    """Columns and weights above 0, in universe order."""
    equity: float
    short_of_cash: bool
    """Whether yesterday's buys waited for the proceeds of yesterday's sales."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """What one day did."""

    gross: float
    turnover: float
    cost: float
    traded: bool
    target: list[Position]


def price_table(bars: SwingBars) -> PriceTable:
    """Return the table of ``bars``."""
    change = bars.close / close_before(bars.close) - 1.0
    return PriceTable(
        indicators=IndicatorTable(high=bars.high, low=bars.low, close=bars.close),
        returns=np.where(np.isnan(change), 0.0, change),
        price=last_close(bars.close),
    )


def simulate(table: PriceTable, segments: Sequence[SwingParameters]) -> SwingResult:
    """Return one simulation from flat over consecutive segments, as ``SwingEngine.simulate`` says."""
    first, last = segments[0].first_day, segments[-1].last_day
    days, symbols = last - first + 1, table.price.shape[1]
    gross, turnover, cost, net, equity = (np.zeros(days) for _ in range(5))
    traded = np.zeros(days, dtype=np.bool_)
    target, held = np.zeros((days, symbols)), np.zeros((days, symbols))
    book = Book(held=[], equity=EQUITY_START, short_of_cash=False)
    for parameters in segments:
        signals = table.signals(parameters)
        for row in range(parameters.first_day, parameters.last_day + 1):
            index = row - first
            gained, drifted = _drift(book, table.returns[row].tolist() if book.held else [])
            wanted = rotation_targets(signals, row, [column for column, _ in drifted])
            day = _trade(book, drifted, wanted, prices=table.price[row], gross=gained, parameters=parameters)
            gross[index], turnover[index], cost[index] = day.gross, day.turnover, day.cost
            net[index], equity[index], traded[index] = day.gross - day.cost, book.equity, day.traded
            for column, weight in day.target:
                target[index, column] = weight
            for column, weight in book.held:
                held[index, column] = weight
    return SwingResult(
        first_day=first,
        gross=gross,
        turnover=turnover,
        cost=cost,
        net=net,
        equity=equity,
        traded=traded,
        target=target,
        held=held,
    )


def _drift(book: Book, returns: list[float]) -> tuple[float, list[Position]]:
    """Return the day's gross return and the book's weights before its trade."""
    gross = 0.0
    for column, weight in book.held:
        gross += weight * returns[column]
    drifted = [(column, weight * (1.0 + returns[column]) / (1.0 + gross)) for column, weight in book.held]
    return gross, drifted


def _trade(
    book: Book,
    drifted: list[Position],
    wanted: list[Position],
    *,
    prices: FloatArray,
    gross: float,
    parameters: SwingParameters,
) -> Day:
    """Trade to the targets if the band says so, charge the cost and close the day."""
    moves = _moves(drifted, wanted)
    trades = book.short_of_cash or any(abs(move) > parameters.band for _, move in moves)
    # Equity at the close, before the day's own costs, is what an order's least commission is a share of.
    equity_usd = parameters.equity_start_usd * book.equity * (1.0 + gross)
    book.short_of_cash = False
    turnover = cost = 0.0
    if trades:
        reached = wanted
        if parameters.settlement == "t+1":
            moves, reached, book.short_of_cash = _settled(drifted, wanted, moves)
        for column, move in moves:
            size = abs(move)
            turnover += size
            cost += _cost(size, float(prices[column]), equity_usd, parameters)
        book.held = [position for position in reached if position[1] > 0.0]
    else:
        book.held = drifted
    book.equity *= 1.0 + (gross - cost)
    return Day(gross=gross, turnover=turnover, cost=cost, traded=turnover > 0.0, target=wanted)


def _moves(drifted: list[Position], wanted: list[Position]) -> list[Position]:
    """Return the change of every column that is held or wanted, in universe order."""
    have, want = dict(drifted), dict(wanted)
    return [(column, want.get(column, 0.0) - have.get(column, 0.0)) for column in sorted(have | want)]


def _settled(
    drifted: list[Position], wanted: list[Position], moves: list[Position]
) -> tuple[list[Position], list[Position], bool]:
    """Return moves, weights after them and whether buys were cut to the cash that was there before the day's sales."""
    invested = buys = 0.0
    for _, weight in drifted:
        invested += weight
    for _, move in moves:
        buys += max(move, 0.0)
    cash = max(0.0, 1.0 - invested)
    if buys <= cash + DUST:
        return moves, wanted, False
    share = cash / buys
    cut = [(column, move * share if move > 0.0 else move) for column, move in moves]
    reached = dict(wanted)
    have = dict(drifted)
    for column, move in moves:
        if move > 0.0:
            reached[column] = have.get(column, 0.0) + move * share
    return cut, sorted(reached.items()), True


def _cost(size: float, price: float, equity_usd: float, parameters: SwingParameters) -> float:
    """Return commission and slippage of one order as a share of equity."""
    if size == 0.0:
        return 0.0
    commission = size * parameters.commission_per_share / price
    if parameters.commission_minimum_usd > 0.0 and size > DUST:
        commission = max(commission, parameters.commission_minimum_usd / equity_usd)
    return commission + size * (parameters.slippage_bps / BPS)


@dataclass(frozen=True, slots=True)
class ReferenceEngine:
    """The reference as a ``SwingEngine``."""

    def simulate(self, bars: SwingBars, segments: Sequence[SwingParameters]) -> SwingResult:
        """Return one simulation from flat; see ``SwingEngine.simulate``."""
        check_segments(bars, segments)
        return simulate(price_table(bars), segments)

    def objectives(
        self,
        bars: SwingBars,
        grid: Sequence[SwingParameters],
        windows: Sequence[Window],
        objective: Objective,
        *,
        covered: BoolArray | None = None,
    ) -> FloatArray:
        """Return (W, G) training objectives; see ``SwingEngine.objectives``."""
        values = np.zeros((len(windows), len(grid)))
        table = price_table(bars)
        for index, window in enumerate(windows):
            if covered is not None:
                table = price_table(masked(bars, covered[index]))
            values[index] = window_objectives(table, grid, window, objective)
        return values

    def permuted_best(
        self,
        bars: SwingBars,
        grid: Sequence[SwingParameters],
        windows: Sequence[Window],
        objective: Objective,
        *,
        seed: int,
        runs: range,
    ) -> FloatArray:
        """Return (len(runs), W) best objectives on permuted training rows; see ``SwingEngine.permuted_best``."""
        best = np.zeros((len(runs), len(windows)))
        for index, window in enumerate(windows):
            base = masked(bars, covering(bars, window))
            for position, run in enumerate(runs):
                order = permutation_order(seed, run, index, window)
                table = price_table(permuted_bars(base, window, order))
                best[position, index] = float(window_objectives(table, grid, window, objective).max())
        return best


def window_objectives(
    table: PriceTable, grid: Sequence[SwingParameters], window: Window, objective: Objective
) -> FloatArray:
    """Return (G,) the objective of every grid point over the window's training rows, from flat."""
    values = np.zeros(len(grid))
    for index, point in enumerate(grid):
        training = msgspec.structs.replace(point, first_day=window.train_first, last_day=window.train_last)
        values[index] = objective_value(simulate(table, [training]).net, objective)
    return values


def masked(bars: SwingBars, exists: BoolArray) -> SwingBars:
    """Return the bars without the symbols that do not exist, whose columns become NaN."""
    keep = np.where(exists, 0.0, np.nan)
    return replace(bars, open=bars.open + keep, high=bars.high + keep, low=bars.low + keep, close=bars.close + keep)
