"""Where the statistics of very many fits come from: they are given, or made where they are needed.

    own numbers of a fit, ingredients of all  -> make ->  its statistics

A replicate is made from its number, so that nothing of it is stored: to go on with some replicates is to make
them again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import equinox as eqx
import jax
import numpy as np

from ._suffstats import SuffStats

Make: TypeAlias = Callable[[Any, Any], SuffStats]


@dataclass(frozen=True, eq=False)
class Recipe:
    """How statistics are made.

    Attributes
    ----------
    make
        Takes what a fit has of its own, and the ingredients. Compiled programs are kept by it, so that it
        should be the same object for the same work.
    ingredients
        What all fits have in common.
    like
        Shapes of the statistics of one fit.
    differs
        Which leaves of the statistics differ from fit to fit, in the order of `jax.tree.leaves`.
    rows
        How many numbers are made on the way, such as a response row by row.
    """

    make: Make
    ingredients: Any
    like: SuffStats
    differs: tuple[bool, ...]
    rows: int = 0

    @property
    def numbers(self) -> int:
        """How many numbers one fit takes, beyond what all have in common."""
        leaves = zip(jax.tree.leaves(self.like), self.differs, strict=True)
        return self.rows + sum(leaf.size for leaf, own in leaves if own)


def given(stats: SuffStats, axes: Any) -> tuple[SuffStats, Recipe]:
    """Return the leaves that have a leading axis, and the recipe that joins them with the others.

    Raises
    ------
    ValueError
        If no leaf has that axis, or the axes differ in length.
    """
    axes = jax.tree.broadcast(axes, stats, is_leaf=lambda axis: axis is None)
    tree = jax.tree.structure(stats)
    differs = tree.unflatten([axis is not None for axis in tree.flatten_up_to(axes)])
    own, shared = eqx.partition(stats, differs)
    sizes = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(own)}
    if len(sizes) != 1 or sizes <= {(), (0,)}:
        found = ", ".join(sorted(str(size[0]) if size else "none" for size in sizes)) or "none"
        raise ValueError(
            f"The batch axes of the statistics have lengths {found}; expected one length, not 0, on the "
            "first axis of every leaf that `axes` marks with 0."
        )
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), own)
    return own, Recipe(eqx.combine, shared, eqx.combine(one, shared), tuple(jax.tree.leaves(differs)))
