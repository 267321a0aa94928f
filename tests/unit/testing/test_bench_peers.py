"""Owns the tests of peers that are optional: named with the reason where they cannot run, silent where they can."""

from __future__ import annotations

import importlib.machinery
import importlib.util
from types import SimpleNamespace

import pytest

from walstreet.testing.bench import peers
from walstreet.testing.bench.catalog import KNOWN

SPEC = importlib.machinery.ModuleSpec("lleaves", None)


def test_a_missing_peer_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the reason says how to get it, for the groups that it belongs to and no other."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert peers.absent_peers(["forest"]) == {"lleaves": "it is not installed (pip install lleaves)"}
    assert peers.absent_peers(["swing"]) == {"vectorbt": "it is not installed (pip install vectorbt)"}
    assert peers.absent_peers(["decision"]) == {}


@pytest.mark.parametrize(("binding", "can_run"), [({"PassManagerBuilder": object}, True), ({}, False)])
def test_a_peer_is_judged_by_what_it_calls(
    monkeypatch: pytest.MonkeyPatch, binding: dict[str, object], can_run: bool
) -> None:
    """Installed beside a newer llvmlite than it knows, lleaves would fail in the middle of a measurement."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: SPEC)
    monkeypatch.setattr(peers.importlib, "import_module", lambda _name: SimpleNamespace(**binding))
    problem = peers.problem_of(peers.LLEAVES)
    assert (problem == "") == can_run
    assert can_run or "llvmlite 0.43 or older" in problem


def test_every_optional_peer_belongs_to_a_group() -> None:
    """A peer of a group that does not exist would never be named."""
    assert set(peers.OPTIONAL_PEERS.values()) <= set(KNOWN)
