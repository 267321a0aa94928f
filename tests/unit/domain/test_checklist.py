"""Owns the tests of the verification checklist."""

import math

import msgspec
import numpy as np
import pytest

from walstreet.domain.check_result import CheckResult
from walstreet.domain.checklist import ChecklistFacts, ChecklistItem, checklist_due, evaluate_checklist
from walstreet.domain.monitor import (
    CycleFacts,
    MaturedEdge,
    MonitorMemory,
    monitor_memory,
    note_barriers,
    note_coverage,
    note_cycle,
    note_edges,
    note_parent,
    read,
)
from walstreet.domain.monitor_parameters import MonitorParameters
from walstreet.domain.units import HORIZONS_MINUTES
from walstreet_events import Verdict

pytestmark = pytest.mark.spec("000.checklist")

PARAMETERS = MonitorParameters()
CLEAN = ChecklistFacts(
    cycles_due=100, cycles_decided=100, symbols_unexplained=0, exceptions=0, throttles=0, blend_weight_error=2e-16
)
VERDICTS = (Verdict.ACCEPTED, Verdict.NO_ALPHA, Verdict.CONF_BLOCK, Verdict.IN_BAND)


def healthy() -> MonitorMemory:
    """Return the memory of 300 cycles in which everything did what it promises."""
    memory = monitor_memory(PARAMETERS)
    for number in range(300):
        regime = number % 2
        note_cycle(
            memory,
            CycleFacts(
                verdicts=VERDICTS * 5,
                turnover_weight=0.02,
                turnover_wanted_weight=0.05,
                band_weight=0.008,
                intents_abs_weight=0.10,
                intents_net_weight=0.08,
                latency_ms=20.0 + number % 7,
                regime=regime,
                chosen_horizons_minutes=(5, 15) if regime else (15, 60),
            ),
        )
    random = np.random.default_rng(1)
    for horizon in HORIZONS_MINUTES:
        for _ in range(100):
            note_coverage(memory, horizon, covered=8, total=10)
        note_edges(
            memory,
            MaturedEdge(
                horizon_minutes=horizon,
                predicted_net_bps=np.full(60, 5.0),
                realised_net_bps=np.repeat([4.0, 1.0], 30),
                wanted=np.repeat([1.0, 0.0], 30),
            ),
        )
    for event in ("peak", "valley"):
        probability = random.random(2_000)
        note_barriers(memory, event, probability, (random.random(2_000) < probability).astype(float))
    for _ in range(100):
        note_parent(memory, quantity_micro=10, filled_in_time_micro=10)
    return memory


def by_code(memory: MonitorMemory, facts: ChecklistFacts = CLEAN) -> dict[str, ChecklistItem]:
    """Return the items by their codes, each once."""
    items = evaluate_checklist(read(memory, PARAMETERS), facts, PARAMETERS)
    codes = {item.code: item for item in items}
    assert len(codes) == len(items)
    return codes


def test_a_healthy_system_passes_every_item():
    """After 300 good cycles nothing is failed or unknown."""
    items = by_code(healthy())
    assert {code: item.result for code, item in items.items()} == dict.fromkeys(items, CheckResult.PASSED)
    assert len(items) == len(HORIZONS_MINUTES) + 2 + 2 + 3 + 2 + 4 + 2


def test_nothing_recorded_is_unknown_and_never_passed():
    """An empty memory and empty facts leave only the count of exceptions, which is known to be none."""
    facts = ChecklistFacts(
        cycles_due=0, cycles_decided=0, symbols_unexplained=0, exceptions=0, throttles=None, blend_weight_error=math.nan
    )
    results = {code: item.result for code, item in by_code(monitor_memory(PARAMETERS), facts).items()}
    assert results.pop("no_exceptions") is CheckResult.PASSED
    assert set(results.values()) == {CheckResult.UNKNOWN}


@pytest.mark.parametrize(
    ("change", "code", "value"),
    [
        ({"cycles_decided": 99}, "every_cycle_decided", 1.0),
        ({"symbols_unexplained": 2}, "every_symbol_explained", 2.0),
        ({"exceptions": 1}, "no_exceptions", 1.0),
        ({"throttles": 3}, "no_throttling", 3.0),
        ({"blend_weight_error": 1e-6}, "blend_weights_sum", 1e-6),
    ],
)
def test_each_fact_fails_its_own_item_only(change: dict[str, float], code: str, value: float):
    """One bad count fails one line, with the count as its value."""
    items = by_code(healthy(), ChecklistFacts(**{field: getattr(CLEAN, field) for field in CLEAN.__slots__} | change))
    assert items[code].result is CheckResult.FAILED
    assert items[code].value == value
    assert [item.code for item in items.values() if item.result is CheckResult.FAILED] == [code]


def test_coverage_off_its_promise_fails():
    """70 of 100 are .1 from the promised .8, allowed is .05; the threshold and the count stand in the item."""
    memory = healthy()
    for _ in range(PARAMETERS.window_outcomes):
        note_coverage(memory, 30, covered=7, total=10)
    item = by_code(memory)["coverage_30m"]
    assert (item.result, item.threshold) == (CheckResult.FAILED, 0.8)
    assert item.value == pytest.approx(0.7)
    assert item.detail.startswith(f"{10 * PARAMETERS.window_outcomes} outcomes")


def test_late_fills_fail_below_ninety_five_percent():
    """95 of 100 pass, 94 fail."""
    memory = monitor_memory(PARAMETERS)
    for number in range(100):
        note_parent(memory, quantity_micro=10, filled_in_time_micro=10 if number < 95 else 9)
    assert by_code(memory)["fill_in_time"].result is CheckResult.PASSED
    note_parent(memory, quantity_micro=10, filled_in_time_micro=0)
    assert by_code(memory)["fill_in_time"].result is CheckResult.FAILED


def test_parents_are_worded_once_there_are_any():
    """One of two filled whole and the other by half is on average (1 + .5)/2 = .75; before the first, no number."""
    memory = monitor_memory(PARAMETERS)
    assert by_code(memory)["fill_in_time"].detail == "no parents yet"
    note_parent(memory, quantity_micro=10, filled_in_time_micro=10)
    note_parent(memory, quantity_micro=10, filled_in_time_micro=5)
    assert by_code(memory)["fill_in_time"].detail == "2 parents, on average 0.7500 of the quantity in time"


@pytest.mark.parametrize(
    ("verdict", "edge", "conformal"),
    [
        (
            Verdict.CONF_BLOCK,
            (CheckResult.FAILED, "7800 of 7800 symbols let through"),
            (CheckResult.FAILED, "0 of 7800 symbols let through"),
        ),
        (
            Verdict.NO_ALPHA,
            (CheckResult.FAILED, "0 of 7800 symbols let through"),
            (CheckResult.UNKNOWN, "0 of 0 symbols let through"),
        ),
    ],
)
def test_a_gate_that_blocks_everything_fails_its_item(
    verdict: Verdict, edge: tuple[CheckResult, str], conformal: tuple[CheckResult, str]
):
    """A gate that stopped all of 390 * 20 = 7,800 symbols is a defect, and so is the one before that let all through.

    What the edge stops never comes to the conformal gate, of which nothing is known then.
    """
    memory = monitor_memory(PARAMETERS)
    for _ in range(PARAMETERS.window_cycles):
        note_cycle(
            memory,
            CycleFacts(
                verdicts=(verdict,) * 20, turnover_weight=0.0, turnover_wanted_weight=0.0,
                band_weight=math.nan, intents_abs_weight=math.nan, intents_net_weight=math.nan, latency_ms=1.0,
                regime=-1, chosen_horizons_minutes=(),
            ),
        )  # fmt: skip
    items = by_code(memory)
    assert (items["gate_edge"].result, items["gate_edge"].detail) == edge
    assert (items["gate_conformal"].result, items["gate_conformal"].detail) == conformal


def test_it_is_due_every_hundred_cycles():
    """Not at the start, at 100 and 200, and not between."""
    assert [number for number in range(301) if checklist_due(number, PARAMETERS)] == [100, 200, 300]


def test_codes_do_not_depend_on_the_facts():
    """A dashboard finds the same lines whatever happened."""
    facts = ChecklistFacts(
        cycles_due=0, cycles_decided=0, symbols_unexplained=0, exceptions=9, throttles=None, blend_weight_error=math.nan
    )
    assert list(by_code(healthy())) == list(by_code(monitor_memory(PARAMETERS), facts))


def test_items_can_be_written_down():
    """An item is plain values, so it travels in an event or a metric."""
    item = by_code(healthy())["churn"]
    assert msgspec.json.decode(msgspec.json.encode(item))["code"] == "churn"
