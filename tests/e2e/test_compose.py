"""Owns the proof that the compose file runs a session: hardened containers, a crash survived, a clean and quick end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from walstreet.domain.signing import KEY_NAME

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("gateway", "features", "inference", "arbiter", "execution", "reconciler")
LONG_RUNNING = (*SERVICES, "ibsim", "nats")
BASE_IMAGES = ("python:3.11-slim-bookworm", "nats:2.15.1-alpine")
SESSION_URL = "nats://nats:4222"
CREDENTIALS = "/run/walstreet/credentials"
WITNESSES = "/var/log/walstreet/witness"
SEALERS = ("arbiter", "execution")
BUILD_BOUND_S = 900.0
UP_BOUND_S = 180.0
COMMAND_BOUND_S = 90.0
EVENTS_BOUND_S = 120.0
RECOVERY_BOUND_S = 60.0
DOWN_BOUND_S = 15.0
POLL_S = 1.0

pytestmark = [pytest.mark.docker, pytest.mark.e2e, pytest.mark.timeout(BUILD_BOUND_S + 600)]


def docker(*arguments: str, bound_s: float = COMMAND_BOUND_S, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run one docker command from the repository's root; a failure carries what the command said."""
    ended = subprocess.run(
        ["docker", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=bound_s, check=False
    )
    if check and ended.returncode != 0:
        pytest.fail(f"docker {' '.join(arguments)} ended with {ended.returncode}: {ended.stderr[-4000:]}")
    return ended


def missing() -> str:
    """Return why no compose file can be run here, or nothing."""
    if shutil.which("docker") is None:
        return "no docker client"
    if docker("info", check=False).returncode != 0:
        return "no docker engine answers"
    if docker("compose", "version", check=False).returncode != 0:
        return "no `docker compose` plugin"
    for image in BASE_IMAGES:
        if docker("image", "inspect", image, check=False).returncode != 0:
            pulled = docker("pull", "--quiet", image, bound_s=BUILD_BOUND_S, check=False)
            if pulled.returncode != 0:
                return f"image {image} is neither here nor can it be pulled"
    return ""


class Deployment:
    """One project of the compose file, with a name and volumes of its own."""

    def __init__(self) -> None:
        """Choose a name that no other run has."""
        self.name = f"walstreet-test-{uuid.uuid4().hex[:8]}"

    def compose(
        self, *arguments: str, bound_s: float = COMMAND_BOUND_S, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run one `docker compose` command for this project."""
        return docker("compose", "--project-name", self.name, *arguments, bound_s=bound_s, check=check)

    def inspect(self, service: str) -> dict[str, Any]:
        """Return what the engine knows of a service's container."""
        container = self.compose("ps", "--all", "--quiet", service).stdout.strip()
        found: list[dict[str, Any]] = json.loads(docker("inspect", container).stdout)
        return found[0]

    def tape(self, action: str, *arguments: str) -> list[dict[str, Any]]:
        """Return the JSON lines that `walstreet tape` prints about the running log."""
        source = ("--url", SESSION_URL, "--credentials", CREDENTIALS)
        lines = self.compose(
            "run", "--rm", "--no-deps", "--no-TTY", "cli", "walstreet", "tape", action, *source, *arguments
        ).stdout.splitlines()
        return [json.loads(line) for line in lines]

    def events(self, subject: str) -> list[dict[str, Any]]:
        """Return the events of a subject that are on the TAPE now."""
        return self.tape("show", "--subject", subject)


def until(condition: Callable[[], bool], what: str, bound_s: float) -> None:
    """Return when the condition holds; fail when it does not within the bound."""
    deadline = time.monotonic() + bound_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {bound_s:.0f} s: {what}")
        time.sleep(POLL_S)


@pytest.fixture(scope="module")
def deployment() -> Iterator[Deployment]:
    """Yield a deployment that is up and healthy and trades three symbols; it is gone afterwards."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    running = Deployment()
    settings = {"SIM_SYMBOLS": "SYN01,SYN02,SYN03", "SIM_MINUTES": "120", "SIM_SPEED": "20", "SIM_SEED": "11"}
    before = {key: os.environ.get(key) for key in settings}
    os.environ.update(settings)
    try:
        running.compose("build", bound_s=BUILD_BOUND_S)
        running.compose("up", "--detach", "--wait", bound_s=UP_BOUND_S)
        yield running
    finally:
        running.compose("down", "--volumes", "--timeout", "10", bound_s=UP_BOUND_S, check=False)
        for key, value in before.items():
            os.environ.pop(key, None) if value is None else os.environ.update({key: value})


def test_every_container_is_healthy(deployment: Deployment) -> None:
    """After `up --wait` the six services, the simulator and the server are healthy, and the steps before ended well."""
    for service in LONG_RUNNING:
        assert deployment.inspect(service)["State"]["Health"]["Status"] == "healthy", service
    for step in ("prepare", "declare"):
        state = deployment.inspect(step)["State"]
        assert (state["Status"], state["ExitCode"]) == ("exited", 0), step


def test_containers_have_no_more_rights_than_they_need(deployment: Deployment) -> None:
    """Each container is unprivileged and read-only, has no capability, gains none and publishes no port."""
    for service in LONG_RUNNING:
        found = deployment.inspect(service)
        host = found["HostConfig"]
        assert found["Config"]["User"] == "10001:10001", service
        assert host["ReadonlyRootfs"] is True, service
        assert host["CapDrop"] == ["ALL"], service
        assert not host["CapAdd"], service
        assert not host["Privileged"], service
        assert "no-new-privileges:true" in host["SecurityOpt"], service
        assert not any((found["NetworkSettings"]["Ports"] or {}).values()), service


def test_a_service_sees_its_own_password_only(deployment: Deployment) -> None:
    """No password stands in an environment; a service's container holds its own user's file.

    Who signs intents and who verifies them hold the key for that as well, and nobody else does.
    """
    secrets = deployment.compose(
        "run",
        "--rm",
        "--no-deps",
        "--no-TTY",
        "cli",
        "sh",
        "-c",
        f"cat {CREDENTIALS}/arbiter; echo; cat {CREDENTIALS}/admin",
    ).stdout.split()
    assert len(secrets) == 2
    for service in SERVICES:
        listed = deployment.compose("exec", "--no-TTY", service, "ls", CREDENTIALS).stdout.split()
        assert listed == [service, *([KEY_NAME] if service in SEALERS else [])]
        environment = " ".join(deployment.inspect(service)["Config"]["Env"])
        assert not any(secret in environment for secret in secrets), service
        assert "WALSTREET__" not in environment, f"{service} must take its settings from the recorded session only"


def test_each_service_witnesses_the_log_outside_of_its_volume(deployment: Deployment) -> None:
    """A log that loses its end is noticed by what the services have noted elsewhere."""
    listed = deployment.compose("exec", "--no-TTY", "execution", "ls", WITNESSES).stdout.split()
    assert set(listed) == set(SERVICES)


def test_a_killed_service_returns_and_the_session_goes_on(deployment: Deployment) -> None:
    """After kill -9 the arbiter comes back from the TAPE with its next epoch, and decisions go on."""
    until(lambda: bool(deployment.events("decision.>")), "a first decision", EVENTS_BOUND_S)
    before = deployment.inspect("arbiter")
    decided = len(deployment.events("decision.>"))
    _kill_from_outside(deployment, int(before["State"]["Pid"]))
    until(
        lambda: (
            (found := deployment.inspect("arbiter"))["RestartCount"] == before["RestartCount"] + 1
            and found["State"]["Health"]["Status"] == "healthy"
        ),
        "the arbiter restarted and healthy",
        RECOVERY_BOUND_S,
    )
    until(lambda: len(deployment.events("decision.>")) > decided, "another decision", EVENTS_BOUND_S)
    assert len(deployment.events("epoch.arbiter")) == 2
    (report,) = deployment.tape("verify", "--json")
    assert report["clean"], report["faults"]


def test_up_again_changes_nothing(deployment: Deployment) -> None:
    """A second `up` while the session runs repeats the steps before the services and restarts none of them."""
    before = {service: deployment.inspect(service)["Id"] for service in LONG_RUNNING}
    deployment.compose("up", "--detach", "--wait", bound_s=UP_BOUND_S)
    assert {service: deployment.inspect(service)["Id"] for service in LONG_RUNNING} == before


def test_other_settings_are_refused_while_a_session_is_recorded(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings other than the recorded ones are refused with what to do, before anything is written."""
    monkeypatch.setenv("SIM_SEED", "12")
    monkeypatch.setenv("SIM_MINUTES", "60")
    ended = deployment.compose("run", "--rm", "--no-deps", "--no-TTY", "prepare", check=False)
    assert ended.returncode == 2
    assert "records a session with other settings" in ended.stderr


def test_services_stop_in_time_and_leave_nothing(deployment: Deployment) -> None:
    """Told to stop, every service ends by itself; `down --volumes` takes seconds, and volumes and network are gone."""
    started = time.monotonic()
    deployment.compose("stop", bound_s=UP_BOUND_S)
    codes = {service: deployment.inspect(service)["State"]["ExitCode"] for service in LONG_RUNNING}
    deployment.compose("down", "--volumes", bound_s=UP_BOUND_S)
    elapsed_s = time.monotonic() - started
    # The server ends with 1 when it is told to stop; 137 would be a kill.
    assert {service: codes[service] for service in (*SERVICES, "ibsim")} == dict.fromkeys((*SERVICES, "ibsim"), 0)
    assert codes["nats"] in (0, 1)
    assert elapsed_s < DOWN_BOUND_S
    label = f"label=com.docker.compose.project={deployment.name}"
    for kind in (("ps", "--all"), ("volume", "ls"), ("network", "ls")):
        assert not docker(*kind, "--quiet", "--filter", label).stdout.split(), kind


def _kill_from_outside(deployment: Deployment, pid: int) -> None:
    """Kill -9 a process by the host's number, as a crash would; `docker kill` would count as a wish to stop it."""
    image = deployment.inspect("arbiter")["Image"]
    options: Sequence[str] = ("--rm", "--pid=host", "--user=0", "--cap-add=KILL", "--network=none")
    docker("run", *options, image, "python", "-c", f"import os; os.kill({pid}, 9)")
