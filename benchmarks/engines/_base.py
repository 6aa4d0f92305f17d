"""The questions that every package is asked, and answers that are put together from simpler ones.

A task is a method of an engine. It answers with named numbers: `criterion` (-2 log likelihood, restricted
unless `method` says ML), `beta`, `se` and `df` (with the `names` of the coefficients), `limits`, shape (k, 2)
as two lists, `boot_se`, `rejected`. What an engine has no method for, its package does not do.

Nothing here imports jaxmixed: the interpreter of another package need not have it.
"""

import functools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

FIRST = 3  # responses or data sets whose criteria are answered
# A power study: subjects seen on ten days, with these fixed effects, and this factor of the covariance.
SIZES, LEVEL = tuple(range(10, 60, 5)), 0.05
BETA, SIGMA = np.array([250.0, 4.0]), 25.0
ROOT = np.linalg.cholesky([[25.0**2, 0.1 * 25 * 6], [0.1 * 25 * 6, 6.0**2]])


def other_response(y: Any) -> np.ndarray:
    """Return a second response of the same size, the same in every language."""
    return np.asarray(y) * (1 + 0.01 * np.sin(1 + np.arange(len(y))))


def parts(formula: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the formula without its bars, and for each of them what is random and by what."""
    bars = re.findall(r"\(([^|()]*)\|([^)]*)\)", formula)
    fixed = re.sub(r"\+\s*\([^|()]*\|[^)]*\)", "", formula).strip()
    terms = []
    for random, group in bars:
        if "/" in group:
            outer, inner = (part.strip() for part in group.split("/"))
            terms += [(random.strip(), outer), (random.strip(), f"{outer}:{inner}")]
        else:
            terms.append((random.strip(), group.strip()))
    return fixed, terms


def criteria(answers: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what is compared of many fits."""
    method = {"method": answers[0]["method"]} if "method" in answers[0] else {}
    return {"criteria": [answer["criterion"] for answer in answers[:FIRST]]} | method


class Engine:
    """One package; `fit_to` and `answer` are its own, the rest follows unless it can do better."""

    distribution: str  # its name on PyPI
    module: str

    def load(self, path: str, data: pd.DataFrame, formula: str) -> None:
        self.path, self.data, self.formula = Path(path), data, formula
        self.fixed, self.terms = parts(formula)
        self.response = formula.split("~")[0].strip()

    def where(self) -> str:
        """Return what the version should say of the device, if it is not the processor."""
        return ""

    def fit_to(self, data: pd.DataFrame) -> Any:
        raise NotImplementedError

    def answer(self, fit: Any) -> dict[str, Any]:
        raise NotImplementedError

    @functools.cached_property
    def fit(self) -> Any:
        return self.fit_to(self.data)

    @functools.cached_property
    def other(self) -> np.ndarray:
        return other_response(self.data[self.response])

    @functools.cached_property
    def responses_there(self) -> np.ndarray:
        """Further responses, a row for each, from the file beside the data."""
        return np.fromfile(self.path.with_suffix(".bin")).reshape(-1, len(self.data))

    @functools.cached_property
    def sets_there(self) -> list[pd.DataFrame]:
        group = self.terms[0][1]
        parts = (part.reset_index(drop=True) for _, part in self.data.groupby("set"))
        return [part.assign(**{group: part[group].cat.remove_unused_categories()}) for part in parts]

    def with_groups(self, data: pd.DataFrame) -> pd.DataFrame:
        """Return the data with a column for every nested factor, for packages that do not make them."""
        made = {g: data[list(g.split(":"))].astype(str).agg(":".join, axis=1) for _, g in self.terms}
        return data.assign(**{g.replace(":", "_"): column for g, column in made.items() if ":" in g})

    def lmer(self) -> dict[str, Any]:
        return self.answer(self.fit_to(self.data))

    def sets(self, n: int) -> dict[str, Any]:
        answers = [self.answer(self.fit_to(data)) for data in self.sets_there[:n]]
        return criteria(answers)


class Refitting(Engine):
    """An engine whose package fits another response of the same design, by `refit_to`."""

    def refit_to(self, y: np.ndarray) -> Any:
        return self.fit_to(self.data.assign(**{self.response: y}))

    def refit(self) -> dict[str, Any]:
        return self.answer(self.refit_to(self.other))

    def responses(self, n: int) -> dict[str, Any]:
        answers = [self.answer(self.refit_to(y)) for y in self.responses_there[:n]]
        return criteria(answers)

    def bootstrap(self, n: int) -> dict[str, Any]:
        """Refit responses that are simulated from the estimates, one factor, intercept and slope."""
        answers = [self.answer(self.refit_to(y)) for y in self.simulated(n)]
        return {"boot_se": np.std([a["beta"] for a in answers], axis=0, ddof=1)}

    def estimates(self) -> tuple[np.ndarray, np.ndarray, float]:
        """Return beta, a root of the covariance of the random effects, and sigma."""
        raise NotImplementedError

    def simulated(self, n: int) -> np.ndarray:
        beta, root, sigma = self.estimates()
        rng = np.random.default_rng(n)
        group = pd.factorize(self.data[self.terms[0][1]])[0]
        z = np.column_stack([np.ones(len(group)), self.data[self.fixed.split("~")[1].strip()]])
        b = rng.normal(size=(n, group.max() + 1, len(root))) @ root.T
        noise = sigma * rng.normal(size=(n, len(group)))
        return z @ beta + np.einsum("nq,knq->kn", z[:, : len(root)], b[:, group]) + noise


class Testing(Engine):
    """An engine whose package has p values, by `p_value` of the slope of days."""

    def p_value(self, data: pd.DataFrame) -> float:
        raise NotImplementedError

    def power(self, n: int) -> dict[str, Any]:
        """Simulate, fit and test n data sets of each size, one after the other."""
        rng = np.random.default_rng(n)
        rejected = [sum(self.p_value(study(rng, size)) < LEVEL for _ in range(n)) for size in SIZES]
        return {"rejected": rejected, "each": n}


def study(rng: np.random.Generator, subjects: int) -> pd.DataFrame:
    """Simulate one data set of a power study."""
    subject, days = np.repeat(np.arange(subjects), 10), np.tile(np.arange(10.0), subjects)
    coefficients = BETA + rng.normal(size=(subjects, 2)) @ ROOT.T
    y = coefficients[subject, 0] + coefficients[subject, 1] * days + SIGMA * rng.normal(size=len(days))
    return pd.DataFrame({"Reaction": y, "Days": days, "Subject": pd.Categorical(subject)})
