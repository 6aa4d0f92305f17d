"""Very many fits in pieces: memory bounded, progress shown, what is done kept when interrupted.

statistics of B fits -> core.fit_batch -> theta -> Fits (estimates)
"""

import functools
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from tqdm import tqdm

from jaxmixed import core

from ._errors import InterruptedWarning

T = TypeVar("T")

# Leaves of the statistics that depend on the response.
BY_RESPONSE = ("C", "gamma_ols", "scale", "G", "B", "rows", "B_others")
OFF_ZERO = 0.1  # in place of a zero in a start, where the criterion has no slope


class Fits(NamedTuple):
    """Estimates of B fits.

    Attributes
    ----------
    theta
        Shape (B, k).
    beta, se
        Fixed effects and their standard errors, shape (B, p).
    sdcor
        Standard deviations and correlations in theta's order, and sigma, shape (B, k + 1).
    criterion
        -2 log likelihood, REML or ML, shape (B,).
    result
        How each fit ended, an index into `core.RESULTS`, shape (B,).
    """

    theta: np.ndarray
    beta: np.ndarray
    se: np.ndarray
    sdcor: np.ndarray
    criterion: np.ndarray
    result: np.ndarray


def fit_all(
    stats: core.SuffStats,
    names: tuple[str, ...],
    reml: bool,
    start: np.ndarray | None,
    mesh: Mesh | None = None,
) -> Fits:
    """Fit every one of many statistics, of which the leaves called `names` have a leading axis."""
    with jax.enable_x64(True):
        start = None if start is None else np.where(start == 0, OFF_ZERO, start)
        axes = axes_of(stats, names)
        found = core.fit_batch(stats, axes, reml, start, mesh=mesh)
        beta, se, sdcor, criterion = of_each(_reader(reml), found.theta, stats, axes)
        return Fits(found.theta, beta, se, sdcor, criterion, found.result)


def joined(pieces: list[Fits]) -> Fits:
    """Put pieces one after another."""
    return Fits(*(np.concatenate(parts) for parts in zip(*pieces, strict=True)))


def in_pieces(
    work: Callable[[int, int], T], n: int, at_once: int, progress: bool = True, unit: str = "fit"
) -> list[T]:
    """Return work(first, count) of consecutive pieces of n things, `at_once` to a piece.

    An interrupt returns what is done, as in `gathered`.
    """

    def each() -> Iterator[tuple[T, int]]:
        for first in range(0, n, at_once):
            count = min(at_once, n - first)
            yield work(first, count), count

    return gathered(each(), n, progress, unit)


def gathered(pieces: Iterable[tuple[T, int]], n: int | None, progress: bool, unit: str) -> list[T]:
    """Return pieces, each given with the number of things it is of; there are n in all, if it is known.

    A bar shows progress on terminals. An interrupt (Ctrl-C) ends the loop with a warning, and what is done
    is returned, if anything is.
    """
    found: list[T] = []
    done = 0
    with tqdm(total=n, unit=unit, disable=None if progress else True, leave=False) as bar:
        try:
            for piece, count in pieces:
                found.append(piece)
                done += count
                bar.update(count)
        except KeyboardInterrupt:
            if not found:
                raise
            total = "" if n is None else f" of {n}"
            caller_of_the_fits = 5  # gathered, in_pieces, the function that fits, its method, their caller
            warnings.warn(
                f"Interrupted: {done}{total} were done and are kept.",
                InterruptedWarning,
                stacklevel=caller_of_the_fits,
            )
    return found


def axes_of(stats: core.SuffStats, names: tuple[str, ...]) -> Any:
    """Return 0 for the leaves called so, and `None` for those shared by all fits, as `in_axes` wants it."""

    def axis(path, leaf):
        called = [part.name for part in path if isinstance(part, jax.tree_util.GetAttrKey)]
        return 0 if called[-1] in names else None

    return jax.tree_util.tree_map_with_path(axis, stats)


def of_each(
    program: Callable[..., Any], theta: np.ndarray, stats: core.SuffStats, axes: Any, *more: Any
) -> Any:
    """Run a compiled program over fits: theta and their own statistics, then what all have in common."""
    own, shared = core.separate(stats, axes)
    lanes = core.lanes_of_a_call(core.numbers_in(own) // max(len(theta), 1))
    return core.in_lanes(lambda each: program(*each, shared, *more), (theta, own), lanes)


@functools.cache
def _reader(reml: bool) -> Callable[..., Any]:
    """Compile the reading of many fits."""

    def one(theta, own, shared):
        stats = eqx.combine(own, shared)
        found = core.estimates(theta, stats, reml)
        sdcor = core.standard_deviations(theta, found.sigma, stats.blocks)
        return found.beta, jnp.sqrt(jnp.diagonal(found.vcov)), sdcor, found.criterion

    return jax.jit(jax.vmap(one, in_axes=(0, 0, None)), compiler_options=core.quick())
