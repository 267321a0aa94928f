"""Owns the tests of the checklist's counts between two evaluations and of the log of evaluations."""

from __future__ import annotations

import msgspec
import pytest

from walstreet.domain.check_result import CheckResult
from walstreet.domain.checklist import ChecklistItem
from walstreet.domain.mode_causes import exception_request
from walstreet.domain.monitor import monitor_memory, read
from walstreet.domain.monitor_parameters import MonitorParameters
from walstreet.replay import checklist_log
from walstreet.replay.checklist_log import EVALUATIONS_MAX, ChecklistClerk, ChecklistLog, Evaluation
from walstreet.testing.events import every_event
from walstreet.testing.events_orders import order_updated
from walstreet.testing.watched_session import answers, cycle_id, decision
from walstreet_events import (
    BrokerStatus,
    Decision,
    FeedStatus,
    Mode,
    ModeRequest,
    OrderState,
    OrderUpdated,
    PredictionBlock,
    Service,
    Verdict,
)

pytestmark = pytest.mark.spec("000.checklist")

PARAMETERS = MonitorParameters()
EMPTY = read(monitor_memory(PARAMETERS), PARAMETERS)
ROWS = [[0.0, 0.0]] * 3


def predicted(clerk: ChecklistClerk, *numbers: int) -> None:
    """Let prediction blocks come."""
    for number in numbers:
        clerk.take(answers(number, ROWS))


def items(clerk: ChecklistClerk) -> dict[str, ChecklistItem]:
    """Return the evaluation of an empty window with these counts."""
    return {item.code: item for item in clerk.evaluate(1, 0, EMPTY, PARAMETERS).items}


def test_decided_cycles_are_counted_since_the_last_evaluation() -> None:
    """Two of two, then one of one; a block that still waits is not due yet."""
    clerk = ChecklistClerk()
    predicted(clerk, 0, 1, 2)
    clerk.take_decision(decision(0))
    clerk.take_decision(decision(1))
    assert items(clerk)["every_cycle_decided"].detail == "2 decisions for 2 prediction blocks"
    clerk.take_decision(decision(2))
    assert items(clerk)["every_cycle_decided"].detail == "1 decisions for 1 prediction blocks"


def test_a_block_that_was_passed_over_is_undecided() -> None:
    """The decision of a later block proves that the earlier one gets none."""
    clerk = ChecklistClerk()
    predicted(clerk, 0, 1)
    clerk.take_decision(decision(1))
    found = items(clerk)["every_cycle_decided"]
    assert (found.result, found.value) == (CheckResult.FAILED, 1.0)


def test_the_newest_block_may_wait_while_the_session_runs() -> None:
    """At its end it may not."""
    running, over = ChecklistClerk(), ChecklistClerk()
    predicted(running, 0)
    predicted(over, 0)
    assert not running.close(ended=False)
    assert over.close(ended=True)
    assert items(over)["every_cycle_decided"].result is CheckResult.FAILED


def test_a_second_copy_of_a_prediction_block_is_not_due_again() -> None:
    """A later life of the inference service may write it again."""
    clerk = ChecklistClerk()
    predicted(clerk, 0)
    clerk.take_decision(decision(0))
    predicted(clerk, 0)
    assert clerk.close(ended=True)
    assert items(clerk)["every_cycle_decided"].detail == "1 decisions for 1 prediction blocks"


def test_blocks_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound the oldest are undecided at once."""
    monkeypatch.setattr(checklist_log, "PENDING_MAX", 3)
    clerk = ChecklistClerk()
    predicted(clerk, *range(5))
    assert items(clerk)["every_cycle_decided"].value == 2.0


def test_symbols_without_a_verdict_are_counted() -> None:
    """Two symbols and one verdict leave one unexplained."""
    clerk = ChecklistClerk()
    clerk.take_decision(decision(0, (Verdict.ACCEPTED,)))
    clerk.take(answers(1, ROWS))
    clerk.take_decision(decision(1))
    found = items(clerk)["every_symbol_explained"]
    assert (found.result, found.value) == (CheckResult.FAILED, 1.0)


def test_exceptions_are_those_of_their_topic() -> None:
    """A mode request about something else is no exception."""
    clerk = ChecklistClerk()
    clerk.take(exception_request(cycle_id(Decision, 0), Service.EXECUTION, "core_failed", 0))
    other = every_event()["mode_request.v1"]
    assert isinstance(other, ModeRequest)
    clerk.take(msgspec.structs.replace(other, topic="books", mode=Mode.OBSERVE))
    found = items(clerk)["no_exceptions"]
    assert (found.result, found.value) == (CheckResult.FAILED, 1.0)


def feed(code: int, detail: str = "text") -> FeedStatus:
    """Return a state of a data farm with a broker's code."""
    event = every_event()["feed_status.v1"]
    assert isinstance(event, FeedStatus)
    return msgspec.structs.replace(event, code=code, detail=detail)


def test_pacing_is_a_failure_where_it_is_seen_and_unknown_where_not() -> None:
    """The TAPE does not hold every message of the broker, so silence proves nothing."""
    clerk = ChecklistClerk()
    assert items(clerk)["no_throttling"].result is CheckResult.UNKNOWN
    status = every_event()["broker_status.v1"]
    assert isinstance(status, BrokerStatus)
    update = order_updated(0, OrderState.UNKNOWN)
    assert isinstance(update, OrderUpdated)
    for event in (
        feed(100),
        feed(420),
        feed(162, "Historical data request pacing violation"),
        feed(162, "no data of type TRADES"),
        feed(2103),
        msgspec.structs.replace(status, code=100),
        msgspec.structs.replace(update, code=100),
    ):
        clerk.take(event)
    found = items(clerk)["no_throttling"]
    assert (found.result, found.value) == (CheckResult.FAILED, 5.0)
    assert clerk.throttles_seen == 5
    assert items(clerk)["no_throttling"].result is CheckResult.UNKNOWN


def test_warm_up_blocks_ask_for_nothing() -> None:
    """Only blocks of the session are due."""
    clerk = ChecklistClerk()
    block = answers(0, ROWS, warmup=True)
    assert isinstance(block, PredictionBlock)
    clerk.take(block)
    assert not clerk.close(ended=True)


def test_the_log_forgets_old_evaluations_but_not_their_failures() -> None:
    """It is bounded; what failed in the first of too many evaluations still counts."""
    log = ChecklistLog()
    assert log.last is None
    bad = ChecklistItem(code="churn", result=CheckResult.FAILED, value=1.0, threshold=0.3, detail="")
    log.add(Evaluation(cycle=1, ts_ns=0, items=(bad,)))
    for cycle in range(2, EVALUATIONS_MAX + 3):
        log.add(Evaluation(cycle=cycle, ts_ns=0, items=()))
    assert len(log.evaluations) == EVALUATIONS_MAX
    assert log.evaluations[0].cycle == 3
    assert log.failures == {"churn": 1}
