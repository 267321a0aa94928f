"""Owns what faults do to a market: halts, bands, price moves and splits over the steps of another market.

A change holds for the steps that end after it; what is already past stays as it was played. Bars of an
instrument that was changed are built anew from the changed steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from walstreet_services.ibsim.bars import BAR_SECONDS, BarBuilder
from walstreet_services.ibsim.model import Bar, MarketStep
from walstreet_services.ibsim.units import NS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from walstreet_services.ibsim.model import Instrument, Market, Match, MatchingEngine, RestingOrder, Session

FOREVER_NS = 1 << 62
PRICE_FIELDS = ("bid_nano", "ask_nano", "trade_nano")
SIZE_FIELDS = ("bid_size_micro", "ask_size_micro", "trade_size_micro")
FIELDS = (*PRICE_FIELDS, *SIZE_FIELDS, "trade_side", "volume_micro")
Row = dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustment:
    """A lasting change of prices, ``price * numerator / denominator + plus_nano``; a split changes sizes inversely."""

    from_ns: int
    numerator: int
    denominator: int
    plus_nano: int = 0
    split: bool = False

    def price(self, nano: int, tick_nano: int, rounding: int) -> int:
        """Return a changed price on the grid of ticks, rounded down (-1), up (1) or to the nearest (0)."""
        if not nano:
            return 0
        exact = nano * self.numerator + self.plus_nano * self.denominator
        unit = tick_nano * self.denominator
        extra = {-1: 0, 0: unit // 2, 1: unit - 1}[rounding]
        return max((exact + extra) // unit, 1) * tick_nano

    def size(self, micro: int) -> int:
        """Return a changed quantity in whole shares."""
        return micro * self.denominator // self.numerator // 1_000_000 * 1_000_000 if self.split else micro


@dataclass(slots=True, kw_only=True)
class Halted:
    """A time without trades: the steps that end in ``(from_ns, until_ns]``."""

    from_ns: int
    until_ns: int = FOREVER_NS
    gone: bool = False
    """No quote at all; else the last one stands."""


class FaultyMarket:
    """Another market with changes; as long as there are none, it is that market."""

    def __init__(self, inner: Market) -> None:
        self._inner = inner
        self._adjustments: dict[int, list[Adjustment]] = {}
        self._halts: dict[int, list[Halted]] = {}
        self._bands: dict[int, dict[int, tuple[int, int]]] = {}
        self._touched: list[int] = []

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """Return the instruments."""
        return self._inner.instruments

    @property
    def session(self) -> Session:
        """Return the session."""
        return self._inner.session

    @property
    def step_ns(self) -> int:
        """Return the length of a step."""
        return self._inner.step_ns

    @property
    def steps_count(self) -> int:
        """Return the number of steps."""
        return self._inner.steps_count

    # Changes

    def adjust(self, index: int, adjustment: Adjustment) -> None:
        """Change an instrument's prices from now on."""
        self._touch(index)
        self._adjustments.setdefault(index, []).append(adjustment)

    def halt(self, index: int, halted: Halted) -> None:
        """Stop an instrument's trading until ``halted.until_ns``, which may be set later."""
        self._touch(index)
        self._halts.setdefault(index, []).append(halted)

    def halted(self, index: int, ts_ns: int) -> bool:
        """Return whether an instrument is halted in the step that ends at ``ts_ns``."""
        return self._halt_at(index, ts_ns) is not None

    def band(self, index: int, ts_ns: int, low_nano: int, high_nano: int) -> None:
        """Keep one step of an instrument within a band."""
        self._touch(index)
        self._bands.setdefault(index, {})[ts_ns] = (low_nano, high_nano)

    def _touch(self, index: int) -> None:
        if index not in self._touched:
            self._touched = sorted([*self._touched, index])

    def _halt_at(self, index: int, ts_ns: int) -> Halted | None:
        found = [item for item in self._halts.get(index, []) if item.from_ns < ts_ns <= item.until_ns]
        return found[0] if found else None

    # The market

    def step(self, index: int) -> MarketStep:
        """Return step ``index`` with the changes that hold for it."""
        step = self._inner.step(index)
        if not self._touched:
            return step
        arrays = {name: np.array(getattr(step, name)) for name in FIELDS}
        for place in self._touched:
            for name, value in self._row(place, index).items():
                arrays[name][place] = value
        for array in arrays.values():
            array.flags.writeable = False
        return MarketStep(ts_ns=step.ts_ns, **arrays)

    def _row(self, place: int, index: int) -> Row:
        """Return one instrument's changed values of a step."""
        step = self._inner.step(index)
        row = {name: int(getattr(step, name)[place]) for name in FIELDS}
        row["volume_micro"] -= self._unplayed(place, index)
        halt = self._halt_at(place, step.ts_ns)
        if halt is not None:
            return self._halted_row(place, index, halt, row)
        for change in self._adjustments.get(place, []):
            if change.split:
                row["volume_micro"] = change.size(row["volume_micro"])
            if change.from_ns < step.ts_ns:
                self._adjust_row(place, change, row)
        low, high = self._bands.get(place, {}).get(step.ts_ns, (0, 0))
        return _banded(row, low, high) if high else row

    def _adjust_row(self, place: int, change: Adjustment, row: Row) -> None:
        tick = self.instruments[place].min_tick_nano
        row["bid_nano"] = change.price(row["bid_nano"], tick, -1)
        row["ask_nano"] = change.price(row["ask_nano"], tick, 1)
        row["trade_nano"] = change.price(row["trade_nano"], tick, 0)
        for name in SIZE_FIELDS:
            row[name] = change.size(row[name])

    def _halted_row(self, place: int, index: int, halt: Halted, row: Row) -> Row:
        """Return a step without a trade, with the quote before the halt or none."""
        first = max((halt.from_ns - self.session.open_ns) // self.step_ns - 1, -1)
        row.update(dict.fromkeys((*PRICE_FIELDS, *SIZE_FIELDS, "trade_side"), 0))
        if 0 <= first < index:
            before = self._row(place, first)
            row["volume_micro"] = before["volume_micro"]
            first_ns, ts_ns = self._inner.step(first).ts_ns, self._inner.step(index).ts_ns
            for change in self._adjustments.get(place, []):
                # A price may not move in a halt; the count of shares may.
                if change.split and first_ns <= change.from_ns < ts_ns:
                    self._adjust_row(place, change, before)
            if not halt.gone:
                row.update({name: before[name] for name in FIELDS if name.startswith(("bid", "ask"))})
        else:
            row["volume_micro"] = 0
        return row

    def _unplayed(self, place: int, index: int) -> int:
        """Return the volume of the halted steps up to and including ``index``."""
        total = 0
        open_ns, step_ns = self.session.open_ns, self.step_ns
        for halt in self._halts.get(place, []):
            first = max((halt.from_ns - open_ns) // step_ns, 0)
            last = min((min(halt.until_ns, FOREVER_NS) - open_ns) // step_ns - 1, index)
            if last >= first:
                before = int(self._inner.step(first - 1).volume_micro[place]) if first else 0
                total += int(self._inner.step(last).volume_micro[place]) - before
        return total

    def bars(self, instrument_index: int, *, end_ns: int, bar_seconds: int, start_ns: int, what: str) -> Sequence[Bar]:
        """Return the complete bars in ``[start_ns, end_ns)``, today's from the changed steps."""
        if instrument_index not in self._touched:
            return self._inner.bars(
                instrument_index, end_ns=end_ns, bar_seconds=bar_seconds, start_ns=start_ns, what=what
            )
        open_ns = self.session.open_ns
        past_end_ns = min(end_ns, open_ns)
        past: Sequence[Bar] = ()
        if start_ns < past_end_ns:
            past = self._inner.bars(
                instrument_index, end_ns=past_end_ns, bar_seconds=bar_seconds, start_ns=start_ns, what=what
            )
        splits = [change for change in self._adjustments.get(instrument_index, []) if change.split]
        tick = self.instruments[instrument_index].min_tick_nano
        found = [_split_bar(bar, splits, tick) for bar in past]
        builder = BarBuilder(instrument_index, bar_seconds, what, open_ns)
        today: dict[int, Bar] = {}
        played_end_ns = open_ns + self.steps_count * self.step_ns
        for place in range(min(max(0, (end_ns - open_ns) // self.step_ns), self.steps_count)):
            bar = builder.add(self.step(place))
            if bar is not None:
                today[bar.start_ns] = bar
        daily = bar_seconds == BAR_SECONDS["1 day"]
        for first_ns, bar in today.items():
            last_ns = self.session.close_ns if daily else first_ns + bar_seconds * NS_PER_SECOND
            if first_ns >= start_ns and min(last_ns, played_end_ns) <= end_ns:
                found.append(bar)
        return found


def _banded(row: Row, low: int, high: int) -> Row:
    """Keep bids and trades within the band; offers beyond it are not executable and not shown."""
    row["bid_nano"] = min(row["bid_nano"], high) if row["bid_nano"] >= low else 0
    row["ask_nano"] = max(row["ask_nano"], low) if row["ask_nano"] <= high else 0
    row["bid_size_micro"] = row["bid_size_micro"] if row["bid_nano"] else 0
    row["ask_size_micro"] = row["ask_size_micro"] if row["ask_nano"] else 0
    if row["trade_nano"]:
        row["trade_nano"] = min(max(row["trade_nano"], low), high)
    return row


def _split_bar(bar: Bar, splits: Sequence[Adjustment], tick_nano: int) -> Bar:
    for change in splits:
        prices = {
            name: change.price(getattr(bar, name), tick_nano, 0)
            for name in ("open_nano", "high_nano", "low_nano", "close_nano", "wap_nano")
        }
        bar = replace(bar, volume_micro=change.size(bar.volume_micro), **prices)
    return bar


class FaultyMatching:
    """Another matching engine with rules on top: what may trade, how much of it, and at which side."""

    def __init__(self, inner: MatchingEngine, market: FaultyMarket) -> None:
        self._inner = inner
        self._market = market
        self.rules: list[MatchRule] = []

    def match(self, step: MarketStep, orders: Sequence[RestingOrder]) -> Sequence[Match]:
        """Return the executions of a step that the rules allow."""
        allowed = [order for order in orders if not self._market.halted(order.instrument_index, step.ts_ns)]
        caps: dict[int, int] = {}
        short: list[int] = []
        for order in allowed:
            for rule in self.rules:
                cap = rule.shares_micro_max(order)
                if cap is not None:
                    caps[order.key] = min(cap, caps.get(order.key, cap))
                if rule.passive_only(order):
                    short.append(order.key)
        shown = [
            replace(order, remaining_micro=min(order.remaining_micro, caps.get(order.key, order.remaining_micro)))
            for order in allowed
        ]
        return [match for match in self._inner.match(step, shown) if match.passive or match.key not in short]

    def forget(self, key: int) -> None:
        """Drop queue state of an order that ended."""
        self._inner.forget(key)


class MatchRule:
    """A rule of matching; the base allows everything."""

    def shares_micro_max(self, order: RestingOrder) -> int | None:
        """Return the most that an order may trade in a step, None without limit."""
        del order
        return None

    def passive_only(self, order: RestingOrder) -> bool:
        """Return whether an order may only rest."""
        del order
        return False
