"""Owns the proof that `bot trade` keeps live and paper accounts apart, and trades live only what two people have armed.

The simulator pretends to be a live login by the name of its account, as TWS would be one.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from walstreet.runtime.errors import EXIT_BROKEN, EXIT_OK, EXIT_USAGE
from walstreet.testing.stack import command, compare_books, events, truth
from walstreet_events import GatewayProbed, OrderFilled, OrderRefused, RotationDecision

LIVE, PAPER = "U7654321", "DUK200445"
DAY_BOUND_S = 900.0
ARM_EVERY_S = 1.0
DAY = ("--day", "2023-11-20", "--set", "selection.hold_bonus=0", "--seed", "5")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2 * DAY_BOUND_S), pytest.mark.spec("004.cli", "004.acceptance")]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return a folder of configuration with the first key of live trading turned."""
    folder = tmp_path / "config"
    folder.mkdir()
    for name in ("base.yaml", "rotation.yaml", "config.yaml"):
        shutil.copy(Path("config") / name, folder / name)
    # Session time runs fast in lockstep, so the two people get the whole of it.
    local = f"execution:\n  live: true\n  arming:\n    window_s: 86400\nibkr:\n  account_live: {LIVE}\n"
    (folder / "config.local.yaml").write_text(local, encoding="utf-8")
    return folder


@pytest.fixture(params=[LIVE, PAPER])
def login(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    """Yield a simulated gateway's account and port."""
    argv = [sys.executable, "-m", "walstreet_services.ibsim", "--host", "127.0.0.1", "--port", "0"]
    argv += ["--account", request.param, "--symbols", "SPY"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        yield request.param, int(json.loads(process.stdout.readline())["port"])
        process.terminate()


def test_a_mode_refuses_the_other_kind_of_login(login: tuple[str, int], config: Path, tmp_path: Path) -> None:
    """Before anything starts: `--paper` at a live login, `--live` at a paper login; the message names both accounts."""
    account, port = login
    mode, wanted = ("--paper", PAPER) if account == LIVE else ("--live", LIVE)
    state = tmp_path / "state"
    place = ("--config", str(config), "--state", str(state), "--set", f"ibkr.port={port}")
    ended = command("trade", mode, *place, bound_s=DAY_BOUND_S)
    assert ended.code == EXIT_BROKEN, ended.text
    assert f"{mode} is refused" in ended.text
    assert account in ended.text
    assert wanted in ended.text
    assert not (state / "session.yaml").exists(), "no service has been started"
    swapped = ("--set", f"ibkr.account_paper={LIVE}", "--set", f"ibkr.account_live={PAPER}")
    ended = command("trade", mode, *place, *swapped, bound_s=DAY_BOUND_S)
    assert ended.code == EXIT_USAGE, "the configured account of the wrong kind is refused by its name"
    assert f"{mode} is refused" in ended.text


@pytest.mark.long
def test_live_without_arming_sends_nothing_and_names_the_remedy(config: Path, tmp_path: Path) -> None:
    """Execution refuses every order of the rebalance as `not_armed`; the command fails and says what to run."""
    state = tmp_path / "state"
    place = ("--config", str(config), "--state", str(state), "--last-minutes", "18")
    ended = command("trade", "--live", "--sim", "--json", *DAY, *place, bound_s=DAY_BOUND_S)
    assert ended.code == EXIT_BROKEN, ended.text[-3000:]
    assert f"walstreet arm --state {state}" in ended.text
    assert "were refused by execution" in ended.text
    told = events(state)
    (record,) = [event for event in told if isinstance(event, RotationDecision)]
    assert record.status == "rebalance"
    refused = [event for event in told if isinstance(event, OrderRefused)]
    assert {event.reason for event in refused} == {"not_armed"}
    assert len(refused) == 2
    path = state / "broker-truth.jsonl"
    assert not path.exists() or not [item for item in truth(state) if item["kind"] == "place_received"]
    other = command("trade", "--paper", "--sim", *DAY, *place, bound_s=DAY_BOUND_S)
    assert other.code == EXIT_USAGE, "a live account's log is no paper account's"
    assert LIVE in other.text


@pytest.mark.long
def test_two_people_arm_and_the_rebalance_trades(config: Path, tmp_path: Path) -> None:
    """One person is not enough; with both the gateway's probe arms, and the orders go to the live account."""
    state = tmp_path / "state"
    argv = [sys.executable, "-m", "walstreet_services.cli.__main__", "trade", "--live", "--sim", "--json", *DAY]
    argv += ["--config", str(config), "--state", str(state), "--last-minutes", "90"]
    errors = (tmp_path / "errors").open("wb")
    with errors, subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=errors) as process:
        assert process.stdout is not None
        probes = list(arm_until_armed(state, process))
        out, _ = process.communicate(timeout=DAY_BOUND_S)
    said = (tmp_path / "errors").read_text(encoding="utf-8")
    assert process.returncode == EXIT_OK, said[-3000:]
    assert "is not armed: orders are refused until 2 people" in said
    assert [probe["armed"] for probe in probes[-2:]] == [False, True], probes
    assert probes[-2]["detail"] == "1 of 2 people have armed"
    assert json.loads(out)["rebalance"]["status"] == "rebalance"
    told = events(state)
    armed = [event for event in told if isinstance(event, GatewayProbed) and event.armed]
    assert {(event.account, event.keys) for event in armed} == {(LIVE, ("ann", "bob"))}
    assert len({event.symbol for event in told if isinstance(event, OrderFilled)}) == 2
    assert compare_books(state) == []


def arm_until_armed(state: Path, process: subprocess.Popen[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the probes that ann and then bob caused; a key turned before the session's begin does not count."""
    names = ["ann", "bob"]
    while names and process.poll() is None:
        person = ("--operator", names[0], "--reason", "the test", "--state", str(state))
        ended = command("arm", *person, "--json", "--wait", "20", bound_s=DAY_BOUND_S)
        probe = json.loads(ended.out)["probe"] if ended.out.startswith("{") else None
        if probe is None or names[0] not in probe["keys"]:
            time.sleep(ARM_EVERY_S)
            continue
        yield probe
        names.pop(0)
        if not names and not probe["armed"]:
            names = ["ann", "bob"]
