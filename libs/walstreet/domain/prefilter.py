"""Owns the choice of the names that the expensive models run for.

Candidates have ``|proxy| - cost >= edge_bps_min``, ``confidence >= confidence_min`` and ``cost <= cost_share_max *
|proxy|``; the best ``slots`` of them by ``|proxy| - cost`` are kept, at most ``sector_share_max`` of the slots per
sector, ties going to the name that stands first in the universe. Held names always pass, beside the slots. The choice
holds for ``cache_s`` of event time.

The proxy is usually the blended alpha of an earlier cycle. A name that is not run has no new one, so the choice may not
outlive itself: when it expires, the next cycle runs for the whole universe (``names_to_run``) and only such a *scan* is
chosen from (``refresh``). At the start, too, everything runs. A proxy, cost or confidence that is missing keeps a name
out. Source: document 001 (``UniversePrefilter``), with the numbers of the project's behaviour document.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from walstreet.domain.bounds import require_between
from walstreet.domain.units import BPS, BoolArray, FloatArray, IntArray
from walstreet_events import NANOS_PER_SECOND

TOLERANCE = 1e-9
"""Part of a slot that counts as rounding when the sector's share is computed."""
SLOTS_MAX = 1_000


class PrefilterParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which names are worth the expensive models."""

    enabled: bool = True
    """Off, every name runs in every cycle."""
    slots: int = 20
    edge_bps_min: float = 2.0
    """Least ``|proxy| - cost``."""
    confidence_min: float = 0.3
    cost_share_max: float = 0.7
    """Largest ``cost / |proxy|``."""
    sector_share_max: float = 0.3
    """Of the slots, rounded down, at least one; names of unknown sector share one sector."""
    cache_s: float = 300.0

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        require_between("prefilter", "slots", self.slots, 1, SLOTS_MAX)
        require_between("prefilter", "edge_bps_min", self.edge_bps_min, 0.0, BPS)
        require_between("prefilter", "confidence_min", self.confidence_min, 0.0, 1.0)
        require_between("prefilter", "cost_share_max", self.cost_share_max, 0.0, 1.0)
        require_between("prefilter", "sector_share_max", self.sector_share_max, 0.0, 1.0)
        require_between("prefilter", "cache_s", self.cache_s, 0.0, 86_400.0)

    @property
    def sector_slots(self) -> int:
        """Return how many slots one sector may take."""
        return max(1, int(self.sector_share_max * self.slots + TOLERANCE))


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefilterMemory:
    """The choice in force."""

    selected_ns: int | None = None
    """Event time of the choice; ``None`` before the first."""
    names: tuple[str, ...] = ()
    """At most ``slots`` names, without those that passed only because they were held."""

    def canonical(self) -> tuple[int, tuple[str, ...]]:
        """Return the content for a digest; -1 before the first choice."""
        return (-1 if self.selected_ns is None else self.selected_ns), self.names


def select(
    proxy_bps: FloatArray,
    cost_bps: FloatArray,
    confidence: FloatArray,
    sectors: IntArray,
    parameters: PrefilterParameters,
) -> BoolArray:
    """Return (N,) which names take a slot.

    Args:
        proxy_bps: (N,) signed cheap forecast in universe order.
        cost_bps: (N,) round trip.
        confidence: (N,) in [0, 1].
        sectors: (N,) codes at or above 0.
        parameters: Thresholds.
    """
    size = np.abs(proxy_bps)
    with np.errstate(invalid="ignore"):
        edge = size - cost_bps
        eligible = np.isfinite(edge) & (edge >= parameters.edge_bps_min) & (cost_bps >= 0.0)
        eligible &= (confidence >= parameters.confidence_min) & (cost_bps <= parameters.cost_share_max * size)
    order = np.argsort(np.where(eligible, -edge, np.inf), kind="stable")
    taken: dict[int, int] = {}
    chosen = np.zeros(len(proxy_bps), dtype=np.bool_)
    count = 0
    for index in order[: int(np.count_nonzero(eligible))].tolist():
        if count == parameters.slots:
            break
        sector = int(sectors[index])
        if taken.get(sector, 0) < parameters.sector_slots:
            taken[sector] = taken.get(sector, 0) + 1
            chosen[index] = True
            count += 1
    return chosen


def in_force(memory: PrefilterMemory, *, now_ns: int, parameters: PrefilterParameters) -> bool:
    """Return whether the choice holds at ``now_ns``; a choice made later than now does not."""
    if not parameters.enabled or memory.selected_ns is None:
        return False
    return 0 <= now_ns - memory.selected_ns < parameters.cache_s * NANOS_PER_SECOND


def names_to_run(
    memory: PrefilterMemory,
    *,
    universe: Sequence[str],
    held: Collection[str],
    now_ns: int,
    parameters: PrefilterParameters,
) -> tuple[str, ...]:
    """Return the names for which the next cycle's models run, in universe order; all of them if no choice holds."""
    if not in_force(memory, now_ns=now_ns, parameters=parameters):
        return tuple(universe)
    chosen = dict.fromkeys(memory.names) | dict.fromkeys(held)
    return tuple(name for name in universe if name in chosen)


def refresh(
    memory: PrefilterMemory,
    *,
    universe: Sequence[str],
    proxy_bps: FloatArray,
    cost_bps: FloatArray,
    confidence: FloatArray,
    sectors: IntArray,
    scanned: bool,
    now_ns: int,
    parameters: PrefilterParameters,
) -> PrefilterMemory:
    """Return the choice after a cycle: the old one while it holds, else a new one if the cycle was a scan.

    Args:
        memory: Before the cycle.
        universe: (N,) names in universe order; the arrays are those of ``select``.
        proxy_bps: See ``select``.
        cost_bps: See ``select``.
        confidence: See ``select``.
        sectors: See ``select``.
        scanned: The proxies were made for the whole universe: its models were asked for every name, or the proxy is a
            cheap forecast that always runs. A choice among yesterday's choice would never let a new name in.
        now_ns: Event time of the cycle.
        parameters: Thresholds.
    """
    if not scanned or in_force(memory, now_ns=now_ns, parameters=parameters):
        return memory
    chosen = select(proxy_bps, cost_bps, confidence, sectors, parameters).tolist()
    names = tuple(name for name, kept in zip(universe, chosen, strict=True) if kept)
    return PrefilterMemory(selected_ns=now_ns, names=names)
