"""Whatever is stored and whatever is wanted: the plan of a fetch misses no day and breaks no stretch."""

from hypothesis import given
from hypothesis import strategies as st

from walstreet.domain.fetch_plan import Coverage, plan_chunks


@given(
    asked=st.integers(0, 300),
    length=st.integers(0, 200),
    first=st.integers(0, 300),
    extra=st.integers(-50, 200),
    chunk_days=st.integers(1, 60),
)
def test_plan_covers_what_is_missing(asked: int, length: int, first: int, extra: int, chunk_days: int) -> None:
    """Stored days and requests together are every wanted day, and no request is longer than allowed."""
    stored = Coverage(asked_from=asked, final_days=tuple(range(asked, asked + length)))
    first = min(first, asked)
    last = max(first, asked + length + extra)
    chunks = plan_chunks(stored, first=first, last=last, chunk_days=chunk_days)
    have = set(stored.final_days)
    for chunk in chunks:
        assert first <= chunk.first <= chunk.last <= max(last, asked - 1)
        assert chunk.last - chunk.first < chunk_days
        have |= set(range(chunk.first, chunk.last + 1))
        assert len(have) == max(have) - min(have) + 1 or not chunk.head
    assert set(range(first, last + 1)) <= have | set(range(asked, asked + length))
