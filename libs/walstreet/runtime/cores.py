"""Owns the making of cores from settings: the same for a live service and for replay."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from walstreet.domain.arbiter import ArbiterCore
from walstreet.domain.arbiter_parameters import ArbiterParameters
from walstreet.domain.autotune import PATHS, tuning_of
from walstreet.domain.calibrate import BarrierModel, ModelCalibration
from walstreet.domain.conformal_history import ConformalHistory, HistoryError, decode_history
from walstreet.domain.execution import ExecutionCore
from walstreet.domain.gateway import GatewayCore
from walstreet.domain.gateway_parameters import SessionHours, SessionPlan
from walstreet.domain.model_manifest import ModelManifest, Target
from walstreet.domain.parameter_changes import ChangeRefusedError, changed
from walstreet.domain.reconciler import ReconcilerCore
from walstreet.domain.strategies import Member, StrategiesCore
from walstreet.domain.strategy_parameters import StrategyParameters, account_refusals
from walstreet.features.core import FeaturesCore
from walstreet.features.table import FEATURES
from walstreet.runtime.config import convert, merge
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


def arbiter_core(settings: Settings) -> ArbiterCore | StrategiesCore:
    """Return the arbiter's core: one for the whole account, or that of the strategies which share it.

    Raises:
        UsageError: No calibrations, so that every prediction would be without meaning, or an unusable history.
    """
    if not settings.calibrations:
        raise UsageError(
            "calibrations is empty; `walstreet up` takes them from the model manifest (models/manifest.yaml)"
        )
    if settings.strategies.members:
        return strategies_core(settings)
    return ArbiterCore(
        settings.arbiter,
        settings.calibrations,
        settings.barriers,
        imbalance_column=IMBALANCE_COLUMN,
        history=conformal_history(settings),
    )


def member_parameters(settings: Settings, profile: StrategyParameters) -> ArbiterParameters:
    """Return section ``arbiter`` with a strategy's own values on top.

    Raises:
        UsageError: Unknown key, wrong type or a value out of range; the text carries the path.
    """
    tree = merge(msgspec.to_builtins(settings.arbiter), profile.arbiter)
    return convert(tree, ArbiterParameters, f"strategies.members, {profile.name}: arbiter")


def strategies_core(settings: Settings) -> StrategiesCore:
    """Return the core of the strategies that share the account.

    Raises:
        UsageError: Strategies that cannot share it, with every reason.
    """
    parameters = {profile.name: member_parameters(settings, profile) for profile in settings.strategies.members}
    refusals = account_refusals(
        settings.strategies,
        account=settings.broker.account,
        gross_max={name: item.limits.gross_max for name, item in parameters.items()},
    )
    if refusals:
        reasons = "; ".join(f"{item.strategy or 'all'}: {item.detail} ({item.reason.value})" for item in refusals)
        raise UsageError(f"strategies.members cannot share account {settings.broker.account}: {reasons}")
    history = conformal_history(settings)
    return StrategiesCore(
        settings.arbiter,
        [
            Member(profile=profile, core=_member_core(settings, profile, parameters[profile.name], history))
            for profile in settings.strategies.members
        ],
        opening=settings.strategies.opening,
    )


def _member_core(
    settings: Settings, profile: StrategyParameters, parameters: ArbiterParameters, history: ConformalHistory | None
) -> ArbiterCore:
    strange = [symbol for symbol in profile.symbols if symbol not in settings.session.symbols]
    if strange and settings.session.symbols:
        raise UsageError(
            f"strategies.members, {profile.name}: not in session.symbols: {', '.join(strange)}; add them there"
        )
    wanted = profile.horizons_minutes
    chosen = [item for item in settings.calibrations if not wanted or item.horizon_minutes in wanted]
    if not chosen:
        known = sorted({item.horizon_minutes for item in settings.calibrations})
        raise UsageError(
            f"strategies.members, {profile.name}: no model has a horizon of {list(wanted)} minutes; there are {known}"
        )
    return ArbiterCore(
        parameters,
        chosen,
        [item for item in settings.barriers if not wanted or item.horizon_minutes in wanted],
        imbalance_column=IMBALANCE_COLUMN,
        # Skill was measured with the models' own sign; whoever trades against them begins without proof.
        history=history if profile.alpha_sign > 0 else None,
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
