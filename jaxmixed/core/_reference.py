"""Tests of beta: a covariance, and the distribution that t and F statistics are referred to.

For one contrast l, t = l'(beta - beta_0) / sqrt(l'V l). For several, with L V L' = P diag(d) P',

    F = sum_m (P'L(beta - beta_0))_m^2 / (q d_m)

over the q directions that are not linear combinations of others. Where V depends on uncertain variance
parameters, 2 (l'V l)^2 / (g'A g) are the degrees of freedom of l'V l by its mean and variance
(Satterthwaite 1946, doi:10.2307/3002019), g being its gradient and A the covariance of the parameters.
"""

import abc
from typing import NamedTuple

from jaxtyping import Float

from ._distributions import f_pvalue, t_pvalue
from ._node import Node
from ._small import eigen, logdet_inverse
from ._triangular import solve_lower, solve_upper
from ._types import Array, Scalar, namespace


class TTest(NamedTuple):
    """t tests of several contrasts, each array of shape (r,); estimates in units of L beta."""

    estimate: Float[Array, " r"]
    std_error: Float[Array, " r"]
    df: Float[Array, " r"]
    statistic: Float[Array, " r"]
    p_value: Float[Array, " r"]


class FTest(NamedTuple):
    """One joint F test. `scale` is the factor of Kenward and Roger that `statistic` includes, else one."""

    statistic: Scalar
    df_num: Scalar
    df_den: Scalar
    p_value: Scalar
    scale: Scalar


class Reference(Node):
    """Estimates of the fixed effects and their covariance, in conditioned coordinates gamma = R beta.

    Attributes
    ----------
    R
        Triangular factor of the weighted X, shape (p, p).
    gamma
        R beta, in units of y, shape (p,).
    covariance
        Covariance of gamma, shape (p, p).
    """

    R: Float[Array, "p p"]
    gamma: Float[Array, " p"]
    covariance: Float[Array, "p p"]

    @property
    def beta(self) -> Float[Array, " p"]:
        """Estimates of the fixed effects."""
        return solve_upper(self.R, self.gamma)

    @property
    def vcov(self) -> Float[Array, "p p"]:
        """Covariance matrix of beta."""
        half = solve_upper(self.R, self.covariance)
        full = solve_upper(self.R, half.T)
        return (full + full.T) / 2

    def t_test(self, L: Float[Array, "r p"], value: Float[Array, " r"] | float = 0.0) -> TTest:
        """Test each row of L by itself: L beta = value.

        Parameters
        ----------
        L
            Contrasts, shape (r, p).
        value
            Hypothetical values, shape (r,).
        """
        C = self._conditioned(L)
        xp = namespace(C, self.gamma)
        estimate = C @ self.gamma
        se = xp.sqrt(_quadratic_forms(C, self.covariance))
        statistic = (estimate - value) / se
        df = self._df(C)
        return TTest(estimate, se, df, statistic, t_pvalue(statistic, df))

    def t_df(self, L: Float[Array, "r p"]) -> Float[Array, " r"]:
        """Return the degrees of freedom of `t_test` alone."""
        return self._df(self._conditioned(L))

    def f_test(self, L: Float[Array, "r p"], value: Float[Array, " r"] | float = 0.0) -> FTest:
        """Test all rows of L jointly: L beta = value; rows may depend on one another.

        Parameters
        ----------
        L
            Hypothesis matrix, shape (r, p).
        value
            Hypothetical values, shape (r,).
        """
        C = self._conditioned(L)
        xp = namespace(C, self.gamma)
        P, d, kept = self._directions(C)
        difference = P.T @ (C @ self.gamma - value)
        C = P.T @ C
        q = kept.sum()
        covariance = C @ self.covariance @ C.T + xp.diag(xp.where(kept, 0.0, 1.0))
        difference = xp.where(kept, difference, 0.0)
        statistic = difference @ logdet_inverse(covariance)[1] @ difference / q
        df, scale = self._joint_df(C, d, kept)
        statistic = statistic * scale
        return FTest(statistic, q, df, f_pvalue(statistic, q, df), scale)

    @abc.abstractmethod
    def _df(self, C: Float[Array, "r p"]) -> Float[Array, " r"]:
        """Return the degrees of freedom of the t test of each contrast of gamma."""

    @abc.abstractmethod
    def _joint_df(self, C: Float[Array, "q p"], d: Float[Array, " q"], kept: Array) -> tuple[Scalar, Scalar]:
        """Return denominator degrees of freedom and scale of F, for contrasts with covariance diag(d)."""

    def _spread(self) -> Float[Array, "p p"]:
        """Return the covariance of gamma that the degrees of freedom are about."""
        return self.covariance

    def _conditioned(self, L):
        """Return C with L beta = C gamma."""
        return solve_lower(self.R.T, L.T).T

    def _directions(self, C):
        """Return eigenvectors and eigenvalues of C V C', and which of these are not zero."""
        xp = namespace(C, self.gamma)
        d, P = eigen(C @ self._spread() @ C.T)
        kept = d > xp.sqrt(xp.finfo(d.dtype).eps) * d.max()
        return P * kept, xp.where(kept, d, 1.0), kept


class KnownDf(Reference):
    """One number of degrees of freedom for every test: infinite (Wald z), or those of the residuals."""

    df: Scalar

    def _df(self, C):
        return namespace(C, self.df).full(len(C), self.df)

    def _joint_df(self, C, d, kept):
        return self.df, namespace(C, self.df).ones(())


class UncertainVariances(Reference):
    """A reference whose degrees of freedom follow from the uncertainty of the variance parameters.

    Attributes
    ----------
    slopes
        Derivatives of the covariance of gamma in the variance parameters, shape (m, p, p).
    uncertainty
        Covariance of the variance parameters, shape (m, m).
    skipped
        Which parameters the data say nothing about, shape (m,); they count as known.
    """

    slopes: Float[Array, "m p p"]
    uncertainty: Float[Array, "m m"]
    skipped: Array

    def _df(self, C):
        xp = namespace(C, self.gamma)
        variance = _quadratic_forms(C, self._spread())
        spread = _quadratic_forms(_quadratic_forms(C, self.slopes).T, self.uncertainty)
        known = spread <= 0
        return xp.where(known, xp.inf, 2 * variance**2 / xp.where(known, 1.0, spread))


class Satterthwaite(UncertainVariances):
    """Satterthwaite's method; for joint tests that of Fai & Cornelius (1996, doi:10.1080/00949659608811740).

    Each direction has an F(1, nu_m) statistic; the denominator of their mean is chosen so that its
    expectation q E, E = mean of nu / (nu - 2), is that of F(q, df): df = 2 E / (E - 1). It is 2 where no
    expectation exists, as in lmerTest (Kuznetsova, Brockhoff & Christensen 2017, doi:10.18637/jss.v082.i13).
    """

    def _joint_df(self, C, d, kept):
        xp = namespace(C, d, self.gamma)
        nu, q = self._df(C), kept.sum()
        nu = xp.where(kept, nu, xp.inf)
        exists = xp.where(kept, nu > 2, True).all()
        safe = xp.where(nu > 2, nu, 3.0)
        excess = xp.where(kept & xp.isfinite(safe), 2 / (safe - 2), 0.0).sum()
        df = xp.where(excess > 0, 2 * (q + excess) / xp.where(excess > 0, excess, 1.0), xp.inf)
        return xp.where(q == 1, xp.where(kept, nu, 0.0).sum(), xp.where(exists, df, 2.0)), xp.ones(())


class KenwardRoger(UncertainVariances):
    """Kenward & Roger's (1997, doi:10.2307/2533558) adjusted covariance, scaled F and its denominator.

    Attributes
    ----------
    unadjusted
        Covariance of gamma before the adjustment, shape (p, p).
    """

    unadjusted: Float[Array, "p p"]

    def _spread(self):
        return self.unadjusted

    def _joint_df(self, C, d, kept):
        xp = namespace(C, d, self.gamma)
        q = kept.sum()
        whitened = C / xp.sqrt(d)[:, None]
        S = xp.einsum("qa,mab,rb->mqr", whitened, self.slopes, whitened)
        traces = xp.einsum("mqq->m", S)
        A1 = traces @ self.uncertainty @ traces
        A2 = xp.einsum("mn,mqr,nrq->", self.uncertainty, S, S)
        return _kenward_roger_df(A1, A2, q, xp)


def _quadratic_forms(C: Float[Array, "r p"], M: Float[Array, "*m p p"]) -> Float[Array, "*m r"]:
    """Return c'Mc of every row c, for one matrix or several."""
    return (C @ M * C).sum(-1)


def _kenward_roger_df(A1, A2, q, xp):
    """Return df and scale from the moments of F, with the limits of Halekoh & Hojsgaard.

    Halekoh & Hojsgaard (2014), doi:10.18637/jss.v059.i09. A2 = 0 means variances known without error.
    """
    known = A2 <= 0
    A2 = xp.where(known, 1.0, A2)
    B = (A1 + 6 * A2) / (2 * q)
    g = ((q + 1) * A1 - (q + 4) * A2) / ((q + 2) * A2)
    c1, c2, c3 = (c / (3 * q + 2 * (1 - g)) for c in (g, q - g, q + 2 - g))
    V0, V1, V2 = 1 + c1 * B, 1 - c2 * B, 1 - c3 * B
    V0 = xp.where(xp.abs(V0) < 1e-10, 0.0, V0)
    shrink = 1 - A2 / q
    ratio = xp.where((xp.abs(shrink) < 1e-14) & (xp.abs(V1) < 1e-14), 1.0, shrink / V1)
    rho = ratio**2 * V0 / V2 / q
    df = 4 + (q + 2) / (q * rho - 1)
    scale = xp.where(xp.abs(df - 2) < 1e-2, 1.0, df * shrink / (df - 2))
    return xp.where(known, xp.inf, df), xp.where(known, 1.0, scale)
