"""Very many fits of one shape, as fast as the arithmetic allows.

Under `jax.vmap` all lanes wait for the slowest. Here a compiled program advances every lane by a few
steps of Newton's method; the lanes that are not done are gathered on the host and go on from where they
stopped, until none is left.

Lanes run in blocks of fixed width, so that one program serves every number of fits and a lane never sees
which others share its block: its result is the same, bit for bit, wherever it stands.
"""

from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from ._batch_search import DONE, Block, Read, program as program_of, state_size
from ._covariance import n_theta
from ._fit import Fit
from ._lanes import blocks_of_a_call, cores, on_threads, power_of_two, width
from ._processes import over_processes, own_devices
from ._recipe import Recipe, given
from ._rotations import n_moves
from ._suffstats import SuffStats
from ._types import Theta


def fit_batch(
    stats: SuffStats,
    axes: Any = 0,
    reml: bool = True,
    theta: Theta | None = None,
    *,
    chunk: int | None = None,
    mesh: Mesh | None = None,
) -> Fit:
    """Minimise the criterion for every one of many sets of statistics of one shape.

    Equal to `jax.vmap(fit)` but for rounding, and faster where fits differ in the steps they need. It
    drives compiled programs from the host, so that it cannot be jitted; inside a `jit`, use
    `jax.vmap(fit)`.

    Parameters
    ----------
    stats
        Sufficient statistics; the leaves that differ from fit to fit have a leading axis of length B.
        Replicates, or many responses of one design, differ in `C`, `scale`, `gamma_ols` and the products
        with y in `structure`; data sets brought to one shape differ in all leaves.
    axes
        Which leaves have that axis, as `in_axes` of `jax.vmap`: a tree like `stats`, or the beginning of
        one, of 0 and `None`. By default all have it.
    reml
        Restricted likelihood (default) or likelihood.
    theta
        Where every fit starts, shape (k,). Replicates of a fitted model start best at its theta; by
        default each starts at the variances that the method of moments gives.
    chunk
        Number of fits that one call of the compiled program takes, to bound memory. By default as many
        as the cache of a core holds the statistics of, several times over.
    mesh
        Devices that share the fits; by default all of this process. If they belong to several processes, each
        must call this function with the same arguments; each fits a part, and all return the whole.

    Returns
    -------
    Fit
        NumPy arrays, each with a leading axis of length B. A fit that fails says so in its `result` and
        disturbs no other. For a given `chunk`, a fit is the same to the last bit whatever the others are,
        and however many devices or processes share them.

    Raises
    ------
    ValueError
        If no leaf has a leading axis, or the axes differ in length; or if this process has no part in `mesh`.

    Notes
    -----
    In single precision, statistics that were summed in double and then rounded give coefficients within 1e-5
    of their standard errors of those in double precision, for data as well conditioned as sleepstudy; the
    criterion is within 1e-3, and a standard deviation within 1e-4 of its own standard error but near zero,
    where it is within 0.03.

    Examples
    --------
    >>> import equinox as eqx, jax, numpy as np
    >>> from jaxmixed import core
    >>> group = np.repeat(np.arange(4), 3)
    >>> y, ones = np.array([1.0, 2, 3, 7, 8, 9, 4, 5, 7, 2, 1, 2]), np.ones((12, 1))
    >>> design = core.Design(y, ones, (core.RandomTerm(ones, group, 4, (1,)),))
    >>> each = [core.compress(eqx.tree_at(lambda d: d.y, design, y[::step])) for step in (1, -1)]
    >>> stats = jax.tree.map(lambda *leaves: np.stack(leaves), *each)
    >>> print(core.fit_batch(stats).theta.round(2))
    [[2.72]
     [2.72]]
    """
    own, recipe = given(stats, axes)
    fits, _ = fit_made(recipe, own, nothing, (), reml, theta, chunk=chunk, mesh=mesh)
    return fits


def nothing(theta: Theta, stats: SuffStats) -> tuple[()]:
    """Read nothing of a fit."""
    return ()


def fit_made(
    recipe: Recipe,
    own: Any,
    read: Read,
    more: tuple[Any, ...] = (),
    reml: bool = True,
    theta: Theta | None = None,
    *,
    chunk: int | None = None,
    mesh: Mesh | None = None,
) -> tuple[Fit, Any]:
    """Make statistics, minimise the criterion, and read what is wanted of each fit, in one program.

    Parameters
    ----------
    recipe
        How the statistics of a fit are made.
    own
        What each fit has of its own, a tree of arrays with a leading axis of length B.
    read
        `read(theta, stats, *more)` of one fit: a function that vmaps, the same object for the same work.
    more
        Further arguments of `read`, the same for all fits.
    reml, theta, chunk, mesh
        As in `fit_batch`.

    Returns
    -------
    tuple
        The fits, and what was read of them, NumPy arrays with a leading axis of length B.
    """
    size = len(jax.tree.leaves(own)[0])
    work = _Work(recipe, read, more, reml, theta, chunk)

    def part(first: int, count: int, mesh: Mesh) -> tuple[Fit, Any]:
        return _on_devices(work, jax.tree.map(lambda leaf: leaf[first : first + count], own), count, mesh)

    return over_processes(part, size, own_devices() if mesh is None else mesh)


class _Work(NamedTuple):
    """What is to be done with every fit; fields as the arguments of `fit_made`."""

    recipe: Recipe
    read: Read
    more: tuple[Any, ...]
    reml: bool
    theta: Theta | None
    chunk: int | None


def _on_devices(work: _Work, own: Any, size: int, mesh: Mesh) -> tuple[Fit, Any]:
    """Fit all, on devices of this process."""
    recipe, like = work.recipe, work.recipe.like
    k, dtype = sum(map(n_theta, like.blocks)), like.C.dtype
    wide, blocks = _arrangement(recipe.numbers, work.chunk)
    at_once, length = blocks * wide, state_size(k, like.blocks)
    program = program_of(recipe.make, recipe.differs, work.read, work.reml, work.theta is None)
    # The same program on each device: one sharded among several would be another, and round otherwise.
    devices = list(mesh.devices.flat)
    common = recipe.ingredients, np.zeros(k, dtype) if work.theta is None else work.theta, work.more
    on_each = [jax.device_put(common, device) for device in devices]
    if jax.default_backend() == "cpu":
        own = jax.tree.map(np.asarray, own)  # gathered without a program for every length

    workers = len(devices) if len(devices) > 1 else cores()

    def advanced(lanes: np.ndarray, states: np.ndarray) -> Block:
        # No more lanes to a call than keep all workers busy, in whole blocks.
        count = min(at_once, -(-len(lanes) // (workers * wide)) * wide)
        firsts = range(0, len(lanes), count)
        calls = [(i, lanes[at : at + count], states[at : at + count]) for i, at in enumerate(firsts)]
        return jax.tree.map(lambda *parts: np.concatenate(parts), *on_threads(call, calls, workers))

    def call(one: tuple[int, np.ndarray, np.ndarray]) -> Block:
        number, lanes, states = one
        some = slice(lanes[0], lanes[-1] + 1)  # without a copy
        if lanes[-1] - lanes[0] + 1 != at_once:
            some = lanes[np.minimum(np.arange(at_once), len(lanes) - 1)]
        mine = jax.tree.map(lambda leaf: in_blocks(leaf[some]), own)
        packed = np.full((at_once, length), DONE, dtype)  # lanes that only fill up a block
        packed[: len(lanes)] = states
        found = program(mine, in_blocks(packed), *on_each[number % len(devices)])
        return jax.tree.map(lambda leaf: out_of_blocks(leaf)[: len(lanes)], found)

    def in_blocks(leaf: np.ndarray) -> np.ndarray:
        return leaf.reshape(blocks, wide, *leaf.shape[1:])

    def out_of_blocks(leaf: jax.Array) -> np.ndarray:
        return np.asarray(leaf).reshape(at_once, *leaf.shape[2:])

    done = advanced(np.arange(size), np.zeros((size, length), dtype))
    while len(waiting := np.flatnonzero(done.states[:, -1] != DONE)):
        found = advanced(waiting, done.states[waiting])
        for old, new in zip(jax.tree.leaves(done), jax.tree.leaves(found), strict=True):
            old[waiting] = new
    return _as_fit(done, like), done.read


def _arrangement(numbers: int, chunk: int | None) -> tuple[int, int]:
    """Return the number of lanes of a block, a power of two, and of blocks of a call."""
    lanes = width(numbers)
    if chunk is None:
        return lanes, blocks_of_a_call()
    lanes = min(lanes, power_of_two(chunk))
    return lanes, max(1, chunk // lanes)


def _as_fit(found: Block, like: SuffStats) -> Fit:
    """Undo the packing of states, which begin with x, value, gradient, Hessian and three scalars."""
    k, m = sum(map(n_theta, like.blocks)), n_moves(like.blocks)
    ends = np.cumsum([k, 1, m, m * m, 1, 1, 1])
    _, value, gradient, hessian, decrement, steps, result, _ = np.split(found.states, ends, axis=1)
    return Fit(
        found.theta,
        value[:, 0],
        gradient[:, :k],
        hessian.reshape(-1, m, m)[:, :k, :k],
        decrement[:, 0],
        steps[:, 0].astype(int),
        result[:, 0].astype(int),
    )
