"""Owns a day of the live rotation: the log, six services and a broker, from start to close, on a log that goes on.

With ``--sim`` the broker is the gateway simulator in lockstep; without it, TWS or IB Gateway at the configured address,
by the wall clock. The state folder is kept from day to day: settled cash, day trades and the one rebalance of a session
are folded from its TAPE.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
from pathlib import Path
from typing import Any

from walstreet.adapters.clock import WallClock
from walstreet.adapters.nats import Connection
from walstreet.adapters.nats.streams import last_sequence
from walstreet.research.swing_config import SwingConfig
from walstreet.runtime.config import Tree, merge
from walstreet.runtime.errors import UsageError
from walstreet.runtime.settings import Settings, load_settings
from walstreet_events import NANOS_PER_SECOND, EventDecodeError, RotationDecision, decode
from walstreet_services.cli.bot_arming import ArmingWatch
from walstreet_services.cli.bot_live import MARKET_MODES, SIM_SESSIONS, rotation_layer
from walstreet_services.cli.outcome import Outcome
from walstreet_services.cli.tapes import EXCHANGE_ZONE, read_all
from walstreet_services.cli.up import CONFIG_DIR, FREE_CLOSE_DELAY_MS, SETTLE_S, STEP_S, Parts, Session
from walstreet_services.cli.up import add_arguments as add_up_arguments

PROFILE = "rotation.yaml"
LOCAL = "config.local.yaml"
STATE = Path("state") / "rotation"
STATE_LIVE = Path("state") / "rotation-live"
"""Settled cash and day trades of one account are never counted for another one."""
WATCH_S = 1.0
TURN_S = 300


class RotationSession(Session):
    """One day; the same life as `walstreet up`, with another broker, profile and log."""

    # Most of a year is generated, and the session played up to its last minutes, before the simulator is ready.
    simulator_ready_s = 300.0

    def __init__(self, options: argparse.Namespace, config: SwingConfig) -> None:
        """Take the swing portfolio's configuration; ``options`` are those of `bot trade`."""
        cash = config.backtest.equity_usd if options.cash is None else options.cash
        session = up_defaults()
        session.market, session.data, session.day, session.seed = (
            options.market,
            options.data,
            options.day,
            options.seed,
        )
        session.symbols = ",".join(config.universe)
        session.speed = "max" if options.sim else "1"
        session.state = str(options.state or (STATE_LIVE if options.live else STATE))
        session.broker_library = options.library
        session.cash = cash
        session.faults = options.faults
        session.no_view = options.json or options.no_view
        super().__init__(session)
        self._bot = options
        self._swing = config
        self.record: RotationDecision | None = None
        """The day's rebalance, once the session has ended."""
        self.outcome: Outcome | None = None
        self.arming = ArmingWatch()

    @property
    def state(self) -> Path:
        """Return the folder of the log."""
        return self._state

    # ----------------------------------------------------------------------------------------- hooks

    async def _require_empty(self, admin: Connection) -> None:
        """Go on behind whatever earlier days have written."""
        self._before = await last_sequence(admin)

    def _settings(self, session: Tree) -> Settings:
        files = [self._bot.config / name for name in ("base.yaml", PROFILE, LOCAL)]
        if not (self._bot.config / PROFILE).is_file():
            files[1] = CONFIG_DIR / PROFILE
        # In lockstep execution looks at the clock once in each of the simulator's steps.
        looks: Tree = {"execution": {"planner": {"look_s": STEP_S}}}
        mode: Tree = looks if self._lockstep else {"gateway": {"close_delay_ms": FREE_CLOSE_DELAY_MS}}
        layer = rotation_layer(self._swing, library=self._bot.library, live=self._bot.live)
        return load_settings([path for path in files if path.is_file()], over=[mode, layer, session])

    def _simulator_arguments(self) -> list[str]:
        extra = ["--history-sessions", str(SIM_SESSIONS), "--last-minutes", str(self._bot.last_minutes)]
        # A late start makes the whole day's bars in one turn.
        extra += ["--turn-seconds", str(TURN_S)]
        if self._bot.account_file is not None:
            extra += ["--account-file", str(self._bot.account_file)]
        return extra

    async def _start_simulator(self, parts: Parts, settings: Settings) -> dict[str, Any]:
        if self._bot.sim:
            return await super()._start_simulator(parts, settings)
        opened, closed = session_hours(WallClock().now_ns())
        return {
            "day": dt.datetime.fromtimestamp(opened / NANOS_PER_SECOND, EXCHANGE_ZONE).date().isoformat(),
            "open_ns": opened,
            "close_ns": closed,
            "symbols": list(self._swing.universe),
            "identity": "live",
            "port": self._swing.ibkr.port,
        }

    def _session_layer(self, parts: Parts, ready: dict[str, Any]) -> Tree:
        layer = super()._session_layer(parts, ready)
        if self._bot.sim:
            return layer
        live: Tree = {
            "session": {"market": "live"},
            "broker": {
                "host": self._swing.ibkr.host,
                "paced": True,
                "market_data_type": MARKET_MODES[self._swing.ibkr.market_mode],
            },
            "runtime": {"clock": "wall"},
        }
        return merge(layer, live)

    async def _begin_clock(self, parts: Parts, follow: asyncio.Task[None]) -> None:
        """Nothing holds a real session's clock."""
        await self._require_running(parts, follow)

    async def _until_closed(self, parts: Parts, follow: asyncio.Task[None]) -> None:
        if self._bot.sim:
            await super()._until_closed(parts, follow)
            return
        while not self._closed.is_set():
            await self._require_running(parts, follow)
            await asyncio.sleep(WATCH_S)
        await asyncio.sleep(SETTLE_S)

    async def _conclude(self, parts: Parts, settings: Settings, failure: str, elapsed_s: float) -> Outcome:
        messages, _ = await read_all(parts.admin)
        for message in messages:
            if message.seq <= self._before:
                continue
            try:
                event = decode(message.payload)
            except EventDecodeError:
                continue  # The verification of the TAPE says so.
            self.record = event if isinstance(event, RotationDecision) else self.record
            self.arming.observe(event)
        self.outcome = await super()._conclude(parts, settings, failure, elapsed_s)
        return self.outcome


def up_defaults() -> argparse.Namespace:
    """Return what `walstreet up` takes when nothing is said, so that an option it learns later is known here, too."""
    parser = argparse.ArgumentParser()
    add_up_arguments(parser)
    return parser.parse_args([])


def session_hours(now_ns: int) -> tuple[int, int]:
    """Return open and close of today's session at the exchange, early closes included.

    Raises:
        UsageError: There is no session today, or it is over.
    """
    # The calendar's package takes more than a second to load, which only a live day pays.
    import exchange_calendars  # noqa: PLC0415

    day = dt.datetime.fromtimestamp(now_ns / NANOS_PER_SECOND, EXCHANGE_ZONE).date()
    calendar = exchange_calendars.get_calendar("XNYS", start=str(day - dt.timedelta(days=14)))
    if not calendar.is_session(str(day)):
        raise UsageError(f"{day} is no trading day of XNYS; `--sim --day DATE` plays any session against the simulator")
    opened, closed = (
        int(moment.value) for moment in (calendar.session_open(str(day)), calendar.session_close(str(day)))
    )
    if now_ns >= closed:
        raise UsageError(f"the session of {day} is over; `bot trade --dry-run` shows what the last bars want")
    return opened, closed
