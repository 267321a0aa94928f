"""Owns the report of a session's costs: sums per group of parents, and the samples that tuning learns from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from walstreet.domain.autotune import DRIFT, RESERVE, SPREAD
from walstreet.domain.tca import MARKOUT_OFFSETS_S, ParentCost, Split
from walstreet.domain.units import BPS
from walstreet_events import NANOS_PER_SECOND, TcaRow, TcaSamples

HOUR_NS = 3_600 * NANOS_PER_SECOND
ALL = "all"
HIGH_SHARE = 0.99
DRIFT_REASON = "mid_drift"
"""Refusals that the drift guard gave; what they met belongs to what parents meet."""


def group_keys(cost: ParentCost, open_ns: int) -> tuple[tuple[str, str], ...]:
    """Return the groups that a parent belongs to; the hour is the decision's, counted from the open."""
    parent = cost.parent
    # A decision is made at its bar's end: the one at the end of the first hour belongs to that hour.
    hour = max(0, parent.decided_ns - 1 - open_ns) // HOUR_NS
    return (
        (ALL, ""),
        ("horizon", f"{parent.horizon_minutes:04d}"),
        ("symbol", parent.symbol),
        ("side", "buy" if parent.buy else "sell"),
        ("hour", f"{hour:02d}"),
    )


GROUPS = (ALL, "horizon", "symbol", "side", "hour")


def rows_of(costs: Sequence[ParentCost], open_ns: int) -> tuple[TcaRow, ...]:
    """Return the sums per group, groups in the order of ``GROUPS`` and keys in alphabetical order."""
    groups: dict[tuple[str, str], list[ParentCost]] = {}
    for cost in costs:
        for key in group_keys(cost, open_ns):
            groups.setdefault(key, []).append(cost)
    ordered = sorted(groups, key=lambda key: (GROUPS.index(key[0]), key[1]))
    return tuple(row_of(by, key, groups[by, key]) for by, key in ordered)


def row_of(by: str, key: str, costs: Sequence[ParentCost]) -> TcaRow:
    """Return the sums of one group."""
    split = Split()
    for cost in costs:
        split = split.plus(cost.split)
    predicted = [cost for cost in costs if math.isfinite(cost.parent.predicted_bps) and cost.traded_nano]
    offsets = range(len(MARKOUT_OFFSETS_S))
    return TcaRow(
        by=by,
        key=key,
        parents=len(costs),
        sent=sum(cost.parent.sent_ns is not None for cost in costs),
        filled_in_time=sum(cost.filled_in_time for cost in costs),
        fills=sum(len(cost.parent.fills) for cost in costs),
        wanted_nano=sum(cost.wanted_nano for cost in costs),
        traded_nano=sum(cost.traded_nano for cost in costs),
        spread_nano=split.spread_nano,
        impact_nano=split.impact_nano,
        timing_nano=split.timing_nano,
        unattributed_nano=split.unattributed_nano,
        fees_nano=split.fees_nano,
        opportunity_nano=split.opportunity_nano,
        delay_nano=sum(cost.delay_nano for cost in costs),
        fees_missing=sum(cost.fees_missing for cost in costs),
        unfilled_unmarked_nano=sum(cost.unfilled_unmarked_nano for cost in costs),
        markout_nano=tuple(sum(cost.markout_nano[index] for cost in costs) for index in offsets),
        marked_nano=tuple(sum(cost.marked_nano[index] for cost in costs) for index in offsets),
        predicted_nano=sum(round(cost.parent.predicted_bps / BPS * cost.traded_nano) for cost in predicted),
        predicted_cost_nano=sum(cost.split.executed_nano for cost in predicted),
        predicted_traded_nano=sum(cost.traded_nano for cost in predicted),
        fill_ms=sum(sum(cost.fill_ms) for cost in costs),
    )


# ------------------------------------------------------------------------------------------------------ samples


@dataclass(frozen=True, slots=True)
class _Clip:
    most: float

    def __call__(self, value: float) -> float:
        return min(max(value, -self.most), self.most)


def samples_of(costs: Sequence[ParentCost], *, error_bps_max: float, spread_bps_max: float) -> tuple[TcaSamples, ...]:
    """Return the samples of one session.

    Args:
        costs: Of every parent.
        error_bps_max: Where a single error or edge is clipped.
        spread_bps_max: The permitted spread in force; parents above half of it are the wide ones.
    """
    clip = _Clip(error_bps_max)
    whole = [cost for cost in costs if cost.traded_nano and not cost.fees_missing]
    errors = (
        clip(cost.realised_bps - cost.parent.predicted_bps)
        for cost in whole
        if math.isfinite(cost.parent.predicted_bps)
    )
    # An exit has no alpha to earn; whether the spread was worth it can be asked of entries only.
    edges = (
        clip(abs(cost.parent.alpha_bps) - 2.0 * cost.realised_bps)
        for cost in whole
        if cost.parent.alpha_bps and cost.parent.sent_spread_bps > 0.5 * spread_bps_max
    )
    return (_samples(RESERVE, errors), _samples(DRIFT, _drifts(costs)), _samples(SPREAD, edges))


def _drifts(costs: Iterable[ParentCost]) -> Iterable[float]:
    """Yield how far the mid had moved when a parent was sent, or refused for that, in bps."""
    for cost in costs:
        parent = cost.parent
        met = parent.sent_mid
        if met is None and parent.refused == DRIFT_REASON:
            met = parent.refused_mid
        if met is not None:
            yield abs(met - 2 * parent.arrival_mid_nano) / (2 * parent.arrival_mid_nano) * BPS


def _samples(path: str, values: Iterable[float]) -> TcaSamples:
    """Return count, mean, deviation and 99 % quantile by rank; zeros for none."""
    ordered = sorted(values)
    if not ordered:
        return TcaSamples(path=path, count=0, mean=0.0, deviation=0.0, high=0.0)
    count = len(ordered)
    mean = math.fsum(ordered) / count
    variance = math.fsum((value - mean) ** 2 for value in ordered) / count
    rank = max(1, math.ceil(HIGH_SHARE * count - 1e-9))
    return TcaSamples(path=path, count=count, mean=mean, deviation=math.sqrt(variance), high=ordered[rank - 1])
