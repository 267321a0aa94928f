"""Owns the kernels' part of the benchmark as a program of its own: ``python tests/bench/bench_kernels.py [--quick]``.

The measurements live in ``walstreet.testing.bench.features``, so that ``walstreet bench`` shows the same rows.
"""

import json
import sys
from typing import Any

import msgspec

from walstreet import kernels
from walstreet.testing.bench.features import FULL_RUNS, QUICK_RUNS, kernel_rows


def bench_rows(*, quick: bool) -> list[dict[str, Any]]:
    """Measure every kernel row; ``quick`` takes about a second, else about ten."""
    return [msgspec.to_builtins(row) for row in kernel_rows(QUICK_RUNS if quick else FULL_RUNS)]


if __name__ == "__main__":
    sys.stdout.write(f"{kernels.implementation()}\n")
    for bench_row in bench_rows(quick="--quick" in sys.argv):
        sys.stdout.write(json.dumps(bench_row) + "\n")
