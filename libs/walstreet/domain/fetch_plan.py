"""Owns which days of a symbol's raw history are asked for: only what is missing at the head and at the tail.

The stored days are always one stretch without a hole of ours: a new history grows from its oldest day to the newest, an
older head grows backwards. A fetch that was killed therefore goes on where its file ends.
"""

from __future__ import annotations

from dataclasses import dataclass

OVERLAP_SESSIONS = 5
"""So many stored final days are asked for again at the tail: a split since then shows in them."""
CHUNKS_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What is stored of one symbol."""

    asked_from: int
    """Oldest day that was asked for; the symbol may begin later."""
    final_days: tuple[int, ...]
    """Days with a final bar, ascending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """One request: sessions from day ``first`` to day ``last``, both inclusive, in days since 1970."""

    first: int
    last: int
    head: bool
    """Whether it is older than what is stored."""


def plan_chunks(coverage: Coverage | None, *, first: int, last: int, chunk_days: int) -> tuple[Chunk, ...]:
    """Return the requests in the order in which they are to be made.

    Args:
        coverage: None where nothing is stored.
        first: Oldest wanted day.
        last: Newest wanted day.
        chunk_days: Most calendar days of one request, at least 1.
    """
    assert chunk_days >= 1, chunk_days
    if coverage is None:
        return _tail(first, last, chunk_days)
    stored = coverage.final_days
    # Head chunks go back in time, so that the stored days stay one stretch after each of them.
    head = [
        Chunk(first=max(first, end - chunk_days + 1), last=end, head=True)
        for end in range(coverage.asked_from - 1, first - 1, -chunk_days)
    ]
    overlap = stored[-OVERLAP_SESSIONS:]
    newest = stored[-1] if stored else coverage.asked_from - 1
    if newest >= last:
        return tuple(head)
    begin = overlap[0] if overlap else coverage.asked_from
    return (*head, *_tail(begin, last, chunk_days))


def _tail(first: int, last: int, chunk_days: int) -> tuple[Chunk, ...]:
    chunks = tuple(
        Chunk(first=begin, last=min(last, begin + chunk_days - 1), head=False)
        for begin in range(first, last + 1, chunk_days)
    )
    assert len(chunks) <= CHUNKS_MAX, f"{len(chunks)} requests for one symbol; choose longer chunks"
    return chunks
