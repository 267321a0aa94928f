"""Owns the questions whose answers together are the broker's truth."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from walstreet.adapters.ibkr import account
from walstreet.adapters.ibkr.errors import BrokerError
from walstreet.adapters.ibkr.governor import RateGovernor
from walstreet.adapters.ibkr.library import Library
from walstreet.adapters.ibkr.wire import COMPLETED_ORDERS, OPEN_ORDERS, Wire
from walstreet.domain.observations import (
    AccountFacts,
    BrokerOrderFacts,
    ExecutionObserved,
    PositionFacts,
    SnapshotObserved,
)

_log = logging.getLogger(__name__)
Session = Callable[[], tuple[Any, Wire]]
"""Returns the live client and its wire, or raises ``BrokerLostError``."""


class Queries:
    """Asks for orders, executions, positions and totals."""

    def __init__(self, library: Library, governor: RateGovernor, session: Session) -> None:
        """Ask through the live ``session``, at the governor's pace."""
        self._library = library
        self._governor = governor
        self._session = session
        self._turn = asyncio.Lock()
        """Requests that the protocol leaves without an id go one at a time."""

    async def snapshot(self, request: str, ts_ns: int) -> SnapshotObserved:
        """Query open orders, completed orders, executions, positions and account.

        Each part has its own timeout. When one fails the snapshot is not ``ok``: *unknown*, never *flat*.
        """
        try:
            open_orders = await self.open_orders(all_clients=True)
            completed = await self._completed_orders()
            executions = await self.executions()
            positions = await self.positions()
            totals = await self._totals()
        except (BrokerError, ConnectionError) as error:
            _log.warning("snapshot %s failed: %s", request, error)
            return SnapshotObserved(
                ts_ns=ts_ns,
                request=request,
                ok=False,
                detail=f"{type(error).__name__}: {error}",
                open_orders=(),
                completed_orders=(),
                executions=(),
                positions=(),
                account=None,
            )
        return SnapshotObserved(
            ts_ns=ts_ns,
            request=request,
            ok=True,
            detail="",
            open_orders=open_orders,
            completed_orders=completed,
            executions=executions,
            positions=positions,
            account=totals,
        )

    async def open_orders(self, *, all_clients: bool) -> tuple[BrokerOrderFacts, ...]:
        """Return the open orders, of this client or of all; their states are observed as well."""
        async with self._turn:
            await self._governor.message()
            client, wired = self._session()
            pending = wired.requests.open(OPEN_ORDERS)
            wired.begin_listing()
            if all_clients:
                client.reqAllOpenOrders()
            else:
                client.reqOpenOrders()
            await wired.requests.answer(OPEN_ORDERS, pending, "the open orders")
            return tuple(facts.frozen() for facts in wired.listing())

    async def _completed_orders(self) -> tuple[BrokerOrderFacts, ...]:
        async with self._turn:
            await self._governor.message()
            client, wired = self._session()
            pending = wired.requests.open(COMPLETED_ORDERS)
            client.reqCompletedOrders(False)
            return tuple(await wired.requests.answer(COMPLETED_ORDERS, pending, "the completed orders"))

    async def executions(self) -> tuple[ExecutionObserved, ...]:
        """Return the account's executions since midnight; their fees are observed."""
        await self._governor.message()
        client, wired = self._session()
        request_id = wired.requests.next_id()
        pending = wired.requests.open(request_id)
        client.reqExecutions(request_id, self._library.execution_filter())
        return tuple(await wired.requests.answer(request_id, pending, "the executions"))

    async def positions(self) -> tuple[PositionFacts, ...]:
        """Subscribe the positions anew and return them."""
        async with self._turn:
            await self._governor.message()
            client, wired = self._session()
            pending = wired.requests.open(account.POSITIONS)
            client.reqPositions()
            await wired.requests.answer(account.POSITIONS, pending, "the positions")
            return wired.book.positions()

    async def _totals(self) -> AccountFacts:
        async with self._turn:
            await self._governor.message()
            client, wired = self._session()
            request_id = wired.requests.next_id()
            pending = wired.requests.open(request_id)
            client.reqAccountSummary(request_id, "All", ",".join(account.TAGS))
            try:
                rows = await wired.requests.answer(request_id, pending, "the account summary")
            finally:
                # Two summaries may be subscribed at a time, so each is given back at once.
                if wired.ready:
                    await self._governor.message()
                    client.cancelAccountSummary(request_id)
            return account.account_facts(wired.account, dict(rows))
