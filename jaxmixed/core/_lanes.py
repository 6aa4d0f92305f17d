"""Many small problems side by side: how many lanes at once, on which cores and devices.

A compiled program takes a fixed number of lanes, so that one program serves every number of problems, and a
lane never sees which others run beside it. Pieces run on as many threads as there are cores: a program of
small arrays keeps one core busy.
"""

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, TypeVar

import jax
import numpy as np

T = TypeVar("T")
S = TypeVar("S")

# Working arrays should stay in the cache that is next to a core; those of a GPU should fill it.
IN_CACHE, ON_DEVICE = 2**14, 2**25  # numbers in the arrays of all lanes
NARROWEST, WIDEST, WIDEST_ON_DEVICE = 8, 256, 2**17  # lanes of a block
BLOCKS = 4  # of a call, one after the other, so that calling costs little beside them


def width(numbers: int) -> int:
    """Return how many lanes of so many numbers each run side by side, a power of two."""
    if jax.default_backend() == "cpu":
        return power_of_two(int(np.clip(IN_CACHE // max(numbers, 1), NARROWEST, WIDEST)))
    return power_of_two(int(np.clip(ON_DEVICE // max(numbers, 1), NARROWEST, WIDEST_ON_DEVICE)))


def numbers_in(tree: Any) -> int:
    """Return how many numbers the arrays of a tree hold."""
    return sum([leaf.size for leaf in jax.tree.leaves(tree)])


def blocks_of_a_call() -> int:
    """Return how many blocks of lanes a call of a program takes: one where a block fills the device."""
    return BLOCKS if jax.default_backend() == "cpu" else 1


def power_of_two(number: int) -> int:
    """Return the largest power of two that is not above a number, one at least."""
    return 1 << (max(number, 1).bit_length() - 1)


def on_threads(work: Callable[[S], T], pieces: Sequence[S], workers: int | None = None) -> list[T]:
    """Return work(piece) for each piece, several at a time, in JAX's precision of the caller.

    When one raises, or the user interrupts, pieces that have not begun are given up.
    """
    workers = cores() if workers is None else workers
    if min(workers, len(pieces)) < 2:
        return [work(piece) for piece in pieces]
    double = bool(jax.config.read("jax_enable_x64"))

    def one(piece: S) -> T:
        with jax.enable_x64(double):  # a setting of each thread
            return work(piece)

    begun = [_pool(workers).submit(one, piece) for piece in pieces]
    try:
        return [future.result() for future in begun]
    finally:
        for future in begun:
            future.cancel()
        wait(begun)


@functools.cache
def _pool(workers: int) -> ThreadPoolExecutor:
    """Return threads that stay: to start one takes as long as a thousand fits."""
    return ThreadPoolExecutor(workers, "jaxmixed")


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
