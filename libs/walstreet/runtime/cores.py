"""Owns the making of cores from settings: the same for a live service and for replay."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from walstreet.domain.arbiter import ArbiterCore
from walstreet.domain.autotune import PATHS, tuning_of
from walstreet.domain.calibrate import BarrierModel, ModelCalibration
from walstreet.domain.conformal_history import ConformalHistory, HistoryError, decode_history
from walstreet.domain.execution import ExecutionCore
from walstreet.domain.gateway import GatewayCore
from walstreet.domain.gateway_parameters import SessionHours, SessionPlan
from walstreet.domain.model_manifest import ModelManifest, Target
from walstreet.domain.parameter_changes import ChangeRefusedError, changed
from walstreet.domain.reconciler import ReconcilerCore
from walstreet.features.core import FeaturesCore
from walstreet.features.table import FEATURES
from walstreet.runtime.errors import UsageError
from walstreet.runtime.sealing import read_intent_keys
from walstreet.runtime.settings import Settings

IMBALANCE_FEATURE = "flow_1"
"""The newest bar's signed volume over its volume."""
IMBALANCE_COLUMN = [feature.name for feature in FEATURES].index(IMBALANCE_FEATURE)


def calibrations_of(manifest: ModelManifest) -> tuple[ModelCalibration, ...]:
    """Return what the arbiter needs to know of the return models; their values are calibrated already, so slope 1."""
    return tuple(
        ModelCalibration(
            model=entry.name,
            horizon_minutes=entry.horizon_minutes,
            slope=1.0,
            weight=entry.weight_oof,
            score_sigma=entry.score_sigma,
        )
        for entry in manifest.models
        if entry.target is Target.RETURN
    )


def barriers_of(manifest: ModelManifest) -> tuple[BarrierModel, ...]:
    """Return the models of barrier probabilities."""
    return tuple(
        BarrierModel(
            model=entry.name,
            horizon_minutes=entry.horizon_minutes,
            target="peak" if entry.target is Target.PEAK else "valley",
            base_rate=entry.base_rate,
        )
        for entry in manifest.models
        if entry.target is not Target.RETURN
    )


def gateway_core(settings: Settings, past_sessions: tuple[SessionHours, ...] = ()) -> GatewayCore:
    """Return the gateway's core.

    Raises:
        UsageError: The settings name no session.
    """
    session = settings.session
    try:
        plan = SessionPlan(
            session_date=session.date,
            open_ns=session.open_ns,
            close_ns=session.close_ns,
            symbols=session.symbols,
            market=session.market,
            past_sessions=past_sessions,
        )
    except ValueError as error:
        raise UsageError(
            f"{error}; `walstreet up` fills the session section in, live it comes from --config"
        ) from error
    return GatewayCore(settings.gateway, plan)


def features_core(settings: Settings) -> FeaturesCore:
    """Return the feature builder's core."""
    return FeaturesCore(settings.features)


def arbiter_core(settings: Settings) -> ArbiterCore:
    """Return the arbiter's core.

    Raises:
        UsageError: No calibrations, so that every prediction would be without meaning, or an unusable history.
    """
    if not settings.calibrations:
        raise UsageError(
            "calibrations is empty; `walstreet up` takes them from the model manifest (models/manifest.yaml)"
        )
    return ArbiterCore(
        settings.arbiter,
        settings.calibrations,
        settings.barriers,
        imbalance_column=IMBALANCE_COLUMN,
        history=conformal_history(settings),
    )


def conformal_history(settings: Settings) -> ConformalHistory | None:
    """Return what the conformal gate starts from, None for nothing.

    Raises:
        UsageError: The file cannot be read, or is not the one that was recorded.
    """
    wanted = settings.history
    if not wanted.file:
        return None
    try:
        data = Path(wanted.file).read_bytes()
        found = hashlib.sha256(data).hexdigest()
        if found != wanted.sha256:
            raise UsageError(
                f"history.file {wanted.file} has the SHA-256 {found[:16]}..., recorded is {wanted.sha256[:16]}...; a "
                "session keeps the history it began with. Bring the file back, or start a new session"
            )
        return decode_history(data)
    except OSError as error:
        raise UsageError(f"history.file {wanted.file} cannot be read: {error.strerror or error}") from error
    except HistoryError as error:
        raise UsageError(f"history.file {wanted.file}: {error}") from error


def execution_core(settings: Settings) -> ExecutionCore:
    """Return execution's core.

    Raises:
        UsageError: The key of the intents cannot be read.
    """
    return ExecutionCore(settings.execution, read_intent_keys(settings))


def reconciler_core(settings: Settings) -> ReconcilerCore:
    """Return the reconciler's core.

    Raises:
        UsageError: A threshold could be tuned to a value that its owner refuses, or costs would never be reported.
    """
    delay_s, clock_s = settings.reconciler.tca.report_delay_s, settings.gateway.post_close_s
    if delay_s > clock_s:
        raise UsageError(
            f"reconciler.tca.report_delay_s is {delay_s}, but the clock stops gateway.post_close_s={clock_s} after the "
            "close, and costs would never be reported; choose a smaller delay"
        )
    return ReconcilerCore(settings.reconciler, tunables(settings))


def tunables(settings: Settings) -> dict[str, float]:
    """Return the configured values of the thresholds that may be tuned, by path.

    Raises:
        UsageError: The bounds of tuning reach beyond what the threshold's owner allows.
    """
    found: dict[str, float] = {}
    for path in PATHS:
        section, _, inside = path.partition(".")
        owner: msgspec.Struct = getattr(settings, section)
        tuning = tuning_of(path, settings.reconciler.tca)
        for bound in (tuning.low, tuning.high):
            try:
                changed(owner, {inside: msgspec.json.encode(bound).decode()})
            except ChangeRefusedError as error:
                raise UsageError(f"reconciler.tca would tune {path} to {bound}, which is refused: {error}") from error
        value: object = owner
        for part in inside.split("."):
            value = getattr(value, part)
        assert isinstance(value, int | float), path
        found[path] = float(value)
    return found
