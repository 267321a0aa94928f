"""Owns the events of the inference service."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from walstreet_events.envelope import Event, FloatBlock


class ModelStatus(StrEnum):
    """How one model did in one cycle."""

    OK = "ok"
    NOT_READY = "not_ready"
    """No symbol had complete inputs."""
    FAILED = "failed"
    LATE = "late"
    QUARANTINED = "quarantined"


class ModelColumn(msgspec.Struct, frozen=True, kw_only=True):
    """Identity of one row of a prediction block."""

    model: str
    family: str
    horizon_minutes: int
    target: str
    """``return`` (forecast of r/sigma_h), ``peak`` or ``valley`` (probability)."""
    status: ModelStatus


class PredictionBlock(Event, frozen=True, tag="prediction_block.v1"):
    """Raw outputs of every model for every symbol of one cycle; ``ts_ns`` is the bar's end."""

    symbols: tuple[str, ...]
    warmup: bool
    features: str
    """Id of the feature block that was read."""
    models: tuple[ModelColumn, ...]
    values: FloatBlock
    """(M, N); NaN means that the model gave no answer for the symbol."""


class ModelHealth(Event, frozen=True, tag="model_health.v1"):
    """A model changed its status (loaded, failed, recovered); written on change only."""

    model: str
    status: ModelStatus
    detail: str
