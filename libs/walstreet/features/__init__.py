"""Owns the features of one-minute bars: one incremental implementation for research, training and live."""

from walstreet.features.builder import FeatureBuilder, FeatureRow, compute_features
from walstreet.features.parameters import FeatureParameters
from walstreet.features.schema import FeatureSpec, schema_hash
from walstreet.features.table import FEATURE_COUNT, FEATURE_NAMES, FEATURES

__all__ = [
    "FEATURES",
    "FEATURE_COUNT",
    "FEATURE_NAMES",
    "FeatureBuilder",
    "FeatureParameters",
    "FeatureRow",
    "FeatureSpec",
    "compute_features",
    "schema_hash",
]
