"""Owns the reading of placeOrder, the one request whose layout depends on its own content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from walstreet_services.ibsim.parse_parts import contract, skip_delta_neutral, skip_legs
from walstreet_services.ibsim.requests import OrderTicket, PlaceOrder
from walstreet_services.ibsim.wire import FieldError

if TYPE_CHECKING:
    from walstreet_services.ibsim.wire import FieldReader

FA_PROFILE_UNTIL_VERSION = 177
_SCALE_FIELDS_COUNT = 7
_DELTA_NEUTRAL_ORDER_FIELDS_COUNT = 8
_PEGGED_BENCHMARK_FIELDS_COUNT = 5


def place_order(reader: FieldReader, server_version: int) -> PlaceOrder:
    """Return the order of one placeOrder request; the message id has been read."""
    order_id = reader.integer(-1)
    if not -(2**31) <= order_id < 2**31:
        raise FieldError(f"order id {order_id} is outside 32 bits")
    spec = contract(reader)
    reader.skip(2)  # Security id type and id.
    action, quantity, order_type = reader.text().upper(), reader.number(), reader.text().upper()
    limit_price, aux_price = reader.number(), reader.number()
    time_in_force, oca_group, account = reader.text().upper(), reader.text(), reader.text()
    reader.skip(2)  # Open or close, origin: for institutions.
    order_ref, transmit, parent_id = reader.text(), reader.flag(), reader.integer()
    reader.skip(2)  # Block order, sweep to fill.
    display_quantity = reader.integer()
    reader.skip(1)  # Trigger method: for stop orders.
    outside_rth, hidden = reader.flag(), reader.flag()
    skip_legs(reader, spec, fields_per_leg=8)
    if spec.sec_type == "BAG":
        reader.skip(reader.count())
        reader.skip(2 * reader.count())
    reader.skip(1)  # Shares allocation, no longer used.
    discretionary = reader.number()
    good_after_time, good_till_date = reader.text(), reader.text()
    reader.skip(4 if server_version < FA_PROFILE_UNTIL_VERSION else 3)  # Adviser fields.
    reader.skip(4)  # Model, short-sale slot, designated location, exemption code.
    oca_type = reader.integer()
    reader.skip(2)  # Rule 80A, settling firm.
    all_or_none, quantity_min = reader.flag(), reader.number()
    reader.skip(1)  # Percent offset.
    electronic_only, firm_quote_only = reader.flag(), reader.flag()
    reader.skip(7)  # NBBO cap, auction strategy, starting and reference price, delta, stock range.
    reader.skip(1)  # Override of percentage constraints.
    algo_strategy, what_if, unsupported = _tail(reader, order_type)
    in_use = {
        "display size": display_quantity > 0,
        "discretionary amount": bool(discretionary),
        "good-after time": bool(good_after_time),
        "all or none": all_or_none,
        "minimum quantity": bool(quantity_min),
    }
    return PlaceOrder(
        order_id=order_id,
        contract=spec,
        ticket=OrderTicket(
            action=action,
            quantity=quantity,
            order_type=order_type,
            limit_price=limit_price,
            aux_price=aux_price,
            time_in_force=time_in_force,
            oca_group=oca_group,
            account=account,
            order_ref=order_ref,
            transmit=transmit,
            parent_id=parent_id,
            outside_rth=outside_rth,
            hidden=hidden,
            good_after_time=good_after_time,
            good_till_date=good_till_date,
            oca_type=oca_type,
            electronic_only=electronic_only or firm_quote_only,
            algo_strategy=algo_strategy,
            what_if=what_if,
            unsupported=next((name for name, used in in_use.items() if used), unsupported),
        ),
    )


def _tail(reader: FieldReader, order_type: str) -> tuple[str, bool, str]:
    """Read from the volatility fields to the conditions; return algorithm, what-if and what is unsupported."""
    reader.skip(2)  # Volatility and its type.
    delta_neutral_type = reader.text()
    reader.skip(1)  # Its auxiliary price.
    if delta_neutral_type:
        reader.skip(_DELTA_NEUTRAL_ORDER_FIELDS_COUNT)
    reader.skip(4)  # Continuous update, reference price type, trail stop price, trailing percent.
    scale_size = reader.number()
    reader.skip(1)  # Size of the later scale levels.
    increment = reader.number()
    if increment is not None and increment > 0:
        reader.skip(_SCALE_FIELDS_COUNT)
    reader.skip(3)  # Scale table, active start and stop.
    hedge_type = reader.text()
    if hedge_type:
        reader.skip(1)
    reader.skip(4)  # Smart-routing choice, clearing account and intent, not held.
    delta_neutral = skip_delta_neutral(reader)
    algo_strategy = reader.text()
    if algo_strategy:
        reader.skip(2 * reader.count())
    reader.skip(1)  # Algorithm id.
    what_if = reader.flag()
    reader.skip(4)  # Options, solicited, randomised size and price.
    if order_type == "PEG BENCH":
        reader.skip(_PEGGED_BENCHMARK_FIELDS_COUNT)
    conditions_count = reader.count()
    in_use = {
        "delta-neutral order": bool(delta_neutral_type) or delta_neutral,
        "scale order": bool(scale_size) or bool(increment),
        "hedge order": bool(hedge_type),
        "conditions": conditions_count > 0,
        "algorithm": bool(algo_strategy),
    }
    return algo_strategy, what_if, next((name for name, used in in_use.items() if used), "")
