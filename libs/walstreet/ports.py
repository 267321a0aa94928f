"""Owns the ports: what the cores and the loop ask of the outside world, without naming who provides it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from walstreet.domain.observations import (
    HistoryBar,
    InstrumentFacts,
    MarginPreview,
    Observation,
    OrderTicket,
    SnapshotObserved,
)
from walstreet_events import AnyEvent, AnyTick
from walstreet_events.subjects import Service

StateT = TypeVar("StateT")


class Clock(Protocol):
    """Tells session time to the imperative shell; cores never ask, they are told."""

    def now_ns(self) -> int:
        """Return nanoseconds UTC: wall time live, session time in simulation."""


# --------------------------------------------------------------------------------------------- the log


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One message as the log holds it."""

    seq: int
    """Stream sequence; identity is (producer, epoch, producer_seq), because sequences regress after power loss."""
    subject: str
    event: AnyEvent
    producer: str
    epoch: int
    producer_seq: int
    through: int
    """Stream sequence of the last input the producer had processed."""
    wall_ns: int
    """Wall clock of the producer at the append; for latency only, never for a decision."""


class Journal(Protocol):
    """The durable append of one producer: fenced by epoch, chained, acknowledged after the fsync."""

    @property
    def epoch(self) -> int:
        """Return the producer's epoch."""

    async def append(self, event: AnyEvent, *, through: int) -> int:
        """Append ``event`` and return its stream sequence once it is fsynced.

        Raises:
            walstreet.adapters.nats.FencedError: A newer epoch of this producer exists; stop at once.
        """


# ------------------------------------------------------------------------------------------ the broker


class Observer(Protocol):
    """Takes observations in order, from inside the broker library's callbacks; never blocks, never raises."""

    def __call__(self, observation: Observation) -> None:
        """Take one observation."""


class Broker(Protocol):
    """The broker as one asynchronous interface; no vendor object, event or status enum leaves an adapter."""

    async def connect(self) -> None:
        """Connect and synchronise; observations flow from here on."""

    async def close(self) -> None:
        """Disconnect; no observation comes after it returns."""

    @property
    def connected(self) -> bool:
        """Return whether the socket is up and the start-up synchronisation has ended."""

    @property
    def next_order_id(self) -> int:
        """Return a floor for new broker order ids: above every id this client has seen."""

    async def server_time_ns(self) -> int:
        """Ask the broker for its time; the answer comes after every earlier message, so it is a barrier."""

    async def instruments(self, symbols: Sequence[str]) -> tuple[InstrumentFacts, ...]:
        """Qualify ``symbols``; raises ``BrokerRefusedError`` naming the ones that are unknown."""

    async def history(
        self,
        symbol: str,
        *,
        end_ns: int,
        days: int,
        bar_seconds: int,
        what: str = "TRADES",
        growing: bool = False,
    ) -> tuple[HistoryBar, ...]:
        """Return complete bars of the last ``days`` sessions before ``end_ns``, oldest first.

        With ``growing`` the request ends now, and the bar that is not complete is among them.
        """

    async def stream(self, symbols: Sequence[str]) -> None:
        """Subscribe quotes, trades, volume, halts and five-second bars of ``symbols``."""

    async def place(self, ticket: OrderTicket) -> None:
        """Send an order; returns when the message has been handed to the socket."""

    async def modify(self, ticket: OrderTicket) -> None:
        """Send a change of a working order under the same broker order id."""

    async def cancel(self, broker_order_id: int) -> None:
        """Send a cancel of one order of this client."""

    async def cancel_all(self) -> None:
        """Send a global cancel."""

    async def preview(self, ticket: OrderTicket, *, timeout_s: float) -> MarginPreview:
        """Ask what margin the order would need; nothing is placed."""

    async def server_version(self) -> int:
        """Return the version of the protocol that the gateway speaks, 0 when not connected."""

    async def account(self) -> str:
        """Return the account that orders of this connection go to, empty when not connected."""

    async def snapshot(self, request: str, ts_ns: int) -> SnapshotObserved:
        """Query open orders, completed orders, executions, positions and account."""


# ---------------------------------------------------------------------------------------- cores, loop


class Core(Protocol[StateT]):
    """A pure decision core; the loop owns the state, which may be updated in place by ``evolve``."""

    @property
    def service(self) -> Service:
        """Return the producer this core decides for."""

    def initial(self) -> StateT:
        """Return the state before the first event."""

    def evolve(self, state: StateT, event: AnyEvent) -> StateT:
        """Fold one fact (an input or an own output) into the state."""

    def decide(self, state: StateT, event: AnyEvent) -> Sequence[AnyEvent]:
        """Return the events that input ``event`` causes, given the state that already contains it."""

    def observe(self, state: StateT, observation: Observation) -> Sequence[AnyEvent]:
        """Return the events that a fact from outside causes; may update volatile parts of the state."""


class Effects(Protocol):
    """What a service does outside the log once the cause is durable."""

    async def react(self, event: AnyEvent) -> None:
        """Carry out the effect of a durable event (an input or an own output); most events have none.

        Never called in replay. Facts that the effect brings back are handed to the loop as observations.
        """

    async def barrier(self, now_ns: int) -> None:
        """Return when everything that happened outside until ``now_ns`` has been observed."""

    async def recover(self, replayed: int) -> None:
        """Called once after replay, before live input: find out what became of effects in flight."""


class TickSink(Protocol):
    """Publishes raw ticks on MD: asynchronous, captured, never awaited."""

    def publish(self, tick: AnyTick) -> None:
        """Hand over one tick."""


class TickSource(Protocol):
    """Latest quotes from MD."""

    def ticks(self) -> AsyncIterator[AnyTick]:
        """Yield ticks as they come."""
