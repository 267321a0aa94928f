"""Owns the parameters of everything that learns from matured outcomes, and the switches of the gates."""

from __future__ import annotations

import msgspec

from walstreet.domain.conformal_parameters import ConformalParameters
from walstreet.domain.cost_learning import CostLearningParameters
from walstreet.domain.covariance import CovarianceParameters
from walstreet.domain.drift_parameters import DriftParameters
from walstreet.domain.regime import RegimeParameters
from walstreet.domain.standardise import StandardiseParameters
from walstreet.domain.zoo_parameters import WeightParameters


class LearningParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How outcomes steer later decisions. These hold from the start: changing them in a session needs a restart."""

    warmup_teaches: bool = False
    """Learn from the forecasts of the warm-up too. A broker's history has neither quotes nor order flow, so these are
    other forecasts than the live ones: on the synthetic market their correlation with the outcome is 0 where that of
    the live ones is .1. Switch it on for models that read prices and volume only."""
    standardise: bool = True
    """Judge a model's score against its own recent past; off, the model's value counts as it stands."""
    standardiser: StandardiseParameters = StandardiseParameters()
    weights: WeightParameters = WeightParameters()
    conformal: ConformalParameters = ConformalParameters()
    drift: DriftParameters = DriftParameters()
    covariance: CovarianceParameters = CovarianceParameters()
    regime: RegimeParameters = RegimeParameters()
    slippage: CostLearningParameters = CostLearningParameters()


class GateSwitches(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which gates stand between a forecast and an order. Research switches them off one by one; trading does not."""

    conformal: bool = True
    """Ask whether the expected return clears its cost with confidence."""
    drift: bool = True
    """Leave quarantined models out of the blend."""
    barrier: bool = True
    """Let barrier probabilities block entries, shrink sizes and close positions."""
    correlation: bool = True
    """Cap the volatility of the book and the gross weight of correlated clusters."""
    netting: bool = True
    """Suppress openings that are small, churn, or flip without a better reason than the last one had."""
    rebalance: bool = True
    """Trade what is outside its band only when something has happened, and at the safety sweep."""
