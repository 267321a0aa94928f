"""Owns the rows of forest inference: one model, ours against LightGBM, lleaves and ONNX Runtime, one thread each.

A single row is compared with LightGBM's fastest way, the C function for single rows with prepared settings, called
through ctypes with prepared pointers. lleaves compiles the same trees to machine code through LLVM; it counts where it
can run. ONNX Runtime gets the same trees as one TreeEnsembleRegressor in float32.
"""

from __future__ import annotations

import ctypes
import importlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import lightgbm
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

from walstreet.kernels import implementation
from walstreet.kernels.forest import Forest, build_forest, native_forest_problem
from walstreet.kernels.forest_model import CATEGORICAL_BIT, MISSING_SHIFT, ForestModel, Missing
from walstreet.kernels.forest_text import parse_forest
from walstreet.testing.bench.peers import LLEAVES, problem_of
from walstreet.testing.bench.row import BenchError, Row, Setup, make_row
from walstreet.testing.bench.timing import Work, interleaved_us

FloatArray = NDArray[np.float64]

SEED: Final = 20_240_607
TREES: Final = 300
LEAVES: Final = 31
FEATURES: Final = 50
TRAINING_ROWS: Final = 8_000
WARM_UP_RUNS: Final = 20
QUICK_RUNS: Final = 100
FULL_RUNS: Final = 1_000
SINGLE_ROW_RUNS_FACTOR: Final = 5
TARGETS: Final = {1: 2.5, 20: 5.0, 100: 5.0, 500: 6.0}
"""Ratios per number of rows, against the best peer that is installed."""
ONNX_TOLERANCE: Final = 1e-3
"""ONNX Runtime rounds rows, thresholds and leaves to float32; it must still predict the same thing."""
LLEAVES_TOLERANCE: Final = 1e-9
"""lleaves adds the same doubles in an order of its own."""
DOUBLE_TYPE: Final = 1
ROW_MAJOR: Final = 1
PREDICT_NORMAL: Final = 0
ALL_ITERATIONS: Final = -1


def forest_rows(setup: Setup) -> list[Row]:
    """Measure 1, 20, 100 and 500 rows; every row names the best peer, the others stand beside it."""
    runs = setup.pick(quick=QUICK_RUNS, full=FULL_RUNS)
    if native_forest_problem():
        raise BenchError(f"the native forest is not there: {native_forest_problem()}; install walstreet-native")
    booster = train_booster()
    model = parse_forest(booster.model_to_string())
    forest = build_forest(model)
    trained = Trained(booster, model, forest, None if problem_of(LLEAVES) else compiled_by_lleaves(booster))
    found: list[Row] = []
    for count, target in TARGETS.items():
        turns = runs * SINGLE_ROW_RUNS_FACTOR if count == 1 else runs
        found += _rows_for(count, target, trained, turns)
    return found


def train_booster() -> Any:
    """Return a regression of 300 trees with 31 leaves on 50 features."""
    generator = np.random.default_rng(SEED)
    matrix = generator.normal(size=(TRAINING_ROWS, FEATURES))
    signal = matrix[:, 0] * matrix[:, 1] + np.sin(matrix[:, 2]) + 0.2 * matrix[:, 3:20].sum(axis=1)
    parameters = {
        "objective": "regression",
        "num_leaves": LEAVES,
        "min_data_in_leaf": 20,
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "seed": SEED,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(matrix, label=signal + generator.normal(size=TRAINING_ROWS), params=parameters)
    return lightgbm.train(parameters, data, num_boost_round=TREES)


def compiled_by_lleaves(booster: Any) -> Any:
    """Return the booster compiled to machine code; it stays in memory when the files are gone."""
    lleaves: Any = importlib.import_module(LLEAVES)
    with tempfile.TemporaryDirectory(prefix="walstreet-bench-") as folder:
        path = Path(folder) / "model.txt"
        booster.save_model(str(path))
        model = lleaves.Model(model_file=str(path))
        model.compile()
    return model


@dataclass(frozen=True, slots=True)
class Trained:
    """The same trees as LightGBM, as plain arrays and compiled."""

    booster: Any
    model: ForestModel
    forest: Forest
    lleaves: Any
    """Compiled by lleaves; None where that cannot run."""


def _rows_for(count: int, target: float, trained: Trained, runs: int) -> list[Row]:
    """Measure ours and every peer in turns, after comparing what they say."""
    booster, forest = trained.booster, trained.forest
    matrix = np.random.default_rng(SEED + count).normal(size=(count, FEATURES)).astype(np.float32).astype(np.float64)
    outputs = np.empty(count)
    forest.predict(matrix, outputs)
    onnx_peer = OnnxPeer.create(trained.model, matrix)
    peers: dict[str, Work] = {"onnxruntime, 1 thread": lambda _: onnx_peer.predict()}
    np.testing.assert_allclose(onnx_peer.predict(), outputs, rtol=ONNX_TOLERANCE, atol=ONNX_TOLERANCE)
    if count == 1:
        single = SingleRowFast.create(booster, matrix)
        call, arguments = single.function, single.arguments
        peers["lightgbm single-row-fast (C)"] = lambda _: call(*arguments)
        theirs = np.array([single.predict()])
    else:
        peers["lightgbm, 1 thread"] = lambda _: booster.predict(matrix, num_threads=1)
        theirs = np.asarray(booster.predict(matrix, num_threads=1))
    if trained.lleaves is not None:
        compiled = trained.lleaves
        peers["lleaves, 1 thread"] = lambda _: compiled.predict(matrix, n_jobs=1)
        np.testing.assert_allclose(compiled.predict(matrix, n_jobs=1), outputs, rtol=LLEAVES_TOLERANCE)
    if theirs.tobytes() != outputs.tobytes():
        raise BenchError(f"forest of {count} rows differs from LightGBM by {np.abs(theirs - outputs).max()}")
    times = interleaved_us(
        (lambda _: forest.predict(matrix, outputs), *peers.values()),
        runs=runs,
        warm_up=WARM_UP_RUNS,
    )
    size = f"{count} rows, {TREES} trees x {LEAVES} leaves ({implementation().level})"
    return [
        make_row(
            name="forest",
            size=size,
            unit="us",
            samples=times[0],
            peer=peer,
            peer_samples=times[1 + number],
            target=target,
        )
        for number, peer in enumerate(peers)
    ]


@dataclass(slots=True)
class SingleRowFast:
    """LightGBM's ``LGBM_BoosterPredictForMatSingleRowFast``; everything that can be prepared is."""

    booster: Any
    settings: ctypes.c_void_p
    row: FloatArray
    output: FloatArray
    function: Any
    arguments: tuple[Any, ...]

    @classmethod
    def create(cls, booster: Any, row: FloatArray) -> SingleRowFast:
        """Prepare the call for one row.

        Raises:
            BenchError: LightGBM refuses.
        """
        basic: Any = lightgbm.basic
        library, settings = basic._LIB, ctypes.c_void_p()  # noqa: SLF001 - Python offers no other way
        status = library.LGBM_BoosterPredictForMatSingleRowFastInit(
            booster._handle,  # noqa: SLF001 - the same
            PREDICT_NORMAL,
            0,
            ALL_ITERATIONS,
            DOUBLE_TYPE,
            row.shape[1],
            b"num_threads=1",
            ctypes.byref(settings),
        )
        if status != 0:
            raise BenchError(f"LightGBM's single-row predictor cannot be prepared (status {status})")
        output, length = np.empty(1), ctypes.c_int64()
        arguments = (
            settings,
            ctypes.c_void_p(row.ctypes.data),
            ctypes.byref(length),
            ctypes.c_void_p(output.ctypes.data),
        )
        function = library.LGBM_BoosterPredictForMatSingleRowFast
        return cls(booster, settings, row, output, function, arguments)

    def predict(self) -> float:
        """Predict the row."""
        if self.function(*self.arguments) != 0:
            raise BenchError("LightGBM's single-row predictor failed")
        return float(self.output[0])


@dataclass(slots=True)
class OnnxPeer:
    """The same trees in ONNX Runtime, in one thread; rows are float32 already."""

    session: Any
    feed: dict[str, NDArray[np.float32]]

    @classmethod
    def create(cls, model: ForestModel, matrix: FloatArray) -> OnnxPeer:
        """Load the trees as one TreeEnsembleRegressor."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            onnx_model(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return cls(session, {"rows": matrix.astype(np.float32)})

    def predict(self) -> NDArray[np.float32]:
        """Predict every row."""
        outputs: NDArray[np.float32] = self.session.run(None, self.feed)[0]
        return outputs[:, 0]


def onnx_model(model: ForestModel) -> onnx.ModelProto:
    """Return a one-class forest of numerical splits as ONNX; thresholds are rounded down to float32.

    Raises:
        BenchError: the forest has categorical or missing-value splits, or more than one class.
    """
    missing = set((model.decisions >> MISSING_SHIFT).tolist())
    if (model.decisions & CATEGORICAL_BIT).any() or missing - {int(Missing.NONE)} or model.class_count != 1:
        raise BenchError("the ONNX peer takes numerical splits without missing values and one class only")
    columns: dict[str, list[Any]] = {name: [] for name in ("tree", "node", "feature", "mode", "value", "true", "false")}
    leaves: dict[str, list[Any]] = {"tree": [], "node": [], "weight": []}
    node_begin = leaf_begin = 0
    for tree, leaf_count in enumerate(model.leaf_counts.tolist()):
        node_count = leaf_count - 1
        for node in range(node_count + leaf_count):
            is_leaf = node >= node_count
            place = node_begin + node
            children = (0, 0) if is_leaf else (int(model.left[place]), int(model.right[place]))
            numbers = [child if child >= 0 else node_count - 1 - child for child in children]
            fields = (
                tree,
                node,
                0 if is_leaf else int(model.features[place]),
                "LEAF" if is_leaf else "BRANCH_LEQ",
                0.0 if is_leaf else _rounded_down(float(model.thresholds[place])),
                *numbers,
            )
            for name, value in zip(columns, fields, strict=True):
                columns[name].append(value)
            if is_leaf:
                leaves["tree"].append(tree)
                leaves["node"].append(node)
                leaves["weight"].append(float(model.leaf_values[leaf_begin + node - node_count]))
        node_begin += node_count
        leaf_begin += leaf_count
    return _graph(columns, leaves, model.feature_count)


def _rounded_down(threshold: float) -> float:
    rounded = np.float32(threshold)
    return float(np.nextafter(rounded, np.float32(-np.inf)) if float(rounded) > threshold else rounded)


def _graph(columns: dict[str, list[Any]], leaves: dict[str, list[Any]], feature_count: int) -> onnx.ModelProto:
    node = helper.make_node(
        "TreeEnsembleRegressor",
        inputs=["rows"],
        outputs=["outputs"],
        domain="ai.onnx.ml",
        n_targets=1,
        aggregate_function="SUM",
        post_transform="NONE",
        nodes_treeids=columns["tree"],
        nodes_nodeids=columns["node"],
        nodes_featureids=columns["feature"],
        nodes_modes=columns["mode"],
        nodes_values=columns["value"],
        nodes_truenodeids=columns["true"],
        nodes_falsenodeids=columns["false"],
        nodes_missing_value_tracks_true=[0] * len(columns["tree"]),
        target_treeids=leaves["tree"],
        target_nodeids=leaves["node"],
        target_ids=[0] * len(leaves["tree"]),
        target_weights=leaves["weight"],
    )
    graph = helper.make_graph(
        [node],
        "forest",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [None, feature_count])],
        [helper.make_tensor_value_info("outputs", TensorProto.FLOAT, [None, 1])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    made: onnx.ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return made
