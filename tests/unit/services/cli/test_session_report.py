"""Owns the tests of a session's end: invariants, JSON, summary table, report.html, its charts and the live view."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from walstreet.adapters.nats.reader import RawMessage
from walstreet.replay.summary import Series, Summary
from walstreet.replay.verify import TapeFault, TapeReport
from walstreet.runtime.settings import Settings
from walstreet.testing.events_base import BAR_NS, CLOSE_NS, OPEN_NS, clock_tick
from walstreet.testing.tapes import MemoryTape
from walstreet_events import OrderState, subject_of
from walstreet_services.cli import view as view_module
from walstreet_services.cli.outcome import (
    OPEN_STATES,
    Outcome,
    as_json,
    broken_invariants,
    print_outcome,
    summary_rows,
    write_json,
)
from walstreet_services.cli.report import render, write_report
from walstreet_services.cli.svg import POINTS_MAX, bars, lines
from walstreet_services.cli.view import SessionView

HOSTILE = "<script>alert('x')</script> & \"y\""


def sound() -> Outcome:
    """Return a session in which everything holds."""
    summary = Summary(
        session_date="2026-11-20", market="synthetic", symbols=("AAA", "BBB"), bars=2, bars_expected=2, decisions=2
    )
    summary.bars_by_symbol.update({"AAA": 2, "BBB": 2})
    summary.recon_reports["clean"] = 3
    summary.verdicts.update({"hold": 3, "accepted": 1})
    summary.order_states.update({"filled": 2})
    summary.modes.append((OPEN_NS, "live", "first_clean_reconciliation"))
    summary.positions.update({"AAA": 100.0, "BBB": 0.0})
    summary.equity_first, summary.equity_last = 1000.0, 1010.5
    summary.hashes = {"decisions": "ab" * 32}
    summary.latency_ms = {
        "bar_to_decision": {"p50": 1.0, "p90": 2.0, "p99": 3.0, "max": 4.0, "samples": 2},
        "bar_to_order": {"samples": 0},
    }
    summary.series = Series(
        ts_ns=[OPEN_NS, OPEN_NS + BAR_NS], equity=[1000.0, 1010.5], gross=[0.1, 0.2], net=[0.1, -0.2]
    )
    return Outcome(
        summary=summary,
        tape=TapeReport(messages=9, first_seq=1, last_seq=9, bytes=900),
        dead_letters=0,
        restarts={"gateway": 0},
        memory_peak_kib={"gateway": 2048, "arbiter": 1024},
        cpu_s={"gateway": 1.5, "arbiter": 0.5},
        elapsed_s=1.5,
        failure="",
        state="state/run-1",
        settings=Settings(),
        seed=7,
    )


def break_nothing(_: Outcome) -> None:
    """Change nothing."""


def fail(outcome: Outcome) -> None:
    """End before the close."""
    outcome.failure = "arbiter gave up"


def damage_tape(outcome: Outcome) -> None:
    """Find a fault on the TAPE."""
    outcome.tape.add(TapeFault(stream_seq=4, subject="x", kind="digest", detail="content changed"))


def bury(outcome: Outcome) -> None:
    """Keep a dead letter."""
    outcome.dead_letters = 2


def lose_bar(outcome: Outcome) -> None:
    """Miss a minute of one symbol."""
    outcome.summary.bars_by_symbol["BBB"] = 1


def lose_symbol(outcome: Outcome) -> None:
    """Never see a bar of one symbol."""
    del outcome.summary.bars_by_symbol["BBB"]


def miss_decision(outcome: Outcome) -> None:
    """Miss a cycle."""
    outcome.summary.decisions = 1


def break_books(outcome: Outcome) -> None:
    """Disagree with the broker."""
    outcome.summary.recon_breaks["quantity"] = 1


def never_reconcile(outcome: Outcome) -> None:
    """Reconcile only with breaks."""
    outcome.summary.recon_reports.clear()
    outcome.summary.recon_reports["unknown"] = 4


def leave_open(outcome: Outcome) -> None:
    """End with an order whose fate is not known."""
    outcome.summary.order_states["unknown"] = 1


def have_no_session(outcome: Outcome) -> None:
    """Never learn of a session: no symbols, nothing expected, nothing done."""
    summary = outcome.summary
    summary.symbols, summary.bars_expected, summary.decisions = (), 0, 0


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (fail, "did not reach its close: arbiter gave up"),
        (damage_tape, "the TAPE has 1 faults, first at 4: content changed"),
        (bury, "2 dead letters; `walstreet tape dead --state state/run-1`"),
        (lose_bar, "BBB: 1 of 2 minutes"),
        (lose_symbol, "BBB: 0 of 2 minutes"),
        (miss_decision, "1 decisions for 2 cycles"),
        (break_books, "reconciliation breaks: quantity 1"),
        (never_reconcile, "no clean reconciliation"),
        (leave_open, "orders without a final state: {'unknown': 1}"),
        (have_no_session, "names no session"),
    ],
)
def test_each_invariant_fires_alone(change: object, text: str) -> None:
    """One thing that is wrong is one sentence, and it names the thing."""
    outcome = sound()
    change(outcome)
    broken = broken_invariants(outcome)
    assert len(broken) == 1
    assert text in broken[0]


def test_a_sound_session_breaks_nothing() -> None:
    """No invariant fires without a reason."""
    assert broken_invariants(sound()) == []


def test_every_state_of_an_order_is_open_or_final() -> None:
    """A state that a later version adds counts as open until it is declared final."""
    final = {"filled", "cancelled", "rejected", "expired"}
    assert set(OPEN_STATES) | final == {state.value for state in OrderState}
    assert not set(OPEN_STATES) & final


def test_the_json_is_json_and_says_whether_all_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same content goes to a file and to standard output."""
    outcome = sound()
    target = tmp_path / "summary.json"
    write_json(outcome, str(target))
    write_json(outcome, "-")
    found = json.loads(target.read_text())
    assert json.loads(capsys.readouterr().out) == found == json.loads(json.dumps(as_json(outcome)))
    assert found["ok"] is True
    assert found["positions"] == {"AAA": 100.0}
    assert found["memory_total_mib"] == 3.0
    assert found["equity"]["change"] == 10.5
    outcome.broken.append("something")
    assert as_json(outcome)["ok"] is False


def test_the_summary_prints_texts_that_look_like_markup() -> None:
    """A broken invariant quotes a log; what stands in brackets there is text, whatever rich makes of brackets."""
    outcome = sound()
    outcome.broken.append("arbiter ended with code 1: [/tmp/x] [bold]KeyError[/bold]")
    console = Console(file=io.StringIO(), width=200)
    print_outcome(console, outcome, Path("report.html"))
    output = console.file
    assert isinstance(output, io.StringIO)
    assert "broken: arbiter ended with code 1: [/tmp/x] [bold]KeyError[/bold]" in output.getvalue()
    assert "all invariants hold" not in output.getvalue()


def test_the_summary_of_nothing_has_every_row() -> None:
    """A session that ended before it began has a summary as well."""
    empty = sound()
    empty.summary = Summary()
    rows = dict(summary_rows(empty))
    assert rows["equity"] == "unknown"
    assert rows["verdicts"] == "none"
    assert rows["bars"].startswith("0 of 0")


def test_the_report_shows_the_session() -> None:
    """Title, verdict, tables and pictures are there, and the page needs nothing from elsewhere."""
    page = render(sound())
    assert "walstreet session 2026-11-20" in page
    assert "All invariants hold" in page
    assert page.count("<svg") == 3
    assert "<td>AAA</td><td class='n'>+100</td>" in page
    assert "<td>BBB</td><td class='n'>+0</td>" not in page
    assert not re.search(r"<script|<link|src=|href=|https?://", page)


def test_the_report_of_a_session_without_a_decision_renders(tmp_path: Path) -> None:
    """Zero decisions, zero positions, zero latency: a page without pictures, and with the reason."""
    outcome = sound()
    outcome.summary = Summary()
    outcome.broken.extend(broken_invariants(outcome))
    path = tmp_path / "report.html"
    write_report(outcome, path)
    page = path.read_text(encoding="utf-8")
    assert "<svg" not in page
    assert "Flat." in page
    assert "names no session" in page
    assert page.endswith("</html>")


def test_the_report_of_one_decision_renders() -> None:
    """A single point is no line, but everything else is there."""
    outcome = sound()
    outcome.summary.series = Series(ts_ns=[OPEN_NS], equity=[1.0], gross=[0.0], net=[0.0])
    page = render(outcome)
    assert "<h2>Equity</h2>" not in page
    assert "<h2>Verdicts</h2>" in page


def test_the_report_escapes_every_text_that_comes_from_outside() -> None:
    """Names of symbols, reasons, refusals and logs are text wherever they stand."""
    outcome = sound()
    summary = outcome.summary
    summary.market = summary.session_date = HOSTILE
    summary.symbols = (HOSTILE,)
    summary.positions[HOSTILE] = 5.0
    summary.modes.append((OPEN_NS, HOSTILE, HOSTILE))
    summary.verdicts[HOSTILE] = 2
    summary.orders_refused[HOSTILE] = 1
    summary.hashes[HOSTILE] = HOSTILE
    summary.latency_ms[HOSTILE] = dict(summary.latency_ms["bar_to_decision"])
    outcome.broken.append(HOSTILE)
    page = render(outcome)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 10


def parsed(svg: str) -> ET.Element:
    """Return the picture's tree; a picture that is no XML fails here."""
    return ET.fromstring(svg)  # noqa: S314 - made by the code under test


def test_lines_keep_their_first_and_last_point() -> None:
    """Thinning a long series must not cut the session's end."""
    count = 2 * POINTS_MAX + 1
    labels = [str(number) for number in range(count)]
    tree = parsed(lines(labels, [("a", "red", [float(number) for number in range(count)])], unit="USD", label="x"))
    (polyline,) = tree.iter("polyline")
    points = polyline.attrib["points"].split()
    assert len(points) <= POINTS_MAX + 2
    assert points[0].startswith("84.0,")
    assert points[-1] == "908.0,18.0"


def test_a_missing_value_is_a_gap_in_the_line() -> None:
    """Two stretches of a line are two strokes, and a value that stands alone is still seen."""
    values = [1.0, 2.0, float("nan"), 3.0, float("nan"), 2.0, 1.0]
    labels = [str(number) for number in range(len(values))]
    tree = parsed(lines(labels, [("a", "red", values)], unit="%", label="x"))
    strokes = [polyline.attrib["points"].split() for polyline in tree.iter("polyline")]
    assert [len(points) for points in strokes] == [2, 2, 2]
    assert strokes[1][0] == strokes[1][1]


def test_given_bounds_hold_the_axis() -> None:
    """A share between 40 and 60 % is drawn on an axis from 0 to 100."""
    tree = parsed(lines(["0", "1"], [("a", "red", [50.0, 50.0])], unit="%", label="x", bounds=(0.0, 100.0)))
    texts = [text.text for text in tree.iter("text")]
    assert {"0", "25", "50", "75", "100"} <= set(texts)
    (polyline,) = tree.iter("polyline")
    # Halfway between the top at 18 and the bottom at 214.
    assert polyline.attrib["points"].split()[0] == "84.0,116.0"


@pytest.mark.parametrize("values", [[], [5.0], [5.0, 5.0], [float("nan"), 1.0, float("inf"), 2.0], [float("nan")]])
def test_lines_survive_odd_series(values: list[float]) -> None:
    """No values, equal values and missing values give a picture with finite coordinates."""
    svg = lines([str(number) for number in range(len(values))], [("a", "red", values)], unit="USD", label="x")
    parsed(svg)
    assert "nan" not in svg
    assert "inf" not in svg


def test_lines_and_bars_escape_their_texts() -> None:
    """Labels, names and units are text."""
    parsed(lines([HOSTILE, "b"], [(HOSTILE, "red", [1.0, 2.0])], unit=HOSTILE, label=HOSTILE))
    parsed(bars([(HOSTILE, 1.0)], label=HOSTILE))


def test_bars_are_proportional_and_may_be_empty() -> None:
    """Half the value is half the width; zeros and no rows divide by nothing."""
    widths = [float(rect.attrib["width"]) for rect in parsed(bars([("a", 4.0), ("b", 2.0)], label="x")).iter("rect")]
    assert widths[0] == pytest.approx(2 * widths[1])
    parsed(bars([("a", 0.0)], label="x"))
    parsed(bars([], label="x"))


def shown(*, live: bool = False) -> tuple[SessionView, io.StringIO]:
    """Return a view and what it prints."""
    output = io.StringIO()
    view = SessionView(Console(file=output, width=120, force_terminal=live), live=live)
    view.begin(OPEN_NS, CLOSE_NS)
    return view, output


def test_plain_lines_show_progress_once_per_step() -> None:
    """Without a terminal there are a few lines, not one for each refresh."""
    view, output = shown()
    tape = MemoryTape()
    for part in (0.0, 0.5, 0.5, 0.51, 1.0):
        view.observe(tape.append(clock_tick(OPEN_NS + int(part * (CLOSE_NS - OPEN_NS)))))
        view.refresh(Summary(), {})
    text = output.getvalue().splitlines()
    assert [re.findall(r"\d+%", line)[0] for line in text] == ["0%", "50%", "100%"]
    assert "mode observe" in text[0]


def test_the_live_view_draws_and_ends() -> None:
    """On a terminal the table shows mode, counts and positions."""
    view, output = shown(live=True)
    outcome = sound()
    view.observe(MemoryTape().append(clock_tick(OPEN_NS)))
    view.refresh(outcome.summary, {"gateway": 1})
    view.end()
    text = output.getvalue()
    for part in ("mode live", "decisions 2", "restarts 1", "AAA +100"):
        assert part in text


def test_a_damaged_clock_does_not_end_the_view() -> None:
    """The verifier reports it; the view keeps the time it had."""
    view, output = shown()
    view.observe(RawMessage(1, subject_of(clock_tick(OPEN_NS)), {}, b"\xc1"))
    view.refresh(Summary(), {})
    assert "--:--:--" in output.getvalue()


def test_a_session_of_no_length_is_drawn() -> None:
    """Open and close at the same instant divide by nothing."""
    view, output = shown()
    view.begin(OPEN_NS, OPEN_NS)
    view.refresh(Summary(), {})
    assert output.getvalue()


def test_the_rate_is_of_the_last_seconds_and_not_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of messages a second are shown as such, and old ones leave the window."""
    view, _ = shown()
    message = MemoryTape().append(clock_tick(OPEN_NS))
    assert view._rate(100.0) == 0.0
    for _ in range(20_000):
        view.observe(message)
    assert view._rate(101.0) == pytest.approx(20_000.0)
    assert view._rate(101.0 + 2 * view_module.RATE_WINDOW_S) == 0.0
