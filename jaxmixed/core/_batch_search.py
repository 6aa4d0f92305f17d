"""The compiled part of very many fits: a few steps of Newton's method for blocks of lanes.

A lane is a row of numbers, its `State` packed, so that the host can gather the rows that are not done.
"""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from ._covariance import Blocks, n_theta
from ._descent import choose
from ._fit import NEWTON_LIMIT, _vanishing, by_information, fit, value_gradient_hessian
from ._lane_derivatives import evaluate as evaluate_lanes, lane_stats
from ._lanes import numbers_in, quick
from ._newton import MAX_ITERATIONS, Evaluation, State, advance, begin
from ._one_factor import OneFactor, Patterns
from ._rotations import moves, n_moves
from ._start import default_start
from ._suffstats import SuffStats, conditioned
from ._types import Array, Theta

LEFT = 8  # lanes are gathered anew when one in so many is not done: few wait for others, and few move


@functools.cache
def program(reml: bool, default: bool) -> Callable[..., jax.Array]:
    """Compile the advance of several blocks, one after the other."""

    def blocks(batched, states, shared, theta):
        whole = _whole_fits if _is_large(batched, shared) else _rounds
        start = None if default else theta

        def block(one: tuple[SuffStats, Array]) -> jax.Array:
            own, state = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, -1), one)
            return whole(own, state, shared, start, reml).T

        return jax.lax.map(block, (batched, states))

    return jax.jit(blocks, compiler_options=quick())


def _is_large(batched: SuffStats, shared: SuffStats) -> bool:
    """Tell whether `fit` does something else than Newton steps with an exact Hessian."""
    stats = eqx.combine(jax.tree.map(lambda leaf: leaf[0, 0], batched), shared)
    return by_information(stats.structure) or sum(map(n_theta, stats.blocks)) > NEWTON_LIMIT


def _whole_fits(batched, states, shared, theta, reml: bool) -> jax.Array:
    """Fit every lane to its end: nothing to go on from."""

    def whole(own: SuffStats) -> Array:
        stats = eqx.combine(own, shared)
        found = fit(stats, reml, theta)
        above = n_moves(stats.blocks) - len(found.theta)
        gradient, hessian = jnp.pad(found.gradient, (0, above)), jnp.pad(found.hessian, (0, above))
        parts = (conditioned(found.theta, stats), found.criterion, gradient, hessian, *found[4:])
        return jnp.concatenate([jnp.ravel(part).astype(states.dtype) for part in parts])

    # One by one: each has large matrices of its own, and library routines on batches of them can hang.
    rows = jax.lax.map(whole, jax.tree.map(lambda leaf: jnp.moveaxis(leaf, -1, 0), batched)).T
    return jnp.pad(rows, ((0, len(states) - len(rows)), (0, 0)), constant_values=1)


def _rounds(batched, states, shared, theta, reml: bool) -> jax.Array:
    """Advance every lane until few of those that were not done are left."""
    tolerance = 1e-8 if states.dtype == jnp.float64 else 1e-5

    all_entries = moves(shared.blocks)

    def vanishing(theta: Float[Array, "k L"]) -> Bool[Array, "k L"]:
        return _vanishing(theta, shared.blocks)

    def start(own: SuffStats) -> Theta:
        stats = eqx.combine(own, shared)
        return default_start(stats) if theta is None else conditioned(theta, stats)

    def begun() -> State:
        fresh = begin(_over_lanes(start)(batched), all_entries.size)
        return jax.tree.map(lambda a, b: choose(is_new, a, b), fresh, former)

    evaluate = _evaluation(batched, shared, reml)

    def step(state: State) -> State:
        new = advance(evaluate, state, tolerance=tolerance, vanishing=vanishing, moves=all_entries)
        new = new._replace(done=new.done | (new.best.steps >= MAX_ITERATIONS))
        return jax.tree.map(lambda a, b: choose(state.done, a, b), state, new)

    former = _unpacked(states, all_entries.size, sum(map(n_theta, shared.blocks)))
    is_new = (former.best.steps == 0) & ~former.done
    # Moments go through all levels, so that they wait until they are needed.
    state = jax.lax.cond(is_new.any(), begun, lambda: former) if theta is None else begun()
    few = (~state.done).sum() // LEFT
    return _packed(jax.lax.while_loop(lambda state: (~state.done).sum() > few, step, state))


def _evaluation(
    batched: SuffStats, shared: SuffStats, reml: bool
) -> Callable[[Float[Array, "k L"]], Evaluation]:
    """Return the criterion of every lane with its derivatives, lanes last."""
    if isinstance(batched.structure, OneFactor | Patterns):
        stats, (blocks,) = lane_stats(batched, shared, reml), shared.blocks
        return lambda theta: evaluate_lanes(theta, stats, blocks, reml)

    def one(own: SuffStats, theta: Theta) -> Evaluation:
        return value_gradient_hessian(theta, eqx.combine(own, shared), reml)

    return lambda theta: _over_lanes(one)(batched, theta)


def _over_lanes(function: Callable[..., Any]) -> Callable[..., Any]:
    return jax.vmap(function, in_axes=-1, out_axes=-1)


def _packed(state: State) -> Float[Array, "s L"]:
    rows = [leaf.reshape(-1, leaf.shape[-1]) for leaf in jax.tree.leaves(state)]
    return jnp.concatenate([row.astype(state.trial.dtype) for row in rows])


def _unpacked(rows: Float[Array, "s L"], size: int, k: int) -> State:
    like = jax.eval_shape(lambda x: begin(x, size), rows[:k])
    leaves, tree = jax.tree.flatten(like)
    ends = np.cumsum([leaf.size // rows.shape[1] for leaf in leaves])
    pieces = zip(np.split(np.arange(len(rows)), ends[:-1]), leaves, strict=True)
    return jax.tree.unflatten(
        tree, [rows[at[0] : at[-1] + 1].reshape(leaf.shape).astype(leaf.dtype) for at, leaf in pieces]
    )


@functools.cache
def state_size(k: int, blocks: tuple[Blocks, ...]) -> int:
    """Return how many numbers a packed state has."""
    start = jax.ShapeDtypeStruct((k,), jnp.float32)
    return numbers_in(jax.eval_shape(lambda x: begin(x, n_moves(blocks)), start))
