"""Cluster-robust covariance of beta: a sandwich filled with what the residuals of each cluster say.

With r = y - offset - X beta, M = (X'V^-1X)^-1 and J independent clusters of rows,

    vcov = M (sum_j g_j g_j') M,     g_j = X_j'V_j^-1 A_j r_j

estimates the covariance of beta though V be wrong (Liang & Zeger 1986, doi:10.1093/biomet/73.1.13).
Residuals are smaller than errors, for which A_j makes up:

    CR0: I,     CR1: sqrt(J / (J - 1)) I,     CR2: D_j'(D_j B_j D_j')^{+1/2} D_j

with V_j = D_j'D_j and B_j = V_j - X_j M X_j', the covariance of r_j if V is right. CR2 is unbiased then, for
A_j B_j A_j = V_j unless B_j is singular (Bell & McCaffrey 2002, Survey Methodology 28, 169-181; Pustejovsky
& Tipton 2018, doi:10.1080/07350015.2016.1247004).

CR0 and CR1 need V^-1[X r], which the conditional modes give for all rows at once.
"""

from typing import Literal, NamedTuple, get_args

import jax
import numpy as np
from jaxtyping import Float

from ._assemble import assemble, plan
from ._conditioning import condition, condition_response
from ._criterion import profile_out
from ._design import Design, RandomTerm
from ._nested_plan import nesting_order
from ._ranef import posterior
from ._sandwich_cr2 import Influence, cr2
from ._suffstats import conditioned_factors
from ._triangular import solve_lower, solve_upper
from ._types import Codes, Theta, segment_sum

SandwichKind = Literal["CR0", "CR1", "CR2"]


class Sandwich(NamedTuple):
    """Fixed effects, their cluster-robust covariance, and its distribution if V is right.

    c'vcov c is then a sum of independent chi-squares, weighted in proportion to the eigenvalues of the J x J
    matrix P_ij = [i = j] a'own_i a - a'shared_i shared_j'a with a = R^-T c.

    Attributes
    ----------
    beta, vcov
        Fixed effects, shape (p,), in units of y per unit of X, and their covariance, shape (p, p).
    R
        Triangular factor of the weighted X, shape (p, p).
    own, shared
        What each cluster's errors add to vcov, and what the estimate of beta takes away, shape (J, p, p).
    """

    beta: Float[np.ndarray, " p"]
    vcov: Float[np.ndarray, "p p"]
    R: Float[np.ndarray, "p p"]
    own: Float[np.ndarray, "J p p"]
    shared: Float[np.ndarray, "J p p"]


def sandwich(design: Design, theta: Theta, kind: SandwichKind, cluster: Codes | None = None) -> Sandwich:
    """Return beta and its cluster-robust covariance at theta.

    It depends on theta alone, not on sigma or whether theta is from ML or REML. NumPy arrays only.

    Parameters
    ----------
    design
        Response, fixed-effects matrix of full column rank, and random terms.
    theta
        Relative covariance parameters, shape (k,).
    kind
        "CR0", "CR1", or "CR2", the one for few clusters. CR2 decomposes matrices of as many rows as a cluster
        has; without weights, of no more than it has random effects and [X y] has columns.
    cluster
        Cluster of each row, any integers, shape (n,). Default: the grouping factor that holds all others.

    Raises
    ------
    ValueError
        If there are fewer than two clusters, if clusters share a random effect, or if grouping factors are
        crossed and no cluster is given.

    References
    ----------
    Liang & Zeger (1986), doi:10.1093/biomet/73.1.13; Pustejovsky & Tipton (2018),
    doi:10.1080/07350015.2016.1247004.

    Examples
    --------
    >>> import numpy as np
    >>> from jaxmixed import core
    >>> y, ones = np.array([1.0, 2, 3, 7, 8, 9, 4, 5, 7, 2, 1, 2]), np.ones((12, 1))
    >>> design = core.Design(y, ones, (core.RandomTerm(ones, np.repeat(np.arange(4), 3), 4, (1,)),))
    >>> robust = core.sandwich(design, np.array([2.85]), "CR2")
    >>> robust.beta, robust.vcov.round(3), core.sandwich_df(np.eye(1), robust)
    (array([4.25]), array([[2.248]]), array([3.]))
    """
    if kind not in get_args(SandwichKind):
        raise ValueError(f"kind is {kind!r}; expected one of {', '.join(get_args(SandwichKind))}.")
    design, theta = jax.tree.map(np.asarray, (design, theta))
    prepared = condition(design)
    stats = assemble(prepared, plan(prepared), design.y, compress=False)
    cluster, J = _clusters(design.terms, cluster)
    of_levels = posterior(theta, stats)
    _, M, gamma, _ = profile_out(of_levels.reduced.schur)
    residual = np.eye(stats.p + 1, dtype=gamma.dtype)
    residual[:-1, -1] = -gamma
    Qr = np.column_stack([prepared.Q, condition_response(prepared, design.y).u]) @ residual
    if kind == "CR2":
        influence = cr2(Qr, prepared, conditioned_factors(theta, stats), M, cluster, J)
    else:
        influence = _unadjusted(Qr, prepared.terms, of_levels.modes(residual), M, cluster, J)
    half = solve_upper(stats.R, stats.scale * influence.gamma.T)
    vcov = half @ half.T * (J / (J - 1) if kind == "CR1" else 1)
    beta = solve_upper(stats.R, stats.gamma_ols + stats.scale * gamma)
    return Sandwich(beta, vcov, stats.R, influence.own, influence.shared)


def sandwich_df(contrasts: Float[np.ndarray, "r p"], robust: Sandwich) -> Float[np.ndarray, " r"]:
    """Return Satterthwaite's degrees of freedom of each contrast c'beta, (tr P)^2 / tr(P^2).

    They are those of a multiple of chi-square with the mean and the variance that c'vcov c has if V is right;
    refer t = c'beta / sqrt(c'vcov c) to them.

    Parameters
    ----------
    contrasts
        A contrast a row, shape (r, p).
    robust
        What `sandwich` returned.

    Returns
    -------
    Float[np.ndarray, " r"]
        NaN where tr P is zero: c'beta rests on clusters that beta fits exactly.

    References
    ----------
    Bell & McCaffrey (2002); Pustejovsky & Tipton (2018), doi:10.1080/07350015.2016.1247004.

    Examples
    --------
    >>> import numpy as np
    >>> from jaxmixed import core
    >>> day, group = np.tile(np.arange(3.0), 4), np.repeat(np.arange(4), 3)
    >>> y, X = np.array([1.0, 2, 3, 7, 8, 9, 4, 5, 7, 2, 1, 2]), np.column_stack([day**0, day])
    >>> design = core.Design(y, X, (core.RandomTerm(X[:, :1], group, 4, (1,)),))
    >>> core.sandwich_df(np.array([[0.0, 1.0]]), core.sandwich(design, np.array([2.85]), "CR2"))
    array([3.])
    """
    a = solve_lower(robust.R.T, contrasts.T)
    own = ((robust.own @ a) * a).sum(1)
    H = robust.shared.mT @ a  # P = diag(own) - H H', H being J x p for each contrast
    lost = (H**2).sum(1)
    squares = (own * (own - 2 * lost)).sum(0) + (np.einsum("jpr,jqr->rpq", H, H) ** 2).sum((1, 2))
    trace, total = (own - lost).sum(0), own.sum(0)
    varies = trace > np.sqrt(np.finfo(total.dtype).eps) * total
    return np.where(varies, trace**2 / np.where(varies, squares, 1), np.nan)


def _clusters(terms: tuple[RandomTerm, ...], cluster: Codes | None) -> tuple[Codes, int]:
    """Return clusters numbered from zero and how many there are; none may share a random effect."""
    order = nesting_order(terms)
    if cluster is None and order is None:
        raise ValueError("No grouping factor holds all others (they are crossed); say which `cluster` does.")
    given = np.asarray(terms[order[-1]].codes if cluster is None and order else cluster)
    if given.shape != (n := len(terms[0].codes),):
        raise ValueError(f"cluster has shape {given.shape}, but the design has {n} rows; expected ({n},).")
    labels, codes = np.unique(given, return_inverse=True)
    if len(labels) < 2:
        raise ValueError(f"Found {len(labels)} cluster; a robust covariance needs two, and better many.")
    for t, term in enumerate(terms):
        home = np.zeros(term.n_levels, int)
        home[term.codes] = codes
        if (split := home[term.codes] != codes).any():
            raise ValueError(
                f"Level {term.codes[split][0]} of terms[{t}] is in several clusters; rows that share a random"
                " effect must share a cluster. Choose clusters that hold every level whole."
            )
    return codes, len(labels)


def _unadjusted(Qr, terms, modes, M, cluster, J) -> Influence:
    """Take A_j = I, and V_j^-1 x = x - Z_j b(x), b(x) being the conditional modes for a response x."""
    solved = Qr.copy()
    for term, b in zip(terms, modes, strict=True):
        for i, z in enumerate(term.z.T):
            solved -= z[:, None] * b[term.codes, i]
    products = np.stack([segment_sum(Qr * x[:, None], cluster, J) for x in solved.T], axis=-1)
    half = M @ products[:, :-1, :-1]
    return Influence(products[:, :-1, -1] @ M, half @ M, half @ np.linalg.cholesky(M))
