"""Owns ONNX Runtime: an ONNX model in memory to one raw output per row."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

SEVERITY_ERROR = 3


class OnnxModel:
    """One session on one thread with deterministic kernels; input float32 (N, F) or (N, T, F), output (N, 1)."""

    __slots__ = ("_input", "_output", "_session")

    def __init__(self, content: bytes, *, features: int, length: int) -> None:
        """Build a session; ``length`` is T, or 0 for a tabular model.

        Raises:
            ValueError: The bytes are no usable model, or its input or output has another shape.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.use_deterministic_compute = True
        options.log_severity_level = SEVERITY_ERROR
        try:
            session: Any = onnxruntime.InferenceSession(
                content, sess_options=options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
        except Exception as error:  # the runtime's exceptions share no public base class
            raise ValueError(f"ONNX Runtime cannot read it ({type(error).__name__}: {error})") from error
        inputs, outputs = session.get_inputs(), session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1:
            raise ValueError(f"it has {len(inputs)} inputs and {len(outputs)} outputs, expected one of each")
        expected = [features] if length == 0 else [length, features]
        if list(inputs[0].shape[1:]) != expected or inputs[0].type != "tensor(float)":
            raise ValueError(f"its input is {inputs[0].type} {inputs[0].shape}, expected float (N, {expected})")
        if list(outputs[0].shape[1:]) != [1]:
            raise ValueError(f"its output has shape {outputs[0].shape}, expected (N, 1)")
        self._session = session
        self._input: str = inputs[0].name
        self._output: str = outputs[0].name

    def predict(self, matrix: FloatArray) -> FloatArray:
        """Return one output per row."""
        (output,) = self._session.run([self._output], {self._input: matrix.astype(np.float32)})
        return np.asarray(output, dtype=np.float64)[:, 0]
