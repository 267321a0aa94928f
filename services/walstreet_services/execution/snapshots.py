"""Owns the answering of reconciliation requests: one query at a time, and of those that wait only the newest is asked.

After a restart execution finds on the log every request that it missed. The broker's truth is of now, whoever asked
first, so an older request is answered at once as superseded: unknown, on the log, and without a query.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from walstreet.domain.ended_orders import EndQuestion
from walstreet.domain.observations import SnapshotObserved
from walstreet_events import FlattenState, ReconRequest

Question = ReconRequest | FlattenState | EndQuestion
"""Who asks: the reconciler, an emergency that needs proof, or the end of an order."""

SUPERSEDED = "superseded"
"""Begin of the detail of an answer that was not asked for any more."""


class SnapshotDesk:
    """Asks the broker for snapshots and delivers the answers."""

    def __init__(
        self,
        ask: Callable[[Question], Awaitable[SnapshotObserved]],
        deliver: Callable[[SnapshotObserved], None],
        now_ns: Callable[[], int],
        *,
        tells_superseded: bool = True,
    ) -> None:
        """Ask through ``ask``, which answers failures as ``ok=False`` and never raises.

        Without ``tells_superseded`` nobody waits for the answer to a question that a newer one replaces.
        """
        self._tells_superseded = tells_superseded
        self._ask = ask
        self._deliver = deliver
        self._now_ns = now_ns
        self._waiting: Question | None = None
        self._task: asyncio.Task[None] | None = None

    def request(self, request: Question) -> None:
        """Take a request; it replaces one that waits."""
        older, self._waiting = self._waiting, request
        if older is not None and self._tells_superseded:
            self._deliver(self._superseded(older, request))
        if self._task is None:
            self._task = asyncio.create_task(self._work(), name="snapshots")

    async def settled(self) -> None:
        """Return when every request has been answered."""
        while self._task is not None:
            await asyncio.wait({self._task})

    async def stop(self) -> None:
        """End the query under way; its request stays without an answer, which is unknown."""
        task, self._waiting = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        # A task that was cancelled before its first step never ran to its own end.
        self._task = None

    async def _work(self) -> None:
        try:
            # Requests that are found in one go on the log arrive before this task runs.
            await asyncio.sleep(0)
            while self._waiting is not None:
                request, self._waiting = self._waiting, None
                self._deliver(await self._ask(request))
        finally:
            self._task = None

    def _superseded(self, older: Question, newer: Question) -> SnapshotObserved:
        return SnapshotObserved(
            ts_ns=max(self._now_ns(), older.ts_ns),
            request=older.id,
            ok=False,
            detail=f"{SUPERSEDED} by request {newer.number}",
            open_orders=(),
            completed_orders=(),
            executions=(),
            positions=(),
            account=None,
        )
