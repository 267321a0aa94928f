"""Owns operational events: reconciliation, mode requests, operator commands, epochs, checkpoints, dead letters."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from walstreet_events.account import Position
from walstreet_events.decision import Mode
from walstreet_events.envelope import Event, EventId


class BrokerOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One order in a broker snapshot."""

    order_ref: str
    perm_id: int
    client_id: int
    symbol: str
    side: str
    quantity_micro: int
    filled_micro: int
    status: str


class BrokerExecution(msgspec.Struct, frozen=True, kw_only=True):
    """One execution in a broker snapshot."""

    exec_id: str
    order_ref: str
    perm_id: int
    symbol: str
    side: str
    price_nano: int
    quantity_micro: int
    ts_ns: int


class ReconRequest(Event, frozen=True, tag="recon_request.v1"):
    """The reconciler asks execution for a snapshot of the broker's truth."""

    number: int
    reason: str
    """``start``, ``reconnect``, ``periodic`` or ``operator``."""


class ReconSnapshot(Event, frozen=True, tag="recon_snapshot.v1"):
    """The broker's answer. ``ok`` false means *unknown*, never *flat*."""

    request: str
    ok: bool
    detail: str
    open_orders: tuple[BrokerOrder, ...]
    completed_orders: tuple[BrokerOrder, ...]
    executions: tuple[BrokerExecution, ...]
    positions: tuple[Position, ...]
    cash_nano: int | None
    net_liquidation_nano: int | None


class BreakKind(StrEnum):
    """Types of reconciliation breaks."""

    MISSING_LOCAL = "missing_local"
    MISSING_BROKER = "missing_broker"
    QUANTITY = "quantity"
    PRICE = "price"
    CASH = "cash"
    EXTERNAL_ORDER = "external_order"


class ReconBreak(Event, frozen=True, tag="recon_break.v1"):
    """Our books and the broker's disagree in one point."""

    snapshot: str
    kind: BreakKind
    symbol: str
    reference: str
    """Execution id, order reference or account field."""
    ours: str
    brokers: str
    policy: str
    """``strict``, ``warn`` or ``auto_sync``."""


class LedgerCorrection(Event, frozen=True, tag="ledger_correction.v1"):
    """The broker's word replaces ours in one point of the books; every ledger folds it, so nothing changes silently.

    With the policy ``adopted`` it also ends the block of a symbol that a foreign order or position has caused.
    """

    snapshot: str
    """Id of the snapshot that showed the difference."""
    kind: BreakKind
    symbol: str
    """Empty for cash alone."""
    reference: str
    """What differed: ``position``, ``cash``, ``adoption`` or an execution id."""
    position_change_micro: int
    average_cost_nano: int
    """At which the change enters the basis."""
    cash_change_nano: int
    execution: BrokerExecution | None
    """Taken in as if it had been reported; it replaces earlier versions of the same execution."""
    policy: str
    """``auto_sync`` or ``adopted``."""
    operator: str
    """Who adopted; empty for ``auto_sync``."""
    reason: str


class ReconReport(Event, frozen=True, tag="recon_report.v1"):
    """Result of one reconciliation; the arbiter waits for the first clean one."""

    request: str
    snapshot: str
    status: str
    """``clean``, ``breaks`` or ``unknown``."""
    orders_checked: int
    executions_checked: int
    positions_checked: int
    breaks: int


class ModeRequest(Event, frozen=True, tag="mode_request.v1"):
    """A service asks the arbiter for a mode; the arbiter's mode controller decides."""

    service: str
    mode: Mode
    reason: str
    topic: str = ""
    """What the request is about. A service's requests on different topics stand beside each other, so that clean
    books do not withdraw what a broken chain asked for."""


class FlattenPhase(StrEnum):
    """What a ``FlattenState`` says."""

    BEGAN = "began"
    """Latched: nothing new is sent, everything is cancelled, every position is closed."""
    PROVING = "proving"
    """The broker is asked for its truth; positions are closed only on what it answers."""
    WAITING = "waiting"
    """Some positions cannot be closed now, and why."""
    OVERDUE = "overdue"
    """Not flat in the time allowed."""
    FLAT = "flat"
    """By the broker's word no position and no order is left."""


class FlattenState(Event, frozen=True, tag="flatten_state.v1"):
    """A step of an emergency, by execution, which needs neither the arbiter nor the log for it."""

    emergency: EventId
    """Id of the event that began it."""
    phase: FlattenPhase
    number: int
    """Of this event within the emergency."""
    source: str
    """``operator``, ``panic_flag``, ``signal`` or ``mode``."""
    operator: str
    detail: str
    elapsed_ms: int
    """Session time since it began."""
    open_orders: int
    positions: tuple[Position, ...]
    """What is left, by the newest reading."""
    deferred: dict[str, str]
    """Symbol to the reason why it cannot be closed now."""


class GatewayProbed(Event, frozen=True, tag="gateway_probed.v1"):
    """What the gateway said of itself when trading was to be armed; a part that failed is empty or false."""

    ok: bool
    """The gateway is the one that live trading asks for."""
    armed: bool
    """It is, and enough people have turned their keys."""
    keys: tuple[str, ...]
    """People whose ``arm`` counts."""
    detail: str
    """The first thing that does not hold."""
    account: str
    port: int
    server_version: int
    what_if: bool
    """A question for margin was answered with finite numbers."""
    broker_order_id: int
    """Used by that question alone, 0 without one."""


class OperatorCommand(Event, frozen=True, tag="operator_command.v1"):
    """A person's command: ``panic``, ``resume``, ``mode``, ``arm``, ``disarm``, ``rearm``, ``adopt``, ``reconcile``."""

    command: str
    arguments: dict[str, str]
    operator: str


class ParameterChange(Event, frozen=True, tag="parameter_change.v1"):
    """A validated change of one parameter; applied at the next cycle boundary."""

    path: str
    value: str
    """JSON text of the new value."""
    previous: str
    operator: str


class ProducerEpoch(Event, frozen=True, tag="producer_epoch.v1"):
    """A producer started a new life; everything of its older lives is fenced off from here on."""

    service: str
    epoch: int
    config_hash: str
    previous_chain: str
    """Last chain value of the epoch before, empty for the first."""
    previous_seq: int


class ChainCheckpoint(Event, frozen=True, tag="chain_checkpoint.v1"):
    """The reconciler's digest over a range of the TAPE in stream order."""

    first_seq: int
    last_seq: int
    digest: str
    previous: str
    signature: bytes = b""


class DeadLetter(Event, frozen=True, tag="dead_letter.v1"):
    """A message that a service could not handle, kept whole."""

    service: str
    reason: str
    detail: str
    subject: str
    stream_seq: int
    payload: bytes
