"""Owns how the swing portfolio's configuration becomes the parameters of the live rotation, and its options."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import msgspec

from walstreet.domain.compliance import ComplianceParameters
from walstreet.domain.rotation_live_parameters import RotationLiveParameters
from walstreet.domain.rotation_parameters import RotationParameters
from walstreet.research.swing_config import CONFIG_FILE, SwingConfig, load_swing_config
from walstreet.runtime.config import Tree
from walstreet.runtime.errors import UsageError
from walstreet_services.cli.bot_inputs import CONFIG_DIR

CLOSE_MINUTES_ET = 16 * 60
"""Regular close in New York, from which the configured time of the rebalance is counted back."""
MARKET_MODES = {"live": "live", "delayed": "delayed", "delayedFrozen": "delayed"}
SIM_SESSIONS = 160
"""Days of history of a simulated synthetic market; a correlation needs 91 of them."""


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe what `bot connect` and `bot trade` take in common."""
    parser.add_argument(
        "--config", type=Path, default=CONFIG_DIR, help=f"folder of {CONFIG_FILE} (default: {CONFIG_DIR}/)"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override a parameter; JSON, or text"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON, and nothing else, to stdout")
    parser.add_argument("--library", choices=("ib_insync", "ib_async"), default="ib_insync", help="client library")
    parser.set_defaults(live=False)
    simulator = parser.add_argument_group("simulator")
    simulator.add_argument("--sim", action="store_true", help="start the gateway simulator and use it")
    simulator.add_argument("--market", choices=("synthetic", "recorded"), default="synthetic")
    simulator.add_argument("--data", help="folder of recorded data, for --market recorded")
    simulator.add_argument("--day", help="session, as YYYY-MM-DD")
    simulator.add_argument("--seed", type=int, default=7)
    simulator.add_argument("--cash", type=float, help="USD at the start (default: backtest.equity_usd)")
    simulator.add_argument("--account-file", help="keeps the simulated account: a later day goes on from it")
    simulator.add_argument("--faults", help="fault script of the simulator, YAML; see docs/FAULTS.md")
    simulator.add_argument("--last-minutes", type=int, default=25, help="the simulator begins so long before the close")


def account_of(options: argparse.Namespace, config: SwingConfig) -> str:
    """Return the account that a command is about: the live one only where ``--live`` was said."""
    return config.ibkr.account_live if options.live else config.ibkr.account_paper


def load_config(options: argparse.Namespace) -> SwingConfig:
    """Return the swing portfolio's configuration.

    Raises:
        UsageError: A value cannot be used, or is for research only.
    """
    config = load_swing_config(options.config, os.environ, options.set)
    if config.ibkr.timeframe != "1 day":
        raise UsageError(f"ibkr.timeframe is {config.ibkr.timeframe!r}; the rotation trades on daily bars, '1 day'")
    return config


def rotation_parameters(config: SwingConfig) -> RotationLiveParameters:
    """Return the live strategy: the same numbers that research simulates.

    Raises:
        UsageError: A value is out of its range.
    """
    swing = msgspec.structs.asdict(config.parameters(0, 0))
    selection = RotationParameters(**{name: swing[name] for name in RotationParameters.__struct_fields__})
    return RotationLiveParameters(
        enabled=True,
        universe=tuple(config.universe),
        selection=selection,
        compliance=ComplianceParameters(orders_per_day_max=config.execution.max_orders_per_day),
    )


def lead_seconds(config: SwingConfig) -> int:
    """Return how long before the close the rebalance is decided; on early closes as long before theirs.

    Raises:
        UsageError: The time is not before the close, or is too early.
    """
    text = config.rebalance.schedule_et
    hours, _, minutes = text.partition(":")
    lead = (CLOSE_MINUTES_ET - 60 * int(hours) - int(minutes)) * 60
    if not 180 <= lead <= 10_800:
        raise UsageError(
            f"rebalance.schedule_et is {text!r}; allowed is 13:00 to 15:57, because orders need some minutes before "
            "the close"
        )
    return lead


def rotation_layer(config: SwingConfig, *, library: str, live: bool = False) -> Tree:
    """Return what the swing configuration says of the services' settings; ``live`` asks execution for the keys."""
    execution: Tree = {"arming": {"trading": "live" if live else "paper"}}
    if config.execution.order_type == "LMT":
        execution |= {"aggression": "offset", "mid_offset_bps": config.execution.limit_offset_bps}
    return {
        "arbiter": {"rotation": msgspec.to_builtins(rotation_parameters(config))},
        "gateway": {"daily_lead_s": lead_seconds(config)},
        # Said either way: no other layer turns the first key.
        "execution": execution,
        "broker": {
            "account": config.ibkr.account_live if live else config.ibkr.account_paper,
            "library": library,
            "execution_client_id": config.ibkr.client_id,
            "gateway_client_id": config.ibkr.client_id + 1,
        },
    }


def simulator_arguments(options: argparse.Namespace, config: SwingConfig) -> list[str]:
    """Return the simulator's arguments for the configured universe and account."""
    cash = config.backtest.equity_usd if options.cash is None else options.cash
    argv = ["--host", "127.0.0.1", "--port", "0", "--market", options.market, "--symbols", ",".join(config.universe)]
    argv += ["--seed", str(options.seed), "--account", account_of(options, config), "--cash", str(cash)]
    argv += ["--history-sessions", str(SIM_SESSIONS), "--last-minutes", str(options.last_minutes)]
    for name, value in (
        ("data", options.data),
        ("day", options.day),
        ("account-file", options.account_file),
        ("faults", options.faults),
    ):
        if value is not None:
            argv += [f"--{name}", str(value)]
    return argv
