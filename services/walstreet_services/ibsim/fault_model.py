"""Owns the vocabulary of faults: one frozen struct per kind, and the script that holds them.

What each kind does, and which row of the broker's known failures it produces, is in ``docs/FAULTS.md``.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from walstreet_services.ibsim.fault_base import (
    ORDER_MESSAGES,
    Bps,
    ClientId,
    Code,
    Count,
    Counted,
    Fault,
    Lasting,
    NotNegative,
    OrderFault,
    OrderId,
    Positive,
    RequestName,
    Shares,
    Symbols,
    Text,
    Usd,
    WireFault,
)

# Connections


class Disconnect(Fault, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="disconnect"):
    """Closes the sockets of one client or of all."""

    client_id: ClientId | None = None
    abort: bool = False
    """Reset at once; what was queued is lost."""


class NightlyReset(Fault, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="nightly_reset"):
    """Swallows the last requests, drops everybody, rolls order ids back and is away for a while."""

    dying_seconds: NotNegative = 0.0
    """How long placements and cancels are written to the dying socket, and vanish, before it closes."""
    down_seconds: NotNegative = 60.0
    next_valid_id: Annotated[int, msgspec.Meta(ge=1, le=2_000_000_000)] | None = 1
    """What every client is offered afterwards; None keeps the ids."""
    forget_ended: bool = True
    """Ids of ended orders can then be used again, as after a real restart."""


class RefuseConnections(
    Lasting, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="refuse_connections"
):
    """Cuts every new connection off."""


class Hang(Lasting, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="hang"):
    """Keeps port and sockets open and answers nothing."""

    scope: Literal["all", "new"] = "all"
    """``new``: only connections that open meanwhile stay mute."""
    requests: Literal["later", "lost"] = "later"


class HoldClientId(
    Lasting, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="hold_client_id"
):
    """Refuses a client id as being in use (326), as after a leaked socket."""

    client_id: ClientId | None = None


class Outage(Lasting, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="outage"):
    """The gateway loses the broker's servers (1100); what comes back need not be what the end code says."""

    end_code: Literal[1101, 1102] | None = 1102
    notices: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1
    """How many times 1100 is announced at the start."""
    subscriptions: Literal["kept", "lost"] = "kept"
    reports: Literal["lost", "delivered"] = "lost"
    """Whether statuses, executions and commissions reach clients meanwhile; the market goes on either way."""
    placements: Literal["work", "lost"] = "work"
    requests: Literal["answered", "lost"] = "lost"


class Farm(Lasting, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="farm"):
    """A data farm breaks (2103, 2105, 2157) or sleeps (2107, 2108), and says that it is back."""

    code: Literal[2103, 2105, 2107, 2108, 2110, 2157] = 2103
    data: Literal["stops", "goes_on"] = "stops"
    ok_after_seconds: Positive | None = None
    """When the farm claims to be OK, although its data come back only at the end; None claims it at the end."""


class Notice(Fault, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="notice"):
    """Sends any code without a cause."""

    code: Code
    text: Text = ""
    request_id: OrderId = -1
    client_id: ClientId | None = None


class Pacing(Lasting, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="pacing"):
    """Enforces the broker's limits on messages (100, then the socket closes) and on history (162)."""

    messages_per_second: Count = 50
    strikes: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 3
    """Which excess closes the socket; each one before it is answered with error 100."""
    excess: Literal["lost", "handled"] = "lost"
    clock: Literal["session", "wall"] = "session"
    """``wall`` judges a running stack by real time, and is not reproducible."""
    historical_count: Count = 60
    historical_window_seconds: Positive = 600.0
    identical_seconds: Positive = 15.0
    contract_count: Count = 6
    """Requests for one contract and kind within ``contract_seconds``; this many are one too many."""
    contract_seconds: Positive = 2.0
    historical_strikes: Count | None = None
    """After this many refused historical requests the socket closes."""


class CompetingSession(
    Lasting, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="competing_session"
):
    """Another log-in takes the live data: 10197 for each subscription, and no quotes."""


class LineLimit(Lasting, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="line_limit"):
    """Allows fewer quote subscriptions than usual (101)."""

    lines: Annotated[int, msgspec.Meta(ge=0, le=100)]


# Answers


class AnswerError(Counted, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="answer_error"):
    """Answers a kind of request with an error instead."""

    request: RequestName
    code: Code
    text: Text = ""


class NoAnswer(Counted, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="no_answer"):
    """Swallows a kind of request."""

    request: RequestName


class WhatIf(Counted, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="what_if"):
    """Answers previews with unset values only, with zeros, or never."""

    answer: Literal["unset", "zeros", "never"]


# Messages on their way to the client


class Lose(WireFault, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="lose"):
    """Never delivers the messages."""


class Duplicate(WireFault, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="duplicate"):
    """Delivers the messages several times, at once."""

    copies: Annotated[int, msgspec.Meta(ge=2, le=10)] = 2


class Delay(WireFault, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="delay"):
    """Delivers the messages late; the rows of an answer to a query come with its end, as they do from the broker."""

    delay_seconds: Positive


class Hold(WireFault, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="hold"):
    """Keeps an order's messages back until another kind of message of that order has been sent."""

    until: Literal["execution", "order_status", "open_order"] = "execution"

    def __post_init__(self) -> None:
        """Refuse messages that name no order, and a message that waits for itself."""
        super().__post_init__()
        for name in self.messages:
            if name not in ORDER_MESSAGES or name == self.until:
                known = ", ".join(item for item in ORDER_MESSAGES if item != self.until)
                raise ValueError(f"cannot hold {name} until {self.until}; it can hold {known}")


class Reorder(WireFault, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="reorder"):
    """Changes the order of the messages that one request or market step causes."""

    order: Literal["reverse", "shuffle"] = "reverse"


class StaleStatus(Counted, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="stale_status"):
    """Repeats an order's previous status after each new one: the state seems to go backwards."""


class TimeText(Lasting, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="time_text"):
    """Writes the times of executions in another form."""

    form: Literal["utc", "no_zone", "utc_no_zone"]


class DelayedData(Lasting, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="delayed_data"):
    """Turns live tick types into delayed ones (66-76), with or without saying so (message 58)."""

    announce: bool = True
    symbols: Symbols = ()


# Orders


class DropPlacements(
    OrderFault, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="drop_placements"
):
    """Placements without any callback: lost before the book, or live and silent."""

    fate: Literal["lost", "silent"] = "lost"


class RefuseOrders(
    OrderFault, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="refuse_orders"
):
    """Refuses placements; 201 is followed by Inactive, other codes leave no order."""

    code: Code = 201
    text: Text = ""


class WarnOrders(
    OrderFault, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="warn_orders"
):
    """Sends an error code for orders that nevertheless work, and may strip their terms."""

    code: Code = 10349
    text: Text = ""
    strip: tuple[Literal["tif", "outside_rth"], ...] = ()


class Locate(OrderFault, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="locate"):
    """Holds short sales for shares to be located (404, whyHeld)."""

    locate_seconds: Positive | None = None
    """After which the outcome comes; None waits for ever."""
    outcome: Literal["found", "inactive"] = "found"


class StalePresubmitted(
    OrderFault, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="stale_presubmitted"
):
    """Never announces Submitted, although the order works."""


class Deactivate(OrderFault, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="deactivate"):
    """Makes live orders Inactive for the duration; afterwards they work again."""

    why_held: Text = ""


class CancelFault(OrderFault, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="cancel"):
    """Treats cancels badly: pending for ever, unanswered, refused, or a Cancelled that is not true."""

    answer: Literal["pending", "silent", "refused", "untrue"]
    code: Literal[161, 10147, 10148] = 161
    """Of a refusal."""
    outcome_seconds: NotNegative | None = None
    """After which the outcome comes; None leaves the order to the market."""
    outcome: Literal["cancelled", "filled"] = "cancelled"


class SplitModification(
    OrderFault, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="split_modification"
):
    """Lets a modification create a second live order beside the old one."""


class PartialFills(
    OrderFault, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="partial_fills"
):
    """Fills at most so many shares of an order in one market step."""

    shares: Shares = 1


class Commission(Lasting, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="commission"):
    """Reports commissions late or never."""

    delay_seconds: Positive | None = None
    """None: never."""


class Correction(Fault, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="correction"):
    """Corrects an execution: the same id with the next suffix, other price or fewer shares."""

    execution: Annotated[int, msgspec.Meta(ge=-1_000_000, le=1_000_000)] = -1
    """Position in the session's executions; -1 is the latest."""
    price_change_usd: Annotated[float, msgspec.Meta(ge=-1000, le=1000)] = 0.0
    shares: Shares | None = None
    """The corrected quantity, at most the first one."""


class StrayExecution(
    Fault, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="stray_execution"
):
    """Reports an execution of a contract that nobody asked for; it is not true."""

    symbol: str = "STRAY"
    con_id: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] = 999_999_999
    shares: Shares = 100
    price_usd: Usd = 10.0


class Replay(Fault, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="replay"):
    """Sends known executions and open orders again, unasked."""

    executions: bool = True
    orders: bool = True


class ForeignOrder(Fault, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="foreign_order"):
    """An order from elsewhere: by hand (order id 0) or by another client."""

    symbol: str
    side: Literal["BUY", "SELL"]
    shares: Shares
    limit_usd: Usd | None = None
    client_id: ClientId = 0
    order_id: Annotated[int, msgspec.Meta(ge=0, le=2_000_000_000)] = 0
    announce: bool = True
    """Tell every client; else only the named one hears of it."""


# Market and account


class Halt(Lasting, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="halt"):
    """Halts instruments: no trades, tick 49."""

    symbols: Symbols
    reason: Literal["general", "volatility"] = "general"
    quotes: Literal["frozen", "gone"] = "frozen"
    announce: bool = True


class LimitBands(Lasting, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="luld"):
    """Limit up, limit down: bands around the last five minutes' mean price, and a pause after a limit state."""

    symbols: Symbols
    band_bps: Bps = 500
    limit_state_seconds: Positive = 15.0
    pause_seconds: Positive = 300.0


class PriceShock(Fault, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="price_shock"):
    """Moves all later prices of an instrument."""

    symbol: str
    change_bps: Annotated[int, msgspec.Meta(ge=-9_900, le=100_000)]


class ShortSaleRule(Lasting, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="ssr"):
    """Rule 201: short sales only above the bid, or rejected by the broker."""

    symbols: Symbols
    effect: Literal["passive_only", "reject"] = "passive_only"


class Borrow(Lasting, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="borrow"):
    """Changes what can be borrowed: ticks 46 and 89, and what becomes of short sales."""

    symbols: Symbols
    shares: Annotated[int, msgspec.Meta(ge=0, le=2_000_000_000)] | None = 0
    """None sends NaN, as the broker does when it does not know."""
    level: Annotated[float, msgspec.Meta(ge=0, le=3)] | None = 0.5
    """Above 2.5 available, above 1.5 after a locate, below not; None sends NaN."""
    short_sales: Literal["allowed", "held", "rejected"] = "held"
    """Of more than ``shares``."""


class MarginCall(Lasting, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="margin_call"):
    """Raises the margin rates; a deficit that lasts is liquidated, largest holding first."""

    initial_bps: Bps = 10_000
    maintenance_bps: Bps = 9_000
    grace_seconds: NotNegative = 60.0
    liquidate: bool = True
    announce: bool = False
    """Tell every client of the forced orders; else only account and positions show them."""


class Liquidation(Fault, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="liquidation"):
    """The broker closes holdings by force."""

    symbols: Symbols = ()
    """Empty: all."""
    announce: bool = False


class Split(Fault, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="split"):
    """A stock split: holdings, prices, sizes and history change; open orders are cancelled."""

    symbol: str
    new_shares: Annotated[int, msgspec.Meta(ge=1, le=1000)]
    old_shares: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1


class Dividend(Fault, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="dividend"):
    """A cash dividend on the present holding."""

    symbol: str
    usd_per_share: Usd
    price_drops: bool = True


AnyFault = (
    Disconnect
    | NightlyReset
    | RefuseConnections
    | Hang
    | HoldClientId
    | Outage
    | Farm
    | Notice
    | Pacing
    | CompetingSession
    | LineLimit
    | AnswerError
    | NoAnswer
    | WhatIf
    | Lose
    | Duplicate
    | Delay
    | Hold
    | Reorder
    | StaleStatus
    | TimeText
    | DelayedData
    | DropPlacements
    | RefuseOrders
    | WarnOrders
    | Locate
    | StalePresubmitted
    | Deactivate
    | CancelFault
    | SplitModification
    | PartialFills
    | Commission
    | Correction
    | StrayExecution
    | Replay
    | ForeignOrder
    | Halt
    | LimitBands
    | PriceShock
    | ShortSaleRule
    | Borrow
    | MarginCall
    | Liquidation
    | Split
    | Dividend
)


class FaultScript(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes wrong in a session, and when."""

    seed: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 1
    faults: Annotated[tuple[AnyFault, ...], msgspec.Meta(max_length=10_000)] = ()
