"""Owns what the end-to-end tests share: one reference session, run once, and what must hold after every session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from walstreet.testing.stack import Ended, session

MINUTES = 30
SYMBOLS = ("SYN01", "SYN02", "SYN03", "SYN04")
SEED = 7
STANDARD = ("--minutes", str(MINUTES), "--symbols", ",".join(SYMBOLS), "--set", "session.warmup_days=1")
"""Long enough that orders are sent, fill and are flattened; short enough for every run of the tests."""

Check = Callable[[Ended], None]


@pytest.fixture(scope="session")
def standard() -> tuple[str, ...]:
    """Return the arguments of the reference session, without its seed."""
    return STANDARD


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Return the undisturbed reference session."""
    return session(tmp_path_factory.mktemp("reference") / "session", *STANDARD, "--seed", str(SEED))


@pytest.fixture(scope="session")
def reference_state(reference: Ended) -> Path:
    """Return the folder of the reference session, which has ended."""
    return Path(reference.summary["state"])


@pytest.fixture(scope="session")
def check_invariants() -> Check:
    """Return the check of what must hold after every standard session, whatever happened in it."""

    def check(ended: Ended) -> None:
        summary = ended.summary
        assert ended.code == 0, ended.text[-3000:]
        assert summary["ok"] is True, summary["broken"]
        assert summary["tape"]["clean"] is True
        assert summary["dead_letters"] == 0
        assert summary["decisions"] == MINUTES
        assert summary["bars"]["by_symbol"] == dict.fromkeys(SYMBOLS, MINUTES)
        assert summary["reconciliation"]["breaks"] == {}
        assert summary["reconciliation"]["reports"]["clean"] > 0
        assert "Traceback" not in ended.err

    return check
