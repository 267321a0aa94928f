"""Which requests a fetch makes: nothing twice, nothing missing, and one stretch after every single answer."""

import pytest

from walstreet.domain.fetch_plan import OVERLAP_SESSIONS, Coverage, plan_chunks


def spans(chunks):
    """Return the days of chunks."""
    return [(chunk.first, chunk.last, chunk.head) for chunk in chunks]


def test_a_new_history_grows_from_its_oldest_day() -> None:
    """Chunks touch, none is longer than allowed, and the last one ends on the last day."""
    assert spans(plan_chunks(None, first=100, last=125, chunk_days=10)) == [
        (100, 109, False),
        (110, 119, False),
        (120, 125, False),
    ]


def test_what_is_stored_is_not_asked_for_again() -> None:
    """A history that reaches the last day needs no request at all."""
    stored = Coverage(asked_from=100, final_days=tuple(range(100, 126)))
    assert plan_chunks(stored, first=100, last=125, chunk_days=10) == ()


def test_the_tail_begins_with_a_few_stored_days() -> None:
    """The overlap shows whether the source has restated its past."""
    stored = Coverage(asked_from=100, final_days=tuple(range(100, 121)))
    chunks = plan_chunks(stored, first=100, last=125, chunk_days=30)
    assert spans(chunks) == [(121 - OVERLAP_SESSIONS, 125, False)]


def test_an_older_head_grows_backwards_before_the_tail() -> None:
    """After each answer the stored days are still one stretch."""
    stored = Coverage(asked_from=100, final_days=(105, 106))
    assert spans(plan_chunks(stored, first=85, last=107, chunk_days=10)) == [
        (90, 99, True),
        (85, 89, True),
        (105, 107, False),
    ]


def test_a_symbol_that_begins_late_is_not_asked_for_its_head_every_time() -> None:
    """What was asked for counts, not where the first bar stands."""
    stored = Coverage(asked_from=0, final_days=(900, 901))
    assert spans(plan_chunks(stored, first=0, last=902, chunk_days=365)) == [(900, 902, False)]


def test_a_fetch_that_found_nothing_yet_asks_again() -> None:
    """Provisional bars alone are nothing that could be kept."""
    stored = Coverage(asked_from=100, final_days=())
    assert spans(plan_chunks(stored, first=100, last=105, chunk_days=10)) == [(100, 105, False)]


def test_a_chunk_has_a_length() -> None:
    """Zero days would never end."""
    with pytest.raises(AssertionError):
        plan_chunks(None, first=1, last=2, chunk_days=0)
