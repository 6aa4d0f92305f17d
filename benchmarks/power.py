"""A power curve of ten sample sizes, from nothing: how long it takes, and where the time goes.

    python benchmarks/power.py [--replicates 10000] [--write]

The sleepstudy design and model, `Reaction ~ Days + (Days | Subject)`, for 10 to 55 subjects, with
Satterthwaite p values. The first curve compiles all programs, the second none. Beside the power stands that
of the t test of the mean of the subjects' slopes, which the model's test is but for fits on the boundary.
`--write` puts the tables into benchmarks/results/power.md.
"""

import argparse
import time
from collections import defaultdict
from pathlib import Path

import jax
import numpy as np
from _report import Table, machine, seconds
from scipy import stats

import jaxmixed as jm
from jaxmixed.frame import _scenario, _trials

RESULTS = Path(__file__).parent / "results" / "power.md"
SIZES, TARGET = range(10, 60, 5), 20.0
SLOPE, SD, SIGMA, SQUARES = 4.0, 6.0, 25.0, 82.5  # SQUARES: of ten days about their mean
TRUTH = {"Intercept": 250, "Days": SLOPE, "sd(Intercept | Subject)": 25, "sd(Days | Subject)": SD}
TRUTH |= {"cor(Intercept, Days | Subject)": 0.1, "sigma": SIGMA}
STAGES = ("parametric", "drawn", "fit_all", "_piece")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--replicates", type=int, default=10_000)
    parser.add_argument("--write", action="store_true")
    n = parser.parse_args().replicates
    about, spent = machine([]), watched()
    design = jm.make_design(Subject=18, Days=range(10))
    scenario = jm.scenario("Reaction ~ Days + (Days | Subject)", design, TRUTH)
    columns, curve = [], None
    for key in (1, 2):
        spent.clear()
        wall, cpu = time.perf_counter(), time.process_time()
        curve = jm.power_curve(scenario, n, key, groups={"Subject": SIZES})
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        made = spent["parametric"], spent["drawn"], spent["fit_all"]
        tests = spent["_piece"] - sum(made)
        columns.append([*made, tests, wall - spent["_piece"], wall, cpu])
    names = ("samplers", "draws", "fits", "tests", "designs and tables", "all", "all, CPU time")
    rows = [(name, *map(seconds, pair)) for name, *pair in zip(names, *columns, strict=True)]
    title = f"Power at {len(SIZES)} sample sizes, {n} data sets each, in seconds (aim: below {TARGET:.0f})"
    times = Table(title, ("stage", "first", "second"), rows, (about,))
    print(times.text(), powers(curve).text(), sep="\n\n")
    if parser.parse_args().write:
        text = "\n\n".join(["# Power", times.markdown(), powers(curve).markdown()])
        RESULTS.write_text(f"{text}\n")


def watched() -> dict[str, float]:
    """Return the seconds spent in each stage, which are counted from now on."""
    spent: dict[str, float] = defaultdict(float)

    def watch(module, name: str) -> None:
        function = getattr(module, name)

        def counted(*args):
            start = time.perf_counter()
            found = jax.block_until_ready(function(*args))
            spent[name] += time.perf_counter() - start
            return found

        setattr(module, name, counted)

    for name in STAGES:
        watch(_scenario if name == "parametric" else _trials, name)
    return spent


def powers(curve: jm.PowerCurve) -> Table:
    rows = []
    for row in curve.to_frame().itertuples():
        df = row.value - 1
        ncp = SLOPE * np.sqrt(row.value / (SD**2 + SIGMA**2 / SQUARES))
        limit = stats.t.isf(0.025, df)
        exact = stats.nct.sf(limit, df, ncp) + stats.nct.cdf(-limit, df, ncp)
        interval = f"{row.conf_low:.3f} to {row.conf_high:.3f}"
        counts = (str(row.failures), str(row.singular))
        rows.append((str(row.value), f"{row.power:.3f}", interval, f"{exact:.3f}", *counts))
    header = ("subjects", "power", "95% interval", "t test of slopes", "failures", "singular")
    return Table("Power of the test of Days", header, rows)


if __name__ == "__main__":
    main()
