"""Owns the list of the benchmark's groups: every name that is planned, and the ones that can run."""

from __future__ import annotations

from walstreet.testing.bench.decision import decision_rows
from walstreet.testing.bench.events import event_rows
from walstreet.testing.bench.features import feature_rows
from walstreet.testing.bench.forest import forest_rows
from walstreet.testing.bench.latency import latency_rows
from walstreet.testing.bench.log import log_rows
from walstreet.testing.bench.row import Maker
from walstreet.testing.bench.swing import permutation_rows, swing_rows, walk_forward_rows

KNOWN = (
    "forest",
    "decision",
    "features",
    "swing",
    "walkforward",
    "permutation",
    "events",
    "orders",
    "log",
    "latency",
)
"""Every group that the targets name, in the order in which they are shown."""

MAKERS: dict[str, Maker] = {
    "forest": forest_rows,
    "decision": decision_rows,
    "features": feature_rows,
    "swing": swing_rows,
    "walkforward": walk_forward_rows,
    "permutation": permutation_rows,
    "events": event_rows,
    "log": log_rows,
    "latency": latency_rows,
}
"""Groups that exist; a new one is one line here."""

assert frozenset(MAKERS) <= frozenset(KNOWN)


class UnknownGroupError(ValueError):
    """The operator asked for a group that is not there; the text lists the ones that are."""


def choose(names: list[str]) -> dict[str, Maker]:
    """Return the groups ``names``, or every existing one, in the order of ``KNOWN``.

    Raises:
        UnknownGroupError: A name is unknown, or its group has not arrived yet.
    """
    have = ", ".join(name for name in KNOWN if name in MAKERS)
    for name in names:
        if name not in KNOWN:
            raise UnknownGroupError(f"there is no benchmark {name!r}; choose from: {have}")
        if name not in MAKERS:
            raise UnknownGroupError(f"benchmark {name!r} is planned, but has not arrived yet; choose from: {have}")
    wanted = names or list(MAKERS)
    return {name: MAKERS[name] for name in KNOWN if name in wanted}
