"""Owns the meaning of the broker's error codes for one order, as data.

An error message that names an order is seldom the order's end: some are warnings, some concern a change or a
cancel that failed while the order lives on, and some say only that the outcome must be found out. The table
follows the vendor's message codes and the public reports collected in the project's notes on the broker. A
code that is not in the table is never the end of an order.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

WARNING_FIRST = 2100
WARNING_LAST = 2199
"""The vendor reserves this range for warnings."""


class CodeKind(StrEnum):
    """What a code says about the order that it names."""

    REJECT = "reject"
    """The order was not accepted; a later status of a live order still wins."""
    CANCELLED = "cancelled"
    DOUBT = "doubt"
    """The placement's outcome must be found out by a query."""
    MODIFY_FAILED = "modify_failed"
    """The change was refused; the order lives on as it was."""
    CANCEL_FAILED = "cancel_failed"
    """The cancel was refused; what became of the order must be found out by a query."""
    HELD = "held"
    """The order waits, for instance for a locate."""
    WARNING = "warning"
    INFO = "info"
    UNKNOWN = "unknown"
    """Not in the table: recorded and shown, never terminal."""


@dataclass(frozen=True, slots=True)
class CodeRow:
    """One code with its meaning for an order."""

    code: int
    kind: CodeKind
    meaning: str


_ROWS: tuple[CodeRow, ...] = (
    CodeRow(100, CodeKind.DOUBT, "more than 50 messages a second; this one may have been dropped"),
    CodeRow(103, CodeKind.DOUBT, "order id used before; an order with this id may exist"),
    CodeRow(104, CodeKind.MODIFY_FAILED, "a filled order cannot be changed"),
    CodeRow(105, CodeKind.MODIFY_FAILED, "the change touches fields that cannot change"),
    CodeRow(106, CodeKind.REJECT, "order could not be transmitted"),
    CodeRow(107, CodeKind.REJECT, "order is incomplete"),
    CodeRow(109, CodeKind.REJECT, "price is out of the range of the precautionary settings"),
    CodeRow(110, CodeKind.REJECT, "price does not conform to the minimum price variation"),
    CodeRow(111, CodeKind.REJECT, "time in force and order type do not go together"),
    CodeRow(113, CodeKind.REJECT, "time in force should be DAY"),
    CodeRow(116, CodeKind.REJECT, "order cannot be transmitted to a dead exchange"),
    CodeRow(118, CodeKind.REJECT, "order cannot be transmitted: too small or exchange closed"),
    CodeRow(135, CodeKind.CANCEL_FAILED, "no order with this id"),
    CodeRow(136, CodeKind.CANCEL_FAILED, "order cannot be cancelled"),
    CodeRow(161, CodeKind.CANCEL_FAILED, "order is not in a state that can be cancelled"),
    CodeRow(200, CodeKind.REJECT, "no security definition for the request"),
    CodeRow(201, CodeKind.REJECT, "order rejected"),
    CodeRow(202, CodeKind.CANCELLED, "order cancelled"),
    CodeRow(203, CodeKind.REJECT, "security is not allowed for this account"),
    CodeRow(321, CodeKind.REJECT, "request failed the validation"),
    CodeRow(322, CodeKind.DOUBT, "request could not be processed, for instance a duplicate id"),
    CodeRow(329, CodeKind.MODIFY_FAILED, "order could not be changed to the new type"),
    CodeRow(387, CodeKind.REJECT, "order type is not supported for this exchange and security"),
    CodeRow(388, CodeKind.REJECT, "order size is smaller than the minimum"),
    CodeRow(391, CodeKind.REJECT, "invalid time in force"),
    CodeRow(399, CodeKind.WARNING, "order message, for instance held until the open"),
    CodeRow(404, CodeKind.HELD, "order held while shares are located"),
    CodeRow(434, CodeKind.REJECT, "order size cannot be zero"),
    CodeRow(10147, CodeKind.CANCEL_FAILED, "order to be cancelled was not found"),
    CodeRow(10148, CodeKind.CANCEL_FAILED, "order to be cancelled is in a final state"),
    CodeRow(10149, CodeKind.REJECT, "invalid order id"),
    CodeRow(10167, CodeKind.WARNING, "delayed market data instead of live"),
    CodeRow(10243, CodeKind.REJECT, "fractional quantity refused"),
    CodeRow(10268, CodeKind.REJECT, "attribute EtradeOnly is not supported"),
    CodeRow(10269, CodeKind.REJECT, "attribute FirmQuoteOnly is not supported"),
    CodeRow(10311, CodeKind.WARNING, "order is routed directly and may cost more"),
    CodeRow(10314, CodeKind.REJECT, "date and time are malformed"),
    CodeRow(10349, CodeKind.WARNING, "time in force was set from the order preset"),
    CodeRow(1100, CodeKind.INFO, "connectivity lost"),
    CodeRow(1101, CodeKind.INFO, "connectivity restored, data lost"),
    CodeRow(1102, CodeKind.INFO, "connectivity restored, data kept"),
)

CODES: dict[int, CodeRow] = {row.code: row for row in _ROWS}

assert len(CODES) == len(_ROWS), "a code stands twice in the table"
assert all(not WARNING_FIRST <= row.code <= WARNING_LAST for row in _ROWS), "the warning range needs no rows"


def classify(code: int) -> CodeKind:
    """Return what error ``code`` says about the order that it names."""
    row = CODES.get(code)
    if row is not None:
        return row.kind
    if WARNING_FIRST <= code <= WARNING_LAST:
        return CodeKind.WARNING
    return CodeKind.UNKNOWN
