"""The tear sheet, and the pictures where the data are unusual."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from walstreet.runtime.errors import UsageError
from walstreet_services.cli.bot_pictures import draw_heatmap, draw_weights
from walstreet_services.cli.bot_sheet import table, write_sheet

pytestmark = [pytest.mark.spec("004.backtest")]

BotRunner = Callable[..., int]
PICTURES = 12
"""Four of the backtest, six of the walk-forward, two of the permutation test."""


class Balanced(HTMLParser):
    """Fails on a tag that is closed and was not open."""

    VOID = ("meta", "img", "br", "link")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember the tag, and where a picture comes from."""
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "img":
            self.images.append(dict(attrs)["src"] or "")

    def handle_endtag(self, tag: str) -> None:
        """Close the innermost tag, which must be this one."""
        assert self.open.pop() == tag, tag


def test_everything_is_on_one_page(backtest_folder: Path) -> None:
    """Three verbs, every picture inside the page, no script, nothing from elsewhere, well formed."""
    page = (backtest_folder / "tearsheet.html").read_text(encoding="utf-8")
    reader = Balanced()
    reader.feed(page)
    assert reader.open == []
    assert len(reader.images) == PICTURES
    assert all(source.startswith("data:image/png;base64,") for source in reader.images)
    for text in ("<h2>Backtest</h2>", "<h2>Walk-forward, out of sample</h2>", "<h2>Permutation test</h2>"):
        assert text in page
    bare = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]*", "", page)
    assert "<script" not in bare
    assert "http" not in bare
    assert "come from different inputs" not in page


def test_the_page_is_made_from_the_folder_alone(backtest_folder: Path) -> None:
    """Writing it again gives the same bytes."""
    before = (backtest_folder / "tearsheet.html").read_bytes()
    assert write_sheet(backtest_folder).read_bytes() == before


def test_parts_of_different_inputs_are_called_out(run_bot: BotRunner, tmp_path: Path) -> None:
    """A walk-forward of other days under an older backtest is said at the top of the page."""
    assert run_bot("backtest", "--end", "2016-03-01", out=tmp_path) == 0
    assert run_bot("walkforward", out=tmp_path) == 0
    page = (tmp_path / "tearsheet.html").read_text(encoding="utf-8")
    assert "come from different inputs (last, parameters_sha256)" in page


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    """A metrics.json that another program wrote is named, broken JSON too."""
    (tmp_path / "metrics.json").write_text(json.dumps({"verb": "backtest"}))
    with pytest.raises(UsageError, match=r"this version of bot did not write"):
        write_sheet(tmp_path)
    (tmp_path / "metrics.json").write_text("{")
    with pytest.raises(UsageError, match=r"cannot be read as JSON"):
        write_sheet(tmp_path)


def test_texts_are_escaped() -> None:
    """A text with markup is shown, not obeyed; only columns of numbers stand to the right."""
    html = table((("name", "value"), [("<b>", "1.5%"), ("x", "n/a")]))
    assert "&lt;b&gt;" in html
    assert html.count("<td class=n>") == 2


def test_many_symbols_become_one_area(tmp_path: Path) -> None:
    """Thirty symbols, some never held, are drawn."""
    dates = np.arange(16_000, 16_050, dtype=np.int32)
    held = np.random.default_rng(1).uniform(0.0, 0.03, (50, 30))
    held[:, 7] = 0.0
    path = tmp_path / "weights.png"
    draw_weights(path, dates, [f"S{index:02d}" for index in range(30)], held, title="Held")
    assert path.stat().st_size > 5_000


def test_pictures_do_not_depend_on_the_users_style(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A style of the process changes no byte, and is in force again afterwards."""
    import matplotlib as mpl

    months = {"2020-01": 0.01, "2020-02": -0.02}
    draw_heatmap(tmp_path / "a.png", months, title="T")
    monkeypatch.setitem(mpl.rcParams, "font.size", 20.0)
    draw_heatmap(tmp_path / "b.png", months, title="T")
    assert mpl.rcParams["font.size"] == 20.0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert b"tIME" not in (tmp_path / "a.png").read_bytes()
