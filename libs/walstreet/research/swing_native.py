"""Owns the native engine behind the ``SwingEngine`` protocol, and the choice between it and the reference.

Both follow the conventions of ``swing_types`` to the bit. The native one weighs by inverse volatility only; grids with
``hrp`` or ``erc`` run in the reference, and ``choose_engine`` says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from walstreet.domain.units import BoolArray, FloatArray, IntArray
from walstreet.kernels import swing
from walstreet.research.permutation import permutation_key
from walstreet.research.swing_engine import ReferenceEngine
from walstreet.research.swing_types import (
    Objective,
    SwingBars,
    SwingEngine,
    SwingParameters,
    SwingResult,
    Window,
    check_segments,
)

_DIGEST_BYTES: Final = 16
_PART_BYTES: Final = 4
_RENAMED: Final = ("clips", "settles_later")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineChoice:
    """An engine, its name for logs and reports, and why it was taken."""

    engine: SwingEngine
    name: str
    reason: str


def choose_engine(parameters: Sequence[SwingParameters], *, threads: int) -> EngineChoice:
    """Return the native engine if it runs in this process and can weigh as all the parameters ask, else the reference.

    Args:
        parameters: Every point that will be simulated.
        threads: Of the native engine; the reference has one.
    """
    name, reason = swing.swing_implementation()
    if name != "native":
        return EngineChoice(engine=ReferenceEngine(), name="reference", reason=reason)
    others = sorted({point.weight_method for point in parameters} - {"inv_vol"})
    if others:
        reason = f"the native engine has no weight_method {others[0]!r}"
        return EngineChoice(engine=ReferenceEngine(), name="reference", reason=reason)
    return EngineChoice(engine=NativeEngine(threads=threads), name="native", reason=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeEngine:
    """The native kernels as a ``SwingEngine``."""

    threads: int = 1

    def __post_init__(self) -> None:
        """Refuse a number of threads that the kernels would refuse."""
        if not 1 <= self.threads <= swing.SWING_THREADS_MAX:
            raise ValueError(f"threads: value is {self.threads}; allowed is 1 to {swing.SWING_THREADS_MAX}")

    def simulate(self, bars: SwingBars, segments: Sequence[SwingParameters]) -> SwingResult:
        """Return one simulation from flat; see ``SwingEngine.simulate``."""
        check_segments(bars, segments)
        rows = np.array([(segment.first_day, segment.last_day) for segment in segments], dtype=np.int64)
        series, traded, target, held = swing.swing_simulate(
            bars.high, bars.low, bars.close, points=point_table(segments), segments=rows
        )
        gross, turnover, cost, net, equity = series
        return SwingResult(
            first_day=segments[0].first_day,
            gross=gross,
            turnover=turnover,
            cost=cost,
            net=net,
            equity=equity,
            traded=traded,
            target=target,
            held=held,
        )

    def objectives(
        self,
        bars: SwingBars,
        grid: Sequence[SwingParameters],
        windows: Sequence[Window],
        objective: Objective,
        *,
        covered: BoolArray | None = None,
    ) -> FloatArray:
        """Return (W, G) training objectives; see ``SwingEngine.objectives``."""
        exists = None if covered is None else np.ascontiguousarray(covered).view(np.uint8)
        return swing.swing_objectives(
            bars.high,
            bars.low,
            bars.close,
            points=point_table(grid),
            windows=_training_rows(windows),
            covered=exists,
            objective=objective,
            threads=self.threads,
        )

    def permuted_best(
        self,
        bars: SwingBars,
        grid: Sequence[SwingParameters],
        windows: Sequence[Window],
        objective: Objective,
        *,
        seed: int,
        runs: range,
    ) -> FloatArray:
        """Return (len(runs), W) best objectives on permuted training rows; see ``SwingEngine.permuted_best``."""
        digests = [key_digest(permutation_key(seed, run, index)) for run in runs for index in range(len(windows))]
        return swing.swing_permuted_best(
            (bars.open, bars.high, bars.low, bars.close),
            points=point_table(grid),
            windows=_training_rows(windows),
            digests=np.array(digests, dtype=np.int64).reshape(len(runs), len(windows), -1),
            objective=objective,
            threads=self.threads,
        )


def point_table(points: Sequence[SwingParameters]) -> FloatArray:
    """Return (G, ``SWING_COLUMNS``) the points as the kernels read them.

    Raises:
        ValueError: A point weighs by something else than inverse volatility.
    """
    table = np.empty((len(points), len(swing.SWING_COLUMNS)))
    for row, point in enumerate(points):
        if point.weight_method != "inv_vol":
            raise ValueError(
                f"grid point {row}: weight_method is {point.weight_method!r}, the native engine has 'inv_vol' only; "
                "take the reference engine"
            )
        values = [getattr(point, name, 0.0) for name in swing.SWING_COLUMNS if name not in _RENAMED]
        names = [name for name in swing.SWING_COLUMNS if name not in _RENAMED]
        known = dict(zip(names, values, strict=True))
        known["clips"] = point.cap_mode == "clip"
        known["settles_later"] = point.settlement == "t+1"
        table[row] = [float(known[name]) for name in swing.SWING_COLUMNS]
    return table


def key_digest(key: bytes) -> tuple[int, ...]:
    """Return the four 32-bit parts of a key's hash, as ``walstreet.domain.counter_random`` reads them."""
    digest = hashlib.blake2b(key, digest_size=_DIGEST_BYTES).digest()
    return tuple(
        int.from_bytes(digest[start : start + _PART_BYTES], "little") for start in range(0, _DIGEST_BYTES, _PART_BYTES)
    )


def _training_rows(windows: Sequence[Window]) -> IntArray:
    return np.array([(window.train_first, window.train_last) for window in windows], dtype=np.int64).reshape(-1, 2)
