"""Owns the long proof about crashes: each service alone, in busy moments, by SIGKILL and by SIGTERM."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from walstreet.testing.stack import SERVICES, Ended, Stack, compare_books, same_hashes, session

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

PURE = ("features", "inference", "arbiter", "reconciler")
OUTSIDE = ("gateway", "execution")
SERVICE_STOP_BOUND_S = 5.0
STANDARD = ("--minutes", "40", "--symbols", "SYN01,SYN02,SYN03,SYN04,SYN05,SYN06", "--seed", "7")
MOMENTS = (5, 25, 45, 65)
"""Percent of the session at repeated kills: as many in a row as the supervisor forgives."""
SHORT = ("--minutes", "60", "--symbols", "SYN01", "--set", "session.warmup_days=1")


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Return the session that nothing disturbs."""
    ended = session(tmp_path_factory.mktemp("quiet") / "session", *STANDARD)
    assert ended.code == 0, ended.text[-3000:]
    return ended


@pytest.mark.parametrize("name", [*SERVICES, "nats-server"])
@pytest.mark.parametrize("percent", [2, 40])
def test_one_crash(quiet: Ended, tmp_path: Path, name: str, percent: int) -> None:
    """One kill -9: the session ends well, the books agree, and pure services change nothing at all."""
    state = tmp_path / "session"
    with Stack(state, *STANDARD) as stack:
        stack.wait_progress(percent)
        stack.kill(name)
        ended = stack.wait()
    assert ended.code == 0, ended.text[-3000:]
    assert ended.summary["restarts"][name] == 1
    assert ended.summary["orders"]["sent"] > 0
    assert compare_books(state) == []
    if name in PURE:
        assert same_hashes(ended, quiet)


@pytest.mark.parametrize("name", [*OUTSIDE, "arbiter"])
def test_crashes_in_a_row(tmp_path: Path, name: str) -> None:
    """The same service killed again and again: no order twice, no execution lost or doubled."""
    state = tmp_path / "session"
    killed = 0
    with Stack(state, *STANDARD) as stack:
        for percent in MOMENTS:
            stack.wait_progress(percent)
            stack.kill(name)
            killed += 1
        ended = stack.wait()
    assert ended.code == 0, ended.text[-3000:]
    assert ended.summary["restarts"][name] == killed
    assert compare_books(state) == []


def test_every_service_stops_in_time_and_is_started_again(tmp_path: Path) -> None:
    """SIGTERM ends each service within five seconds; nobody asked for it, so it comes back, and all ends well."""
    took_s: dict[str, float] = {}
    with Stack(tmp_path / "session", *SHORT) as stack:
        for position, name in enumerate((*PURE, *OUTSIDE)):
            stack.wait_progress(10 + 10 * position)
            took_s[name] = _stopped_after(stack, name)
        ended = stack.wait()
    assert max(took_s.values()) < SERVICE_STOP_BOUND_S, took_s
    assert ended.code == 0, ended.text[-3000:]
    assert {name: ended.summary["restarts"][name] for name in took_s} == dict.fromkeys(took_s, 1)
    assert ended.summary["dead_letters"] == 0


def _stopped_after(stack: Stack, name: str) -> float:
    """Send SIGTERM to a service and return how long that process lived on."""
    started = time.monotonic()
    pid = stack.kill(name, signal.SIGTERM)
    while stack.children().get(name) == pid:
        assert time.monotonic() - started < 2 * SERVICE_STOP_BOUND_S, f"{name} does not stop"
        time.sleep(0.01)
    return time.monotonic() - started
