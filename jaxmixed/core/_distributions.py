"""Tail probabilities of t and F; infinite degrees of freedom mean normal and chi-square.

    P(|t_d| > t) = I_x(d/2, 1/2),  x = d / (d + t^2)        P(F > f) = I_x(d2/2, d1/2),  x = d2 / (d2 + d1 f)

with I the regularised incomplete beta function.
"""

import jax
import jax.numpy as jnp
import jax.scipy.special as jax_special
import numpy as np
import scipy.special as special

from ._types import Array, namespace


def t_pvalue(statistic: Array, df: Array) -> Array:
    """Return the two-sided p value of a t statistic."""
    return f_pvalue(statistic**2, 1.0, df)


def f_pvalue(statistic: Array, df_num: Array, df_den: Array) -> Array:
    """Return the upper tail probability of an F statistic."""
    xp = namespace(statistic, df_num, df_den)
    betainc, gammaincc = (
        (special.betainc, special.gammaincc) if xp is np else (_betainc, jax_special.gammaincc)
    )
    statistic, df_num, df_den = xp.broadcast_arrays(
        *(xp.asarray(a, xp.result_type(float, statistic)) for a in (statistic, df_num, df_den))
    )
    finite = xp.isfinite(df_den)
    df = xp.where(finite, df_den, 1.0)
    x = df / (df + df_num * statistic)
    limit = gammaincc(df_num / 2, df_num * statistic / 2)
    tail = xp.where(finite, betainc(df / 2, df_num / 2, x), limit)
    return xp.where(xp.isnan(df_den) | xp.isnan(statistic), xp.nan, tail)


STEP = 1e-3  # relative, of the differences below: their error is of order STEP^4


@jax.custom_jvp
def _betainc(a, b, x):
    """Return the regularised incomplete beta function; JAX's own has no derivatives in a and b."""
    return jax_special.betainc(a, b, x)


@_betainc.defjvp
def _(primals, tangents):
    (a, b, x), (da, db, dx) = primals, tangents
    inside = (x > 0) & (x < 1)
    safe = jnp.where(inside, x, 0.5)
    density = jnp.exp((a - 1) * jnp.log(safe) + (b - 1) * jnp.log1p(-safe) - jax_special.betaln(a, b))
    by_a = _difference(lambda step: _betainc(a * (1 + step), b, x)) / a
    by_b = _difference(lambda step: _betainc(a, b * (1 + step), x)) / b
    return _betainc(a, b, x), by_a * da + by_b * db + jnp.where(inside, density, 0.0) * dx


def _difference(function):
    """Return the derivative at zero by central differences, extrapolated."""
    near, far = ((function(s * STEP) - function(-s * STEP)) / (2 * s * STEP) for s in (1, 2))
    return (4 * near - far) / 3
