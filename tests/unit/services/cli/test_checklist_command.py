"""Owns the tests of `walstreet checklist` and of how gates and checklist are shown in summary and report."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from walstreet.domain.monitor_parameters import MonitorParameters
from walstreet.replay.checklist_log import ChecklistLog
from walstreet.replay.summary import Summarizer, Summary
from walstreet.replay.verify import TapeReport
from walstreet.runtime.errors import EXIT_BROKEN, EXIT_OK, EXIT_USAGE
from walstreet.runtime.settings import Settings
from walstreet.testing.events_base import session_ref
from walstreet.testing.tapes import MemoryTape, flipped
from walstreet.testing.watched_session import answers, closed, decision, price_bar, volatility
from walstreet_events import AnyEvent, Verdict
from walstreet_services.cli.__main__ import main, parser
from walstreet_services.cli.checklist_command import show
from walstreet_services.cli.checks import (
    checklist_json,
    checklist_rows,
    checklist_text,
    gate_rows,
    gates_json,
    gates_text,
)
from walstreet_services.cli.outcome import Outcome, as_json, print_outcome, summary_rows
from walstreet_services.cli.report import render

CYCLES = 120
PATTERN = (
    (Verdict.ACCEPTED, Verdict.NO_ALPHA),
    (Verdict.CONF_BLOCK, Verdict.NO_ALPHA),
    (Verdict.ACCEPTED, Verdict.BELOW_THETA),
    (Verdict.CONF_BLOCK, Verdict.STALE_QUOTE),
)
"""Of eight symbols one is stale, two are blocked, two have no edge, one is below the reserve, two get an order."""


def tape(cycles: int = CYCLES, *, undecided: int = -1) -> MemoryTape:
    """Return a session of ``cycles`` minutes that repeats ``PATTERN``; one cycle may lack its decision."""
    events: list[AnyEvent] = [session_ref()]
    for number in range(cycles):
        events += [
            price_bar(number, [100.0, 50.0], [100.0, 50.0], [100.0, 50.0]),
            volatility(number, [10.0, 10.0]),
            answers(number, [[0.1, 0.1], [0.3, 0.4], [0.2, 0.6]]),
        ]
        if number != undecided:
            events.append(decision(number, PATTERN[number % len(PATTERN)]))
    return MemoryTape().extend([*events, closed()])


def summarized(*, undecided: int = -1, asked_min: int = 100) -> Summary:
    """Return the summary of such a session."""
    summarizer = Summarizer(MonitorParameters(gate_asked_min=asked_min))
    summarizer.take(tape(undecided=undecided).messages)
    return summarizer.finish()


def outcome_of(summary: Summary) -> Outcome:
    """Return the session's end around a summary."""
    return Outcome(
        summary=summary,
        tape=TapeReport(messages=1, first_seq=1, last_seq=1, bytes=1),
        dead_letters=0,
        restarts={},
        memory_peak_kib={},
        cpu_s={},
        elapsed_s=1.0,
        failure="",
        state="state/run-1",
        settings=Settings(),
        seed=7,
    )


def test_rates_are_shown_of_gates_that_were_asked() -> None:
    """240 symbols: 30 are stale, 60 of 210 without an edge, 60 of 150 blocked, 30 of 90 below the reserve.

    So 210/240 = 87.5 % pass freshness, 150/210 = 71.4 % have an edge, 90/150 = 60 % of those pass the conformal gate
    and 60/90 = 66.7 % clear the reserve.
    """
    summary = summarized()
    assert gate_rows(summary)[:5] == [
        ("fresh", "240", "210", "87.5", "guards only"),
        ("prediction", "210", "210", "100.0", "guards only"),
        ("edge", "210", "150", "71.4", "passed"),
        ("conformal", "150", "90", "60.0", "passed"),
        ("reserve", "90", "60", "66.7", "guards only"),
    ]
    assert gates_text(summary).startswith(
        "fresh 88 % of 240, prediction 100 % of 210, edge 71 % of 210, conformal 60 %"
    )
    assert dict(summary_rows(outcome_of(summary)))["gates"] == gates_text(summary)
    assert gates_json(summary)["edge"] == {"asked": 210, "passed": 150, "rate": 150 / 210, "result": "passed"}
    assert gates_json(summary)["conformal"] == {"asked": 150, "passed": 90, "rate": 0.6, "result": "passed"}


def test_a_gate_without_a_question_is_left_out_and_null_for_machines() -> None:
    """Nothing is said of what never happened, and NaN is no JSON."""
    summarizer = Summarizer()
    summarizer.take(MemoryTape().extend([decision(0, (Verdict.STALE_QUOTE, Verdict.STALE_QUOTE))]).messages)
    summary = summarizer.finish()
    assert [row[0] for row in gate_rows(summary)] == ["fresh"]
    assert gates_json(summary)["edge"] == {"asked": 0, "passed": 0, "rate": None, "result": "unknown"}
    assert gates_text(Summary()) == "none asked"
    json.dumps(as_json(outcome_of(summary)), allow_nan=False)


@pytest.mark.parametrize(
    ("verdicts", "text"),
    [
        ((Verdict.ACCEPTED, Verdict.ACCEPTED), "failed: always lets through"),
        ((Verdict.CONF_BLOCK, Verdict.CONF_BLOCK), "failed: never lets through"),
        ((Verdict.CONF_BLOCK, Verdict.ACCEPTED), "passed"),
    ],
)
def test_a_selective_gate_that_does_not_select_is_named(verdicts: tuple[Verdict, ...], text: str) -> None:
    """Always and never are both defects, in table and line; all of these symbols have an edge, so that is an always."""
    summarizer = Summarizer(MonitorParameters(gate_asked_min=2))
    summarizer.take(MemoryTape().extend([decision(0, verdicts)]).messages)
    summary = summarizer.finish()
    rows = {row[0]: row[-1] for row in gate_rows(summary)}
    assert (rows["edge"], rows["conformal"]) == ("failed: always lets through", text)
    parts = {part.split(" ", maxsplit=1)[0]: part for part in gates_text(summary).split(", ")}
    assert parts["edge"] == "edge 100 % of 2 (failed: always lets through)"
    assert parts["conformal"].endswith(f" % of 2 ({text})" if "failed" in text else " % of 2")


def test_a_gate_that_was_asked_too_rarely_is_unknown() -> None:
    """A few symbols say nothing about a gate."""
    rows = {row[0]: row[-1] for row in gate_rows(summarized(asked_min=10_000))}
    assert rows["conformal"] == "unknown: asked too rarely"


def test_the_checklist_is_worded() -> None:
    """The newest evaluation in full, the older ones by what failed in them."""
    log = summarized(undecided=50).checklist
    assert [found.cycle for found in log.evaluations] == [100, 119]
    found = checklist_json(log)
    assert [entry["failed"] for entry in found["evaluations"]] == [["every_cycle_decided"], []]
    assert found["failed_at_any_time"] == {"every_cycle_decided": 1}
    assert "failed at any time: every_cycle_decided (1 of 2)" in checklist_text(log)
    assert ("every_cycle_decided", "passed", "0", "0", "19 decisions for 19 prediction blocks") in checklist_rows(log)
    assert ("coverage_5m", "unknown", "-", "0.8", "0 outcomes, allowed distance 0.05") in checklist_rows(log)
    json.dumps(found, allow_nan=False)


def test_a_session_without_a_cycle_has_no_checklist() -> None:
    """It says so instead of showing an empty table."""
    assert checklist_text(ChecklistLog()) == "not evaluated: no cycle was recorded"
    assert checklist_rows(ChecklistLog()) == []


def test_the_summary_of_a_session_has_gates_and_checklist() -> None:
    """In the JSON and in the printed table."""
    outcome = outcome_of(summarized())
    found = as_json(outcome)
    assert found["gates"]["edge"]["asked"] == 210
    assert found["gates"]["conformal"]["asked"] == 150
    assert found["checklist"]["last"][0]["code"] == "coverage_5m"
    console = Console(file=io.StringIO(), width=200)
    print_outcome(console, outcome, Path("report.html"))
    output = console.file
    assert isinstance(output, io.StringIO)
    assert "edge 71 % of 210, conformal 60 % of 150" in output.getvalue()
    assert "failed at any time: nothing" in output.getvalue()


def test_the_report_draws_the_gates_and_lists_the_checklist() -> None:
    """Both selective gates are lines between 0 and 100 %, and every item of the checklist is a row.

    Without the 51st decision, of an order and a symbol below the reserve, the edge was asked 210 - 2 times, of which it
    stopped 60, and the conformal gate 150 - 2 times, of which it stopped 60.
    """
    summary = summarized(undecided=50)
    page = render(outcome_of(summary))
    gates = page[page.index("<h2>Gates</h2>") : page.index("<h2>Checklist</h2>")]
    assert "conformal (%)" in gates
    assert "edge (%)" in gates
    assert len(re.findall("<polyline", gates)) == 2
    assert ">100</text>" in gates
    assert "<td>edge</td><td class='n'>208</td><td class='n'>148</td>" in gates
    assert "<td>conformal</td><td class='n'>148</td><td class='n'>88</td>" in gates
    checklist = page[page.index("<h2>Checklist</h2>") : page.index("<h2>Positions")]
    # Numbers stand to the right although some are missing.
    assert "<td class='n'>-</td><td class='n'>0.8</td>" in checklist
    assert "<td class='n'>-</td><td class='n'>1e-09</td>" in checklist
    assert summary.checklist.last is not None
    for item in summary.checklist.last.items:
        assert f"<td>{item.code}</td>" in checklist
    assert "<td class='good'>passed</td>" in checklist
    assert "every_cycle_decided (1 of 2)" in checklist
    assert "blend_weights_sum: the sum of a blend" in checklist


def test_a_failed_item_is_red_in_the_report() -> None:
    """The newest evaluation of a session without decisions."""
    summarizer = Summarizer()
    summarizer.take([message for message in tape(2).messages if message.subject != "decision.cycle"])
    page = render(outcome_of(summarizer.finish()))
    assert "<td>every_cycle_decided</td><td class='bad'>failed</td>" in page


def test_a_sound_tape_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    """Gates, items, every evaluation and what is not recorded are printed."""
    assert show(tape().messages, as_json=False) == EXIT_OK
    text = capsys.readouterr().out
    assert "session 2026-11-20, 120 decisions" in text
    for part in ("conformal", "71.4", "every_cycle_decided", "after 100 cycles, at 2026-11-20 11:10:00", "blend_we"):
        assert part in text


def test_a_failure_at_any_time_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    """Also one that the newest evaluation no longer shows, in text and JSON."""
    assert show(tape(undecided=50).messages, as_json=False) == EXIT_BROKEN
    assert "failed every_cycle_decided" in capsys.readouterr().out
    assert show(tape(undecided=50).messages, as_json=True) == EXIT_BROKEN
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is False
    assert found["checklist"]["failed_at_any_time"] == {"every_cycle_decided": 1}
    assert found["cycles"] == 119


def test_what_cannot_be_read_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    """A checklist that misses messages is not to be trusted."""
    messages = tape().messages
    messages[1] = flipped(messages[1], 0)
    assert show(messages, as_json=False) == EXIT_BROKEN
    assert "1 messages cannot be read" in capsys.readouterr().out


def test_an_empty_tape_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing failed, and nothing was checked."""
    assert show([], as_json=False) == EXIT_OK
    assert "not evaluated: no cycle was recorded" in capsys.readouterr().out


def test_the_command_is_registered_and_names_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder without a TAPE ends with the code for bad input."""
    options = parser("checklist").parse_args(["checklist", "--state", "x", "--json"])
    assert (options.state, options.json, options.url) == ("x", True, None)
    assert main(["checklist", "--state", str(tmp_path)]) == EXIT_USAGE
    assert "holds no TAPE" in capsys.readouterr().err
