"""Owns the tests of `bot trade` and `bot connect` without a broker: configuration, refusals, what is shown."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from walstreet.research.swing_config import SwingConfig, load_swing_config
from walstreet.runtime.errors import EXIT_BROKEN, EXIT_USAGE, UsageError
from walstreet.runtime.settings import load_settings
from walstreet.testing.events_blocks import rotation_decision
from walstreet_services.cli.__main__ import main
from walstreet_services.cli.bot_live import lead_seconds, rotation_layer, rotation_parameters
from walstreet_services.cli.bot_preview import as_plain
from walstreet_services.cli.bot_trade import show_rebalance

pytestmark = pytest.mark.spec("004.cli", "004.strategy")

ROOT = Path(__file__).resolve().parents[4]
CONFIG = ROOT / "config"


def config(*settings: str) -> SwingConfig:
    """Return the shipped configuration with some values changed."""
    return load_swing_config(CONFIG, {}, settings)


def test_live_and_research_read_the_same_numbers() -> None:
    """Every parameter of the strategy comes from the swing portfolio's configuration, the orders a day too."""
    changed = config("selection.top_n=3", "weights.band=0.02", "execution.max_orders_per_day=4")
    live, swing = rotation_parameters(changed), changed.parameters(0, 0)
    for name in type(live.selection).__struct_fields__:
        assert getattr(live.selection, name) == getattr(swing, name), name
    assert live.universe == tuple(changed.universe)
    assert live.compliance.orders_per_day_max == 4


@pytest.mark.parametrize(("text", "seconds"), [("15:55", 300), ("15:50", 600), ("14:00", 7_200)])
def test_the_schedule_is_counted_from_the_close(text: str, seconds: int) -> None:
    """15:55 is five minutes before the close, on early closes too."""
    assert lead_seconds(config(f"rebalance.schedule_et={text}")) == seconds


@pytest.mark.parametrize("text", ["15:59", "09:35", "12:00"])
def test_a_schedule_without_time_to_trade_is_refused(text: str) -> None:
    """Too near to the close, or so early that yesterday's prices would decide."""
    with pytest.raises(UsageError, match="schedule_et"):
        lead_seconds(config(f"rebalance.schedule_et={text}"))


def test_the_profile_and_the_layer_make_valid_settings() -> None:
    """base.yaml, rotation.yaml and the swing configuration are settings of a session that only rotates."""
    layer = rotation_layer(config(), library="ib_insync")
    settings = load_settings([CONFIG / "base.yaml", CONFIG / "rotation.yaml"], environment={}, over=[layer])
    assert settings.arbiter.rotation.enabled
    assert not settings.arbiter.intraday
    assert settings.gateway.daily_lead_s == 300
    assert settings.broker.account == "DUK200445"
    assert settings.broker.execution_client_id != settings.broker.gateway_client_id


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "execution.live is false"),
        (["--set", "execution.live=true", "--set", "ibkr.account_live=U1"], "not armed"),
    ],
)
def test_live_is_refused_without_both_keys(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the key that is missing; nothing is connected."""
    code = main(["trade", "--live", "--config", str(CONFIG), *arguments])
    assert code == EXIT_USAGE
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["connect", "trade"])
def test_no_broker_is_said_plainly(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A closed port gives exit code 1 and one line with the address; a dry run is what happens without a mode."""
    code = main([verb, "--config", str(CONFIG), "--set", "ibkr.port=1"])
    assert code == EXIT_BROKEN
    message = capsys.readouterr().err
    assert "127.0.0.1:1" in message
    assert "Traceback" not in message


def test_a_record_is_shown_with_its_reasons() -> None:
    """The table names every symbol, its reason and verdict; orders stand below with their notional."""
    content: dict[str, Any] = as_plain(rotation_decision())
    content["symbols"] = [
        {
            **dict.fromkeys(("score", "weight_held"), 1.0),
            **row,
        }
        for row in content["symbols"]
    ]
    out = io.StringIO()
    show_rebalance(Console(file=out, width=200), content | {"sent": False})
    text = out.getvalue()
    for part in ("AAA", "BBB", "trend_gate", "accepted", "BUY 121 AAA", "$12,402.50", "nothing was sent"):
        assert part in text
