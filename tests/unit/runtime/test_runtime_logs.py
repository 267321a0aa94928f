"""Owns the tests of structured logs."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from walstreet.runtime.errors import UsageError
from walstreet.runtime.logs import configure_logs

pytestmark = pytest.mark.spec("001.audit")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave logging as it was found."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    for handler in handlers:
        root.removeHandler(handler)
    yield
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    structlog.reset_defaults()


def test_lines_are_json_with_level_and_time(tmp_path: Path) -> None:
    """Each record is one line of JSON; what stands below the level is left out."""
    configure_logs(service="features", directory=str(tmp_path), level="info", terminal=False)
    log = structlog.get_logger().bind(service="features")
    log.debug("hidden")
    log.info("shown", seq=3)
    logging.getLogger("vendor").warning("plain")
    for handler in logging.getLogger().handlers:
        handler.flush()
    lines = [json.loads(line) for line in (tmp_path / "features.log").read_text().splitlines()]
    assert [(line["event"], line["level"]) for line in lines] == [("shown", "info"), ("plain", "warning")]
    assert lines[0]["seq"] == 3
    assert lines[0]["timestamp"].endswith("Z")


def test_an_unknown_level_is_a_usage_error(tmp_path: Path) -> None:
    """A spelling mistake is told with the levels there are."""
    with pytest.raises(UsageError, match="'verbos'; it takes debug, info"):
        configure_logs(service="features", directory=str(tmp_path), level="verbos", terminal=False)
