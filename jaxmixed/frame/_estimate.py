"""The compiled programs behind a fit, run in float64 whatever the caller's configuration."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmixed import core

from ..core._covariance import n_theta
from ..core._fit import WRITTEN_OUT
from ..core._one_kernel import Layout, OneKernel, laid_out, pack
from ..core._programs import QUICK, QUICKEST, Program
from ..core._suffstats import conditioned
from ..core._triangular import UNROLLED
from ._errors import DataError

OPTIONS = {True: QUICKEST, False: QUICK}  # of XLA, by whether loops are short
AT_ONCE = 20_000_000  # numbers in the statistics of all the lanes that run side by side
SMALL = 10_000  # numbers in the statistics, up to which loops are short
KEPT = 256  # shapes, each with the choice of its program
IN_ONE_KERNEL = 2_000  # numbers in the statistics, up to which calling kernels takes longer than running them


class Found(NamedTuple):
    """A minimum of the criterion: NumPy arrays.

    Attributes
    ----------
    optimum
        The minimum.
    conditioned
        Its theta in conditioned coordinates, which the scale of covariates does not change, shape (k,).
    estimates
        What is estimated there, if it cost next to nothing to read.
    """

    optimum: core.Fit
    conditioned: np.ndarray
    estimates: core.Estimates | None


def estimate(stats: core.SuffStats, reml: bool) -> core.Fit:
    """Minimise the criterion and return NumPy; compiled once for every shape of the statistics."""
    return fit_and_read(stats, reml).optimum


def fit_and_read(stats: core.SuffStats, reml: bool) -> Found:
    """Minimise the criterion, and return what was estimated too where it costs next to nothing."""
    return minimum(ready(stats), reml)


class Choice(NamedTuple):
    """How statistics of some shape are fitted.

    Attributes
    ----------
    program
        Takes statistics, packed for one kernel, and `reml`, and returns what `_packed` does.
    k, p
        Numbers of variance parameters and of fixed effects.
    reads
        Whether the program reads the estimates too.
    """

    program: Callable[..., jax.Array]
    k: int
    p: int
    reads: bool


@functools.lru_cache(KEPT)
def choice(layout: Layout) -> Choice:
    """Choose the program for a shape of statistics."""
    stats = layout.shapes
    k, size = sum(map(n_theta, stats.blocks)), core.numbers_in(stats)
    reads = size <= SMALL and not isinstance(stats.structure, core.AnyCrossed)
    if not reads:
        return Choice(_alone[size <= SMALL], k, stats.p, reads)
    # Longer sums are better left to libraries.
    narrow = stats.p <= UNROLLED and max(map(sum, stats.blocks)) <= WRITTEN_OUT
    return Choice(_in_one_kernel if narrow and size <= IN_ONE_KERNEL else _with_estimates, k, stats.p, reads)


class Ready(NamedTuple):
    """Statistics in the form in which a program takes them."""

    choice: Choice
    arguments: Any


def ready(stats: core.SuffStats) -> Ready:
    """Choose a program, and bring statistics into its form."""
    leaves, layout = laid_out(stats)
    chosen = choice(layout)
    return Ready(chosen, pack(leaves, layout) if chosen.program is _in_one_kernel else stats)


def minimum(ready: Ready, reml: bool) -> Found:
    """Do as `fit_and_read`."""
    program, k, p, reads = ready.choice
    with jax.enable_x64(True):
        packed = np.asarray(program(ready.arguments, reml=reml))
    optimum, rest = _unpacked(packed[k:], k)
    return Found(optimum, packed[:k], _estimates(rest, p) if reads else None)


def _packed(stats: core.SuffStats, reml: bool, reads: bool = False) -> jax.Array:
    """Fit, and return all numbers in one array: bringing each back by itself costs as much as the fit."""
    fit = core.fit(stats, reml)
    parts = [conditioned(fit.theta, stats), *fit, *(core.estimates(fit.theta, stats, reml) if reads else ())]
    return jnp.concatenate([jnp.ravel(part).astype(stats.C.dtype) for part in parts])


def _packed_with_estimates(stats: core.SuffStats, reml: bool) -> jax.Array:
    return _packed(stats, reml, reads=True)


_in_one_kernel = OneKernel(_packed_with_estimates, ["reml"])
_with_estimates = Program(_packed_with_estimates, QUICKEST, ["reml"])
_alone = {small: Program(_packed, OPTIONS[small], ["reml"]) for small in OPTIONS}  # by size


def _unpacked(packed: np.ndarray, k: int) -> tuple[core.Fit, np.ndarray]:
    """Take the fit out of a row of numbers that begins with it, and return what follows too."""
    theta, criterion, gradient = packed[:k], packed[k], packed[k + 1 : 2 * k + 1]
    end = 2 * k + 1 + k * k
    hessian = packed[2 * k + 1 : end].reshape(k, k)
    decrement, steps, result = packed[end : end + 3]
    fit = core.Fit(theta, criterion, gradient, hessian, decrement, np.int64(steps), np.int64(result))
    return fit, packed[end + 3 :]


def _estimates(numbers: np.ndarray, p: int) -> core.Estimates:
    return core.Estimates(numbers[:p], numbers[p:-2].reshape(p, p), numbers[-2], numbers[-1])


def curvature(theta: np.ndarray, stats: core.SuffStats) -> core.Curvature:
    """Differentiate log|V| and S twice: at once where there is a closed form, else by a compiled program."""
    if not isinstance(stats.structure, core.Nested | core.NestedPatterns):
        return core.curvature(theta, stats)
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, _compiled_curvature(theta, stats))


_compiled_curvature = Program(core.curvature, QUICKEST)


def profile_points(
    held: core.Constraint, targets: np.ndarray, lowest: float, stats: core.SuffStats
) -> core.Point:
    """Find many points of profiles, lanes of one program: as many at once as memory allows."""
    size = core.numbers_in(stats)
    with jax.enable_x64(True):
        batch = min(len(targets), max(1, AT_ONCE // size))
        return jax.tree.map(np.asarray, _compiled_points(held, targets, lowest, stats, batch=batch))


def _points(
    held: core.Constraint, targets: np.ndarray, lowest: float, stats: core.SuffStats, batch: int
) -> core.Point:
    def point(lane):
        return core.profile_point(lane[0], lane[1], lowest, stats)

    return jax.lax.map(point, (held, targets), batch_size=batch)


_compiled_points = Program(_points, QUICKEST, ["batch"])


def simulate(
    design: core.Design, theta: np.ndarray, beta: np.ndarray, sigma: float, n: int, key: Any
) -> np.ndarray:
    """Draw n responses, shape (n, rows), from a seed or a JAX key."""
    with jax.enable_x64(True):
        key = as_key(key)
        return np.asarray(_compiled_draws(key, jnp.arange(n), design, theta, beta, sigma))


def _draws(
    key: jax.Array,
    index: jax.Array,
    design: core.Design,
    theta: np.ndarray,
    beta: np.ndarray,
    sigma: float,
) -> jax.Array:
    def draw(i):
        return core.simulate(jax.random.fold_in(key, i), design, theta, beta, sigma)

    return jax.vmap(draw)(index)


_compiled_draws = Program(_draws)


def as_key(key: Any) -> jax.Array:
    """Return a JAX random key, made from a seed or given."""
    if isinstance(key, int | np.integer) and not isinstance(key, bool):
        return jax.random.key(key)
    if isinstance(key, jax.Array) and (jnp.issubdtype(key.dtype, jax.dtypes.prng_key) or key.shape == (2,)):
        return key
    raise DataError(f"key is {key!r}; expected a whole number as seed, or a key made by jax.random.key.")
