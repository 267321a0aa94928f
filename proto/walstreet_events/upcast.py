"""Owns the upgrade of stored events of older versions to the current ones.

An upcaster maps the decoded fields of one version to those of the next. Chains are followed until a current
tag is reached, so that each step is written once, when the version changes, and never touched again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

Fields: TypeAlias = dict[str, object]
Upcaster: TypeAlias = Callable[[Fields], Fields]

UPCASTERS: dict[str, Upcaster] = {}
"""From an old tag to the function that returns the fields of the next version, its ``type`` included.

Empty as long as every event is in its first version; ``tests/contract`` holds the mechanism to account.
"""

UPCAST_STEPS_MAX = 32


class UpcastLoopError(RuntimeError):
    """Our fault: the upcasters do not lead to a current version."""


def upcast(fields: Fields, current: Mapping[str, type], upcasters: Mapping[str, Upcaster]) -> Fields:
    """Return ``fields`` upgraded to a tag in ``current``; unknown tags are returned as they are.

    Raises:
        UpcastLoopError: More than ``UPCAST_STEPS_MAX`` steps did not reach a current version.
    """
    for _ in range(UPCAST_STEPS_MAX):
        tag = str(fields.get("type", ""))
        if tag in current or tag not in upcasters:
            return fields
        fields = upcasters[tag](dict(fields))
    raise UpcastLoopError(
        f"upcasting ended at tag {fields.get('type')!r} after {UPCAST_STEPS_MAX} steps without reaching a "
        "current version; mend the table in walstreet_events.upcast"
    )
