"""Owns the ground truth: every order message received and every status and execution sent, as JSON lines.

With faults it also holds what was lost on the way and what clients were told instead of the truth; the kinds of
records are in ``docs/FAULTS.md``, and ``journal_truth`` folds them to what became of each order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

Value = str | int | bool | None | dict[str, str | int | bool | float | None]


class Journal:
    """Appends one JSON object per line; without a path it keeps nothing."""

    def __init__(self, path: Path | None) -> None:
        """Open the file for appending.

        Raises:
            OSError: The file cannot be opened.
        """
        self._file: BinaryIO | None = None if path is None else path.open("ab")
        self._encoder = msgspec.json.Encoder()
        self._sequence = 0

    def write(self, kind: str, ts_ns: int, **facts: Value) -> None:
        """Append one record; ``sequence`` numbers the records of this process."""
        if self._file is None:
            return
        self._sequence += 1
        record = {"sequence": self._sequence, "ts_ns": ts_ns, "kind": kind, **facts}
        self._file.write(self._encoder.encode(record) + b"\n")
        # A crash of the simulator must not eat the truth that a test is going to compare with.
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
