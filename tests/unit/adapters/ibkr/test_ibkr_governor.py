"""Owns the tests of who waits for the pace of outgoing messages, and in which order; the limits are the domain's."""

from __future__ import annotations

import asyncio

import pytest

from walstreet.adapters.ibkr.governor import Priority, RateGovernor
from walstreet.domain.governor import BROKER_MESSAGES_PER_SECOND_MAX, GovernorParameters
from walstreet_events import NANOS_PER_SECOND

DEFAULTS = GovernorParameters()


class _Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.ns = 0

    def now_ns(self) -> int:
        return self.ns

    async def sleep(self, seconds: float) -> None:
        self.ns += round(seconds * NANOS_PER_SECOND)
        await asyncio.sleep(0)


def governed(time: _Time, *, paced: bool = True, **changes: int) -> RateGovernor:
    """Return a governor on ``time``."""
    return RateGovernor(time, paced=paced, parameters=GovernorParameters(**changes), sleep=time.sleep)


async def test_a_rush_stays_within_the_brokers_limit_and_loses_nothing() -> None:
    """Three hundred messages at once: each goes, in order, and no second holds more than fifty."""
    time = _Time()
    governor = governed(time)
    sent: list[tuple[int, int]] = []

    async def send(number: int) -> None:
        await governor.message(Priority.URGENT if number % 10 == 0 else Priority.NORMAL)
        sent.append((time.ns, number))

    await asyncio.gather(*(send(number) for number in range(300)))
    times = sorted(ns for ns, _ in sent)
    assert len(times) == governor.sent == 300
    for index, first in enumerate(times):
        assert (
            sum(first <= each <= first + NANOS_PER_SECOND for each in times[index:]) <= BROKER_MESSAGES_PER_SECOND_MAX
        )
    normal = [number for _, number in sent if number % 10]
    assert normal == sorted(normal)
    assert governor.waited_ns > 0


async def test_a_cancel_overtakes_queued_messages() -> None:
    """Behind a hundred waiting messages a cancel still goes at once."""
    time = _Time()
    governor = governed(time)
    order: list[str] = []

    async def send(name: str, priority: Priority) -> None:
        await governor.message(priority)
        order.append(name)

    queued = [asyncio.create_task(send("normal", Priority.NORMAL)) for _ in range(100)]
    await asyncio.sleep(0)
    await send("cancel", Priority.URGENT)
    assert order.count("normal") <= DEFAULTS.burst - DEFAULTS.urgent_reserve
    await asyncio.gather(*queued)
    assert time.ns >= 2 * NANOS_PER_SECOND, "a hundred messages at forty-five a second need more than two seconds"


async def test_a_historical_request_is_open_until_it_is_left() -> None:
    """With room for one, the second waits until the first was answered, also when that failed."""
    time = _Time()
    governor = governed(time, historical_open_max=1)
    entered = asyncio.Event()

    async def second() -> None:
        async with governor.historical(contract="B", key="b"):
            entered.set()

    async def first() -> None:
        async with governor.historical(contract="A", key="a"):
            waiting.append(asyncio.create_task(second()))
            for _ in range(5):
                await asyncio.sleep(0)
            assert not entered.is_set()
            raise RuntimeError("no answer")

    waiting: list[asyncio.Task[None]] = []
    with pytest.raises(RuntimeError, match="no answer"):
        await first()
    await asyncio.wait_for(waiting[0], 1.0)
    assert entered.is_set()


async def test_identical_requests_wait_and_bid_ask_counts_twice() -> None:
    """The same question waits fifteen seconds; with a weight of two half as many fit into ten minutes."""
    time = _Time()
    governor = governed(time)
    for _ in range(2):
        async with governor.historical(contract="A", key="same"):
            pass
    assert time.ns >= DEFAULTS.historical_identical_s * NANOS_PER_SECOND
    heavy = governed(_Time(), historical_in_window_max=4)
    for number in range(2):
        async with heavy.historical(contract=f"{number}", key=f"{number}", weight=2):
            pass
    assert heavy.waited_ns == 0
    async with heavy.historical(contract="x", key="x", weight=2):
        assert heavy.waited_ns >= DEFAULTS.historical_window_s * NANOS_PER_SECOND - NANOS_PER_SECOND


async def test_without_pacing_nothing_waits() -> None:
    """In simulation a thousand messages pass in no time."""
    time = _Time()
    governor = governed(time, paced=False)
    for _ in range(1_000):
        await governor.message()
        async with governor.historical(contract="SPY", key="same"):
            pass
    assert time.ns == 0
