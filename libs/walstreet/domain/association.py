"""Owns how strongly two labels go together: Cramér's V of a table of counts, corrected for its size."""

from __future__ import annotations

import numpy as np

from walstreet import kernels
from walstreet.domain.units import FloatArray


def cramers_v(table: FloatArray) -> float:
    """Return the bias-corrected Cramér's V of an (R, C) table of counts, in [0, 1]; NaN without two rows and columns.

    ``phi2 = sum((n_ij - e_ij)^2/e_ij)/n``, ``V = sqrt(max(0, phi2 - (r-1)(c-1)/(n-1)) / min(r'-1, c'-1))`` with
    ``r' = r - (r-1)^2/(n-1)`` and ``c'`` alike; rows and columns without a count are left out. Without the correction
    small tables look dependent. Source: Bergsma, "A bias-correction for Cramér's V and Tschuprow's T", Journal of the
    Korean Statistical Society 42 (2013).
    """
    kept = table[table.sum(axis=1) > 0.0][:, table.sum(axis=0) > 0.0]
    rows, columns = kept.shape
    total = float(kept.sum())
    if rows < 2 or columns < 2 or total < 2.0:
        return float("nan")
    expected = kept.sum(axis=1)[:, None] * kept.sum(axis=0)[None, :] / total
    distance = kept - expected
    phi2 = kernels.ordered_sum(np.ascontiguousarray((distance * distance / expected).ravel())) / total
    corrected = max(0.0, phi2 - (rows - 1) * (columns - 1) / (total - 1.0))
    reach = min(rows - 1 - (rows - 1) ** 2 / (total - 1.0), columns - 1 - (columns - 1) ** 2 / (total - 1.0))
    return min(1.0, float(np.sqrt(corrected / reach))) if reach > 0.0 else float("nan")
