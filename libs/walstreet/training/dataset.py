"""Owns datasets: sessions of bars through the live feature code, with labels, as arrays for training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from walstreet.features import FeatureBuilder, FeatureParameters
from walstreet.training.labels import barrier_first, forward_return
from walstreet_events import BarBlock

FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]
Int64Array = NDArray[np.int64]

MINUTE_NS = 60_000_000_000
SEQUENCE_ROWS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One continuous history of the same symbols: features and labels of its sessions, oldest first."""

    name: str
    features: Float32Array
    """(bars, N, F)."""
    usable: NDArray[np.bool_]
    """(bars, N): the whole row and the window of 60 rows that ends there are finite."""
    labels: dict[str, FloatArray]
    """By ``return_15``, ``peak_15``, ``valley_15``...; (bars, N)."""
    schema_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Row numbers into worlds; ``world``, ``bar`` and ``symbol`` are arrays of shape (rows,)."""

    worlds: tuple[World, ...]
    world: Int64Array
    bar: Int64Array
    symbol: Int64Array

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.world)

    def matrix(self) -> Float32Array:
        """Return the feature rows, shape (rows, F)."""
        parts = np.empty((len(self), self.worlds[0].features.shape[2]), dtype=np.float32)
        for number, world in enumerate(self.worlds):
            mine = self.world == number
            parts[mine] = world.features[self.bar[mine], self.symbol[mine]]
        return parts

    def windows(self, rows: Int64Array) -> Float32Array:
        """Return the last 60 feature rows of the given sample rows, oldest first, shape (len(rows), 60, F)."""
        back = np.arange(1 - SEQUENCE_ROWS, 1)
        result = np.empty((len(rows), SEQUENCE_ROWS, self.worlds[0].features.shape[2]), dtype=np.float32)
        for number, world in enumerate(self.worlds):
            mine = np.flatnonzero(self.world[rows] == number)
            chosen = rows[mine]
            result[mine] = world.features[self.bar[chosen][:, None] + back, self.symbol[chosen][:, None]]
        return result

    def label(self, name: str) -> FloatArray:
        """Return one label per row, NaN where the horizon leaves the session."""
        result = np.full(len(self), np.nan)
        for number, world in enumerate(self.worlds):
            mine = self.world == number
            result[mine] = world.labels[name][self.bar[mine], self.symbol[mine]]
        return result

    def time_key(self) -> Int64Array:
        """Return a number per row that rows of the same world and bar share."""
        return self.world * (1 + max(len(world.features) for world in self.worlds)) + self.bar


def make_world(
    name: str,
    sessions: Iterable[Sequence[BarBlock]],
    parameters: FeatureParameters,
    *,
    return_horizons: Sequence[int],
    barrier_horizons: Sequence[int],
) -> World:
    """Return features and labels of consecutive sessions; the first session only warms the features up."""
    builder: FeatureBuilder | None = None
    values: list[Float32Array] = []
    complete: list[NDArray[np.bool_]] = []
    labels: dict[str, list[FloatArray]] = {}
    for number, blocks in enumerate(sessions):
        if builder is None:
            builder = FeatureBuilder(blocks[0].symbols, parameters, bar_ns=blocks[0].bar_ns)
        rows = [builder.update(block) for block in blocks]
        values.append(np.stack([row.values for row in rows]).astype(np.float32))
        complete.append(np.stack([row.complete for row in rows]) & (number > 0))
        made = _labels(blocks, np.stack([row.sigma_5m_bps for row in rows]), return_horizons, barrier_horizons)
        for key, label in made.items():
            labels.setdefault(key, []).append(label)
    if builder is None:
        raise ValueError(f"world {name!r} has no session; give at least two")
    features = np.concatenate(values)
    return World(
        name=name,
        features=features,
        usable=np.concatenate(complete) & _whole_windows(features),
        labels={key: np.concatenate(parts) for key, parts in labels.items()},
        schema_hash=builder.schema_hash,
    )


def sample(worlds: Sequence[World], *, every_bars: int) -> Sample:
    """Return every ``every_bars``-th bar of all symbols where the row and its window are usable."""
    parts: list[Int64Array] = []
    for number, world in enumerate(worlds):
        usable = world.usable.copy()
        usable[np.arange(len(usable)) % every_bars != 0] = False
        bar, symbol = np.nonzero(usable)
        parts.append(np.stack([np.full(len(bar), number), bar, symbol]).astype(np.int64))
    table = np.concatenate(parts, axis=1)
    return Sample(worlds=tuple(worlds), world=table[0], bar=table[1], symbol=table[2])


def _labels(
    blocks: Sequence[BarBlock], sigma: FloatArray, return_horizons: Sequence[int], barrier_horizons: Sequence[int]
) -> dict[str, FloatArray]:
    close, high, low = (
        np.stack([getattr(block, name).array() for block in blocks]) / 1e9
        for name in ("close_nano", "high_nano", "low_nano")
    )
    bar_minutes = blocks[0].bar_ns / MINUTE_NS
    made: dict[str, FloatArray] = {}
    for minutes in return_horizons:
        bars = round(minutes / bar_minutes)
        made[f"return_{minutes}"] = forward_return(close, sigma, horizon_bars=bars, bar_minutes=bar_minutes)
    for minutes in barrier_horizons:
        bars = round(minutes / bar_minutes)
        for target, lower in (("peak", True), ("valley", False)):
            made[f"{target}_{minutes}"] = barrier_first(
                high, low, close, sigma, horizon_bars=bars, bar_minutes=bar_minutes, lower=lower
            )
    return made


def _whole_windows(features: Float32Array) -> NDArray[np.bool_]:
    """Return where the last 60 rows are finite, shape (bars, N)."""
    bad = ~np.isfinite(features).all(axis=2)
    total = np.cumsum(bad, axis=0)
    before = np.zeros_like(total)
    before[SEQUENCE_ROWS:] = total[:-SEQUENCE_ROWS]
    whole: NDArray[np.bool_] = (total - before) == 0
    whole[: SEQUENCE_ROWS - 1] = False
    return whole
