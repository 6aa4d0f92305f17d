"""What every row and every group does to any quantity of a fit, to first order, in one reverse pass.

Let row i (or group j) count m_i times. Every statistic is a sum over rows (or groups), and so

    stats(m) -> theta-hat(m) -> q(theta-hat(m), stats(m)),     slope_i = d q / d m_i  at m = 1

follows by the implicit function theorem from one Hessian and one reverse pass, however many rows there
are. Leaving out row i changes q by about -slope_i (Hampel 1974, doi:10.1080/01621459.1974.10482962;
Broderick, Giordano & Meager 2020, arXiv:2011.14999). The coordinates stay those of the whole data.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from ._assemble import assemble, plan
from ._conditioning import Conditioned, condition
from ._design import Design, RandomTerm
from ._implicit import as_minimum
from ._level_sums import columns
from ._reweight import clusters
from ._suffstats import SuffStats, with_rows
from ._types import Array, Scalar, Theta, namespace

Quantity = Callable[[Theta, SuffStats], Scalar]


class Influence(NamedTuple):
    """A quantity of a fit, and its derivatives in the weights of rows or groups.

    Attributes
    ----------
    value
        The quantity.
    slopes
        Its derivative in the number of times that each row, or group, counts, at one: leaving it out
        changes the quantity by about the negative. Shape (n,) or (J,).
    """

    value: Scalar
    slopes: Float[Array, " m"]


def row_influence(quantity: Quantity, design: Design, theta: Theta, reml: bool = True) -> Influence:
    """Return the infinitesimal influence of every row on a quantity of the fit.

    Parameters
    ----------
    quantity
        A scalar function of (theta, stats) in JAX, such as
        `lambda theta, stats: core.estimates(theta, stats).beta[1]`. Its statistics hold every level.
    design
        The data. The codes must be concrete, numbers may be traced.
    theta
        Fitted relative covariance parameters, `fit(suffstats(design), reml).theta`, shape (k,).
    reml
        How theta was estimated.

    Returns
    -------
    Influence
        With a slope for each row, by any number of which it takes one Hessian and one reverse pass.

    References
    ----------
    Broderick, Giordano & Meager (2020), An automatic finite-sample robustness metric, arXiv:2011.14999.

    Examples
    --------
    >>> import numpy as np
    >>> from jaxmixed import core
    >>> group = np.repeat(np.arange(4), 3)
    >>> y, ones = np.array([1.0, 2, 3, 7, 8, 9, 4, 5, 7, 2, 1, 2]), np.ones((12, 1))
    >>> design = core.Design(y, ones, (core.RandomTerm(ones, group, 4, (1,)),))
    >>> theta = core.fit(core.suffstats(design)).theta
    >>> mean = lambda theta, stats: core.estimates(theta, stats).beta[0]
    >>> (100 * core.row_influence(mean, design, theta).slopes[:4]).round().tolist()
    [-9.0, -1.0, 8.0, -7.0]
    """
    prepared = condition(design)
    whole = assemble(prepared, plan(prepared), design.y, compress=False)

    def weighted(m):
        return row_weighted(prepared, design.y, whole, m)

    return _influence(quantity, weighted, len(design.y), theta, reml)


def group_influence(quantity: Quantity, design: Design, theta: Theta, reml: bool = True) -> Influence:
    """Return the infinitesimal influence of every group on a quantity of the fit.

    Groups are the levels of the only grouping factor, or of the outermost of nested ones. A group counts
    as a whole: one of weight two would be two groups with the same rows.

    Parameters
    ----------
    quantity
        A scalar function of (theta, stats) in JAX. Its statistics hold no single levels.
    design
        The data, as NumPy arrays.
    theta
        Fitted relative covariance parameters, shape (k,).
    reml
        How theta was estimated.

    Returns
    -------
    Influence
        With a slope for each level of the factor.

    Raises
    ------
    ValueError
        If grouping factors are crossed, so that no groups are independent.

    Examples
    --------
    >>> import numpy as np
    >>> from jaxmixed import core
    >>> group = np.repeat(np.arange(4), 3)
    >>> y, ones = np.array([1.0, 2, 3, 7, 8, 9, 4, 5, 7, 2, 1, 2]), np.ones((12, 1))
    >>> design = core.Design(y, ones, (core.RandomTerm(ones, group, 4, (1,)),))
    >>> theta = core.fit(core.suffstats(design)).theta
    >>> mean = lambda theta, stats: core.estimates(theta, stats).beta[0]
    >>> (100 * core.group_influence(mean, design, theta).slopes).round().tolist()
    [-56.0, 94.0, 27.0, -65.0]
    """
    prepared = condition(design)
    parts = clusters(prepared, plan(prepared), design.y)
    return _influence(quantity, parts.weighted, len(parts.n), theta, reml)


class SmallestSet(NamedTuple):
    """The fewest rows, or groups, that take a quantity across a threshold if they are left out.

    Attributes
    ----------
    dropped
        Their positions, the most influential first; none if no set of the size allowed does it.
    predicted
        What the quantity would be without them, to first order.
    """

    dropped: Int[np.ndarray, " d"]
    predicted: float


def smallest_set(influence: Influence, threshold: float = 0.0, most: int | None = None) -> SmallestSet:
    """Find the fewest rows or groups whose removal would, to first order, take a quantity across a threshold.

    A prediction: fit again without them, by `row_weighted` with weights of zero, to see whether it does.

    Parameters
    ----------
    influence
        What `row_influence` or `group_influence` returned.
    threshold
        Where the conclusion changes, in units of the quantity.
    most
        Largest number to leave out; by default half of all.

    References
    ----------
    Broderick, Giordano & Meager (2020), An automatic finite-sample robustness metric, arXiv:2011.14999.

    Examples
    --------
    >>> import numpy as np
    >>> from jaxmixed import core
    >>> core.smallest_set(core.Influence(np.array(3.0), np.array([0.5, 2.0, -1.0, 1.5])))
    SmallestSet(dropped=array([1, 3]), predicted=-0.5)
    """
    value, slopes = float(influence.value), np.asarray(influence.slopes, float)
    towards = 1 if value > threshold else -1
    order = np.argsort(-towards * slopes, kind="stable")[: len(slopes) // 2 if most is None else most]
    without = value - np.cumsum(slopes[order])
    crossed = np.flatnonzero(towards * (without - threshold) < 0)
    if len(crossed) == 0:
        return SmallestSet(order[:0], value)
    return SmallestSet(order[: crossed[0] + 1], float(without[crossed[0]]))


def row_weighted(
    prepared: Conditioned, y: Float[Array, " n"], stats: SuffStats, m: Float[Array, " n"]
) -> SuffStats:
    """Return the statistics of data in which row i counts m_i times, in the coordinates of all rows once.

    Parameters
    ----------
    prepared, y
        `condition(design)` and the response.
    stats
        Statistics of the design, every level kept.
    m
        How often each row counts, zero or more, shape (n,); for derivatives, more.
    """
    xp = namespace(prepared.Q, y, m)
    root = xp.sqrt(m)[:, None]
    terms = tuple(
        RandomTerm(term.z * root, term.codes, term.n_levels, term.blocks) for term in prepared.terms
    )
    V = columns(prepared, y) * root
    weights = prepared.root_weights
    log_weights = xp.zeros((), V.dtype) if weights is None else 2 * m @ xp.log(weights)
    structure = plan(eqx.tree_at(lambda c: c.terms, prepared, terms)).attach(V)
    return with_rows(stats, structure, V.T @ V, m.sum(), log_weights)


def _influence(quantity: Quantity, weighted, size: int, theta: Theta, reml: bool) -> Influence:
    def of_weights(m):
        stats = weighted(m)
        return quantity(as_minimum(theta, stats, reml), stats)

    dtype = jnp.asarray(theta).dtype
    return Influence(*jax.value_and_grad(of_weights)(jnp.ones(size, dtype)))
