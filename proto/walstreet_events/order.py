"""Owns order intents (arbiter) and the facts of their life at the broker (execution)."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from walstreet_events.envelope import Event, EventId


class Side(StrEnum):
    """Order sides."""

    BUY = "buy"
    SELL = "sell"


class OrderState(StrEnum):
    """States of one child order; the legal transitions stand in ``walstreet.domain.order``."""

    SUBMITTING = "submitting"
    UNKNOWN = "unknown"
    WORKING = "working"
    PARTIALLY_FILLED = "partially_filled"
    PENDING_CANCEL = "pending_cancel"
    INACTIVE = "inactive"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"


class OrderIntent(msgspec.Struct, frozen=True, kw_only=True):
    """A parent order as the arbiter wants it; its id is a pure function of decision, symbol and side."""

    id: str
    symbol: str
    con_id: int
    side: Side
    quantity_micro: int
    reducing: bool
    """True when the order only brings |position| towards zero."""
    horizon_minutes: int
    arrival_mid_nano: int
    """Mid at the decision; the benchmark of the implementation shortfall."""
    tif_s: int
    """Seconds of session time that execution may work the order."""
    expires_ns: int
    """After this instant nothing of the intent may be sent any more."""
    alpha_bps: float
    target_weight: float


class IntentBlock(Event, frozen=True, tag="intent_block.v1"):
    """All parent intents of one decision, in one message, so that a cycle is sent whole or not at all."""

    decision: str
    mode: str
    intents: tuple[OrderIntent, ...]
    epoch: int
    """Epoch of the arbiter that signed."""
    signature: bytes = b""


class QuoteSeen(msgspec.Struct, frozen=True, kw_only=True):
    """The quote from MD that a guard looked at, copied so that the TAPE is complete."""

    bid_nano: int
    ask_nano: int
    bid_size_micro: int
    ask_size_micro: int
    ts_ns: int
    seq: int


class OrderRefused(Event, frozen=True, tag="order_refused.v1"):
    """Execution did not send an intent (or the rest of one), and why."""

    intent: str
    symbol: str
    reason: str
    """Stable reason code of the guard that refused."""
    detail: str
    quote: QuoteSeen | None


class OrderSubmitting(Event, frozen=True, tag="order_submitting.v1"):
    """A child order is about to be placed; journaled and fsynced before the broker sees it."""

    intent: str
    client_order_id: str
    """``orderRef`` at the broker: hash of parent and slice."""
    slice_index: int
    broker_order_id: int
    symbol: str
    con_id: int
    side: Side
    quantity_micro: int
    limit_nano: int
    good_till_ns: int
    """The broker itself ends the order then."""
    quote: QuoteSeen


class MarginAsked(Event, frozen=True, tag="margin_asked.v1"):
    """The broker is about to be asked what a parent order would do to the account; nothing is placed by it.

    It holds the whole intent, so that the answer can be decided on without looking back.
    """

    order: OrderIntent
    symbol: str
    mode: str
    """Mode in which the block was decided."""
    index: int
    """Of the intent in its block."""
    broker_order_id: int
    """Used by the question alone."""
    quantity_micro: int
    limit_nano: int
    good_till_ns: int
    quote: QuoteSeen


class MarginAnswered(Event, frozen=True, tag="margin_answered.v1"):
    """The broker's answer to a what-if, or that there was none; amounts are None where it gave no finite number."""

    asked: EventId
    intent: str
    symbol: str
    answered: bool
    initial_margin_after_nano: int | None
    maintenance_margin_after_nano: int | None
    equity_with_loan_after_nano: int | None
    commission_nano: int | None
    detail: str
    """The broker's warning, or why there is no answer."""


class OrderBracketChild(msgspec.Struct, frozen=True, kw_only=True):
    """One protective order of a bracket, on the other side than its parent."""

    kind: str
    """``take_profit`` or ``stop``."""
    client_order_id: str
    """Hash of parent and slice, as of every child."""
    slice_index: int
    broker_order_id: int
    limit_nano: int
    """0 for a stop, which is a market order once it is triggered."""
    stop_nano: int
    """0 for a take-profit."""


class OrderBracketed(Event, frozen=True, tag="order_bracketed.v1"):
    """The next submission of ``client_order_id`` goes out with these protective orders, all or none of them.

    It stands before that submission on the TAPE; nothing is placed because of it alone.
    """

    intent: str
    client_order_id: str
    """Of the order that opens the position."""
    symbol: str
    con_id: int
    side: Side
    """Of the protective orders."""
    quantity_micro: int
    oca_group: str
    good_till_ns: int
    children: tuple[OrderBracketChild, ...]


class OrderModifying(Event, frozen=True, tag="order_modifying.v1"):
    """A working order is about to be changed in place; journaled and fsynced before the broker sees it."""

    client_order_id: str
    symbol: str
    broker_order_id: int
    number: int
    """Of the change, counted from 1 for each order."""
    stage: int
    """Of the schedule: 1 and 2 are steps, 3 is the cross."""
    con_id: int
    side: Side
    quantity_micro: int
    """Of the whole order, as it was: a change repeats all terms."""
    good_till_ns: int
    limit_nano: int
    """Asked for."""
    previous_nano: int
    """In force until the broker has taken the change."""
    reason: str
    quote: QuoteSeen


class OrderModifyRefused(Event, frozen=True, tag="order_modify_refused.v1"):
    """A guard refused a change that the schedule asked for; the order works on as it was.

    Journaled once for each order, stage and reason, however often the change is tried again.
    """

    client_order_id: str
    intent: str
    symbol: str
    stage: int
    """Of the schedule: 1 and 2 are steps, 3 is the cross."""
    limit_nano: int
    """Asked for."""
    reason: str
    """Stable reason code of the guard that refused."""
    detail: str
    quote: QuoteSeen


class OrderModified(Event, frozen=True, tag="order_modified.v1"):
    """What became of a change, or what the broker changed by itself: the terms now in force."""

    client_order_id: str
    symbol: str
    broker_order_id: int
    number: int
    """Of the change that this answers."""
    outcome: str
    """``accepted``, ``refused``, ``lost`` (found not to have arrived) or ``changed`` (by the broker)."""
    limit_nano: int
    quantity_micro: int
    code: int
    """Broker error code that came with it, 0 without one."""
    detail: str


class OrderCancelling(Event, frozen=True, tag="order_cancelling.v1"):
    """A cancel is about to be sent."""

    client_order_id: str
    symbol: str
    broker_order_id: int
    reason: str


class OrderUpdated(Event, frozen=True, tag="order_updated.v1"):
    """A child order changed its state by the broker's word (or by proof from a query)."""

    client_order_id: str
    symbol: str
    state: OrderState
    broker_status: str
    perm_id: int
    filled_micro: int
    """Cumulative; never falls."""
    remaining_micro: int
    average_price_nano: int
    why_held: str
    code: int
    """Broker error code that came with it, 0 without one."""
    detail: str


class OrderFilled(Event, frozen=True, tag="order_filled.v1"):
    """One execution, identified by the broker's execution id."""

    client_order_id: str
    """Empty for an order that is not ours (external)."""
    intent: str
    exec_id: str
    perm_id: int
    symbol: str
    con_id: int
    side: Side
    price_nano: int
    quantity_micro: int
    cumulative_micro: int


class OrderCorrected(Event, frozen=True, tag="order_corrected.v1"):
    """The broker replaced one execution by another, which counts instead of it."""

    client_order_id: str
    intent: str
    exec_id: str
    """Of the correction."""
    corrects: str
    """Execution id that counts no more."""
    perm_id: int
    symbol: str
    con_id: int
    side: Side
    price_nano: int
    quantity_micro: int
    previous_price_nano: int
    previous_quantity_micro: int
    executed_ns: int
    """Time of the execution itself."""


class OrderCommission(Event, frozen=True, tag="order_commission.v1"):
    """The fee of one execution; it arrives after the fill."""

    exec_id: str
    symbol: str
    commission_nano: int
    realized_pnl_nano: int | None
    """None on an opening fill."""


class ExternalOrder(Event, frozen=True, tag="external_order.v1"):
    """An order or fill that no intent of ours explains; it blocks the symbol until adopted."""

    symbol: str
    perm_id: int
    client_id: int
    order_ref: str
    status: str
    quantity_micro: int
