"""Owns the composition of the arbiter's parameters and their identity in every decision record."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from walstreet.domain.arbitrate import ArbitrationParameters
from walstreet.domain.band import BandParameters
from walstreet.domain.barrier import BarrierParameters
from walstreet.domain.bounds import require_between
from walstreet.domain.calibrate import ModelCalibration
from walstreet.domain.confidence import ConfidenceParameters
from walstreet.domain.conformal_history import ConformalHistory, history_digest
from walstreet.domain.correlation_risk import CorrelationRiskParameters
from walstreet.domain.cost import CostParameters
from walstreet.domain.freshness import FreshnessParameters
from walstreet.domain.learning_parameters import GateSwitches, LearningParameters
from walstreet.domain.limits import LimitParameters
from walstreet.domain.mode import ModeParameters
from walstreet.domain.mode_causes import ModeCauseParameters
from walstreet.domain.netting import NettingParameters
from walstreet.domain.prefilter import PrefilterParameters
from walstreet.domain.rebalance import RebalanceParameters
from walstreet.domain.risk_weights import RiskWeightParameters
from walstreet.domain.rotation_live_parameters import RotationLiveParameters
from walstreet.domain.session_rules import SessionParameters
from walstreet.domain.shrinkage import UnknownCorrelationParameters
from walstreet.domain.size import SizeParameters


class OrderParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an order intent looks like."""

    notional_usd_min: float = 200.0
    """Smaller changes are not worth an order; exits to flat are exempt."""
    tif_5m_s: int = 15
    """Seconds that execution may work an order of this horizon."""
    tif_10m_s: int = 25
    tif_15m_s: int = 30
    tif_30m_s: int = 45
    tif_60m_s: int = 60
    tif_long_s: int = 120
    """For every longer horizon."""
    parent_tifs: int = 1
    """Times in force after which an intent expires: above 1 execution may send what its first order left."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        require_between("order", "notional_usd_min", self.notional_usd_min, 0.0, 1e6)
        for field in ("tif_5m_s", "tif_10m_s", "tif_15m_s", "tif_30m_s", "tif_60m_s", "tif_long_s"):
            require_between("order", field, getattr(self, field), 1, 3_600)
        require_between("order", "parent_tifs", self.parent_tifs, 1, 50)

    def tif_of(self, horizon_minutes: int) -> int:
        """Return the time in force of an order for a horizon, in seconds."""
        by_horizon = {
            5: self.tif_5m_s,
            10: self.tif_10m_s,
            15: self.tif_15m_s,
            30: self.tif_30m_s,
            60: self.tif_60m_s,
        }
        return by_horizon.get(horizon_minutes, self.tif_long_s)


class ArbiterParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that steers a decision besides facts; its hash is part of every decision."""

    freshness: FreshnessParameters = FreshnessParameters()
    cost: CostParameters = CostParameters()
    arbitration: ArbitrationParameters = ArbitrationParameters()
    size: SizeParameters = SizeParameters()
    risk_weights: RiskWeightParameters = RiskWeightParameters()
    limits: LimitParameters = LimitParameters()
    correlation: CorrelationRiskParameters = CorrelationRiskParameters()
    unknown_correlation: UnknownCorrelationParameters = UnknownCorrelationParameters()
    band: BandParameters = BandParameters()
    netting: NettingParameters = NettingParameters()
    rebalance: RebalanceParameters = RebalanceParameters()
    session: SessionParameters = SessionParameters()
    mode: ModeParameters = ModeParameters()
    mode_causes: ModeCauseParameters = ModeCauseParameters()
    prefilter: PrefilterParameters = PrefilterParameters()
    confidence: ConfidenceParameters = ConfidenceParameters()
    order: OrderParameters = OrderParameters()
    barrier: BarrierParameters = BarrierParameters()
    learning: LearningParameters = LearningParameters()
    gates: GateSwitches = GateSwitches()
    intraday: bool = True
    """Whether the intraday cycle decides; without it only the rotation orders, and learning from forecasts goes on."""
    rotation: RotationLiveParameters = RotationLiveParameters()
    shares_outstanding: dict[str, int] = {}
    """Per symbol, needed by ``cost.impact: almgren`` only; a symbol without it then fails closed."""

    def __post_init__(self) -> None:
        """Refuse a count of shares that cannot be."""
        for symbol, count in self.shares_outstanding.items():
            if count <= 0:
                raise ValueError(f"arbiter.shares_outstanding[{symbol}] is {count}; allowed is above 0")


_encoder = msgspec.msgpack.Encoder(order="deterministic")


def config_hash(
    parameters: ArbiterParameters, calibrations: Sequence[ModelCalibration], history: ConformalHistory | None = None
) -> str:
    """Return SHA-256 (hex) over the msgpack of the parameters, calibrations and history, in a fixed order."""
    ordered = sorted(calibrations, key=lambda item: (item.model, item.horizon_minutes))
    digest = hashlib.sha256(_encoder.encode((parameters, ordered)))
    if history is not None:
        digest.update(history_digest(history).encode())
    return digest.hexdigest()
