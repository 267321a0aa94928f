"""Owns execution's imperative side: sends and cancels orders, answers reconciliation, forwards quotes to the guards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec
import structlog

from walstreet.domain.arming import ARM
from walstreet.domain.ended_orders import question
from walstreet.domain.execution_cancel import CANCEL_INCARNATION
from walstreet.domain.execution_guards import inactive_guards
from walstreet.domain.flatten import MARKET_LIMIT
from walstreet.domain.observations import (
    MarginObserved,
    Observation,
    OrderTicket,
    QuoteObserved,
    SnapshotObserved,
    TimeObserved,
)
from walstreet.domain.signing import SignatureReason
from walstreet.ports import Broker, Clock, Observer
from walstreet.runtime.clocks import ToldClock
from walstreet.runtime.crash_points import passed
from walstreet.runtime.outside import BrokerLink
from walstreet.runtime.settings import Settings
from walstreet_events import (
    AnyEvent,
    AnyTick,
    FlattenPhase,
    FlattenState,
    MarginAsked,
    OperatorCommand,
    OrderBracketed,
    OrderCancelling,
    OrderModifying,
    OrderRefused,
    OrderSubmitting,
    OrderUpdated,
    Quote,
    ReconRequest,
    Side,
)
from walstreet_services.execution.emergency import EmergencyDesk
from walstreet_services.execution.probe import probe_gateway
from walstreet_services.execution.snapshots import Question, SnapshotDesk

SEAL_REASONS = tuple(
    reason.value
    for reason in SignatureReason
    if reason not in {SignatureReason.INTENT_EXPIRED, SignatureReason.DUPLICATE_INTENT}
)
"""Refusals of a whole block, each an alert; a late or repeated intent is a refusal like any other."""
PREVIEWS_MAX = 64
"""Questions for margin under way at once; one more is refused as unknown."""


class Ticks(Protocol):
    """Raw quotes from MD."""

    async def start(self) -> None:
        """Subscribe."""

    async def stop(self) -> None:
        """End the subscription."""


class ExecutionShell:
    """Background and effects of execution."""

    def __init__(
        self,
        *,
        settings: Settings,
        make_broker: Callable[[Observer, Clock], Broker],
        errors: tuple[type[Exception], ...],
        make_ticks: Callable[[Callable[[AnyTick], None]], Ticks],
        make_desk: Callable[[Callable[[], Broker]], EmergencyDesk],
        wall: Clock,
    ) -> None:
        """Wire; ``attach`` gives the loop's ``observe``."""
        self._settings = settings
        self._probes: set[asyncio.Task[None]] = set()
        self._lockstep = settings.runtime.clock == "turns"
        self._clock = ToldClock(settings.session.open_ns - settings.gateway.pre_open_s * 1_000_000_000)
        self._errors = errors
        self._unanswered: tuple[type[Exception], ...] = (*errors, OSError)
        self._wall = wall if settings.runtime.clock == "wall" else None
        self._observe: Callable[[Observation], None] = _unattached
        self._inactive = inactive_guards(settings.execution)
        self._snapshots = SnapshotDesk(self._snapshot, self._deliver, self._clock.now_ns)
        self._proofs = SnapshotDesk(self._snapshot, self._deliver, self._clock.now_ns)
        """What an emergency asks does not wait behind the reconciler, nor take its place."""
        self._ends = SnapshotDesk(self._snapshot, self._deliver, self._clock.now_ns, tells_superseded=False)
        self._previews: dict[asyncio.Task[MarginObserved], None] = {}
        """In the order of the questions, in which lockstep hands the answers on."""
        self._bracket: OrderBracketed | None = None
        """Protection that goes out with the next order."""
        self._margin_timeout_s = settings.execution.margin.timeout_s
        self._barrier_needed = True
        self._log = structlog.get_logger().bind(service="execution")
        broker_clock = wall if settings.runtime.clock == "wall" else self._clock
        self.link = BrokerLink(
            make=lambda observer: make_broker(observer, broker_clock),
            clock=self._clock,
            lockstep=self._lockstep,
            deliver=self._deliver,
            after_connect=self._connected,
            errors=errors,
            client_id=settings.broker.execution_client_id,
            reconnect=settings.broker.reconnect,
            probe_s=settings.broker.probe_s,
        )
        self._ticks = make_ticks(self._on_tick)
        self.desk = make_desk(lambda: self.link.broker)
        self._poll_s = settings.emergency.poll_s

    def attach(self, observe: Callable[[Observation], None]) -> None:
        """Deliver observations to ``observe`` from now on."""
        self._observe = observe

    # -------------------------------------------------------------------------------------- background

    async def start(self) -> None:
        """Say which guards have no data, then connect and subscribe quotes."""
        if self._inactive:
            self._log.warning(
                "guards_inactive",
                guards=self._inactive,
                remedy="these are not asked, because no source of their data is configured; see docs/CONFIGURATION.md",
            )
        self.desk.start()
        if not self.desk.offline:
            await self._ticks.start()
        await self.link.start()

    async def run(self) -> None:
        """Keep the connection alive until cancelled."""
        if self._lockstep:
            # The barrier reconnects; a second task doing the same would race with it.
            await asyncio.Event().wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.link.keep(), name="link")
            group.create_task(self.link.follow_time(self._wall), name="time")
            group.create_task(self.link.probe(), name="probe")
            group.create_task(self._watch_flag(), name="panic-flag")

    async def stop(self) -> None:
        """End queries under way, the subscription and the connection; orders stay with the broker."""
        await asyncio.gather(self._snapshots.stop(), self._proofs.stop(), self._ends.stop())
        under_way = (*self._previews, *self._probes)
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        if not self.desk.offline:
            await self._ticks.stop()
        await self.link.stop()

    # ----------------------------------------------------------------------------------------- effects

    async def react(self, event: AnyEvent) -> None:
        """Carry out a durable event: place, cancel, or query."""
        match event:
            case OrderBracketed():
                self._bracket = event
            case OrderSubmitting():
                passed("place_begins")
                await self._place(event)
                passed("place_ended")
            case OrderModifying():
                passed("modify_begins")
                await self._send(self.link.broker.modify(_ticket(event)), event.client_order_id)
                passed("modify_ended")
            case OrderCancelling():
                self._tell_cancel(event)
                passed("cancel_begins")
                await self._send(self.link.broker.cancel(event.broker_order_id), event.client_order_id)
                passed("cancel_ended")
            case OrderUpdated() | ReconRequest():
                self._query(event)
            case FlattenState():
                await self.desk.react(event)
                if event.phase is FlattenPhase.PROVING:
                    self._proofs.request(event)
            case OperatorCommand() if event.command == ARM and self._settings.execution.arming.trading == "live":
                self._probes.add(task := asyncio.create_task(self._probe(event), name=f"probe-{event.id}"))
                task.add_done_callback(self._probes.discard)
            case OperatorCommand():
                await self.desk.react(event)
            case MarginAsked():
                self._ask(event)
            case OrderRefused() if event.reason in SEAL_REASONS:
                self._tell_seal(event)
            case _:
                pass

    def _tell_cancel(self, event: OrderCancelling) -> None:
        """Page a person where a cancel means that the broker works an order twice."""
        if event.reason == CANCEL_INCARNATION:
            self._log.critical(
                "order_alive_twice",
                symbol=event.symbol,
                client_order_id=event.client_order_id,
                broker_order_id=event.broker_order_id,
                remedy="all its incarnations are cancelled; look at the position: they may have filled too much",
            )

    def _tell_seal(self, event: OrderRefused) -> None:
        """Page a person: somebody speaks with the arbiter's voice, or two lives of it do."""
        self._log.critical(
            "intents_refused",
            reason=event.reason,
            cause=event.cause,
            intent=event.intent,
            detail=event.detail,
            remedy="look at who writes order.intent.cycle; `walstreet tape verify` checks the log's chains",
        )

    async def barrier(self, now_ns: int) -> None:
        """Observe everything up to ``now_ns``; a second time in the same turn only when something was sent."""
        self.desk.poll(now_ns, self._observe)
        await self._proofs.settled()
        await self._ends.settled()
        await self._snapshots.settled()
        previews = [*self._previews]
        for answer in await asyncio.gather(*previews):
            self._deliver(answer)
        for task in previews:
            del self._previews[task]
        if self._clock.now_ns() == now_ns and not self._barrier_needed:
            return
        self._barrier_needed = False
        for observation in await self.link.barrier(now_ns):
            self._deliver(observation)
        self._observe(TimeObserved(ts_ns=now_ns))

    async def recover(self, replayed: int) -> None:  # noqa: ARG002 -- port
        """Import what an emergency without log left behind; what is in flight, queries find out."""
        await self.desk.recover()

    # ----------------------------------------------------------------------------------------- helpers

    async def _place(self, event: OrderSubmitting) -> None:
        """Send an order and, where the event before it says so, its protection in one family."""
        bracket, self._bracket = self._bracket, None
        family = [_ticket(event, urgent=self.desk.urgent(event.cause))]
        if bracket is not None and bracket.client_order_id == event.client_order_id:
            family = family_tickets(event, bracket)
        for ticket in family:
            # The last one transmits all of them; if one is not sent the gateway keeps those before it to itself.
            if not await self._send(self.link.broker.place(ticket), ticket.client_order_id):
                return

    async def _send(self, sending: Awaitable[None], client_order_id: str) -> bool:
        """Return whether a message was handed to the socket; what became of it is another matter."""
        self._barrier_needed = True
        try:
            await sending
        except self._errors as error:
            # Whether the broker got it is unknown, and stays so until a query proves it: never sent again.
            self._log.error("order_message_not_confirmed", client_order_id=client_order_id, error=str(error))
            return False
        return True

    def _query(self, event: OrderUpdated | ReconRequest) -> None:
        """Ask the broker for its truth, where an event wants it."""
        if isinstance(event, ReconRequest):
            self._snapshots.request(event)
        elif (asked := question(event)) is not None:
            self._ends.request(asked)

    async def _watch_flag(self) -> None:
        while True:
            self.desk.poll(self._clock.now_ns(), self._observe)
            await asyncio.sleep(self._poll_s)

    def _ask(self, event: MarginAsked) -> None:
        if len(self._previews) >= PREVIEWS_MAX:
            self._log.error("previews_busy", asked=event.id, bound=PREVIEWS_MAX)
            detail = f"{PREVIEWS_MAX} questions wait for an answer already"
            self._deliver(MarginObserved(ts_ns=event.ts_ns, asked=event.id, preview=None, detail=detail))
            return
        task = asyncio.create_task(self._preview(event), name=f"what-if-{event.order.id}")
        self._previews[task] = None
        if not self._lockstep:
            task.add_done_callback(self._previewed)

    def _previewed(self, task: asyncio.Task[MarginObserved]) -> None:
        self._previews.pop(task, None)
        if not task.cancelled():
            self._deliver(task.result())

    async def _preview(self, event: MarginAsked) -> MarginObserved:
        preview, detail = None, ""
        passed("margin_begins")
        try:
            preview = await self.link.broker.preview(_question(event), timeout_s=self._margin_timeout_s)
        except self._unanswered as error:
            detail = f"{type(error).__name__}: {error}"
        passed("margin_ended")
        # The clock of this process may be behind the time that the question carries.
        ts_ns = max(self._clock.now_ns(), event.ts_ns)
        return MarginObserved(ts_ns=ts_ns, asked=event.id, preview=preview, detail=detail)

    async def _probe(self, event: OperatorCommand) -> None:
        # The clock of this process may be behind the time that the command carries.
        ts_ns = max(self._clock.now_ns(), event.ts_ns)
        fact = await probe_gateway(
            self.link.broker,
            self._settings,
            asked=event.id,
            ts_ns=ts_ns,
            timeout_s=self._margin_timeout_s,
            errors=self._unanswered,
        )
        self._deliver(fact)

    async def _snapshot(self, request: Question) -> SnapshotObserved:
        # The port answers failures as ``ok=False``: unknown, never flat.
        passed("snapshot_begins")
        answer = await self.link.broker.snapshot(request.id, max(self._clock.now_ns(), request.ts_ns))
        passed("snapshot_ended")
        return answer

    async def _connected(self, broker: Broker) -> None:
        """Subscribe what an emergency needs; connecting synchronised account, positions, orders and executions."""
        self._log.info("order_link", next_order_id=broker.next_order_id)
        await self.desk.watch_quotes()

    def _deliver(self, observation: Observation) -> None:
        self._observe(observation)

    def _on_tick(self, tick: AnyTick) -> None:
        if isinstance(tick, Quote):
            self._observe(
                QuoteObserved(
                    symbol=tick.symbol,
                    ts_ns=tick.ts_ns,
                    bid_nano=tick.bid_nano,
                    ask_nano=tick.ask_nano,
                    bid_size_micro=tick.bid_size_micro,
                    ask_size_micro=tick.ask_size_micro,
                )
            )


def _ticket(event: OrderSubmitting | OrderModifying, *, urgent: bool = False) -> OrderTicket:
    return OrderTicket(
        broker_order_id=event.broker_order_id,
        client_order_id=event.client_order_id,
        symbol=event.symbol,
        con_id=event.con_id,
        buy=event.side is Side.BUY,
        quantity_micro=event.quantity_micro,
        limit_nano=None if event.limit_nano == MARKET_LIMIT else event.limit_nano,
        good_till_ns=event.good_till_ns,
        urgent=urgent,
    )


def family_tickets(event: OrderSubmitting, bracket: OrderBracketed) -> list[OrderTicket]:
    """Return an order with its protection, in the order of placing; only the last one is to be transmitted."""
    parent = msgspec.structs.replace(_ticket(event), transmit=False)
    children = [
        OrderTicket(
            broker_order_id=child.broker_order_id,
            client_order_id=child.client_order_id,
            symbol=bracket.symbol,
            con_id=bracket.con_id,
            buy=bracket.side is Side.BUY,
            quantity_micro=bracket.quantity_micro,
            limit_nano=child.limit_nano or None,
            good_till_ns=bracket.good_till_ns,
            stop_nano=child.stop_nano or None,
            parent_order_id=event.broker_order_id,
            oca_group=bracket.oca_group,
            transmit=child is bracket.children[-1],
        )
        for child in bracket.children
    ]
    return [parent, *children]


def _question(event: MarginAsked) -> OrderTicket:
    return OrderTicket(
        broker_order_id=event.broker_order_id,
        client_order_id=event.id,
        symbol=event.symbol,
        con_id=event.order.con_id,
        buy=event.order.side is Side.BUY,
        quantity_micro=event.quantity_micro,
        limit_nano=event.limit_nano,
        good_till_ns=event.good_till_ns,
    )


def _unattached(observation: Observation) -> None:
    raise AssertionError(f"observation before the loop was attached: {type(observation).__name__}")
