"""Tests of which parameters `walstreet param` may change: short names, ambiguity, and what only a new start changes."""

from __future__ import annotations

import msgspec
import pytest

from walstreet.domain.arming import ArmingParameters
from walstreet.runtime.errors import UsageError
from walstreet_services.cli.param_command import changeable_path, full_path

pytestmark = pytest.mark.spec("001.config")


def test_a_short_name_is_completed() -> None:
    """A unique end, an alias and the full path name the same parameter."""
    for text in ("arbiter.limits.gross_max", "risk.gross_max", "limits.gross_max"):
        assert changeable_path(text) == "arbiter.limits.gross_max"


@pytest.mark.parametrize("name", [field.name for field in msgspec.structs.fields(ArmingParameters)])
@pytest.mark.parametrize("head", ["execution.arming.", "arming."])
def test_arming_is_shown_but_never_changed(head: str, name: str) -> None:
    """Every parameter of arming, however it is named, is refused with what to do instead; `param show` finds it."""
    path = f"execution.arming.{name}"
    assert full_path(head + name) == path
    with pytest.raises(UsageError, match=f"{path} cannot change while a session runs") as told:
        changeable_path(head + name)
    for words in ("nothing was changed", "End the session", "walstreet arm", "walstreet disarm"):
        assert words in str(told.value)
