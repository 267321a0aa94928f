"""Owns the tests of the witness: it only grows, survives restarts, and a damaged record is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from walstreet.adapters.clock import WallClock
from walstreet.adapters.memory import MemoryLog, MemoryTape
from walstreet.adapters.nats.journal import ChainHead
from walstreet.runtime.chain import ChainFault
from walstreet.runtime.witness import Witness, WitnessedLog, newest_mark, read_mark
from walstreet.testing.cores import clock_tick
from walstreet_events import Service


def test_the_mark_only_grows_and_outlives_the_process(tmp_path: Path) -> None:
    """A lower sequence changes nothing; the next life reads what the last one noted."""
    witness = Witness(tmp_path / "folder" / "features")
    for seq in (5, 9, 7):
        witness.note(seq)
    witness.close()
    assert Witness(tmp_path / "folder" / "features").seq == 9
    assert newest_mark(tmp_path / "folder") == 9
    assert newest_mark(tmp_path / "nowhere") == 0


@pytest.mark.parametrize(
    "content", [b"", b"x" * 29, b"0000000000000000009", b"0000000000000000009 00000000\n", b"\0" * 40]
)
def test_a_damaged_record_is_no_record(tmp_path: Path, content: bytes) -> None:
    """A torn, empty or foreign file says nothing, and is written anew."""
    (tmp_path / "features").write_bytes(content)
    assert read_mark(tmp_path / "features") == 0
    witness = Witness(tmp_path / "features")
    witness.note(3)
    assert read_mark(tmp_path / "features") == 3


async def gateway(tape: MemoryTape, count: int) -> None:
    """Let the gateway write its ticks."""
    log = MemoryLog(tape, Service.GATEWAY, WallClock())
    await log.open()
    await log.journal.begin_epoch(ChainHead(), epoch_seq=0, ts_ns=0, config_hash="")
    for number in range(count):
        await log.journal.append(clock_tick(number + 1), through=0)


async def test_a_tape_without_its_end_is_told_at_the_next_start(tmp_path: Path) -> None:
    """What the first life saw is missing for the second one, although every chain that is left verifies."""
    whole, short = MemoryTape(), MemoryTape()
    await gateway(whole, 9)
    await gateway(short, 4)
    faults: list[ChainFault] = []
    for tape in (whole, whole, short):
        witness = Witness(tmp_path / "features")
        log = WitnessedLog(MemoryLog(tape, Service.FEATURES, WallClock()), witness, "features")
        log.on_fault = faults.append
        await log.open()
        assert len(faults) == (1 if tape is short else 0)
        witness.close()
    assert (faults[0].kind, faults[0].stream_seq) == ("tail", 10)
    assert "ends at 5" in faults[0].detail
