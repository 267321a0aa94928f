"""Owns the encoding of orders, their status and their executions (messages 3, 5, 11, 53, 55, 101, 102)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from walstreet_services.ibsim.replies import contract_fields
from walstreet_services.ibsim.times import local_text
from walstreet_services.ibsim.units import price_text, quantity_text
from walstreet_services.ibsim.wire import UNSET_DOUBLE_TEXT, frame

if TYPE_CHECKING:
    from walstreet_services.ibsim.order_record import Execution, Order, Preview

UNSET_INTEGER = 2147483647
VERSION_DURATION = 159
VERSION_POST_TO_ATS = 160
VERSION_AUTO_CANCEL_PARENT = 162
VERSION_PEG_OFFSETS = 170
_UNSET = UNSET_DOUBLE_TEXT
Fields = list[str | int | bool]


def order_status(order: Order) -> bytes:
    """Return the state of an order (message 3)."""
    return frame(
        3,
        order.order_id,
        order.shown_status,
        quantity_text(order.filled_micro),
        quantity_text(order.remaining_micro),
        price_text(order.average_price_nano),
        order.perm_id,
        order.parent_id,
        price_text(order.last_price_nano),
        order.client_id,
        order.why_held,
        "0.0",
    )


def _order_head(order: Order) -> Fields:
    """Return contract and order up to the reference, as open and completed orders share it."""
    limit = "0.0" if order.limit_nano is None else price_text(order.limit_nano)
    return [
        *contract_fields(order.instrument, order.exchange),
        order.side.value,
        quantity_text(order.total_micro),
        order.order_type,
        limit,
        "0.0" if order.stop_nano is None else price_text(order.stop_nano),
        order.time_in_force,
        order.oca_group,
        order.account,
        "",
        0,
        order.order_ref,
    ]


def _volatility_and_delta_neutral(*, completed: bool) -> Fields:
    """Return volatility, its delta-neutral order and the fields that its name ``None`` brings along."""
    head: Fields = ["0.0" if not completed else _UNSET, 0, "None", "0.0"]
    extra: Fields = [0, 0, 0, ""] if completed else [0, "", "", "", "?", 0, 0, ""]
    return head + extra


def open_order(server_version: int, order: Order, preview: Preview | None = None) -> bytes:
    """Return an open order (message 5); with a preview, the answer to a what-if request."""
    fields: Fields = [5, order.order_id, *_order_head(order), order.client_id, order.perm_id]
    fields += [order.outside_rth, order.hidden, "0.0", "", ""]
    fields += ["", "", "", "", "", order.good_till_date, "", _UNSET, "", 0, "", -1, 0]
    fields += [_UNSET, _UNSET, _UNSET, _UNSET, _UNSET, UNSET_INTEGER, 0, 0, 0, UNSET_INTEGER]
    fields += [order.oca_type, 0, 0, _UNSET, order.parent_id, 0]
    fields += _volatility_and_delta_neutral(completed=False)
    fields += [0, 0, _UNSET, _UNSET, _UNSET, UNSET_INTEGER, "", 0, 0, 0]
    fields += [UNSET_INTEGER, UNSET_INTEGER, _UNSET, "", 0, "", "IB", 0, 0, "", 0]
    fields += [preview is not None, order.shown_status if preview is None else preview.status]
    fields += [_UNSET] * 9 if preview is None else preview.margin_texts()
    fields += [_UNSET] * 3 if preview is None else preview.commission_texts()
    fields += ["USD" if preview is not None else "", "" if preview is None else preview.warning]
    fields += [0, 0, 0]
    fields += ["None", _UNSET, _UNSET, _UNSET, _UNSET, _UNSET, _UNSET, 0, "", "", "", "0.0", 0, 0, 0, 0]
    if server_version >= VERSION_DURATION:
        fields.append(UNSET_INTEGER)
    if server_version >= VERSION_POST_TO_ATS:
        fields.append(UNSET_INTEGER)
    if server_version >= VERSION_AUTO_CANCEL_PARENT:
        fields.append(0)
    if server_version >= VERSION_PEG_OFFSETS:
        fields += ["", "", "", "", ""]
    return frame(*fields)


def completed_order(server_version: int, order: Order) -> bytes:
    """Return an order that ended (message 101)."""
    fields: Fields = [101, *_order_head(order), order.perm_id]
    fields += [order.outside_rth, order.hidden, "0.0", ""]
    fields += ["", "", "", "", "", order.good_till_date, "", _UNSET, "", 0, "", -1]
    fields += [_UNSET, _UNSET, _UNSET, _UNSET, _UNSET, UNSET_INTEGER, 0, 0, UNSET_INTEGER, order.oca_type, 0]
    fields += _volatility_and_delta_neutral(completed=True)
    fields += [0, 0, _UNSET, _UNSET, "", 0, 0, 0]
    fields += [UNSET_INTEGER, UNSET_INTEGER, _UNSET, "", "", "IB", 0, 0, "", 0]
    fields += [order.shown_status, 0, 0, 0]
    fields += [_UNSET, _UNSET, "0.0", 0, 0, "", quantity_text(order.filled_micro), UNSET_INTEGER, 0, "", 0, 0]
    fields += [0, local_text(order.updated_ns), order.completed_text]
    if server_version >= VERSION_PEG_OFFSETS:
        fields += ["", "", "", "", ""]
    return frame(*fields)


def open_orders_end() -> bytes:
    """Return the end of the open orders (message 53)."""
    return frame(53, 1)


def completed_orders_end() -> bytes:
    """Return the end of the completed orders (message 102)."""
    return frame(102)


def execution_details(req_id: int, execution: Execution) -> bytes:
    """Return one execution (message 11), 31 fields; live ones carry request id -1."""
    order = execution.order
    return frame(
        11,
        req_id,
        order.order_id,
        *contract_fields(order.instrument, order.exchange),
        execution.execution_id,
        local_text(execution.ts_ns),
        order.account,
        execution.exchange,
        "BOT" if order.side == "BUY" else "SLD",
        quantity_text(execution.quantity_micro),
        price_text(execution.price_nano),
        order.perm_id,
        order.client_id,
        0,
        quantity_text(execution.cumulative_micro),
        price_text(execution.average_price_nano),
        order.order_ref,
        "",
        "",
        "",
        1 if execution.passive else 2,
    )


def executions_end(req_id: int) -> bytes:
    """Return the end of the executions (message 55)."""
    return frame(55, 1, req_id)
