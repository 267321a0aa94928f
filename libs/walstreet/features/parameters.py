"""Owns the parameters of the feature builder; they are part of the feature schema's hash."""

from __future__ import annotations

import msgspec

MINUTE_NS = 60_000_000_000
BAR_SECONDS_MAX = 3600


class FeatureParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of features and of the volatility snapshot.

    A ``span`` n is an exponentially weighted mean with weight 2/(n+1) on the newest value; until n/2 values
    are seen it is the plain mean, so that no start value leaks in.
    """

    normaliser_span: int = 60
    """Span of the one-bar variance whose root is the unit of returns (*sigma units*)."""
    normaliser_bars_min: int = 30
    sigma_floor_bps: float = 0.2
    """Lower bound of that unit, so that a symbol without moves gives zeros and not infinities."""
    session_gap_minutes: int = 180
    """A pause between two bars of at least this length is a session boundary."""
    session_minutes: int = 390
    """Length assumed for sessions that no ``SessionRef`` describes (warm-up history)."""
    sigma_5m_span: int = 78
    """Span of the variance of 5-minute returns: one full session."""
    sigma_5m_count_min: int = 12
    sigma_5m_clip: float = 4.0
    """A 5-minute return counts with at most this many current standard deviations."""
    value_limit: float = 10.0
    """Every feature is clipped to plus or minus this."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        _within("normaliser_span", self.normaliser_span, 2, 10_000)
        _within("normaliser_bars_min", self.normaliser_bars_min, 2, 10_000)
        _within("sigma_floor_bps", self.sigma_floor_bps, 1e-6, 100.0)
        _within("session_gap_minutes", self.session_gap_minutes, 30, 1_000)
        _within("session_minutes", self.session_minutes, 60, 1_440)
        _within("sigma_5m_span", self.sigma_5m_span, 2, 10_000)
        _within("sigma_5m_count_min", self.sigma_5m_count_min, 2, 1_000)
        _within("sigma_5m_clip", self.sigma_5m_clip, 1.0, 100.0)
        _within("value_limit", self.value_limit, 1.0, 1_000.0)


def _within(field: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"features.{field} = {value} is outside {low}..{high}; set it inside that range")
