"""A service starts without a broker, calls it again at growing distances, and in lockstep never waits for it."""

from __future__ import annotations

import asyncio

import pytest

from walstreet.domain.observations import LinkObserved, TimeObserved
from walstreet.domain.reconnect import ReconnectParameters
from walstreet.runtime.clocks import ToldClock
from walstreet.runtime.outside import TURN_ATTEMPTS, BrokerLink

QUICK = ReconnectParameters(first_s=0.05, longest_s=0.05, jitter_share=0.0)
T0 = 1_000_000_000


class Absent(Exception):  # noqa: N818 - it stands for an adapter's error
    """What the gateway's absence looks like."""


class Gateway:
    """A broker of which only the connection matters: it refuses the first ``refusals`` calls."""

    def __init__(self, observer, refusals):
        """Refuse so many connections."""
        self.observer = observer
        self.refusals = refusals
        self.calls = 0
        self.asked = 0
        self.connected = False
        self.reached = asyncio.Event()

    async def connect(self):
        """Connect, or refuse."""
        self.calls += 1
        if self.calls <= self.refusals:
            raise Absent(f"refusal {self.calls}")
        self.connected = True
        self.reached.set()
        self.observer(
            LinkObserved(ts_ns=T0, connected=True, data_lost=True, client_id=7, next_order_id=1, code=0, detail="")
        )

    async def close(self):
        """Disconnect."""
        self.connected = False

    async def server_time_ns(self):
        """Answer at once."""
        self.asked += 1
        return T0


def linked(refusals, *, lockstep, after=None):
    """Return a link to such a gateway, the gateway, and what it delivers."""
    delivered = []
    made = []

    def make(observer):
        made.append(Gateway(observer, refusals))
        return made[0]

    async def nothing(_broker):
        """Subscribe nothing."""

    link = BrokerLink(
        make=make,
        clock=ToldClock(T0),
        lockstep=lockstep,
        deliver=delivered.append,
        after_connect=after or nothing,
        errors=(Absent,),
        client_id=7,
        reconnect=QUICK,
        draw=lambda: 0.5,
    )
    return link, made[0], delivered


async def test_a_start_without_a_broker_says_so_once_and_goes_on():
    """The link of an earlier life may stand on the log as up; that it is down is told before anything else."""
    link, gateway, delivered = linked(3, lockstep=False)
    await link.start()
    assert [(item.connected, item.client_id) for item in delivered] == [(False, 7)]
    keeping = asyncio.create_task(link.keep())
    async with asyncio.timeout(5.0):
        await gateway.reached.wait()
    keeping.cancel()
    assert gateway.calls == 4
    assert [item.connected for item in delivered] == [False, True]


async def test_a_lost_connection_is_called_again():
    """After a success the counting of failures begins anew."""
    link, gateway, _ = linked(0, lockstep=False)
    await link.start()
    keeping = asyncio.create_task(link.keep())
    gateway.connected = False
    gateway.reached.clear()
    async with asyncio.timeout(5.0):
        await gateway.reached.wait()
    await asyncio.sleep(0)
    keeping.cancel()
    assert link.connections == 2


async def test_in_lockstep_a_turn_ends_without_a_broker():
    """Session time stands still in a turn, so the broker's absence can only end after it."""
    link, gateway, _ = linked(2 * TURN_ATTEMPTS + 1, lockstep=True)
    await link.start()
    first = await link.barrier(T0 + 1)
    assert [(type(item), item.connected, item.ts_ns) for item in first] == [(LinkObserved, False, T0 + 1)]
    assert gateway.asked == 0, "nobody is asked for the time where nobody is"
    second = await link.barrier(T0 + 2)
    assert [(item.connected, item.ts_ns) for item in second] == [(True, T0 + 2)]
    assert gateway.asked == 1


async def test_a_failed_subscription_is_a_failed_connection():
    """What the service needs after connecting belongs to it: half a connection is closed and called again."""

    async def fails(_broker):
        """Fail as a query does during an outage."""
        raise TimeoutError("no answer")

    link, gateway, delivered = linked(0, lockstep=False, after=fails)
    await link.start()
    assert not gateway.connected
    assert link.connections == 0
    assert [item.connected for item in delivered] == [True, False]


@pytest.mark.parametrize("lockstep", [True, False])
async def test_observations_are_buffered_in_lockstep_only(lockstep):
    """Live they are handed on at once; in lockstep they wait for the turn that stamps them."""
    link, gateway, delivered = linked(0, lockstep=lockstep)
    await link.start()
    delivered.clear()
    gateway.observer(TimeObserved(ts_ns=5))
    assert len(delivered) == (0 if lockstep else 1)
    if lockstep:
        assert (await link.barrier(T0 + 9))[-1] == TimeObserved(ts_ns=T0 + 9)


class Hanging(Gateway):
    """A gateway behind an open port that answers nothing until it is called anew."""

    answers = True

    async def connect(self):
        """Connect; a new connection is answered."""
        await super().connect()
        self.answers = True

    async def server_time_ns(self):
        """Answer, or let the question run into its timeout."""
        self.asked += 1
        if not self.answers:
            raise Absent("no answer to the broker's time within 20 s")
        return T0


def hanging(*, lockstep):
    """Return a link to a gateway that hangs, the gateway, and what it delivers."""
    delivered = []
    made = []

    async def nothing(_broker):
        """Subscribe nothing."""

    def make(observer):
        made.append(Hanging(observer, 0))
        return made[0]

    link = BrokerLink(
        make=make,
        clock=ToldClock(T0),
        lockstep=lockstep,
        deliver=delivered.append,
        after_connect=nothing,
        errors=(Absent,),
        client_id=7,
        reconnect=QUICK,
        probe_s=0.01,
        draw=lambda: 0.5,
    )
    return link, made[0], delivered


@pytest.mark.parametrize("asking", ["probe", "time"])
async def test_a_gateway_that_hangs_behind_an_open_port_is_found_out(asking):
    """Without an answer the link is told as down at once, a person is told, and the broker is called anew."""
    link, gateway, delivered = hanging(lockstep=False)
    await link.start()
    gateway.answers = False
    gateway.reached.clear()
    tasks = [asyncio.create_task(link.keep())]
    tasks.append(asyncio.create_task(link.probe() if asking == "probe" else link.follow_time(None)))
    async with asyncio.timeout(5.0):
        await gateway.reached.wait()
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    links = [item for item in delivered if isinstance(item, LinkObserved)]
    assert [item.connected for item in links] == [True, False, True]
    assert "open port" in links[1].detail
    assert link.connections == 2


async def test_in_lockstep_a_hanging_gateway_is_called_anew_in_the_next_turn():
    """A late answer would be taken for that of a later question, so that the connection is given up."""
    link, gateway, _ = hanging(lockstep=True)
    await link.start()
    gateway.answers = False
    first = await link.barrier(T0 + 1)
    assert [item.connected for item in first] == [True, False]
    assert not gateway.connected
    second = await link.barrier(T0 + 2)
    assert [item.connected for item in second] == [True]
    assert link.connections == 2


async def test_a_question_that_a_lost_socket_cuts_off_gives_up_nothing():
    """The socket's end has been told by itself; a second word for it would only be noise on the log."""
    link, gateway, delivered = hanging(lockstep=False)
    await link.start()
    gateway.answers = False
    gateway.connected = False
    asking = asyncio.create_task(link.follow_time(None))
    await asyncio.sleep(0.2)
    asking.cancel()
    assert [item.connected for item in delivered if isinstance(item, LinkObserved)] == [True]
