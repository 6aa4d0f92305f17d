"""Design -> SuffStats: the rows are read once, here.

    Design -> condition -> plan -> assemble
              (Q, R, z~, T)  (who is nested, crossed, alike)  (cross products with y)

Everything that follows, the criterion and its derivatives, the estimates and their covariance, costs
nothing that depends on the number of rows.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ._conditioning import Conditioned, condition, condition_response
from ._crossed_memory import check_memory
from ._crossed_plan import CrossedPlan
from ._design import Design
from ._iterative_plan import IterativePlan, is_direct
from ._nested_plan import NestedPlan, nesting_order
from ._one_factor_plan import OneFactorPlan
from ._plan import Plan, side_by_side
from ._solver import Iterative, Solver
from ._strata_plan import BalancedPlan, balanced
from ._suffstats import SuffStats
from ._types import Array, Scalar, namespace

IN_CACHE = 2**16  # numbers of a block of responses: half a megabyte, what the cache next to a core holds
NARROWEST = 16  # responses of a block


def suffstats(design: Design, solver: Solver = "auto") -> SuffStats:
    """Return the sufficient statistics of a design, every level kept.

    On NumPy arrays this runs at once. On JAX arrays it is differentiable in y, X, z, weights and
    offset; the codes must be concrete.

    Parameters
    ----------
    design
        Response, fixed-effects matrix of full column rank, and random terms.
    solver
        As in `plan`.

    Returns
    -------
    SuffStats
        What `criterion`, `fit` and `ranef` read.

    Examples
    --------
    >>> import numpy as np
    >>> from jaxmixed import core
    >>> group = np.repeat(np.arange(4), 3)
    >>> y, ones = np.arange(12.0) % 5, np.ones((12, 1))
    >>> design = core.Design(y, ones, (core.RandomTerm(ones, group, 4, (1,)),))
    >>> core.suffstats(design).C.shape
    (2, 2)
    """
    prepared = condition(design)
    return assemble(prepared, plan(prepared, solver), design.y, compress=False)


def compress(design: Design, solver: Solver = "auto") -> SuffStats:
    """Return the smallest sufficient statistics of a design: levels that repeat a pattern are merged.

    Enough for `criterion` and `fit`; `ranef` needs `suffstats`.
    """
    prepared = condition(design)
    return assemble(prepared, plan(prepared, solver), design.y, compress=True)


def plan(prepared: Conditioned, solver: Solver = "auto") -> Plan:
    """Choose the arrangement: one factor, nested or crossed factors, or the strata of a balanced design.

    Parameters
    ----------
    prepared
        `condition(design)`.
    solver
        How crossed factors are solved for. `"direct"`: a dense matrix over the levels of all factors but the
        largest is factored. `"iterative"`, or an `Iterative` with its options: by conjugate gradients, with a
        Monte Carlo error that `monte_carlo` reports. `"auto"` (default): directly, as long as there are at
        most `DIRECT` such levels and memory for their matrix.

    Raises
    ------
    ValueError
        If the design has no random term, if a direct solution does not fit into memory, or if an iterative
        one is asked for though no factors are crossed.
    """
    terms, Q = prepared.terms, prepared.Q
    if not terms:
        raise ValueError("A mixed model needs at least one random term; the design has none.")
    if solver not in ("auto", "direct", "iterative") and not isinstance(solver, Iterative):
        raise ValueError(
            f"solver is {solver!r}; expected 'auto', 'direct', 'iterative' or Iterative(probes=, seed=)."
        )
    if len(terms) == 1 and solver in ("auto", "direct"):
        return OneFactorPlan.build(terms[0], Q)
    if solver == "auto" and (strata := balanced(terms)) is not None:
        return BalancedPlan(Q, terms, strata, partial(_by_level, prepared, solver))
    return _by_level(prepared, solver)


def _by_level(prepared: Conditioned, solver: Solver) -> Plan:
    """Choose the arrangement of the levels of several factors."""
    terms, Q = prepared.terms, prepared.Q
    order = nesting_order(terms)
    if order is None:
        if solver == "direct":
            check_memory(terms)
        if solver == "direct" or (solver == "auto" and is_direct(terms)):
            return CrossedPlan.build(terms, Q)
        options = solver if isinstance(solver, Iterative) else Iterative()
        return IterativePlan.build(terms, Q, options.probes, options.seed)
    if solver not in ("auto", "direct"):
        raise ValueError(
            f"solver is {solver!r}, which is for crossed factors; the design has "
            f"{'one factor' if len(terms) == 1 else 'nested factors'}, solved at once: leave solver out."
        )
    return NestedPlan.build(terms, Q, order)


def assemble(prepared: Conditioned, plan: Plan, y: Float[Array, " n"], *, compress: bool) -> SuffStats:
    """Bring a response together with a design that has been conditioned and planned."""
    response = condition_response(prepared, y)
    xp = namespace(response.u, prepared.Q)
    pairs = zip(plan.fixed, plan.products(response.u[:, None]), strict=True)
    products = tuple(namespace(*pair).concatenate(pair, axis=-1) for pair in pairs)
    stats = SuffStats(
        structure=plan.merge(products) if compress else plan.levels(products),
        C=_bordered(prepared.bordered, response.square),
        gamma_ols=response.gamma_ols,
        scale=response.scale,
        **prepared.shared,
    )
    return stats if xp is np else jax.tree.map(_as_jax, stats)


def _bordered(Q0: Float[Array, "c c"], square: Scalar) -> Float[Array, "c c"]:
    """Put u'u into the corner of what u is orthogonal to."""
    if namespace(Q0, square) is not np:
        return jnp.asarray(Q0).at[-1, -1].set(square)
    C = Q0.copy()
    C[-1, -1] = square
    return C


def _as_jax(leaf: Array) -> Array:
    """Bring numbers to the precision of JAX's; indices stay concrete."""
    return jnp.asarray(leaf) if np.issubdtype(leaf.dtype, np.floating) else leaf


def assemble_many(
    prepared: Conditioned, plan: Plan, Y: Float[np.ndarray, "n R"], *, compress: bool
) -> SuffStats:
    """Bring many responses together with one design; NumPy arrays only.

    Equal to `assemble` of every column but for rounding. What depends on the design alone is there once, and
    sums over rows are matrix products of all responses with Q and Z, in blocks that a cache holds.

    Parameters
    ----------
    prepared, plan
        `condition(design)` and `plan(prepared)`.
    Y
        Responses, one a column. One with a missing or infinite value has NaN in its `C` and disturbs no
        other.
    compress
        Whether levels that repeat are merged.

    Returns
    -------
    SuffStats
        `C`, `gamma_ols`, `scale` and, in `structure`, the products with y (`B`, `B_others`, `G`, `rows`)
        have a leading axis of length R.

    Examples
    --------
    >>> import numpy as np
    >>> from jaxmixed import core
    >>> group = np.repeat(np.arange(4), 3)
    >>> Y, ones = np.random.default_rng(0).normal(size=(12, 1000)), np.ones((12, 1))
    >>> design = core.Design(Y[:, 0], ones, (core.RandomTerm(ones, group, 4, (1,)),))
    >>> prepared = core.condition(design)
    >>> stats = core.assemble_many(prepared, core.plan(prepared), Y, compress=True)
    >>> stats.C.shape, stats.structure.G.shape, stats.structure.A.shape
    ((1000, 2, 2), (1000, 1, 1, 1, 2, 2), (1, 1, 1))
    """
    Q, p, at_once = prepared.Q, prepared.Q.shape[1], max(NARROWEST, IN_CACHE // len(Y))
    fixed = plan.fixed
    own = tuple(np.empty((*X.shape[:2], Y.shape[1]), Q.dtype) for X in fixed)
    C = np.empty((Y.shape[1], p + 1, p + 1), Q.dtype)
    C[:] = prepared.bordered
    gamma_ols, scale = np.empty((Y.shape[1], p), Q.dtype), np.empty(Y.shape[1], Q.dtype)
    for first in range(0, Y.shape[1], at_once):
        block = slice(first, first + at_once)
        with np.errstate(invalid="ignore"):
            response = condition_response(prepared, np.ascontiguousarray(Y[:, block]))
        for total, part in zip(own, plan.products(response.u), strict=True):
            total[..., block] = part
        C[block, p, p] = response.square
        gamma_ols[block], scale[block] = response.gamma_ols.T, response.scale
    return SuffStats(
        structure=plan.merge_many(fixed, own) if compress else plan.levels(side_by_side(fixed, own)),
        C=C,
        gamma_ols=gamma_ols,
        scale=scale,
        **prepared.shared,
    )
