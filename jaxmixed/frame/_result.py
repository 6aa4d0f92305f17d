"""The fitted model. Methods unpack, call a function, and label what comes back."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jax.sharding import Mesh

from jaxmixed import core

from ._bootstrap import Bootstrap, bootstrap
from ._check import check_new_response, check_residual
from ._confidence import Method, Parm, intervals
from ._data import ModelFrame
from ._estimate import fit_and_read
from ._fixed_part import FixedPart, Robust
from ._profile import Profile, profile
from ._random_part import RandomPart
from ._reduced import require_rows
from ._references import Ddf
from ._replicates import Fits, Kind
from ._rows import Rows
from ._scenario import Params, Scenario, Sizes, of_fit
from ._statistics import FitStatistics, warn_of
from ._summary import Summary, summarise
from ._tidy import glance, tidy


def fit_response(
    frame: ModelFrame,
    y: np.ndarray,
    conditioned: core.Conditioned,
    plan: core.Plan,
    reml: bool,
    offset: Any,
) -> "LmerResult":
    """Fit a model that has been read, conditioned and planned to one response, and warn in words."""
    stats = core.assemble(conditioned, plan, y, compress=True)
    check_residual(float(stats.scale), y, frame.response)
    result = LmerResult(frame, y, reml, offset, conditioned, plan, stats, fit_and_read(stats, reml))
    warn_of(result)
    return result


@dataclass(frozen=True, eq=False, repr=False)
class LmerResult(FixedPart, RandomPart, Rows, FitStatistics):
    """A fitted linear mixed model. Immutable; tables are computed when first asked for."""

    def refit(self, y: Any) -> "LmerResult":
        """Fit the same model to another response for the same rows.

        Parameters
        ----------
        y
            One finite number for each fitted row, shape (nobs,), in the order of `fittedvalues`. The index
            of a Series is not looked at.
        """
        require_rows(self.frame, "refit")
        y = check_new_response(y, self.nobs, self.frame.response, self.frame.design.offset)
        return fit_response(self.frame, y, self._conditioned, self._plan, self.reml, self.offset)

    # Intervals

    def conf_int(
        self, alpha: float = 0.05, method: Method = "satterthwaite", parm: Parm = "fixed"
    ) -> pd.DataFrame:
        """Return confidence intervals with coverage 1 - alpha.

        Parameters
        ----------
        alpha
            One less the coverage.
        method
            `"satterthwaite"`, `"kenward-roger"`, `"wald"`, `"residual"`: estimate -/+ quantile x standard
            error, fixed effects only but for `"wald"`, which gives variance parameters too, on the scales
            where they are most nearly normal, log sd and atanh correlation. `"profile"`: where the
            likelihood ratio test would not reject, for every parameter; by maximum likelihood, as lme4 does.
            `"bootstrap"`: percentiles of 2,000 parametric replicates, always the same; `bootstrap` has more.
        parm
            `"fixed"`, `"random"` (standard deviations, correlations, sigma) or `"all"`.

        Returns
        -------
        pandas.DataFrame
            `conf_low` and `conf_high` by parameter; `.attrs["notes"]` says why a limit is missing or lies on
            the boundary.
        """
        return intervals(self, alpha, method, parm)

    def profile(self, parm: Parm = "all", points: int = 8) -> Profile:
        """Profile the likelihood of every parameter: zeta at `points` values on either side of the estimate.

        Parameters
        ----------
        parm
            `"fixed"`, `"random"` (standard deviations, correlations, sigma) or `"all"`.
        points
            Number of points on either side, out to 99% limits.

        Returns
        -------
        Profile
            `points`, a frame; `conf_int(alpha)`.

        References
        ----------
        Bates, Maechler, Bolker & Walker (2015), section 5.1, doi:10.18637/jss.v067.i01.
        """
        return profile(self, parm, points)

    def bootstrap(
        self,
        n: int,
        key: Any,
        kind: Kind = "parametric",
        statistic: Callable[[Fits], Any] | None = None,
        progress: bool = True,
        mesh: Mesh | None = None,
    ) -> Bootstrap:
        """Fit the model to n replicates of the data.

        Parameters
        ----------
        n
            Number of replicates.
        key
            A seed, or a JAX random key. Replicate i depends on the key and on i alone.
        kind
            `"parametric"`: random effects and residuals from their estimated normal distributions.
            `"residual"`: modes and residuals, reflated to the estimated covariances and drawn with
            replacement. `"case"`: whole clusters drawn with replacement. `"wild"`: the residuals of each
            cluster from the fixed part, turned over at random. The last two need nested factors.
        statistic
            A function of one replicate, with the fields `theta`, `beta`, `se`, `sdcor`, `criterion`, that
            returns a number or several.
        progress
            Whether to show a bar, on terminals. An interrupt ends the bootstrap and keeps the replicates
            that are done.
        mesh
            Devices that share the replicates, a `jax.sharding.Mesh`; by default all of this process. If they
            belong to several processes, each must make the same call, and each returns all replicates.

        Returns
        -------
        Bootstrap
            `conf_int`, `summary`, `to_frame`, `extend`, `save`; `failures` counts what did not converge.

        References
        ----------
        Davison & Hinkley (1997), Bootstrap Methods and their Application; Carpenter, Goldstein & Rasbash
        (2003), doi:10.1111/1467-9876.00415; Modugno & Giannerini (2015), doi:10.1080/03610926.2013.802807.

        Examples
        --------
        >>> import jaxmixed as jm
        >>> fit = jm.lmer("Reaction ~ Days + (1 | Subject)", jm.datasets.load("sleepstudy"))
        >>> boot = fit.bootstrap(1000, key=1)
        >>> boot.n, boot.failures
        (1000, {})
        """
        return bootstrap(self, n, key, kind, statistic, progress, mesh)

    def scenario(
        self, params: Params | None = None, groups: Sizes | None = None, rows: Sizes | None = None
    ) -> Scenario:
        """Return the estimates as true parameters of data to simulate, changed as by `Scenario.change`.

        Examples
        --------
        >>> import jaxmixed as jm
        >>> fit = jm.lmer("Reaction ~ Days + (Days | Subject)", jm.datasets.load("sleepstudy"))
        >>> larger = fit.scenario(params={"Days": 5}, groups={"Subject": 40})
        >>> larger.nobs, larger.ngroups
        (400, {'Subject': 40})
        """
        return of_fit(self).change(params, groups, rows)

    # Tables

    def tidy(
        self,
        effects: str | Iterable[str] = ("fixed", "ran_pars"),
        ddf: Ddf = "satterthwaite",
        alpha: float = 0.05,
        robust: Robust | None = None,
        cluster: Any = None,
    ) -> pd.DataFrame:
        """Return one row for each parameter, in broom.mixed's columns with underscores for dots.

        Parameters
        ----------
        effects
            Which: `"fixed"`, `"ran_pars"` (standard deviations, correlations and sigma, with Wald
            standard errors), `"ran_vals"` (the random effect of every level).
        ddf
            Method of the tests of fixed effects: `"satterthwaite"`, `"kenward-roger"`, `"wald"`,
            `"residual"`.
        alpha
            One less the coverage of `conf_low` and `conf_high`.
        robust, cluster
            Cluster-robust standard errors and degrees of freedom instead, as in `cov_params`.

        Returns
        -------
        pandas.DataFrame
            `.attrs["method"]` names the method, `.attrs["notes"]` says why a number is missing.
        """
        return tidy(self, effects, ddf, alpha, robust, cluster)

    def glance(self) -> pd.DataFrame:
        """Return one row about the model: sizes, likelihood, information criteria, convergence."""
        return glance(self)

    def summary(self, ddf: Ddf = "satterthwaite") -> Summary:
        """Return the fit as text, and as HTML in a notebook; `ddf` as in `tidy`."""
        return summarise(self, ddf)

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()
