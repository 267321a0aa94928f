"""Owns changes of parameters while a session runs: journaled events, applied at a boundary, the same in every replay.

A change waits until its service reaches a boundary (the arbiter: a new prediction block), so that no cycle is decided
half with the old and half with the new value. The parameters in force are a pure function of the parameters at the
start and of the changes applied since.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from walstreet_events import ParameterChange

P = TypeVar("P", bound=msgspec.Struct)
CHANGES_MAX = 1_000
"""Different parameters that may be changed in one session; there are fewer parameters than this."""
VERSIONS_KEPT_MAX = 64
"""Versions whose structs are kept ready; a replay of more versions builds them again."""
FIXED: dict[str, str] = {
    "execution.arming": (
        "what live trading asks for holds from the start of a session, or one person could turn the first key alone. "
        "End the session, write it into the configuration (or start with --set), then two people run `walstreet arm`; "
        "`walstreet disarm` stops live trading at once"
    ),
}
"""Sections that no change reaches, with the reason and the remedy."""


class ChangeRefusedError(ValueError):
    """The change names no parameter of the section, or a value outside its range; the text says which."""


@dataclass(slots=True)
class Changes:
    """Changes that a service has seen; part of its state. Values are JSON texts by path within the section."""

    applied: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)

    def apply(self) -> None:
        """Put what waits into force."""
        if self.waiting:
            # A later change of the same parameter takes the place of the earlier one, also in the order.
            for path in self.waiting:
                self.applied.pop(path, None)
            self.applied.update(self.waiting)
            self.waiting = {}

    def canonical(self) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
        """Return the changes as plain values for a digest."""
        return tuple(self.applied.items()), tuple(self.waiting.items())


class Versions(Generic[P]):
    """Gives the parameters in force for a service's changes; remembers only what it could compute again."""

    def __init__(self, base: P) -> None:
        """Start from the parameters of the configuration."""
        self._base = base
        self._kept: dict[tuple[tuple[str, str], ...], P] = {(): base}

    def note(self, changes: Changes, section: str, change: ParameterChange) -> None:
        """Let ``change`` wait in ``changes`` for the boundary if it concerns ``section``.

        Raises:
            ChangeRefusedError: It is not valid together with the others, so nothing of it is kept. The operator's
                program refuses such a change before it is journaled.
        """
        path = change.path.removeprefix(f"{section}.")
        if path == change.path:
            return
        require_changeable(change.path)
        changed(self._base, {**changes.applied, **changes.waiting, path: change.value})
        assert len(changes.waiting) < CHANGES_MAX, "more changes than there are parameters"
        changes.waiting[path] = change.value

    def of(self, changes: Changes) -> P:
        """Return the parameters with every applied change."""
        key = tuple(changes.applied.items())
        found = self._kept.get(key)
        if found is None:
            found = changed(self._base, changes.applied)
            if len(self._kept) >= VERSIONS_KEPT_MAX:
                self._kept = {(): self._base}
            self._kept[key] = found
        return found


def require_changeable(path: str) -> None:
    """Refuse the full path of a parameter that holds from the start of a session.

    Raises:
        ChangeRefusedError: It is one; the text says why, and what to do.
    """
    for fixed, remedy in FIXED.items():
        if path == fixed or path.startswith(f"{fixed}."):
            raise ChangeRefusedError(f"{path} cannot change while a session runs: {remedy}")


def changed(base: P, values: dict[str, str]) -> P:
    """Return ``base`` with the JSON ``values`` at their paths.

    Raises:
        ChangeRefusedError: Unknown path, no JSON, or a value that the parameters refuse.
    """
    tree: dict[str, Any] = msgspec.to_builtins(base)
    for path, text in values.items():
        *parents, leaf = path.split(".")
        node: Any = tree
        for part in parents:
            node = node.get(part) if isinstance(node, dict) else None
        if not isinstance(node, dict) or leaf not in node:
            raise ChangeRefusedError(f"there is no parameter {path!r}")
        if isinstance(node[leaf], dict):
            raise ChangeRefusedError(f"{path!r} is a section; name one of its parameters: {', '.join(node[leaf])}")
        try:
            node[leaf] = msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            raise ChangeRefusedError(f"{path}={text} is no JSON value ({error}); quote texts") from error
    try:
        return msgspec.convert(tree, type(base), strict=True)
    except msgspec.ValidationError as error:
        raise ChangeRefusedError(str(error)) from error
