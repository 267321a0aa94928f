"""Tests of the inference core: batching, failures that stay inside a cycle, health events and replay."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from walstreet.domain.inference import InferenceCore, InferenceParameters, ModelLateError
from walstreet.domain.model_manifest import Family, FileFormat, InputKind, ModelEntry, Strategy, Target
from walstreet_events import (
    AnyEvent,
    FeatureBlock,
    ModelHealth,
    ModelStatus,
    PredictionBlock,
    Prefilter,
    Service,
    derive_id,
    encode,
    float_block,
    int_block,
)

pytestmark = pytest.mark.spec("002.components", "002.loop", "000.12")

MINUTE_NS = 60_000_000_000
SCHEMA = "b" * 64
SYMBOLS = ("A", "B", "C")
Predict = Callable[[np.ndarray], np.ndarray]


ENTRY = ModelEntry(
    name="one",
    family=Family.MLP,
    strategy=Strategy.SINGLE_TASK,
    horizon_minutes=15,
    target=Target.RETURN,
    input_kind=InputKind.TABULAR,
    sequence_length=0,
    file_format=FileFormat.ONNX,
    file="one.onnx",
    sha256="a" * 64,
    schema_hash="b" * 64,
    calibration_slope=0.8,
    score_sigma=0.1,
    ic_in_sample=0.2,
    ic_out_of_sample=0.1,
    weight_oof=1.0,
    base_rate=0.0,
    probe_outputs=(0.0, 0.1, 0.2, 0.3),
    training_first="2023-06-01",
    training_last="2023-06-15",
    code_version="1",
)


class TableModels:
    """Models whose answers are plain functions; a real implementation of the Models port."""

    schema_hash = SCHEMA
    feature_count = 2

    def __init__(self, *models: tuple[ModelEntry, Predict]) -> None:
        self.entries = tuple(entry for entry, _ in models)
        self._functions = [function for _, function in models]
        self.calls: list[tuple[int, tuple[int, ...]]] = []

    def predict(self, model_index: int, matrix: np.ndarray) -> np.ndarray:
        """Answer and remember the shape that was asked."""
        self.calls.append((model_index, matrix.shape))
        return self._functions[model_index](matrix)


SEQUENCE = msgspec.structs.replace(
    ENTRY, name="sequence", input_kind=InputKind.SEQUENCE, sequence_length=3, horizon_minutes=30
)
PEAK = msgspec.structs.replace(ENTRY, name="peak", target=Target.PEAK)


def _first(matrix: np.ndarray) -> np.ndarray:
    return matrix[:, 0] if matrix.ndim == 2 else matrix[:, 0, 0]


def _block(minute: int, *, ready: tuple[int, ...] = (1, 1, 1), **changes: object) -> FeatureBlock:
    values = np.array([[minute + 0.1 * symbol, 0.0] for symbol in range(3)])
    nothing = float_block(np.full(3, np.nan))
    zeros = int_block([0, 0, 0])
    block = FeatureBlock(
        id=derive_id(f"block:{minute}", "feature_block.v1", 0),
        cause="0" * 32,
        ts_ns=minute * MINUTE_NS,
        symbols=SYMBOLS,
        warmup=False,
        schema_hash=SCHEMA,
        values=float_block(values),
        ready=int_block(ready),
        flags=zeros,
        bid_nano=zeros,
        ask_nano=zeros,
        close_nano=zeros,
        quote_ts_ns=zeros,
        spread_bps=nothing,
        sigma_5m_bps=nothing,
        sigma_day_bps=nothing,
        average_daily_volume_micro=zeros,
    )
    return msgspec.structs.replace(block, **changes)


class Runner:
    """Feeds events to a core as the loop does and keeps what came out."""

    def __init__(self, models: TableModels, **parameters: object) -> None:
        self.core = InferenceCore(models, InferenceParameters(**parameters))
        self.state = self.core.initial()

    def feed(self, event: AnyEvent) -> list[AnyEvent]:
        """Run one input through rule 1 of the loop."""
        self.state = self.core.evolve(self.state, event)
        outputs = list(self.core.decide(self.state, event))
        for output in outputs:
            self.state = self.core.evolve(self.state, output)
        return outputs


def _prediction(outputs: list[AnyEvent]) -> PredictionBlock:
    assert isinstance(outputs[-1], PredictionBlock)
    return outputs[-1]


def _healths(outputs: list[AnyEvent]) -> list[tuple[str, ModelStatus]]:
    return [(event.model, event.status) for event in outputs if isinstance(event, ModelHealth)]


def test_every_cycle_gives_one_block_with_a_row_per_model() -> None:
    """Rows stand in the order of the manifest; symbols that are not ready have no answer."""
    models = TableModels((ENTRY, _first), (PEAK, lambda matrix: np.full(len(matrix), 0.25)))
    runner = Runner(models)
    assert runner.core.service is Service.INFERENCE
    block = _block(1, ready=(1, 0, 1), warmup=True)
    prediction = _prediction(runner.feed(block))
    np.testing.assert_array_equal(prediction.values.array(), [[1.0, np.nan, 1.2], [0.25, np.nan, 0.25]])
    assert (prediction.cause, prediction.features, prediction.warmup) == (block.id, block.id, True)
    assert [column.model for column in prediction.models] == ["one", "peak"]
    assert models.calls == [(0, (2, 2)), (1, (2, 2))]


def _raise(error: Exception) -> Predict:
    def predict(matrix: np.ndarray) -> np.ndarray:
        raise error

    return predict


@pytest.mark.parametrize(
    ("entry", "predict", "status", "words"),
    [
        (ENTRY, _raise(RuntimeError("torn")), ModelStatus.FAILED, "RuntimeError: torn"),
        (ENTRY, _raise(ModelLateError("too slow")), ModelStatus.LATE, "too slow"),
        (ENTRY, lambda _: np.zeros(99), ModelStatus.FAILED, "shape (99,)"),
        (ENTRY, lambda matrix: np.full(len(matrix), np.inf), ModelStatus.FAILED, "3 of 3 outputs are not finite"),
        (PEAK, lambda matrix: np.full(len(matrix), 1.5), ModelStatus.FAILED, "probabilities reach from 1.5"),
    ],
)
def test_a_failing_model_is_skipped_and_the_cycle_goes_on(
    entry: ModelEntry, predict: Predict, status: ModelStatus, words: str
) -> None:
    """The failing model has no values and a status, the other one answers, and the failure is counted."""
    bad = msgspec.structs.replace(entry, name="bad")
    runner = Runner(TableModels((bad, predict), (ENTRY, _first)))
    outputs = runner.feed(_block(1))
    prediction = _prediction(outputs)
    assert [column.status for column in prediction.models] == [status, ModelStatus.OK]
    assert np.isnan(prediction.values.array()[0]).all()
    assert np.isfinite(prediction.values.array()[1]).all()
    (health,) = [event for event in outputs if isinstance(event, ModelHealth) and event.model == "bad"]
    assert words in health.detail
    runner.feed(_block(2))
    assert runner.state.failures == {"bad": 2}


def test_health_is_written_on_change_only() -> None:
    """A model that fails, fails again and recovers gives three events over four cycles, each id once."""
    answers = iter([None, None, 1.0, 1.0])

    def predict(matrix: np.ndarray) -> np.ndarray:
        answer = next(answers)
        if answer is None:
            raise ValueError("no")
        return np.full(len(matrix), answer)

    runner = Runner(TableModels((ENTRY, predict)))
    changes = [_healths(runner.feed(_block(minute))) for minute in (1, 2, 3, 4)]
    assert changes == [[("one", ModelStatus.FAILED)], [], [("one", ModelStatus.OK)], []]


def test_sequence_models_wait_for_a_full_window_and_get_it_in_order() -> None:
    """Until three rows are there the model is not ready; then it sees the oldest row first."""
    runner = Runner(TableModels((SEQUENCE, _first)))
    statuses = []
    for minute in (1, 2, 3, 4):
        prediction = _prediction(runner.feed(_block(minute, ready=(1, 1, int(minute != 2)))))
        statuses.append(prediction.models[0].status)
    assert statuses == [ModelStatus.NOT_READY, ModelStatus.NOT_READY, ModelStatus.OK, ModelStatus.OK]
    np.testing.assert_array_equal(prediction.values.array(), [[2.0, 2.1, 1.2]])


def test_the_prefilter_restricts_sequence_models_until_it_expires() -> None:
    """Named symbols only while it is in force, everybody in warm-up and after its expiry."""
    runner = Runner(TableModels((SEQUENCE, _first)))
    for minute in (1, 2, 3):
        runner.feed(_block(minute))
    runner.feed(Prefilter(id="0" * 32, cause="0" * 32, ts_ns=0, symbols=("B",), expires_ns=5 * MINUTE_NS))
    answered = [
        np.isfinite(_prediction(runner.feed(block)).values.array()[0]).tolist()
        for block in (_block(4), _block(5, warmup=True), _block(6))
    ]
    assert answered == [[False, True, False], [True, True, True], [True, True, True]]


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"schema_hash": "c" * 64}, "feature schema cccc"), ({"values": float_block(np.zeros((3, 9)))}, "shape (3, 9)")],
)
def test_foreign_features_fail_every_model_and_enter_no_buffer(changes: dict[str, object], words: str) -> None:
    """A block that these models were not trained on is refused visibly, model by model."""
    runner = Runner(TableModels((ENTRY, _first), (SEQUENCE, _first)))
    outputs = runner.feed(_block(1, **changes))
    assert _healths(outputs) == [("one", ModelStatus.FAILED), ("sequence", ModelStatus.FAILED)]
    assert all(words in event.detail for event in outputs[:-1])
    assert np.isnan(_prediction(outputs).values.array()).all()
    assert runner.state.buffers == {}


def test_replay_rebuilds_the_state_without_running_a_model() -> None:
    """Inputs and own outputs folded with evolve give a core whose next outputs are byte-identical."""
    script = [_block(minute, ready=(1, 1, minute % 3)) for minute in range(1, 9)]

    def moody(matrix: np.ndarray) -> np.ndarray:
        if matrix[0, 0] % 4 < 2:
            raise ValueError("mood")
        return matrix[:, 0]

    def models() -> TableModels:
        return TableModels((ENTRY, moody), (SEQUENCE, _first))

    straight = Runner(models())
    outputs = [straight.feed(block) for block in script]
    for crash in range(1, len(script)):
        fresh = models()
        restarted = Runner(fresh)
        for block, recorded in zip(script[:crash], outputs[:crash], strict=True):
            for event in (block, *recorded):
                restarted.state = restarted.core.evolve(restarted.state, event)
        assert fresh.calls == []
        again = [restarted.feed(block) for block in script[crash:]]
        assert [[encode(event) for event in cycle] for cycle in again] == [
            [encode(event) for event in cycle] for cycle in outputs[crash:]
        ]
        assert restarted.state.failures == straight.state.failures


def test_parameters_out_of_range_are_refused() -> None:
    """The refusal names field and range."""
    with pytest.raises(ValueError, match=r"inference\.session_gap_minutes = 1 is outside"):
        InferenceParameters(session_gap_minutes=1)
