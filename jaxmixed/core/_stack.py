"""Statistics of data sets of unequal size, brought to a few shapes and stacked, to be fitted in batches.

Every shape is a program to compile, which takes as long as many thousands of small fits. Lengths are
therefore rounded up generously, by levels without rows, which change no sum.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Int

from ._suffstats import SuffStats

COARSE = 64  # length up to which it is rounded up to a power of four, and beyond which to a power of two


class Stack(NamedTuple):
    """Statistics of one shape.

    Attributes
    ----------
    index
        Which of the statistics given they are, shape (B,).
    stats
        All leaves with a leading axis of length B.
    """

    index: Int[np.ndarray, " B"]
    stats: SuffStats


def stack(each: Sequence[SuffStats]) -> list[Stack]:
    """Bring NumPy statistics to a few shapes, and stack those of one shape.

    Parameters
    ----------
    each
        Statistics of any models: `compress(design)`, say.

    Returns
    -------
    list of Stack
        In the order in which the shapes first occur.

    Examples
    --------
    >>> import numpy as np
    >>> from jaxmixed import core
    >>> def stats(sizes):
    ...     group, n = np.repeat(np.arange(len(sizes)), sizes), sum(sizes)
    ...     term = core.RandomTerm(np.ones((n, 1)), group, len(sizes), (1,))
    ...     return core.suffstats(core.Design(np.arange(n) % 7.0, np.ones((n, 1)), (term,)))
    >>> [one.stats.C.shape for one in core.stack([stats([3, 4, 5]), stats([2, 2]), stats([2, 6])])]
    [(3, 2, 2)]
    """
    same: dict[tuple, list[int]] = {}
    rounded = [_rounded(stats) for stats in each]
    for i, stats in enumerate(rounded):
        leaves, tree = jax.tree.flatten(stats)
        same.setdefault((tree, *map(np.shape, leaves)), []).append(i)
    return [
        Stack(np.array(index), jax.tree.map(lambda *leaves: np.stack(leaves), *(rounded[i] for i in index)))
        for index in same.values()
    ]


def _rounded(stats: SuffStats) -> SuffStats:
    structure = stats.structure
    return replace(stats, structure=structure.extended(tuple(map(_generous, structure.lengths))))


def _generous(length: int) -> int:
    """Return 4, 16, 64, 128, 256, ..., none less than the length."""
    power = max(2, (length - 1).bit_length())
    return 1 << (power + power % 2 if length <= COARSE else power)
