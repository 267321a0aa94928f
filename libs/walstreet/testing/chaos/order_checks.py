"""Owns the duties of the rows that concern orders, executions and fees."""

from __future__ import annotations

from collections import Counter

from walstreet.domain.ended_orders import BY_WORD
from walstreet.domain.execution_cancel import CANCEL_INCARNATION
from walstreet.domain.order import TERMINAL
from walstreet.testing.chaos.row_facts import Facts, all_ended, expect, sent_after, trades
from walstreet_events import (
    ExternalOrder,
    MarginAnswered,
    OrderCancelling,
    OrderCommission,
    OrderCorrected,
    OrderFilled,
    OrderModified,
    OrderRefused,
    OrderState,
    OrderSubmitting,
    OrderUpdated,
    ReconBreak,
    ReconSnapshot,
)

MARGIN_REASONS = ("margin_unknown", "margin_timeout")
SAMPLE = 3
"""Of many alike, so many are named."""


def lost_placements(facts: Facts) -> list[str]:
    """Orders that never arrived expire by proof; changes that never arrived leave the order as it was."""
    known = {record["order_ref"] for record in facts.records("order_accepted")}
    lost = [str(record["order_ref"]) for record in facts.records("place_lost")]
    orders = [reference for reference in lost if reference not in known]
    changes = [reference for reference in lost if reference in known]
    told_lost = {event.client_order_id for event in facts.of(OrderModified) if event.outcome == "lost"}
    # The end of an order whose change nobody answered tells it too: there is nothing left that could have changed.
    ended = {event.client_order_id for event in facts.of(OrderUpdated) if event.state in TERMINAL}
    return [
        *expect((bool(orders), "the script lost no new order"), (bool(changes), "the script lost no change")),
        *(
            f"lost order {reference} went through {facts.states(reference)}"
            for reference in orders
            if facts.states(reference)[-1:] != [OrderState.EXPIRED] or OrderState.UNKNOWN not in facts.states(reference)
        ),
        *(f"lost order {reference} was sent again" for reference, count in Counter(orders).items() if count > 1),
        *(
            f"the lost change of order {reference} was never found out"
            for reference in changes
            if reference not in told_lost and reference not in ended
        ),
        *all_ended(facts),
    ]


def silent_placements(facts: Facts) -> list[str]:
    """Fills that nobody told of are found by queries."""
    silent = {record["order_ref"] for record in facts.records("execution") if not record["delivered"]}
    booked = {event.client_order_id for event in facts.of(OrderFilled)}
    return [
        *expect((bool(silent), "no fill was silent"), (silent <= booked, f"not booked: {silent - booked}")),
        *all_ended(facts),
    ]


def incarnations(facts: Facts) -> list[str]:
    """A change that made a second live order leaves nothing behind: both are cancelled, booked and told."""
    perm_ids: dict[str, set[int]] = {}
    for record in facts.records("order_accepted"):
        perm_ids.setdefault(str(record["order_ref"]), set()).add(int(record["perm_id"]))
    twice = {reference for reference, known in perm_ids.items() if len(known) > 1}
    stopped = {event.client_order_id for event in facts.of(OrderCancelling) if event.reason == CANCEL_INCARNATION}
    return [
        *expect(
            (bool(twice), "no change made a second order"),
            (twice <= stopped, f"not cancelled: {sorted(twice - stopped)}"),
            ("order_alive_twice" in facts.logs, "nobody was told of it"),
        ),
        *all_ended(facts),
    ]


def foreign(facts: Facts) -> list[str]:
    """Foreign orders are on the TAPE, and their symbols are left alone."""
    seen = {event.symbol for event in facts.of(ExternalOrder)}
    blocked = {event.symbol for event in facts.of(OrderRefused) if event.reason == "external_order"}
    first = {event.symbol: event.ts_ns for event in reversed(facts.of(ExternalOrder))}
    later = {event.symbol for event in facts.of(OrderSubmitting) if event.ts_ns > first.get(event.symbol, event.ts_ns)}
    others = [event for event in facts.of(OrderSubmitting) if event.symbol not in seen]
    return expect(
        ({"SYN01", "SYN02"} <= seen, f"external orders were seen for {sorted(seen)}"),
        (not later, f"orders were sent for {sorted(later)} after a foreign one was seen ({sorted(blocked)} refused)"),
        (bool(others), "nothing was traded in the other symbols"),
    )


def disorder(facts: Facts) -> list[str]:
    """Messages in any order lose nothing, and a fill of an unknown contract is on the TAPE as a foreign one."""
    untrue = {record["execution_id"] for record in facts.records("untrue_execution")}
    told = {event.exec_id: event.client_order_id for event in facts.of(OrderFilled) if event.exec_id in untrue}
    outside = [event for event in facts.of(ExternalOrder) if event.symbol == "STRAY"]
    return [
        *expect(
            (bool(untrue), "the script told no stray execution"),
            (told.keys() == untrue, "the stray execution left no trace"),
            (not any(told.values()), f"the stray execution was booked to orders {sorted(told.values())}"),
            (bool(outside), "the stray execution was not told as foreign"),
        ),
        *trades(facts),
    ]


def partials(facts: Facts) -> list[str]:
    """Each execution counts once, and the filled quantity only grows."""
    worst: list[str] = []
    highest: dict[str, int] = {}
    for event in facts.of(OrderUpdated):
        if event.filled_micro < highest.get(event.client_order_id, 0):
            worst.append(f"order {event.client_order_id} fell to {event.filled_micro}")
        highest[event.client_order_id] = max(highest.get(event.client_order_id, 0), event.filled_micro)
    twice = [one for one, count in Counter(event.exec_id for event in facts.of(OrderFilled)).items() if count > 1]
    return [*worst, *expect((not twice, f"executions booked twice: {twice}")), *trades(facts)]


def held_until_proof(facts: Facts) -> list[str]:
    """Return orders in a symbol whose last order had ended by the broker's word and not yet by a query."""
    waiting: dict[str, tuple[str, int]] = {}
    found: list[str] = []
    for event in facts.events:
        if isinstance(event, OrderUpdated):
            if event.state in BY_WORD:
                waiting.setdefault(event.client_order_id, (event.symbol, event.ts_ns))
            else:
                waiting.pop(event.client_order_id, None)
        elif isinstance(event, ReconSnapshot) and event.ok:
            open_orders = {order.order_ref for order in event.open_orders}
            waiting = {key: item for key, item in waiting.items() if key in open_orders or item[1] > event.ts_ns}
        elif isinstance(event, OrderSubmitting):
            before = [key for key, item in waiting.items() if item[0] == event.symbol]
            found += [f"order {event.client_order_id} followed {key}, whose end was not proved" for key in before]
    return found[:SAMPLE]


def cancels(facts: Facts) -> list[str]:
    """Nothing is final before a query: until then the symbol takes no other order."""
    return [
        *expect((bool(facts.records("cancel_received")), "nothing was cancelled")),
        *held_until_proof(facts),
        *all_ended(facts),
    ]


def untrue_cancels(facts: Facts) -> list[str]:
    """What fills after a Cancelled that was not true is booked, and nothing was sent beside it meanwhile."""
    believed = {event.client_order_id for event in facts.of(OrderUpdated) if event.broker_status == "Cancelled"}
    late = {record["order_ref"] for record in facts.records("execution")} & believed
    return [*expect((bool(late), "no order was filled after it was said to be cancelled")), *cancels(facts)]


def codes(facts: Facts) -> list[str]:
    """No order ends by a warning, and no code that nobody knows stops the trading."""
    rejected = [event for event in facts.of(OrderUpdated) if event.state is OrderState.REJECTED]
    last = max((record["ts_ns"] for record in facts.records("fault_started")), default=0)
    return [
        *expect((not rejected, f"{len(rejected)} orders were taken for rejected")),
        *sent_after(facts, last, "the codes"),
        *all_ended(facts),
    ]


def held(facts: Facts) -> list[str]:
    """An order that waits is in the books as such, and is not taken for ended."""
    waiting = [event for event in facts.of(OrderUpdated) if event.why_held]
    ended = [event for event in waiting if event.state not in (OrderState.INACTIVE, OrderState.UNKNOWN)]
    lively = [event.state for event in ended if event.state not in (OrderState.PENDING_CANCEL, *BY_WORD)]
    return [
        *expect((bool(waiting), "no order was seen as held"), (not lively, f"held orders were taken for {lively}")),
        *all_ended(facts),
    ]


def what_if(facts: Facts) -> list[str]:
    """Unset, zero and missing answers refuse, each for its own intent; good ones let orders go.

    In lockstep session time stands still while silence is waited for, so that it is told as unknown, not as late.
    """
    answers = facts.of(MarginAnswered)
    silent = {event.intent for event in answers if not event.answered}
    unset = {event.intent for event in answers if event.answered and not event.initial_margin_after_nano}
    refused = {event.intent for event in facts.of(OrderRefused) if event.reason in MARGIN_REASONS}
    sent = {event.intent for event in facts.of(OrderSubmitting)}
    bad = silent | unset
    return [
        *expect(
            (len(silent) >= 2, f"{len(silent)} questions without an answer"),
            (len(unset) >= 6, f"{len(unset)} answers without a number"),
            (bad <= refused, f"not refused: {sorted(bad - refused)}"),
            (not bad & sent, f"sent on no margin: {sorted(bad & sent)}"),
        ),
        *sent_after(facts, max((event.ts_ns for event in answers if event.intent in bad), default=0), "bad answers"),
        *all_ended(facts),
    ]


def commissions(facts: Facts) -> list[str]:
    """A fee is booked as it was charged and told, and nothing is booked before."""
    fills = {event.exec_id for event in facts.of(OrderFilled)}
    told = {record["execution_id"]: record["commission_nano"] for record in facts.records("commission")}
    paid = {event.exec_id: event.commission_nano for event in facts.of(OrderCommission)}
    missing = sorted((told.keys() & fills) - paid.keys())
    return expect(
        (not missing, f"commissions of {missing[:SAMPLE]} were not booked"),
        (paid.items() <= told.items(), "a commission was booked that was never charged"),
        (bool(fills - paid.keys()), "no commission stayed away"),
    )


def corrections(facts: Facts) -> list[str]:
    """Each correction is an amendment of the fill, with the broker's price and quantity."""
    wanted = {
        record["execution_id"]: (record["corrects"], record["price_nano"], record["quantity_micro"])
        for record in facts.records("execution")
        if record.get("corrects")
    }
    told = {
        event.exec_id: (event.corrects, event.price_nano, event.quantity_micro) for event in facts.of(OrderCorrected)
    }
    return expect(
        (bool(wanted), "nothing was corrected"),
        (told == wanted, f"corrections on the TAPE {told}, the broker's {wanted}"),
    )


def breaks(facts: Facts) -> list[str]:
    """What the broker did by itself is a break, and somebody is told."""
    return expect(
        (bool(facts.of(ReconBreak)), "the reconciler saw no break"),
        ("reconciliation_break" in facts.logs, "nobody was told of it"),
    )


def refused_orders(facts: Facts) -> list[str]:
    """A refusal is final with its code, and the rest goes on."""
    rejected = [event for event in facts.of(OrderUpdated) if event.state is OrderState.REJECTED]
    last = max((record["ts_ns"] for record in facts.records("fault_ended")), default=0)
    return [
        *expect((len(rejected) >= 3, f"{len(rejected)} orders were rejected")),
        *expect(({event.code for event in rejected} >= {110, 10243}, "a refusal has not its code")),
        *sent_after(facts, last, "the refusals"),
        *all_ended(facts),
    ]


def shortable(facts: Facts) -> list[str]:
    """An unknown number of shares to borrow stops no sell of what is held, and a held short stays in the books."""
    told = {record["order_ref"] for record in facts.records("status") if record["status"] == "PreSubmitted"}
    waiting = {event.client_order_id for event in facts.of(OrderUpdated) if event.why_held}
    return [*expect((bool(waiting & told), "no short sale was held")), *all_ended(facts)]
