"""This package, asked as the others are."""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np

import jaxmixed as jm
from jaxmixed import core
from jaxmixed.frame._estimate import Ready, minimum, ready

from .._rows import FORMULA, TRUTH, rows
from . import _floors, _scaled
from ._base import BETA, FIRST, ROOT, SIGMA, SIZES, Engine

# To hand over a small fit takes longer than to do it.
jax.config.update("jax_cpu_enable_async_dispatch", False)


class Package(Engine):
    distribution = "jaxmixed"

    def where(self) -> str:
        device = jax.devices()[0]
        return "" if device.platform == "cpu" else f" on {device.device_kind}"

    def fit_to(self, data: Any) -> jm.LmerResult:
        return jm.lmer(self.formula, data)

    def answer(self, fit: jm.LmerResult) -> dict[str, Any]:
        beta = fit.params
        return {"criterion": fit.criterion, "beta": beta, "se": fit.bse, "names": beta.index}

    @functools.cached_property
    def stats(self) -> core.SuffStats:
        with jax.enable_x64(True):
            return jax.device_put(self.fit.stats)

    @functools.cached_property
    def ready(self) -> Ready:
        return ready(self.fit.stats)

    def optimiser(self) -> dict[str, Any]:
        return {"criterion": minimum(self.ready, True).optimum.criterion}

    @functools.cached_property
    def slope(self) -> Any:
        return jax.jit(jax.grad(core.criterion))

    def gradient(self) -> dict[str, Any]:
        with jax.enable_x64(True):
            return {"gradient": np.asarray(self.slope(np.array([1.0, 0.0, 1.0]), self.stats))}

    def refit(self) -> dict[str, Any]:
        return self.answer(self.fit.refit(self.other))

    @property
    def fresh(self) -> jm.LmerResult:
        """The same fit without what was computed from it before."""
        return dataclasses.replace(self.fit)

    def kenward_roger(self) -> dict[str, Any]:
        table = self.fresh.tidy("fixed", ddf="kenward-roger")
        return {
            "df": table["df"].to_numpy(),
            "se": table["std_error"].to_numpy(),
            "names": list(table["term"]),
        }

    def satterthwaite(self) -> dict[str, Any]:
        df = self.fresh.df
        return {"df": df.to_numpy(), "names": list(df.index)}

    def profile(self) -> dict[str, Any]:
        limits = self.fresh.conf_int(method="profile", parm="all").to_numpy()
        p = len(self.fit.params)
        return {"limits": np.vstack([limits[p:], limits[:p]])}

    def prediction(self) -> dict[str, Any]:
        table = self.fresh.predict(interval="prediction")
        return {"width": float((table["conf_high"] - table["conf_low"]).mean())}

    def bootstrap(self, n: int) -> dict[str, Any]:
        found = self.fresh.bootstrap(n, key=1, progress=False)
        return {"boot_se": np.std(found.replicates.beta, axis=0, ddof=1)}

    def responses(self, n: int) -> dict[str, Any]:
        formula = self.formula.removeprefix(self.response).strip()
        found = jm.fit_many(formula, self.data, self.responses_there[:n].T, progress=False)
        return {"criteria": found.criterion.to_numpy()[:FIRST]}

    def sets(self, n: int) -> dict[str, Any]:
        found = jm.fit_by(self.formula, self.data, by="set", progress=False)
        assert len(found) == n, f"{len(found)} data sets, expected {n}"
        return {"criteria": found.criterion.to_numpy()[:FIRST]}

    def power(self, n: int) -> dict[str, Any]:
        """A curve over all sizes, from a scenario: designs, draws, fits, tests."""
        sd = np.sqrt(np.sum(ROOT**2, axis=1))
        truth = dict(zip(("Intercept", "Days"), BETA, strict=True))
        truth |= {"sd(Intercept | Subject)": sd[0], "sd(Days | Subject)": sd[1], "sigma": SIGMA}
        truth |= {"cor(Intercept, Days | Subject)": ROOT[0] @ ROOT[1] / sd.prod()}
        design = jm.make_design(Subject=SIZES[0], Days=range(10))
        scenario = jm.scenario(self.formula, design, truth)
        curve = jm.power_curve(scenario, n, 1, groups={"Subject": SIZES}, progress=False).to_frame()
        return {"rejected": (curve["power"] * n).to_numpy(), "each": n}

    def stream(self, n: int) -> dict[str, Any]:
        """Fit rows that are made as they are read; their making, twice, is in the time."""
        fit = jm.lmer(FORMULA, lambda: rows(n))
        return {
            "off": float(
                np.max(np.abs(fit.params[list(TRUTH)] - list(TRUTH.values())) / fit.bse[list(TRUTH)])
            )
        }

    def scaled(self, axis: str, n: int) -> dict[str, Any]:
        """Fit data of one size, kept until another is asked for."""
        if self.kept[:2] != (axis, n):
            self.kept = (axis, n, getattr(_scaled, axis)(n))
        self.kept[2]()
        return {}

    kept: tuple = ("", 0, None)
    scale_rows = functools.partialmethod(scaled, "rows")
    scale_groups = functools.partialmethod(scaled, "groups")
    scale_patterns = functools.partialmethod(scaled, "patterns")
    scale_crossed_levels = functools.partialmethod(scaled, "crossed_levels")

    def scale_replicates(self, n: int) -> dict[str, Any]:
        return self.bootstrap(n)

    def floor_of(self, task: str, n: int) -> dict[str, float]:
        """Return flops and bytes of a task, and those of a second on this machine."""
        floor = {
            "bootstrap": lambda: _floors.of_replicates(self.fit, n),
            "power": lambda: _floors.of_replicates(self.fit, n * len(SIZES)),
            "responses": lambda: _floors.of_responses(self.fit, n),
            "lmer": lambda: _floors.of_dense_block(self.fit),
            "stream": lambda: _floors.of_rows(n, 4, 6),
        }[task]()
        return floor | {f"{unit}_a_second": rate for unit, rate in _floors.rates().items()}
