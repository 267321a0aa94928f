"""Owns who trades in a step: a matching model with queue position, impact and bounded participation.

Three ways to be filled (formulas: ``docs/SIMULATED_MARKETS.md``):

- *taking*: an order that is marketable when it arrives, or still is after it took part, takes the displayed size
  at the touch, then walks at prices that worsen by whole ticks per displayed size, never beyond its limit;
- *being hit*: a resting order gets the part of an opposite print at its own price that exceeds the queue ahead
  of it, and shares in every print through its price;
- *being crossed*: a resting order that the quote at the step's end reaches is filled at its own limit, up to the
  size that is displayed against it.

Sells are computed as buys of mirrored prices (every price negated), so both sides obey the same code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from walstreet_services.ibsim.market_errors import MarketRequestError
from walstreet_services.ibsim.model import Match, Side

if TYPE_CHECKING:
    from collections.abc import Sequence

    from walstreet_services.ibsim.model import Instrument, MarketStep, RestingOrder, Session

MICRO_SHARES_PER_SHARE = 1_000_000
PARTS_PER_MILLION = 1_000_000
IMPACT_LEVELS_LIMIT = 100
QUEUE_STATES_MAX = 100_000
"""More live orders than this mean that the owner forgets to call ``forget``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchingParameters:
    """How generous the simulated book is; ratios are in parts per million, so that sizes stay integers."""

    queue_ahead_ppm: int = 1_000_000
    """Share of the displayed size that stands before an order which joins the touch."""
    participation_ppm: int = 200_000
    """Largest share of a print that all own resting orders of the instrument get together."""
    impact_ticks_per_level: int = 1
    """Price concession for each further displayed size taken in the same step."""
    impact_levels_max: int = 5
    """How many displayed sizes beyond the touch can be taken in one step; the rest waits."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        ranges = {
            "queue_ahead_ppm": (self.queue_ahead_ppm, 0, 100 * PARTS_PER_MILLION),
            "participation_ppm": (self.participation_ppm, 0, PARTS_PER_MILLION),
            "impact_ticks_per_level": (self.impact_ticks_per_level, 1, 1_000),
            "impact_levels_max": (self.impact_levels_max, 0, IMPACT_LEVELS_LIMIT),
        }
        for name, (value, low, high) in ranges.items():
            if not low <= value <= high:
                raise MarketRequestError(f"matching parameter {name}={value} is outside {low}..{high}")


@dataclass(slots=True)
class _OrderState:
    """What the engine remembers of an order between steps."""

    arrived_ns: int
    limit_nano: int | None
    resting: bool
    """False while the order has been marketable ever since it arrived."""
    queue_ahead_micro: int | None
    """None until the quote reaches the order's price for the first time."""


@dataclass(slots=True)
class _Liquidity:
    """What is left of one instrument's step; own orders share it."""

    taken_by_buys_micro: int
    taken_by_sells_micro: int
    print_micro: int

    def taken_micro(self, side: Side) -> int:
        return self.taken_by_buys_micro if side is Side.BUY else self.taken_by_sells_micro

    def take(self, side: Side, quantity_micro: int) -> None:
        if side is Side.BUY:
            self.taken_by_buys_micro += quantity_micro
        else:
            self.taken_by_sells_micro += quantity_micro


@dataclass(frozen=True, slots=True)
class _View:
    """One instrument's step as a buyer sees it; for a sell all prices are negated and sides exchanged."""

    own_nano: int
    opposite_nano: int
    own_size_micro: int
    opposite_size_micro: int
    trade_nano: int
    trade_size_micro: int
    trade_hits_us: bool


class QueueMatching:
    """The matching engine of the simulator; deterministic, it draws no random number."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        session: Session,
        parameters: MatchingParameters | None = None,
    ) -> None:
        """Keep ticks and trading hours of the played session."""
        self._ticks_nano = [instrument.min_tick_nano for instrument in instruments]
        self._session = session
        self._parameters = parameters or MatchingParameters()
        self._states: dict[int, _OrderState] = {}

    def match(self, step: MarketStep, orders: Sequence[RestingOrder]) -> Sequence[Match]:
        """Return the executions of one step, in order of ``orders``.

        Own orders compete by price, then time, then key. Prices are never better than the quote at the step's
        end: a taking buy pays at least the ask, a passive one its own limit. An order without a quote, or
        outside the session, is left alone.

        Raises:
            MarketRequestError: If more orders are remembered than the bound allows.
        """
        if not self._session.open_ns < step.ts_ns <= self._session.close_ns:
            return []
        eligible = [
            position
            for position, order in enumerate(orders)
            if order.remaining_micro > 0 and order.active_from_ns <= step.ts_ns
        ]
        eligible.sort(key=lambda position: _priority(orders[position]))
        liquidity: dict[int, _Liquidity] = {}
        found: dict[int, list[Match]] = {}
        for position in eligible:
            order = orders[position]
            index = order.instrument_index
            if step.bid_nano[index] <= 0 or step.ask_nano[index] <= 0:
                continue
            if index not in liquidity:
                liquidity[index] = self._liquidity(step, index)
            found[position] = self._match_one(step, order, liquidity[index])
        return [match for position in sorted(found) for match in found[position]]

    def forget(self, key: int) -> None:
        """Drop queue state of an order that ended; unknown keys are ignored, since not every order met a quote."""
        self._states.pop(key, None)

    def _liquidity(self, step: MarketStep, index: int) -> _Liquidity:
        shared = int(step.trade_size_micro[index]) * self._parameters.participation_ppm // PARTS_PER_MILLION
        return _Liquidity(
            taken_by_buys_micro=0,
            taken_by_sells_micro=0,
            print_micro=shared // MICRO_SHARES_PER_SHARE * MICRO_SHARES_PER_SHARE,
        )

    def _match_one(self, step: MarketStep, order: RestingOrder, liquidity: _Liquidity) -> list[Match]:
        sign = 1 if order.side is Side.BUY else -1
        view = _view(step, order.instrument_index, sign)
        limit = None if order.limit_nano is None else sign * order.limit_nano
        marketable = limit is None or limit >= view.opposite_nano
        state = self._states.get(order.key)
        if state is None or state.arrived_ns != order.arrived_ns or state.limit_nano != order.limit_nano:
            # A changed price loses its place, as on an exchange. Prints of this step may have come before the
            # order, so an arriving order meets the quote at the step's end and nothing else.
            state = self._remember(order, resting=not marketable)
            fills = [] if state.resting else self._take(order, view, limit, sign, liquidity)
        elif state.resting and limit is not None:
            fills = self._rest(order, state, view, limit, liquidity)
        else:
            fills = self._take(order, view, limit, sign, liquidity) if marketable else []
            state.resting = not marketable
        if state.resting and limit is not None:
            self._update_queue(state, view, limit)
        return [
            Match(
                key=order.key,
                price_nano=sign * price,
                quantity_micro=quantity,
                ts_ns=step.ts_ns,
                passive=state.resting,
            )
            for price, quantity in fills
        ]

    def _remember(self, order: RestingOrder, *, resting: bool) -> _OrderState:
        state = _OrderState(
            arrived_ns=order.arrived_ns, limit_nano=order.limit_nano, resting=resting, queue_ahead_micro=None
        )
        self._states[order.key] = state
        if len(self._states) > QUEUE_STATES_MAX:
            raise MarketRequestError(
                f"the matching engine remembers more than {QUEUE_STATES_MAX} orders; call forget() when orders end"
            )
        return state

    def _take(
        self, order: RestingOrder, view: _View, limit: int | None, sign: int, liquidity: _Liquidity
    ) -> list[tuple[int, int]]:
        """Take the touch, then deeper levels; returns (mirrored price, quantity) of each level.

        Level ``k`` holds one displayed size at ``k`` concessions from the touch; own orders that came first in
        the step have emptied the levels before.
        """
        concession = self._ticks_nano[order.instrument_index] * self._parameters.impact_ticks_per_level
        displayed = view.opposite_size_micro
        remaining = order.remaining_micro
        fills: list[tuple[int, int]] = []
        for level in range(self._parameters.impact_levels_max + 1):
            price = view.opposite_nano + level * concession
            available = displayed * (level + 1) - liquidity.taken_micro(order.side)
            quantity = min(remaining, displayed, available)
            # A sell must not be walked down to nothing: mirrored prices of sells are negative.
            worthless = sign < 0 and price >= 0
            if remaining == 0 or worthless or (limit is not None and price > limit):
                break
            if quantity > 0:
                fills.append((price, quantity))
                liquidity.take(order.side, quantity)
                remaining -= quantity
        return fills

    def _rest(
        self, order: RestingOrder, state: _OrderState, view: _View, limit: int, liquidity: _Liquidity
    ) -> list[tuple[int, int]]:
        """Fill a resting order at its own limit from prints at or through it and from a quote that crosses it."""
        if limit < view.own_nano:
            # The quote ends the step above the order: a fill here would be better than the quote.
            return []
        from_print = 0
        if view.trade_size_micro > 0 and view.trade_nano < limit:
            from_print = min(order.remaining_micro, liquidity.print_micro)
            state.queue_ahead_micro = 0
        elif view.trade_size_micro > 0 and view.trade_nano == limit and view.trade_hits_us:
            ahead = state.queue_ahead_micro
            if ahead is None:
                ahead = self._joined_queue(view.own_size_micro)
            past_queue = max(view.trade_size_micro - ahead, 0)
            from_print = min(order.remaining_micro, liquidity.print_micro, past_queue)
            state.queue_ahead_micro = max(ahead - view.trade_size_micro, 0)
        liquidity.print_micro -= from_print
        crossed = 0
        if view.opposite_nano <= limit:
            displayed = max(view.opposite_size_micro - liquidity.taken_micro(order.side), 0)
            crossed = min(order.remaining_micro - from_print, displayed)
            liquidity.take(order.side, crossed)
        quantity = from_print + crossed
        return [(limit, quantity)] if quantity > 0 else []

    def _update_queue(self, state: _OrderState, view: _View, limit: int) -> None:
        """Set the place in the queue from the quote at the step's end.

        Better than the touch means nobody stands ahead; at the touch for the first time, the displayed size does;
        behind the touch the depth is unknown until the quote comes there.
        """
        if limit > view.own_nano:
            state.queue_ahead_micro = 0
        elif limit == view.own_nano and state.queue_ahead_micro is None:
            state.queue_ahead_micro = self._joined_queue(view.own_size_micro)

    def _joined_queue(self, displayed_micro: int) -> int:
        return displayed_micro * self._parameters.queue_ahead_ppm // PARTS_PER_MILLION


def _priority(order: RestingOrder) -> tuple[int, int, int]:
    if order.limit_nano is None:
        return (-(2**63), order.arrived_ns, order.key)
    aggressiveness = -order.limit_nano if order.side is Side.BUY else order.limit_nano
    return (aggressiveness, order.arrived_ns, order.key)


def _view(step: MarketStep, index: int, sign: int) -> _View:
    bid, ask = int(step.bid_nano[index]), int(step.ask_nano[index])
    bid_size, ask_size = int(step.bid_size_micro[index]), int(step.ask_size_micro[index])
    buying = sign > 0
    return _View(
        own_nano=bid if buying else -ask,
        opposite_nano=ask if buying else -bid,
        own_size_micro=bid_size if buying else ask_size,
        opposite_size_micro=ask_size if buying else bid_size,
        trade_nano=sign * int(step.trade_nano[index]),
        trade_size_micro=int(step.trade_size_micro[index]),
        trade_hits_us=sign * int(step.trade_side[index]) <= 0,
    )
