"""Owns the events of the arbiter: decisions, mode, prefilter and matured outcomes."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from walstreet_events.envelope import Event, FloatBlock


class Mode(StrEnum):
    """Operating modes, from full trading down to the latched emergency."""

    LIVE = "live"
    DEGRADED = "degraded"
    OBSERVE = "observe"
    EMERGENCY = "emergency"


class Verdict(StrEnum):
    """Why a symbol left the cycle as it did; stable codes that dashboards and post-mortems rely on."""

    ACCEPTED = "accepted"
    STALE_QUOTE = "stale_quote"
    STALE_BAR = "stale_bar"
    STALE_PRED = "stale_pred"
    NO_PRED = "no_pred"
    NO_REF = "no_ref"
    CONF_BLOCK = "conf_block"
    CONF_UNCALIBRATED = "conf_uncalibrated"
    NO_ALPHA = "no_alpha"
    BELOW_THETA = "below_theta"
    PEAK_RISK = "peak_risk"
    VALLEY_RISK = "valley_risk"
    VALLEY_BOUNCE_PREF = "valley_bounce_pref"
    PEAK_FADE_PREF = "peak_fade_pref"
    SCALE_OUT_50PCT = "scale_out_50pct"
    TIGHTEN_SL = "tighten_sl"
    HOLD = "hold"
    BELOW_MIN = "below_min"
    CHURN = "churn"
    HYSTERESIS = "hysteresis"
    IN_BAND = "in_band"
    RISK_GROSS = "risk_gross"
    RISK_NET = "risk_net"
    RISK_NAME = "risk_name"
    RISK_SECTOR = "risk_sector"
    RISK_CLUSTER = "risk_cluster"
    RISK_VOLATILITY = "risk_volatility"
    PENDING_ORDER = "pending_order"
    NO_ENTRY_WINDOW = "no_entry_window"
    MODE_OBSERVE = "mode_observe"
    MODE_EMERGENCY = "mode_emergency"
    NOT_RECONCILED = "not_reconciled"
    NETTED = "netted"
    """Strategies of one account wanted opposite sides and met inside it."""


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One named, self-describing column of a decision record."""

    name: str
    unit: str
    values: FloatBlock
    """(N,) per symbol, or (H, N) per horizon and symbol."""


class Decision(Event, frozen=True, tag="decision.v1"):
    """The record of one cycle: every number behind every verdict; ``ts_ns`` is the bar's end."""

    symbols: tuple[str, ...]
    horizons_minutes: tuple[int, ...]
    features: str
    predictions: str
    mode: Mode
    equity_nano: int
    verdicts: tuple[Verdict, ...]
    """(N,) the first step that stopped the symbol, or ``accepted``."""
    columns: tuple[Column, ...]
    config_hash: str
    """Identifies the parameters in force."""


class RotationDecision(Event, frozen=True, tag="rotation_decision.v1"):
    """The record of one daily rebalance: every number and every reason, whether anything was ordered or not.

    Its intents follow in an ``IntentBlock`` that names it; arrays have the shape (N,) in the order of ``symbols``.
    """

    strategy: str
    """Which strategy of the account decided."""
    session_date: str
    symbols: tuple[str, ...]
    bars: str
    """Id of the ``DailyBars`` that were decided on."""
    mode: Mode
    status: str
    """Stable code of the whole: ``rebalance``, ``in_band``, or why nothing could be decided."""
    equity_nano: int
    """Of the account, 0 when unknown."""
    settled_nano: int
    """Settled cash free for purchases: the smaller of the broker's and our own, less what is committed."""
    committed_nano: int
    orders_before: int
    """Orders of the session before this rebalance."""
    day_trades: int
    """Of the last five sessions."""
    good_faith_violations: int
    """Within a year."""
    exposure: float
    """Factor of the regime overlay."""
    chosen: tuple[str, ...]
    """Selected names, best first."""
    reasons: tuple[str, ...]
    """(N,) why the symbol was selected or not."""
    verdicts: tuple[str, ...]
    """(N,) what became of its order: ``accepted``, ``unchanged``, or the first rule that stopped it."""
    columns: tuple[Column, ...]
    config_hash: str
    """Identifies the parameters in force."""


class ModeState(Event, frozen=True, tag="mode_state.v1"):
    """The operating mode changed."""

    mode: Mode
    previous: Mode
    reason: str


class Prefilter(Event, frozen=True, tag="prefilter.v1"):
    """Names for which the next cycles run the expensive models."""

    symbols: tuple[str, ...]
    expires_ns: int


class Outcome(Event, frozen=True, tag="outcome.v1"):
    """Realised returns of a matured cycle, per horizon; what learning may learn from."""

    symbols: tuple[str, ...]
    decision: str
    """Id of the decision whose horizon has matured."""
    horizon_minutes: int
    return_bps: FloatBlock
    """(N,) signed realised return over the horizon, NaN where it could not be measured."""
    sigma_bps: FloatBlock
    """(N,) volatility of the horizon that was in force at the decision."""


class OutcomeBlock(Event, frozen=True, tag="outcome_block.v1"):
    """What has become of the earlier cycles whose horizons end with this bar; ``ts_ns`` is the bar's end.

    One row per horizon that matured, warm-up included and whether anything was traded or not: the facts that
    conformal sets, weights, drift and bandits learn from, and nothing else.
    """

    symbols: tuple[str, ...]
    horizons_minutes: tuple[int, ...]
    """(K,) horizons that matured with this bar."""
    predictions: tuple[str, ...]
    """(K,) id of the prediction block whose horizon it was."""
    return_bps: FloatBlock
    """(K, N) signed return from the close of that cycle's bar to this close, NaN where it could not be measured."""
    sigma_bps: FloatBlock
    """(K, N) volatility of the horizon that was in force at that cycle."""


class DriftChange(Event, frozen=True, tag="drift_change.v1"):
    """The health of one model at one horizon changed; a quarantined model takes no part in the blend."""

    model: str
    horizon_minutes: int
    previous: str
    status: str
    reason: str
    """Stable codes of the checks that decided, joined by ``+``."""
