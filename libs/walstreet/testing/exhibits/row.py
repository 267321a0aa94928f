"""Owns what an exhibit is: rows with a value, an allowed range and a verdict, and the panels of its picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One measured number."""

    exhibit: str
    case: str
    value: float
    low: float | None = None
    """Least value that passes; None for no bound."""
    high: float | None = None
    note: str = ""

    @property
    def passes(self) -> bool:
        """Return whether the value is a number within its range, ends included."""
        above = self.low is None or self.value >= self.low
        below = self.high is None or self.value <= self.high
        return above and below and not math.isnan(self.value)

    @property
    def target(self) -> str:
        """Return the range in words."""
        if self.low is not None and self.high is not None:
            return f"{self.low:g}" if self.low == self.high else f"{self.low:g} to {self.high:g}"
        return f">= {self.low:g}" if self.low is not None else f"<= {self.high:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One series of a panel."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    style: Literal["line", "dashed", "points"] = "line"


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One coordinate system of a picture."""

    title: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...] = ()
    bars: tuple[tuple[str, float], ...] = ()
    """Name and length, from top to bottom; a panel has lines or bars."""
    allowed: tuple[float, float] | None = None
    """Range of y (of the bars' lengths) that passes, drawn as a shade."""
    logarithmic: tuple[Literal["x", "y"], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibit:
    """What one measurement gives."""

    name: str
    """Of its picture files."""
    title: str
    rows: tuple[Row, ...]
    panels: tuple[Panel, ...] = ()
