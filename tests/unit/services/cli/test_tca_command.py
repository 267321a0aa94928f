"""Owns the tests of how costs are shown: rows that add up, JSON without NaN, pictures that are pictures."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from walstreet.domain.tca import PARTS
from walstreet.replay.tca_log import TcaLog, combined_rows
from walstreet.replay.tca_statistics import calibration, fill_rates, markout_points, mean_and_half_band, wilson
from walstreet.runtime.cores import reconciler_core, tunables
from walstreet.runtime.errors import UsageError
from walstreet.runtime.settings import Settings
from walstreet.testing.events import session_ref
from walstreet.testing.events_base import OPEN_NS
from walstreet.testing.events_orders import order_commission, order_examples, order_filled, order_submitting
from walstreet.testing.events_tca import RESERVE_PATH, tca_examples
from walstreet.testing.tapes import MemoryTape
from walstreet_events import (
    ROOT,
    IntentBlock,
    MarkoutBlock,
    MarkSeen,
    ParameterChange,
    ParameterTuned,
    derive_id,
)
from walstreet_services.cli.param_command import Book, ChainHead, full_path, note_messages
from walstreet_services.cli.report import _table
from walstreet_services.cli.tca_command import content, show
from walstreet_services.cli.tca_pictures import FILES, draw_all
from walstreet_services.cli.tca_section import tca_section
from walstreet_services.cli.tca_tables import HEADS, cost_rows, notes, parts_bps, split_rows, total_bps

PNG = b"\x89PNG\r\n\x1a\n"
S = 1_000_000_000


def log(*, filled: bool = True) -> TcaLog:
    """Return the log of one session: 40 of 100 shares bought .04 above the mid, the rest expired unmarked."""
    block = next(event for event in order_examples(OPEN_NS) if isinstance(event, IntentBlock))
    found = TcaLog()
    found.take([session_ref(), block])
    if filled:
        fill = order_filled(OPEN_NS + 5 * S, price_nano=100_290_000_000)
        seen = [
            MarkSeen(
                reference=fill.exec_id,
                symbol="AAA",
                offset_s=offset,
                bid_nano=100_250_000_000,
                ask_nano=100_270_000_000,
                quote_ts_ns=OPEN_NS,
            )
            for offset in (0, 1, 5)
        ]
        marks = MarkoutBlock(id=derive_id("m", "m", 0), cause=ROOT, ts_ns=OPEN_NS + 40 * S, marks=tuple(seen))
        found.take([order_submitting(OPEN_NS), fill, order_commission(OPEN_NS + 6 * S), marks])
    found.take(tca_examples())
    return found.finish()


def test_rows_have_a_cell_for_every_head_and_add_up() -> None:
    """Spread .03, timing .01 on 40 shares and .35 of fees: 1.95 USD; the parts in bps are the total's."""
    rows = combined_rows(log().sessions)
    assert all(len(cells) == len(HEADS) for row in rows for cells in cost_rows(rows, row.by))
    whole = rows[0]
    assert [text for _, text, _ in split_rows(whole)] == ["1.20", "0.00", "0.40", "0.00", "0.35", "0.00", "1.95"]
    assert sum(parts_bps(whole)) == pytest.approx(total_bps(whole), abs=1e-9)
    assert total_bps(whole) == pytest.approx(1.95 / 10_025 * 1e4, abs=1e-6)
    assert notes(whole) == ["$6,015.00 not filled has no mark at its end, so that its opportunity cost is unknown"]


def test_json_is_json() -> None:
    """No NaN, every part by name, the tuning with its reason, unknown numbers null."""
    found = log()
    text = json.dumps(content(found, found.sessions, combined_rows(found.sessions), []), allow_nan=False)
    told = json.loads(text)
    assert tuple(told["groups"]["all"][0]["parts_bps"]) == PARTS
    assert told["groups"]["all"][0]["predicted_bps"] is None
    assert told["markouts"][3] == {"offset_s": 30, "count": 0, "mean_bps": None, "low_bps": None, "high_bps": None}
    assert told["reports"][0]["proposals"][0]["reason"] == "moved"
    assert told["changes"][0]["path"] == RESERVE_PATH


def test_the_tables_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Every kind of group, what is missing, the tuning and the change; without orders it says so."""
    found = log()
    show(found, found.sessions, combined_rows(found.sessions), [])
    text = capsys.readouterr().out
    for word in ("Per horizon", "Per symbol", "Per hour", "opportunity cost is unknown", "2.0 -> 2.25 by autotune"):
        assert word in text
    show(TcaLog(), [], (), [])
    assert "no parent order" in capsys.readouterr().out


def test_the_section_of_the_report() -> None:
    """A waterfall, the split and the tuning; nothing at all for a session without parents."""
    text = tca_section(log(), _table)
    assert text.count("<svg") == 1
    for word in ("Transaction costs", "unattributed", "Tuning after", RESERVE_PATH):
        assert word in text
    assert tca_section(TcaLog().finish(), _table) == ""


@pytest.mark.parametrize("filled", [True, False])
def test_pictures_are_drawn_also_of_little(tmp_path: Path, filled: bool) -> None:
    """Four PNG files from one parent, and from one that was never sent."""
    found = log(filled=filled)
    paths = draw_all(tmp_path / "out", combined_rows(found.sessions)[0], found.costs, "a $ day")
    assert [path.name for path in paths] == list(FILES)
    for path in paths:
        assert path.read_bytes().startswith(PNG)
    assert draw_all(tmp_path / "none", None, (), "none")[0].stat().st_size > 1_000


def test_statistics_by_hand() -> None:
    """Markout .03 of 100.25; 19 of 20 in Wilson's interval is .764 to .991; the band of (1, 3) is 1.96."""
    found = log()
    first = markout_points(found.costs)[0]
    assert (first.offset_s, first.count) == (0, 1)
    assert first.mean_bps == pytest.approx(0.03 / 100.25 * 1e4)
    assert math.isnan(first.low_bps)
    assert calibration(found.costs) == ()
    (rate,) = fill_rates(found.costs)
    assert (rate.sent, rate.filled, rate.rate) == (1, 0, 0.0)
    assert wilson(19, 20) == (pytest.approx(0.7639, abs=1e-3), pytest.approx(0.9911, abs=1e-3))
    assert mean_and_half_band([1.0, 3.0]) == (2.0, pytest.approx(1.959964))


def test_param_knows_what_tuning_changed() -> None:
    """A tuned change is in force, and an undo finds what was before it, whoever changed last."""
    tuned = next(event for event in tca_examples() if isinstance(event, ParameterTuned))
    by_hand = ParameterChange(
        id=derive_id("c", "c", 0), cause=ROOT, ts_ns=1, path=RESERVE_PATH, value="3.0", previous="2.25", operator="anna"
    )
    book = Book(base=Settings(), changes=[], head=ChainHead(), epoch_seq=0, ts_ns=0)
    note_messages(book, MemoryTape().extend([tuned, by_hand]).messages)
    assert [change.value for change in book.changes] == ["2.25", "3.0"]
    assert book.value(RESERVE_PATH) == "3.0"
    assert book.changes[0].previous == "2.0"
    assert full_path("tca.autotune") == "reconciler.tca.autotune"


def test_what_tuning_may_reach_is_allowed_by_its_owner() -> None:
    """The defaults are; bounds beyond the owner's, and a report after the last tick, are refused at the start."""
    assert tunables(Settings()) == {
        "arbiter.arbitration.reserve_bps": 2.0,
        "execution.drift_bps_max": 50.0,
        "execution.market.spread_bps_max": 12.0,
    }
    from walstreet.runtime.config import convert

    wide = convert(
        {"reconciler": {"tca": {"spread": {"low": 6, "high": 60, "step": 1, "deadband": 0.5}}}}, Settings, "x"
    )
    with pytest.raises(UsageError, match=r"would tune execution\.market\.spread_bps_max to 60"):
        reconciler_core(wide)
    late = convert({"reconciler": {"tca": {"report_delay_s": 90}}}, Settings, "x")
    with pytest.raises(UsageError, match="choose a smaller delay"):
        reconciler_core(late)
