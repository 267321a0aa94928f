"""Tests of the pace of outgoing messages."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from walstreet.adapters.ibkr.governor import (
    BROKER_MESSAGES_PER_SECOND_MAX,
    BURST,
    HISTORICAL_IDENTICAL_S,
    HISTORICAL_IN_WINDOW_MAX,
    HISTORICAL_PER_CONTRACT_MAX,
    HISTORICAL_WINDOW_S,
    URGENT_RESERVE,
    HistoricalLimits,
    Priority,
    RateGovernor,
    TokenBucket,
)
from walstreet_events import NANOS_PER_SECOND


class _Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.ns = 0

    def now_ns(self) -> int:
        return self.ns

    async def sleep(self, seconds: float) -> None:
        self.ns += round(seconds * NANOS_PER_SECOND)
        await asyncio.sleep(0)


@given(st.lists(st.tuples(st.integers(0, 50_000_000), st.sampled_from(list(Priority))), min_size=60, max_size=200))
def test_no_second_has_more_messages_than_the_broker_allows(arrivals: list[tuple[int, Priority]]) -> None:
    """Whatever arrives, and however urgent, any window of one second stays within fifty."""
    bucket, now_ns = TokenBucket(), 0
    sent: list[int] = []
    for gap_ns, priority in arrivals:
        now_ns += gap_ns
        if bucket.take(now_ns, priority) == 0:
            sent.append(now_ns)
    for index, first_ns in enumerate(sent):
        assert sum(first_ns <= each < first_ns + NANOS_PER_SECOND for each in sent[index:]) <= (
            BROKER_MESSAGES_PER_SECOND_MAX
        )


def test_ordinary_messages_leave_the_reserve_to_cancels() -> None:
    """At one instant three ordinary messages pass, then two urgent ones, then nothing."""
    bucket = TokenBucket()
    ordinary = [bucket.take(0, Priority.NORMAL) for _ in range(BURST)]
    assert ordinary.count(0) == BURST - URGENT_RESERVE
    urgent = [bucket.take(0, Priority.URGENT) for _ in range(BURST)]
    assert urgent.count(0) == URGENT_RESERVE


async def test_a_cancel_overtakes_queued_messages() -> None:
    """Behind a hundred waiting messages a cancel still goes at once."""
    time = _Time()
    governor = RateGovernor(time, paced=True, sleep=time.sleep)
    order: list[str] = []

    async def send(name: str, priority: Priority) -> None:
        await governor.message(priority)
        order.append(name)

    queued = [asyncio.create_task(send("normal", Priority.NORMAL)) for _ in range(100)]
    await asyncio.sleep(0)
    await send("cancel", Priority.URGENT)
    assert order.count("normal") < BURST
    await asyncio.gather(*queued)
    assert time.ns >= 2 * NANOS_PER_SECOND, "a hundred messages at forty-five a second need more than two seconds"


def test_historical_requests_keep_all_three_limits() -> None:
    """Sixty in ten minutes, none identical within fifteen seconds, five of a contract in two seconds."""
    limits = HistoricalLimits()
    assert limits.take(0, contract="SPY", key="a") == 0
    assert limits.take(1, contract="SPY", key="a") == HISTORICAL_IDENTICAL_S * NANOS_PER_SECOND - 1
    for index in range(HISTORICAL_PER_CONTRACT_MAX - 1):
        assert limits.take(1, contract="SPY", key=f"b{index}") == 0
    assert limits.take(1, contract="SPY", key="c") > 0
    for index in range(HISTORICAL_IN_WINDOW_MAX - HISTORICAL_PER_CONTRACT_MAX):
        assert limits.take(1, contract=f"S{index}", key=f"d{index}") == 0
    assert limits.take(1, contract="X", key="x") == HISTORICAL_WINDOW_S * NANOS_PER_SECOND - 1
    assert limits.take(HISTORICAL_WINDOW_S * NANOS_PER_SECOND, contract="X", key="x") == 0


async def test_without_pacing_nothing_waits() -> None:
    """In simulation a thousand messages pass in no time."""
    time = _Time()
    governor = RateGovernor(time, paced=False, sleep=time.sleep)
    for _ in range(1_000):
        await governor.message()
        await governor.historical(contract="SPY", key="same")
    assert time.ns == 0
