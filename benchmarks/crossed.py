"""Time crossed factors: InstEval beside lme4, ratings solved exactly, iteratively and by GPBoost.

    python benchmarks/crossed.py                     # all of it: forty minutes on two idle cores
    python benchmarks/crossed.py insteval rows       # some of it
    python benchmarks/crossed.py --write             # also write results/crossed_insteval.md and so on

Every case is a process of its own, whose largest memory is Python and libraries with it. lme4 is run where
Rscript finds it, GPBoost where this Python or that of JAXMIXED_PEER_PYTHON does.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from _crossed_cases import LEVELS, MEETINGS
from _process import python_command, r_command
from _ratings import ITEM, RESIDUAL, SHAPES, USER
from _table import Table, machine, number

import jaxmixed as jm

HERE = Path(__file__).parent
RESULTS = HERE / "results"
MODELS = ("y ~ 1 + (1 | s) + (1 | d) + (1 | dept)", "y ~ 1 + (1 | s) + (1 + service | d)")
LIMIT = 600  # seconds that another package may take
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


def in_a_process(
    case: str, *options: object, python: str = sys.executable, limit: float | None = None
) -> dict:
    """Run a case; `{}` where it takes longer than the limit."""
    command = [python, str(HERE / "_crossed_cases.py"), case, *map(str, options)]
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return {}
    return json.loads(done.stdout.splitlines()[-1])


def insteval() -> list[Table]:
    """Fit two models of InstEval beside lme4."""
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


def exact() -> list[Table]:
    """Fit a million ratings by the dense Schur complement."""

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


def iterative() -> list:
    """Fit ratings iteratively: a million beside the exact fit, then 25 and 32 million."""
    exactly, lines, errors = in_a_process("fit_iteratively", "1M", "direct"), [], []
    for shape, (n, users, items) in SHAPES.items():
        found = in_a_process("fit_iteratively", shape, "iterative")
        lines.append(
            (
                f"{n:,}, {users:,} x {items:,}",
                *(number(found.get(name, float("nan"))) for name in ("seconds", "ranef", "predict")),
                *(str(found[name]) for name in ("evaluations", "cg")),
                *(f"{found[name]:.2f}" for name in ("data", "fitting", "peak")),
                ", ".join(f"{sd:.4f}" for sd in found["sd"]),
            )
        )
        ratio = max(e / se for e, se in zip(found["error"], found["se"], strict=True))
        beside = ("-", "-")
        if shape == "1M":
            pairs = zip(found["theta"], exactly["theta"], found["error"], strict=True)
            beside = (
                ", ".join(f"{(a - b) / e:+.1f}" for a, b, e in pairs),
                f"{max(abs(a / b - 1) for a, b in zip(found['sd'], exactly['sd'], strict=True)):.1e}",
            )
        errors.append((f"{n:,}", f"{found['criterion']:.2f}", f"{ratio:.1e}", *beside))
    header = (
        "ratings, users x items", "lmer() cold (s)", "ranef() (s)", "predict(10^6 rows) (s)", "evaluations",
        "steps of a solve", "data (GiB)", "with the fit", "with all", "standard deviations",
    )  # fmt: skip
    notes = (
        f"50 probes, the first fit of a process. The data were made with {USER}, {ITEM} and {RESIDUAL}. Of a "
        "data set of the third shape MixedModels.jl reports 18,740 s a fit and 56 GiB on eight threads.",
    )
    of_errors = (
        "ratings", "of the criterion", "of theta, in standard errors", "theta less exact, in these errors",
        "standard deviations, relative to exact",
    )  # fmt: skip
    return [
        Table("Ratings, iteratively", header, lines, notes),
        Table("Monte Carlo errors of these fits", of_errors, errors),
    ]


def rows() -> list[Table]:
    """Time an evaluation as rows grow."""

    lines = []
    for n in (10**5, 10**6, 10**7):
        found = in_a_process("fit_rows", n)
        lines.append(
            (f"{n:,}", number(found["reading"]), number(found["evaluation"]), f"{found['peak']:.2f}")
        )
    header = ("rows", "to statistics (s)", "one evaluation (s)", "memory (GiB)")
    title = f"{LEVELS[0]:,} x {LEVELS[1]:,} levels, {MEETINGS:,} pairs of which meet, in more and more rows"
    return [Table(title, header, lines)]


def gpboost() -> list[Table]:
    """Fit ratings beside GPBoost's iterative methods, larger and larger."""

    command, lines = python_command("gpboost"), []
    if command is None:
        return []
    for shape in ((100_000, 2_000, 1_500), SHAPES["1M"], SHAPES["25M"]):
        own = in_a_process("fit_own", *shape)
        theirs = in_a_process("fit_gpboost", *shape, python=command[0], limit=LIMIT)
        ours = ", ".join(f"{sd:.5f}" for sd in own["sd"])
        cold_and_warm = number(own["seconds"]), number(own["warm"])
        label = f"{shape[0]:,} ratings, {shape[1]:,} x {shape[2]:,}"
        if not theirs:
            lines.append((label, *cold_and_warm, f"> {LIMIT}", "-", ours, "-", f"{own['peak']:.2f}", "-"))
            break
        lines.append(
            (
                label,
                *cold_and_warm,
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
        "warm (s)",
        "GPBoost (s)",
        "ratio, cold",
        "standard deviations",
        "GPBoost's",
        "memory (GiB)",
        "GPBoost's",
    )
    return [Table("Ratings by iterative methods, beside GPBoost's", header, lines)]


SECTIONS = {section.__name__: section for section in (insteval, exact, rows, gpboost, iterative)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sections", nargs="*", help=f"any of {', '.join(SECTIONS)}; all by default")
    parser.add_argument(
        "--write", action="store_true", help=f"also write {RESULTS.name}/crossed_SECTION.md for each"
    )
    options = parser.parse_args()
    if unknown := set(options.sections) - set(SECTIONS):
        parser.error(f"found sections {sorted(unknown)}; expected any of {', '.join(SECTIONS)}")
    for name in options.sections or SECTIONS:
        about, tables = machine(), SECTIONS[name]()
        print("\n\n".join([about, *(table.text() for table in tables)]), flush=True)
        if options.write:
            written = f"Written by `python benchmarks/crossed.py {name} --write`. {about}"
            pages = [f"# Crossed factors: {name}", written, *(table.markdown() for table in tables)]
            (RESULTS / f"crossed_{name}.md").write_text("\n\n".join(pages) + "\n")


if __name__ == "__main__":
    main()
