"""Every alert asks for metrics that the services export, has its two tests, and says what to do."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from walstreet.domain.execution_parameters import ExecutionParameters
from walstreet.domain.execution_state import ExecutionState
from walstreet.runtime.metrics import ServiceMetrics
from walstreet.runtime.state_metrics import of_service
from walstreet_events import Service, tag_of
from walstreet_events.subjects import SUBJECT_TABLE
from walstreet_services.execution.readings import readings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "monitoring"
RULES = FOLDER / "walstreet.rules.yml"
RULE_TESTS = FOLDER / "walstreet.rules.test.yml"
PROMETHEUS = FOLDER / "prometheus.yml"
OPERATIONS = ROOT / "docs" / "OPERATIONS.md"
NAME = re.compile(r"\bwalstreet_[a-z_]+\b")
SELECTOR = re.compile(r'(service|type|mode)="([^"]+)"')


def rules() -> list[dict[str, Any]]:
    """Return the alert rules."""
    tree = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    return [rule for group in tree["groups"] for rule in group["rules"]]


def exported() -> set[str]:
    """Return every sample name that a service answers with, those of counters and histograms in their own form."""
    metrics = ServiceMetrics(Service.EXECUTION.value)
    metrics.state.watch(lambda: of_service(ready=True, log_connected=True))
    metrics.state.watch(lambda: readings(ExecutionState(), ExecutionParameters()))
    names: set[str] = set()
    for family in metrics.registry.collect():
        forms = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
        names |= {f"{family.name}{form}" for form in forms}
    return names


def test_every_alert_asks_for_metrics_that_exist() -> None:
    """A metric that was renamed would make its alert silent for ever."""
    known = exported()
    for rule in rules():
        named = NAME.findall(rule["expr"])
        assert named or "up{" in rule["expr"], rule["alert"]
        assert set(named) <= known, (rule["alert"], sorted(set(named) - known))


def test_selected_labels_exist() -> None:
    """Services, event types and modes in the rules are those of the code."""
    tags = {tag_of(row.event) for row in SUBJECT_TABLE}
    modes = {reading.labels[0][1] for reading in readings(ExecutionState(), ExecutionParameters()) if reading.labels}
    allowed = {"service": {service.value for service in Service}, "type": tags, "mode": modes}
    found = [(label, value) for rule in rules() for label, value in SELECTOR.findall(rule["expr"])]
    assert found
    assert [pair for pair in found if pair[1] not in allowed[pair[0]]] == []


def test_every_alert_is_tested_raised_and_silent() -> None:
    """Two tests for promtool each, one of which expects the alert."""
    tree = yaml.safe_load(RULE_TESTS.read_text(encoding="utf-8"))
    seen: dict[str, list[bool]] = {}
    for test in tree["tests"]:
        for case in test["alert_rule_test"]:
            seen.setdefault(case["alertname"], []).append(bool(case["exp_alerts"]))
    assert {name: sorted(values) for name, values in seen.items()} == {rule["alert"]: [False, True] for rule in rules()}


def test_every_alert_says_what_to_do() -> None:
    """Name, severity and summary in the rule, and a row under its name in docs/OPERATIONS.md."""
    page = OPERATIONS.read_text(encoding="utf-8")
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["summary"]
        assert f"| `{rule['alert']}` |" in page, rule["alert"]


def test_every_service_is_asked() -> None:
    """The six services are targets, and the compose file mounts the rules for Prometheus."""
    tree = yaml.safe_load(PROMETHEUS.read_text(encoding="utf-8"))
    targets = tree["scrape_configs"][0]["static_configs"][0]["targets"]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    own = [name for name, value in compose.items() if "walstreet_services." in str(value.get("command", ""))]
    assert sorted(target.partition(":")[0] for target in targets) == sorted(name for name in own if name != "declare")
    assert tree["rule_files"] == [RULES.name]
    assert "./deploy/monitoring:/etc/prometheus:ro" in compose["prometheus"]["volumes"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
@pytest.mark.parametrize(
    "arguments",
    [("check", "rules", RULES.name), ("check", "config", PROMETHEUS.name), ("test", "rules", RULE_TESTS.name)],
)
def test_promtool_agrees(arguments: tuple[str, ...]) -> None:
    """Prometheus's own checker reads the rules and the configuration, and runs the rules' tests."""
    done = subprocess.run(
        ["promtool", *arguments],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
