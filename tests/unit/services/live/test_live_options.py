"""Owns the tests of document 002's configuration keys: what each becomes, and what is refused with its name."""

import pytest

from walstreet.runtime.config import convert
from walstreet.runtime.cores import member_parameters
from walstreet.runtime.errors import UsageError
from walstreet.runtime.settings import Settings
from walstreet_services.live.options import plan_manager, plan_system
from walstreet_services.live.system import LiveTradingManager, LiveTradingSystem

pytestmark = pytest.mark.spec("002.python", "002.config")

DOCUMENT = {
    "symbols": ["AAPL", "MSFT", "GOOGL"],
    "horizons": ["5m", "10m", "15m", "30m", "60m", "120m", "1d", "5d", "20d"],
    "device": "cpu",
    "update_interval": 60,
    "g_min": 0.2,
    "gamma": 1.0,
    "delta": 0.5,
    "z_max": 3.0,
    "max_weight": 0.05,
    "target_gross": 0.5,
    "no_trade_band": 0.008,
}
"""The document's basic configuration, with the folders left at their defaults."""


def settings_of(layer: dict) -> Settings:
    """Return the settings that a layer gives."""
    return convert(layer, Settings, "test")


def test_the_documents_configuration_becomes_settings():
    """Every key lands where docs/OLD_NAMES.md says, and the whole zoo trades the account alone."""
    plan = plan_system({**DOCUMENT, "g_min": 0.3, "z_max": 2.0, "no_trade_band": 0.004, "k1": 0.5})
    settings = settings_of(plan.layer)
    assert plan.strategies == ()
    assert plan.arguments == ("--symbols", "AAPL,MSFT,GOOGL")
    assert settings.gateway.bar_s == 60
    assert settings.arbiter.barrier.gate_min == 0.3
    assert settings.arbiter.size.z_max == 2.0
    assert settings.arbiter.band.band_max == 0.004
    assert settings.arbiter.limits.name_cap == 0.05
    assert (settings.arbiter.cost.model, settings.arbiter.cost.linear_coefficients) == ("linear", "document_003")


def test_the_documents_manager_becomes_two_strategies():
    """Symbols, horizons and gross of each are its own; capital is halved; the session has all symbols."""
    plan = plan_manager(
        [
            {"symbols": ["AAPL", "MSFT"], "horizons": ["5m", "15m"], "target_gross": 0.3},
            {"symbols": ["GOOGL", "AMZN"], "horizons": ["60m", "1d"], "target_gross": 0.7, "name": "slow"},
        ],
        {"seed": 3, "minutes": 5},
    )
    settings = settings_of(plan.layer)
    assert plan.strategies == ("strategy-1", "slow")
    assert plan.arguments == ("--minutes", "5", "--seed", "3", "--symbols", "AAPL,MSFT,GOOGL,AMZN")
    first, second = settings.strategies.members
    assert (first.capital_share, first.symbols, first.horizons_minutes) == (0.5, ("AAPL", "MSFT"), (5, 15))
    assert (second.horizons_minutes, second.alpha_sign) == ((60,), 1)
    assert member_parameters(settings, first).size.gross_target == 0.3
    assert member_parameters(settings, second).size.gross_target == 0.7
    assert settings.arbiter.size.gross_target == 0.5


def test_horizons_of_its_own_make_a_system_a_strategy():
    """What the whole account has no switch for is a strategy with all of the capital."""
    plan = plan_system({"horizons": ["5m"]})
    (member,) = settings_of(plan.layer).strategies.members
    assert (member.name, member.capital_share, member.horizons_minutes) == ("main", 1.0, (5,))


def test_a_strategy_without_symbols_keeps_the_session_whole():
    """Narrowing the session for one would narrow it for the other."""
    assert plan_manager([{"symbols": ["AAPL"]}, {"name": "all"}]).arguments == ()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"symbol": ["AAPL"]}, "did you mean 'symbols'"),
        ({"symbols": "AAPL"}, "takes a list"),
        ({"horizons": ["7m"]}, "7m"),
        ({"horizons": ["20d"]}, "the models in models have"),
        ({"horizons": ["5m"], "model_dir": "nowhere"}, "model_dir"),
        ({"device": "cuda"}, "device is 'cuda'"),
        ({"blender_dir": "TRAINING/blenders"}, "blender_dir"),
        ({"k1": 0.7}, "named sets"),
        ({"z_max": "three"}, "z_max is 'three'"),
        ({"max_weight": True}, "max_weight"),
        ({"settings": 5}, "settings"),
        ({"arbiter": []}, "arbiter"),
        ({"url": "nats://127.0.0.1:4222", "minutes": 3}, "remove minutes"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(config, words):
    """The message names the key and what is allowed; nothing has been started."""
    with pytest.raises(UsageError, match=words):
        LiveTradingSystem(config)


@pytest.mark.parametrize(
    ("configs", "account", "words"),
    [
        ([], None, "at least one"),
        ([{"seed": 1}, {"seed": 2}], None, "belongs to the account"),
        ([{"seed": 1}], {"seed": 2}, "belongs to the account"),
        ([{}], {"max_weight": 0.1}, "belong to a strategy"),
        ([{}, {"nmae": "x"}], None, r"configs\[1\]: unknown key 'nmae'"),
    ],
)
def test_configurations_that_contradict_each_other_are_refused(configs, account, words):
    """What belongs to the account has one value."""
    with pytest.raises(UsageError, match=words):
        LiveTradingManager(configs, account)


def test_a_status_before_the_start_is_an_error_and_stopping_is_none():
    """Nothing is guessed about a system that never ran."""
    system = LiveTradingSystem({})
    with pytest.raises(RuntimeError, match="start"):
        system.get_portfolio_status()
    system.stop()
    assert system.get_summary() == {}


def test_a_log_that_nobody_serves_is_said(tmp_path):
    """Attaching to an address without a server fails with the address."""
    system = LiveTradingSystem({"url": "nats://127.0.0.1:1"})
    with pytest.raises(RuntimeError, match="did not start"):
        system.start()
