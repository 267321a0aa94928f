"""Owns the shape of the configuration: one frozen struct per section, composed from the components' parameters."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from walstreet.domain.arbiter_parameters import ArbiterParameters
from walstreet.domain.bounds import require_between
from walstreet.domain.calibrate import BarrierModel, ModelCalibration
from walstreet.domain.execution_parameters import ExecutionParameters
from walstreet.domain.gateway_parameters import GatewayParameters
from walstreet.domain.governor import GovernorParameters
from walstreet.domain.inference import InferenceParameters
from walstreet.domain.reconciler_parameters import ReconcilerParameters
from walstreet.domain.reconnect import ReconnectParameters
from walstreet.domain.strategy_parameters import StrategiesParameters
from walstreet.features.parameters import FeatureParameters
from walstreet.runtime.config import (
    ENVIRONMENT_PREFIX,
    LOCAL_FILE,
    SWING_KEYS,
    Tree,
    convert,
    environment_layer,
    merge,
    read_layer,
    without,
)

BrokerLibrary = Literal["ib_insync", "ib_async"]
ClockMode = Literal["wall", "broker", "turns"]


class SessionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which session is traded; `walstreet up` fills this in from the simulator's calendar."""

    date: str = ""
    """ISO date of the session in New York."""
    open_ns: int = 0
    """Start of regular trading, nanoseconds UTC."""
    close_ns: int = 0
    """End of regular trading; early closes included."""
    symbols: tuple[str, ...] = ()
    """What is traded, in the order of every block."""
    market: Literal["recorded", "synthetic", "live"] = "live"
    """Where prices come from."""
    identity: str = ""
    """Which market exactly, such as ``synthetic planted=0.22``; a conformal history counts for one market only."""
    warmup_days: int = 2
    """Earlier sessions whose minute bars fill buffers and calibration before the open."""


class LogSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the log is."""

    url: str = "nats://127.0.0.1:4222"
    """Client address of the NATS server."""
    monitor_url: str = "http://127.0.0.1:8222"
    """Its monitor, which must report fsync-always."""
    credentials_dir: str = ""
    """Folder with one password file for each NATS user; empty connects without a user."""
    intent_key_file: str = ""
    """Key under which the arbiter signs intents and execution verifies them; empty is ``intent_key`` in
    ``credentials_dir``. While keys are exchanged the old one stands beside it as ``<file>.previous``."""
    witness_dir: str = ""
    """Folder where each service notes how far it has seen the TAPE, so that a lost end is noticed at its next start;
    best on another disk than the TAPE. Empty keeps no such note."""


class BrokerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where TWS, IB Gateway or the simulator is."""

    host: str = "127.0.0.1"
    """Address of TWS, IB Gateway or the simulator."""
    port: int = 4002
    """4002 is IB Gateway (paper), 7497 TWS (paper)."""
    account: str = "DU000001"
    """Account that orders name explicitly."""
    library: BrokerLibrary = "ib_insync"
    """Client library; the two cannot share an environment (docs/BROKER_LIBRARIES.md)."""
    market_data_type: Literal["live", "delayed"] = "live"
    """What is asked for; what arrives is recorded, and delayed data are never traded on."""
    gateway_client_id: int = 11
    """The market-data connection's client id."""
    execution_client_id: int = 12
    """The order connection's client id; constant, because it owns its orders."""
    request_timeout_s: float = 20.0
    """Longest wait for an answer of the broker."""
    paced: bool = True
    """False only for the simulator, whose session may run faster than the wall clock."""
    governor: GovernorParameters = GovernorParameters()
    """Pace of all outgoing messages, for each connection."""
    reconnect: ReconnectParameters = ReconnectParameters()
    """When a lost connection is called again."""
    probe_s: float = 15.0
    """So often the broker must answer a question; without an answer within ``request_timeout_s`` the connection is
    given up, a person is told, and it is called anew. An open port proves nothing."""

    def __post_init__(self) -> None:
        """Refuse a distance that would never notice, or ask all the time."""
        require_between("broker", "probe_s", self.probe_s, 1.0, 300.0)


class RuntimeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How processes behave."""

    clock: ClockMode = "wall"
    """``wall`` live; ``broker`` follows the simulator's clock at any speed; ``turns`` is lockstep."""
    log_dir: str = "logs"
    """Folder of the rotating JSON logs; empty writes none."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe line that is written."""
    log_terminal: bool = True
    """Whether lines also go to standard error."""
    health_host: str = "127.0.0.1"
    """Interface of the health endpoints."""
    health_port: int = 0
    """Port of /healthz, /readyz and /metrics; 0 takes any free one."""
    kernels: Literal["auto", "native", "reference"] = "auto"
    """Which kernels run; the choice is in logs and metrics."""


class InferenceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which models run."""

    folder: str = "models"
    """Holds manifest.yaml and the model files."""
    parameters: InferenceParameters = InferenceParameters()


class HistorySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the conformal gate starts from; `walstreet up` fills it in from the model folder's ``outcomes``."""

    file: str = ""
    """A conformal history; empty starts from nothing, and then nothing is traded before enough has matured."""
    sha256: str = ""
    """Of the file, so that a replay cannot start from another one."""


class EmergencySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an emergency reaches execution without the log, and what happens to it when the log is away."""

    panic_flag: str = "state/panic.flag"
    """While this file exists, trading is stopped and everything is flattened; removing it resumes nothing."""
    spool: str = "state/execution-spool.bin"
    """Where execution writes its own events while the log is away in an emergency."""
    poll_s: float = 0.25
    """How often the flag is looked for (wall time)."""
    log_grace_s: float = 2.0
    """In an emergency the log may keep execution waiting for so long (wall time)."""
    log_retry_s: float = 1.0
    """How often a log that is away is looked for (wall time)."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        for name in ("panic_flag", "spool"):
            if not getattr(self, name):
                raise ValueError(f"emergency.{name} is empty; it names a file that execution can reach without the log")
        require_between("emergency", "poll_s", self.poll_s, 0.01, 10.0)
        require_between("emergency", "log_grace_s", self.log_grace_s, 0.1, 60.0)
        require_between("emergency", "log_retry_s", self.log_retry_s, 0.1, 60.0)


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole configuration."""

    session: SessionSettings = SessionSettings()
    log: LogSettings = LogSettings()
    broker: BrokerSettings = BrokerSettings()
    runtime: RuntimeSettings = RuntimeSettings()
    emergency: EmergencySettings = EmergencySettings()
    gateway: GatewayParameters = GatewayParameters()
    features: FeatureParameters = FeatureParameters()
    inference: InferenceSettings = InferenceSettings()
    arbiter: ArbiterParameters = ArbiterParameters()
    execution: ExecutionParameters = ExecutionParameters()
    reconciler: ReconcilerParameters = ReconcilerParameters()
    history: HistorySettings = HistorySettings()
    strategies: StrategiesParameters = StrategiesParameters()
    calibrations: tuple[ModelCalibration, ...] = ()
    """How each model's score becomes a forecast; `walstreet up` records the manifest's, and replay needs no file."""
    barriers: tuple[BarrierModel, ...] = ()
    """Models of barrier probabilities with their base rates; recorded like the calibrations."""


def load_settings(
    files: Sequence[Path], *, environment: Mapping[str, str] = os.environ, over: Sequence[Tree] = ()
) -> Settings:
    """Return the settings of ``files`` in order, then the environment, then ``over``.

    A file named ``config.local.yaml`` may also hold the swing portfolio's keys, which are passed over.

    Raises:
        walstreet.runtime.errors.UsageError: A file, key or value that cannot be used, named with its path.
    """
    tree: Tree = {}
    for path in files:
        layer = read_layer(path)
        tree = merge(tree, without(layer, SWING_KEYS) if path.name == LOCAL_FILE else layer)
    tree = merge(tree, environment_layer(environment))
    for layer in over:
        tree = merge(tree, layer)
    sources = [str(path) for path in files] + [f"{ENVIRONMENT_PREFIX}* variables"] + ["arguments"] * bool(over)
    return convert(tree, Settings, ", ".join(sources))
