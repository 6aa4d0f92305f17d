"""The first fit of a session: a fresh process that imports, fits sleepstudy and prints a summary."""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from _report import Table, seconds

FORMULA = "Reaction ~ Days + (Days | Subject)"
OWN = f"import jaxmixed as jm; print(jm.lmer('{FORMULA}', jm.datasets.load('sleepstudy')).summary())"
READ = "import pandas as pd; data = pd.read_csv({path!r}, dtype={{'Subject': 'category'}})\n"
PEERS = {
    "glmm": READ + f"import glmm; print(glmm.fit(data, '{FORMULA}').summary())",
    "mixedlm": READ + f"import mixedlm; print(mixedlm.lmer('{FORMULA}', data).summary())",
    "statsmodels": READ
    + "import statsmodels.formula.api as f\n"
    + "print(f.mixedlm('Reaction ~ Days', data, groups='Subject', re_formula='~Days').fit().summary())",
    "lme4": "library(lme4); data <- read.csv({path!r}, colClasses = c(Subject = 'factor'))\n"
    + f"print(summary(lmer({FORMULA}, data)))",
}


def cold_starts(folder: Path, peers: dict[str, str], runs: int) -> Table:
    """Time fresh processes: CPU (user and system) and elapsed seconds, medians.

    `peers` maps the name of a package to the program that runs it; `folder` holds sleepstudy.csv.
    """
    python = [sys.executable, "-c"]
    path = str(folder / "sleepstudy.csv")
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    jobs: dict[str, tuple[str, list[str], dict[str, str]]] = {
        "jaxmixed": ("3", [*python, OWN], {"JAX_ENABLE_COMPILATION_CACHE": "false"}),
        "jaxmixed, compilation cache": ("1.5", [*python, OWN], cache),
        "floor: import jax, pandas, formulaic": ("", [*python, "import jax, pandas, formulaic"], {}),
        "import jaxmixed": ("", [*python, "import jaxmixed"], {}),
    }
    for name, program in peers.items():
        option = "-e" if name == "lme4" else "-c"
        jobs[name] = ("", [program, option, PEERS[name].format(path=path)], {})
    _run(*jobs["jaxmixed, compilation cache"][1:])  # fills the cache
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in jobs}
    for _ in range(runs):
        for name, (_goal, command, environment) in jobs.items():
            samples[name].append(_run(command, environment))
    rows = []
    for name, values in samples.items():
        cpu, wall = (statistics.median(column) for column in zip(*values, strict=True))
        rows.append((name, jobs[name][0], seconds(cpu), seconds(wall)))
    header = ("", "goal (CPU)", "CPU", "elapsed")
    return Table("Cold start: import, fit sleepstudy, print the summary; seconds", header, rows)


def _run(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Return the CPU and elapsed seconds of one process; fail if it fails."""
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
