"""Owns the rows of the log, on a real embedded server: durable append, reading the TAPE, captured ticks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Final

import msgspec
import numpy as np
import uvloop
from numpy.typing import NDArray

from walstreet.adapters.clock import WallClock
from walstreet.adapters.nats import Connection, TapeJournal, TapeReader
from walstreet.adapters.nats.journal import ChainHead
from walstreet.adapters.nats.server import ADMIN
from walstreet.adapters.nats.streams import last_sequence
from walstreet.testing.bench.events import feature_block
from walstreet.testing.bench.log_ticks import expect, tick_rows
from walstreet.testing.bench.row import BenchError, Row, Setup, budget_row, make_row
from walstreet.testing.bench.timing import interleaved_async_rates, interleaved_async_us
from walstreet.testing.events_base import clock_tick
from walstreet.testing.log_server import LogServer
from walstreet_events import AnyEvent, Service, decode, derive_id, encode, subject_of
from walstreet_events.subjects import Stream

FloatArray = NDArray[np.float64]

SYNCED_STREAM: Final = "BENCH_SYNCED"
MEMORY_STREAM: Final = "BENCH_MEMORY"
SYNCED_SUBJECT: Final = "bench.synced"
MEMORY_SUBJECT: Final = "bench.memory"
BENCH_STREAM_BYTES_MAX: Final = 1 << 28
BENCH_MEMORY_BYTES_MAX: Final = 48 << 20

APPEND_WARM_UP: Final = 50
APPENDS_QUICK: Final = 400
APPENDS_FULL: Final = 3_000
LARGE_SYMBOLS: Final = 20
LARGE_FEATURES: Final = 115
"""20 symbols x 115 features are an event of about 20 kB."""
SYNCED_TARGET: Final = 0.7
"""The peer's append has no epoch fence, no message id and no hash chain."""
MEMORY_TARGET: Final = 0.2
"""The peer's append survives nothing: it is the round trip that durability is added to."""

READ_MESSAGES_QUICK: Final = 2_000
READ_MESSAGES_FULL: Final = 20_000
READ_ROUNDS_QUICK: Final = 3
READ_ROUNDS_FULL: Final = 9
READ_TIMEOUT_S: Final = 60.0
READ_RATE_MIN: Final = 100_000.0
READ_TARGET: Final = 1.0


assert APPENDS_QUICK <= READ_MESSAGES_QUICK


def log_rows(setup: Setup) -> list[Row]:
    """Measure the log; the server lives in a directory of its own and is gone afterwards.

    Raises:
        BenchError: Something was lost.
    """
    return _run(_measure(setup))


def _run(work: Coroutine[Any, Any, list[Row]]) -> list[Row]:
    """Run ``work`` on the event loop that the services use, in a thread of its own."""
    rows: list[Row] = []
    failures: list[BaseException] = []

    def body() -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                rows.extend(runner.run(work))
        except BaseException as error:  # noqa: BLE001 - handed to the caller below, whatever it is
            failures.append(error)

    # A caller that runs a loop already (a test) could not run a second one in its own thread.
    thread = threading.Thread(target=body, name="bench-log")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return rows


async def _measure(setup: Setup) -> list[Row]:
    async with LogServer() as log:
        admin = await log.connect(ADMIN)
        await _declare_peers(admin)
        gateway = await log.connect(Service.GATEWAY.value)
        features = await log.connect(Service.FEATURES.value)
        clock = TapeJournal(gateway, Service.GATEWAY, WallClock())
        blocks = TapeJournal(features, Service.FEATURES, WallClock())
        for journal in (clock, blocks):
            await journal.begin_epoch(ChainHead(), epoch_seq=0, ts_ns=0, config_hash="")
        appends = setup.pick(quick=APPENDS_QUICK, full=APPENDS_FULL)
        small = clock_tick()
        rows = await _append_rows(admin, clock, small, appends)
        # Read before the large events are there: reading is about messages per second of the usual size.
        await _fill(clock, small, appends, setup.pick(quick=READ_MESSAGES_QUICK, full=READ_MESSAGES_FULL))
        rounds = setup.pick(quick=READ_ROUNDS_QUICK, full=READ_ROUNDS_FULL)
        read = await _read_rows(admin, rounds)
        large = feature_block(LARGE_SYMBOLS, LARGE_FEATURES)
        rows += await _append_rows(admin, blocks, large, appends)
        execution = await log.connect(Service.EXECUTION.value)
        return [*rows, *read, *await tick_rows(setup, admin, gateway, execution)]


async def _declare_peers(admin: Connection) -> None:
    """Create what the peers write to, in the same server: one synced file stream, one in memory."""
    for name, subject, storage, bytes_max in (
        (SYNCED_STREAM, SYNCED_SUBJECT, "file", BENCH_STREAM_BYTES_MAX),
        (MEMORY_STREAM, MEMORY_SUBJECT, "memory", BENCH_MEMORY_BYTES_MAX),
    ):
        config = {"name": name, "subjects": [subject], "storage": storage, "max_bytes": bytes_max, "num_replicas": 1}
        await admin.api(f"STREAM.CREATE.{name}", config)


# ------------------------------------------------------------------------------------------------ append


async def _append_rows(admin: Connection, journal: TapeJournal, example: AnyEvent, runs: int) -> list[Row]:
    payload = encode(example)
    raw = admin.client.jetstream()

    async def append(run: int) -> object:
        return await journal.append(_numbered(example, run), through=0)

    async def synced(_: int) -> object:
        return await raw.publish(SYNCED_SUBJECT, payload)

    async def memory(_: int) -> object:
        return await raw.publish(MEMORY_SUBJECT, payload)

    times = await interleaved_async_us((append, synced, memory), runs=runs, warm_up=APPEND_WARM_UP)
    size = f"{len(payload):,} bytes"
    return [
        make_row(
            name="durable append",
            size=size,
            unit="us",
            samples=times[0],
            peer=peer,
            peer_samples=times[side],
            target=target,
        )
        for side, peer, target in (
            (1, "nats-py publish, fsync", SYNCED_TARGET),
            (2, "nats-py publish, memory", MEMORY_TARGET),
        )
    ]


def _numbered(example: AnyEvent, run: int) -> AnyEvent:
    return msgspec.structs.replace(example, id=derive_id("bench", subject_of(example), run))


async def _fill(journal: TapeJournal, example: AnyEvent, done: int, wanted: int) -> None:
    for run in range(done + APPEND_WARM_UP, wanted):
        await journal.append(_numbered(example, run), through=0)


# ------------------------------------------------------------------------------------------------ read


async def _read_rows(admin: Connection, rounds: int) -> list[Row]:
    last = await last_sequence(admin)

    async def ours() -> None:
        found = 0
        async for message in TapeReader(admin).range(1, last):
            decode(message.payload)
            found += 1
        expect(found, last, "TapeReader")

    rates = await interleaved_async_rates((ours, lambda: _ordered_consumer(admin, last)), count=last, rounds=rounds)
    size = f"{last:,} messages, decoded"
    mine = rates[0]
    return [
        make_row(
            name="read the TAPE",
            size=size,
            unit="messages/s",
            samples=mine,
            peer="nats-py ordered consumer",
            peer_samples=rates[1],
            target=READ_TARGET,
        ),
        budget_row(
            name="read the TAPE",
            size=size,
            unit="messages/s",
            median=float(np.median(mine)),
            p99=float(np.percentile(mine, 1)),
            budget=READ_RATE_MIN,
        ),
    ]


async def _ordered_consumer(admin: Connection, last: int) -> None:
    """Read everything as nats-py's documentation shows: an ordered consumer with a callback, the fastest it has."""
    found = 0
    finished = asyncio.Event()

    async def on_message(message: Any) -> None:
        nonlocal found
        decode(message.data)
        found += 1
        if found == last:
            finished.set()

    subscription = await admin.client.jetstream().subscribe(
        ">", stream=Stream.TAPE.value, ordered_consumer=True, cb=on_message, pending_msgs_limit=last + 1
    )
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            await finished.wait()
    except TimeoutError as error:
        raise BenchError(f"nats-py's ordered consumer gave {found} of {last} messages") from error
    finally:
        await subscription.unsubscribe()
