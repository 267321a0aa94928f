"""Owns the stopwatch: both sides in turn, in one process, without the garbage collector, warm-up left out."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter_ns

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Work = Callable[[int], object]

NANOS_PER_MICRO = 1_000.0
NANOS_PER_SECOND = 1_000_000_000.0
BLOCK_RUNS = 20
ASYNC_BLOCK_RUNS = 10
NOISE_SAMPLES = 400
NOISE_LOOP = 4_000


@contextmanager
def collector_off() -> Iterator[None]:
    """Keep the garbage collector out of the timed region, and empty its lists before it."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def interleaved_us(works: Sequence[Work], *, runs: int, warm_up: int, block: int = BLOCK_RUNS) -> FloatArray:
    """Return the times ``(len(works), runs)`` in microseconds of calls ``work(run)``.

    The sides take turns in blocks: a block lets each find its own state in the cache, as a process of its own
    would, and spreads whatever the machine does meanwhile over all of them.
    """
    whole = runs + warm_up
    times = np.empty((len(works), whole))
    with collector_off():
        for start in range(0, whole, block):
            for side, work in enumerate(works):
                for run in range(start, min(start + block, whole)):
                    start_ns = perf_counter_ns()
                    work(run)
                    times[side, run] = perf_counter_ns() - start_ns
    return times[:, warm_up:] / NANOS_PER_MICRO


def interleaved_rates(works: Sequence[Callable[[], object]], *, calls: int, rounds: int, warm_up: int) -> FloatArray:
    """Return calls per second ``(len(works), rounds)``; each sample is the mean of ``calls`` calls in a row.

    For work of a microsecond and less, where the clock itself would be a good part of one call.
    """
    rates = np.empty((len(works), rounds + warm_up))
    repeat = range(calls)
    with collector_off():
        for turn in range(rounds + warm_up):
            for side, work in enumerate(works):
                start_ns = perf_counter_ns()
                for _ in repeat:
                    work()
                rates[side, turn] = calls * NANOS_PER_SECOND / (perf_counter_ns() - start_ns)
    return rates[:, warm_up:]


async def interleaved_async_us(
    works: tuple[Callable[[int], Awaitable[object]], ...], *, runs: int, warm_up: int
) -> FloatArray:
    """Return the times ``(len(works), runs)`` in microseconds of awaited calls, the sides in turn."""
    whole = runs + warm_up
    times = np.empty((len(works), whole))
    with collector_off():
        for start in range(0, whole, ASYNC_BLOCK_RUNS):
            for side, work in enumerate(works):
                for run in range(start, min(start + ASYNC_BLOCK_RUNS, whole)):
                    start_ns = perf_counter_ns()
                    await work(run)
                    times[side, run] = perf_counter_ns() - start_ns
    return times[:, warm_up:] / NANOS_PER_MICRO


async def interleaved_async_rates(
    works: tuple[Callable[[], Awaitable[None]], ...], *, count: int, rounds: int
) -> FloatArray:
    """Return items per second ``(len(works), rounds)`` of works that handle ``count`` items each; one warm-up."""
    rates = np.empty((len(works), rounds + 1))
    for turn in range(rounds + 1):
        for side, work in enumerate(works):
            with collector_off():
                start_ns = perf_counter_ns()
                await work()
                rates[side, turn] = count * NANOS_PER_SECOND / (perf_counter_ns() - start_ns)
    return rates[:, 1:]


def noise_ratio() -> float:
    """Return p99 over median of a fixed loop's time: 1.0 on a machine that does nothing else."""
    times = np.empty(NOISE_SAMPLES)
    with collector_off():
        for sample in range(NOISE_SAMPLES):
            start_ns = perf_counter_ns()
            total = 0
            for number in range(NOISE_LOOP):
                total += number
            times[sample] = perf_counter_ns() - start_ns
            assert total == NOISE_LOOP * (NOISE_LOOP - 1) // 2
    return float(np.percentile(times, 99) / np.median(times))
