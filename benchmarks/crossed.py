"""Time crossed factors: InstEval beside lme4, a million ratings solved exactly, and GPBoost beside it.

    python benchmarks/crossed.py                     # all of it: twenty minutes on two idle cores
    python benchmarks/crossed.py insteval rows       # some of it
    python benchmarks/crossed.py --write             # also write results/crossed.md

Every case is a process of its own, whose largest memory is Python and libraries with it. lme4 is run where
Rscript finds it, GPBoost where this Python or that of JAXMIXED_PEER_PYTHON does.
"""

import argparse
import importlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _ratings import ITEM, RESIDUAL, SHAPES, USER, ratings

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "crossed.md"
MODELS = ("y ~ 1 + (1 | s) + (1 | d) + (1 | dept)", "y ~ 1 + (1 | s) + (1 + service | d)")
RATINGS = "y ~ 1 + (1 | user) + (1 | item)"
LIMIT = 600  # seconds that another package may take
LEVELS, MEETINGS = (2_000, 1_000), 100_000  # of the data whose rows grow, and which levels share rows
LME4 = """
suppressMessages(library(lme4))
argument <- commandArgs(TRUE)
data <- read.csv(argument[1], colClasses = c(s = "factor", d = "factor", dept = "factor", service = "factor"))
start <- Sys.time()
fit <- lmer(as.formula(argument[2]), data, REML = argument[3] == "REML")
seconds <- as.numeric(difftime(Sys.time(), start, units = "secs"))
criterion <- if (isREML(fit)) REMLcrit(fit) else deviance(fit)
theta <- paste(sprintf("%.17g", getME(fit, "theta")), collapse = ",")
cat(sprintf('{"seconds":%.6f,"criterion":%.12g,"theta":[%s]}', seconds, criterion, theta), "\\n", sep = "")
"""


def peak() -> float:
    """Return the most memory that this process has had, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def clocked(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


# Cases, each in a process of its own


def fit_insteval(formula: str, method: str, theta: str) -> dict[str, Any]:
    """Fit InstEval cold and warm, and evaluate the criterion where lme4 ended."""
    import jaxmixed as jm
    from jaxmixed import core

    data, reml = jm.datasets.load("InstEval"), method == "REML"

    def call() -> jm.LmerResult:
        fit = jm.lmer(formula, data, reml=reml)
        fit.bse.to_numpy()
        return fit

    cold, fit = clocked(call)
    warm = min(clocked(call)[0] for _ in range(3))
    there = float(core.criterion(np.array(json.loads(theta)), fit.stats, reml)) if theta else None
    return {"cold": cold, "warm": warm, "criterion": fit.criterion, "there": there}


def fit_ratings(shape: str, covariate: str) -> dict[str, Any]:
    """Fit ratings exactly, and ask all that is asked of a fit."""
    import jax

    import jaxmixed as jm
    from jaxmixed.core import Crossed
    from jaxmixed.core._average_information import value_gradient_information
    from jaxmixed.core._dense import logdet_gram

    frame = ratings(*SHAPES[shape], seed=1).frame()
    formula, rng = RATINGS, np.random.default_rng(2)
    if covariate:
        frame["x"] = rng.normal(size=len(frame))
        frame["y"] += 0.1 * frame["x"]
        formula = "y ~ 1 + x + (1 | user) + (1 | item)"
    data = peak()
    cold, _ = clocked(lambda: jm.lmer(formula, frame, solver="direct").bse)
    warm, fit = clocked(lambda: jm.lmer(formula, frame, solver="direct"))
    fitting = peak()
    sd = fit.sigma * fit.theta
    steps = {name: clocked(work)[0] for name, work in {
        "estimates and standard errors": lambda: fit.bse,
        "ranef(), conditional variances with them": fit.ranef,
        "predict() of a million new rows": lambda: fit.predict(frame.iloc[::-1]),
        "summary(), Satterthwaite's degrees of freedom with it": lambda: str(fit.summary()),
    }.items()}  # fmt: skip
    found = {
        "cold": cold, "warm": warm, "evaluations": int(fit.optimum.steps), "sd": [*sd, fit.sigma],
        "data": data, "fitting": fitting, "peak": peak(), "asked": steps,
    }  # fmt: skip
    structure = fit.stats.structure
    assert isinstance(structure, Crossed)
    with jax.enable_x64(True):
        evaluate = jax.jit(
            lambda theta, stats: value_gradient_information(theta, stats.structure, stats, True)
        )
        S = np.tril(structure.A_others / structure.A_others.max() + np.eye(len(structure.A_others)))
        W = np.ones((len(S), 2))
        inverse = jax.jit(logdet_gram)
        parts = {"evaluation": lambda: evaluate(fit.theta, fit.stats), "floor": lambda: inverse(S, W)}
        for name, work in parts.items():
            jax.block_until_ready(work())
            found[name] = min(clocked(lambda work=work: jax.block_until_ready(work()))[0] for _ in range(3))
    return found


def fit_rows(n: str) -> dict[str, Any]:
    """Time an evaluation of the criterion and its derivatives, of n rows at fixed levels."""
    import jax

    from jaxmixed import core
    from jaxmixed.core._average_information import value_gradient_information

    rng, rows, ones = np.random.default_rng(3), int(n), np.ones((int(n), 1))
    met = ratings(MEETINGS, *LEVELS, seed=3)
    again = np.concatenate([np.arange(MEETINGS), rng.integers(0, MEETINGS, rows - MEETINGS)])
    codes = [met.user[again], met.item[again]]
    y = rng.normal(size=rows) + sum(rng.normal(0, 0.5, J)[c] for c, J in zip(codes, LEVELS, strict=True))
    terms = tuple(core.RandomTerm(ones, c, J, (1,)) for c, J in zip(codes, LEVELS, strict=True))
    reading, stats = clocked(lambda: core.compress(core.Design(y, ones, terms)))
    with jax.enable_x64(True):
        evaluate = jax.jit(
            lambda theta, stats: value_gradient_information(theta, stats.structure, stats, True)
        )
        theta = np.array([0.5, 0.5])
        jax.block_until_ready(evaluate(theta, stats))
        once = min(clocked(lambda: jax.block_until_ready(evaluate(theta, stats)))[0] for _ in range(5))
    return {"reading": reading, "evaluation": once, "peak": peak()}


def fit_own(n: str, users: str, items: str) -> dict[str, Any]:
    """Fit ratings by maximum likelihood, as GPBoost does, cold."""
    import jaxmixed as jm

    frame = ratings(int(n), int(users), int(items), seed=1).frame()
    seconds, fit = clocked(lambda: jm.lmer(RATINGS, frame, reml=False, solver="direct"))
    return {"seconds": seconds, "sd": [*(fit.sigma * fit.theta), fit.sigma], "peak": peak()}


def fit_gpboost(n: str, users: str, items: str) -> dict[str, Any]:
    """Fit ratings by GPBoost, by its iterative methods."""
    gpboost = importlib.import_module("gpboost")

    made = ratings(int(n), int(users), int(items), seed=1)

    def call() -> Any:
        groups = np.column_stack([made.user, made.item])
        model = gpboost.GPModel(group_data=groups, likelihood="gaussian", matrix_inversion_method="iterative")
        model.fit(y=made.latent, X=np.ones((len(groups), 1)))
        return np.sqrt(np.ravel(model.get_cov_pars(format_pandas=False))[:3])

    seconds, (sigma, *sd) = clocked(call)
    return {"seconds": seconds, "sd": [*map(float, sd), float(sigma)], "peak": peak()}


CASES = {case.__name__: case for case in (fit_insteval, fit_ratings, fit_rows, fit_own, fit_gpboost)}


def in_a_process(
    case: str, *options: object, python: str = sys.executable, limit: float | None = None
) -> dict:
    """Run a case; `{}` where it takes longer than the limit, or fails."""
    command = [python, __file__, "--case", case, *map(str, options)]
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return {}
    return json.loads(done.stdout.splitlines()[-1])


# Sections, each some tables


def insteval() -> list:
    """Fit two models of InstEval beside lme4."""
    from _process import r_command
    from _table import Table, number

    import jaxmixed as jm

    lines, beside = [], r_command("lme4") is not None
    with tempfile.TemporaryDirectory() as folder:
        jm.datasets.load("InstEval").to_csv(csv := Path(folder) / "insteval.csv", index=False)
        (script := Path(folder) / "lme4.R").write_text(LME4)
        for formula in MODELS:
            for method in ("REML", "ML"):
                theirs: dict[str, Any] = {}
                if beside:
                    command = ["Rscript", "--vanilla", str(script), str(csv), formula, method]
                    done = subprocess.run(command, check=True, capture_output=True, text=True)
                    theirs = json.loads(done.stdout.splitlines()[-1])
                there = json.dumps(theirs["theta"]) if theirs else ""
                own = in_a_process("fit_insteval", formula, method, there)
                compared = ("-",) * 4
                if theirs:
                    compared = (
                        number(theirs["seconds"]),
                        f"{theirs['seconds'] / own['warm']:.0f}",
                        f"{own['criterion'] - theirs['criterion']:+.1e}",
                        f"{own['there'] - theirs['criterion']:+.1e}",
                    )
                lines.append((f"{formula}, {method}", number(own["cold"]), number(own["warm"]), *compared))
    header = (
        "",
        "cold (s)",
        "warm (s)",
        "lme4 (s)",
        "ratio, warm",
        "criterion less lme4's",
        "the same at its theta",
    )
    note = "Estimates and standard errors read; warm: the fastest of three. lme4 once, its file being read."
    return [Table("InstEval, 73,421 rows", header, lines, (note,))]


def exact() -> list:
    """Fit a million ratings by the dense Schur complement."""
    from _table import Table, number

    lines, asked = [], []
    for words, covariate in (("y ~ 1", ""), ("y ~ 1 + x", "x")):
        found = in_a_process("fit_ratings", "1M", covariate)
        lines.append(
            (
                f"{words} + (1 | user) + (1 | item)",
                *(number(found[name]) for name in ("cold", "warm")),
                str(found["evaluations"]),
                *(number(found[name]) for name in ("evaluation", "floor")),
                f"{found['evaluation'] / found['floor']:.1f}",
                *(f"{found[name]:.2f}" for name in ("data", "fitting", "peak")),
                ", ".join(f"{sd:.4f}" for sd in found["sd"]),
            )
        )
        asked.append((words, *map(number, found["asked"].values())))
    header = (
        "", "lmer() cold (s)", "warm (s)", "evaluations", "one (s)", "floor (s)", "ratio",
        "data (GiB)", "with fits", "with all", "standard deviations",
    )  # fmt: skip
    notes = (
        "One: the criterion, its gradient and its average information. Floor: the inverse of a matrix of "
        "4,000 x 4,000 and its log-determinant. Standard deviations of users, items and residuals; the data "
        f"were made with {USER}, {ITEM} and {RESIDUAL}.",
    )
    return [
        Table("1,000,000 ratings of 4,000 items by 6,000 users, exactly", header, lines, notes),
        Table("What is asked of these fits, one after the other (s)", ("", *found["asked"]), asked),
    ]


def rows() -> list:
    """Time an evaluation as rows grow."""
    from _table import Table, number

    lines = []
    for n in (10**5, 10**6, 10**7):
        found = in_a_process("fit_rows", n)
        lines.append(
            (f"{n:,}", number(found["reading"]), number(found["evaluation"]), f"{found['peak']:.2f}")
        )
    header = ("rows", "to statistics (s)", "one evaluation (s)", "memory (GiB)")
    title = f"{LEVELS[0]:,} x {LEVELS[1]:,} levels, {MEETINGS:,} pairs of which meet, in more and more rows"
    return [Table(title, header, lines)]


def gpboost() -> list:
    """Fit ratings beside GPBoost's iterative methods, larger and larger."""
    from _process import python_command
    from _table import Table, number

    command, lines = python_command("gpboost"), []
    if command is None:
        return []
    for shape in ((100_000, 2_000, 1_500), SHAPES["1M"]):
        own = in_a_process("fit_own", *shape)
        theirs = in_a_process("fit_gpboost", *shape, python=command[0], limit=LIMIT)
        ours = ", ".join(f"{sd:.5f}" for sd in own["sd"])
        label = f"{shape[0]:,} ratings, {shape[1]:,} x {shape[2]:,}"
        if not theirs:
            lines.append(
                (label, number(own["seconds"]), f"> {LIMIT}", "-", ours, "-", f"{own['peak']:.2f}", "-")
            )
            break
        lines.append(
            (
                label,
                number(own["seconds"]),
                number(theirs["seconds"]),
                f"{theirs['seconds'] / own['seconds']:.1f}",
                ours,
                ", ".join(f"{sd:.5f}" for sd in theirs["sd"]),
                *(f"{one['peak']:.2f}" for one in (own, theirs)),
            )
        )
    header = (
        "ML",
        "jaxmixed, cold (s)",
        "GPBoost (s)",
        "ratio",
        "standard deviations",
        "GPBoost's",
        "memory (GiB)",
        "GPBoost's",
    )
    return [Table("Ratings beside GPBoost's iterative methods", header, lines)]


SECTIONS = {section.__name__: section for section in (insteval, exact, rows, gpboost)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sections", nargs="*", help=f"any of {', '.join(SECTIONS)}; all by default")
    parser.add_argument(
        "--write", action="store_true", help=f"also write {RESULTS.parent.name}/{RESULTS.name}"
    )
    parser.add_argument("--case", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        name, *given = options.case
        print(json.dumps(CASES[name](*given)))
        return
    if unknown := set(options.sections) - set(SECTIONS):
        parser.error(f"found sections {sorted(unknown)}; expected any of {', '.join(SECTIONS)}")
    from _table import machine

    about, pages = machine(), []
    print(about, flush=True)
    for name in options.sections or SECTIONS:
        for table in SECTIONS[name]():
            print(f"\n{table.text()}", flush=True)
            pages.append(table.markdown())
    if options.write:
        command = " ".join(["python benchmarks/crossed.py", *sys.argv[1:]])
        RESULTS.write_text(
            "\n\n".join(["# Crossed factors", f"Written by `{command}`. {about}", *pages]) + "\n"
        )


if __name__ == "__main__":
    main()
