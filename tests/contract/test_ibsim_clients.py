"""Other unmodified clients against a running simulator: ib_async and the vendor's ibapi, each in its own interpreter.

They cannot share this environment: ib_async and ib_insync both install a module named ``eventkit``. Provide an
interpreter for each by an environment variable::

    uv venv VENV && uv pip install -p VENV ib_async==2.1.0 tzdata        # WALSTREET_IB_ASYNC_PYTHON=VENV/bin/python
    uv venv VENV && uv pip install -p VENV ibapi-latest==10.51.1         # WALSTREET_IBAPI_PYTHON=VENV/bin/python
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.spec("004.data")]

FOLDER = Path(__file__).parent / "ibsim_clients"
ROOT = Path(__file__).parents[2]
SECONDS_MAX = 90


def sim_command(*options: str) -> list[str]:
    """Return the command line of a small synthetic simulator."""
    base = ["-m", "walstreet_services.ibsim", "--day", "2026-11-20", "--symbols", "SYN01", "--minutes", "30"]
    return [sys.executable, *base, *options]


def environment() -> dict[str, str]:
    """Return an environment in which the source roots can be imported."""
    roots = os.pathsep.join(str(ROOT / name) for name in ("proto", "libs", "services"))
    return {**os.environ, "PYTHONPATH": roots}


@pytest.fixture
def simulator():
    """Run the simulator as a process; at the end it must obey SIGTERM within two seconds."""
    process = subprocess.Popen(
        sim_command("--port", "0", "--speed", "20", "--lead-seconds", "5"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        text=True,
    )
    ready = json.loads(process.stdout.readline())
    assert ready["ready"] is True
    yield ready["port"]
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=10)
    assert time.monotonic() - started < 2.0
    assert process.returncode == 0, errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("variable", "script"),
    [("WALSTREET_IB_ASYNC_PYTHON", "ib_async_check.py"), ("WALSTREET_IBAPI_PYTHON", "ibapi_check.py")],
)
def test_unmodified_client_trades(variable, script, request):
    """The client connects, streams, rests and cancels an order and fills another, without a decoder error."""
    interpreter = os.environ.get(variable, "")
    if not interpreter:
        pytest.skip(f"{variable} names no interpreter; see this module's docstring for how to make one")
    port = request.getfixturevalue("simulator")
    done = subprocess.run(
        [interpreter, str(FOLDER / script), "127.0.0.1", str(port), "SYN01"],
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["passed"] is True


def refused(*options: str) -> str:
    """Run the simulator with bad options and return its one line of complaint."""
    done = subprocess.run(
        sim_command(*options), capture_output=True, text=True, env=environment(), timeout=SECONDS_MAX, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_bad_command_lines_are_refused_in_one_line(tmp_path):
    """A port in use, a missing folder, an unknown symbol and a wrong speed exit with 2 and one clear line."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "cannot listen on" in refused("--port", str(taken.getsockname()[1]))
    missing = tmp_path / "nothing"
    assert "is no folder" in refused("--market", "recorded", "--data", str(missing))
    assert "NOPE" in refused("--market", "recorded", "--data", str(tmp_path), "--symbols", "NOPE")
    assert "--speed 0" in refused("--speed", "0")
    assert "no trading day" in refused("--day", "2026-11-21")
