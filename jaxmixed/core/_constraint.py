"""Models with one parameter held at a value, as unconstrained functions of the others.

The likelihood does not care for the order of a term's random effects, nor for which factor of its
covariance is written down. Put the effects concerned first, Lambda = P'L with P a permutation, and

    a standard deviation   sd_1 = sigma L_11                   is held by   L_11 = v / sigma,
    a correlation   corr_21 = L_21 / sqrt(L_21^2 + L_22^2)     is held by   L_21 = b sin w, L_22 = b cos w,

w being its arcsine. sigma is held by itself; holding beta_j adds (v - beta_j)^2 / var(beta_j) to pwrss.
All of these are one function with switches, so that different parameters can be lanes of one batch.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ._covariance import Blocks, is_diagonal, n_theta, pack_all, positions, rectify, relative_factors
from ._criterion import TWO_PI, estimates_of, profile_out, reduce
from ._inference import variance_parameters
from ._structure import Curvature
from ._suffstats import SuffStats
from ._triangular import solve_lower, solve_upper
from ._types import Array, Scalar, Theta, namespace
from ._variance_scales import deviations, on_scale

AWAY = 0.05  # where a relative standard deviation of zero is started from: zero itself may be a saddle


class Constraint(NamedTuple):
    """One parameter, or a batch of them along a leading axis; free parameters are x = (theta, log sigma).

    The parameter is measured by w: a standard deviation in units of the conditioned response, the arcsine of
    a correlation, the logarithm of sigma, or the distance of a fixed effect from its estimate.

    Attributes
    ----------
    orders
        P of each grouping factor, shapes (q, q).
    first, pair, second
        Which element of theta holds L_11 of a standard deviation, L_21 and L_22 of a correlation; ones and
        zeros of shape (k,), all zero if the parameter is of another kind.
    is_sigma, is_beta
        One or zero.
    contrast, centre
        beta_j = contrast'gamma, and its estimate, in conditioned coordinates.
    estimate, step
        w at the optimum, and about how far from it the criterion has risen by one.
    low, high
        Ends of the range of w.
    start
        x at the optimum, shape (k + 1,).
    """

    orders: tuple[Float[Array, "q q"], ...]
    first: Float[Array, " k"]
    pair: Float[Array, " k"]
    second: Float[Array, " k"]
    is_sigma: Scalar
    is_beta: Scalar
    contrast: Float[Array, " p"]
    centre: Scalar
    estimate: Scalar
    step: Scalar
    low: Scalar
    high: Scalar
    start: Float[Array, " m"]


def deviance_of(x: Float[Array, " m"], w: Scalar, held: Constraint, stats: SuffStats) -> Scalar:
    """Return the ML deviance with one parameter held at w, beta profiled out, sigma not.

    Coordinates of x that the constraint makes idle are drawn to where they started.
    """
    xp = namespace(x, w)
    factors, tau = factors_of(x, w, held, stats.blocks)
    reduced = stats.structure.reduce(_conditioned(factors, stats), stats.C)
    profiled = profile_out(reduced.schur)
    short, variance = _shortfall(profiled, w, held)
    pwrss = profiled.pwrss + held.is_beta * short**2 / variance
    idle = xp.concatenate([held.first + held.pair, held.is_sigma[None]]) * (x - held.start)
    log_scale = tau + xp.log(stats.scale) + np.log(TWO_PI) / 2
    return (
        reduced.logdet - stats.log_weights + 2 * stats.n * log_scale + pwrss * xp.exp(-2 * tau) + idle @ idle
    )


def parameters_of(
    x: Float[Array, " m"], w: Scalar, held: Constraint, stats: SuffStats
) -> Float[Array, " all"]:
    """Return standard deviations and correlations in theta's order, sigma and beta, in units of y."""
    xp = namespace(x, w)
    factors, tau = factors_of(x, w, held, stats.blocks)
    profiled = profile_out(stats.structure.reduce(_conditioned(factors, stats), stats.C).schur)
    short, variance = _shortfall(profiled, w, held)
    gamma = profiled.gamma + held.is_beta * profiled.inverse @ held.contrast * short / variance
    psi = [(L @ L.T)[positions(b)] for L, b in zip(factors, stats.blocks, strict=True)]
    variances = (xp.exp(tau) * stats.scale) ** 2 * xp.concatenate([*psi, xp.ones(1, x.dtype)])
    beta = solve_upper(stats.R, stats.gamma_ols + stats.scale * gamma)
    return xp.concatenate([deviations(variances, stats.blocks)[0], beta])


def _conditioned(factors, stats: SuffStats):
    return [T @ factor for T, factor in zip(stats.T, factors, strict=True)]


def _shortfall(profiled, w, held: Constraint):
    """Return how far beta_j is from where it is held, and its variance."""
    short = w + held.centre - held.contrast @ profiled.gamma
    return short, held.contrast @ profiled.inverse @ held.contrast + 1 - held.is_beta


def factors_of(x: Float[Array, " m"], w: Scalar, held: Constraint, blocks: tuple[Blocks, ...]):
    """Return Lambda of each factor (not triangular) and log sigma, in units of the conditioned response."""
    xp = namespace(x, w)
    tau = xp.where(held.is_sigma > 0, w, x[-1])
    b = held.second @ x[:-1]
    theta = x[:-1] * (1 - held.first - held.pair - held.second)
    theta = theta + held.first * w * xp.exp(-tau) + held.pair * b * xp.sin(w) + held.second * b * xp.cos(w)
    factors = relative_factors(theta, blocks)
    return [P.T @ L for P, L in zip(held.orders, factors, strict=True)], tau


def crossed_over(x: Float[Array, " m"], held: Constraint) -> Array:
    """Tell whether a held correlation has changed its sign, by L_22 having passed through zero."""
    # L_11 comes right before L_21 in theta.
    xp = namespace(x)
    before = xp.concatenate([held.pair[1:], xp.zeros(1, held.pair.dtype)])
    return (held.second @ x[:-1]) * (before @ x[:-1]) < 0


def constraints(theta: Theta, stats: SuffStats, curved: Curvature) -> list[Constraint]:
    """Return a constraint for each variance parameter in theta's order, sigma, and each fixed effect.

    Parameters
    ----------
    theta
        The maximum likelihood estimate, shape (k,); NumPy.
    stats
        Sufficient statistics, NumPy.
    curved
        `curvature(theta, stats)`.
    """
    reduced = reduce(theta, stats)
    found, profiled = estimates_of(reduced, stats, reml=False), profile_out(reduced.schur)
    tau = np.log(found.sigma / stats.scale)
    scaled = on_scale(variance_parameters(theta, stats, False, curved), stats.blocks, "sdcor")
    se = np.sqrt(np.diagonal(scaled.vcov))
    k, p = len(theta), stats.p
    zero, none = np.zeros(()), np.zeros(k)
    plain = Constraint(
        tuple(np.eye(sum(b)) for b in stats.blocks),
        *(none, none, none, zero, zero, np.zeros(p), zero),
        *(
            zero,
            np.ones(()),
            np.full((), -np.inf),
            np.full((), np.inf),
            np.append(_away(theta, stats.blocks), tau),
        ),
    )
    held, place = [], 0
    factors = relative_factors(theta, stats.blocks)
    for t, b in enumerate(stats.blocks):
        for row, column in zip(*positions(b), strict=True):
            value, error = scaled.values[place], se[place]
            held.append(_of_covariance(plain, factors, stats, t, int(row), int(column), value, error))
            place += 1
    error = se[-1] / found.sigma
    held.append(plain._replace(is_sigma=np.ones(()), estimate=tau, step=np.asarray(error)))
    for e, variance in zip(np.eye(p), np.diagonal(found.vcov), strict=True):
        contrast = solve_lower(stats.R.T, e)
        centre, step = contrast @ profiled.gamma, np.sqrt(variance) / stats.scale
        held.append(plain._replace(is_beta=np.ones(()), contrast=contrast, centre=centre, step=step))
    return held


def _of_covariance(plain: Constraint, factors, stats: SuffStats, t: int, row: int, column: int, value, error):
    """Hold one standard deviation (row == column) or one correlation of the random effects of term t."""
    blocks = stats.blocks
    b, q = blocks[t], sum(blocks[t])
    start = int(np.searchsorted(np.cumsum(b), row, side="right"))
    first = sum(b[:start])
    moved = list(dict.fromkeys([column, row, *range(first, first + b[start])]))
    order = [*range(first), *moved, *range(first + b[start], q)]
    P = np.eye(q)[order]
    reordered = [P @ L if s == t else L for s, L in enumerate(factors)]
    triangular = rectify(pack_all([np.linalg.qr(L.T)[1].T for L in reordered], blocks), blocks)
    x = np.append(_away(triangular, blocks), plain.start[-1])
    orders = tuple(P if s == t else same for s, same in enumerate(plain.orders))
    before = sum(map(n_theta, blocks[:t])) + n_theta(b[:start])
    unit = np.eye(len(x) - 1)
    if row == column:
        step = error if np.isfinite(error) else 0.3 * float(np.exp(plain.start[-1])) * stats.scale
        numbers = np.array([value, step]) / stats.scale
        return plain._replace(
            orders=orders, first=unit[before], estimate=numbers[0], step=numbers[1], low=np.zeros(()), start=x
        )
    angle = np.arcsin(np.clip(value, -1, 1))
    step = error / np.sqrt(1 - value**2) if np.isfinite(error) else 0.3
    end = np.asarray(np.pi / 2)
    size = np.hypot(x[before + 1], x[before + b[start]])
    x[before + b[start]] = size
    return plain._replace(
        orders=orders,
        pair=unit[before + 1],
        second=unit[before + b[start]],
        estimate=angle,
        step=np.asarray(step),
        low=-end,
        high=end,
        start=x,
    )


def _away(theta: Theta, blocks: tuple[Blocks, ...]) -> Theta:
    """Move standard deviations of zero off zero."""
    return np.where(is_diagonal(blocks) & (np.abs(theta) < AWAY), AWAY, theta)
