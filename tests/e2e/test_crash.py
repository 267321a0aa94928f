"""Owns the proof that crashes and orders to stop cost nothing: kill -9, SIGTERM, and what is left behind."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from walstreet.testing.stack import Ended, Stack, command, compare_books, same_hashes

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.spec("card.services", "001.recovery")]

PURE = ("features", "inference", "arbiter", "reconciler")
"""Services that decide from the log alone: after a crash they decide the very same."""
OUTSIDE = ("gateway", "execution", "nats-server")
"""What has connections of its own: what happened while it was away cannot be seen again."""
SESSION_STOP_BOUND_S = 10.0
SHORT = ("--minutes", "60", "--symbols", "SYN01", "--set", "session.warmup_days=1")

Check = Callable[[Ended], None]


def test_pure_services_lose_nothing(
    reference: Ended, standard: tuple[str, ...], tmp_path: Path, check_invariants: Check
) -> None:
    """Each of the four is killed once in the middle; decisions, orders and fills are those of the quiet session."""
    with Stack(tmp_path / "session", *standard, "--seed", "7") as stack:
        for position, name in enumerate(PURE):
            stack.wait_progress(15 + 20 * position)
            stack.kill(name)
        ended = stack.wait()
    check_invariants(ended)
    assert {name: ended.summary["restarts"][name] for name in PURE} == dict.fromkeys(PURE, 1)
    assert same_hashes(ended, reference)


def test_outside_services_and_the_log_server_come_back(
    reference: Ended, standard: tuple[str, ...], tmp_path: Path, check_invariants: Check
) -> None:
    """Gateway, execution and NATS are killed once each; chains hold, and the broker's record equals the TAPE's."""
    with Stack(tmp_path / "session", *standard, "--seed", "7") as stack:
        for position, name in enumerate(OUTSIDE):
            stack.wait_progress(15 + 25 * position)
            stack.kill(name)
        ended = stack.wait()
    check_invariants(ended)
    assert {name: ended.summary["restarts"][name] for name in OUTSIDE} == dict.fromkeys(OUTSIDE, 1)
    assert ended.summary["orders"]["sent"] > 0
    assert compare_books(tmp_path / "session") == []
    verified = command("replay", "--verify", "--state", str(tmp_path / "session"), "--core", "arbiter")
    assert verified.code == 0, verified.text


@pytest.mark.parametrize(
    ("number", "code", "percent"),
    [
        pytest.param(signal.SIGTERM, 143, 5, id="SIGTERM-in-the-session"),
        pytest.param(signal.SIGINT, 130, None, id="SIGINT-while-starting"),
    ],
)
def test_the_whole_session_stops_in_time(
    tmp_path: Path, number: signal.Signals, code: int, percent: int | None
) -> None:
    """A signal to `walstreet up` ends everything within ten seconds, leaves no process, and a TAPE that verifies."""
    state = tmp_path / "session"
    with Stack(state, *SHORT) as stack:
        if percent is None:
            stack.child("features")
        else:
            stack.wait_progress(percent)
        started = time.monotonic()
        stack.tell(number)
        ended = stack.wait()
        elapsed_s = time.monotonic() - started
        left = stack.children()
    assert (ended.code, left) == (code, {})
    assert elapsed_s < SESSION_STOP_BOUND_S
    assert f"ended early by {number.name}" in ended.text
    assert "Traceback" not in ended.err
    # Every service ended by itself within the supervisor's five seconds.
    assert "killed_after_bound" not in (state / "logs" / "up.log").read_text(encoding="utf-8")
    assert command("tape", "verify", "--state", str(state)).code == 0
