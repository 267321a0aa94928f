"""Owns factories for foreign orders, their adoption and corrections of the books, with values a test may replace."""

from __future__ import annotations

from walstreet.domain.external import ADOPT, ADOPTED
from walstreet.domain.reconciler_corrections import ADOPTION
from walstreet_events import (
    ROOT,
    BreakKind,
    BrokerExecution,
    ExternalOrder,
    LedgerCorrection,
    OperatorCommand,
    derive_id,
    tag_of,
)


def external_order(
    symbol: str, ts_ns: int, *, perm_id: int = 5, status: str = "Submitted", client_id: int = 0, order_ref: str = ""
) -> ExternalOrder:
    """Return a foreign order as execution journals it."""
    return ExternalOrder(
        id=derive_id(f"external:{perm_id}:{status}", tag_of(ExternalOrder), 0),
        cause=ROOT,
        ts_ns=ts_ns,
        symbol=symbol,
        perm_id=perm_id,
        client_id=client_id,
        order_ref=order_ref,
        status=status,
        quantity_micro=10_000_000,
    )


def adopt_command(symbol: str, ts_ns: int, *, operator: str = "ada", cash: bool = False) -> OperatorCommand:
    """Return a person's command to adopt a symbol."""
    arguments = {"symbol": symbol, "reason": "bought by hand"} | ({"cash": "true"} if cash else {})
    return OperatorCommand(
        id=derive_id(f"{ADOPT}:{symbol}:{ts_ns}", tag_of(OperatorCommand), 0),
        cause=ROOT,
        ts_ns=ts_ns,
        command=ADOPT,
        arguments=arguments,
        operator=operator,
    )


def ledger_correction(
    symbol: str,
    ts_ns: int,
    *,
    policy: str = ADOPTED,
    position_change_micro: int = 0,
    average_cost_nano: int = 0,
    cash_change_nano: int = 0,
    execution: BrokerExecution | None = None,
) -> LedgerCorrection:
    """Return what the reconciler takes over from the broker; by default an adoption that changes no book."""
    return LedgerCorrection(
        id=derive_id(f"{policy}:{symbol}:{ts_ns}", tag_of(LedgerCorrection), 0),
        cause=ROOT,
        ts_ns=ts_ns,
        snapshot=ROOT,
        kind=BreakKind.EXTERNAL_ORDER if policy == ADOPTED else BreakKind.QUANTITY,
        symbol=symbol,
        reference=ADOPTION if policy == ADOPTED else "position",
        position_change_micro=position_change_micro,
        average_cost_nano=average_cost_nano,
        cash_change_nano=cash_change_nano,
        execution=execution,
        policy=policy,
        operator="ada" if policy == ADOPTED else "",
        reason="bought by hand",
    )
