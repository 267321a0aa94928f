"""Owns the tests of what `walstreet bootstrap prepare` writes before a log server runs."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from walstreet.domain.signing import KEY_NAME
from walstreet.runtime.settings import Settings, load_settings
from walstreet_events.subjects import TURN_ORDER, Service
from walstreet_services.cli.bootstrap import main

ROOT = Path(__file__).resolve().parents[4]
SIMULATOR = ("--symbols=SYN01,SYN02", "--minutes=30", "--seed=3", "--host=0.0.0.0", "--port=4002", "--speed=60")
ENVIRONMENT = {
    "WALSTREET__LOG__URL": "nats://nats:4222",
    "WALSTREET__LOG__MONITOR_URL": "http://nats:8222",
    "WALSTREET__BROKER__HOST": "ibsim",
    "WALSTREET__RUNTIME__CLOCK": "broker",
}
MINUTE_NS = 60_000_000_000


def prepare(root: Path, *simulator: str) -> int:
    """Run the step as the compose file does, and return its exit code."""
    config = str(ROOT / "config" / "base.yaml")
    return main(["prepare", "--root", str(root), "--store", "/data", "--config", config, "--", *simulator])


def contents(root: Path) -> dict[Path, bytes]:
    """Return every file below ``root``."""
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def recorded(root: Path) -> Settings:
    """Return the recorded settings alone, without this process's environment."""
    return load_settings([root / "session" / "session.yaml"], environment={})


@pytest.fixture(scope="module", autouse=True)
def _environment() -> Iterator[None]:
    """Set what the compose file sets, in the folder that holds the models."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        for key, value in ENVIRONMENT.items():
            patch.setenv(key, value)
        yield


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder after the step."""
    root = tmp_path_factory.mktemp("prepared")
    assert prepare(root, *SIMULATOR) == 0
    return root


def test_the_recorded_session_is_the_simulators(prepared: Path) -> None:
    """Date, symbols and a close after the minutes that are played come from the simulator; addresses from outside."""
    settings = recorded(prepared)
    session = settings.session
    assert (session.date, session.symbols, session.market) == ("2024-06-12", ("SYN01", "SYN02"), "synthetic")
    assert session.close_ns - session.open_ns == 30 * MINUTE_NS
    assert (settings.broker.host, settings.broker.port, settings.broker.paced) == ("ibsim", 4002, False)
    assert (settings.log.url, settings.runtime.clock) == ("nats://nats:4222", "broker")


def test_the_recorded_settings_need_no_other_file(prepared: Path) -> None:
    """The calibrations of the models are in the record, so that a replay needs no manifest."""
    settings = recorded(prepared)
    assert settings.calibrations
    assert settings.inference.folder == str(ROOT / "models")


def test_each_service_gets_a_folder_with_its_own_password_only(prepared: Path) -> None:
    """It holds the password the server knows, readable by its owner alone, and the intents' key for two services."""
    server = json.loads((prepared / "nats" / "nats.conf").read_text(encoding="utf-8"))
    passwords = {user["user"]: user["password"] for user in server["authorization"]["users"]}
    assert len(set(passwords.values())) == len(passwords)
    for service in TURN_ORDER:
        seals = service in {Service.ARBITER, Service.EXECUTION}
        names = [item.name for item in (prepared / "users" / service.value).iterdir()]
        assert sorted(names) == sorted([service.value, *([KEY_NAME] if seals else [])])
        file = prepared / "users" / service.value / service.value
        assert file.name == service.value
        assert file.read_text(encoding="utf-8") == passwords[service.value]
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((prepared / "nats" / "nats.conf").stat().st_mode) == 0o600


def test_the_server_syncs_always_and_stores_where_its_container_does(prepared: Path) -> None:
    """The server's configuration names the container's store, its ports, and fsync before acknowledgement."""
    server = json.loads((prepared / "nats" / "nats.conf").read_text(encoding="utf-8"))
    assert server["jetstream"]["sync_interval"] == "always"
    assert server["jetstream"]["store_dir"] == "/data"
    assert (server["host"], server["port"], server["http"]) == ("0.0.0.0", 4222, "0.0.0.0:8222")  # noqa: S104


def test_a_second_run_changes_nothing(prepared: Path) -> None:
    """The step is repeated by each `docker compose up`: no password, no byte may change under a running server."""
    before = contents(prepared)
    assert prepare(prepared, *SIMULATOR) == 0
    assert contents(prepared) == before


def test_other_settings_are_refused_and_change_nothing(prepared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A recorded session keeps its settings: others end the step with 2, name the file, and write nothing."""
    before = contents(prepared)
    assert prepare(prepared, "--minutes=60") == 2
    assert "session.yaml records a session with other settings" in capsys.readouterr().err
    assert contents(prepared) == before


def test_what_the_simulator_refuses_is_refused_in_its_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Arguments that the simulator cannot play end the step with 2 and its own message, and leave nothing behind."""
    assert prepare(tmp_path, "--minutes=0") == 2
    assert "--minutes" in capsys.readouterr().err
    assert not contents(tmp_path)
