"""The first fit of a session: a fresh process that imports, fits sleepstudy and prints a summary."""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from ._models import SLEEPSTUDY
from ._process import OWN
from ._table import Table, number

FORMULA = SLEEPSTUDY.formula
FIT = f"import jaxmixed as jm; print(jm.lmer('{FORMULA}', jm.datasets.load('sleepstudy')).summary())"
READ = "import pandas as pd; data = pd.read_csv({path!r}, dtype={{'Subject': 'category'}})\n"
PEERS = {
    "glmm": READ + f"import glmm; print(glmm.fit(data, '{FORMULA}').summary())",
    "mixedlm": READ + f"import mixedlm; print(mixedlm.lmer('{FORMULA}', data).summary())",
    "statsmodels": READ
    + "import statsmodels.formula.api as f\n"
    + "print(f.mixedlm('Reaction ~ Days', data, groups='Subject', re_formula='~Days').fit().summary())",
    "lme-python": READ + f"import lme_python; print(lme_python.lmer('{FORMULA}', data).summary())",
    "lme4": "library(lme4); data <- read.csv({path!r}, colClasses = c(Subject = 'factor'))\n"
    + f"print(summary(lmer({FORMULA}, data)))",
}
CACHED = "jaxmixed, with JAX's compilation cache"
R_TIMES = 2.5  # how many times longer than R with lme4 ours may take


def cold_starts(starts: dict[str, tuple[list[str], dict[str, str]]], folder: Path, runs: int) -> Table:
    """Time fresh processes in turns: processor and elapsed seconds, medians."""
    path, _ = SLEEPSTUDY.write(folder)
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
        "JAX_ENABLE_COMPILATION_CACHE": "true",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    python, device = [sys.executable, "-c"], starts[OWN][1]
    jobs = {
        OWN: ([*python, FIT], device),
        CACHED: ([*python, FIT], device | cache),
        "jaxmixed, imported only": ([*python, "import jaxmixed"], device),
        "jax, pandas and formulaic, imported only": ([*python, "import jax, pandas, formulaic"], device),
    }
    for name, program in PEERS.items():
        if name in starts:
            command = starts[name][0][0]
            jobs[name] = ([command, "-e" if name == "lme4" else "-c", program.format(path=str(path))], {})
    _run(*jobs[CACHED])  # fills the cache
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in jobs}
    for _ in range(runs):
        for name, job in jobs.items():
            samples[name].append(_run(*job))
    found = {name: [statistics.median(c) for c in zip(*v, strict=True)] for name, v in samples.items()}
    ours = found[OWN][1]
    rows = [(name, *map(number, (cpu, wall, wall / ours))) for name, (cpu, wall) in found.items()]
    notes = []
    if "lme4" in found:
        times = ours / found["lme4"][1]
        verdict = "met" if times <= R_TIMES else "missed"
        notes.append(f"Aim: no more than {R_TIMES} times R with lme4; found {number(times)}: {verdict}.")
    header = ("", "processor (s)", "elapsed (s)", "elapsed / ours")
    return Table(
        "Cold start: a process that imports, fits sleepstudy, prints the summary", header, rows, tuple(notes)
    )


def _run(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Return processor and elapsed seconds of one process; fail if it fails."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command, env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    elapsed = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)  # Popen must not wait a second time
    if process.returncode:
        raise RuntimeError(f"{command[0]} ended with status {process.returncode}: {command[-1]}")
    return usage.ru_utime + usage.ru_stime, elapsed
