"""Owns the export of trained networks as ONNX graphs, standardisation included."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from walstreet.training.networks import INPUT_LIMIT, KERNEL_ROWS, Network

OPSET = 17
IR_VERSION = 8
"""Old enough for every ONNX Runtime that the lock file has allowed."""


def network_bytes(network: Network, *, length: int) -> bytes:
    """Return the serialised graph: float32 (N, F) or (N, T, F) in, (N, 1) out.

    The perceptron is Gemm, Relu, Gemm; the convolution over time is Conv with kernel and stride of five rows.
    """
    features = len(network.mean)
    hidden = len(network.bias_one)
    constants = {
        "mean": network.mean,
        "deviation": network.deviation,
        "low": np.array(-INPUT_LIMIT, dtype=np.float32),
        "high": np.array(INPUT_LIMIT, dtype=np.float32),
        "bias_one": network.bias_one,
        "weight_two": network.weight_two,
        "bias_two": network.bias_two,
    }
    nodes = [
        helper.make_node("Sub", ["input", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "deviation"], ["scaled"]),
        helper.make_node("Clip", ["scaled", "low", "high"], ["clipped"]),
    ]
    if length:
        # (rows * F, hidden) -> (hidden, F, rows), the order of Conv's weights.
        constants["weight_one"] = np.ascontiguousarray(
            network.weight_one.reshape(KERNEL_ROWS, features, hidden).transpose(2, 1, 0)
        )
        nodes += [
            helper.make_node("Transpose", ["clipped"], ["channels"], perm=[0, 2, 1]),
            helper.make_node(
                "Conv",
                ["channels", "weight_one", "bias_one"],
                ["dense_one"],
                kernel_shape=[KERNEL_ROWS],
                strides=[KERNEL_ROWS],
            ),
            helper.make_node("Relu", ["dense_one"], ["active"]),
            helper.make_node("Transpose", ["active"], ["by_block"], perm=[0, 2, 1]),
            helper.make_node("Flatten", ["by_block"], ["hidden"], axis=1),
        ]
    else:
        constants["weight_one"] = network.weight_one
        nodes += [
            helper.make_node("Gemm", ["clipped", "weight_one", "bias_one"], ["dense_one"]),
            helper.make_node("Relu", ["dense_one"], ["hidden"]),
        ]
    nodes.append(helper.make_node("Gemm", ["hidden", "weight_two", "bias_two"], ["output"]))
    shape: list[str | int | None] = ["rows", length, features] if length else ["rows", features]
    graph = helper.make_graph(
        nodes,
        "walstreet",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["rows", 1])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="walstreet")
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content
