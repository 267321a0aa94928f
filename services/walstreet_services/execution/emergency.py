"""Owns execution's imperative side of an emergency: flag and signal, quotes of its own, proofs, alerts, the import."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Any

import structlog

from walstreet.domain.execution_emergency import SOURCE_FLAG, SOURCE_SIGNAL
from walstreet.domain.execution_state import ExecutionState
from walstreet.domain.mode import lifts
from walstreet.domain.observations import Observation, PanicObserved
from walstreet.ports import Broker
from walstreet.runtime.alarm import Alarm
from walstreet.runtime.emergency_log import EmergencyLog, Spool, import_spool
from walstreet.runtime.loop import ServiceLoop
from walstreet.runtime.metrics import ServiceMetrics
from walstreet_events import AnyEvent, FlattenPhase, FlattenState, OperatorCommand

REMEDY = "see docs/EMERGENCY.md; `walstreet mode` shows the state, `walstreet resume` of a person ends it"


class EmergencyDesk:
    """Carries out what the core decides in an emergency, and tells it what only this process can see."""

    def __init__(
        self,
        *,
        alarm: Alarm,
        spool: Spool,
        log: EmergencyLog,
        broker: Callable[[], Broker],
        errors: tuple[type[Exception], ...],
        cancel_everything: bool,
    ) -> None:
        """Wire; ``attach`` gives the loop."""
        self.alarm = alarm
        self._spool = spool
        self._tape = log
        self._broker = broker
        self._errors: tuple[type[Exception], ...] = (*errors, OSError)
        self._cancel_everything = cancel_everything
        self._loop: ServiceLoop[Any] | None = None
        self._metrics: ServiceMetrics | None = None
        self._emergency = ""
        self._cancelled: str | None = None
        self._symbols: dict[str, None] = {}
        self._signalled = False
        self._log = structlog.get_logger().bind(service="execution")

    @property
    def offline(self) -> bool:
        """Return whether this life has no log."""
        return self._tape.away.offline

    def attach(self, loop: ServiceLoop[Any], metrics: ServiceMetrics) -> None:
        """Take the loop whose events are adopted, and the metrics that alerts are made from."""
        self._loop, self._metrics = loop, metrics

    def start(self) -> None:
        """Let SIGUSR2 begin an emergency."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, self._signal)

    def poll(self, now_ns: int, observe: Callable[[Observation], None]) -> None:
        """Tell the core that the flag is there, or that the signal came."""
        if self._signalled:
            self._signalled = False
            observe(PanicObserved(ts_ns=now_ns, source=SOURCE_SIGNAL, operator="", detail="SIGUSR2"))
        flag = self.alarm.flag
        if flag.present():
            observe(PanicObserved(ts_ns=now_ns, source=SOURCE_FLAG, operator="", detail=flag.text()))

    async def recover(self) -> None:
        """Import the spool of an earlier life, or, without a log, take it up where it ended."""
        assert self._loop is not None
        content = self._spool.read()
        if content.torn_bytes:
            self._log.critical("spool_torn", file=str(self._spool.path), bytes=content.torn_bytes)
        if self.offline:
            for event in content.events:
                self._loop.fold_own(event)
        elif content.events:
            count = await import_spool(content.events, self._tape.away.recorded, self._loop.adopt)
            aside = self._spool.finish()
            self._log.warning("spool_imported", events=count, known=len(content.events) - count, kept_as=str(aside))
        state = self._loop.state
        assert isinstance(state, ExecutionState)
        self._set(raised=state.panic or state.emergency is not None)
        if state.emergency is not None and state.emergency.last_state is not None:
            self._emergency = state.emergency.id
            for position in state.emergency.last_state.positions:
                self._symbols[position.symbol] = None
            await self.watch_quotes()

    async def react(self, event: AnyEvent) -> None:
        """Carry out a step of the emergency, or end it."""
        if isinstance(event, OperatorCommand):
            if lifts(event):
                self._set(raised=False)
                self._log.warning("emergency_lifted", operator=event.operator, reason=event.arguments.get("reason", ""))
            return
        if isinstance(event, FlattenState):
            await self._state(event)

    def urgent(self, cause: str) -> bool:
        """Return whether an order with this cause closes a position in the emergency in force."""
        return bool(self._emergency) and cause == self._emergency

    async def watch_quotes(self) -> None:
        """Subscribe the held symbols on the order connection: the gateway or the log may be what failed."""
        if not self._symbols:
            return
        try:
            await self._broker().instruments(tuple(self._symbols))
            await self._broker().stream(tuple(self._symbols))
        except self._errors as error:
            self._log.error("emergency_quotes_failed", symbols=list(self._symbols), error=str(error))

    async def _state(self, event: FlattenState) -> None:
        self._emergency = event.emergency
        self._set(raised=True)
        facts = {
            "phase": event.phase.value,
            "source": event.source,
            "operator": event.operator,
            "detail": event.detail,
            "elapsed_ms": event.elapsed_ms,
            "open_orders": event.open_orders,
            "positions": {item.symbol: item.quantity_micro / 1e6 for item in event.positions},
            "deferred": dict(event.deferred),
        }
        if self._metrics is not None:
            self._metrics.emergency_positions.labels("execution").set(len(event.positions))
        if event.phase is FlattenPhase.PROVING:
            self._log.info("emergency", **facts)
            if self._cancel_everything and self._cancelled != event.emergency:
                self._cancelled = event.emergency
                await self._cancel_all()
        elif event.phase is FlattenPhase.FLAT:
            self._log.warning("emergency", **facts, remedy=REMEDY)
        else:
            self._log.critical("emergency", **facts, remedy=REMEDY)
        new = [item.symbol for item in event.positions if item.symbol not in self._symbols]
        if new:
            self._symbols.update(dict.fromkeys(new))
            await self.watch_quotes()

    async def _cancel_all(self) -> None:
        try:
            await self._broker().cancel_all()
        except self._errors as error:
            self._log.error("global_cancel_failed", error=str(error))

    def _set(self, *, raised: bool) -> None:
        self.alarm.raised = raised
        if self._metrics is not None:
            self._metrics.emergency.labels("execution").set(int(raised))

    def _signal(self) -> None:
        self._signalled = True
        self.alarm.raised = True
