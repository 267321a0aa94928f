"""`bot fetch` and a real simulator over TCP: killed on the way, gone on, and the same files as without the kill."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from walstreet.research.daily_store import DailyStore
from walstreet.research.swing_data import read_bars
from walstreet.testing.stack import command

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

BOUND_S = 290.0
"""A machine that is busy loads the exchange's calendar for a minute."""
SPAN = ("--start", "2024-01-02")
FETCH = ("fetch", "--simulator", "--symbols", "SPY,TLT", *SPAN, "--set", "data.chunk_days=40")


def digests(folder):
    """Return what every data file is."""
    files = sorted(folder.rglob("*.parquet"))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def wait_for(path, bound_s=BOUND_S):
    """Wait until a file is there."""
    ended = time.monotonic() + bound_s
    while not path.is_file():
        assert time.monotonic() < ended, f"{path} did not appear within {bound_s} s"
        time.sleep(0.01)


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_fetch_goes_on_and_ends_with_the_same_files(tmp_path, number: int) -> None:
    """The signal comes when the first chunk is on disk; the folder stays readable, and no simulator is left behind."""
    argv = [sys.executable, "-m", "walstreet_services.cli.__main__", *FETCH, "--data", str(tmp_path / "part")]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        wait_for(tmp_path / "part" / "raw" / "SPY.parquet")
        children = [int(text) for text in _children(process.pid)]
        os.kill(process.pid, number)
        process.communicate(timeout=BOUND_S)
    finally:
        process.kill()
    assert process.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL)
    assert all(_ends(pid) for pid in children)
    stored = DailyStore(tmp_path / "part").read("SPY", "raw")
    assert stored is not None
    assert len(stored.series) > 20
    ended = command(*FETCH, "--data", str(tmp_path / "part"), "--json", bound_s=BOUND_S)
    assert ended.code == 0, ended.text
    report = json.loads(ended.out)
    assert report["ok"]
    assert report["source"] == "simulator"
    whole = command(*FETCH, "--data", str(tmp_path / "whole"), "--json", bound_s=BOUND_S)
    assert whole.code == 0, whole.text
    assert json.loads(whole.out)["requests"] > report["requests"]
    assert digests(tmp_path / "part") == digests(tmp_path / "whole")
    assert read_bars(tmp_path / "part", ["SPY", "TLT"]).close.shape[0] == 112


def test_nobody_there_is_said_with_the_remedy(tmp_path) -> None:
    """Exit code 2, the place, and what to start."""
    ended = command("fetch", "--data", str(tmp_path), "--set", "ibkr.port=1", bound_s=BOUND_S)
    assert ended.code == 2
    assert "no broker at 127.0.0.1:1" in ended.text
    assert "--simulator" in ended.text


def _children(pid: int) -> list[str]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:  # noqa: PTH123 - a file of the kernel
        return file.read().split()


def _ends(pid: int) -> bool:
    for _ in range(3_000):
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123 - a file of the kernel
                if file.read().rsplit(")", 1)[1].split()[0] == "Z":
                    return True
        except FileNotFoundError:
            return True
        time.sleep(0.01)
    return False
