"""Owns the tests of the supervisor: real child processes that end well, fail, hang, flood and refuse to die."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from walstreet.runtime import supervisor
from walstreet.runtime.supervisor import EXIT_NOT_STARTED, ManagedProcess, tail

FAST_S = 0.01
WAIT_S = 20.0


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the back-off, so that tests of many restarts take no minutes."""
    monkeypatch.setattr(supervisor, "BACKOFF_FIRST_S", FAST_S)
    monkeypatch.setattr(supervisor, "BACKOFF_MAX_S", 4 * FAST_S)


def managed(tmp_path: Path, program: str, *, restart: bool = True) -> ManagedProcess:
    """Return a process that runs a Python program given as text."""
    log = tmp_path / "child.out"
    argv = [sys.executable, "-u", "-c", program]
    return ManagedProcess("child", argv, log=log, environment=dict(os.environ), restart=restart)


async def finished(process: ManagedProcess) -> None:
    """Run to the end."""
    async with asyncio.timeout(WAIT_S):
        await process.run()


async def test_a_clean_end_is_not_restarted(tmp_path: Path) -> None:
    """Exit code 0 means that the work is done; output and errors are in the log."""
    # One write per line: print would write its line end apart, and the other stream may come between.
    process = managed(tmp_path, r"import sys; sys.stdout.write('out\n'); sys.stderr.write('err\n')")
    await finished(process)
    assert (process.life.starts, process.life.exits, process.life.gave_up) == (1, [0], "")
    assert process.ended.is_set()
    assert process.pid is None
    text = (tmp_path / "child.out").read_text()
    assert "out\n" in text
    assert "err\n" in text


async def test_a_failing_process_is_restarted_until_it_works(tmp_path: Path) -> None:
    """Two failures and a success are three starts, and nobody gave up."""
    program = (
        f"import pathlib, sys; p = pathlib.Path({str(tmp_path / 'count')!r}); "
        "n = int(p.read_text()) + 1 if p.exists() else 1; p.write_text(str(n)); sys.exit(0 if n == 3 else 1)"
    )
    process = managed(tmp_path, program)
    await finished(process)
    assert process.life.exits == [1, 1, 0]
    assert process.life.gave_up == ""


async def test_it_gives_up_after_the_bound_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After RESTARTS_MAX restarts in a row the end of the log is the reason."""
    monkeypatch.setattr(supervisor, "RESTARTS_MAX", 2)
    process = managed(tmp_path, "import sys; print('no disk'); sys.exit(3)")
    await finished(process)
    assert process.life.exits == [3, 3, 3]
    assert "child ended with code 3" in process.life.gave_up
    assert "no disk" in process.life.gave_up


async def test_bad_input_is_not_restarted(tmp_path: Path) -> None:
    """Exit code 2 will be 2 again: the operator has to change something."""
    process = managed(tmp_path, "import sys; print('risk.gross_max is 7'); sys.exit(2)")
    await finished(process)
    assert process.life.exits == [2]
    assert "risk.gross_max is 7" in process.life.gave_up


async def test_a_process_that_must_not_restart_is_given_up_at_once(tmp_path: Path) -> None:
    """The simulator's end is the session's end."""
    process = managed(tmp_path, "import sys; sys.exit(1)", restart=False)
    await finished(process)
    assert process.life.exits == [1]
    assert process.life.gave_up


async def test_a_crash_by_signal_is_a_failure(tmp_path: Path) -> None:
    """A process that was killed comes back."""
    process = managed(tmp_path, "import os; os.kill(os.getpid(), 9)", restart=False)
    await finished(process)
    assert process.life.exits == [-9]
    assert "code -9" in process.life.gave_up


async def test_a_healthy_life_forgives_failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only failures without a healthy life between them count towards giving up."""
    monkeypatch.setattr(supervisor, "RESTARTS_MAX", 1)
    monkeypatch.setattr(supervisor, "HEALTHY_AFTER_S", 0.0)
    program = (
        f"import pathlib, sys; p = pathlib.Path({str(tmp_path / 'count')!r}); "
        "n = int(p.read_text()) + 1 if p.exists() else 1; p.write_text(str(n)); sys.exit(0 if n == 5 else 1)"
    )
    process = managed(tmp_path, program)
    await finished(process)
    assert process.life.exits == [1, 1, 1, 1, 0]


async def test_the_back_off_doubles_up_to_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Restarts are spaced out, and never further than the bound."""
    monkeypatch.setattr(supervisor, "RESTARTS_MAX", 4)
    waits: list[float] = []
    real = asyncio.wait_for

    async def noted(work: object, bound_s: float) -> object:
        waits.append(bound_s)
        return await real(work, bound_s)

    monkeypatch.setattr(supervisor.asyncio, "wait_for", noted)
    await finished(managed(tmp_path, "import sys; sys.exit(1)"))
    assert waits == pytest.approx([FAST_S, 2 * FAST_S, 4 * FAST_S, 4 * FAST_S])


async def test_a_program_that_is_not_there_is_given_up_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong path is a reason, not a silent task that died."""
    monkeypatch.setattr(supervisor, "RESTARTS_MAX", 1)
    process = ManagedProcess("child", [str(tmp_path / "nothing")], log=tmp_path / "child.out", environment={})
    await finished(process)
    assert process.life.exits == [EXIT_NOT_STARTED, EXIT_NOT_STARTED]
    assert "nothing" in process.life.gave_up


async def test_stop_ends_a_process_that_listens(tmp_path: Path) -> None:
    """SIGTERM is enough, and what was stopped on purpose is neither restarted nor given up."""
    process = managed(tmp_path, "import time; print('ready'); time.sleep(60)")
    running = asyncio.create_task(process.run())
    assert await asyncio.wait_for(process.wait_first_line(), WAIT_S) == b"ready\n"
    assert process.pid is not None
    started = time.perf_counter()
    await process.stop()
    await running
    assert time.perf_counter() - started < supervisor.STOP_BOUND_S
    assert process.life.exits == [-signal.SIGTERM]
    assert (process.life.starts, process.life.gave_up) == (1, "")


async def test_stop_kills_a_process_that_ignores_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the bound nobody is asked any more."""
    monkeypatch.setattr(supervisor, "STOP_BOUND_S", 0.3)
    process = managed(
        tmp_path, "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready'); time.sleep(60)"
    )
    running = asyncio.create_task(process.run())
    await asyncio.wait_for(process.wait_first_line(), WAIT_S)
    await asyncio.wait_for(process.stop(), WAIT_S)
    await running
    assert process.life.exits == [-signal.SIGKILL]
    assert process.life.starts == 1


async def test_stop_is_not_held_up_by_a_grandchild(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child's own child that keeps the output open and ignores SIGTERM is killed with it."""
    monkeypatch.setattr(supervisor, "STOP_BOUND_S", 0.3)
    inner = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    program = (
        f"import signal, subprocess, sys, time; signal.signal(15, signal.SIG_IGN); "
        f"subprocess.Popen([sys.executable, '-c', {inner!r}]); time.sleep(60)"
    )
    process = managed(tmp_path, program)
    running = asyncio.create_task(process.run())
    await asyncio.wait_for(process.wait_first_line(), WAIT_S)
    await asyncio.wait_for(process.stop(), WAIT_S)
    await running
    assert process.life.exits == [-signal.SIGKILL]


async def test_stop_does_not_wait_for_the_back_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that waits for its restart is stopped at once."""
    monkeypatch.setattr(supervisor, "BACKOFF_FIRST_S", 60.0)
    process = managed(tmp_path, "import sys; sys.exit(1)")
    running = asyncio.create_task(process.run())
    async with asyncio.timeout(WAIT_S):
        while not process.life.exits:  # noqa: ASYNC110 - the supervisor has no event for a single life's end
            await asyncio.sleep(0.01)
    await asyncio.wait_for(process.stop(), supervisor.STOP_BOUND_S)
    await running
    assert process.life.starts == 1


async def test_cancelling_the_supervisor_leaves_no_child(tmp_path: Path) -> None:
    """A child without a supervisor must not go on trading."""
    process = managed(tmp_path, "import time; print('ready'); time.sleep(60)")
    running = asyncio.create_task(process.run())
    await asyncio.wait_for(process.wait_first_line(), WAIT_S)
    pid = process.pid
    assert pid is not None
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    async with asyncio.timeout(WAIT_S):
        while process.pid is not None:  # noqa: ASYNC110 - the transport learns of the end by itself
            await asyncio.sleep(0.01)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert process.ended.is_set()


async def test_a_flood_without_line_ends_is_survived(tmp_path: Path) -> None:
    """Output of any size and shape goes to the log; the first line is cut at its bound."""
    size = 2 * supervisor.LINE_BYTES_MAX
    process = managed(tmp_path, f"import sys; sys.stdout.write('x' * {size}); sys.stdout.flush()")
    await finished(process)
    assert process.life.exits == [0]
    assert (tmp_path / "child.out").stat().st_size == size
    assert len(process.first_line.result()) == supervisor.LINE_BYTES_MAX


async def test_only_the_first_line_is_handed_out(tmp_path: Path) -> None:
    """More lines in the same chunk do not belong to it."""
    process = managed(tmp_path, "import sys; sys.stdout.write('{\"port\": 1}\\nmore\\n')")
    await finished(process)
    assert process.first_line.result() == b'{"port": 1}\n'


async def test_the_peak_of_memory_is_remembered(tmp_path: Path) -> None:
    """A living process has a peak; a dead one keeps it."""
    process = managed(tmp_path, "import time; print('ready'); time.sleep(60)")
    running = asyncio.create_task(process.run())
    await asyncio.wait_for(process.wait_first_line(), WAIT_S)
    process.sample()
    peak_kib = process.life.memory_peak_kib
    assert peak_kib > 1_000
    await process.stop()
    await running
    process.sample()
    assert process.life.memory_peak_kib == peak_kib


def test_the_tail_of_a_log(tmp_path: Path) -> None:
    """The last lines, on one line; without a log it says so."""
    path = tmp_path / "log"
    assert tail(path) == "(no log)"
    path.write_text("\n".join(f"line {number}" for number in range(20)) + "\n\n")
    assert tail(path, lines=3) == "line 18 | line 19"
