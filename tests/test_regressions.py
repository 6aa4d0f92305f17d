"""What must not grow: programs compiled by a fixed script, kernels, batches beside single fits.

No time is compared with a number, only with another of the same run. Operations are XLA's own count, before
its optimiser; bounds are a quarter above what they were when they were written.
"""

import json
import statistics
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from helpers import random_design, random_theta

import jaxmixed as jm
from jaxmixed import core
from jaxmixed.core._fit import differentiated, value_gradient_hessian
from jaxmixed.frame._estimate import estimate

# Each step twice, on data of one shape: what the first compiles, and the second, which must be nothing.
SCRIPT = """
import json, jax, numpy as np, jaxmixed as jm
counted = []

def listen(event, duration, **_):
    if event.endswith("backend_compile_duration"):
        counted.append(event)

jax.monitoring.register_event_duration_secs_listener(listen)
data = jm.datasets.load("sleepstudy")
model = "Reaction ~ Days + (Days | Subject)"
Y = np.random.default_rng(0).normal(size=(180, 300)) + data[["Reaction"]].to_numpy()
steps = {
    "lmer": lambda fit: jm.lmer(model, data),
    "summary": lambda fit: str(fit.summary()),
    "refit": lambda fit: fit.refit(data["Reaction"] ** 2 / 300).bse,
    "kenward-roger": lambda fit: fit.tidy(ddf="kenward-roger"),
    "profile": lambda fit: fit.conf_int(method="profile", parm="all"),
    "bootstrap": lambda fit: fit.bootstrap(200, key=1, progress=False),
    "fit_many": lambda fit: jm.fit_many("~ Days + (Days | Subject)", data, Y, progress=False),
}
found = {}
for name, step in steps.items():
    each = []
    for _ in range(2):
        before = len(counted)
        step(jm.lmer(model, data) if name != "lmer" else None)
        each.append(len(counted) - before)
    found[name] = each
print(json.dumps(found))
"""
FIRST = {
    "lmer": 1,
    "summary": 0,
    "refit": 0,
    "kenward-roger": 0,
    "profile": 2,
    "bootstrap": 4,
    "fit_many": 1,
}


def test_programs_compiled_by_a_fixed_script():
    command = [sys.executable, "-c", SCRIPT]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=280)
    found = json.loads(run.stdout.splitlines()[-1])
    assert {name: each[0] for name, each in found.items()} == FIRST
    assert not any(each[1] for each in found.values()), found


# Of one evaluation: the criterion; with gradient and Hessian; with these by automatic differentiation.
OPERATIONS = {
    "few_patterns": (1760, 5300, 17_860),
    "distinct_patterns": (1583, 4869, 16_119),
    "nested_two_slope": (2529, 41_674, 41_674),
    "crossed_two": (2412, 19_703, 19_703),
}


@pytest.mark.parametrize("structure", OPERATIONS)
def test_operations_of_an_evaluation(x64, structure):
    design = random_design(structure, 0)
    stats, theta = core.suffstats(design), random_theta(design, 0)
    kernels = core.criterion, reml(value_gradient_hessian), reml(differentiated)
    counts = [operations(kernel, theta, stats) for kernel in kernels]
    bounds = [1.25 * count for count in OPERATIONS[structure]]
    assert all(0 < count <= bound for count, bound in zip(counts, bounds, strict=True)), counts


def test_programs_grow_no_faster_than_fixed_effects(x64):
    """What is written out for few columns would take half a minute to compile for thirty."""
    rng, ones = np.random.default_rng(0), np.ones((48, 1))
    z = np.column_stack([ones, rng.normal(size=48)])
    term = core.RandomTerm(z, np.repeat(np.arange(8), 6), 8, (2,))

    def length(p: int) -> int:
        X = np.column_stack([ones, rng.normal(size=(48, p - 1))])
        stats = core.suffstats(core.Design(rng.normal(size=48), X, (term,)))
        lowered = jax.jit(reml(value_gradient_hessian)).lower(np.ones(3), stats)
        return len(lowered.as_text().splitlines())

    assert length(30) < 30 / 8 * length(8)


def reml(function):
    return lambda theta, stats: function(theta, stats, True)


def operations(function, *arguments) -> float:
    return jax.jit(function).lower(*arguments).cost_analysis()["flops"]


def test_many_fits_together_are_faster_than_one_by_one():
    """At least three times, and ten to fifty when this was written, on a busy machine and an idle one."""
    fit = jm.lmer("Reaction ~ Days + (1 | Subject)", jm.datasets.load("sleepstudy"))
    n = 2000

    def together() -> float:
        start = time.perf_counter()
        fit.bootstrap(n, key=1, progress=False)
        return (time.perf_counter() - start) / n

    def one() -> float:
        start = time.perf_counter()
        estimate(fit.stats, True)
        return time.perf_counter() - start

    together(), one()
    ratios = [one() / together() for _ in range(5)]
    assert np.isfinite(ratios).all() and statistics.median(ratios) > 3, ratios
