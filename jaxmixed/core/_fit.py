"""Fitting: from sufficient statistics to theta, and from theta to everything else.

theta is unconstrained. The criterion is even in every column of Lambda, so that a variance of zero is
an interior minimum; signs are put right afterwards.
"""

import functools
from typing import NamedTuple, TypeGuard

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from ._average_information import value_gradient_information
from ._covariance import Blocks, is_diagonal, n_theta, positions, rectify
from ._criterion import conditioned_criterion, criterion_of
from ._crossed import Crossed
from ._descent import along
from ._implicit import minimal_value, minimum
from ._iterative import AnyCrossed, IterativeCrossed
from ._lane_derivatives import evaluate as evaluate_lanes, lane_stats
from ._lbfgs import lbfgs
from ._newton import Evaluation, Minimum, newton
from ._one_factor import OneFactor, Patterns
from ._rotations import moved_factors, moves, n_moves
from ._start import default_start
from ._structure import Structure
from ._suffstats import SuffStats, conditioned, unconditioned
from ._types import Array, Scalar, Theta, varying_like

SMALL = 1e-3  # a standard deviation this small, relative to sigma, is tried at zero
NEWTON_LIMIT = 20  # longest theta whose Hessian is formed
EXACT_LIMIT = 64  # widest dense block whose exact Hessian is formed
WRITTEN_OUT = (
    2  # columns of one factor whose derivatives are in closed form: beyond, it takes long to compile
)


class Fit(NamedTuple):
    """The minimum of the criterion.

    Attributes
    ----------
    theta
        Estimate, lme4's order, relative to sigma, diagonal of Lambda not negative, shape (k,).
    criterion
        -2 log likelihood, ML or REML, at the last point evaluated, half a decrement from that at theta.
    gradient, hessian
        Derivatives of the criterion in the conditioned coordinates of theta.
    decrement
        Newton decrement: about twice the distance to the minimum, on the deviance scale.
    steps
        Number of evaluations.
    result
        Index into `RESULTS`; 0 is convergence.
    """

    theta: Theta
    criterion: Scalar
    gradient: Float[Array, " k"]
    hessian: Float[Array, "k k"]
    decrement: Scalar
    steps: Int[Array, ""]
    result: Int[Array, ""]


def fit(stats: SuffStats, reml: bool = True, theta: Theta | None = None) -> Fit:
    """Minimise the criterion over theta.

    A pure function of JAX arrays: jit it, vmap it, differentiate it in the statistics, which are
    differentiable in y, X, z, weights and offset. It never raises; `result` tells how it ended.

    Parameters
    ----------
    stats
        Sufficient statistics, `compress(design)` or `suffstats(design)`.
    reml
        Restricted likelihood (default) or likelihood. Static under `jit`.
    theta
        Where to start, shape (k,); by default at the variances that the method of moments gives.

    Returns
    -------
    Fit
        The estimate and how it was reached.

    Notes
    -----
    theta and the criterion have derivatives of any order, forward and reverse, by the implicit function
    theorem: those of the minimum itself, as exact as the minimum is. A variance that is exactly zero stays
    zero. gradient, hessian and decrement report on the search, and count as constants.

    Examples
    --------
    >>> import numpy as np
    >>> from jaxmixed import core
    >>> group = np.repeat(np.arange(4), 3)
    >>> y, ones = np.array([1.0, 2, 3, 7, 8, 9, 4, 5, 7, 2, 1, 2]), np.ones((12, 1))
    >>> stats = core.compress(core.Design(y, ones, (core.RandomTerm(ones, group, 4, (1,)),)))
    >>> print(core.fit(stats).theta.round(2))
    [2.72]
    """
    stats = jax.tree.map(jnp.asarray, stats)
    constant = jax.tree.map(jax.lax.stop_gradient, stats)
    start = default_start(constant, reml) if theta is None else conditioned(jnp.asarray(theta), constant)
    found = _minimise(constant, reml, varying_like(jax.lax.stop_gradient(start), constant))
    x = minimum(found.x, stats, reml)
    value = minimal_value(found.value, x, stats, reml)
    return Fit(rectify(unconditioned(x, stats), stats.blocks), value, *found[2:])


def _minimise(stats: SuffStats, reml: bool, start: Theta) -> Minimum:
    k = sum(map(n_theta, stats.blocks))
    tolerance = 1e-8 if stats.C.dtype == jnp.float64 else 1e-5

    def vanishing(theta: Theta) -> Bool[Array, " k"]:
        return _vanishing(theta, stats.blocks)

    if k > NEWTON_LIMIT:
        # Steps of BFGS do not square the error as Newton's do, so that its last one must be smaller.
        function = functools.partial(conditioned_criterion, stats=stats, reml=reml)
        return lbfgs(function, start, tolerance=1e-4 * tolerance, vanishing=vanishing)

    structure = stats.structure
    if by_information(structure):

        def approximately(theta: Theta) -> Evaluation:
            return value_gradient_information(theta, structure, stats, reml)

        return newton(approximately, start, tolerance=tolerance, vanishing=vanishing)

    def evaluate(theta: Theta) -> Evaluation:
        return value_gradient_hessian(theta, stats, reml)

    all_entries = moves(stats.blocks)
    found = newton(evaluate, start, tolerance=tolerance, vanishing=vanishing, moves=all_entries)
    return found._replace(gradient=found.gradient[:k], hessian=found.hessian[:k, :k])


def value_gradient_hessian(theta: Theta, stats: SuffStats, reml: bool) -> Evaluation:
    """Return the criterion and its exact derivatives in all entries of Lambda, those of theta first."""
    if isinstance(stats.structure, OneFactor | Patterns) and sum(stats.blocks[0]) <= WRITTEN_OUT:
        return _one_lane(theta, stats, reml)
    return differentiated(theta, stats, reml)


def _one_lane(theta: Theta, stats: SuffStats, reml: bool) -> Evaluation:
    lane = jax.tree.map(lambda leaf: leaf[..., None], stats)
    found = evaluate_lanes(theta[:, None], lane_stats(lane, lane, reml), stats.blocks[0], reml)
    return jax.tree.map(lambda leaf: leaf[..., 0], found)


def differentiated(theta: Theta, stats: SuffStats, reml: bool) -> Evaluation:
    """Return the same by automatic differentiation, for any structure."""

    def value(entries):
        return criterion_of(moved_factors(entries, stats.blocks), stats, reml)

    def gradient(entries):
        value_, slope = jax.value_and_grad(value)(entries)
        return slope, (value_, slope)

    entries = jnp.pad(theta, (0, n_moves(stats.blocks) - len(theta)))
    hessian, (at, slope) = jax.jacfwd(gradient, has_aux=True)(entries)
    return at, slope, hessian


def by_information(structure: Structure) -> TypeGuard[AnyCrossed]:
    """Tell whether the exact Hessian costs too much, and average information takes its place."""
    wide = isinstance(structure, Crossed) and len(structure.A_others) > EXACT_LIMIT
    return wide or isinstance(structure, IterativeCrossed)


def _vanishing(theta: Float[Array, "k *lanes"], blocks: tuple[Blocks, ...]) -> Bool[Array, "k *lanes"]:
    """Tell which small elements to try at zero: diagonal ones, and columns that are small throughout."""
    small = jnp.abs(theta) < SMALL
    offsets = np.cumsum([0, *map(sum, blocks)])
    column = np.concatenate([positions(b)[1] + first for b, first in zip(blocks, offsets[:-1], strict=True)])
    other_column = along(column[:, None] != column[None, :], theta)
    whole_column = (small[None] | other_column).all(1)
    return small & (along(is_diagonal(blocks), theta) | whole_column)
