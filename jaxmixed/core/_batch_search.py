"""The compiled part of very many fits: statistics made, Newton's method for blocks of lanes, results read.

A lane is a row of numbers, its `State` packed, so that the host can gather the rows that are not done.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from ._covariance import Blocks, n_theta
from ._descent import choose
from ._fit import NEWTON_LIMIT, _vanishing, by_information, fit, value_gradient_hessian
from ._lane_derivatives import evaluate as evaluate_lanes, lane_stats
from ._lane_theta import unconditioned_lanes
from ._lanes import numbers_in
from ._newton import MAX_ITERATIONS, Evaluation, State, advance, begin
from ._one_factor import OneFactor, Patterns
from ._programs import QUICK, Program
from ._recipe import Make
from ._rotations import moves, n_moves
from ._start import default_start
from ._suffstats import SuffStats, conditioned
from ._types import Array, Theta

LEFT = 8  # lanes are gathered anew when one in so many is not done: few wait for others, and few move
DONE = 1  # the last number of a packed state
KEPT = 64  # programs: those that make responses hold their rows

Read = Callable[..., Any]  # (theta, stats, *more) of one fit -> any tree of arrays


class Block(NamedTuple):
    """Lanes, on the first axis: packed states, theta as users know it, and what was read."""

    states: Float[Array, "L s"]
    theta: Float[Array, "L k"]
    read: Any


@functools.lru_cache(KEPT)
def program(
    make: Make, differs: tuple[bool, ...], read: Read, reml: bool, default: bool
) -> Callable[..., Block]:
    """Compile the advance of several blocks, one after the other; those that are done are passed over."""

    def blocks(own, states, ingredients, theta, more):
        like = jax.eval_shape(make, jax.tree.map(lambda leaf: leaf[0, 0], own), ingredients)
        start, whole = None if default else theta, _whole_fits if _is_large(like) else _side_by_side

        @jax.jit  # so that it is traced once
        def block(own, states) -> Block:
            return whole(own, states, Task(make, like, differs, ingredients, read, more, reml, start))

        return jax.lax.map(lambda one: _unless_done(block, *one), (own, states))

    return Program(blocks, QUICK)


class Task(NamedTuple):
    """What is to be done for every lane, where tracing has got to know the shapes."""

    make: Make
    like: SuffStats
    differs: tuple[bool, ...]
    ingredients: Any
    read: Read
    more: tuple[Any, ...]
    reml: bool
    start: Theta | None


def _unless_done(advanced: Callable[..., Block], own: Any, states: Float[Array, "*lanes s"]) -> Block:
    """Advance lanes if one of them is not done; else return zeros."""
    shapes = jax.eval_shape(advanced, own, states)
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    return jax.lax.cond((states[..., -1] != DONE).any(), advanced, lambda *_: nothing, own, states)


def _is_large(like: SuffStats) -> bool:
    """Tell whether `fit` does something else than Newton steps with an exact Hessian."""
    return by_information(like.structure) or sum(map(n_theta, like.blocks)) > NEWTON_LIMIT


def _whole_fits(own: Any, states: Float[Array, "L s"], task: Task) -> Block:
    """Fit every lane to its end: nothing to go on from."""
    size = states.shape[1]

    @jax.jit
    def whole(own: Any, state: Float[Array, " s"]) -> Block:
        stats = task.make(own, task.ingredients)
        found = fit(stats, task.reml, task.start)
        above = n_moves(stats.blocks) - len(found.theta)
        gradient, hessian = jnp.pad(found.gradient, (0, above)), jnp.pad(found.hessian, (0, above))
        parts = (conditioned(found.theta, stats), found.criterion, gradient, hessian, *found[4:])
        row = jnp.concatenate([jnp.ravel(part).astype(state.dtype) for part in parts])
        state = jnp.pad(row, (0, size - len(row)), constant_values=DONE)
        return Block(state, found.theta, task.read(found.theta, stats, *task.more))

    # One by one: each has large matrices of its own, and library routines on batches of them can hang.
    return jax.lax.map(lambda one: _unless_done(whole, *one), (own, states))


def _side_by_side(own: Any, states: Float[Array, "L s"], task: Task) -> Block:
    """Make the statistics of all lanes, advance the lanes, and read them."""
    tree = jax.tree.structure(task.like)
    axes = tree.unflatten([-1 if own else None for own in task.differs])
    stats = jax.vmap(task.make, in_axes=(0, None), out_axes=axes)(own, task.ingredients)
    batched, shared = eqx.partition(stats, tree.unflatten(task.differs))
    states = _rounds(batched, states.T, shared, task.start, task.reml)
    theta = unconditioned_lanes(states[: sum(map(n_theta, stats.blocks))], stats.T, stats.blocks)

    def read(theta: Theta, own: SuffStats) -> Any:
        return task.read(theta, eqx.combine(own, shared), *task.more)

    return Block(states.T, theta.T, jax.vmap(read, in_axes=-1)(theta, batched))


def _rounds(batched, states, shared, theta, reml: bool) -> jax.Array:
    """Advance every lane until few of those that were not done are left."""
    tolerance = 1e-8 if states.dtype == jnp.float64 else 1e-5

    all_entries = moves(shared.blocks)

    def vanishing(theta: Float[Array, "k L"]) -> Bool[Array, "k L"]:
        return _vanishing(theta, shared.blocks)

    def start(own: SuffStats) -> Theta:
        stats = eqx.combine(own, shared)
        return default_start(stats, reml) if theta is None else conditioned(theta, stats)

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
    active = (~state.done).sum()
    # A block that is half empty is the last one: gathered anew, its lanes would be no better off.
    few = jnp.where(active > len(state.done) // 2, active // LEFT, 0)
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
