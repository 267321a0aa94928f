"""Owns `walstreet chaos`: seeded crashes of every process at every named moment, judged by the broker's own record."""

from __future__ import annotations

import argparse
import concurrent.futures
import itertools
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from walstreet.runtime.crash_points import read_done, write_plan
from walstreet.runtime.errors import EXIT_BROKEN, EXIT_OK
from walstreet.testing.bench.machine import describe_machine
from walstreet.testing.chaos.judge import judge_books
from walstreet.testing.chaos.picture import draw
from walstreet.testing.chaos.plan import KINDS, ROUND, Plan, make_plan
from walstreet.testing.chaos.result import (
    INVARIANTS,
    ChaosResult,
    SessionResult,
    by_signal,
    session_rows,
    summary_rows,
)
from walstreet_services.cli.chaos_session import Meanwhile

PATIENCE = 200
SESSION_S_MAX = 600.0
FREE_SPEED = "60"
SESSIONS_MAX = 200
MARKET_SEED = 7
SYMBOLS = tuple(f"SYN{number:02d}" for number in range(1, 9))
MINUTES = 20
BUSY = (
    # Every gate that keeps a forecast from becoming an order is open, so that there is always something to lose.
    *("arbiter.gates.conformal=false", "arbiter.gates.barrier=false", "arbiter.gates.netting=false"),
    *("arbiter.gates.rebalance=false", "arbiter.gates.correlation=false", "arbiter.band.band_max=0.0001"),
    *("arbiter.cost.square_root_coefficient=0.01", "arbiter.cost.fee_bps=0", "arbiter.cost.fee_usd_per_share=0"),
    *("arbiter.arbitration.reserve_bps=0.01", "arbiter.arbitration.reserve_spread_share=0"),
    *("arbiter.session.opening_minutes=0", "arbiter.session.opening_band_multiplier=1"),
    *("arbiter.session.no_entry_minutes=5", "arbiter.session.flatten_start_minutes=4"),
    *("execution.market.blackout_open_s=0", "session.warmup_days=1"),
)
FAULTS = """\
seed: 3
faults:
  # Orders stay half filled for a while, and outlive their time in force, so that execution has to cancel.
  - {kind: partial_fills, shares: 25}
  - {kind: warn_orders, code: 10349, strip: [tif]}
"""
FROZEN_S = 0.3
HASHES = ("decisions", "orders", "fills")


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    top = argparse.ArgumentParser(
        prog="walstreet chaos",
        description="Kill and freeze every process at named moments, and compare the TAPE with the broker's record.",
        epilog="Exit codes: 0 every invariant held and the count was reached, 1 not so, 2 bad input.",
    )
    top.add_argument("--seed", type=int, default=1, help="of all plans; printed, so that a run can be repeated")
    top.add_argument("--count", type=int, default=500, help="crashes wanted; sessions follow until they are reached")
    top.add_argument("--kind", choices=list(KINDS), action="append", help="only such sessions; repeatable")
    top.add_argument("--minutes", type=int, default=MINUTES, help="of each session")
    top.add_argument("--workers", type=int, default=2, help="sessions at once")
    top.add_argument("--json", type=Path, help="write everything that was done and found to this file")
    top.add_argument("--picture", type=Path, help="write chaos.svg and chaos.png into this folder")
    top.add_argument("--keep", type=Path, help="keep the state of all sessions here; default: only of broken ones")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run sessions until the count is reached, and return the exit code."""
    options = parser().parse_args(argv)
    console = Console(width=140 if not sys.stdout.isatty() else None, markup=False, highlight=False)
    result = run(options, console)
    if options.picture:
        options.picture.mkdir(parents=True, exist_ok=True)
        draw(result, options.picture)
    show(result, console)
    return EXIT_OK if result.clean else EXIT_BROKEN


def run(options: argparse.Namespace, console: Console) -> ChaosResult:
    """Return what the sessions found."""
    started = time.perf_counter()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="walstreet-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    console.print(f"seed {options.seed}, {options.count} crashes wanted; states under {folder}", soft_wrap=True)
    machine = str(describe_machine())
    result = ChaosResult(seed=options.seed, wanted=options.count, elapsed_s=0.0, machine=machine, sessions=[])
    sessions: list[SessionResult] = []
    runner = partial(_one, folder=folder, minutes=options.minutes, keep=options.keep is not None)
    with concurrent.futures.ThreadPoolExecutor(options.workers) as pool:
        quiet: concurrent.futures.Future[dict[str, Any]] | None = None
        plans = _plans(options.seed, options.kind or list(ROUND))
        waiting: set[concurrent.futures.Future[SessionResult]] = set()
        while True:
            planned = sum(session.count for session in sessions)
            while planned < options.count and len(waiting) < options.workers:
                plan = next(plans)
                if plan.kind.same_hashes and quiet is None:
                    # Before the session that waits for it, so that even a single worker comes to it first.
                    quiet = pool.submit(_quiet, folder / "quiet", options.minutes)
                waiting.add(pool.submit(runner, plan, quiet=quiet))
            if not waiting:
                break
            done, waiting = concurrent.futures.wait(waiting, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                session = future.result()
                sessions.append(session)
                console.print(_line(session), soft_wrap=True)
            result = ChaosResult(
                seed=options.seed,
                wanted=options.count,
                elapsed_s=time.perf_counter() - started,
                machine=machine,
                sessions=sessions,
            )
            if options.json:
                # After every session: a run that is ended early has its results all the same.
                options.json.parent.mkdir(parents=True, exist_ok=True)
                options.json.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1))
    if options.keep is None and all(session.clean for session in sessions):
        shutil.rmtree(folder)
    return result


def show(result: ChaosResult, console: Console) -> None:
    """Print the tables."""
    table = Table(title=f"Crashes, seed {result.seed}")
    for name in ("session", "runs", "crashes", "orders", "fills", "clean"):
        table.add_column(name)
    for row in session_rows(result.sessions):
        table.add_row(*row)
    console.print(table)
    for name, count in by_signal(result).items():
        console.print(f"{count:5d} {name}")
    for text, count in summary_rows(result):
        console.print(f"{count:5d} {text}")
    verdict = "every invariant held" if result.clean else "NOT CLEAN"
    console.print(f"{result.count} crashes in {len(result.sessions)} sessions, {result.elapsed_s:.0f} s: {verdict}")


def _plans(seed: int, kinds: Sequence[str]) -> Iterator[Plan]:
    for number, kind in zip(range(SESSIONS_MAX), itertools.cycle(kinds), strict=False):
        yield make_plan(KINDS[kind], seed * 1_000 + number)


def _line(session: SessionResult) -> str:
    per = " ".join(f"{service}={len(crashes)}" for service, crashes in session.crashes.items())
    if session.restarts_of_log_server:
        per += f" nats-server={session.restarts_of_log_server}"
    verdict = "clean" if session.clean else f"code {session.code} {session.faults}"
    return (
        f"{session.kind} seed {session.seed}: {session.count} crashes ({per}), {session.orders} orders, "
        f"{session.fills} fills, {session.elapsed_s:.0f} s: {verdict}"
    )


def _quiet(state: Path, minutes: int) -> dict[str, Any]:
    """Return the summary of the session that nothing disturbs."""
    (state.parent / "quiet-plan").mkdir(exist_ok=True)
    _, summary, _ = run_session(state, state.parent / "quiet-plan", minutes, speed="max")
    return summary


def _one(
    plan: Plan, *, folder: Path, minutes: int, keep: bool, quiet: concurrent.futures.Future[dict[str, Any]] | None
) -> SessionResult:
    """Run one session under its plan, and judge it."""
    name = f"{plan.kind.name}-{plan.seed}"
    state, plans = folder / name, folder / f"{name}-plan"
    plans.mkdir()
    for service, crashes in plan.crashes.items():
        write_plan(plans, service, crashes)
        meanwhile = Meanwhile(wait_s=FROZEN_S, log_server=plan.kind.log_server)
        table = {str(line): meanwhile for line in range(len(crashes))}
        (plans / f"{service}.meanwhile").write_bytes(msgspec.json.encode(table))
    started = time.perf_counter()
    code, summary, text = run_session(state, plans, minutes, speed="max" if plan.kind.lockstep else FREE_SPEED)
    faults = {key: found for key, found in judge_books(state).items() if found}
    if code != EXIT_OK:
        faults["session"] = [f"code {code}: {text[-600:]}"]
    if plan.kind.same_hashes and quiet is not None:
        wanted = quiet.result()["hashes"]
        different = [group for group in HASHES if summary.get("hashes", {}).get(group) != wanted[group]]
        faults.update({"hashes": different} if different else {})
    replayed = _replayed(state)
    faults.update({"replay": [replayed]} if replayed else {})
    assert faults.keys() <= INVARIANTS.keys()
    result = SessionResult(
        kind=plan.kind.name,
        seed=plan.seed,
        lockstep=plan.kind.lockstep,
        code=code,
        elapsed_s=time.perf_counter() - started,
        crashes={service: read_done(plans, service) for service in plan.crashes},
        restarts_of_log_server=summary.get("restarts", {}).get("nats-server", 0),
        orders=summary.get("orders", {}).get("sent", 0),
        fills=summary.get("fills", {}).get("count", 0),
        faults=faults,
    )
    if result.clean and not keep:
        shutil.rmtree(state)
    return result


def run_session(
    state: Path, plans: Path, minutes: int, *, speed: str, faults: str = FAULTS, settings: Sequence[str] = ()
) -> tuple[int, dict[str, Any], str]:
    """Run a busy session and return its exit code, its summary, and what it said."""
    (plans / "faults.yaml").write_text(faults, encoding="utf-8")
    result = plans / "summary.json"
    argv = [sys.executable, "-m", "walstreet_services.cli.chaos_session", "--plan", str(plans)]
    argv += ["--patience", str(PATIENCE), "--no-view", "--minutes", str(minutes), "--symbols", ",".join(SYMBOLS)]
    argv += ["--seed", str(MARKET_SEED), "--speed", speed, "--state", str(state), "--json", str(result)]
    for setting in (*BUSY, *settings):
        argv += ["--set", setting]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            text, _ = process.communicate(timeout=SESSION_S_MAX)
        except subprocess.TimeoutExpired:
            # Its own end is bounded; a session that hangs is a failure, with what it said so far.
            process.send_signal(signal.SIGTERM)
            text, _ = process.communicate()
    summary = json.loads(result.read_text(encoding="utf-8")) if result.is_file() else {}
    return process.returncode, summary, text


def _replayed(state: Path) -> str:
    """Return what replay of the decisions found wrong, empty when every byte is the same."""
    argv = [sys.executable, "-m", "walstreet_services.cli.__main__", "replay", "--verify", "--state", str(state)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=SESSION_S_MAX, check=False)
    return "" if done.returncode == EXIT_OK else (done.stdout + done.stderr)[-600:]


if __name__ == "__main__":
    sys.exit(main())
