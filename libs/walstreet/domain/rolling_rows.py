"""Owns a bounded window of number rows: the newest ``capacity`` of them, oldest first when read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from walstreet import kernels
from walstreet.domain.units import FloatArray

CAPACITY_MAX = 100_000
WIDTH_MAX = 10_000
CELLS_MAX = 2_000_000
"""Memory of one window, 16 MB."""

assert CAPACITY_MAX <= CELLS_MAX


@dataclass(slots=True)
class RollingRows:
    """The newest rows of a stream of rows."""

    cells: FloatArray
    """(capacity, width); row ``k`` holds the newest row whose number is congruent to k."""
    pushed: int = 0
    """Rows ever pushed."""

    @property
    def count(self) -> int:
        """Return the number of rows in the window."""
        return min(self.pushed, len(self.cells))

    def push(self, row: FloatArray) -> None:
        """Take the newest row, shape (width,); the oldest leaves a full window."""
        self.cells[self.pushed % len(self.cells)] = row
        self.pushed += 1

    def ordered(self) -> FloatArray:
        """Return a copy (count, width), oldest first, so that sums do not depend on where the ring stands."""
        if self.pushed <= len(self.cells):
            return self.cells[: self.pushed].copy()
        start = self.pushed % len(self.cells)
        return np.concatenate([self.cells[start:], self.cells[:start]])

    def totals(self) -> tuple[float, ...]:
        """Return the sum of every column over the window."""
        columns = np.ascontiguousarray(self.ordered().T)
        return tuple(kernels.ordered_sum(column) for column in columns)

    def canonical(self) -> tuple[int, int, bytes]:
        """Return the content for a digest."""
        return self.pushed, len(self.cells), self.ordered().tobytes()


def rolling_rows(capacity: int, width: int) -> RollingRows:
    """Return an empty window.

    Raises:
        ValueError: The window would be empty or larger than the bounds of this module.
    """
    if not (1 <= capacity <= CAPACITY_MAX and 1 <= width <= WIDTH_MAX and capacity * width <= CELLS_MAX):
        raise ValueError(
            f"a window of {capacity} rows of {width} is outside 1..{CAPACITY_MAX} rows, 1..{WIDTH_MAX} columns and "
            f"{CELLS_MAX} cells; choose a shorter one"
        )
    return RollingRows(cells=np.zeros((capacity, width)))
