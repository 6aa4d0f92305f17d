"""Rows that are made as they are read, any number of them: y ~ x1 + x2 + (1 + x1 | g), groups anywhere."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

FORMULA = "y ~ x1 + x2 + (1 + x1 | g)"
GROUPS, BATCH = 100_000, 2**18
TRUTH = {"Intercept": 1.0, "x1": 0.5, "x2": -1.0}


def rows(n: int) -> Iterator[pa.RecordBatch]:
    """Make n rows, the same every time."""
    b = np.random.default_rng(0).normal(size=(GROUPS, 2)) * [1.0, 0.5]
    for place, first in enumerate(range(0, n, BATCH)):
        rng, m = np.random.Generator(np.random.SFC64(place)), min(BATCH, n - first)
        g = rng.integers(0, GROUPS, m)
        x1, x2 = rng.standard_normal(m, dtype=np.float32) + 3.0, rng.random(m)
        mean = TRUTH["Intercept"] + b[g, 0] + (TRUTH["x1"] + b[g, 1]) * x1 + TRUTH["x2"] * x2
        y = mean + rng.standard_normal(m, dtype=np.float32)
        yield pa.record_batch([y, x1.astype(float), x2, g], names=["y", "x1", "x2", "g"])
