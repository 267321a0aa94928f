"""`walstreet calibrate` for a recorded day looks only at earlier sessions, and `walstreet up` finds what it wrote."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import msgspec
import pytest

from walstreet.domain.conformal_history import decode_history
from walstreet.runtime.errors import EXIT_OK, EXIT_USAGE
from walstreet.runtime.settings import load_settings
from walstreet_services.cli.calibrate import main
from walstreet_services.cli.recorded import HISTORY_FILE, with_history, with_models
from walstreet_services.ibsim.market_recorded import RecordedMarket, recorded_identity

ROOT = Path(__file__).resolve().parents[4]
DAY = date(2019, 2, 13)
NEXT = date(2019, 2, 14)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the shipped zoo, because histories are written beside the models."""
    folder = tmp_path_factory.mktemp("zoo") / "models"
    shutil.copytree(ROOT / "models", folder, ignore=shutil.ignore_patterns("recorded-*"))
    return folder


@pytest.mark.data
def test_the_history_of_a_recorded_day_is_found_by_that_day_alone(
    market_data: Path, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is made of the sessions before the day, one of which warms up; another day's session does not use it."""
    arguments = ["--models", str(models), "--data", str(market_data), "--day", str(DAY), "--symbols", "SPY,GLD"]
    assert main(arguments) == EXIT_OK
    assert "2019-02-12 to 2019-02-12" in capsys.readouterr().out
    history = decode_history((models / "outcomes" / f"recorded-{DAY}.bin").read_bytes())
    assert history.market == recorded_identity(DAY)
    assert {rows.symbols for rows in history.horizons} == {2}
    assert {rows.horizon_minutes: rows.rows > 0 for rows in history.horizons}[5]
    settings = load_settings(
        [ROOT / "config" / "base.yaml"], over=[{"inference": {"folder": str(models)}}], environment={}
    )
    for day, found in ((DAY, True), (NEXT, False)):
        session = msgspec.structs.replace(settings.session, identity=recorded_identity(day))
        told = with_history(with_models(msgspec.structs.replace(settings, session=session)), tmp_path)
        assert bool(told.history.file) is found
    assert (tmp_path / HISTORY_FILE).is_file()


@pytest.mark.data
def test_no_session_of_the_day_or_after_it_counts_as_earlier(market_data: Path) -> None:
    """The sessions on file go on to the next year; only those before the day and of every symbol are listed."""
    market = RecordedMarket(market_data, NEXT, ["SPY", "QQQ"], 1, 1_000_000_000)
    assert [found.date.isoformat() for found in market.earlier_sessions] == ["2019-02-11", "2019-02-12", "2019-02-13"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--day", "2019-02-14"], "add --data DIR"),
        (["--data", "nowhere"], "--data needs --day YYYY-MM-DD and --symbols"),
        (["--data", "nowhere", "--day", "2019-02-14", "--symbols", "SPY", "--planted", ".2"], "leave it out"),
        (["--data", "nowhere", "--day", "2019-02-14", "--symbols", "SPY"], "nowhere"),
        (["--sessions", "1"], "--sessions 1 is outside 2..40"),
    ],
)
def test_bad_input_is_named(
    arguments: list[str], message: str, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each refusal says which argument and what to do."""
    assert main(["--models", str(models), *arguments]) == EXIT_USAGE
    assert message in capsys.readouterr().err


@pytest.mark.data
def test_a_day_without_enough_sessions_before_it_is_refused(
    market_data: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first day on file has nothing to learn from."""
    arguments = ["--models", str(models), "--data", str(market_data), "--day", "2019-02-11", "--symbols", "SPY"]
    assert main(arguments) == EXIT_USAGE
    assert "share 0 recorded sessions before 2019-02-11" in capsys.readouterr().err
