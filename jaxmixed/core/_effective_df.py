"""How many parameters a mixed model uses up: the trace of d fitted / dy, theta being estimated too.

With everything relative to sigma^2, y - fitted = W^-1 P y, V_a = dV / d theta_a and m_a = y'P V_a P y,

    d fitted / d theta_a          =  W^-1 P V_a P y
    d^2 criterion / d theta_b dy  = -2 dof / pwrss (P V_b P y - P y m_b / pwrss)

and d theta / dy = -H^-1 d^2 criterion / d theta dy at the optimum, H being the Hessian in theta, so that

    df = tr(I - W^-1 P) + 2 dof / pwrss sum_ab (H^-1)_ab (S_ab - t_a m_b / pwrss),
    S_ab = y'P V_a P W^-1 P V_b P y,     t_a = y'P V_a P W^-1 P y.

V_a P y = Z (dPsi / d theta_a) Z'P y has one number a row, and W^-1 P of it is what is left of it when it is
fitted as a response is: no n x n matrix is formed. V_a is zero for variances of zero, which count as known.
"""

from typing import NamedTuple

import equinox as eqx
from jaxtyping import Float

from ._assemble import assemble
from ._conditioning import Conditioned, condition_response
from ._covariance import basis, relative_factors
from ._inference import variance_parameters
from ._plan import Plan
from ._row_variance import row_variance
from ._small import logdet_inverse
from ._structure import Curvature, Factors
from ._suffstats import SuffStats, conditioned
from ._types import Array, Scalar, Theta, namespace, segment_sum


class EffectiveDf(NamedTuple):
    """Effective degrees of freedom of the fitted values.

    Attributes
    ----------
    at_theta
        Sum of the leverages: theta counts as known (Vaida & Blanchard 2005, doi:10.1093/biomet/92.2.351).
    total
        Theta counts as estimated (Greven & Kneib 2010, doi:10.1093/biomet/asq042).
    """

    at_theta: Scalar
    total: Scalar


def effective_df(
    theta: Theta,
    prepared: Conditioned,
    plan: Plan,
    y: Float[Array, " n"],
    reml: bool = True,
    curved: Curvature | None = None,
) -> EffectiveDf:
    """Return the effective degrees of freedom of a fit.

    Parameters
    ----------
    theta
        Fitted relative covariance parameters, shape (k,): the criterion has no slope there.
    prepared, plan
        `condition(design)` and `plan(prepared)`.
    y
        Response, shape (n,).
    reml
        How theta was estimated.
    curved
        `curvature(theta, stats)`, if it is at hand.

    Returns
    -------
    EffectiveDf
        With theta known and with theta estimated; sigma is not counted.

    References
    ----------
    Greven & Kneib (2010), doi:10.1093/biomet/asq042.

    Examples
    --------
    >>> import numpy as np
    >>> from jaxmixed import core
    >>> group = np.repeat(np.arange(4), 3)
    >>> y, ones = np.array([1.0, 2, 3, 7, 8, 9, 4, 5, 7, 2, 1, 2]), np.ones((12, 1))
    >>> prepared = core.condition(core.Design(y, ones, (core.RandomTerm(ones, group, 4, (1,)),)))
    >>> found = core.effective_df(np.array([2.7186]), prepared, core.plan(prepared), y)
    >>> round(float(found.at_theta), 3), round(float(found.total), 3)
    (3.871, 3.957)
    """
    stats = assemble(prepared, plan, y, compress=False)
    theta, stats = conditioned(theta, stats), _in_own_coordinates(stats)
    factors, k = relative_factors(theta, stats.blocks), len(theta)
    u = condition_response(prepared, y).u[:, None]
    r = _residuals(u, factors, prepared, plan)
    F = _slopes(r[:, 0], factors, prepared)
    left = _residuals(F, factors, prepared, plan)
    pwrss, dof = (u * r).sum(), stats.n - stats.p if reml else stats.n
    inverse = variance_parameters(theta, stats, reml, curved).vcov[:k, :k] / 2
    across = left.T @ left - (left.T @ r) * (F.T @ r)[:, 0] / pwrss
    at_theta = row_variance(theta, stats, prepared.Q, prepared.terms).sum()
    return EffectiveDf(at_theta, at_theta + 2 * dof / pwrss * (inverse * across).sum())


def _in_own_coordinates(stats: SuffStats) -> SuffStats:
    """Return the statistics of the conditioned model as of one that needs no conditioning."""
    eye = namespace(stats.C).eye
    maps = eye(stats.p, dtype=stats.C.dtype), tuple(eye(len(T), dtype=T.dtype) for T in stats.T)
    return eqx.tree_at(lambda s: (s.R, s.T), stats, maps)


def _residuals(F: Float[Array, "n v"], factors: Factors, prepared: Conditioned, plan: Plan):
    """Return what is left of each column of F when it is fitted as a response is, rows weighted, (n, v)."""
    xp, p = namespace(F, prepared.Q), prepared.Q.shape[1]
    V = xp.concatenate([prepared.Q, F], axis=1)
    of_levels = plan.attach(V).posterior(factors, V.T @ V)
    schur = of_levels.reduced.schur
    gamma = logdet_inverse(schur[:p, :p])[1] @ schur[:p, p:]
    mixed = xp.concatenate([-gamma, xp.eye(F.shape[1], dtype=F.dtype)])
    left = V @ mixed
    for term, b in zip(prepared.terms, of_levels.modes(mixed), strict=True):
        left = left - xp.einsum("ni,niv->nv", term.z, b[term.codes])
    return left


def _slopes(r: Float[Array, " n"], factors: Factors, prepared: Conditioned) -> Float[Array, "n k"]:
    """Return V_a P y for every element of theta, given W^-1 P y."""
    columns = []
    for term, L in zip(prepared.terms, factors, strict=True):
        E = basis(term.blocks).astype(L.dtype)
        half = E @ L.T
        score = segment_sum(term.z * r[:, None], term.codes, term.n_levels)
        effects = namespace(score, half).einsum("aij,lj->lia", half + half.swapaxes(1, 2), score)
        columns.append(namespace(effects).einsum("ni,nia->na", term.z, effects[term.codes]))
    return namespace(*columns).concatenate(columns, axis=1)
