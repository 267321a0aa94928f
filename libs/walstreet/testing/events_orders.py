"""Owns factories for events of orders and the account, with fixed values that a test may replace."""

from __future__ import annotations

from walstreet_events import (
    ROOT,
    AccountValues,
    EventId,
    ExternalOrder,
    IntentBlock,
    MarginAnswered,
    MarginAsked,
    OrderBracketChild,
    OrderBracketed,
    OrderCancelling,
    OrderCommission,
    OrderCorrected,
    OrderFilled,
    OrderIntent,
    OrderLink,
    OrderModified,
    OrderModifying,
    OrderModifyRefused,
    OrderRefused,
    OrderState,
    OrderSubmitting,
    OrderUpdated,
    Position,
    Positions,
    QuoteSeen,
    Side,
    derive_id,
    tag_of,
)

ACCOUNT = "DU1234567"
CON_ID = 265_598
INTENT = "intent-1"
ORDER = "order-1"
EXECUTION = "0000e0d5.00000001.01.01"
DECISION: EventId = derive_id("example", "decision.v1", 0)
GOOD_TILL_S = 60
OrderEvent = (
    OrderRefused
    | OrderSubmitting
    | MarginAsked
    | MarginAnswered
    | OrderBracketed
    | OrderModifying
    | OrderModifyRefused
    | OrderModified
    | OrderCorrected
    | OrderCancelling
    | OrderUpdated
    | OrderFilled
    | OrderCommission
)


def margin_events(ts_ns: int, intent: OrderIntent) -> tuple[MarginAsked, MarginAnswered]:
    """Return the question for an order's margin and its answer."""
    asked = MarginAsked(
        id=derive_id(INTENT, tag_of(MarginAsked), 0),
        cause=ROOT,
        ts_ns=ts_ns,
        order=intent,
        symbol="AAA",
        mode="live",
        index=0,
        broker_order_id=6,
        quantity_micro=100_000_000,
        limit_nano=100_260_000_000,
        good_till_ns=ts_ns + GOOD_TILL_S * 1_000_000_000,
        quote=quote_seen(ts_ns),
    )
    answered = MarginAnswered(
        id=derive_id(asked.id, tag_of(MarginAnswered), 0),
        cause=asked.id,
        ts_ns=ts_ns,
        asked=asked.id,
        intent=INTENT,
        symbol="AAA",
        answered=True,
        initial_margin_after_nano=5_013_000_000_000,
        maintenance_margin_after_nano=4_557_000_000_000,
        equity_with_loan_after_nano=100_000_000_000_000,
        commission_nano=None,
        detail="",
    )
    return asked, answered


def quote_seen(ts_ns: int) -> QuoteSeen:
    """Return the quote a guard looked at."""
    return QuoteSeen(
        bid_nano=100_240_000_000,
        ask_nano=100_260_000_000,
        bid_size_micro=300_000_000,
        ask_size_micro=200_000_000,
        ts_ns=ts_ns,
        seq=41,
    )


def order_submitting(
    ts_ns: int, *, order: str = ORDER, symbol: str = "AAA", side: Side = Side.BUY, quantity_micro: int = 100_000_000
) -> OrderSubmitting:
    """Return a child order that is about to be placed; it lives for ``GOOD_TILL_S``."""
    return OrderSubmitting(
        id=derive_id(order, tag_of(OrderSubmitting), 0),
        cause=DECISION,
        ts_ns=ts_ns,
        intent=INTENT,
        client_order_id=order,
        slice_index=0,
        broker_order_id=7,
        symbol=symbol,
        con_id=CON_ID,
        side=side,
        quantity_micro=quantity_micro,
        limit_nano=100_250_000_000,
        good_till_ns=ts_ns + GOOD_TILL_S * 1_000_000_000,
        quote=quote_seen(ts_ns),
    )


def order_updated(
    ts_ns: int, state: OrderState, *, order: str = ORDER, symbol: str = "AAA", filled_micro: int = 0
) -> OrderUpdated:
    """Return a change of a child order's state."""
    return OrderUpdated(
        id=derive_id(f"{order}:{state.value}:{ts_ns}", tag_of(OrderUpdated), 0),
        cause=ROOT,
        ts_ns=ts_ns,
        client_order_id=order,
        symbol=symbol,
        state=state,
        broker_status="Submitted",
        perm_id=9,
        filled_micro=filled_micro,
        remaining_micro=100_000_000 - filled_micro,
        average_price_nano=0,
        why_held="",
        code=0,
        detail="",
    )


def order_filled(
    ts_ns: int,
    *,
    exec_id: str = EXECUTION,
    order: str = ORDER,
    symbol: str = "AAA",
    side: Side = Side.BUY,
    quantity_micro: int = 40_000_000,
    price_nano: int = 100_250_000_000,
) -> OrderFilled:
    """Return one execution."""
    return OrderFilled(
        id=derive_id(exec_id, tag_of(OrderFilled), 0),
        cause=ROOT,
        ts_ns=ts_ns,
        client_order_id=order,
        intent=INTENT if order else "",
        exec_id=exec_id,
        perm_id=9,
        symbol=symbol,
        con_id=CON_ID,
        side=side,
        price_nano=price_nano,
        quantity_micro=quantity_micro,
        cumulative_micro=quantity_micro,
    )


def modify_examples(ts_ns: int) -> tuple[OrderModifying, OrderModifyRefused, OrderModified]:
    """Return a change in place, one that a guard refused, and the broker's word on the first."""
    modifying = OrderModifying(
        id=derive_id(ORDER, tag_of(OrderModifying), 1),
        cause=ROOT,
        ts_ns=ts_ns,
        client_order_id=ORDER,
        symbol="AAA",
        broker_order_id=7,
        number=1,
        stage=1,
        con_id=CON_ID,
        side=Side.BUY,
        quantity_micro=100_000_000,
        good_till_ns=ts_ns + GOOD_TILL_S * 1_000_000_000,
        limit_nano=100_260_000_000,
        previous_nano=100_250_000_000,
        reason="step",
        quote=quote_seen(ts_ns),
    )
    modified = OrderModified(
        id=derive_id(modifying.id, tag_of(OrderModified), 0),
        cause=modifying.id,
        ts_ns=ts_ns,
        client_order_id=ORDER,
        symbol="AAA",
        broker_order_id=7,
        number=1,
        outcome="accepted",
        limit_nano=100_260_000_000,
        quantity_micro=100_000_000,
        code=0,
        detail="",
    )
    refused = OrderModifyRefused(
        id=derive_id(ORDER, tag_of(OrderModifyRefused), 0),
        cause=ROOT,
        ts_ns=ts_ns,
        client_order_id=ORDER,
        intent=INTENT,
        symbol="AAA",
        stage=2,
        limit_nano=100_270_000_000,
        reason="wide_spread",
        detail="spread: spread_bps 14.1 (limit 12)",
        quote=quote_seen(ts_ns),
    )
    return modifying, refused, modified


def order_bracketed(ts_ns: int) -> OrderBracketed:
    """Return the protective pair of a buy."""
    pair = (("take_profit", 101_000_000_000, 0), ("stop", 0, 99_500_000_000))
    return OrderBracketed(
        id=derive_id(ORDER, tag_of(OrderBracketed), 0),
        cause=DECISION,
        ts_ns=ts_ns,
        intent=INTENT,
        client_order_id=ORDER,
        symbol="AAA",
        con_id=CON_ID,
        side=Side.SELL,
        quantity_micro=100_000_000,
        oca_group="oca-1",
        good_till_ns=ts_ns + 10 * GOOD_TILL_S * 1_000_000_000,
        children=tuple(
            OrderBracketChild(
                kind=kind,
                client_order_id=f"{ORDER}-{kind}",
                slice_index=100 + index,
                broker_order_id=8 + index,
                limit_nano=limit,
                stop_nano=stop,
            )
            for index, (kind, limit, stop) in enumerate(pair)
        ),
    )


def order_corrected(ts_ns: int) -> OrderCorrected:
    """Return the correction of the execution's price."""
    return OrderCorrected(
        id=derive_id("0000e0d5.00000001.01.02", tag_of(OrderCorrected), 0),
        cause=ROOT,
        ts_ns=ts_ns,
        client_order_id=ORDER,
        intent=INTENT,
        exec_id="0000e0d5.00000001.01.02",
        corrects=EXECUTION,
        perm_id=9,
        symbol="AAA",
        con_id=CON_ID,
        side=Side.BUY,
        price_nano=100_240_000_000,
        quantity_micro=40_000_000,
        previous_price_nano=100_250_000_000,
        previous_quantity_micro=40_000_000,
        executed_ns=ts_ns,
    )


def order_commission(
    ts_ns: int, *, exec_id: str = EXECUTION, symbol: str = "AAA", commission_nano: int = 350_000_000
) -> OrderCommission:
    """Return the fee of one execution."""
    return OrderCommission(
        id=derive_id(exec_id, tag_of(OrderCommission), 0),
        cause=ROOT,
        ts_ns=ts_ns,
        exec_id=exec_id,
        symbol=symbol,
        commission_nano=commission_nano,
        realized_pnl_nano=None,
    )


def order_link(ts_ns: int, *, connected: bool = True, data_lost: bool = False, code: int = 0) -> OrderLink:
    """Return a state of the order connection."""
    return OrderLink(
        id=derive_id(f"link:{ts_ns}:{connected}:{data_lost}", tag_of(OrderLink), 0),
        cause=ROOT,
        ts_ns=ts_ns,
        connected=connected,
        data_lost=data_lost,
        client_id=12,
        next_order_id=8 if connected else 0,
        code=code,
        detail="",
    )


def account_values(ts_ns: int, *, cash_nano: int | None = 100_000_000_000_000) -> AccountValues:
    """Return account totals; the margins were not given."""
    return AccountValues(
        id=derive_id(f"values:{ts_ns}", tag_of(AccountValues), 0),
        cause=ROOT,
        ts_ns=ts_ns,
        account=ACCOUNT,
        net_liquidation_nano=100_000_000_000_000,
        cash_nano=cash_nano,
        settled_cash_nano=cash_nano,
        available_funds_nano=cash_nano,
        gross_position_nano=0,
        initial_margin_nano=None,
        maintenance_margin_nano=None,
    )


def positions(ts_ns: int, quantities_micro: dict[str, int]) -> Positions:
    """Return the account's positions."""
    held = tuple(
        Position(symbol=symbol, con_id=CON_ID, quantity_micro=quantity, average_cost_nano=100_000_000_000)
        for symbol, quantity in sorted(quantities_micro.items())
    )
    return Positions(
        id=derive_id(f"positions:{ts_ns}", tag_of(Positions), 0),
        cause=ROOT,
        ts_ns=ts_ns,
        account=ACCOUNT,
        positions=held,
    )


def account_examples(ts_ns: int) -> list[AccountValues | Positions | OrderLink]:
    """Return one event of every account type."""
    return [account_values(ts_ns), positions(ts_ns, {"AAA": -40_000_000}), order_link(ts_ns, data_lost=True, code=1101)]


def order_examples(ts_ns: int) -> list[IntentBlock | OrderEvent | ExternalOrder]:
    """Return one event of every order type."""
    intent = OrderIntent(
        id=INTENT,
        symbol="AAA",
        con_id=CON_ID,
        side=Side.BUY,
        quantity_micro=100_000_000,
        reducing=False,
        horizon_minutes=5,
        arrival_mid_nano=100_250_000_000,
        tif_s=15,
        expires_ns=ts_ns + 15 * 1_000_000_000,
        alpha_bps=7.25,
        target_weight=0.05,
    )
    return [
        IntentBlock(
            id=derive_id(DECISION, tag_of(IntentBlock), 0),
            cause=DECISION,
            ts_ns=ts_ns,
            decision=DECISION,
            mode="live",
            intents=(intent,),
            epoch=2,
            signature=b"\x00\x10\xfe",
        ),
        OrderRefused(
            id=derive_id(INTENT, tag_of(OrderRefused), 0),
            cause=DECISION,
            ts_ns=ts_ns,
            intent=INTENT,
            symbol="AAA",
            reason="spread_wide",
            detail="spread 14.1 bps above 12 bps",
            quote=quote_seen(ts_ns),
        ),
        order_submitting(ts_ns),
        *margin_events(ts_ns, intent),
        order_bracketed(ts_ns),
        *modify_examples(ts_ns),
        OrderCancelling(
            id=derive_id(ORDER, tag_of(OrderCancelling), 0),
            cause=ROOT,
            ts_ns=ts_ns,
            client_order_id=ORDER,
            symbol="AAA",
            broker_order_id=7,
            reason="good_till_passed",
        ),
        order_updated(ts_ns, OrderState.PARTIALLY_FILLED, filled_micro=40_000_000),
        order_filled(ts_ns),
        order_corrected(ts_ns),
        order_commission(ts_ns),
        ExternalOrder(
            id=derive_id("perm:5", tag_of(ExternalOrder), 0),
            cause=ROOT,
            ts_ns=ts_ns,
            symbol="BBB",
            perm_id=5,
            client_id=0,
            order_ref="",
            status="Submitted",
            quantity_micro=10_000_000,
        ),
    ]
