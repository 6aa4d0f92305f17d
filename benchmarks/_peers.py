"""Other packages, each in a process of its own, timed on request.

A worker reads one request a line, fields separated by tabs, and answers with one line of JSON:

    version                                {"version": ...}
    load    path  formula  factor,factor   {}
    call    budget                         {"seconds": [...], "criterion": ..., "beta": ...}

and likewise `criterion` (one evaluation at the optimum), `optimiser` (from statistics to theta), `refit` (to
the response of `other_response`) and `simulated` (to a response simulated from the fit). Samples are taken
until `budget` seconds are spent, at least one. What a package cannot do is answered with {"error": ...}.

Run as a script, `python _peers.py NAME`, this file is the worker; it then imports nothing of jaxmixed, so
that the interpreter need not have it.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

COUNT = {"criterion": 20}  # evaluations in one sample; one where nothing is said
HERE = Path(__file__).parent


def other_response(y: Any) -> np.ndarray:
    """Return a second response of the same size, the same in every language."""
    return y * (1 + 0.01 * np.sin(1 + np.arange(len(y))))


def timed(task: Callable[[], Any], count: int, budget: float) -> tuple[list[float], Any]:
    """Repeat a task until the budget is spent; return the seconds of each, and the last result."""
    seconds: list[float] = []
    while not seconds or sum(seconds) * count < budget:
        start = time.perf_counter()
        for _ in range(count):
            result = task()
        seconds.append((time.perf_counter() - start) / count)
    return seconds, result


class Glmm:
    """glmm, without the degrees of freedom that lmer() does not compute either."""

    def __init__(self) -> None:
        import glmm

        self.package = glmm
        self.tasks = {"call": self.call}

    def load(self, data: pd.DataFrame, formula: str) -> None:
        self.data, self.formula = data, formula

    def call(self) -> dict[str, Any]:
        fit = self.package.fit(self.data, self.formula, satterthwaite=False, wald_se="rx")
        return {"criterion": -2 * fit.loglik, "beta": fit.beta.tolist()}


class Mixedlm:
    def __init__(self) -> None:
        import mixedlm

        self.package = mixedlm
        self.tasks = {
            "criterion": lambda: {"criterion": self.objective(self.fit.theta)},
            "refit": lambda: self.answer(self.fit.refit(self.other)),
            "call": lambda: self.answer(self.package.lmer(self.formula, self.data)),
        }

    def load(self, data: pd.DataFrame, formula: str) -> None:
        self.data, self.formula = data, formula

    def prepare(self) -> None:
        self.fit = self.package.lmer(self.formula, self.data)
        self.objective = self.fit.as_function("deviance")
        self.other = other_response(self.data[self.formula.split("~")[0].strip()].to_numpy())

    def answer(self, fit: Any) -> dict[str, Any]:
        return {"criterion": self.package.REMLcrit(fit), "beta": list(fit.fixef().values())}


class Statsmodels:
    def __init__(self) -> None:
        import statsmodels.formula.api

        self.package = statsmodels.formula.api
        self.tasks = {
            "criterion": lambda: {"criterion": -2 * self.fit.model.loglike(self.fit.params_object)},
            "call": self.call,
            "simulated": self.simulated,
        }

    def load(self, data: pd.DataFrame, formula: str) -> None:
        terms = re.findall(r"\(([^|]*)\|([^)]*)\)", formula)
        if len(terms) > 1:
            raise NotImplementedError("crossed factors need a dense matrix of rows by levels")
        self.data, self.fixed = data, formula.split("+ (")[0]
        self.random, self.group = (part.strip() for part in terms[0])

    def prepare(self) -> None:
        self.fit = self.model().fit(reml=True)
        self.codes = np.unique(self.fit.model.groups, return_inverse=True)[1]
        self.turns: list[None] = []

    def model(self) -> Any:
        return self.package.mixedlm(self.fixed, self.data, groups=self.group, re_formula=f"~{self.random}")

    def call(self) -> dict[str, Any]:
        fit = self.model().fit(reml=True)
        return {"criterion": -2 * fit.llf, "beta": fit.fe_params.tolist()}

    def simulated(self) -> dict[str, Any]:
        model, rng = self.fit.model, np.random.default_rng(len(self.turns))
        self.turns.append(None)
        root = np.linalg.cholesky(self.fit.cov_re)
        effects = rng.normal(size=(len(model.group_labels), len(root))) @ root.T
        noise = (model.exog_re * effects[self.codes]).sum(1) + self.fit.scale**0.5 * rng.normal(
            size=model.nobs
        )
        y = model.exog @ self.fit.fe_params + noise
        fit = type(model)(y, model.exog, model.groups, model.exog_re).fit(reml=True)
        return {"criterion": -2 * fit.llf}


ENGINES = {"glmm": Glmm, "mixedlm": Mixedlm, "statsmodels": Statsmodels}


def work(name: str) -> None:
    """Answer requests until the input ends."""
    warnings.simplefilter("ignore")
    engine, prepared = ENGINES[name](), False
    for line in sys.stdin:
        verb, *arguments = line.rstrip("\n").split("\t")
        try:
            if verb == "version":
                reply = {"version": _version(name)}
            elif verb == "load":
                path, formula, groups = arguments
                data = pd.read_csv(path, dtype=dict.fromkeys(groups.split(","), "category"))
                engine.load(data, formula)
                reply, prepared = {}, False
            elif verb not in engine.tasks:
                raise NotImplementedError(verb)
            else:
                if verb != "call" and not prepared:
                    engine.prepare()
                    prepared = True
                seconds, result = timed(engine.tasks[verb], COUNT.get(verb, 1), float(arguments[0]))
                reply = {"seconds": seconds, **result}
        except Exception as error:  # of any package; the message goes to the other side
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


def _version(name: str) -> str:
    from importlib.metadata import version

    return f"{name} {version(name)}"


class Peer:
    """The other end: a worker process, asked from here."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name, self.command = name, command
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.version = self.ask("version")["version"]

    def ask(self, *request: object) -> dict[str, Any]:
        """Send a request and wait for its answer."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write("\t".join(map(str, request)) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended while it was asked for {request[0]}")
        # R sends every number as an array.
        reply = json.loads(line)
        if isinstance(reply.get("criterion"), list):
            reply["criterion"] = reply["criterion"][0]
        return reply

    def close(self) -> None:
        """End the worker by ending its input."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(timeout=60)


def find_peers() -> list[Peer]:
    """Start every other package that is here."""
    return [Peer(name, command) for name, command in _commands().items()]


def interpreter(module: str) -> str | None:
    """Return a Python that can import a package: JAXMIXED_PEER_PYTHON or this one."""
    for python in filter(None, [os.environ.get("JAXMIXED_PEER_PYTHON"), sys.executable]):
        test = f"import importlib.util as u, sys; sys.exit(u.find_spec({module!r}) is None)"
        if subprocess.run([python, "-c", test], stderr=subprocess.DEVNULL).returncode == 0:
            return python
    return None


def has_lme4() -> bool:
    """Tell whether Rscript is on the path and can load lme4."""
    if shutil.which("Rscript") is None:
        return False
    test = "quit(status = !requireNamespace('lme4', quietly = TRUE))"
    return subprocess.run(["Rscript", "-e", test], capture_output=True).returncode == 0


def _commands() -> dict[str, list[str]]:
    found = {name: interpreter(name) for name in ENGINES}
    commands = {name: [python, __file__, name] for name, python in found.items() if python}
    if has_lme4():
        commands["lme4"] = ["Rscript", "--vanilla", str(HERE / "_lme4.R")]
    return commands


if __name__ == "__main__":
    work(sys.argv[1])
