"""How crossed factors are solved for: by factoring a dense matrix, or by products with a sparse one."""

from dataclasses import dataclass
from typing import Literal

SEED = 0


@dataclass(frozen=True)
class Iterative:
    """Solve crossed factors by iterative methods, for which no dense matrix is formed.

        log|B|  ~  sum_i v_i'log(B)v_i + mean of z'Q log(B) Q z,     Q = I - VV'

    by conjugate gradients and Lanczos quadrature, B being the Schur complement of the levels that are left
    when the largest factor is eliminated, scaled to unit diagonal blocks, V a few directions that stand out
    and z columns of random signs, the same at every theta. Coefficients and random effects, given theta, are
    exact to 1e-8; the criterion, and through it theta, have a Monte Carlo error, which `monte_carlo` reports
    and which falls with the square root of `probes`.

    Parameters
    ----------
    probes
        Number m of columns z, at least 2. Time and memory are proportional to it.
    seed
        Of the signs.

    References
    ----------
    Ubaru, Chen & Saad (2017), Fast estimation of tr(f(A)) via stochastic Lanczos quadrature,
    doi:10.1137/16M1104974; Kundig & Sigrist (2025), Scalable computations for generalized mixed effects
    models with crossed random effects using Krylov subspace methods, doi:10.48550/arXiv.2505.09552.

    Examples
    --------
    >>> from jaxmixed import core
    >>> core.Iterative(probes=100, seed=1)
    Iterative(probes=100, seed=1)
    """

    probes: int = 50
    seed: int = SEED

    def __post_init__(self) -> None:
        for name, value, least in (("probes", self.probes, 2), ("seed", self.seed, 0)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name} is {value!r}; expected a whole number, {least} or more.")


Solver = Literal["auto", "direct", "iterative"] | Iterative
