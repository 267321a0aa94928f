"""Tests of the ring of feature rows that sequence models read."""

from __future__ import annotations

import numpy as np
import pytest

from walstreet.domain.sequence_buffer import SequenceBuffer

pytestmark = pytest.mark.spec("003.registry", "000.12")

MINUTE_NS = 60_000_000_000


def _buffer(length: int = 3, symbols: int = 2) -> SequenceBuffer:
    return SequenceBuffer(symbols=symbols, features=2, length=length, bar_ns=MINUTE_NS, session_gap_ns=180 * MINUTE_NS)


def _push(buffer: SequenceBuffer, minute: int, usable: tuple[bool, ...] = (True, True)) -> None:
    rows = np.array([[minute + 100.0 * symbol, -minute] for symbol in range(len(usable))], dtype=float)
    buffer.push(rows, np.array(usable), minute * MINUTE_NS)


def test_a_window_is_the_last_rows_oldest_first() -> None:
    """After wrapping round several times the window still stands in order."""
    buffer = _buffer()
    for minute in range(1, 12):
        assert buffer.ready(minute * MINUTE_NS).all() == (minute > 3)
        _push(buffer, minute)
    windows = buffer.windows(np.array([1, 0]))
    np.testing.assert_array_equal(windows[:, :, 0], [[109.0, 110.0, 111.0], [9.0, 10.0, 11.0]])


def test_rows_with_missing_values_or_not_ready_are_rejected() -> None:
    """A NaN, an infinity or the ready flag keep a row out of one symbol's ring only."""
    buffer = _buffer(length=2)
    _push(buffer, 1)
    bad = np.array([[np.nan, 0.0], [1.0, 2.0]])
    buffer.push(bad, np.array([True, True]), 2 * MINUTE_NS)
    bad[0, 0] = np.inf
    buffer.push(bad, np.array([True, True]), 3 * MINUTE_NS)
    _push(buffer, 4, (False, True))
    assert buffer.ready(4 * MINUTE_NS).tolist() == [False, True]
    _push(buffer, 5)
    assert buffer.ready(5 * MINUTE_NS).tolist() == [True, True]
    np.testing.assert_array_equal(buffer.windows(np.array([0]))[0, :, 0], [1.0, 5.0])


def test_a_full_window_goes_stale_after_its_time_to_live() -> None:
    """Five bars after the newest row the window is no longer ready."""
    buffer = _buffer()
    for minute in (1, 2, 3):
        _push(buffer, minute)
    assert buffer.ready(8 * MINUTE_NS).all()
    assert not buffer.ready(8 * MINUTE_NS + 1).any()


def test_a_hole_empties_the_ring_but_a_night_does_not() -> None:
    """Rows on both sides of a hole are no neighbours; those around a night are."""
    hole, night = _buffer(), _buffer()
    for buffer in (hole, night):
        for minute in (1, 2, 3):
            _push(buffer, minute)
    _push(hole, 20)
    _push(night, 1000)
    assert not hole.ready(20 * MINUTE_NS).any()
    assert night.ready(1000 * MINUTE_NS).all()


@pytest.mark.parametrize("length", [0, 513])
def test_lengths_out_of_bounds_are_refused(length: int) -> None:
    """The buffer's memory is bounded by its length."""
    with pytest.raises(ValueError, match=f"sequence length {length} is outside"):
        _buffer(length=length)
