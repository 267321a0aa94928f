"""Owns what execution's metrics tell of its state: mode, panic, arming, session, link, orders and foreign symbols."""

from __future__ import annotations

from collections.abc import Iterator

from walstreet.domain.execution_parameters import ExecutionParameters
from walstreet.domain.execution_state import ExecutionState
from walstreet.runtime.state_metrics import Reading
from walstreet_events import Mode, OrderState, PhaseName


def readings(state: ExecutionState, parameters: ExecutionParameters) -> Iterator[Reading]:
    """Yield the values now; called from another thread than the one that changes ``state``."""
    for mode in Mode:
        yield Reading(
            name="walstreet_mode",
            help="1 for the mode in force; 0 for all before the first word of it",
            value=state.mode is mode,
            labels=(("mode", mode.value),),
        )
    orders = [state.orders.get(key) for key in list(state.open_orders)]
    unknown = sum(order is not None and order.state is OrderState.UNKNOWN for order in orders)
    open_now = state.phase is PhaseName.OPEN and state.open_ns <= state.now_ns() < state.close_ns
    for name, text, value in (
        ("walstreet_panic_latched", "1 from the beginning of an emergency until a person resumes", state.panic),
        ("walstreet_arming_needed", "1 when trading is live by the configuration", parameters.arming.trading == "live"),
        ("walstreet_armed", "1 while two people's keys are in", state.arming.armed),
        ("walstreet_market_open", "1 in the regular session, by the session's clock", open_now),
        ("walstreet_order_link_up", "1 while the order connection to the broker stands", _up(state)),
        ("walstreet_orders_open", "Orders that have not ended", len(orders)),
        ("walstreet_orders_unknown", "Orders whose outcome is being found out", unknown),
        ("walstreet_symbols_external", "Symbols that wait for a person's adoption", len(state.external.waiting)),
    ):
        yield Reading(name=name, help=text, value=float(value))


def _up(state: ExecutionState) -> bool:
    link = state.link
    return state.link_seen and link is not None and link.connected
