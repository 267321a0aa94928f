"""Owns the parameters of everything that learns from matured outcomes, and the switches of the gates."""

from __future__ import annotations

import msgspec

from walstreet.domain.conformal_parameters import ConformalParameters
from walstreet.domain.drift_parameters import DriftParameters
from walstreet.domain.standardise import StandardiseParameters
from walstreet.domain.zoo_parameters import WeightParameters


class LearningParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How outcomes steer later decisions. These hold from the start: changing them in a session needs a restart."""

    standardise: bool = True
    """Judge a model's score against its own recent past; off, the model's value counts as it stands."""
    standardiser: StandardiseParameters = StandardiseParameters()
    weights: WeightParameters = WeightParameters()
    conformal: ConformalParameters = ConformalParameters()
    drift: DriftParameters = DriftParameters()


class GateSwitches(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which gates stand between a forecast and an order. Research switches them off one by one; trading does not."""

    conformal: bool = True
    """Ask whether the expected return clears its cost with confidence."""
    drift: bool = True
    """Leave quarantined models out of the blend."""
    barrier: bool = True
    """Let barrier probabilities block entries, shrink sizes and close positions."""
