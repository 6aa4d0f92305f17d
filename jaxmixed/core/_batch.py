"""Very many fits of one shape, as fast as the arithmetic allows.

Under `jax.vmap` all lanes wait for the slowest. Here a compiled program advances every lane by a few
steps of Newton's method; the lanes that are not done are gathered on the host and go on from where they
stopped, until none is left.

Lanes run in blocks of fixed width, so that one program serves every number of fits and a lane never sees
which others share its block: its result is the same, bit for bit, wherever it stands.
"""

from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.sharding import Mesh

from ._batch_search import program as program_of, state_size
from ._covariance import Blocks, basis, n_theta, positions
from ._fit import Fit
from ._lanes import blocks_of_a_call, numbers_in, on_threads, power_of_two, width
from ._processes import over_processes, own_devices
from ._rotations import n_moves
from ._suffstats import SuffStats
from ._types import Array, Theta

DONE = 1  # the last number of a packed state


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
    batched, shared = separate(stats, axes)
    size = len(jax.tree.leaves(batched)[0])

    def part(first: int, count: int, mesh: Mesh) -> Fit:
        own = jax.tree.map(lambda leaf: leaf[first : first + count], batched)
        return _on_devices(own, shared, reml, theta, chunk, mesh)

    return over_processes(part, size, own_devices() if mesh is None else mesh)


def _on_devices(
    batched: SuffStats, shared: SuffStats, reml: bool, theta: Theta | None, chunk: int | None, mesh: Mesh
) -> Fit:
    """Fit all, given what each has of its own and what is shared, on devices of this process."""
    size, stats = len(jax.tree.leaves(batched)[0]), eqx.combine(batched, shared)
    k = sum(map(n_theta, stats.blocks))
    lanes_wide, blocks = _arrangement(batched, size, chunk)
    program = program_of(reml, theta is None)
    at_once = blocks * lanes_wide
    # The same program on each device: one sharded among several would be another, and round otherwise.
    devices = list(mesh.devices.flat)
    common = shared, np.zeros(k) if theta is None else theta
    on_each = [jax.device_put(common, device) for device in devices]

    def proceed(piece: tuple[int, np.ndarray]) -> None:
        number, lanes = piece
        states = np.full((at_once, rows.shape[1]), DONE, rows.dtype)  # lanes that only fill up a block
        states[: len(lanes)] = rows[lanes]
        if lanes[-1] - lanes[0] + 1 == at_once:
            some = slice(lanes[0], lanes[-1] + 1)  # without a copy
        else:
            some = lanes[np.minimum(np.arange(at_once), len(lanes) - 1)]
        own = jax.tree.map(lambda leaf: in_blocks(leaf[some]), batched)
        found = np.asarray(program(own, in_blocks(states), *on_each[number % len(devices)]))
        rows[lanes] = found.reshape(at_once, -1)[: len(lanes)]

    def in_blocks(leaf: np.ndarray) -> np.ndarray:
        return leaf.reshape(blocks, lanes_wide, *leaf.shape[1:])

    rows = np.zeros((size, state_size(k, stats.blocks)), stats.C.dtype)
    waiting = np.arange(size)
    while len(waiting):
        pieces = np.split(waiting, np.arange(at_once, len(waiting), at_once))
        on_threads(proceed, list(enumerate(pieces)), None if len(devices) == 1 else len(devices))
        waiting = waiting[rows[waiting, -1] != DONE]
    return _as_fit(rows, stats)


def separate(stats: SuffStats, axes: Any) -> tuple[SuffStats, SuffStats]:
    """Return the leaves that have a leading axis, for `equinox.combine` to join with the others.

    Raises
    ------
    ValueError
        If no leaf has that axis, or the axes differ in length.
    """
    axes = jax.tree.broadcast(axes, stats, is_leaf=lambda axis: axis is None)
    differs = jax.tree.map(lambda axis: axis is not None, axes, is_leaf=lambda axis: axis is None)
    batched, shared = eqx.partition(stats, differs)
    sizes = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(batched)}
    if len(sizes) != 1 or sizes == {()}:
        found = ", ".join(sorted(str(size[0]) if size else "none" for size in sizes)) or "none"
        raise ValueError(
            f"The batch axes of the statistics have lengths {found}; expected one length, on the first axis "
            "of every leaf that `axes` marks with 0."
        )
    if jax.default_backend() == "cpu":
        batched = jax.tree.map(np.asarray, batched)  # gathered without a program for every length
    return batched, shared


def _arrangement(batched: SuffStats, size: int, chunk: int | None) -> tuple[int, int]:
    """Return the number of lanes of a block, a power of two, and of blocks of a call."""
    lanes = width(numbers_in(batched) // size)
    if chunk is None:
        return lanes, blocks_of_a_call()
    lanes = min(lanes, power_of_two(chunk))
    return lanes, max(1, chunk // lanes)


def _as_fit(rows: np.ndarray, stats: SuffStats) -> Fit:
    """Undo the packing of states, which begin with x, value, gradient, Hessian and three scalars."""
    k, m = sum(map(n_theta, stats.blocks)), n_moves(stats.blocks)
    ends = np.cumsum([k, 1, m, m * m, 1, 1, 1])
    x, value, gradient, hessian, decrement, steps, result, _ = np.split(rows, ends, axis=1)
    ends = np.cumsum([n_theta(b) for b in stats.blocks])[:-1]
    pieces = zip(np.split(x, ends, axis=1), stats.T, stats.blocks, strict=True)
    return Fit(
        np.concatenate([_rectified(piece, T, blocks) for piece, T, blocks in pieces], axis=1),
        value[:, 0],
        gradient[:, :k],
        hessian.reshape(-1, m, m)[:, :k, :k],
        decrement[:, 0],
        steps[:, 0].astype(int),
        result[:, 0].astype(int),
    )


def _rectified(x: np.ndarray, T: Array, blocks: Blocks) -> np.ndarray:
    """Do as `unconditioned` and `rectify`, for all lanes at once."""
    q = sum(blocks)
    factors = (x @ basis(blocks).reshape(-1, q * q).astype(x.dtype)).reshape(-1, q, q)
    factors = np.linalg.solve(np.asarray(T), factors)
    diagonal = np.diagonal(factors, axis1=1, axis2=2)[:, None]
    row, column = positions(blocks)
    return np.where(diagonal < 0, -factors, factors)[:, row, column]
