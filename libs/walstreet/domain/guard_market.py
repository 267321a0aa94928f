"""Owns the guards on the state of the market: quote, spread, volume, halts, blackouts, volatility and price collar.

Orders that only reduce |position| bypass every guard here but two: a *known* halt and a *known* closed session, in
which the market itself takes no order, and the collar against a quote that is fresh and sound, because an order priced
sensibly passes it. A source that is not configured (earnings, news) makes its guard inactive, and ``inactive_guards``
says so for the start and the dashboard; a configured source without data for the symbol refuses.

Source: documents 000 and 001 (``PreTradeGuards``) with the numbers of the project's behaviour document.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from walstreet.domain.bounds import require_between, require_ordered
from walstreet.domain.guard_verdict import (
    Finding,
    Guard,
    GuardedOrder,
    GuardVerdict,
    Measure,
    bps,
    exceeds_bps,
    guard,
    nano_of_usd,
    nanos,
    notional_nano,
    seconds,
    usd,
)
from walstreet_events import NANOS_PER_SECOND, QuoteSeen

EVENT_TIMES_MAX = 64
"""Earnings or news times of one symbol that may be relevant at once; more come from a broken source."""


class MarketReason(StrEnum):
    """Stable codes of the market guards; those that ``guards.Reason`` knows have its text."""

    SESSION_UNKNOWN = "session_unknown"
    SESSION_CLOSED = "session_closed"
    BLACKOUT_OPEN = "blackout_open"
    BLACKOUT_CLOSE = "blackout_close"
    HALT_UNKNOWN = "halt_unknown"
    HALTED = "halted"
    LULD_PAUSE = "luld_pause"
    DATA_TYPE_UNKNOWN = "data_type_unknown"
    DATA_NOT_LIVE = "data_not_live"
    NO_QUOTE = "no_quote"
    FEED_UNKNOWN = "feed_unknown"
    STALE_FEED = "stale_feed"
    STALE_QUOTE = "stale_quote"
    LOCKED_QUOTE = "locked_quote"
    CROSSED_QUOTE = "crossed_quote"
    SPREAD_UNKNOWN = "spread_unknown"
    WIDE_SPREAD = "wide_spread"
    IMPLAUSIBLE_SPREAD = "implausible_spread"
    ADV_UNKNOWN = "adv_unknown"
    LOW_ADV = "low_adv"
    EARNINGS_UNKNOWN = "earnings_unknown"
    EARNINGS_BLACKOUT = "earnings_blackout"
    NEWS_UNKNOWN = "news_unknown"
    NEWS_BLACKOUT = "news_blackout"
    VOLUME_UNKNOWN = "volume_unknown"
    VOLUME_SPIKE = "volume_spike"
    VOLATILITY_UNKNOWN = "volatility_unknown"
    HIGH_VOLATILITY = "high_volatility"
    UNPRICED_ORDER = "unpriced_order"
    PRICE_COLLAR_UNKNOWN = "price_collar_unknown"
    PRICE_COLLAR = "price_collar"


class HaltState(StrEnum):
    """What tick type 49 said last."""

    TRADING = "trading"
    HALTED = "halted"
    """1: a regulatory or news halt."""
    LULD_PAUSE = "luld_pause"
    """2: a volatility pause, limit up or limit down."""


def halt_state(tick: float | None) -> HaltState | None:
    """Return the meaning of tick type 49; None (unknown) for -1, NaN, an absent tick, and codes of a later version."""
    return {0.0: HaltState.TRADING, 1.0: HaltState.HALTED, 2.0: HaltState.LULD_PAUSE}.get(
        math.nan if tick is None else float(tick)
    )


class MarketGuardParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From where on the market is no place for a new position."""

    quote_age_s_max: float = 60.0
    """Since the symbol's last confirmation; brokers send changes only, so the literal 1 s refuses quiet names."""
    feed_age_s_max: float = 1.0
    """Since the last message or heartbeat of the symbol's data farm."""
    spread_bps_max: float = 12.0
    spread_plausible_bps_min: float = 0.1
    spread_plausible_bps_max: float = 50.0
    """Outside these the quote is taken for a fault of the data rather than for a price."""
    adv_usd_min: float = 10_000_000.0
    """Average daily volume times the prior close."""
    blackout_open_s: float = 180.0
    blackout_close_s: float = 120.0
    earnings_configured: bool = False
    """Whether a source of earnings times exists."""
    earnings_s: float = 900.0
    """Before and after."""
    news_configured: bool = False
    news_s: float = 600.0
    """Before and after: some news is scheduled."""
    volume_spike_max: float = 5.0
    """Volume of the last full bar over the typical one of that time."""
    sigma_5m_bps_max: float = 150.0
    """Volatility of five minutes."""
    collar_bps: float = 50.0
    """Largest distance of a limit from the mid of a fresh quote."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges and contradictions."""
        for name, low, high in _RANGES:
            require_between("market_guard", name, getattr(self, name), low, high)
        require_ordered(
            "market_guard",
            ("spread_plausible_bps_min", self.spread_plausible_bps_min),
            ("spread_bps_max", self.spread_bps_max),
        )
        require_ordered(
            "market_guard",
            ("spread_bps_max", self.spread_bps_max),
            ("spread_plausible_bps_max", self.spread_plausible_bps_max),
        )


_RANGES: tuple[tuple[str, float, float], ...] = (
    ("quote_age_s_max", 0.1, 3_600.0),
    ("feed_age_s_max", 0.1, 3_600.0),
    ("spread_bps_max", 0.1, 50.0),
    ("spread_plausible_bps_min", 0.0, 1.0),
    ("spread_plausible_bps_max", 1.0, 1_000.0),
    ("adv_usd_min", 0.0, 1e12),
    ("blackout_open_s", 0.0, 7_200.0),
    ("blackout_close_s", 0.0, 7_200.0),
    ("earnings_s", 0.0, 86_400.0),
    ("news_s", 0.0, 86_400.0),
    ("volume_spike_max", 1.0, 1_000.0),
    ("sigma_5m_bps_max", 1.0, 10_000.0),
    ("collar_bps", 1.0, 1_000.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketFacts:
    """What the market guards look at; None always means *not known*."""

    now_ns: int
    order: GuardedOrder
    quote: QuoteSeen | None
    feed_ts_ns: int | None
    """Last message or heartbeat of the symbol's farm."""
    data_type: str | None
    """As it arrived: ``live``, ``frozen``, ``delayed``, ``delayed_frozen``."""
    session_open_ns: int | None
    session_close_ns: int | None
    halt: HaltState | None
    average_daily_volume_micro: int | None
    prior_close_nano: int | None
    earnings_ns: tuple[int, ...] | None
    """Times of the symbol's earnings that may be near; an empty tuple says that there are none."""
    news_ns: tuple[int, ...] | None
    volume_micro: int | None
    """Of the last full bar."""
    volume_typical_micro: int | None
    """Of such a bar at that time of the session."""
    sigma_5m_bps: float | None

    def __post_init__(self) -> None:
        """Refuse more event times than any symbol has."""
        for name in ("earnings_ns", "news_ns"):
            times = getattr(self, name)
            if times is not None and len(times) > EVENT_TIMES_MAX:
                raise ValueError(
                    f"{self.order.symbol}: {len(times)} {name}, at most {EVENT_TIMES_MAX} are possible; "
                    "the source must keep to those near the session"
                )

    @property
    def two_sided(self) -> QuoteSeen | None:
        """Return the quote if it has two positive sides."""
        quote = self.quote
        return quote if quote is not None and quote.bid_nano > 0 and quote.ask_nano > 0 else None


# ------------------------------------------------------------------------------------------- session and halts


@guard("session", bypass=False)
def check_session(facts: MarketFacts, _parameters: MarketGuardParameters) -> Finding:
    """Refuse outside the regular session; a session that is not known stops only what does not reduce."""
    if facts.session_open_ns is None or facts.session_close_ns is None:
        return Finding(reason=MarketReason.SESSION_UNKNOWN, bypass=True)
    measures = (
        Measure(name="since_open_s", value=seconds(facts.now_ns - facts.session_open_ns), limit=0.0),
        Measure(name="to_close_s", value=seconds(facts.session_close_ns - facts.now_ns), limit=0.0),
    )
    trading = facts.session_open_ns <= facts.now_ns < facts.session_close_ns
    return Finding(reason=None if trading else MarketReason.SESSION_CLOSED, measures=measures)


@guard("blackout", bypass=True)
def check_blackout(facts: MarketFacts, parameters: MarketGuardParameters) -> Finding:
    """Refuse just after the open and just before the close."""
    if facts.session_open_ns is None or facts.session_close_ns is None:
        return Finding(reason=MarketReason.SESSION_UNKNOWN)
    since_open_ns, to_close_ns = facts.now_ns - facts.session_open_ns, facts.session_close_ns - facts.now_ns
    reason = None
    if since_open_ns < nanos(parameters.blackout_open_s):
        reason = MarketReason.BLACKOUT_OPEN
    elif to_close_ns <= nanos(parameters.blackout_close_s):
        reason = MarketReason.BLACKOUT_CLOSE
    return Finding(
        reason=reason,
        measures=(
            Measure(name="since_open_s", value=seconds(since_open_ns), limit=parameters.blackout_open_s),
            Measure(name="to_close_s", value=seconds(to_close_ns), limit=parameters.blackout_close_s),
        ),
    )


@guard("halt", bypass=False)
def check_halt(facts: MarketFacts, _parameters: MarketGuardParameters) -> Finding:
    """Refuse in a halt or a volatility pause; a state that is not known stops only what does not reduce."""
    if facts.halt is None:
        return Finding(reason=MarketReason.HALT_UNKNOWN, bypass=True)
    reason = {HaltState.HALTED: MarketReason.HALTED, HaltState.LULD_PAUSE: MarketReason.LULD_PAUSE}.get(facts.halt)
    return Finding(reason=reason, note=f"halt state {facts.halt.value}")


# ------------------------------------------------------------------------------------------------------- quote


@guard("data_type", bypass=True)
def check_data_type(facts: MarketFacts, _parameters: MarketGuardParameters) -> Finding:
    """Refuse on anything but live data, judged by the type that arrived."""
    if facts.data_type is None or facts.data_type in {"", "unknown"}:
        return Finding(reason=MarketReason.DATA_TYPE_UNKNOWN)
    live = facts.data_type == "live"
    return Finding(reason=None if live else MarketReason.DATA_NOT_LIVE, note=f"data type {facts.data_type}")


@guard("quote_age", bypass=True)
def check_quote_age(facts: MarketFacts, parameters: MarketGuardParameters) -> Finding:
    """Refuse without a two-sided quote, on a silent feed, and on a quote not confirmed for too long."""
    quote = facts.two_sided
    if quote is None:
        return Finding(reason=MarketReason.NO_QUOTE)
    if facts.feed_ts_ns is None:
        return Finding(reason=MarketReason.FEED_UNKNOWN)
    feed_age_ns, quote_age_ns = facts.now_ns - facts.feed_ts_ns, facts.now_ns - quote.ts_ns
    reason = None
    # A time in the future is a fault of a clock, not freshness.
    if not 0 <= feed_age_ns <= nanos(parameters.feed_age_s_max):
        reason = MarketReason.STALE_FEED
    elif not 0 <= quote_age_ns <= nanos(parameters.quote_age_s_max):
        reason = MarketReason.STALE_QUOTE
    return Finding(
        reason=reason,
        measures=(
            Measure(name="feed_age_s", value=seconds(feed_age_ns), limit=parameters.feed_age_s_max),
            Measure(name="quote_age_s", value=seconds(quote_age_ns), limit=parameters.quote_age_s_max),
        ),
    )


@guard("locked_crossed", bypass=True)
def check_locked_crossed(facts: MarketFacts, _parameters: MarketGuardParameters) -> Finding:
    """Refuse a locked or crossed best bid and ask."""
    quote = facts.two_sided
    if quote is None:
        return Finding(reason=MarketReason.NO_QUOTE)
    reason = None
    if quote.bid_nano > quote.ask_nano:
        reason = MarketReason.CROSSED_QUOTE
    elif quote.bid_nano == quote.ask_nano:
        reason = MarketReason.LOCKED_QUOTE
    return Finding(
        reason=reason, measures=(Measure(name="bid_usd", value=usd(quote.bid_nano), limit=usd(quote.ask_nano)),)
    )


@guard("spread", bypass=True)
def check_spread(facts: MarketFacts, parameters: MarketGuardParameters) -> Finding:
    """Refuse a wide spread, and one so small or so large that the quote itself is in doubt."""
    quote = facts.two_sided
    if quote is None:
        return Finding(reason=MarketReason.SPREAD_UNKNOWN)
    spread, twice_mid = 2 * (quote.ask_nano - quote.bid_nano), quote.bid_nano + quote.ask_nano
    reason = None
    if (
        exceeds_bps(spread, twice_mid, parameters.spread_plausible_bps_max)
        # Locked and crossed quotes have their own guard and reason.
        or (spread > 0 and exceeds_bps(-spread, twice_mid, -parameters.spread_plausible_bps_min))
    ):
        reason = MarketReason.IMPLAUSIBLE_SPREAD
    elif exceeds_bps(spread, twice_mid, parameters.spread_bps_max):
        reason = MarketReason.WIDE_SPREAD
    return Finding(
        reason=reason,
        measures=(
            Measure(name="spread_bps", value=bps(spread, twice_mid), limit=parameters.spread_bps_max),
            Measure(name="spread_plausible_bps_min", value=parameters.spread_plausible_bps_min),
            Measure(name="spread_plausible_bps_max", value=parameters.spread_plausible_bps_max),
        ),
    )


@guard("price_collar", bypass=False)
def check_price_collar(facts: MarketFacts, parameters: MarketGuardParameters) -> Finding:
    """Refuse a limit far from the mid of a fresh quote, and an opening order without a limit.

    An order that only reduces may be a market order, is not judged by a quote that is missing, old or crossed, and may
    go as far as the far touch of a wide quote; against a fresh quote a wild price is refused for it too, which traps
    nobody, because a sensible price passes.
    """
    order, quote = facts.order, facts.two_sided
    if order.limit_nano is None:
        return Finding(reason=MarketReason.UNPRICED_ORDER, bypass=True, note="market order")
    if quote is None or quote.bid_nano > quote.ask_nano or check_quote_age(facts, parameters).reason is not None:
        return Finding(reason=MarketReason.PRICE_COLLAR_UNKNOWN, bypass=True, note="no fresh quote")
    twice_mid = quote.bid_nano + quote.ask_nano
    distance, half_spread = abs(2 * order.limit_nano - twice_mid), quote.ask_nano - quote.bid_nano
    within_touch = order.reducing and distance <= half_spread
    too_far = order.limit_nano <= 0 or (exceeds_bps(distance, twice_mid, parameters.collar_bps) and not within_touch)
    return Finding(
        reason=MarketReason.PRICE_COLLAR if too_far else None,
        measures=(
            Measure(name="limit_usd", value=usd(order.limit_nano)),
            Measure(name="mid_usd", value=usd(twice_mid) / 2.0),
            Measure(name="distance_bps", value=bps(distance, twice_mid), limit=parameters.collar_bps),
        ),
    )


# -------------------------------------------------------------------------------------- liquidity and disturbance


@guard("adv", bypass=True)
def check_adv(facts: MarketFacts, parameters: MarketGuardParameters) -> Finding:
    """Refuse symbols that trade too little on an average day."""
    volume, close = facts.average_daily_volume_micro, facts.prior_close_nano
    if volume is None or close is None or volume <= 0 or close <= 0:
        return Finding(reason=MarketReason.ADV_UNKNOWN)
    traded = notional_nano(volume, close)
    low = traded < nano_of_usd(parameters.adv_usd_min)
    return Finding(
        reason=MarketReason.LOW_ADV if low else None,
        measures=(Measure(name="adv_usd", value=usd(traded), limit=parameters.adv_usd_min),),
    )


def _near(now_ns: int, times_ns: tuple[int, ...], window_s: float, name: str) -> tuple[bool, tuple[Measure, ...]]:
    """Return whether any time is less than ``window_s`` away, and the distance of the nearest."""
    if not times_ns:
        return False, ()
    distance_ns = min(abs(now_ns - time_ns) for time_ns in times_ns)
    return distance_ns < nanos(window_s), (Measure(name=name, value=seconds(distance_ns), limit=window_s),)


@guard("earnings", bypass=True)
def check_earnings(facts: MarketFacts, parameters: MarketGuardParameters) -> Finding:
    """Refuse around the symbol's earnings."""
    if not parameters.earnings_configured:
        return Finding(inactive=True, note="no source of earnings times is configured")
    if facts.earnings_ns is None:
        return Finding(reason=MarketReason.EARNINGS_UNKNOWN)
    near, measures = _near(facts.now_ns, facts.earnings_ns, parameters.earnings_s, "earnings_distance_s")
    return Finding(reason=MarketReason.EARNINGS_BLACKOUT if near else None, measures=measures)


@guard("news", bypass=True)
def check_news(facts: MarketFacts, parameters: MarketGuardParameters) -> Finding:
    """Refuse around news of the symbol."""
    if not parameters.news_configured:
        return Finding(inactive=True, note="no source of news times is configured")
    if facts.news_ns is None:
        return Finding(reason=MarketReason.NEWS_UNKNOWN)
    near, measures = _near(facts.now_ns, facts.news_ns, parameters.news_s, "news_distance_s")
    return Finding(reason=MarketReason.NEWS_BLACKOUT if near else None, measures=measures)


@guard("volume_spike", bypass=True)
def check_volume_spike(facts: MarketFacts, parameters: MarketGuardParameters) -> Finding:
    """Refuse when the last bar traded a multiple of what such a bar trades."""
    volume, typical = facts.volume_micro, facts.volume_typical_micro
    if volume is None or typical is None or volume < 0 or typical <= 0:
        return Finding(reason=MarketReason.VOLUME_UNKNOWN)
    ratio = volume / typical
    return Finding(
        reason=MarketReason.VOLUME_SPIKE if ratio > parameters.volume_spike_max else None,
        measures=(Measure(name="volume_ratio", value=ratio, limit=parameters.volume_spike_max),),
    )


@guard("volatility", bypass=True)
def check_volatility(facts: MarketFacts, parameters: MarketGuardParameters) -> Finding:
    """Refuse when five minutes move too much."""
    sigma = facts.sigma_5m_bps
    if sigma is None or not math.isfinite(sigma) or sigma <= 0.0:
        return Finding(reason=MarketReason.VOLATILITY_UNKNOWN)
    return Finding(
        reason=MarketReason.HIGH_VOLATILITY if sigma > parameters.sigma_5m_bps_max else None,
        measures=(Measure(name="sigma_5m_bps", value=sigma, limit=parameters.sigma_5m_bps_max),),
    )


MARKET_GUARDS: tuple[Guard[MarketFacts, MarketGuardParameters], ...] = (
    check_session,
    check_halt,
    check_blackout,
    check_data_type,
    check_quote_age,
    check_locked_crossed,
    check_spread,
    check_adv,
    check_earnings,
    check_news,
    check_volume_spike,
    check_volatility,
    check_price_collar,
)
"""In the order in which a refusal is reported."""

assert len({row.name for row in MARKET_GUARDS}) == len(MARKET_GUARDS), "names identify guards"
assert nanos(1.0) == NANOS_PER_SECOND


def check_market(facts: MarketFacts, parameters: MarketGuardParameters) -> tuple[GuardVerdict, ...]:
    """Return every market guard's verdict, in the order of ``MARKET_GUARDS``."""
    return tuple(row(facts, parameters) for row in MARKET_GUARDS)


def inactive_guards(parameters: MarketGuardParameters) -> tuple[str, ...]:
    """Return the guards whose data source is not configured, for the start and the dashboard."""
    sources = (("earnings", parameters.earnings_configured), ("news", parameters.news_configured))
    return tuple(name for name, configured in sources if not configured)
