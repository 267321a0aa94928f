"""Owns the reading of faults: a YAML script or one JSON object becomes checked structs, or a one-line refusal."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import msgspec
import yaml

from walstreet_services.ibsim.fault_base import Fault
from walstreet_services.ibsim.fault_model import AnyFault, FaultScript
from walstreet_services.ibsim.times import day_start_ns
from walstreet_services.ibsim.units import NS_PER_SECOND

if TYPE_CHECKING:
    from pathlib import Path

    from walstreet_services.ibsim.model import Session

SCRIPT_BYTES_MAX = 4 << 20
DAY_SECONDS = 86_400
_CLOCK = re.compile(r"^(\d{1,2}):(\d{2}):(\d{2})$")
_OFFSET = re.compile(r"^(open|close)([+-])(\d{1,6})$")
_UNKNOWN_FIELD = "Object contains unknown field `"
_KINDS: dict[str, type[Fault]] = {str(kind.__struct_config__.tag): kind for kind in get_args(AnyFault)}
T = TypeVar("T")


class FaultError(Exception):
    """A fault script or an injected fault cannot be; the message is one line. The author's fault."""


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice: YAML would let the second silently replace the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        seen: list[str] = []
        for key, _ in node.value:
            text = str(key.value)
            if text in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {text!r} stands twice", key.start_mark)
            seen.append(text)
        return super().construct_mapping(node, deep=deep)


def load_script(path: Path) -> FaultScript:
    """Return the script of a YAML file.

    Raises:
        FaultError: The file cannot be read, is no YAML, or holds something that is no fault.
    """
    try:
        if path.stat().st_size > SCRIPT_BYTES_MAX:
            raise FaultError(f"fault script {path} is larger than {SCRIPT_BYTES_MAX} bytes; split it")
        text = path.read_text(encoding="utf-8")
        tree = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader that also refuses repeated keys
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "it is not UTF-8"
        raise FaultError(f"fault script {path} cannot be read ({reason}); check --faults") from problem
    except yaml.YAMLError as problem:
        raise FaultError(f"fault script {path} is no YAML: {' '.join(str(problem).split())}") from problem
    return convert({} if tree is None else tree, FaultScript, f"fault script {path}")


def convert(tree: object, kind: type[T], source: str) -> T:
    """Return ``tree`` as a ``kind``.

    Raises:
        FaultError: Unknown key, wrong type or a value out of range; the text carries path and remedy.
    """
    try:
        return msgspec.convert(tree, kind, strict=True)
    except msgspec.ValidationError as problem:
        raise FaultError(f"{source}: {_readable(str(problem), tree)}") from problem


def trigger_ns(at: str | int, session: Session) -> int:
    """Return the time that ``at`` names on the day of a session.

    Raises:
        FaultError: The text has no known form.
    """
    if isinstance(at, int):
        if 0 <= at < DAY_SECONDS:
            return day_start_ns(session.date) + at * NS_PER_SECOND
        raise FaultError(f"at {at} is no number of seconds after midnight; write HH:MM:SS or open+SECONDS")
    clock, offset = _CLOCK.match(at), _OFFSET.match(at)
    if clock is not None:
        hours, minutes, seconds = (int(part) for part in clock.groups())
        if hours < 24 and minutes < 60 and seconds < 60:
            return day_start_ns(session.date) + (hours * 3600 + minutes * 60 + seconds) * NS_PER_SECOND
    elif offset is not None:
        base = session.open_ns if offset.group(1) == "open" else session.close_ns
        return base + (1 if offset.group(2) == "+" else -1) * int(offset.group(3)) * NS_PER_SECOND
    raise FaultError(f"at {at[:40]!r} is no time; write HH:MM:SS at the exchange, open+SECONDS or close-SECONDS")


def kind_of(fault: Fault) -> str:
    """Return the name that a script gives to this kind of fault."""
    return str(type(fault).__struct_config__.tag)


def _readable(message: str, tree: object) -> str:
    """Return msgspec's message with the path first and what to write instead."""
    text, _, path = message.partition(" - at `$")
    place = path.strip("`").lstrip(".") or "top level"
    named = _entry(tree, place).get("kind")
    if text.startswith(_UNKNOWN_FIELD):
        key = text[len(_UNKNOWN_FIELD) :].strip("`")
        kind: type[msgspec.Struct] = _KINDS.get(str(named), FaultScript)
        known = [*(["kind"] if kind is not FaultScript else []), *kind.__struct_fields__]
        near = difflib.get_close_matches(key, known, n=1)
        guess = f"did you mean {near[0]!r}? " if near else ""
        return f"{place}: unknown key {key!r}; {guess}known keys: {', '.join(known)}"
    if place.endswith("kind"):
        near = difflib.get_close_matches(str(_entry(tree, place.removesuffix(".kind")).get("kind")), _KINDS, n=1)
        guess = f"did you mean {near[0]!r}? " if near else ""
        return f"{place}: {text}; {guess}known kinds: {', '.join(sorted(_KINDS))}"
    return f"{place}: {text}; see docs/FAULTS.md"


def _entry(tree: object, place: str) -> dict[str, Any]:
    """Return the mapping at a path such as ``faults[3]``, empty when there is none."""
    found: Any = tree
    match = re.match(r"^faults\[(\d+)\]", place)
    if match is not None and isinstance(tree, dict) and isinstance(tree.get("faults"), list):
        found = tree["faults"][int(match.group(1))]
    return found if isinstance(found, dict) else {}
