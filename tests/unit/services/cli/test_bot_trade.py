"""Owns the tests of `bot trade` and `bot connect` without a broker: configuration, refusals, what is shown."""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from walstreet.research.swing_config import SwingConfig, load_swing_config
from walstreet.runtime.errors import EXIT_BROKEN, EXIT_USAGE, UsageError
from walstreet.runtime.settings import load_settings
from walstreet.testing.events_blocks import rotation_decision
from walstreet_events import ROOT as NO_CAUSE
from walstreet_events import OrderRefused, derive_id
from walstreet_services.cli import bot_arming
from walstreet_services.cli.__main__ import main
from walstreet_services.cli.bot_arming import ArmingWatch, require_login, require_state
from walstreet_services.cli.bot_live import lead_seconds, rotation_layer, rotation_parameters
from walstreet_services.cli.bot_preview import as_plain
from walstreet_services.cli.bot_session import up_defaults
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


def test_the_order_type_of_the_document_is_execution_s() -> None:
    """``LMT`` is one limit beyond the mid; ``MKT`` leaves it to the profile how an order is worked."""
    for changes, wanted in (
        ((), ("staged", 2.0)),
        (("execution.order_type=LMT", "execution.limit_offset_bps=5"), ("offset", 5.0)),
    ):
        layer = rotation_layer(config(*changes), library="ib_insync")
        settings = load_settings([CONFIG / "base.yaml", CONFIG / "rotation.yaml"], environment={}, over=[layer])
        assert (settings.execution.aggression, settings.execution.mid_offset_bps) == wanted


LIVE_KEYS = ("--set", "execution.live=true", "--set", "ibkr.account_live=U1", "--set", "ibkr.port=7496")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--live"], "execution.live is false"),
        (["--live", "--set", "execution.live=true"], "ibkr.account_live is ''"),
        (["--live", *LIVE_KEYS, "--set", "ibkr.account_live=DU1"], "a paper account; use --paper"),
        (["--live", *LIVE_KEYS, "--set", "ibkr.port=7497"], "a port of paper trading"),
        (["--live", "--dry-run"], "execution.live is false"),
        (["--paper", "--set", "ibkr.account_paper=U1"], "accounts of paper trading begin with D"),
    ],
)
def test_an_account_of_the_other_kind_is_refused(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names what is wrong and what to set; nothing is connected."""
    code = main(["trade", "--config", str(CONFIG), *arguments])
    assert code == EXIT_USAGE
    assert says in capsys.readouterr().err


def test_only_live_asks_execution_for_the_keys() -> None:
    """The layer names account and arming either way, so that no other layer turns the first key."""
    changed = config("ibkr.account_live=U1")
    for live, account, trading in ((True, "U1", "live"), (False, "DUK200445", "paper")):
        layer = rotation_layer(changed, library="ib_insync", live=live)
        settings = load_settings([CONFIG / "base.yaml", CONFIG / "rotation.yaml"], environment={}, over=[layer])
        assert (settings.broker.account, settings.execution.arming.trading) == (account, trading)


def test_a_log_of_another_account_is_refused(tmp_path: Path) -> None:
    """Settled cash and day trades of one account are not counted for another; an empty folder is anybody's."""
    require_state(tmp_path, "U1")
    (tmp_path / "session.yaml").write_text("broker:\n  account: DUK200445\n", encoding="utf-8")
    require_state(tmp_path, "DUK200445")
    with pytest.raises(UsageError, match="a folder of its own"):
        require_state(tmp_path, "U1")


def test_paper_refuses_a_login_that_has_money(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the paper account is among the login's; live takes it."""

    async def accounts(*_: object) -> tuple[str, ...]:
        return ("DUK200445", "U7654321")

    monkeypatch.setattr(bot_arming, "_accounts", accounts)
    with pytest.raises(UsageError, match="U7654321, a live account"):
        require_login(argparse.Namespace(live=False), config())
    require_login(argparse.Namespace(live=True), config())


def test_what_was_refused_for_want_of_arming_is_told_with_its_remedy() -> None:
    """Nothing is told while nothing was refused; then the count, the reason, the last probe and the command."""
    watch = ArmingWatch()
    assert watch.fault(Path("state")) == ""
    refused = OrderRefused(
        id=derive_id(NO_CAUSE, "refused", 0),
        cause=NO_CAUSE,
        ts_ns=0,
        intent="one",
        symbol="SPY",
        reason="wide_spread",
        detail="",
        quote=None,
    )
    watch.observe(refused)
    assert watch.fault(Path("state")) == "", "refused for another reason"
    watch.observe(msgspec.structs.replace(refused, reason="not_armed", detail="live trading is not armed"))
    text = watch.fault(Path("state"))
    assert text.startswith("1 orders of the rebalance were refused by execution: live trading is not armed")
    assert "walstreet arm --state state" in text


def test_the_session_knows_every_option_of_up() -> None:
    """An option that `walstreet up` learns later has its default here, too."""
    names = dict.fromkeys(vars(up_defaults()))
    assert {"faults", "control", "minutes", "state", "speed"} <= names.keys()


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
