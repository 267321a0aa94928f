"""Owns the decision core of the inference service: feature blocks in, raw predictions of every model out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from walstreet.domain.model_manifest import InputKind, ModelEntry, Target
from walstreet.domain.parameter_changes import Changes, Versions
from walstreet.domain.sequence_buffer import SequenceBuffer
from walstreet_events import (
    AnyEvent,
    EventId,
    FeatureBlock,
    ModelColumn,
    ModelHealth,
    ModelStatus,
    ParameterChange,
    PredictionBlock,
    Prefilter,
    Service,
    SessionRef,
    derive_id,
    float_block,
    tag_of,
)

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

MINUTE_NS = 60_000_000_000
DETAIL_CHARACTERS_MAX = 300
SECTION = "inference.parameters"
"""Where the configuration holds ``InferenceParameters``."""


class ModelLateError(Exception):
    """The model answered too late to be used; raised by an adapter that measures time, never by the core."""


class Models(Protocol):
    """Loaded models; ``predict`` is a pure function of its arguments."""

    @property
    def entries(self) -> tuple[ModelEntry, ...]:
        """Return the models in the order of their index."""

    @property
    def schema_hash(self) -> str:
        """Return the feature schema that every model was trained on."""

    @property
    def feature_count(self) -> int:
        """Return F."""

    def predict(self, model_index: int, matrix: FloatArray) -> FloatArray:
        """Return one calibrated value per row.

        Args:
            model_index: Position in ``entries``.
            matrix: (N, F) for a tabular model, (N, T, F) for a sequence model; finite, N >= 1.

        Raises:
            ModelLateError: The answer came too late; the status of the cycle is ``late``.
            Exception: Anything else marks the model as failed for this cycle.
        """


class InferenceParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of the inference core."""

    session_gap_minutes: int = 180
    """A pause of at least this length is a night, which sequence windows may span."""
    prefilter_sequences: bool = True
    """Run sequence models only for the names of the latest unexpired prefilter (warm-up bars ignore it)."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        if not 30 <= self.session_gap_minutes <= 1_000:
            raise ValueError(
                f"inference.session_gap_minutes = {self.session_gap_minutes} is outside 30..1000; set it inside"
            )


@dataclass(slots=True)
class InferenceState:
    """What the service remembers; all of it comes back from feature blocks and own outputs."""

    bar_ns: int = MINUTE_NS
    symbols: tuple[str, ...] = ()
    buffers: dict[int, SequenceBuffer] = field(default_factory=dict)
    """By sequence length."""
    statuses: dict[str, ModelStatus] = field(default_factory=dict)
    """Last status written per model."""
    failures: dict[str, int] = field(default_factory=dict)
    """Cycles in which the model failed or was late, since the log's start."""
    prefilter: Prefilter | None = None
    changes: Changes = field(default_factory=Changes)
    last_ts_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """One model's row of one cycle."""

    values: FloatArray
    status: ModelStatus
    detail: str


class InferenceCore:
    """Runs every model on every ready symbol once per feature block; satisfies ``walstreet.ports.Core``.

    The cycle never aborts: a model that raises, or returns a wrong shape or something that is not finite, has
    no answer for this cycle, is counted, and its change of status is an event. Predictions are recorded, so
    replay reads them and never runs a model.
    """

    def __init__(self, models: Models, parameters: InferenceParameters) -> None:
        self._models = models
        self._versions = Versions(parameters)
        self._lengths = tuple(
            sorted({entry.sequence_length for entry in models.entries if entry.input_kind is InputKind.SEQUENCE})
        )

    @property
    def service(self) -> Service:
        """Return the producer this core decides for."""
        return Service.INFERENCE

    def initial(self) -> InferenceState:
        """Return the state before the first event."""
        return InferenceState()

    def evolve(self, state: InferenceState, event: AnyEvent) -> InferenceState:
        """Fold one fact: an input, or an own output that brings statuses and failure counts back."""
        if isinstance(event, FeatureBlock):
            state.changes.apply()
            self._remember(state, event)
        elif isinstance(event, ParameterChange):
            self._versions.note(state.changes, SECTION, event)
        elif isinstance(event, SessionRef):
            state.bar_ns = event.bar_ns
        elif isinstance(event, Prefilter):
            state.prefilter = event
        elif isinstance(event, ModelHealth):
            state.statuses[event.model] = event.status
        elif isinstance(event, PredictionBlock):
            for column in event.models:
                if column.status in (ModelStatus.FAILED, ModelStatus.LATE):
                    state.failures[column.model] = state.failures.get(column.model, 0) + 1
        return state

    def decide(self, state: InferenceState, event: AnyEvent) -> Sequence[AnyEvent]:
        """Return changes of model health, then one prediction block, for a feature block; else nothing."""
        if not isinstance(event, FeatureBlock):
            return ()
        answers = self._answers(state, event)
        entries = self._models.entries
        outputs: list[AnyEvent] = [
            ModelHealth(
                id=derive_id(event.id, tag_of(ModelHealth), index),
                cause=event.id,
                ts_ns=event.ts_ns,
                model=entry.name,
                status=answer.status,
                detail=answer.detail,
            )
            for index, (entry, answer) in enumerate(zip(entries, answers, strict=True))
            if state.statuses.get(entry.name) is not answer.status
        ]
        outputs.append(_prediction_block(event, entries, answers))
        return outputs

    def observe(self, state: InferenceState, observation: object) -> Sequence[AnyEvent]:
        """Return nothing: this service has no facts from outside the log."""
        del state, observation
        return ()

    def _remember(self, state: InferenceState, block: FeatureBlock) -> None:
        if block.symbols != state.symbols:
            state.symbols = block.symbols
            state.buffers = {}
        state.last_ts_ns = block.ts_ns
        if self._mismatch(block):
            return
        usable = block.ready.array() == 1
        for length in self._lengths:
            if length not in state.buffers:
                state.buffers[length] = SequenceBuffer(
                    symbols=len(block.symbols),
                    features=self._models.feature_count,
                    length=length,
                    bar_ns=state.bar_ns,
                    session_gap_ns=self._versions.of(state.changes).session_gap_minutes * MINUTE_NS,
                )
            state.buffers[length].push(block.values.array(), usable, block.ts_ns)

    def _mismatch(self, block: FeatureBlock) -> str:
        """Return why the block cannot be read by these models, empty if it can."""
        expected = (len(block.symbols), self._models.feature_count)
        if block.schema_hash != self._models.schema_hash:
            return (
                f"feature schema {block.schema_hash[:12]} is not the models' {self._models.schema_hash[:12]}; "
                "run the features the models were trained on, or train again"
            )
        if block.values.shape != expected or block.ready.shape != expected[:1]:
            return f"feature block has shape {block.values.shape}, the models take {expected}"
        return ""

    def _answers(self, state: InferenceState, block: FeatureBlock) -> list[_Answer]:
        count = len(block.symbols)
        mismatch = self._mismatch(block)
        if mismatch:
            return [_silent(count, ModelStatus.FAILED, mismatch) for _ in self._models.entries]
        values = block.values.array()
        ready = (block.ready.array() == 1) & np.isfinite(values).all(axis=1)
        wanted = self._wanted(state, block)
        answers: list[_Answer] = []
        for index, entry in enumerate(self._models.entries):
            if entry.input_kind is InputKind.TABULAR:
                rows = np.flatnonzero(ready)
                matrix = values[rows]
            else:
                buffer = state.buffers[entry.sequence_length]
                rows = np.flatnonzero(ready & buffer.ready(block.ts_ns) & wanted)
                matrix = buffer.windows(rows)
            answers.append(self._answer(index, entry, matrix, rows, count))
        return answers

    def _wanted(self, state: InferenceState, block: FeatureBlock) -> BoolArray:
        """Return for which symbols expensive models run, shape (N,)."""
        prefilter = state.prefilter
        if (
            not self._versions.of(state.changes).prefilter_sequences
            or block.warmup
            or prefilter is None
            or prefilter.expires_ns < block.ts_ns
        ):
            return np.ones(len(block.symbols), dtype=np.bool_)
        named = frozenset(prefilter.symbols)
        return np.array([symbol in named for symbol in block.symbols], dtype=np.bool_)

    def _answer(
        self, index: int, entry: ModelEntry, matrix: FloatArray, rows: NDArray[np.int64], count: int
    ) -> _Answer:
        if not len(rows):
            return _silent(count, ModelStatus.NOT_READY, "no symbol has complete inputs")
        try:
            output = self._models.predict(index, matrix)
        except ModelLateError as error:
            return _silent(count, ModelStatus.LATE, str(error))
        except Exception as error:  # noqa: BLE001 - the one boundary where a model's own fault must not end the cycle
            return _silent(count, ModelStatus.FAILED, f"{type(error).__name__}: {error}")
        problem = _output_problem(entry, output, len(rows))
        if problem:
            return _silent(count, ModelStatus.FAILED, problem)
        values = np.full(count, np.nan)
        values[rows] = output
        return _Answer(values=values, status=ModelStatus.OK, detail="")


def _output_problem(entry: ModelEntry, output: FloatArray, rows: int) -> str:
    if output.shape != (rows,):
        return f"output has shape {output.shape}, expected ({rows},)"
    if not bool(np.isfinite(output).all()):
        return f"{int(np.count_nonzero(~np.isfinite(output)))} of {rows} outputs are not finite"
    if entry.target is not Target.RETURN and not bool(((output >= 0.0) & (output <= 1.0)).all()):
        return f"probabilities reach from {float(output.min())} to {float(output.max())}"
    return ""


def _silent(count: int, status: ModelStatus, detail: str) -> _Answer:
    return _Answer(values=np.full(count, np.nan), status=status, detail=detail[:DETAIL_CHARACTERS_MAX])


def _prediction_block(
    block: FeatureBlock, entries: tuple[ModelEntry, ...], answers: Sequence[_Answer]
) -> PredictionBlock:
    return PredictionBlock(
        id=derive_id(block.id, tag_of(PredictionBlock), 0),
        cause=block.id,
        ts_ns=block.ts_ns,
        symbols=block.symbols,
        warmup=block.warmup,
        features=EventId(block.id),
        models=tuple(
            ModelColumn(
                model=entry.name,
                family=entry.family.value,
                horizon_minutes=entry.horizon_minutes,
                target=entry.target.value,
                status=answer.status,
            )
            for entry, answer in zip(entries, answers, strict=True)
        ),
        values=float_block(
            np.stack([answer.values for answer in answers]) if answers else np.zeros((0, len(block.symbols)))
        ),
    )
