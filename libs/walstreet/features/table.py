"""Owns the registry of features: their order, and the table that documents them."""

from __future__ import annotations

from walstreet.features.groups import PRICE_GROUPS, Group
from walstreet.features.groups_flow import FLOW_GROUPS
from walstreet.features.schema import FeatureSpec

GROUPS: tuple[Group, ...] = (*PRICE_GROUPS, *FLOW_GROUPS)
FEATURES: tuple[FeatureSpec, ...] = tuple(spec for group in GROUPS for spec in group.specs)
"""Columns of the feature matrix in order; the schema hash covers this order."""
FEATURE_NAMES: tuple[str, ...] = tuple(spec.name for spec in FEATURES)
FEATURE_COUNT = len(FEATURES)
assert len(frozenset(FEATURE_NAMES)) == FEATURE_COUNT


def feature_table_markdown() -> str:
    """Return the table of docs/FEATURES.md, one row per feature in column order."""
    lines = ["| column | name | unit | formula | source |", "|---:|---|---|---|---|"]
    lines += [
        f"| {column} | `{spec.name}` | {_cell(spec.unit)} | {_cell(spec.formula)} | {_cell(spec.source)} |"
        for column, spec in enumerate(FEATURES)
    ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
