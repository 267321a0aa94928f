"""Owns the tests of parameters that change while a session runs."""

from __future__ import annotations

import msgspec
import pytest

from walstreet.domain.arbiter_parameters import ArbiterParameters
from walstreet.domain.arming import ArmingParameters
from walstreet.domain.execution_parameters import ExecutionParameters
from walstreet.domain.parameter_changes import VERSIONS_KEPT_MAX, ChangeRefusedError, Changes, Versions, changed
from walstreet_events import ROOT, ParameterChange, derive_id

pytestmark = pytest.mark.spec("001.config")
BASE = ArbiterParameters()


def change(path: str, value: str) -> ParameterChange:
    """Return an operator's change of ``path``."""
    return ParameterChange(
        id=derive_id(ROOT, path, 0), cause=ROOT, ts_ns=1, path=path, value=value, previous="", operator="me"
    )


def test_a_change_waits_for_the_boundary() -> None:
    """What was noted holds only once the boundary is reached, and the base stays what it was."""
    versions, changes = Versions(BASE), Changes()
    versions.note(changes, "arbiter", change("arbiter.limits.gross_max", "0.4"))
    assert versions.of(changes) == BASE
    changes.apply()
    assert versions.of(changes).limits.gross_max == 0.4
    assert versions.of(Changes()) == BASE


def test_the_last_change_of_a_parameter_holds() -> None:
    """Changes of one parameter replace each other; those of others stay."""
    versions, changes = Versions(BASE), Changes()
    for path, value in (("limits.gross_max", "0.4"), ("band.band_max", "0.01"), ("limits.gross_max", "0.3")):
        versions.note(changes, "arbiter", change(f"arbiter.{path}", value))
        changes.apply()
    found = versions.of(changes)
    assert (found.limits.gross_max, found.band.band_max) == (0.3, 0.01)
    assert changes.canonical() == ((("band.band_max", "0.01"), ("limits.gross_max", "0.3")), ())


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        ("limits.gros_max", "0.4", "there is no parameter 'limits.gros_max'"),
        ("limits.gross_max.x", "0.4", "there is no parameter"),
        ("limits", "{}", "is a section"),
        ("limits.gross_max", "nine", "is no JSON value"),
        ("limits.gross_max", '"0.4"', "Expected `float`"),
        ("limits.gross_max", "9", "allowed is 0.0 to 4.0"),
        ("limits.gross_max", "0.1", "net_max"),
        ("cost.impact", '"cubic"', "cubic"),
    ],
)
def test_what_the_parameters_refuse_is_not_noted(path: str, value: str, text: str) -> None:
    """A refused change leaves nothing behind, and the text names path or value."""
    versions, changes = Versions(BASE), Changes()
    with pytest.raises(ChangeRefusedError, match=text):
        versions.note(changes, "arbiter", change(f"arbiter.{path}", value))
    assert changes == Changes()


@pytest.mark.parametrize("name", [field.name for field in msgspec.structs.fields(ArmingParameters)])
def test_no_parameter_of_arming_is_noted(name: str) -> None:
    """Whoever may write changes cannot turn the first key of live trading with one, and is told who can."""
    versions, changes = Versions(ExecutionParameters()), Changes()
    value = msgspec.json.encode(getattr(ArmingParameters(), name)).decode()
    with pytest.raises(ChangeRefusedError, match="walstreet arm"):
        versions.note(changes, "execution", change(f"execution.arming.{name}", value))
    assert changes == Changes()
    versions.note(changes, "execution", change("execution.acknowledge_s_max", "11"))


def test_a_change_is_judged_together_with_those_that_wait() -> None:
    """A value that only fits a change before it is accepted after that one, and refused without it."""
    versions, changes = Versions(BASE), Changes()
    tight = change("arbiter.limits.gross_max", "0.2")
    with pytest.raises(ChangeRefusedError):
        versions.note(changes, "arbiter", tight)
    versions.note(changes, "arbiter", change("arbiter.limits.net_max", "0.1"))
    versions.note(changes, "arbiter", tight)
    changes.apply()
    assert versions.of(changes).limits.gross_max == 0.2


def test_another_services_change_concerns_nobody_else() -> None:
    """A path of another section, also one that begins alike, is passed over."""
    versions, changes = Versions(BASE), Changes()
    for path in ("execution.acknowledge_s_max", "arbiterx.limits.gross_max", "arbiter"):
        versions.note(changes, "arbiter", change(path, "1"))
    assert changes == Changes()


def test_versions_forget_and_find_again() -> None:
    """More versions than are kept ready are built again, the same."""
    versions = Versions(BASE)
    kept = []
    for step in range(VERSIONS_KEPT_MAX + 8):
        changes = Changes(applied={"limits.gross_max": str(0.3 + step / 1000)})
        kept.append((changes, versions.of(changes)))
    assert all(versions.of(changes) == found for changes, found in kept)


def test_changed_leaves_the_base_alone() -> None:
    """The base is a value: nothing in it changes."""
    before = BASE.limits.gross_max
    assert changed(BASE, {"limits.gross_max": "0.45"}).limits.gross_max == 0.45
    assert BASE.limits.gross_max == before
