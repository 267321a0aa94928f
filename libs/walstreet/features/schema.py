"""Owns what identifies a feature matrix: the specification of one feature and the hash over all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from walstreet.features.parameters import FeatureParameters

SCHEMA_VERSION = 1
"""Raise it when a formula changes under an unchanged name; models trained before are then refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSpec:
    """One column of the feature matrix."""

    name: str
    unit: str
    formula: str
    source: str
    """Where the formula comes from; ``definition`` where it is our own."""


def schema_hash(specs: Sequence[FeatureSpec], parameters: FeatureParameters, *, bar_ns: int) -> str:
    """Return SHA-256 (hex) over version, ordered names, formulas, parameters and bar size."""
    content = {
        "version": SCHEMA_VERSION,
        "bar_ns": bar_ns,
        "features": [[spec.name, spec.unit, spec.formula] for spec in specs],
        "parameters": parameters,
    }
    return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()
