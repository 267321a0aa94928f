"""Every kind of break under every policy, what adoption takes over, and what a failed query leaves alone.

Covers walstreet.domain.reconciler_corrections with the reconciler and the ledger that folds what it takes over.
"""

from __future__ import annotations

import pytest

from walstreet.domain.ledger import Ledger
from walstreet.domain.reconciler import ReconcilerCore
from walstreet.domain.reconciler_parameters import Policy, ReconcilerParameters
from walstreet.testing.events import OPEN_NS, clock_tick, recon_snapshot, session_ref
from walstreet.testing.events_orders import (
    EXECUTION,
    ORDER,
    account_values,
    order_commission,
    order_filled,
    order_link,
    order_submitting,
    order_updated,
    positions,
)
from walstreet.testing.events_recon import adopt_command, external_order, ledger_correction
from walstreet.testing.given import Scenario
from walstreet_events import (
    BreakKind,
    BrokerExecution,
    BrokerOrder,
    LedgerCorrection,
    Mode,
    ModeRequest,
    OrderState,
    Position,
    ReconBreak,
    ReconReport,
    ReconRequest,
)

S = 1_000_000_000
SHARE = 1_000_000
DOLLAR = 1_000_000_000
CASH = 100_000 * DOLLAR
FEE = 350_000_000
PAID = 4_010 * DOLLAR + FEE
"""For the example's 40 shares at 100.25."""
NEVER = (BreakKind.MISSING_BROKER, BreakKind.EXTERNAL_ORDER)
"""Kinds that nothing may take over."""


def at(seconds):
    """Return the time so many seconds after the open."""
    return OPEN_NS + seconds * S


def of(kind, events):
    """Return the events of one kind."""
    return [event for event in events if isinstance(event, kind)]


def held(quantity, symbol="AAA", cost=100 * DOLLAR):
    """Return one position as the broker lists it."""
    return (Position(symbol=symbol, con_id=1, quantity_micro=quantity * SHARE, average_cost_nano=cost),)


def deal(price_nano=100_250_000_000, exec_id=EXECUTION, at_s=10):
    """Return an execution of 40 shares as the broker lists it."""
    return BrokerExecution(
        exec_id=exec_id,
        order_ref=ORDER,
        perm_id=9,
        symbol="AAA",
        side="buy",
        price_nano=price_nano,
        quantity_micro=40 * SHARE,
        ts_ns=at(at_s),
    )


def foreign(perm_id=77):
    """Return an order by hand as the broker lists it."""
    return BrokerOrder(
        order_ref="",
        perm_id=perm_id,
        client_id=0,
        symbol="AAA",
        side="buy",
        quantity_micro=100 * SHARE,
        filled_micro=0,
        status="Submitted",
    )


class Books:
    """A reconciler in a running session, and the arbiter's ledger beside it, which folds the same log."""

    def __init__(self, *opening, quantities=None, **parameters) -> None:
        """Open the books, take ``opening`` as facts, and answer the first request as the ledger has it."""
        self.play = Scenario(lambda: ReconcilerCore(ReconcilerParameters(recheck_s=5, **parameters)))
        self.ledger = Ledger()
        self.given(account_values(at(-50)), positions(at(-50), quantities or {}), session_ref(), order_link(at(-40)))
        self.second = -30
        self.given(*opening)

    def given(self, *facts):
        """Let facts happen; the other ledger folds them too."""
        outs = []
        for fact in facts:
            self.ledger.apply(fact)
            outs += self._note(self.play.when(fact))
        return outs

    def _note(self, outs):
        for out in outs:
            self.ledger.apply(out)
        return outs

    def answer(self, **parts):
        """Answer the open request and return what follows."""
        request = of(ReconRequest, self.play.outputs)[-1]
        return self.given(recon_snapshot(request, at(self.second), **{"cash_nano": CASH, **parts}))

    def again(self, seconds=60, **parts):
        """Let time pass until the next request, and answer it."""
        for _ in range(seconds):
            self.second += 1
            if of(ReconRequest, self.given(clock_tick(at(self.second)))):
                return self.answer(**parts)
        raise AssertionError(f"no request within {seconds} s")


def arranged(kind, policy, **more):
    """Return books in which a break of ``kind`` shows first at the next answer, and that answer."""
    parameters = {"confirm_cash": 1, "cash_settle_s": 0, **more, kind.value: policy}
    bought = (order_submitting(at(5)), order_updated(at(6), OrderState.WORKING), order_filled(at(10)))
    filled = {
        "executions": (deal(),),
        "positions": held(40),
        "cash_nano": CASH - PAID,
        "completed_orders": (_ended(),),
    }
    if kind in {BreakKind.PRICE, BreakKind.MISSING_LOCAL}:
        books = Books(**parameters)
        books.answer()
        books.second = 30
        if kind is BreakKind.PRICE:
            books.given(*bought, order_commission(at(11)), order_updated(at(12), OrderState.CANCELLED))
            better = PAID - 40 * 50_000_000
            return books, {**filled, "executions": (deal(100_200_000_000),), "cash_nano": CASH - better}
        # The fee is told although the execution is not: only the execution is missing.
        books.given(order_commission(at(11)))
        return books, filled
    books = Books(**parameters)
    books.answer()
    books.second = 30
    if kind is BreakKind.MISSING_BROKER:
        books.given(order_submitting(at(5)), order_updated(at(6), OrderState.WORKING))
        return books, {}
    answers = {
        BreakKind.QUANTITY: {"positions": held(7)},
        BreakKind.CASH: {"cash_nano": CASH + 50 * DOLLAR},
        BreakKind.EXTERNAL_ORDER: {"open_orders": (foreign(),)},
    }
    return books, answers[kind]


def _ended():
    return BrokerOrder(
        order_ref=ORDER,
        perm_id=9,
        client_id=12,
        symbol="AAA",
        side="buy",
        quantity_micro=100 * SHARE,
        filled_micro=40 * SHARE,
        status="Cancelled",
    )


def confirmed(books, kind, answer):
    """Answer until the break is recorded, and return what was written then."""
    for _ in range(4):
        outs = books.again(**answer)
        if of(ReconBreak, outs):
            assert of(ReconBreak, outs)[0].kind is kind
            return outs
    raise AssertionError(f"{kind} was never recorded")


@pytest.mark.parametrize("kind", list(BreakKind))
def test_strict_asks_for_observe(kind):
    """The report is `breaks`, the mode controller is asked for OBSERVE, the books stay as they are."""
    books, answer = arranged(kind, Policy.STRICT)
    digest = books.ledger.digest()
    outs = confirmed(books, kind, answer)
    assert of(ReconBreak, outs)[0].policy == "strict"
    assert of(ReconReport, outs)[0].status == "breaks"
    assert [request.mode for request in of(ModeRequest, outs)] == [Mode.OBSERVE]
    assert not of(LedgerCorrection, outs)
    assert books.ledger.digest() == digest


@pytest.mark.parametrize("kind", list(BreakKind))
def test_warn_records_once_and_goes_on(kind):
    """The report is clean and counts it; the record is not repeated while the same break stands."""
    # A missing execution shows in position and cash as well.
    books, answer = arranged(kind, Policy.WARN, **dict.fromkeys((item.value for item in BreakKind), Policy.WARN))
    digest = books.ledger.digest()
    outs = confirmed(books, kind, answer)
    assert {item.policy for item in of(ReconBreak, outs)} == {"warn"}
    (report,) = of(ReconReport, outs)
    assert report.status == "clean"
    assert report.breaks > 0
    assert not of(ModeRequest, outs)
    repeated = books.again(**answer)
    assert [item for item in of(ReconBreak, repeated) if item.kind is kind] == []
    assert of(ReconReport, repeated)[0].breaks > 0
    assert books.ledger.digest() == digest


@pytest.mark.parametrize("kind", [kind for kind in BreakKind if kind not in NEVER])
def test_auto_sync_corrects_all_books_and_the_next_answer_is_clean(kind):
    """A correction stands on the log before the report; the arbiter's ledger and a later life have it too."""
    books, answer = arranged(kind, Policy.AUTO_SYNC)
    outs = confirmed(books, kind, answer)
    tags = [type(out) for out in outs]
    assert tags.index(LedgerCorrection) < tags.index(ReconReport)
    assert of(ReconBreak, outs)[0].policy == "auto_sync"
    assert (of(ReconReport, outs)[0].status, of(ModeRequest, outs)) == ("clean", [])
    for _ in range(3):
        later = books.again(**answer)
        assert not of(ReconBreak, later), later
        assert of(ReconReport, later)[0].breaks == 0
    for ledger in (books.play.state.ledger, books.play.restarted().state.ledger):
        assert ledger.digest() == books.ledger.digest()
    wanted = answer.get("positions", ())
    assert books.ledger.position_micro("AAA") == sum(item.quantity_micro for item in wanted)
    assert books.ledger.cash_nano == answer.get("cash_nano", CASH)


@pytest.mark.parametrize("kind", NEVER)
def test_what_nothing_may_take_over_is_refused_as_a_parameter(kind):
    """Absence proves nothing, and a foreign order is for a person."""
    with pytest.raises(ValueError, match=f"reconciler.{kind.value}='auto_sync'"):
        ReconcilerParameters(**{kind.value: Policy.AUTO_SYNC})


@pytest.mark.parametrize("kind", list(BreakKind))
@pytest.mark.parametrize("policy", [Policy.STRICT, Policy.WARN])
def test_a_failed_query_is_unknown_and_changes_nothing(kind, policy):
    """Neither a break nor a correction nor a mode follows from an answer that failed, whatever would have shown."""
    books, answer = arranged(kind, policy)
    digest, seen = books.ledger.digest(), dict(books.play.state.seen)
    outs = books.again(**{**answer, "ok": False})
    assert [type(out) for out in outs] == [ReconReport]
    assert (outs[0].status, outs[0].breaks) == ("unknown", 0)
    assert (books.ledger.digest(), books.play.state.seen) == (digest, seen)


def test_a_missing_execution_and_its_position_are_not_counted_twice():
    """What an execution that is taken over moves is judged only with the next answer."""
    books, answer = arranged(
        BreakKind.MISSING_LOCAL,
        Policy.AUTO_SYNC,
        quantity=Policy.AUTO_SYNC,
        cash=Policy.AUTO_SYNC,
        confirm_positions=1,
    )
    confirmed(books, BreakKind.MISSING_LOCAL, answer)
    books.again(**answer)
    assert books.ledger.position_micro("AAA") == 40 * SHARE
    assert books.ledger.cash_nano == CASH - PAID


# ------------------------------------------------------------------------------------------- adoption


def test_adoption_takes_the_position_over_and_names_the_person():
    """The foreign shares enter every ledger at the broker's cost; the break ends, and trading may go on."""
    books = Books()
    books.answer()
    books.second = 20
    books.again(positions=held(7))
    strict = books.again(positions=held(7))
    assert of(ModeRequest, strict)[0].mode is Mode.OBSERVE
    (request,) = books.given(adopt_command("AAA", at(books.second)))
    assert request.reason == "operator"
    outs = books.answer(positions=held(7))
    (taken,) = of(LedgerCorrection, outs)
    assert (taken.policy, taken.operator, taken.reason) == ("adopted", "ada", "bought by hand")
    assert (taken.position_change_micro, taken.average_cost_nano) == (7 * SHARE, 100 * DOLLAR)
    assert [event.mode for event in of(ModeRequest, outs)] == [Mode.LIVE]
    assert of(ReconReport, outs)[0].status == "clean"
    for ledger in (books.ledger, books.play.state.ledger, books.play.restarted().state.ledger):
        assert ledger.books["AAA"].basis_exact == 700 * DOLLAR * SHARE
        assert ledger.realized_nano == 0
    assert not of(ReconBreak, books.again(positions=held(7)))


def test_adoption_waits_for_an_answer():
    """A failed query adopts nothing; the next answered one does."""
    books = Books()
    books.answer()
    books.second = 20
    books.given(adopt_command("AAA", at(20)))
    assert not of(LedgerCorrection, books.answer(ok=False))
    assert of(LedgerCorrection, books.again(positions=held(7)))[0].position_change_micro == 7 * SHARE


def test_adoption_of_cash_is_said_explicitly():
    """With `cash` the difference in cash is taken over too, without it the warning stays."""
    for cash, change in ((True, -700 * DOLLAR), (False, 0)):
        books = Books()
        books.answer()
        books.second = 20
        books.given(adopt_command("AAA", at(20), cash=cash))
        (taken,) = of(LedgerCorrection, books.answer(positions=held(7), cash_nano=CASH - 700 * DOLLAR))
        assert taken.cash_change_nano == change
        assert books.ledger.cash_nano == CASH + change


def test_nobody_adopts_nothing():
    """A command without a person or a symbol takes nothing over and asks nothing."""
    books = Books()
    books.answer()
    assert books.given(adopt_command("AAA", at(20), operator=" ")) == []
    assert books.given(adopt_command("", at(21))) == []


def test_an_adopted_order_is_no_break_any_more():
    """The foreign order goes on working at the broker, and is known."""
    books = Books()
    books.given(external_order("AAA", at(-35), perm_id=77))
    assert of(ReconBreak, books.answer(open_orders=(foreign(),)))
    books.given(adopt_command("AAA", at(books.second)))
    outs = books.answer(open_orders=(foreign(),))
    assert (of(ReconBreak, outs), len(of(LedgerCorrection, outs))) == ([], 1)
    assert of(ReconReport, books.again(open_orders=(foreign(),)))[0].breaks == 0
    other = books.again(open_orders=(foreign(), foreign(78)))
    other += books.again(open_orders=(foreign(), foreign(78)))
    assert [item.reference for item in of(ReconBreak, other)] == ["perm:78"]


def test_positions_from_before_our_first_fact_wait_for_a_person():
    """What the account held when the log began may be anybody's: recorded at once, until it is adopted."""
    books = Books(quantities={"AAA": 40 * SHARE})
    outs = books.answer(positions=held(40))
    (found,) = of(ReconBreak, outs)
    assert (found.kind, found.reference, found.brokers, found.policy) == (
        BreakKind.EXTERNAL_ORDER,
        "opening_position",
        "40",
        "warn",
    )
    assert of(ReconReport, outs)[0].status == "clean"
    assert "AAA" in books.play.state.externals
    books.given(adopt_command("AAA", at(books.second)))
    outs = books.answer(positions=held(40))
    assert of(LedgerCorrection, outs)[0].position_change_micro == 0
    assert "AAA" not in books.play.state.externals
    assert of(ReconReport, books.again(positions=held(40)))[0].breaks == 0


def test_fills_of_yesterday_show_in_the_position():
    """The broker lists today's executions only; what was filled before and is not on the log is a gap in the book."""
    books = Books()
    outs = books.answer(positions=held(40), executions=())
    (found,) = of(ReconBreak, outs)
    assert (found.kind, found.ours, found.brokers, found.policy) == (BreakKind.QUANTITY, "0", "40", "strict")


# --------------------------------------------------------------------------------------------- ledger


def opened_ledger(*events):
    """Return a ledger with 100,000 USD and no position, after the events."""
    ledger = Ledger()
    for event in (positions(at(-50), {}), account_values(at(-50)), *events):
        ledger.apply(event)
    return ledger


def moved(quantity, cost=100, seconds=20):
    """Return a correction of the position in AAA."""
    return ledger_correction(
        "AAA", at(seconds), position_change_micro=quantity * SHARE, average_cost_nano=cost * DOLLAR
    )


def test_a_transfer_realises_nothing():
    """What leaves takes its share of the basis; what crosses zero begins at the broker's cost."""
    ledger = opened_ledger(moved(40), moved(-10, cost=500, seconds=21))
    assert (ledger.position_micro("AAA"), ledger.realized_nano) == (30 * SHARE, 0)
    assert ledger.books["AAA"].basis_exact == 3_000 * DOLLAR * SHARE
    ledger.apply(moved(-50, cost=90, seconds=22))
    assert ledger.books["AAA"].basis_exact == -1_800 * DOLLAR * SHARE
    assert (ledger.position_micro("AAA"), ledger.realized_nano) == (-20 * SHARE, 0)
    assert ledger.cash_nano == CASH


def test_a_corrected_execution_replaces_the_first():
    """The books count the execution once, at its new price, also when the correction comes twice."""
    ledger = opened_ledger(order_filled(at(10)))
    better = deal(100_000_000_000, exec_id=EXECUTION[:-1] + "2")
    for seconds in (20, 21):
        ledger.apply(ledger_correction("AAA", at(seconds), policy="auto_sync", execution=better))
    assert ledger.position_micro("AAA") == 40 * SHARE
    assert ledger.cash_nano == CASH - 4_000 * DOLLAR
