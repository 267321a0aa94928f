"""Owns the list of peers that count where they can run, and are named with the reason where they cannot."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Final

LLEAVES: Final = "lleaves"
VECTORBT: Final = "vectorbt"
OPTIONAL_PEERS: Final[dict[str, str]] = {LLEAVES: "forest", VECTORBT: "swing"}
"""Module of a peer, and the group of rows in which it is measured; `pip install` takes the same name."""


def problem_of(name: str) -> str:
    """Return why the peer cannot run here, empty if it can."""
    if importlib.util.find_spec(name) is None:
        return f"it is not installed (pip install {name})"
    if name == LLEAVES and not hasattr(importlib.import_module("llvmlite.binding"), "PassManagerBuilder"):
        return "it needs llvmlite 0.43 or older, and numba brought a newer one; measure it in an environment of its own"
    return ""


def absent_peers(groups: list[str]) -> dict[str, str]:
    """Return the optional peers of ``groups`` that cannot run, and why, so that nobody takes silence for victory."""
    problems = {name: problem_of(name) for name, group in OPTIONAL_PEERS.items() if group in groups}
    return {name: problem for name, problem in problems.items() if problem}
