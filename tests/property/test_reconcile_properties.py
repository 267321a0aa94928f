"""Equal books give no break, what was taken over stays clean, and a failed query changes nothing, whatever happened."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet.domain.ledger import Ledger
from walstreet.domain.reconciler import ReconcilerCore
from walstreet.domain.reconciler_parameters import Policy, ReconcilerParameters
from walstreet.testing.events import OPEN_NS, clock_tick, recon_snapshot, session_ref
from walstreet.testing.events_orders import account_values, order_commission, order_filled, order_link, positions
from walstreet.testing.given import Scenario
from walstreet_events import (
    BreakKind,
    BrokerExecution,
    LedgerCorrection,
    ModeRequest,
    Position,
    ReconBreak,
    ReconReport,
    ReconRequest,
    Side,
)

S = 1_000_000_000
SHARE = 1_000_000
CASH = 100_000 * S
SYMBOLS = ("AAA", "BBB")
SYNC = dict.fromkeys(("missing_local", "quantity", "price", "cash"), Policy.AUTO_SYNC)
EAGER = {"confirm_positions": 1, "confirm_cash": 1, "cash_settle_s": 0, "cash_tolerance_nano": 0, "recheck_s": 5}

DEALS = st.lists(
    st.tuples(
        st.sampled_from(SYMBOLS),
        st.sampled_from(list(Side)),
        st.integers(1, 500),
        st.integers(1_000, 500_000),
        st.booleans(),
    ),
    max_size=12,
)
"""Symbol, side, shares, price in cents, and whether our log has it."""


OURS = "a" * 32
"""Reference of the order that every deal belongs to; its submission is older than the log."""


def world(deals, **parameters):
    """Return a reconciler that knows some of the deals, and the broker's answer, which has all of them."""
    play = Scenario(lambda: ReconcilerCore(ReconcilerParameters(**parameters)))
    play.given(account_values(OPEN_NS - 50 * S), positions(OPEN_NS - 50 * S, {}), session_ref())
    play.given(order_link(OPEN_NS - 40 * S))
    held, cash, executions = dict.fromkeys(SYMBOLS, 0), CASH, []
    for number, (symbol, side, shares, cents, ours) in enumerate(deals):
        exec_id, price = f"0000e0d5.{number:08x}.01.01", cents * 10_000_000
        ts_ns = OPEN_NS + (number + 1) * S
        signed = shares if side is Side.BUY else -shares
        held[symbol] += signed * SHARE
        cash -= signed * price + S
        executions.append(
            BrokerExecution(
                exec_id=exec_id,
                order_ref=OURS,
                perm_id=number + 1,
                symbol=symbol,
                side=side.value,
                price_nano=price,
                quantity_micro=shares * SHARE,
                ts_ns=ts_ns,
            )
        )
        if ours:
            play.given(
                order_filled(
                    ts_ns, order=OURS, exec_id=exec_id, symbol=symbol, side=side, price_nano=price,
                    quantity_micro=shares * SHARE,
                )
            )  # fmt: skip
        play.given(order_commission(ts_ns, exec_id=exec_id, commission_nano=S))
    listed = tuple(
        Position(symbol=symbol, con_id=1, quantity_micro=quantity, average_cost_nano=50 * S)
        for symbol, quantity in held.items()
        if quantity
    )
    return play, {"executions": tuple(executions), "positions": listed, "cash_nano": cash}


def answered(play, second, **parts):
    """Let time reach ``second`` after the open, answer what is asked, and return what the answer caused."""
    play.when(clock_tick(OPEN_NS + second * S))
    request = [event for event in play.outputs if isinstance(event, ReconRequest)][-1]
    return play.when(recon_snapshot(request, OPEN_NS + second * S, **parts))


@given(DEALS)
@settings(max_examples=60, deadline=None)
def test_equal_books_never_break(deals):
    """Whatever was traded, the broker's answer that says the same is clean, the first one and the next."""
    play, answer = world([(*deal[:4], True) for deal in deals])
    for second in (60, 180, 300):
        outs = answered(play, second, **answer)
        assert [type(out) for out in outs] == [ReconReport]
        assert (outs[0].status, outs[0].breaks) == ("clean", 0)


@given(DEALS, st.integers(-500, 500), st.integers(-500, 500))
@settings(max_examples=100, deadline=None)
def test_what_is_synced_is_clean_afterwards(deals, extra_shares, extra_dollars):
    """Missing executions, unexplained shares and cash are taken over, and then nothing is left to correct."""
    play, answer = world(deals, **SYNC, **EAGER)
    if extra_shares:
        others = tuple(item for item in answer["positions"] if item.symbol != "AAA")
        held = sum(item.quantity_micro for item in answer["positions"] if item.symbol == "AAA")
        total = held + extra_shares * SHARE
        position = Position(symbol="AAA", con_id=1, quantity_micro=total, average_cost_nano=50 * S)
        answer["positions"] = (*others, position) if total else others
    answer["cash_nano"] += extra_dollars * S
    outs = [out for second in (60, 120, 180) for out in answered(play, second, **answer)]
    assert not [out for out in outs if isinstance(out, ModeRequest)]
    for second in (240, 300):
        (report,) = answered(play, second, **answer)
        assert (report.status, report.breaks) == ("clean", 0)
    ledger = play.state.ledger
    wanted = {item.symbol: item.quantity_micro for item in answer["positions"]}
    assert {symbol: ledger.position_micro(symbol) for symbol in ledger.held()} == wanted
    assert ledger.cash_nano == answer["cash_nano"]
    beside = Ledger()
    for event in play.log:
        beside.apply(event)
    assert beside.digest() == ledger.digest(), "the arbiter's ledger folds the same log to the same books"
    assert play.restarted().state.ledger.digest() == ledger.digest()


@given(DEALS, st.sampled_from(list(Policy)))
@settings(max_examples=60, deadline=None)
def test_a_failed_query_never_changes_anything(deals, policy):
    """Unknown is reported, and no book, break, correction or mode follows, under any policy."""
    chosen = dict.fromkeys(("missing_local", "quantity", "price", "cash"), policy)
    play, answer = world(deals, **chosen, **EAGER)
    digest = play.state.ledger.digest()
    for second in (60, 120):
        outs = answered(play, second, **{**answer, "ok": False})
        assert [type(out) for out in outs] == [ReconReport]
        assert outs[0].status == "unknown"
        assert play.state.ledger.digest() == digest
    assert not [out for out in play.outputs if isinstance(out, ReconBreak | LedgerCorrection)]


@given(DEALS)
@settings(max_examples=60, deadline=None)
def test_a_difference_is_found_under_strict(deals):
    """Where the log lacks a deal, the first answer says so and asks for OBSERVE."""
    play, answer = world(deals)
    outs = answered(play, 60, **answer)
    lacking = [deal for deal in deals if not deal[4]]
    kinds = {out.kind for out in outs if isinstance(out, ReconBreak)}
    assert (BreakKind.MISSING_LOCAL in kinds) == bool(lacking)
    assert bool([out for out in outs if isinstance(out, ModeRequest)]) == bool(lacking)
