"""Tests of the emergency spool: order, durability, torn ends, damage, and putting it aside."""

from __future__ import annotations

from pathlib import Path

import pytest

from walstreet.adapters.spool import HEAD, MAGIC, SpoolError, SpoolFile
from walstreet.testing.events import OPEN_NS, clock_tick

pytestmark = pytest.mark.spec("001.recovery")

TICKS = [clock_tick(OPEN_NS + number) for number in range(5)]


def filled(path: Path, count: int = 3) -> SpoolFile:
    """Return a spool with so many events."""
    spool = SpoolFile(path)
    for tick in TICKS[:count]:
        spool.append(tick)
    return spool


def test_events_come_back_in_order_and_more_may_follow(tmp_path: Path) -> None:
    """What was written is read by another process, which adds to it."""
    path = tmp_path / "deep" / "spool.bin"
    assert not SpoolFile(path).pending()
    assert SpoolFile(path).read().events == ()
    filled(path).close()
    again = SpoolFile(path)
    assert again.pending()
    again.append(TICKS[3])
    assert list(again.read().events) == TICKS[:4]
    assert again.read().torn_bytes == 0


@pytest.mark.parametrize("cut", [1, 5, HEAD.size, HEAD.size + 3])
def test_a_torn_end_is_cut_off_before_anything_is_added(tmp_path: Path, cut: int) -> None:
    """A crash in the middle of a write costs that record only, and what is cut off is kept beside."""
    path = tmp_path / "spool.bin"
    filled(path).close()
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    content = SpoolFile(path).read()
    assert list(content.events) == TICKS[:2]
    assert content.torn_bytes > 0
    again = SpoolFile(path)
    again.append(TICKS[4])
    again.close()
    assert list(SpoolFile(path).read().events) == [*TICKS[:2], TICKS[4]]
    assert (tmp_path / "spool.bin.torn").read_bytes() == whole[content.good_bytes : len(whole) - cut]


def test_every_flipped_bit_ends_what_is_believed(tmp_path: Path) -> None:
    """No event behind a damaged record is returned, and none that was changed."""
    path = tmp_path / "spool.bin"
    filled(path).close()
    whole = path.read_bytes()
    for position in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[position] ^= 0x10
        path.write_bytes(bytes(damaged))
        events = list(SpoolFile(path).read().events)
        assert events == TICKS[: len(events)]
        assert len(events) < 3


def test_a_file_of_somebody_else_is_not_believed(tmp_path: Path) -> None:
    """Without the magic nothing is read; the magic alone is empty."""
    path = tmp_path / "spool.bin"
    path.write_bytes(b"not a spool at all, but long enough for a head")
    assert SpoolFile(path).read().events == ()
    path.write_bytes(MAGIC)
    assert not SpoolFile(path).pending()


def test_put_aside_it_stays_as_evidence(tmp_path: Path) -> None:
    """Each import has a file of its own, and the next emergency begins a new one."""
    path = tmp_path / "spool.bin"
    first = filled(path).finish()
    second = filled(path, 1).finish()
    assert first is not None
    assert second is not None
    assert (first.name, second.name) == ("spool.bin.imported-1", "spool.bin.imported-2")
    assert list(SpoolFile(first).read().events) == TICKS[:3]
    assert SpoolFile(path).finish() is None


def test_what_cannot_be_written_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    """The effect must not happen, so the failure is loud."""
    blocked = tmp_path / "file"
    blocked.write_text("x")
    with pytest.raises(SpoolError, match="by hand in TWS"):
        SpoolFile(blocked / "spool.bin").append(TICKS[0])
