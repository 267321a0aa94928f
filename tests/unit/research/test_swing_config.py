"""Layers, defaults and refusals of the swing configuration."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import msgspec
import pytest

from walstreet.research.swing_config import SwingConfig, json_setting, load_swing_config, swing_environment
from walstreet.runtime.errors import UsageError

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the shipped defaults."""
    (tmp_path / "config.yaml").write_text(
        (ROOT / "config" / "config.yaml").read_text(encoding="utf-8"), encoding="utf-8"
    )
    return tmp_path


def test_the_shipped_file_is_the_structs_defaults(folder: Path) -> None:
    """File and code cannot drift apart."""
    assert load_swing_config(folder, {}) == SwingConfig()


def test_the_shipped_file_has_the_documented_values(folder: Path) -> None:
    """A sample of document 004 section 3.1, and the added parameters on."""
    config = load_swing_config(folder, {})
    assert (config.ibkr.port, config.ibkr.client_id, config.ibkr.account_paper) == (7497, 17, "DUK200445")
    assert config.ibkr.start == dt.date(2015, 1, 1)
    assert config.universe == ("SPY", "QQQ", "VTI", "TLT", "IEF", "GLD", "XLE", "BND", "BITO")
    assert config.permutation.runs == 200
    parameters = config.parameters(3, 9)
    assert (parameters.first_day, parameters.last_day) == (3, 9)
    assert (parameters.hold_bonus, parameters.hold_floor, parameters.band) == (1.0, -0.5, 0.05)
    grid = config.grid(3, 9)
    assert len(grid) == 81
    assert [(p.ema_fast, p.ema_slow, p.top_n, p.corr_cap) for p in grid[:4]] == [
        (10, 40, 1, 0.6),
        (10, 40, 1, 0.7),
        (10, 40, 1, 0.8),
        (10, 40, 2, 0.6),
    ]


def test_environment_beats_the_local_file_and_that_the_defaults(folder: Path) -> None:
    """Deep merge: siblings of a changed key stay; ``--set`` lies on top of all."""
    (folder / "config.local.yaml").write_text(
        "ibkr: {port: 4002, client_id: 5}\nselection: {top_n: 3}\n", encoding="utf-8"
    )
    config = load_swing_config(folder, {"IB_PORT": "4001", "BOT__SELECTION__CORR_CAP": "0.5", "PATH": "x"})
    assert (config.ibkr.port, config.ibkr.client_id, config.ibkr.host) == (4001, 5, "127.0.0.1")
    assert (config.selection.top_n, config.selection.corr_cap, config.selection.corr_window) == (3, 0.5, 90)
    assert load_swing_config(folder, {"IB_PORT": "4001"}, ["ibkr.port=4004", "ibkr.port=4005"]).ibkr.port == 4005


def test_documented_names_of_the_environment(folder: Path) -> None:
    """Accounts stay text, and an empty variable is not set."""
    environment = {"IB_HOST": "10.0.0.5", "IB_CLIENT_ID": "23", "IB_ACCOUNT_PAPER": "123456", "IB_ACCOUNT_LIVE": ""}
    config = load_swing_config(folder, environment)
    assert (config.ibkr.host, config.ibkr.client_id, config.ibkr.account_paper) == ("10.0.0.5", 23, "123456")
    assert config.ibkr.account_live == ""
    assert swing_environment({"IB_PORT": ""}) == {}


def test_set_takes_json_and_plain_text(folder: Path) -> None:
    """A list, a number in any notation, null, a date and a time."""
    config = load_swing_config(
        folder,
        {},
        [
            'universe=["SPY","TLT"]',
            "weights.band=5e-2",
            "selection.hold_bonus=0",
            "ibkr.end=2023-12-29",
            "rebalance.schedule_et=15:50",
            "features.macd.enabled=true",
            'walkforward.reoptimize={"top_n": [1, 2]}',
        ],
    )
    assert config.universe == ("SPY", "TLT")
    assert (config.weights.band, config.selection.hold_bonus) == (0.05, 0.0)
    assert config.ibkr.end == dt.date(2023, 12, 29)
    assert config.rebalance.schedule_et == "15:50"
    assert config.features.macd.enabled
    assert config.walkforward.reoptimize.top_n == (1, 2)
    assert len(config.grid(0, 0)) == 54
    assert load_swing_config(folder, {}, ["ibkr.end=null"]).ibkr.end is None


def test_the_literal_strategy_is_two_settings_away(folder: Path) -> None:
    """Without a bonus the floor is off, although its value stays."""
    parameters = load_swing_config(folder, {}, ["selection.hold_bonus=0", "weights.band=0"]).parameters(0, 0)
    assert not parameters.keeps_held
    assert parameters.band == 0.0


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("selection.topn=3", r"unknown key 'selection\.topn'; did you mean 'selection\.top_n'"),
        ("selections.top_n=3", r"unknown key 'selections'"),
        ("features.macd.speed=3", r"unknown key 'features\.macd\.speed'"),
        ("walkforward.reoptimize.band=[1]", r"unknown key 'walkforward\.reoptimize\.band'"),
        ("selection.top_n=two", r"selection\.top_n"),
        ("selection.top_n=0", "top_n is 0"),
        ("weights.method=magic", r"weights\.method"),
        ("weights.band=NaN", "NaN"),
        ("selection.hold_floor=2", "hold_floor"),
        ("walkforward.reoptimize.ema_fast=[0]", "ema_fast is 0"),
        ("walkforward.reoptimize.top_n=[]", "top_n has no value"),
        ("ibkr.port=0", r"ibkr\.port is 0"),
        ("ibkr.end=2001-01-01", r"ibkr\.end"),
        ("ibkr.start=soon", r"ibkr\.start"),
        ("rebalance.schedule_et=late", "HH:MM"),
        ('universe=["SPY","SPY"]', "repeats SPY"),
        ('universe=["../SPY"]', "letters and digits"),
        ("universe=[]", "universe is 0"),
        ('regime={"enabled":true,"symbol":"DIA"}', "DIA is not in the universe"),
        ("top_n", "section.key=value"),
        (".top_n=3", "section.key=value"),
    ],
)
def test_refusals_carry_the_path(folder: Path, setting: str, message: str) -> None:
    """Unknown keys, wrong types and values out of range end with a message that finds the place."""
    with pytest.raises(UsageError, match=message):
        load_swing_config(folder, {}, [setting])


def test_unknown_keys_of_files_and_environment_are_refused_too(folder: Path) -> None:
    """A typing mistake cannot leave a default in force, wherever it stands."""
    with pytest.raises(UsageError, match=r"selection\.hold_bonos"):
        load_swing_config(folder, {"BOT__SELECTION__HOLD_BONOS": "1"})
    (folder / "config.local.yaml").write_text("wieghts: {band: 0.1}\n", encoding="utf-8")
    with pytest.raises(UsageError, match="unknown key 'wieghts'"):
        load_swing_config(folder, {})


def test_a_missing_config_file_is_named(tmp_path: Path) -> None:
    """The path is in the message."""
    with pytest.raises(UsageError, match=r"config\.yaml cannot be read"):
        load_swing_config(tmp_path, {})


def test_the_regime_symbol_becomes_its_column(folder: Path) -> None:
    """Column 2 of a universe whose third name it is; -1 where the overlay is off."""
    config = load_swing_config(folder, {}, ["regime.enabled=true", 'universe=["TLT","GLD","SPY"]'])
    assert config.parameters(0, 0).regime_column == 2
    assert SwingConfig().parameters(0, 0).regime_column == -1


def test_a_setting_is_one_path() -> None:
    """Spaces around the key go, and an equals sign may stand in the value."""
    assert json_setting(" a.b =x=y") == {"a": {"b": "x=y"}}


def test_the_configuration_survives_json() -> None:
    """Reports write it, and it reads back as itself."""
    assert msgspec.json.decode(msgspec.json.encode(SwingConfig()), type=SwingConfig) == SwingConfig()
