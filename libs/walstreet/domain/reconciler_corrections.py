"""Owns what of the broker's word our books take over: by the policy ``auto_sync``, or because a person adopted it.

A correction is a change, not a value: fills that come between the snapshot and the correction stay counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from walstreet.domain.external import ADOPTED, OPENING, Externals
from walstreet.domain.reconcile import Difference
from walstreet.domain.reconciler_parameters import Area, Policy
from walstreet_events import (
    BreakKind,
    BrokerExecution,
    LedgerCorrection,
    OperatorCommand,
    ReconSnapshot,
    derive_id,
    tag_of,
)

ADOPTION = "adoption"
"""Reference of the correction that an adoption ends with, also when nothing differed."""
CASH_TOO = "cash"
"""Argument of the command; ``true`` takes the difference in cash over as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One point in which the broker's word replaces ours."""

    kind: BreakKind
    symbol: str
    reference: str
    policy: str
    reason: str
    operator: str = ""
    position_change_micro: int = 0
    average_cost_nano: int = 0
    cash_change_nano: int = 0
    execution: BrokerExecution | None = None

    def event(self, snapshot: ReconSnapshot, index: int) -> LedgerCorrection:
        """Return the journaled form."""
        return LedgerCorrection(
            id=derive_id(snapshot.id, tag_of(LedgerCorrection), index),
            cause=snapshot.id,
            ts_ns=snapshot.ts_ns,
            snapshot=snapshot.id,
            kind=self.kind,
            symbol=self.symbol,
            reference=self.reference,
            position_change_micro=self.position_change_micro,
            average_cost_nano=self.average_cost_nano,
            cash_change_nano=self.cash_change_nano,
            execution=self.execution,
            policy=self.policy,
            operator=self.operator,
            reason=self.reason,
        )


def synced(item: Difference, snapshot: ReconSnapshot) -> Taken:
    """Return what ``auto_sync`` takes over for a confirmed difference of an area that can be synced."""
    execution = None
    if item.area is Area.EXECUTION:
        execution = next(deal for deal in snapshot.executions if deal.exec_id == item.reference)
    return Taken(
        kind=item.kind,
        symbol=item.symbol,
        reference=item.reference,
        policy=Policy.AUTO_SYNC.value,
        reason=f"ours {item.ours}, the broker's {item.brokers}",
        position_change_micro=item.gap if item.area is Area.POSITION else 0,
        average_cost_nano=_cost_nano(item.symbol, snapshot) if item.area is Area.POSITION else 0,
        cash_change_nano=item.gap if item.area is Area.CASH else 0,
        execution=execution,
    )


def adopt(
    commands: Mapping[str, OperatorCommand],
    differences: Sequence[Difference],
    externals: Externals,
    snapshot: ReconSnapshot,
) -> tuple[list[Taken], list[Difference]]:
    """Return what a person's commands take over, and the differences that remain.

    Args:
        commands: By symbol, each waiting for an answered snapshot.
        differences: Between our books and ``snapshot``.
        externals: What is foreign; orders that were adopted before are no difference any more.
        snapshot: An answered one.
    """
    cash_by = next((key for key, command in commands.items() if command.arguments.get(CASH_TOO) == "true"), None)
    taken: list[Taken] = []
    for symbol, command in commands.items():
        gaps = [item.gap for item in differences if item.area is Area.POSITION and item.symbol == symbol]
        cash = [item.gap for item in differences if item.area is Area.CASH and symbol == cash_by]
        taken.append(
            Taken(
                kind=BreakKind.EXTERNAL_ORDER,
                symbol=symbol,
                reference=ADOPTION,
                policy=ADOPTED,
                reason=command.arguments.get("reason", ""),
                operator=command.operator,
                position_change_micro=sum(gaps),
                average_cost_nano=_cost_nano(symbol, snapshot),
                cash_change_nano=sum(cash),
            )
        )
    return taken, [item for item in differences if not _settled(item, commands, externals, cash_by)]


def opening_differences(opening_micro: Mapping[str, str]) -> list[Difference]:
    """Return the positions that were there before our first fact; no gap, because the books began with them."""
    return [
        Difference(
            area=Area.POSITION,
            kind=BreakKind.EXTERNAL_ORDER,
            symbol=symbol,
            reference=OPENING,
            ours="unexplained",
            brokers=opening_micro[symbol],
        )
        for symbol in sorted(opening_micro)
    ]


def _settled(
    item: Difference, commands: Mapping[str, OperatorCommand], externals: Externals, cash_by: str | None
) -> bool:
    if item.area is Area.CASH:
        return cash_by is not None
    if item.kind is BreakKind.EXTERNAL_ORDER and item.perm_id:
        asked = externals.asked.get(item.symbol, ()) if item.symbol in commands else ()
        return externals.adopted(item.perm_id) or item.perm_id in asked
    return item.area is Area.POSITION and item.symbol in commands


def _cost_nano(symbol: str, snapshot: ReconSnapshot) -> int:
    return next((held.average_cost_nano for held in snapshot.positions if held.symbol == symbol), 0)
