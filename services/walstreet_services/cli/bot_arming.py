"""Owns what `bot trade` asks of the account: paper trades a paper account only, live only what two people have armed.

The guards are execution's (``walstreet.domain.arming``) and hold whoever starts it. What stands here refuses before a
service runs, and says what to do.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from walstreet.domain.arming import KEYS_NEEDED, PAPER_PORTS, is_paper
from walstreet.domain.guards import Reason
from walstreet.domain.observations import Observation
from walstreet.research.swing_config import SwingConfig
from walstreet.runtime.config import read_layer
from walstreet.runtime.errors import UsageError
from walstreet_events import AnyEvent, GatewayProbed, OrderRefused
from walstreet_services.cli.bot_broker import connected
from walstreet_services.cli.bot_live import account_of

SESSION_FILE = "session.yaml"
LOGIN_CLIENT_OFFSET = 2
"""Beside execution and the gateway service, whose ids must be free when they connect a moment later."""


def require_account(options: argparse.Namespace, config: SwingConfig) -> None:
    """Refuse an account that the mode must not trade; nothing is asked of anybody.

    Raises:
        UsageError: The first key of live trading is missing, or the account is of the other kind.
    """
    account = account_of(options, config)
    if not options.live:
        if not is_paper(account):
            raise UsageError(
                f"--paper is refused: ibkr.account_paper is {account!r}, and accounts of paper trading begin with D; "
                "set it to the paper account's id"
            )
        return
    if not config.execution.live or not account:
        raise UsageError(
            f"--live is refused: execution.live is {str(config.execution.live).lower()} and ibkr.account_live is "
            f"{account!r}; set both in config.local.yaml. Then {KEYS_NEEDED} people arm each session, see "
            "docs/ROTATION.md"
        )
    if is_paper(account):
        raise UsageError(f"--live is refused: ibkr.account_live is {account!r}, a paper account; use --paper for it")
    if not options.sim and config.ibkr.port in PAPER_PORTS:
        raise UsageError(
            f"--live is refused: ibkr.port is {config.ibkr.port}, a port of paper trading; TWS with the live account "
            "listens on 7496, IB Gateway on 4001"
        )


def require_state(state: Path, account: str) -> None:
    """Refuse a log that another account's settled cash, day trades and rebalances stand on.

    Raises:
        UsageError: The folder's last session traded another account.
    """
    path = state / SESSION_FILE
    if not path.is_file():
        return
    broker = read_layer(path).get("broker")
    before = broker.get("account") if isinstance(broker, dict) else None
    if before != account:
        raise UsageError(
            f"--state {state} holds the log of account {before!r}, and this session trades {account!r}; each account "
            "needs a folder of its own"
        )


def require_login(options: argparse.Namespace, config: SwingConfig) -> None:
    """Ask the gateway which accounts its login has, before anything is started.

    Raises:
        walstreet.adapters.ibkr.BrokerError: It cannot be reached, or does not have the account.
        UsageError: Paper trading was asked for, and the login has money.
    """
    accounts = asyncio.run(_accounts(options, config))
    real = [account for account in accounts if not is_paper(account)]
    if real and not options.live:
        raise UsageError(
            f"--paper is refused: the gateway at {config.ibkr.host}:{config.ibkr.port} is logged in to "
            f"{', '.join(real)}, a live account; log in to paper trading, or use --live"
        )


async def _accounts(options: argparse.Namespace, config: SwingConfig) -> tuple[str, ...]:
    seen: list[Observation] = []
    where = (config.ibkr.host, config.ibkr.port)
    async with connected(options, config, where, seen, client_id=config.ibkr.client_id + LOGIN_CLIENT_OFFSET) as broker:
        return tuple(broker.accounts)


def how_to_arm(state: Path, account: str) -> str:
    """Return what a session says at its start."""
    return (
        f"live trading of {account} is not armed: orders are refused until {KEYS_NEEDED} people have each run\n"
        f"  walstreet arm --state {state} --operator NAME --reason TEXT\n"
        "before the decision; `walstreet disarm` and `walstreet panic` take the keys out again"
    )


class ArmingWatch:
    """What the log says of arming in one session."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self.refused = 0
        """Intents refused because live trading was not armed, or the account is of the wrong kind."""
        self._detail = ""
        self._probe: GatewayProbed | None = None

    def observe(self, event: AnyEvent) -> None:
        """Take one event of the session."""
        match event:
            case OrderRefused() if event.reason == Reason.NOT_ARMED.value:
                self.refused += 1
                self._detail = event.detail
            case GatewayProbed():
                self._probe = event
            case _:
                pass

    def fault(self, state: Path) -> str:
        """Return what to tell a person, empty if nothing was refused."""
        if not self.refused:
            return ""
        probe = self._probe
        last = f"; the last `walstreet arm` found: {probe.detail}" if probe is not None and probe.detail else ""
        return (
            f"{self.refused} orders of the rebalance were refused by execution: {self._detail}{last}. Nothing is "
            f"sent later; in the next session {KEYS_NEEDED} people each run `walstreet arm --state {state} --operator "
            "NAME --reason TEXT` before the decision"
        )
