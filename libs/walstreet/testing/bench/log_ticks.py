"""Owns the rows of raw ticks: published, captured by MD and received, none lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import numpy as np

from walstreet.adapters.nats import Connection, TickPublisher, TickSubscriber
from walstreet.adapters.nats.streams import last_sequence
from walstreet.testing.bench.row import BenchError, Row, Setup, budget_row, make_row
from walstreet.testing.bench.timing import interleaved_async_rates
from walstreet_events import Quote, encode
from walstreet_events.subjects import Stream

TICKS_QUICK: Final = 5_000
TICKS_FULL: Final = 20_000
TICK_ROUNDS_QUICK: Final = 5
TICK_ROUNDS_FULL: Final = 9
TICK_RATE_MIN: Final = 5_000.0
TICK_TARGET: Final = 0.7
"""The peer's ticks are neither captured nor numbered nor typed."""
TICK_TIMEOUT_S: Final = 60.0
TICK_POLL_S: Final = 0.0005
CAPTURE_POLL_S: Final = 0.05

assert TICKS_FULL < 50_000, "a round must fit into the queues of publisher and subscriber"


async def tick_rows(setup: Setup, admin: Connection, gateway: Connection, execution: Connection) -> list[Row]:
    """Publish ticks as the gateway does and receive them as execution does, while MD captures them.

    Raises:
        BenchError: A tick was lost on the way or in the capture.
    """
    ticks = setup.pick(quick=TICKS_QUICK, full=TICKS_FULL)
    rounds = setup.pick(quick=TICK_ROUNDS_QUICK, full=TICK_ROUNDS_FULL)
    seen = 0

    def on_tick(_: object) -> None:
        nonlocal seen
        seen += 1

    publisher, subscriber = TickPublisher(gateway), TickSubscriber(execution, on_tick)
    await subscriber.start()
    quotes = iter(range(1, ticks * (rounds + 1) + 1))

    async def captured() -> None:
        wanted = seen + ticks
        for _ in range(ticks):
            publisher.publish(_quote(next(quotes)))
        await publisher.flush()
        await _until(lambda: seen >= wanted, f"{ticks} captured ticks")

    rates = await interleaved_async_rates((captured, await _plain_publisher(admin, ticks)), count=ticks, rounds=rounds)
    expect(publisher.dropped + subscriber.missed + subscriber.malformed, 0, "lost ticks")
    await _expect_captured(admin, ticks * (rounds + 1))
    await subscriber.stop()
    size = f"{ticks:,} quotes, 1 process"
    mine = rates[0]
    return [
        make_row(
            name="captured ticks",
            size=size,
            unit="ticks/s",
            samples=mine,
            peer="nats-py core, not kept",
            peer_samples=rates[1],
            target=TICK_TARGET,
        ),
        budget_row(
            name="captured ticks",
            size=size,
            unit="ticks/s",
            median=float(np.median(mine)),
            p99=float(np.percentile(mine, 1)),
            budget=TICK_RATE_MIN,
        ),
    ]


async def _plain_publisher(admin: Connection, ticks: int) -> Callable[[], Awaitable[None]]:
    """Return the peer: the same bytes as plain core messages that nobody keeps or counts."""
    found = 0
    payload = encode(_quote(1))

    async def on_message(_: Any) -> None:
        nonlocal found
        found += 1

    await admin.client.subscribe("bench.plain", cb=on_message, pending_msgs_limit=2 * ticks)
    await admin.client.flush()

    async def plain() -> None:
        wanted = found + ticks
        for number in range(ticks):
            await admin.client.publish("bench.plain", payload)
            if number % 256 == 0:
                await asyncio.sleep(0)
        await _until(lambda: found >= wanted, f"{ticks} plain messages")

    return plain


def _quote(seq: int) -> Quote:
    return Quote(
        seq=seq,
        ts_ns=1_795_185_000_000_000_000 + seq,
        symbol="AAA",
        bid_nano=100_240_000_000,
        ask_nano=100_260_000_000,
        bid_size_micro=300_000_000,
        ask_size_micro=200_000_000,
    )


async def _until(condition: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(TICK_TIMEOUT_S):
            while not condition():  # noqa: ASYNC110 - a callback that set an event would be part of what is measured
                await asyncio.sleep(TICK_POLL_S)
    except TimeoutError as error:
        raise BenchError(f"{what} did not all arrive in {TICK_TIMEOUT_S:.0f} s: some were lost") from error


async def _expect_captured(admin: Connection, wanted: int) -> None:
    """Check that MD holds every tick; capture may trail its readers a little."""
    stored = 0
    try:
        async with asyncio.timeout(TICK_TIMEOUT_S):
            while (stored := await last_sequence(admin, Stream.MD)) < wanted:  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(CAPTURE_POLL_S)
    except TimeoutError:
        expect(stored, wanted, "MD")


def expect(found: int, wanted: int, what: str) -> None:
    """Refuse a measurement in which something is missing."""
    if found != wanted:
        raise BenchError(f"{what}: {found} instead of {wanted}")
