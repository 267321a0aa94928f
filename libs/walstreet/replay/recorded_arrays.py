"""Owns reading arrays of recorded events: one that is absent or does not fit its names is counted, never guessed.

A TAPE of an older revision lacks columns that a newer one writes. What needs them is left out, and the reader says how
often and why.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from walstreet.domain.units import FloatArray, IntArray
from walstreet_events import Decision, FloatBlock, IntBlock

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")
ITEM_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Columns of a decision record that one purpose cannot do without."""

    purpose: str
    per_symbol: tuple[str, ...] = ()
    """(N,)."""
    per_horizon: tuple[str, ...] = ()
    """(H, N)."""


def floats(block: FloatBlock, shape: tuple[int, ...]) -> FloatArray | None:
    """Return the array if it has ``shape`` and as many bytes, else None."""
    return block.array() if _fits(block, shape) else None


def integers(block: IntBlock, shape: tuple[int, ...]) -> IntArray | None:
    """Return the array if it has ``shape`` and as many bytes, else None."""
    return block.array() if _fits(block, shape) else None


def _fits(block: FloatBlock | IntBlock, shape: tuple[int, ...]) -> bool:
    return block.shape == shape and len(block.data) == ITEM_BYTES * math.prod(shape)


def read_columns(decision: Decision, need: Need, lacking: Counter[str]) -> dict[str, FloatArray] | None:
    """Return the columns of ``need`` by name, None if one is absent or does not fit; ``lacking`` counts which."""
    count, horizons = len(decision.symbols), len(decision.horizons_minutes)
    blocks = {column.name: column.values for column in decision.columns}
    found: dict[str, FloatArray] = {}
    for names, shape in ((need.per_symbol, (count,)), (need.per_horizon, (horizons, count))):
        for name in names:
            values = floats(blocks[name], shape) if name in blocks else None
            if values is None:
                lacking[f"{need.purpose}: no usable column {name}"] += 1
            else:
                found[name] = values
    return found if len(found) == len(need.per_symbol) + len(need.per_horizon) else None


def aligned(values: FloatArray, symbols: Sequence[str], among: Sequence[str]) -> FloatArray:
    """Return (..., len(symbols)) values of the symbols out of (..., len(among)); NaN for one that is not there."""
    if symbols == among:
        return values
    where = {symbol: place for place, symbol in enumerate(among)}
    result = np.full((*values.shape[:-1], len(symbols)), np.nan)
    for place, symbol in enumerate(symbols):
        if symbol in where:
            result[..., place] = values[..., where[symbol]]
    return result


def keep_newest(kept: dict[KeyT, ValueT], key: KeyT, value: ValueT, count_max: int) -> None:
    """Put ``value`` behind what is kept, and drop the oldest beyond ``count_max``."""
    kept.pop(key, None)
    kept[key] = value
    while len(kept) > count_max:
        del kept[next(iter(kept))]
