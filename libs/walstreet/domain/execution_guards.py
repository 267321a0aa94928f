"""Owns the facts that the guards look at, gathered from execution's state, and the asking of all of them.

Where two readings of a position are possible the worse one counts: the broker's last reading, and the same with the
fills that were journaled since, because either may be the one that already holds the other's change. An order reduces
only if it does by both.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field

from walstreet.domain import guard_margin, guard_market, guard_orders, guard_reset, guard_short
from walstreet.domain.execution_market import SymbolMarket
from walstreet.domain.execution_parameters import ExecutionParameters
from walstreet.domain.execution_state import STRATEGY, ExecutionState
from walstreet.domain.guard_market import HaltState, MarketFacts, check_market
from walstreet.domain.guard_orders import Exposure, OrderFacts, RecentOrder, check_orders
from walstreet.domain.guard_reset import ResetFacts, check_reset
from walstreet.domain.guard_short import ShortFacts, ShortVerdict, check_short
from walstreet.domain.guard_verdict import GuardedOrder, GuardVerdict, notional_nano
from walstreet.domain.repeat_throttle import ThrottleFacts, ThrottleState, check_repeats, note_execution
from walstreet_events import OrderIntent, QuoteSeen, Side

NO_LINE = "no_line"
"""Kind of data of a symbol whose own subscription brings nothing; refused like any that is not live."""


@dataclass(slots=True)
class Run:
    """What the intents of one block have used up so far, on top of the state."""

    now_ns: int
    next_order_id: int
    throttle: ThrottleState
    recent: list[RecentOrder]
    positions_nano: int | None
    """Gross, None when not known."""
    working_nano: int
    sent_nano: int
    symbols: dict[str, bool] = field(default_factory=dict)
    resumed: str = ""
    """The intent whose rest is being sent: that it was handled before is no repetition."""

    def note(self, order: GuardedOrder, notional: int, parameters: ExecutionParameters) -> None:
        """Count a parent that is sent: at once, and in full."""
        self.symbols[order.symbol] = True
        self.working_nano += notional
        self.sent_nano += notional
        self.recent.append(
            RecentOrder(
                ts_ns=self.now_ns,
                symbol=order.symbol,
                side=order.side,
                quantity_micro=order.quantity_micro,
                limit_nano=order.limit_nano,
                notional_nano=notional,
            )
        )
        self.throttle = note_execution(
            self.throttle, strategy=STRATEGY, order=order, ts_ns=self.now_ns, parameters=parameters.throttle
        )


@dataclass(frozen=True, slots=True)
class _Handled:
    """The intents that were handled, without the one that is resumed; satisfies ``Container``."""

    intents: Container[str]
    resumed: str

    def __contains__(self, intent: object) -> bool:
        return intent != self.resumed and intent in self.intents


def begin_run(state: ExecutionState, now_ns: int) -> Run:
    """Return what has been used up before a block."""
    return Run(
        now_ns=now_ns,
        next_order_id=state.next_order_id,
        throttle=state.throttle,
        recent=[*state.recent.values()],
        positions_nano=_positions_nano(state),
        working_nano=sum(
            notional_nano(max(0, order.quantity_micro - order.filled_micro), order.worst_nano)
            for order in map(state.orders.__getitem__, state.open_orders)
            # What only takes a position back adds no exposure, and of a pair only one can fill.
            if not order.protects
        ),
        sent_nano=state.sent_nano,
    )


def guarded_order(
    state: ExecutionState, intent: OrderIntent, *, quantity_micro: int, limit_nano: int | None
) -> GuardedOrder:
    """Return the order under judgement; its position is the worse of the possible readings for its side."""
    working = {Side.BUY: 0, Side.SELL: 0}
    for key in state.open_orders:
        order = state.orders[key]
        if order.symbol == intent.symbol and not order.protects:
            working[order.side] += max(0, order.quantity_micro - order.filled_micro)
    return GuardedOrder(
        symbol=intent.symbol,
        side=intent.side,
        quantity_micro=quantity_micro,
        limit_nano=limit_nano,
        position_micro=_position_micro(state, intent.symbol, intent.side),
        working_buy_micro=working[Side.BUY],
        working_sell_micro=working[Side.SELL],
    )


def check_short_sale(
    state: ExecutionState, order: GuardedOrder, quote: QuoteSeen, now_ns: int, parameters: ExecutionParameters
) -> ShortVerdict:
    """Return what of a sell may go; the session's date is that of its newest bar's rule."""
    rule = _market(state, order.symbol).rule
    facts = ShortFacts(
        now_ns=now_ns,
        order=order,
        borrow=state.borrow.get(order.symbol),
        rule=rule,
        session=state.session_date,
        quote=quote,
    )
    return check_short(facts, parameters.short)


def ask_guards(
    state: ExecutionState,
    intent: OrderIntent,
    order: GuardedOrder,
    quote: QuoteSeen,
    *,
    run: Run,
    parameters: ExecutionParameters,
) -> tuple[GuardVerdict, ...]:
    """Return every guard's verdict on ``order``, in the order in which a refusal is reported."""
    repeats = ThrottleFacts(now_ns=run.now_ns, strategy=STRATEGY, order=order, state=run.throttle)
    return (
        check_reset(ResetFacts(now_ns=run.now_ns, order=order), parameters.resets),
        *check_market(market_facts(state, order, quote, run.now_ns), parameters.market),
        *check_orders(
            _order_facts(state, intent, order, quote, run=run, restricted=parameters.restricted), parameters.orders
        ),
        check_repeats(repeats, parameters.throttle),
    )


def market_facts(state: ExecutionState, order: GuardedOrder, quote: QuoteSeen | None, now_ns: int) -> MarketFacts:
    """Return the facts of the market guards."""
    market, instrument = _market(state, order.symbol), state.instruments.get(order.symbol)
    known_session = state.close_ns > 0
    return MarketFacts(
        now_ns=now_ns,
        order=order,
        quote=quote,
        feed_ts_ns=state.feed_ts_ns or None,
        data_type=NO_LINE if state.lines_broken.get(order.symbol, False) else state.data_type,
        session_open_ns=state.open_ns if known_session else None,
        session_close_ns=state.close_ns if known_session else None,
        # The gateway journals changes only; a symbol begins as not halted.
        halt=HaltState.HALTED if state.halted.get(order.symbol, False) else HaltState.TRADING,
        average_daily_volume_micro=instrument.average_daily_volume_micro if instrument else None,
        prior_close_nano=instrument.prior_close_nano if instrument else None,
        earnings_ns=None,
        news_ns=None,
        volume_micro=market.volume_micro,
        volume_typical_micro=market.volume_typical_micro,
        sigma_5m_bps=market.sigma_5m_bps,
    )


def inactive_guards(parameters: ExecutionParameters) -> tuple[str, ...]:
    """Return the guards whose data source is not configured, for the start and the dashboard."""
    return (
        *guard_reset.inactive_guards(parameters.resets),
        *guard_market.inactive_guards(parameters.market),
        *guard_orders.inactive_guards(parameters.orders),
        *guard_short.inactive_guards(parameters.short),
        *guard_margin.inactive_guards(parameters.margin),
    )


def _order_facts(
    state: ExecutionState,
    intent: OrderIntent,
    order: GuardedOrder,
    quote: QuoteSeen,
    *,
    run: Run,
    restricted: tuple[str, ...],
) -> OrderFacts:
    losses = state.losses
    # One execution serves one account, so what it knows of the account is all there is.
    exposure = Exposure(positions_nano=run.positions_nano, working_nano=run.working_nano, sent_nano=run.sent_nano)
    return OrderFacts(
        now_ns=run.now_ns,
        intent=intent.id,
        order=order,
        reference_nano=max(quote.bid_nano, quote.ask_nano) or None,
        intents_handled=_Handled(state.intents, run.resumed),
        recent=tuple(run.recent),
        restricted=frozenset(restricted),
        equity_nano=losses.equity_nano if losses.reported else None,
        session_start_equity_nano=losses.session_start_nano,
        high_water_nano=losses.high_water_nano,
        account=exposure,
        total=exposure,
    )


def _market(state: ExecutionState, symbol: str) -> SymbolMarket:
    return state.markets.get(symbol) or SymbolMarket()


def _position_micro(state: ExecutionState, symbol: str, side: Side) -> int | None:
    if state.positions is None:
        return None
    position = state.position_of.get(symbol)
    reading = position.quantity_micro if position else 0
    moved = reading + state.filled_since.get(symbol, 0)
    return min(reading, moved) if side is Side.SELL else max(reading, moved)


def _positions_nano(state: ExecutionState) -> int | None:
    """Return the gross value of all positions at the latest prices, None when a position has no price."""
    if state.positions is None:
        return None
    total = 0
    for symbol in sorted({*state.position_of, *state.filled_since}):
        position = state.position_of.get(symbol)
        reading = position.quantity_micro if position else 0
        held = max(abs(reading), abs(reading + state.filled_since.get(symbol, 0)))
        quote, market, instrument = state.quotes.get(symbol), state.markets.get(symbol), state.instruments.get(symbol)
        prices = (
            max(quote.bid_nano, quote.ask_nano) if quote else 0,
            market.close_nano if market else 0,
            instrument.prior_close_nano if instrument else 0,
            position.average_cost_nano if position else 0,
        )
        price = next((item for item in prices if item > 0), 0)
        if held and not price:
            return None
        total += notional_nano(held, price)
    return total
