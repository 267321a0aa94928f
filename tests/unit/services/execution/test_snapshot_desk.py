"""Requests that were missed are answered as superseded, and only the newest asks the broker."""

from __future__ import annotations

import asyncio

from walstreet.domain.observations import SnapshotObserved
from walstreet_events import ROOT, EventId, ReconRequest
from walstreet_services.execution.snapshots import SUPERSEDED, SnapshotDesk


def request(number):
    """Return a request of the reconciler."""
    return ReconRequest(id=EventId(f"{number:032x}"), cause=ROOT, ts_ns=number, number=number, reason="periodic")


def answer(asked):
    """Return the broker's answer."""
    return SnapshotObserved(
        ts_ns=asked.ts_ns,
        request=asked.id,
        ok=True,
        detail="",
        open_orders=(),
        completed_orders=(),
        executions=(),
        positions=(),
        account=None,
    )


class Asked:
    """A broker that answers when it is let."""

    def __init__(self):
        """Let it answer at once."""
        self.numbers = []
        self.open = asyncio.Event()
        self.open.set()
        self.delivered = []
        self.desk = SnapshotDesk(self._ask, self.delivered.append, lambda: 100)

    async def _ask(self, asked):
        self.numbers.append(asked.number)
        await self.open.wait()
        return answer(asked)

    def told(self):
        """Return the answered numbers with whether each was a real answer."""
        return [(int(item.request, 16), item.ok) for item in self.delivered]


async def test_a_burst_asks_once():
    """Twenty requests found on the log: nineteen are superseded, each with an answer on the log, none with noise."""
    asked = Asked()
    for number in range(1, 21):
        asked.desk.request(request(number))
    await asked.desk.settled()
    assert asked.numbers == [20]
    assert asked.told() == [*((number, False) for number in range(1, 20)), (20, True)]
    assert asked.delivered[0].detail == f"{SUPERSEDED} by request 2"
    assert asked.delivered[0].ts_ns == 100


async def test_a_query_under_way_is_not_interrupted():
    """What is being asked is answered; of those that come meanwhile the newest is asked next."""
    asked = Asked()
    asked.open.clear()
    asked.desk.request(request(1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for number in (2, 3, 4):
        asked.desk.request(request(number))
    asked.open.set()
    await asked.desk.settled()
    assert asked.numbers == [1, 4]
    assert asked.told() == [(2, False), (3, False), (1, True), (4, True)]
    asked.desk.request(request(5))
    await asked.desk.settled()
    assert asked.told()[-1] == (5, True)


async def test_stopping_ends_the_query():
    """A service that stops waits for nobody; the request stays unanswered, which is unknown."""
    asked = Asked()
    asked.open.clear()
    for number in (1, 2):
        asked.desk.request(request(number))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert asked.numbers == [1]
    await asked.desk.stop()
    asked.desk.request(request(3))
    await asked.desk.stop()
    async with asyncio.timeout(1.0):
        await asked.desk.settled()
    assert asked.told() == []
