"""Owns two small networks trained in NumPy: a perceptron on one row and a convolution over sixty rows.

Both are ``dense(relu(dense(x)))`` at heart: the convolution's kernel equals its stride, so that it is one
matrix product per block of rows. Training is Adam (Kingma and Ba 2015) on squared error with weight decay,
seeded; for the same library versions on the same processor it gives the same weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]
Int64Array = NDArray[np.int64]

HIDDEN = 16
CHANNELS = 8
KERNEL_ROWS = 5
BATCH_ROWS = 1024
PREDICT_ROWS = 4096
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 2e-2
BETA_ONE, BETA_TWO, EPSILON = 0.9, 0.999, 1e-8
INPUT_LIMIT = 4.0
"""Standardised inputs are clipped here, inside the exported graph too."""

Rows = Callable[[Int64Array], Float32Array]
"""Gives the inputs of row numbers, shape (len, F) or (len, T, F)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Trained weights; ``blocks`` is 1 for the perceptron, T / 5 for the convolution."""

    mean: Float32Array
    deviation: Float32Array
    weight_one: Float32Array
    """(rows of a block * F, hidden)."""
    bias_one: Float32Array
    weight_two: Float32Array
    """(blocks * hidden, 1)."""
    bias_two: Float32Array
    blocks: int

    def predict(self, rows: Rows, numbers: Int64Array) -> NDArray[np.float64]:
        """Return one output per row number."""
        parts = [
            _forward(self, _standardise(self, rows(numbers[begin : begin + PREDICT_ROWS])))[1][:, 0]
            for begin in range(0, len(numbers), PREDICT_ROWS)
        ]
        return np.concatenate(parts).astype(np.float64)


def train_network(
    rows: Rows,
    labels: NDArray[np.float64],
    numbers: Int64Array,
    *,
    length: int,
    epochs: int,
    seed: int,
) -> Network:
    """Train on ``labels`` of the row ``numbers``; ``length`` T > 0 makes the convolution, 0 the perceptron."""
    generator = np.random.default_rng(seed)
    probe = rows(generator.permutation(numbers)[: 4 * PREDICT_ROWS])
    features = probe.shape[-1]
    flat = probe.reshape(-1, features)
    blocks = length // KERNEL_ROWS if length else 1
    block_rows = KERNEL_ROWS if length else 1
    hidden = CHANNELS if length else HIDDEN
    fan_in = block_rows * features
    network = Network(
        mean=flat.mean(axis=0),
        deviation=np.maximum(flat.std(axis=0), np.float32(1e-3)),
        weight_one=(generator.standard_normal((fan_in, hidden)) * np.sqrt(1.0 / fan_in)).astype(np.float32),
        bias_one=np.zeros(hidden, dtype=np.float32),
        weight_two=(generator.standard_normal((blocks * hidden, 1)) * 0.1 / np.sqrt(blocks * hidden)).astype(
            np.float32
        ),
        bias_two=np.zeros(1, dtype=np.float32),
        blocks=blocks,
    )
    parameters = [network.weight_one, network.bias_one, network.weight_two, network.bias_two]
    first = [np.zeros_like(value) for value in parameters]
    second = [np.zeros_like(value) for value in parameters]
    steps_total = epochs * -(-len(numbers) // BATCH_ROWS)
    step = 0
    for _ in range(epochs):
        order = generator.permutation(numbers)
        for begin in range(0, len(order), BATCH_ROWS):
            step += 1
            batch = order[begin : begin + BATCH_ROWS]
            wanted = labels[batch].astype(np.float32)[:, None]
            gradients = _gradients(network, _standardise(network, rows(batch)), wanted)
            rate = LEARNING_RATE * (1.0 - (step - 1) / steps_total)
            _adam(parameters, gradients, first, second, step=step, rate=rate)
    return network


def _standardise(network: Network, inputs: Float32Array) -> Float32Array:
    scaled = np.clip((inputs - network.mean) / network.deviation, -INPUT_LIMIT, INPUT_LIMIT)
    result: Float32Array = scaled.reshape(len(inputs), network.blocks, -1)
    return result


def _forward(network: Network, inputs: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Return hidden activations (n, blocks * hidden) and outputs (n, 1) for inputs (n, blocks, fan in)."""
    hidden = np.maximum(inputs @ network.weight_one + network.bias_one, np.float32(0.0)).reshape(len(inputs), -1)
    return hidden, hidden @ network.weight_two + network.bias_two


def _gradients(network: Network, inputs: Float32Array, wanted: Float32Array) -> list[Float32Array]:
    count = len(inputs)
    hidden, output = _forward(network, inputs)
    error = (output - wanted) * np.float32(2.0 / count)
    to_hidden = (error @ network.weight_two.T) * (hidden > 0.0)
    per_block = to_hidden.reshape(count * network.blocks, -1)
    flat = inputs.reshape(count * network.blocks, -1)
    return [flat.T @ per_block, per_block.sum(axis=0), hidden.T @ error, error.sum(axis=0)]


def _adam(
    parameters: list[Float32Array],
    gradients: list[Float32Array],
    first: list[Float32Array],
    second: list[Float32Array],
    *,
    step: int,
    rate: float,
) -> None:
    """Move the parameters in place; decay is decoupled from the gradient and spares the biases."""
    for index, gradient in enumerate(gradients):
        first[index] *= np.float32(BETA_ONE)
        first[index] += np.float32(1.0 - BETA_ONE) * gradient
        second[index] *= np.float32(BETA_TWO)
        second[index] += np.float32(1.0 - BETA_TWO) * gradient * gradient
        mean = first[index] / (1.0 - BETA_ONE**step)
        spread = np.sqrt(second[index] / (1.0 - BETA_TWO**step)) + EPSILON
        decay = WEIGHT_DECAY if parameters[index].ndim > 1 else 0.0
        parameters[index] -= (rate * (mean / spread + decay * parameters[index])).astype(np.float32)
