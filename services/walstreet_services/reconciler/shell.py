"""Owns the reconciler's voice: what a person must look at is a log line, with what to do about it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from walstreet.domain.external import ADOPTED, OPENING
from walstreet.domain.observations import Observation
from walstreet.domain.reconciler_parameters import Policy
from walstreet_events import AnyEvent, BreakKind, LedgerCorrection, ReconBreak

REMEDIES = {
    BreakKind.MISSING_LOCAL: "the broker knows what our log does not; look for a lost TAPE or a second program",
    BreakKind.MISSING_BROKER: "the broker does not know what our log holds for true; ask the broker before trading on",
    BreakKind.QUANTITY: "compare the position with the broker's statement; `walstreet adopt SYMBOL` takes it over",
    BreakKind.PRICE: "the broker has corrected an execution; compare with its statement",
    BreakKind.CASH: "look for fees, dividends, interest or transfers; `walstreet adopt SYMBOL --cash` takes it over",
    BreakKind.EXTERNAL_ORDER: "an order that is not ours; `walstreet adopt SYMBOL` lets the symbol trade again",
}


class ReconcilerShell:
    """Effects of the reconciler: alerts, nothing else."""

    def __init__(self) -> None:
        """Speak through the service's log."""
        self._log = structlog.get_logger().bind(service="reconciler")

    def attach(self, observe: Callable[[Observation], None]) -> None:
        """Observe nothing: the reconciler sees the log only."""

    async def start(self) -> None:
        """Do nothing: there is nothing outside the log to reach."""

    async def run(self) -> None:
        """Wait for cancellation."""
        await asyncio.Event().wait()

    async def stop(self) -> None:
        """Do nothing."""

    async def react(self, event: AnyEvent) -> None:
        """Say what was recorded: a strict break is critical, a warning an error, a correction a warning."""
        match event:
            case ReconBreak():
                self._broken(event)
            case LedgerCorrection():
                say = self._log.info if event.policy == ADOPTED else self._log.warning
                say(
                    "books_corrected",
                    policy=event.policy,
                    symbol=event.symbol,
                    reference=event.reference,
                    position_change_micro=event.position_change_micro,
                    cash_change_nano=event.cash_change_nano,
                    operator=event.operator,
                    reason=event.reason,
                )
            case _:
                pass

    async def barrier(self, now_ns: int) -> None:
        """Return at once: nothing happens outside the log."""

    async def recover(self, replayed: int) -> None:
        """Return at once: a break that was recorded is not said again; a standing strict one is recorded again."""

    def _broken(self, event: ReconBreak) -> None:
        if event.policy == Policy.AUTO_SYNC.value:
            # The correction that follows says it.
            return
        say = self._log.critical if event.policy == Policy.STRICT.value else self._log.error
        opening = event.kind is BreakKind.EXTERNAL_ORDER and event.reference == OPENING
        say(
            "reconciliation_break",
            kind=event.kind.value,
            policy=event.policy,
            symbol=event.symbol,
            reference=event.reference,
            ours=event.ours,
            brokers=event.brokers,
            remedy=f"a position from before our log; `walstreet adopt {event.symbol}` lets it be traded"
            if opening
            else REMEDIES[event.kind],
        )
