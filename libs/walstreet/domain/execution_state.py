"""Owns the state of execution: what the log says about orders, account and session, and the volatile latest quotes.

``execution_fold`` rebuilds the durable part from inputs and own outputs alone. The volatile part (quotes, the latest
observed time, whether the link was seen since the start, fees that wait for their execution) is lost by a
crash on purpose: nothing in it is a fact that the log needs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from walstreet.domain.arming import ArmingMemory
from walstreet.domain.corrections import CountedFill
from walstreet.domain.ended_orders import EndedOrders
from walstreet.domain.execution_market import SymbolMarket
from walstreet.domain.execution_parents import ParentWork
from walstreet.domain.external import Externals
from walstreet.domain.flatten import Emergency
from walstreet.domain.guard_orders import RECENT_ORDERS_MAX, RecentOrder
from walstreet.domain.guard_short import Borrow
from walstreet.domain.marks import MarkBook
from walstreet.domain.mode_causes import LossMemory
from walstreet.domain.observations import CommissionObserved, QuoteObserved
from walstreet.domain.order import Order
from walstreet.domain.parameter_changes import Changes
from walstreet.domain.repeat_throttle import ThrottleState
from walstreet.domain.signing import BlockVerdict
from walstreet_events import (
    NANOS_PER_SECOND,
    AccountValues,
    InstrumentRef,
    MarginAsked,
    Mode,
    OrderBracketed,
    OrderLink,
    PhaseName,
    Position,
    Positions,
    PriorSession,
    ReconSnapshot,
)

DAY_NS = 86_400 * NANOS_PER_SECOND
EARLY_COMMISSIONS_MAX = 4_096
"""Fees that may wait for their execution; the oldest goes first, and a query brings it again."""
RECENT_S = 600
"""Parents are remembered this long as recent ones; no guard's window is longer."""
RECENT_MAX = 4_096
STRATEGY = "intraday"
"""The one strategy behind all intents, for the throttle of repeated executions."""
PANIC = "panic"
RESUME = "resume"
REARM = "rearm"
"""Arguments ``symbol`` and ``side``, or none for the whole account."""

assert RECENT_MAX >= 1_000, "the budget's largest value must fit into the memory of recent orders"
assert RECENT_MAX <= RECENT_ORDERS_MAX


@dataclass(slots=True, kw_only=True)
class ExecutionState:
    """Everything execution knows; the loop owns it and ``fold`` updates it in place."""

    # Durable: a function of the log.
    clock_ns: int = 0
    mode: Mode | None = None
    panic: bool = False
    """Latched: a panic, or an emergency of any source."""
    emergency: Emergency | None = None
    arming: ArmingMemory = field(default_factory=ArmingMemory)
    emergencies: int = 0
    """How many have begun."""
    phase: PhaseName | None = None
    open_ns: int = 0
    close_ns: int = 0
    instruments: dict[str, InstrumentRef] = field(default_factory=dict)
    halted: dict[str, bool] = field(default_factory=dict)
    external: Externals = field(default_factory=Externals)
    """Symbols with a foreign order, fill or position that nobody has adopted."""
    external_seen: dict[tuple[int, str], bool] = field(default_factory=dict)
    arbiter_epoch: int | None = None
    """The arbiter's newest life that the log names."""
    blocks: dict[str, int] = field(default_factory=dict)
    """Blocks of intents that were believed, with their time."""
    blocks_seen: int = 0
    """All blocks, believed or not."""
    intents: dict[str, int] = field(default_factory=dict)
    """Intents handled, with the time until which a repetition is refused as such."""
    parents: dict[str, ParentWork] = field(default_factory=dict)
    """Intents of blocks that were believed, by id."""
    undecided: dict[str, None] = field(default_factory=dict)
    """Intents of blocks that were accepted for which the log holds no outcome yet, in the order of coming."""
    residual_micro: dict[str, int] = field(default_factory=dict)
    """Signed, per symbol: what its newest intent asked for below the smallest quantity that is ordered."""
    brackets: dict[str, OrderBracketed] = field(default_factory=dict)
    """Protective orders by the client order id that they go out with."""
    fills: dict[str, CountedFill] = field(default_factory=dict)
    """Per execution without its revision: the one that counts."""
    snapshot: ReconSnapshot | None = None
    """The newest that succeeded."""
    asked: dict[str, MarginAsked] = field(default_factory=dict)
    """Questions for margin whose intents are not decided yet, by intent."""
    orders: dict[str, Order] = field(default_factory=dict)
    open_orders: dict[str, bool] = field(default_factory=dict)
    """Client order ids of orders that have not ended."""
    ended: EndedOrders = field(default_factory=EndedOrders)
    """Orders that have ended by the broker's word and not yet by proof."""
    by_broker_id: dict[int, str] = field(default_factory=dict)
    by_perm_id: dict[int, str] = field(default_factory=dict)
    symbol_of_execution: dict[str, str] = field(default_factory=dict)
    commissions: dict[str, tuple[int, int | None]] = field(default_factory=dict)
    recent: dict[str, RecentOrder] = field(default_factory=dict)
    """Parents sent of late by intent."""
    throttle: ThrottleState = field(default_factory=ThrottleState)
    sent_nano: int = 0
    """Notional of all parents sent in the session."""
    losses: LossMemory = field(default_factory=LossMemory)
    markets: dict[str, SymbolMarket] = field(default_factory=dict)
    priors: dict[str, PriorSession] = field(default_factory=dict)
    borrow: dict[str, Borrow] = field(default_factory=dict)
    data_type: str | None = None
    """Of the market data that arrive, by the feed's last word."""
    lines_broken: dict[str, bool] = field(default_factory=dict)
    """Per symbol whether its own subscription brings nothing."""
    session_date: str = ""
    next_order_id: int = 1
    """High-water mark: above every id that was journaled and every floor that the broker gave."""
    link: OrderLink | None = None
    link_revision: int = 0
    account: AccountValues | None = None
    positions: Positions | None = None
    position_of: dict[str, Position] = field(default_factory=dict)
    filled_since: dict[str, int] = field(default_factory=dict)
    """Signed fills journaled since the broker's last reading of the positions, which may hold them already."""
    account_revision: int = 0
    marks: MarkBook = field(default_factory=MarkBook)
    """Quotes that the analysis of costs waits for."""
    changes: Changes = field(default_factory=Changes)
    """Parameters changed since the start."""
    # Volatile: lost by a crash.
    observed_ns: int = 0
    verdict: BlockVerdict | None = None
    """Of the block that was folded last."""
    quotes: dict[str, QuoteObserved] = field(default_factory=dict)
    feed_ts_ns: int = 0
    link_seen: bool = False
    asked_before: dict[str, None] = field(default_factory=dict)
    """Intents whose question for margin an earlier life asked and nobody answered; volatile, asked again."""
    resliced: str = ""
    """Snapshot that was last looked at for parents to be sent on."""
    protection_seen: str = ""
    """Snapshot that was last looked at for protection without a position."""
    early_commissions: dict[str, CommissionObserved] = field(default_factory=dict)
    unmatched_errors: int = 0
    """Error messages that name no order of ours."""

    def now_ns(self, at_least_ns: int = 0) -> int:
        """Return the latest time that anything has told."""
        return max(self.clock_ns, self.observed_ns, at_least_ns)

    def handled(self, intent: str) -> bool:
        """Return whether an intent was decided, or waits for an answer on which it will be."""
        return intent in self.intents or intent in self.asked

    def effective_mode(self, block_mode: str) -> Mode:
        """Return the stricter of the journaled mode and the mode that the block was decided in."""
        named = Mode(block_mode) if block_mode in _MODES else Mode.OBSERVE
        if self.mode is None or _STRICTNESS[named] > _STRICTNESS[self.mode]:
            return named
        return self.mode


_STRICTNESS: dict[Mode, int] = {Mode.LIVE: 0, Mode.DEGRADED: 1, Mode.OBSERVE: 2, Mode.EMERGENCY: 3}
_MODES = tuple(mode.value for mode in Mode)
