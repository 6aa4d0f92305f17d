"""The restricted likelihood ratio test that one variance is zero, by its exact null distribution.

With one random effect a level, of variance lambda sigma^2, let mu_s be the eigenvalues of Z'(W - P)Z, P
projecting on the columns of X, and w_s, s = 1, ..., K, independent standard normal draws. Under lambda = 0

    RLRT ~ sup_lambda { (n - p) log(1 + N / D) - sum_s log(1 + lambda mu_s) },
    N = sum_s lambda mu_s w_s^2 / (1 + lambda mu_s),   D = sum_s w_s^2 / (1 + lambda mu_s) + chi2(n - p - K),

exactly and whatever n (Crainiceanu & Ruppert 2004, doi:10.1111/j.1467-9868.2004.00438.x). The usual mixture
of chi squares holds only as the number of levels grows.

Equal eigenvalues share one chi-squared draw. Z'(W - P)Z is A - B B', with A diagonal and B of p columns, so
that of m levels with equal A_j all but at most p keep it as their eigenvalue: a balanced design costs the
same for any number of levels.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ._criterion import criterion
from ._one_factor import OneFactor
from ._patterns import same_rows
from ._programs import QUICKEST, Program
from ._suffstats import SuffStats
from ._types import Array, Scalar, Theta

NULL = 1e-10  # eigenvalues this small beside the largest are zero
EQUAL = 1e-10  # relative difference of eigenvalues that count as one
SPACING = 0.5  # of the grid over log lambda
MARGIN = 14.0  # how far the grid reaches beyond 1 / mu on either side: e^14 is about a million
REFINEMENTS = 8  # Newton steps, or halvings of the bracket, that follow the grid
BATCH = 2_000_000  # numbers worked on at a time


class Spectrum(NamedTuple):
    """The distinct positive eigenvalues of Z'(W - P)Z.

    Attributes
    ----------
    values
        The eigenvalues, shape (s,).
    counts
        How often each occurs, shape (s,).
    rest
        Degrees of freedom that the random effects leave: n - p less all counts.
    """

    values: Float[Array, " s"]
    counts: Float[Array, " s"]
    rest: Scalar


class ExactRLRT(NamedTuple):
    """The test that a variance is zero.

    Attributes
    ----------
    statistic
        Twice the difference of restricted log likelihoods.
    p_value
        Share of the draws from the null distribution that exceed the statistic, the statistic itself
        counted among them: never zero, however few the draws (Phipson & Smyth 2010,
        doi:10.2202/1544-6115.1585).
    mc_error
        Standard error of `p_value`, from the number of draws being finite.
    n
        Number of draws.
    """

    statistic: float
    p_value: float
    mc_error: float
    n: int


def exact_rlrt(key: jax.Array, theta: Theta, stats: SuffStats, n: int = 10_000) -> ExactRLRT:
    """Test by simulation that the only variance of a model is zero.

    Parameters
    ----------
    key
        JAX key. Draw i uses `fold_in(key, i)`, so that the first draws do not change with n.
    theta
        The REML estimate, relative to sigma, shape (1,).
    stats
        Sufficient statistics of a model with one random effect a level, `suffstats(design)`: every level
        is kept.
    n
        Number of draws.

    Returns
    -------
    ExactRLRT
        Statistic, p value and its Monte Carlo error.

    References
    ----------
    Crainiceanu & Ruppert (2004), doi:10.1111/j.1467-9868.2004.00438.x.

    Examples
    --------
    >>> import jax, numpy as np
    >>> from jaxmixed import core
    >>> from jaxmixed.core._exact_rlrt import exact_rlrt
    >>> group = np.repeat(np.arange(4), 3)
    >>> y, ones = np.array([1.0, 2, 3, 7, 8, 9, 4, 5, 7, 2, 1, 2]), np.ones((12, 1))
    >>> stats = core.suffstats(core.Design(y, ones, (core.RandomTerm(ones, group, 4, (1,)),)))
    >>> test = exact_rlrt(jax.random.key(0), core.fit(stats).theta, stats)
    >>> round(float(test.statistic), 2), test.p_value < 0.001
    (12.03, True)
    """
    null = criterion(np.zeros(1), stats)
    statistic = max(float(null - criterion(np.asarray(theta), stats)), 0.0)
    draws = simulate_null(key, spectrum(stats), n)
    p = float((draws > statistic).sum() + 1) / (n + 1)
    return ExactRLRT(statistic, p, (p * (1 - p) / n) ** 0.5, n)


def spectrum(stats: SuffStats) -> Spectrum:
    """Return the eigenvalues of Z'(W - P)Z, on the scale of z~, level by level without any J x J matrix."""
    structure = stats.structure
    if not isinstance(structure, OneFactor) or structure.A.shape[1:] != (1, 1):
        raise ValueError("The exact test needs one grouping factor with one random effect a level.")
    A, B = np.asarray(structure.A)[:, :, 0], np.asarray(structure.B)[:, 0, :-1]
    first, pattern, sizes = same_rows(A)
    p, values = B.shape[1], A[first, 0]
    levels = np.split(np.argsort(pattern, kind="stable"), np.cumsum(sizes)[:-1])
    R = np.concatenate([B[of] if len(of) <= p else np.linalg.qr(B[of], mode="r") for of in levels])
    diagonal = np.repeat(values, np.minimum(sizes, p))
    coupled = np.linalg.eigvalsh(np.diag(diagonal) - R @ R.T)
    found = np.concatenate([values, coupled])
    often = np.concatenate([np.maximum(sizes - p, 0), np.ones(len(coupled))])
    keep = (often > 0) & (found > NULL * found.max())
    found, often = _merged(found[keep], often[keep])
    return Spectrum(found, often, np.asarray(float(stats.n) - stats.p - often.sum()))


def _merged(values: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Add up the counts of values that are equal but for rounding."""
    order = np.argsort(values)
    values, counts = values[order], counts[order]
    start = np.flatnonzero(np.diff(values, prepend=-np.inf) > EQUAL * values)
    return values[start], np.add.reduceat(counts, start)


def simulate_null(key: jax.Array, spectrum: Spectrum, n: int) -> Float[np.ndarray, " n"]:
    """Draw n statistics from their distribution when the variance is zero, shape (n,)."""
    values = np.asarray(spectrum.values)
    low, high = -np.log(values.max()) - MARGIN, -np.log(values.min()) + MARGIN
    grid = np.linspace(low, high, int(np.ceil((high - low) / SPACING)) + 1)
    batch = int(np.clip(BATCH // (len(grid) + 8 * len(values)), 1, n))
    shared = np.flatnonzero(spectrum.counts > 1)
    index = np.arange(-(-n // batch) * batch)  # whole batches: a part of one would be compiled by itself
    arrays = jax.tree.map(jnp.asarray, (index, spectrum, shared, grid))
    return np.asarray(_compiled(key, *arrays, batch=batch))[:n]


def _draws(key, index, spectrum, shared, grid, *, batch):
    degrees = jnp.append(spectrum.counts[shared] - 1, spectrum.rest)

    def draw(i):
        one, more = jax.random.split(jax.random.fold_in(key, i))
        # a normal draw takes a hundredth of the time of a gamma draw
        squares = jax.random.normal(one, spectrum.values.shape, grid.dtype) ** 2
        extra = 2 * jax.random.gamma(more, degrees / 2, dtype=grid.dtype)
        return supremum(squares.at[shared].add(extra[:-1]), extra[-1], spectrum, grid)

    return jax.lax.map(draw, index, batch_size=batch)


_compiled = Program(_draws, QUICKEST, static=["batch"])


def supremum(chi2: Float[Array, " s"], rest: Scalar, spectrum: Spectrum, grid: Float[Array, " g"]) -> Scalar:
    """Return the largest value over lambda >= 0 of the statistic's expression, at least zero.

    Parameters
    ----------
    chi2
        Draws of sum w^2, one for each eigenvalue.
    rest
        The chi-squared draw that the random effects have no part in.
    spectrum
        Eigenvalues and their counts.
    grid
        log lambda, evenly spaced and wide enough that the maximum lies within.
    """
    mu, counts = spectrum.values, spectrum.counts
    dof, total = counts.sum() + spectrum.rest, chi2.sum() + rest

    def value(x):  # N + D does not depend on lambda
        scaled = jnp.exp(x) * mu
        return -dof * jnp.log1p(-(scaled / (1 + scaled)) @ chi2 / total) - counts @ jnp.log1p(scaled)

    def slopes(x):
        """Return first and second derivative of `value` in log lambda."""
        share = 1 / (1 + jnp.exp(-x) / mu)
        a, b = (share * (1 - share)) @ chi2, (share * (1 - share) * (1 - 2 * share)) @ chi2
        D = total - share @ chi2
        return dof * a / D - counts @ share, dof * (b / D + (a / D) ** 2) - counts @ (share * (1 - share))

    def refine(_, state):
        low, high, x = state
        slope, curvature = slopes(x)
        low, high = jnp.where(slope > 0, x, low), jnp.where(slope > 0, high, x)
        step = x - slope / jnp.where(curvature < 0, curvature, -1.0)
        inside = (curvature < 0) & (step >= low) & (step <= high)
        return low, high, jnp.where(inside, step, (low + high) / 2)

    best = grid[jnp.argmax(jax.vmap(value)(grid))]
    half = grid[1] - grid[0]
    _, _, x = jax.lax.fori_loop(0, REFINEMENTS, refine, (best - half, best + half, best))
    return jnp.maximum(jnp.maximum(value(x), value(best)), 0.0)
