"""Owns factories for events of market data, features, predictions and decisions, with fixed values."""

from __future__ import annotations

from walstreet.testing.events_base import (
    BAR_NS,
    CLOSE_NS,
    OPEN_NS,
    SESSION_DATE,
    SYMBOLS,
    clock_tick,
    event_id,
    session_ref,
)
from walstreet_events import (
    ROOT,
    AnyEvent,
    AnyTick,
    BarBlock,
    BarCheck,
    BarFlag,
    BorrowBlock,
    BrokerStatus,
    Column,
    DailyBars,
    Decision,
    DriftChange,
    FeatureBlock,
    FeedStatus,
    InstrumentRef,
    Mode,
    ModelColumn,
    ModelHealth,
    ModelStatus,
    ModeState,
    Outcome,
    OutcomeBlock,
    PhaseName,
    PredictionBlock,
    Prefilter,
    PriorSession,
    Quote,
    ReconReport,
    RotationDecision,
    SessionPhase,
    SymbolStatus,
    Trade,
    Verdict,
    float_block,
    int_block,
)


def _bar() -> BarBlock:
    """Return one bar of two symbols, the second of which did not trade."""
    end_ns, prices = OPEN_NS + BAR_NS, int_block([100_250_000_000, 50_000_000_000])
    return BarBlock(
        id=event_id(BarBlock),
        cause=ROOT,
        ts_ns=end_ns,
        symbols=SYMBOLS,
        bar_ns=BAR_NS,
        warmup=False,
        open_nano=int_block([100_000_000_000, 50_000_000_000]),
        high_nano=int_block([100_500_000_000, 50_000_000_000]),
        low_nano=int_block([99_900_000_000, 50_000_000_000]),
        close_nano=prices,
        volume_micro=int_block([1_200_000_000, 0]),
        trade_count=int_block([17, 0]),
        vwap_nano=int_block([100_200_000_000, 50_000_000_000]),
        bid_nano=int_block([100_240_000_000, 0]),
        ask_nano=int_block([100_260_000_000, 0]),
        bid_size_micro=int_block([300_000_000, 0]),
        ask_size_micro=int_block([200_000_000, 0]),
        spread_mean_nano=int_block([20_000_000, 0]),
        signed_volume_micro=int_block([-200_000_000, 0]),
        quote_count=int_block([31, 0]),
        quote_ts_ns=int_block([end_ns - 250_000_000, 0]),
        flags=int_block([0, int(BarFlag.EMPTY | BarFlag.NO_QUOTE | BarFlag.UNCHECKED)]),
    )


def _features() -> FeatureBlock:
    """Return the features of the same bar; the second symbol is not ready."""
    end_ns, prices = OPEN_NS + BAR_NS, int_block([100_250_000_000, 50_000_000_000])
    two = int_block([0, 0])
    return FeatureBlock(
        id=event_id(FeatureBlock),
        cause=event_id(BarBlock),
        ts_ns=end_ns,
        symbols=SYMBOLS,
        warmup=False,
        schema_hash="ab" * 32,
        values=float_block([[1.5, -0.25, 0.0], [float("nan"), 2.0, 3.0]]),
        ready=int_block([1, 0]),
        flags=two,
        bid_nano=int_block([100_240_000_000, 0]),
        ask_nano=int_block([100_260_000_000, 0]),
        close_nano=prices,
        quote_ts_ns=int_block([end_ns, 0]),
        spread_bps=float_block([1.995, float("nan")]),
        sigma_5m_bps=float_block([12.5, float("nan")]),
        sigma_day_bps=float_block([110.0, float("nan")]),
        average_daily_volume_micro=int_block([50_000_000_000_000, 0]),
    )


def prior_session() -> PriorSession:
    """Return what the session before was like."""
    return PriorSession(
        id=event_id(PriorSession),
        cause=ROOT,
        ts_ns=OPEN_NS - BAR_NS,
        symbol="AAA",
        session_date=SESSION_DATE,
        low_nano=98_400_000_000,
        close_nano=99_750_000_000,
        close_before_nano=100_500_000_000,
    )


def _borrow() -> BorrowBlock:
    return BorrowBlock(
        id=event_id(BorrowBlock),
        cause=ROOT,
        ts_ns=OPEN_NS,
        symbols=("AAA", "BBB"),
        levels=(3.0, None),
        shortable_micro=(1_250_000_000_000, None),
    )


def daily_bars() -> DailyBars:
    """Return two complete days and today's, of two symbols; the second one has no bar on the first day."""
    return DailyBars(
        id=event_id(DailyBars),
        cause=ROOT,
        ts_ns=CLOSE_NS - 5 * BAR_NS,
        session_date=SESSION_DATE,
        symbols=SYMBOLS,
        dates=("2026-11-18", "2026-11-19", SESSION_DATE),
        what="ADJUSTED_LAST",
        provisional_end_ns=CLOSE_NS - 5 * BAR_NS,
        open_nano=int_block(
            [[100_000_000_000, 0], [101_000_000_000, 50_000_000_000], [102_000_000_000, 51_000_000_000]]
        ),
        high_nano=int_block(
            [[101_500_000_000, 0], [102_500_000_000, 51_500_000_000], [103_000_000_000, 52_000_000_000]]
        ),
        low_nano=int_block([[99_500_000_000, 0], [100_500_000_000, 49_500_000_000], [101_000_000_000, 50_500_000_000]]),
        close_nano=int_block(
            [[101_000_000_000, 0], [102_000_000_000, 51_000_000_000], [102_500_000_000, 51_500_000_000]]
        ),
    )


def rotation_decision() -> RotationDecision:
    """Return a rebalance that buys the first symbol and leaves the second alone."""
    return RotationDecision(
        id=event_id(RotationDecision),
        cause=event_id(DailyBars),
        ts_ns=CLOSE_NS - 5 * BAR_NS,
        strategy="rotation",
        session_date=SESSION_DATE,
        symbols=SYMBOLS,
        bars=event_id(DailyBars),
        mode=Mode.LIVE,
        status="rebalance",
        equity_nano=25_000_000_000_000,
        settled_nano=25_000_000_000_000,
        committed_nano=0,
        orders_before=0,
        day_trades=0,
        good_faith_violations=0,
        exposure=1.0,
        chosen=("AAA",),
        reasons=("chosen", "trend_gate"),
        verdicts=("accepted", "unchanged"),
        columns=(
            Column(name="price_usd", unit="usd", values=float_block([102.5, float("nan")])),
            Column(name="weight_target", unit="weight", values=float_block([0.5, 0.0])),
            Column(name="held_shares", unit="shares", values=float_block([0.0, 3.0])),
            Column(name="wanted_shares", unit="shares", values=float_block([121.951219, 0.0])),
            Column(name="order_shares", unit="shares", values=float_block([121.0, 0.0])),
        ),
        config_hash="cd" * 32,
    )


def market_examples() -> list[AnyEvent | AnyTick]:
    """Return one event of every type."""
    end_ns = OPEN_NS + BAR_NS
    return [
        _bar(),
        clock_tick(),
        SessionPhase(
            id=event_id(SessionPhase),
            cause=ROOT,
            ts_ns=OPEN_NS,
            session_date=SESSION_DATE,
            phase=PhaseName.OPEN,
            open_ns=OPEN_NS,
            close_ns=CLOSE_NS,
        ),
        FeedStatus(
            id=event_id(FeedStatus),
            cause=ROOT,
            ts_ns=OPEN_NS,
            farm="usfarm",
            healthy=False,
            data_type="live",
            code=2103,
            detail="Market data farm connection is broken:usfarm",
        ),
        BrokerStatus(
            id=event_id(BrokerStatus), cause=ROOT, ts_ns=OPEN_NS, connected=True, client_id=11, code=1102, detail="kept"
        ),
        SymbolStatus(id=event_id(SymbolStatus), cause=ROOT, ts_ns=OPEN_NS, symbol="BRK B", halted=True, detail="luld"),
        _borrow(),
        BarCheck(
            id=event_id(BarCheck),
            cause=event_id(BarBlock),
            ts_ns=end_ns,
            symbol="AAA",
            bar_start_ns=OPEN_NS,
            ticks_ohlcv=int_block([100, 101, 99, 100, 5]),
            broker_ohlcv=int_block([100, 102, 99, 100, 6]),
        ),
        InstrumentRef(
            id=event_id(InstrumentRef),
            cause=ROOT,
            ts_ns=OPEN_NS - BAR_NS,
            symbol="AAA",
            con_id=265_598,
            exchange="SMART",
            primary_exchange="NASDAQ",
            currency="USD",
            sector="Technology",
            min_tick_nano=10_000_000,
            lot_micro=100_000_000,
            prior_close_nano=99_000_000_000,
            average_daily_volume_micro=50_000_000_000_000,
        ),
        prior_session(),
        daily_bars(),
        session_ref(),
        _features(),
        Quote(
            seq=41,
            ts_ns=OPEN_NS + 1,
            symbol="AAA",
            bid_nano=100_240_000_000,
            ask_nano=100_260_000_000,
            bid_size_micro=300_000_000,
            ask_size_micro=200_000_000,
        ),
        Trade(seq=42, ts_ns=OPEN_NS + 2, symbol="AAA", price_nano=100_250_000_000, size_micro=100_000_000),
    ]


def decision_examples() -> list[AnyEvent | AnyTick]:
    """Return one event of every type."""
    end_ns = OPEN_NS + BAR_NS
    column = ModelColumn(model="gbm-5m", family="lightgbm", horizon_minutes=5, target="return", status=ModelStatus.OK)
    return [
        PredictionBlock(
            id=event_id(PredictionBlock),
            cause=event_id(FeatureBlock),
            ts_ns=end_ns,
            symbols=SYMBOLS,
            warmup=False,
            features=event_id(FeatureBlock),
            models=(column,),
            values=float_block([[0.125, float("nan")]]),
        ),
        ModelHealth(
            id=event_id(ModelHealth),
            cause=event_id(FeatureBlock),
            ts_ns=end_ns,
            model="gbm-5m",
            status=ModelStatus.QUARANTINED,
            detail="input drift",
        ),
        Decision(
            id=event_id(Decision),
            cause=event_id(PredictionBlock),
            ts_ns=end_ns,
            symbols=SYMBOLS,
            horizons_minutes=(5, 15),
            features=event_id(FeatureBlock),
            predictions=event_id(PredictionBlock),
            mode=Mode.LIVE,
            equity_nano=100_000_000_000_000,
            verdicts=(Verdict.ACCEPTED, Verdict.STALE_QUOTE),
            columns=(Column(name="alpha", unit="bps", values=float_block([[1.0, 2.0], [3.0, float("nan")]])),),
            config_hash="cd" * 32,
        ),
        rotation_decision(),
        ModeState(
            id=event_id(ModeState),
            cause=event_id(ReconReport),
            ts_ns=end_ns,
            mode=Mode.LIVE,
            previous=Mode.OBSERVE,
            reason="first_clean_reconciliation",
        ),
        Prefilter(
            id=event_id(Prefilter), cause=event_id(Decision), ts_ns=end_ns, symbols=("AAA",), expires_ns=end_ns + BAR_NS
        ),
    ]


def learning_examples() -> list[AnyEvent | AnyTick]:
    """Return one event of every type that learning reads or writes."""
    end_ns = OPEN_NS + BAR_NS
    return [
        Outcome(
            id=event_id(Outcome),
            cause=event_id(FeatureBlock),
            ts_ns=end_ns,
            symbols=SYMBOLS,
            decision=event_id(Decision),
            horizon_minutes=5,
            return_bps=float_block([3.5, float("nan")]),
            sigma_bps=float_block([12.5, 9.0]),
        ),
        DriftChange(
            id=event_id(DriftChange),
            cause=event_id(PredictionBlock),
            ts_ns=end_ns,
            model="lightgbm_return_5",
            horizon_minutes=5,
            previous="warning",
            status="quarantined",
            reason="rank_ic+reliability",
        ),
        OutcomeBlock(
            id=event_id(OutcomeBlock),
            cause=event_id(PredictionBlock),
            ts_ns=end_ns,
            symbols=SYMBOLS,
            horizons_minutes=(5, 15),
            predictions=(event_id(PredictionBlock), event_id(FeatureBlock)),
            return_bps=float_block([[3.5, float("nan")], [-7.25, 11.0]]),
            sigma_bps=float_block([[12.5, 9.0], [21.5, 15.75]]),
        ),
    ]
