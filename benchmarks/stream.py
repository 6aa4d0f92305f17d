"""Fit a model to more and more rows that are made as they are read: what they cost in time and memory.

    python benchmarks/stream.py            # 10^6, 10^7 and 10^8 rows: three minutes on two idle cores
    python benchmarks/stream.py --quick    # without 10^8
    python benchmarks/stream.py --write    # also write results/stream.md

y ~ x1 + x2 + (1 + x1 | g) with 100,000 groups whose rows lie anywhere. Every size is a process of its own,
on one thread; times are processor time, and the making of the rows is measured by itself and taken off.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from _report import Table, machine, seconds

RESULTS = Path(__file__).parent / "results" / "stream.md"
FORMULA = "y ~ x1 + x2 + (1 + x1 | g)"
GROUPS, BATCH = 100_000, 2**18
TRUTH = {"Intercept": 1.0, "x1": 0.5, "x2": -1.0}
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


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


def measure(n: int, from_file: bool) -> dict[str, float]:
    """Fit n rows in this process."""
    from jaxmixed import core
    from jaxmixed.frame._result import fit_response
    from jaxmixed.frame._stream import stream_frame
    from jaxmixed.frame._stream_open import open_stream

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.parquet"
        start = time.process_time()
        writer = None
        for batch in rows(n):
            if from_file:
                writer = writer or pq.ParquetWriter(file, batch.schema)
                writer.write_batch(batch)
        if writer is not None:
            writer.close()
        making = 0.0 if from_file else 2 * (time.process_time() - start)
        data = str(file) if from_file else lambda: rows(n)
        start, wall = time.process_time(), time.perf_counter()
        stream = open_stream(data)
        assert stream is not None
        frame = stream_frame(FORMULA, stream, None, None, None)
        reading, reading_wall = time.process_time() - start - making, time.perf_counter() - wall
        reading_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    conditioned = core.condition(frame.design)
    fit = fit_response(frame, frame.design.y, conditioned, core.plan(conditioned), True, None)
    off = float(np.abs((fit.params - pd.Series(TRUTH)) / fit.bse).max())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"reading": reading, "wall": reading_wall, "reading_peak": reading_peak, "peak": peak, "off": off}


def in_a_process(n: int, from_file: bool) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", str(n), *(["--file"] if from_file else [])]
    environment = {**os.environ, **dict.fromkeys(THREADS, "1")}
    found = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(found.stdout.splitlines()[-1])


def table(sizes: list[int]) -> Table:
    lines = []
    for n, from_file in [*((n, False) for n in sizes), (10**7, True)]:
        found = in_a_process(n, from_file)
        lines.append(
            (
                f"{n:,} {'of a parquet file' if from_file else 'made as they are read'}",
                seconds(found["reading"]),
                f"{n / found['reading'] / 1e6:.2f}",
                seconds(found["wall"]),
                f"{found['reading_peak']:.2f}",
                f"{found['peak']:.2f}",
                f"{found['off']:.1f}",
            )
        )
    header = (
        "rows",
        "both passes (s)",
        "million rows/s",
        "elapsed (s)",
        "memory (GiB)",
        "with the fit (GiB)",
        "off by (SE)",
    )
    notes = (
        "Both passes: processor time on one core, from rows to sufficient statistics, without the "
        "making of rows, which elapsed time has. Memory: the most that the process had, Python and libraries "
        "with it, before and after the optimiser, which compiles. Off by: the largest distance of a fixed "
        "effect from the truth.",
    )
    return Table(f"{FORMULA}, {GROUPS:,} groups", header, lines, notes)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--file", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.file)))
        return
    about = machine([f"pyarrow {pa.__version__}"])
    result = table([10**6, 10**7] if options.quick else [10**6, 10**7, 10**8])
    print(result.text(), about, sep="\n\n")
    if options.write:
        RESULTS.write_text("\n\n".join(["# Rows read in batches", about, result.markdown()]) + "\n")


if __name__ == "__main__":
    main()
