"""Very many fits in pieces: memory bounded, progress shown, what is done kept when interrupted."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import jax
from tqdm import tqdm

from jaxmixed import core

from ._errors import InterruptedWarning

T = TypeVar("T")

# Leaves of the statistics that depend on the response.
BY_RESPONSE = ("C", "gamma_ols", "scale", "G", "B", "rows", "B_others")


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
