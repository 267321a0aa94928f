"""Owns the world in which tests of execution play: a core in the loop's hands, facts as they come, sealed intents."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from walstreet.domain.execution import ExecutionCore
from walstreet.domain.execution_parameters import ExecutionParameters
from walstreet.domain.execution_state import ExecutionState
from walstreet.domain.guard_margin import MarginParameters
from walstreet.domain.observations import (
    AccountFacts,
    AccountObserved,
    BrokerOrderFacts,
    ExecutionObserved,
    LinkObserved,
    Observation,
    OrderStatusObserved,
    PositionFacts,
    QuoteObserved,
    SnapshotObserved,
)
from walstreet.domain.signing import seal
from walstreet_events import (
    NANOS_PER_SECOND,
    ROOT,
    AnyEvent,
    BarBlock,
    ClockTick,
    FeedStatus,
    InstrumentRef,
    IntBlock,
    IntentBlock,
    OrderIntent,
    OrderRefused,
    OrderSubmitting,
    PhaseName,
    PriorSession,
    ProducerEpoch,
    Service,
    SessionPhase,
    Side,
    derive_id,
    int_block,
)

S = NANOS_PER_SECOND
OPEN_NS = 1_000_000 * S
NOW_NS = OPEN_NS + 600 * S
SHARE = 1_000_000
DOLLAR = 1_000_000_000
SESSION_DATE = "1970-01-12"
"""The UTC date of ``OPEN_NS``."""
SYMBOL, CON_ID = "SPY", 11
OTHER_SYMBOL, OTHER_CON_ID = "QQQ", 12
DAY_S = 86_400
EPOCH = 1
KEY = bytes(range(32))
"""Of tests only."""


@dataclass
class World:
    """A core in the loop's hands: inputs and observations go through the rules of the shared loop."""

    core: ExecutionCore = field(default_factory=lambda: ExecutionCore(ExecutionParameters(), (KEY,)))
    state: ExecutionState = field(init=False)
    log: list[AnyEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin with the initial state."""
        self.state = self.core.initial()

    def give(self, event: AnyEvent) -> list[AnyEvent]:
        """Take an input: fold it, decide, record and fold the outputs."""
        self.log.append(event)
        self.state = self.core.evolve(self.state, event)
        return self._record(list(self.core.decide(self.state, event)))

    def see(self, observation: Observation) -> list[AnyEvent]:
        """Take a fact from outside."""
        return self._record(list(self.core.observe(self.state, observation)))

    def _record(self, outs: list[AnyEvent]) -> list[AnyEvent]:
        for out in outs:
            self.log.append(out)
            self.state = self.core.evolve(self.state, out)
        return outs

    def restarted(self) -> World:
        """Return a new process over the same log."""
        again = World(core=self.core)
        for event in self.log:
            again.log.append(event)
            again.state = self.core.evolve(again.state, event)
        return again


def link(
    *, connected: bool = True, ts_ns: int = NOW_NS, next_order_id: int = 5, data_lost: bool = True
) -> LinkObserved:
    """Return a change of the link."""
    return LinkObserved(
        ts_ns=ts_ns,
        connected=connected,
        data_lost=data_lost,
        client_id=1,
        next_order_id=next_order_id if connected else 0,
        code=0,
        detail="",
    )


def quote(bid: float = 99.99, ask: float = 100.01, *, ts_ns: int = NOW_NS, symbol: str = "SPY") -> QuoteObserved:
    """Return a quote."""
    return QuoteObserved(
        symbol=symbol,
        ts_ns=ts_ns,
        bid_nano=round(bid * DOLLAR),
        ask_nano=round(ask * DOLLAR),
        bid_size_micro=500 * SHARE,
        ask_size_micro=500 * SHARE,
    )


def intent(name: str = "one", **changes: object) -> OrderIntent:
    """Return an intent to buy 100 SPY with ``changes``."""
    base = OrderIntent(
        id=derive_id(name, "intent", 0),
        symbol="SPY",
        con_id=CON_ID,
        side=Side.BUY,
        quantity_micro=100 * SHARE,
        reducing=False,
        horizon_minutes=15,
        arrival_mid_nano=100 * DOLLAR,
        tif_s=30,
        expires_ns=NOW_NS + 60 * S,
        alpha_bps=9.0,
        target_weight=0.01,
    )
    return msgspec.structs.replace(base, **changes)


def block(*intents: OrderIntent, mode: str = "live", name: str = "block", ts_ns: int = NOW_NS) -> IntentBlock:
    """Return one block of intents, sealed as the arbiter in office does."""
    plain = IntentBlock(
        id=derive_id(name, "block", 0), cause=ROOT, ts_ns=ts_ns, decision="d", mode=mode, intents=intents, epoch=0
    )
    return seal(plain, epoch=EPOCH, key=KEY)


def arbiter_epoch(epoch: int = EPOCH) -> ProducerEpoch:
    """Return the beginning of a life of the arbiter."""
    return ProducerEpoch(
        id=derive_id(f"arbiter{epoch}", "epoch", 0),
        cause=ROOT,
        ts_ns=0,
        service=Service.ARBITER.value,
        epoch=epoch,
        config_hash="",
        previous_chain="",
        previous_seq=0,
    )


def clock(ts_ns: int) -> ClockTick:
    """Return a tick of the session clock."""
    return ClockTick(id=derive_id(str(ts_ns), "clock", 0), cause=ROOT, ts_ns=ts_ns, session_date="2026-03-02")


def instrument(symbol: str = "SPY", con_id: int = CON_ID) -> InstrumentRef:
    """Return reference facts."""
    return InstrumentRef(
        id=derive_id(symbol, "ref", 0),
        cause=ROOT,
        ts_ns=OPEN_NS,
        symbol=symbol,
        con_id=con_id,
        exchange="SMART",
        primary_exchange="ARCA",
        currency="USD",
        sector="",
        min_tick_nano=10_000_000,
        lot_micro=SHARE,
        prior_close_nano=100 * DOLLAR,
        average_daily_volume_micro=1_000_000 * SHARE,
    )


def feed(data_type: str = "live") -> FeedStatus:
    """Return the feed's word on what arrives."""
    return FeedStatus(
        id=derive_id(data_type, "feed", 0),
        cause=ROOT,
        ts_ns=OPEN_NS,
        farm="usfarm",
        healthy=True,
        data_type=data_type,
        code=0,
        detail="",
    )


def bar(
    ts_ns: int,
    *,
    close: float = 100.0,
    low: float | None = None,
    shares: int = 1_000,
    warmup: bool = False,
    symbols: tuple[str, ...] = (SYMBOL, OTHER_SYMBOL),
) -> BarBlock:
    """Return one minute, the same for every symbol."""

    def column(value: float) -> IntBlock:
        return int_block([round(value)] * len(symbols))

    price = column(close * DOLLAR)
    zero = column(0)
    return BarBlock(
        id=derive_id(f"{ts_ns}:{close}:{low}:{shares}", "bar", 0),
        cause=ROOT,
        ts_ns=ts_ns,
        symbols=symbols,
        bar_ns=60 * S,
        warmup=warmup,
        open_nano=price,
        high_nano=price,
        low_nano=column((close if low is None else low) * DOLLAR),
        close_nano=price,
        volume_micro=column(shares * SHARE),
        trade_count=zero,
        vwap_nano=price,
        bid_nano=zero,
        ask_nano=zero,
        bid_size_micro=zero,
        ask_size_micro=zero,
        spread_mean_nano=zero,
        signed_volume_micro=zero,
        quote_count=zero,
        quote_ts_ns=zero,
        flags=zero,
    )


def prior(*, low: float, close_before: float = 100.0, date: str = SESSION_DATE) -> PriorSession:
    """Return what daily bars say of the session before."""
    return PriorSession(
        id=derive_id(f"{low}:{date}", "prior", 0),
        cause=ROOT,
        ts_ns=OPEN_NS,
        symbol=SYMBOL,
        session_date=date,
        low_nano=round(low * DOLLAR),
        close_nano=round(low * DOLLAR),
        close_before_nano=round(close_before * DOLLAR),
    )


def bars(*, days: int = 2, now_ns: int = NOW_NS) -> list[BarBlock]:
    """Return the first minutes of the sessions before, and today's up to ``now_ns``, a quiet market at 100."""
    blocks: list[BarBlock] = []
    for day in range(days, -1, -1):
        for minute in range(1, 16):
            end_ns = OPEN_NS - day * DAY_S * S + minute * 60 * S
            if end_ns <= now_ns:
                blocks.append(bar(end_ns, close=100.0 + 0.02 * (minute % 2), warmup=day > 0))
    return blocks


def account(
    *,
    position: int | None = None,
    symbol: str = SYMBOL,
    ts_ns: int = NOW_NS,
    equity: int | None = 100_000,
    name: str = "DU1",
) -> AccountObserved:
    """Return a reading of the account in USD; without a position it is flat."""
    held = () if position is None else (position,)
    return AccountObserved(
        ts_ns=ts_ns,
        account=AccountFacts(
            account=name,
            net_liquidation_nano=None if equity is None else equity * DOLLAR,
            cash_nano=DOLLAR,
            settled_cash_nano=None,
            available_funds_nano=None,
            gross_position_nano=None,
            initial_margin_nano=None,
            maintenance_margin_nano=None,
        ),
        positions=tuple(
            PositionFacts(symbol=symbol, con_id=CON_ID, quantity_micro=shares * SHARE, average_cost_nano=DOLLAR)
            for shares in held
        ),
    )


def phase(name: PhaseName = PhaseName.OPEN, ts_ns: int = OPEN_NS) -> SessionPhase:
    """Return a phase of the session."""
    return SessionPhase(
        id=derive_id(f"{name}{ts_ns}", "phase", 0),
        cause=ROOT,
        ts_ns=ts_ns,
        session_date=SESSION_DATE,
        phase=name,
        open_ns=OPEN_NS,
        close_ns=OPEN_NS + 23_400 * S,
    )


def ready_world(**parameters: object) -> World:
    """Return a world in which a plain intent is sent, without asking for its margin unless ``parameters`` say so."""
    parameters.setdefault("margin", MarginParameters(enabled=False))
    world = World(core=ExecutionCore(ExecutionParameters(**parameters), (KEY,)))  # type: ignore[arg-type]
    world.give(arbiter_epoch())
    world.give(phase())
    world.give(feed())
    for symbol, con_id in ((SYMBOL, CON_ID), (OTHER_SYMBOL, OTHER_CON_ID)):
        world.give(instrument(symbol, con_id))
    for bar in bars():
        world.give(bar)
    world.see(link())
    world.see(quote())
    world.see(account())
    return world


def status(world: World, text: str, *, filled: int = 0, ts_ns: int = NOW_NS + S, perm_id: int = 77) -> list[AnyEvent]:
    """Let the world see an orderStatus of its first order."""
    order = next(iter(world.state.orders.values()))
    return world.see(
        OrderStatusObserved(
            ts_ns=ts_ns,
            broker_order_id=order.broker_order_id,
            client_id=1,
            perm_id=perm_id,
            client_order_id=order.client_order_id,
            symbol="SPY",
            status=text,
            filled_micro=filled * SHARE,
            remaining_micro=(100 - filled) * SHARE,
            average_price_nano=0,
            why_held="",
        )
    )


def execution(reference: str, exec_id: str = "e.01", shares: int = 100, *, perm_id: int = 77) -> ExecutionObserved:
    """Return an execution under an order reference."""
    return ExecutionObserved(
        ts_ns=NOW_NS + S,
        exec_id=exec_id,
        perm_id=perm_id,
        broker_order_id=5,
        client_id=1,
        client_order_id=reference,
        symbol="SPY",
        con_id=CON_ID,
        buy=True,
        price_nano=100 * DOLLAR,
        quantity_micro=shares * SHARE,
        cumulative_micro=shares * SHARE,
    )


def listed(reference: str, text: str, filled: int = 0) -> BrokerOrderFacts:
    """Return one order of a snapshot."""
    return BrokerOrderFacts(
        client_order_id=reference,
        perm_id=77,
        client_id=1,
        broker_order_id=5,
        symbol="SPY",
        buy=True,
        quantity_micro=100 * SHARE,
        filled_micro=filled * SHARE,
        status=text,
    )


def snapshot(
    name: str,
    ts_ns: int,
    *,
    ok: bool = True,
    open_orders: tuple[BrokerOrderFacts, ...] = (),
    completed: tuple[BrokerOrderFacts, ...] = (),
    executions: tuple[ExecutionObserved, ...] = (),
) -> SnapshotObserved:
    """Return the broker's truth."""
    return SnapshotObserved(
        ts_ns=ts_ns,
        request=derive_id(name, "request", 0),
        ok=ok,
        detail="" if ok else "timeout",
        open_orders=open_orders,
        completed_orders=completed,
        executions=executions,
        positions=(),
        account=None,
    )


def submit(world: World, wanted: OrderIntent | None = None) -> OrderSubmitting:
    """Send one intent and return its submission."""
    outs = world.give(block(intent()) if wanted is None else block(wanted, name=f"block of {wanted.id}"))
    assert isinstance(outs[0], OrderSubmitting), outs
    return outs[0]


def reasons(outs: list[AnyEvent]) -> list[str]:
    """Return the reason codes of refusals; anything else fails the test."""
    assert all(isinstance(out, OrderRefused) for out in outs), outs
    return [out.reason for out in outs if isinstance(out, OrderRefused)]
