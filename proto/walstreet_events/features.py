"""Owns the events of the feature builder."""

from __future__ import annotations

from walstreet_events.envelope import Event, FloatBlock, IntBlock


class FeatureBlock(Event, frozen=True, tag="feature_block.v1"):
    """Features of every symbol at one bar's end, with the market snapshot that was frozen there.

    ``ts_ns`` is the bar's end; one block is one decision cycle. Shapes: ``values`` (N, F), the others (N,).
    """

    symbols: tuple[str, ...]
    warmup: bool
    schema_hash: str
    """SHA-256 (hex) of the ordered feature names and parameters; a model refuses another one."""
    values: FloatBlock
    """NaN where a feature has not enough history."""
    ready: IntBlock
    """1 where every feature of the symbol is finite."""
    flags: IntBlock
    """``BarFlag`` per symbol, copied from the bar."""
    bid_nano: IntBlock
    ask_nano: IntBlock
    close_nano: IntBlock
    quote_ts_ns: IntBlock
    spread_bps: FloatBlock
    """Mean spread of the bar over the mid, NaN without a quote."""
    sigma_5m_bps: FloatBlock
    """Volatility of 5-minute returns, bps; NaN until enough bars."""
    sigma_day_bps: FloatBlock
    """Volatility of a full session (390 trading minutes), bps."""
    average_daily_volume_micro: IntBlock
    """0 when unknown."""
