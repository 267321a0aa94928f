"""Owns `walstreet soak`: hours of trading in real processes, with the memory of each of them watched from outside."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console

from walstreet.runtime.errors import EXIT_BROKEN, EXIT_OK, EXIT_USAGE
from walstreet.testing.bench.chart import ChartUnavailableError
from walstreet.testing.bench.machine import describe_machine
from walstreet.testing.soak import Sample, SoakResult, SoakSession, draw, faults, growth

SESSION_MINUTES = 390
SAMPLES_PER_SESSION = 240
SLACK_S = 600.0
"""A session may take so much longer than its clock: start, warm-up, end and report."""
PACKAGE = "walstreet_services."
LOG_SERVER = "nats-server"
KIB_PER_MIB = 1024.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sessions and return the exit code."""
    top = argparse.ArgumentParser(
        prog="walstreet soak",
        description="Trade for hours and watch memory, bars, breaks and dead letters.",
        epilog="Exit codes: 0 flat and clean, 1 not so, 2 bad input.",
    )
    top.add_argument("--hours", type=float, default=8.0, help="simulated hours, in sessions of at most 6.5")
    top.add_argument("--speed", type=float, default=10.0, help="times real time")
    top.add_argument("--seed", type=int, default=7, help="of the first session's market; each next one adds 1")
    top.add_argument("--json", type=Path, help="write samples and summaries to this file")
    top.add_argument("--picture", type=Path, help="draw memory against time, PNG")
    top.add_argument("--keep", type=Path, help="keep the sessions' states here; default: only of broken ones")
    options = top.parse_args(argv)
    if not (options.hours > 0 and options.speed > 0):
        sys.stderr.write("walstreet soak: --hours and --speed must be above 0\n")
        return EXIT_USAGE
    console = Console(width=160, markup=False, highlight=False)
    result = run(options, console)
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1))
    if options.picture:
        try:
            draw(result, options.picture)
        except ChartUnavailableError as error:
            console.print(str(error))
    return EXIT_OK if not any(faults(session) for session in result.sessions) else EXIT_BROKEN


def run(options: argparse.Namespace, console: Console) -> SoakResult:
    """Run sessions until the hours are full, and say after each what came of it."""
    started = time.perf_counter()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="walstreet-soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    sessions: list[SoakSession] = []
    left = round(options.hours * 60)
    while left > 0:
        minutes = min(left, SESSION_MINUTES)
        number = len(sessions)
        console.print(
            f"session {number + 1}: {minutes} minutes at {options.speed:g} times real time, states in {folder}"
        )
        session = _session(folder / f"session-{number}", minutes, options.speed, options.seed + number, sessions)
        sessions.append(session)
        left -= minutes
        for name, one in growth(session.samples).items():
            console.print(
                f"  {name:>12}: {one.before_mib:7.1f} to {one.after_mib:7.1f} MiB{'' if one.flat else '  NOT FLAT'}"
            )
        orders, fills = (session.summary.get(name, {}) for name in ("orders", "fills"))
        console.print(f"  {orders.get('sent', 0)} orders, {fills.get('count', 0)} fills: {faults(session) or 'clean'}")
    if options.keep is None and not any(faults(session) for session in sessions):
        shutil.rmtree(folder)
    return SoakResult(
        hours=options.hours,
        speed=options.speed,
        seed=options.seed,
        elapsed_s=time.perf_counter() - started,
        machine=str(describe_machine()),
        sessions=sessions,
    )


def _session(state: Path, minutes: int, speed: float, seed: int, before: Sequence[SoakSession]) -> SoakSession:
    """Run one session and sample the memory of its processes."""
    summary = state.parent / f"{state.name}.json"
    argv = [sys.executable, "-m", "walstreet_services.cli.__main__", "up", "--no-view", "--minutes", str(minutes)]
    argv += ["--seed", str(seed), "--speed", f"{speed:g}", "--state", str(state), "--json", str(summary)]
    every_s = minutes * 60 / speed / SAMPLES_PER_SESSION
    bound_s = minutes * 60 / speed + SLACK_S
    begun_s = sum(session.minutes for session in before) * 60.0
    samples: list[Sample] = []
    started = time.monotonic()
    with (
        (state.parent / f"{state.name}.txt").open("wb") as said,
        subprocess.Popen(argv, stdout=said, stderr=subprocess.STDOUT) as process,
    ):
        while process.poll() is None:
            if time.monotonic() - started > bound_s:
                process.terminate()
                break
            time.sleep(every_s)
            sizes = memory_mib(process.pid)
            # The tree is whole when the services run; before that and at the end there is nothing to compare.
            if LOG_SERVER in sizes and "gateway" in sizes:
                samples.append(Sample(session_s=begun_s + (time.monotonic() - started) * speed, mib=sizes))
    found = json.loads(summary.read_text(encoding="utf-8")) if summary.is_file() else {}
    return SoakSession(minutes=minutes, code=process.returncode, summary=found, samples=samples)


def memory_mib(root: int) -> dict[str, float]:
    """Return the resident memory of a process tree's members by name; whoever ends meanwhile is left out."""
    found: dict[str, float] = {}
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
            status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
            for task in Path(f"/proc/{pid}/task").iterdir():
                waiting += [int(word) for word in (task / "children").read_text(encoding="ascii").split()]
        except OSError:
            continue
        size = next((line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")), None)
        if size is not None:
            found[_name(words)] = int(size) / KIB_PER_MIB
    return found


def _name(words: Sequence[str]) -> str:
    for word in words:
        if word.startswith(PACKAGE):
            return word.removeprefix(PACKAGE).split(".")[0]
    return Path(words[0]).name


if __name__ == "__main__":
    sys.exit(main())
