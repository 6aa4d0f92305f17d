"""Where the search for theta starts: variances by the method of moments.

One column of z~ at a time, with a_j and b_j the products of z~_j with itself and with the response u,

    E sum_j b_j^2 / a_j = J sigma^2 + n sigma_z^2

if the other random effects are left out, and all the variances add up to one, the mean square of u. Of
nested factors each counts beyond the one around it, and is measured by the one within it. This is the
analysis of variance; it costs next to nothing and halves the number of Newton steps.
"""

from jaxtyping import Float

from ._covariance import pack_all
from ._structure import Between
from ._suffstats import SuffStats
from ._types import Array, Theta, namespace

SMALLEST = 0.02  # of the variance of u, kept for the residuals and for every random effect


def default_start(stats: SuffStats) -> Theta:
    """Return a conditioned theta with Lambda~ diagonal."""
    xp = namespace(stats.C)
    between = stats.structure.between()
    n = stats.n
    explained = sum((b.squares.sum() for b in between), xp.zeros((), stats.C.dtype))
    levels = sum((b.levels.sum() for b in between), xp.zeros((), stats.C.dtype))
    residual = xp.clip((n - explained) / xp.maximum(n - levels, 1.0), SMALLEST, 1.0)

    def factor(b: Between) -> Float[Array, "q q"]:
        noise = residual if b.noise is None else xp.maximum(b.noise, residual)
        variance = xp.clip((b.squares - b.levels * noise) / n, SMALLEST, 1.0)
        return xp.diag(xp.sqrt(variance / residual))

    return pack_all([factor(b) for b in between], stats.blocks).astype(stats.C.dtype)
