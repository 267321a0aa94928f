"""Owns what the arbiter remembers, all of it rebuilt from the log: inputs and its own outputs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from walstreet.domain import barrier_exits
from walstreet.domain.arbiter_parameters import ArbiterParameters
from walstreet.domain.barrier_exits import BarrierMemory
from walstreet.domain.book_memory import BookMemory
from walstreet.domain.external import Externals
from walstreet.domain.feeds import ALL_OR_NOTHING, concerns_all, symbol_of_line
from walstreet.domain.horizon_learning import HorizonLearning
from walstreet.domain.learning import LearningState
from walstreet.domain.ledger import Ledger
from walstreet.domain.mode import Cause, ModeMemory, standing_causes
from walstreet.domain.mode_causes import FaultMemory, LossMemory, fact_causes, gross_usd
from walstreet.domain.parameter_changes import Changes
from walstreet.domain.prefilter import PrefilterMemory
from walstreet.domain.rotation_memory import RotationMemory
from walstreet.domain.units import price_usd
from walstreet.domain.working_orders import WorkingOrders
from walstreet_events import FeatureBlock, InstrumentRef, Mode

PENDING_FEATURES_MAX = 8
"""Feature blocks that wait for their predictions; the oldest are dropped and counted."""
PENDING_WARMUP_MAX = 8_192
"""The same for the warm-up, whose features come at once and whose predictions follow; 20 sessions and more."""
DATA_TYPES_NOT_LIVE: tuple[str, ...] = ("frozen", "delayed", "delayed_frozen")
"""A farm that sends these is as good as broken."""
ORDER_LINK = "orders"
"""Name of execution's connection among the links; the gateway's are ``client:<id>``."""

DROPPED_FEATURES = "pending_features_dropped"
UNMATCHED_PREDICTIONS = "unmatched_predictions"

_encoder = msgspec.msgpack.Encoder(order="deterministic")


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFacts:
    """The session being traded."""

    session_date: str
    open_ns: int
    close_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """The last cycle in which a symbol was wanted: what a position may be held for."""

    direction: int
    horizon_minutes: int
    ts_ns: int


@dataclass(slots=True, kw_only=True)
class ArbiterState:
    """State of the arbiter; see ``ArbiterCore.evolve`` for how each event changes it."""

    choices: HorizonLearning
    """The learning choices of a horizon."""
    book: BookMemory
    """Correlations, regimes, intents and slippage."""
    clock_ns: int = 0
    """Last clock tick."""
    epoch: int = 0
    session: SessionFacts | None = None
    bar_ns: int = 0
    ledger: Ledger = field(default_factory=Ledger)
    working: WorkingOrders = field(default_factory=WorkingOrders)
    mode: ModeMemory = field(default_factory=ModeMemory)
    farms: dict[str, bool] = field(default_factory=dict)
    """Health per market-data farm."""
    links: dict[str, bool] = field(default_factory=dict)
    """Whether each connection to the broker is up."""
    recon_status: str = ""
    """Status of the last reconciliation; empty before the first."""
    reconciled: bool = False
    """False until the first clean reconciliation, after a break, and after a lost order connection."""
    instruments: dict[str, InstrumentRef] = field(default_factory=dict)
    halted: dict[str, bool] = field(default_factory=dict)
    external: Externals = field(default_factory=Externals)
    """Symbols with an order, a fill or a position that is not ours, until a person adopts it."""
    equity_nano: int | None = None
    pending: dict[str, FeatureBlock] = field(default_factory=dict)
    joined: FeatureBlock | None = None
    """The feature block of the prediction block folded last."""
    signals: dict[str, Signal] = field(default_factory=dict)
    losses: LossMemory = field(default_factory=LossMemory)
    faults: FaultMemory = field(default_factory=FaultMemory)
    gross_usd: float = 0.0
    """Notional of all positions at the ledger's marks; derived, so not part of the digest."""
    prefilter: PrefilterMemory = field(default_factory=PrefilterMemory)
    """Names for which the expensive models run."""
    learning: LearningState = field(default_factory=LearningState)
    exits: dict[str, BarrierMemory] = field(default_factory=dict)
    """Scale-outs and soft stops of held symbols."""
    rotation: RotationMemory = field(default_factory=RotationMemory)
    """Settled cash, day trades, orders and rebalance of the daily rotation."""
    changes: Changes = field(default_factory=Changes)
    """Parameters changed since the start."""
    counters: dict[str, int] = field(default_factory=dict)
    """What was dropped or could not be matched, by reason."""

    def count(self, reason: str) -> None:
        """Count one event under ``reason``."""
        self.counters[reason] = self.counters.get(reason, 0) + 1

    @property
    def farms_healthy(self) -> int:
        """Return the number of farms that are up; what concerns one symbol, or none, is no farm."""
        return sum(healthy for farm, healthy in self.farms.items() if concerns_all(farm))

    @property
    def farms_broken(self) -> int:
        """Return the number of known farms that are not up."""
        return sum(not healthy for farm, healthy in self.farms.items() if concerns_all(farm))

    @property
    def feed_lost(self) -> bool:
        """Return whether no data come that may be traded on: no farm is up, none arrive, or they are not live."""
        told = all(self.farms.get(farm, True) for farm in ALL_OR_NOTHING)
        return not (told and self.farms_healthy)

    @property
    def lines_broken(self) -> tuple[str, ...]:
        """Return the symbols whose own subscription brings nothing."""
        broken = (symbol_of_line(farm) for farm, healthy in self.farms.items() if not healthy)
        return tuple(symbol for symbol in broken if symbol is not None)

    def digest(self) -> str:
        """Return a hash of the complete state; the producer's epoch, which differs between lives, is left out."""
        parts = (
            self.clock_ns,
            self.session,
            self.bar_ns,
            self.ledger.canonical(),
            self.working,
            self.mode,
            self.farms,
            self.links,
            (self.recon_status, self.reconciled, self.equity_nano),
            self.instruments,
            self.halted,
            self.external.canonical(),
            list(self.pending),
            self.joined.id if self.joined else "",
            self.signals,
            self.learning.canonical(),
            barrier_exits.canonical(self.exits),
            self.book.canonical(),
            self.choices.canonical(),
            self.losses.canonical(),
            self.faults.canonical(),
            self.prefilter.canonical(),
            self.rotation.canonical(),
            self.changes.canonical(),
            self.counters,
        )
        return hashlib.sha256(_encoder.encode(parts)).hexdigest()


def mode_causes(state: ArbiterState, now_ns: int, parameters: ArbiterParameters) -> Sequence[Cause]:
    """Return every standing cause that holds the mode down, the same order for the same facts."""
    causes = standing_causes(state.mode)
    if not state.recon_status:
        causes.append((Mode.OBSERVE, "not_reconciled"))
    elif state.recon_status != "clean":
        causes.append((Mode.OBSERVE, f"reconciliation_{state.recon_status}"))
    if not state.links.get(ORDER_LINK, False):
        causes.append((Mode.OBSERVE, "order_link_down"))
    if not all(state.links.values()):
        causes.append((Mode.OBSERVE, "broker_link_down"))
    if state.feed_lost:
        causes.append((Mode.OBSERVE, "feed_lost"))
    elif state.farms_broken:
        causes.append((Mode.DEGRADED, "farm_broken"))
    causes += fact_causes(
        state.losses,
        state.faults,
        # A fact without a time of its own must not make the account look as if it came from the future.
        now_ns=max(now_ns, state.losses.account_ts_ns or 0),
        gross_now_usd=state.gross_usd,
        gross_max=parameters.limits.gross_max,
        parameters=parameters.mode_causes,
    )
    return causes


def note_gross(state: ArbiterState) -> None:
    """Value the book anew; called after every fact that moves a position or its mark."""
    held = state.ledger.held()
    position = np.array([state.ledger.position_micro(symbol) for symbol in held], dtype=np.int64)
    mark = np.array([state.ledger.mark_nano(symbol) for symbol in held], dtype=np.int64)
    state.gross_usd = gross_usd(position, price_usd(mark))
