"""The bootstrap of a fitted model: replicates, and what can be read from them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pandas as pd
from jax.sharding import Mesh

from jaxmixed import core

from . import _bootstrap_intervals as by
from ._check import check_alpha, check_choice, check_count
from ._errors import DataError
from ._labels import chosen, parameter_labels
from ._replicates import Fits, joined, replicate

if TYPE_CHECKING:
    from ._result import LmerResult

FEWEST = 2  # converged replicates, of which a standard deviation can be taken


@dataclass(frozen=True, eq=False, repr=False)
class Bootstrap:
    """Fits of a fitted model.

    Attributes
    ----------
    kind
        "parametric", "residual", "case" or "wild".
    replicates
        theta, beta and its standard errors, standard deviations and correlations, criterion and result of
        every replicate, as arrays.
    estimates
        What was estimated from the data, by label, in the order of `to_frame()`.
    extra
        Values of the user's statistic, one row a replicate; no columns if there is none.
    """

    kind: str
    replicates: Fits
    estimates: pd.Series
    extra: np.ndarray
    _kinds: tuple[str, ...] = field(repr=False)
    _se: np.ndarray = field(repr=False)
    _key: Any = field(repr=False)
    _fit: LmerResult | None = field(repr=False)
    _statistic: Callable[[Any], Any] | None = field(repr=False)

    @property
    def n(self) -> int:
        """Number of replicates."""
        return len(self.replicates.result)

    @property
    def failures(self) -> dict[str, int]:
        """How many replicates did not converge, by what they ended with; they count in no interval."""
        ended, counts = np.unique(self.replicates.result, return_counts=True)
        return {core.RESULTS[int(r)]: int(c) for r, c in zip(ended, counts, strict=True) if r}

    def to_frame(self) -> pd.DataFrame:
        """Return one row a replicate: every parameter, the user's statistic, and `status`."""
        table = pd.DataFrame(self._values, columns=self.estimates.index)
        return table.assign(status=[core.RESULTS[int(r)] for r in self.replicates.result])

    def summary(self) -> pd.DataFrame:
        """Return estimate, bias, standard error and median of each parameter over converged replicates."""
        values = self._converged
        table = pd.DataFrame(
            {
                "estimate": self.estimates,
                "bias": values.mean(axis=0) - self.estimates,
                "std_error": values.std(axis=0, ddof=1),
                "median": np.median(values, axis=0),
            }
        )
        table.attrs["notes"] = self._notes()
        return table

    def conf_int(
        self, alpha: float = 0.05, method: by.Method = "percentile", parm: str = "all"
    ) -> pd.DataFrame:
        """Return confidence intervals with coverage 1 - alpha.

        Parameters
        ----------
        alpha
            One less the coverage.
        method
            `"percentile"`, `"basic"`, `"normal"`, `"studentized"` (fixed effects only) or `"bca"`, which
            fits the model again without each group.
        parm
            `"fixed"`, `"random"` or `"all"`.
        """
        check_alpha(alpha)
        check_choice("method", method, get_args(by.Method))
        check_choice("parm", parm, ("fixed", "random", "all"))
        labels = list(self.estimates.index)
        wanted = chosen(tuple(labels[: len(self._kinds)]), self._kinds, parm)
        wanted += labels[len(self._kinds) :] if parm == "all" else []
        if method == "studentized":
            wanted = [label for label in wanted if label in self._fixed]
        places = [labels.index(label) for label in wanted]
        limits = self._limits(method, places, alpha / 2)
        table = pd.DataFrame(limits.T, index=wanted, columns=["conf_low", "conf_high"])
        table.attrs.update(method=f"{self.kind} bootstrap, {method}", notes=self._notes())
        return table

    def extend(self, n: int, progress: bool = True, mesh: Mesh | None = None) -> Bootstrap:
        """Return a bootstrap with n more replicates: the same as if all had been asked for at once."""
        check_count("n", n)
        fit = self._needed_fit("more replicates")
        more = replicate(fit, self.kind, self._key, self.n, n, progress, mesh)
        extra = np.concatenate([self.extra, _evaluate(self._statistic, more)])
        return replace(self, replicates=joined([self.replicates, more]), extra=extra)

    def save(self, path: str | Path) -> None:
        """Write replicates and estimates to a NumPy archive (.npz); the fit itself is not saved."""
        facts = {"kind": self.kind, "labels": list(self.estimates.index), "kinds": list(self._kinds)}
        numbers = self.replicates._asdict() | {"estimates": self.estimates.to_numpy(), "own_se": self._se}
        with open(path, "wb") as file:
            np.savez_compressed(file, facts=json.dumps(facts), extra=self.extra, **numbers)

    @classmethod
    def load(cls, path: str | Path) -> Bootstrap:
        """Read what `save` wrote; it can be summarised, but neither extended nor used for bca intervals."""
        with np.load(path) as archive:
            facts = json.loads(str(archive["facts"]))
            replicates = Fits(*(archive[name] for name in Fits._fields))
            estimates = pd.Series(archive["estimates"], index=facts["labels"], name="estimate")
            pieces = archive["extra"], tuple(facts["kinds"]), archive["own_se"]
        return cls(facts["kind"], replicates, estimates, *pieces, None, None, None)

    def __repr__(self) -> str:
        ended = f", {sum(self.failures.values())} of them not converged" if self.failures else ""
        return f"{self.kind.capitalize()} bootstrap, {self.n} replicates{ended}\n\n{self.summary()}"

    @property
    def _fixed(self) -> list[str]:
        return chosen(tuple(self.estimates.index[: len(self._kinds)]), self._kinds, "fixed")

    @property
    def _values(self) -> np.ndarray:
        return np.column_stack([self.replicates.sdcor, self.replicates.beta, self.extra])

    @property
    def _converged(self) -> np.ndarray:
        good = self.replicates.result == 0
        if good.sum() < FEWEST:
            raise DataError(
                f"{int(good.sum())} of {self.n} replicates converged; expected {FEWEST} or more, so draw "
                f"more of them, or simplify the model."
            )
        return self._values[good]

    def _limits(self, method: str, places: list[int], a: float) -> np.ndarray:
        values, estimates = self._converged[:, places], self.estimates.to_numpy()[places]
        if method == "studentized":
            own = [self._fixed.index(self.estimates.index[place]) for place in places]
            spread = self.replicates.se[self.replicates.result == 0][:, own]
            return by.studentized(values, spread, estimates, self._se[own], a)
        if method == "bca":
            return by.bca(values, estimates, a, self._jackknife()[:, places])
        simple = {"percentile": by.percentile, "basic": by.basic, "normal": by.normal}
        return simple[method](values, estimates, a)

    def _jackknife(self) -> np.ndarray:
        if self.extra.shape[1]:
            raise DataError(
                "bca intervals need the statistic without each group, which is known for the model's own "
                "parameters only; expected another method, such as 'percentile'."
            )
        left_out = self._needed_fit("bca intervals").influence()
        table = left_out.varcorr.join(left_out.estimates)
        return table.loc[left_out.status == "converged"].to_numpy()

    def _needed_fit(self, purpose: str) -> LmerResult:
        if self._fit is None:
            raise DataError(
                f"This bootstrap was read from a file and has no model; {purpose} need it, so call "
                f"fit.bootstrap again."
            )
        return self._fit

    def _notes(self) -> tuple[str, ...]:
        notes = [f"{count} of {self.n} replicates left out: {why}." for why, count in self.failures.items()]
        if self.kind == "wild":
            notes.append("The wild bootstrap is for fixed effects: it all but keeps the variances.")
        return tuple(notes)


def bootstrap(
    fit: LmerResult,
    n: int,
    key: Any,
    kind: str,
    statistic: Callable[[Any], Any] | None,
    progress: bool,
    mesh: Mesh | None,
) -> Bootstrap:
    """Draw and fit n replicates."""
    check_count("n", n)
    replicates = replicate(fit, kind, key, 0, n, progress, mesh)
    extra = _evaluate(statistic, replicates)
    labels, kinds = parameter_labels(fit.frame, "sdcor")
    own = Fits(
        fit.theta[None],
        fit._estimates.beta[None],
        np.sqrt(np.diagonal(fit._estimates.vcov))[None],
        core.standard_deviations(fit.theta, fit.sigma, fit.stats.blocks)[None],
        np.array([fit.criterion]),
        np.zeros(1, int),
    )
    values = np.column_stack([own.sdcor, own.beta, _evaluate(statistic, own)])[0]
    names = [*labels, *(f"statistic[{i}]" for i in range(extra.shape[1]))]
    estimates = pd.Series(values, index=names, name="estimate")
    return Bootstrap(kind, replicates, estimates, extra, kinds, own.se[0], key, fit, statistic)


def _evaluate(statistic: Callable[[Any], Any] | None, replicates: Fits) -> np.ndarray:
    """Return a user's statistic of every replicate, shape (R, s)."""
    if statistic is None:
        return np.empty((len(replicates.result), 0))
    each = (Fits(*(field[i] for field in replicates)) for i in range(len(replicates.result)))
    return np.array([np.ravel(np.asarray(statistic(one), float)) for one in each])
