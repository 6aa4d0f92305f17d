"""Compressed nested factors in orthonormal coordinates.

Of the outermost levels of `NestedPatterns`, those that keep their own products are drawn one by one.
Patterns of more levels than their N c products hold N c stand-ins; all N effects of such a family, its
descendants included, are one level of one factor with A of N x N, and a pattern of these is drawn as any
other.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Float, Int

from ._nested import NestedPatterns
from ._structure import Factors
from ._whitened import Coordinates, Part
from ._whitened_chain import Chain
from ._whitened_merged import Merged


class Families(NamedTuple):
    """The outermost levels that stand for themselves, and those that stand for many, pattern by pattern."""

    alone: Int[jax.Array, " f"]
    merged: Int[jax.Array, " f"]


def families_of(structure: NestedPatterns, p: int) -> Families:
    """Tell outermost levels that stand for themselves from those that stand for many.

    Parameters
    ----------
    structure
        Compressed nested factors, as NumPy arrays.
    p
        Number of fixed effects.

    Examples
    --------
    >>> import numpy as np
    >>> from jaxmixed import core
    >>> rows, ones = np.arange(96), np.ones((96, 1))
    >>> terms = [core.RandomTerm(rows[:, None] % m * 1.0, rows // m, 96 // m, (1,)) for m in (8, 4)]
    >>> stats = core.compress(core.Design(rows % 7.0, ones, tuple(terms)))
    >>> families = core.families_of(stats.structure, stats.p)
    >>> len(families.alone), len(families.merged)
    (0, 6)
    """
    if isinstance(structure.counts[-1], Tracer):
        raise ValueError(
            "Compressed nested statistics must be known while tracing: make their sampler outside of jit, "
            "or close over them instead of passing them as an argument."
        )
    counts = np.asarray(structure.counts[-1])
    width = sum(row.size // row.shape[2] for row in structure.rows) // len(counts)
    size, alone, merged, first = width * (p + 1), [], [], 0
    while first < len(counts):
        if counts[first] > 1:
            merged.append(np.arange(first, first + size))
            first += size
        else:
            alone.append(first)
            first += 1
    return Families(
        jnp.asarray(np.array(alone, np.int32)), jnp.asarray(np.array(merged, np.int32).reshape(-1))
    )


def family_parts(structure: NestedPatterns, families: Families, factors: Factors, p: int) -> tuple[Part, ...]:
    """Bring both kinds into orthonormal coordinates; factors innermost first."""
    alone, merged = families
    J = len(structure.counts[-1])
    blocks = [row[:, :, :-1].reshape(J, -1, *_less_one(row)) for row in structure.rows]
    parts: list[Part] = []
    if len(alone):
        rows = [block[alone].reshape(-1, *block.shape[2:]) for block in blocks]
        parts.append(Chain.build(rows, (None,) * (len(rows) - 1), factors))
    if len(merged):
        blocks = [block[merged] for block in blocks]
        sizes = [block.shape[1:3] for block in blocks]
        pieces = [b[..., b.shape[3] - p :].reshape(len(merged), -1, p) for b in blocks]
        fixed = jnp.concatenate(pieces, axis=1)
        K = fixed.shape[1] * (p + 1)
        fixed = fixed.reshape(-1, K, *fixed.shape[1:])
        counts = structure.counts[-1][merged].reshape(-1, K).sum(1).round()
        Psi = jax.scipy.linalg.block_diag(
            *(jnp.kron(jnp.eye(s, dtype=L.dtype), L @ L.T) for (s, _), L in zip(sizes, factors, strict=True))
        )
        G = jnp.einsum("ukic,ukjd->uijcd", fixed, fixed)
        parts.append(Merged.build(counts, _family_products([b[::K] for b in blocks]), G, Psi))
    return tuple(parts)


def _family_products(blocks) -> Float[jax.Array, "U q q"]:
    """Return Z'WZ of whole families from the products of their slots, blocks (U, slots, q, q + outer + p)."""
    sizes = [block.shape[1:3] for block in blocks]
    rows = [[jnp.zeros(0)] * len(blocks) for _ in blocks]
    for f, block in enumerate(blocks):
        first = 0
        for g in range(f, len(blocks)):
            (s, q), (t, v) = sizes[f], sizes[g]
            ancestor = np.repeat(np.eye(t), s // t, axis=0).astype(block.dtype)
            cell = jnp.einsum("usab,st->usatb", block[..., first : first + v], ancestor)
            rows[f][g] = cell.reshape(-1, s * q, t * v)
            rows[g][f] = rows[f][g].swapaxes(1, 2)
            first += v
    return jnp.concatenate([jnp.concatenate(row, axis=2) for row in rows], axis=1)


def family_rows(
    structure: NestedPatterns, families: Families, parts: tuple[Part, ...], tau: list[Coordinates]
) -> tuple[Float[jax.Array, "slots q w"], ...]:
    """Return the rows of the structure with a response that has coordinates tau."""
    alone, merged = families
    J, c = len(structure.counts[-1]), parts[0].fixed[0].shape[-1] + 1
    rows = [row.reshape(J, -1, *row.shape[1:]) for row in structure.rows]
    for part, t in zip(parts, tau, strict=True):
        if isinstance(part, Chain):
            for f, product in enumerate(part.products(t)):
                s, q = rows[f].shape[1:3]
                rows[f] = rows[f].at[alone, :, :, -1].set(product.reshape(-1, s, q))
        elif isinstance(part, Merged):
            both = jnp.concatenate([part.products_fixed(), part.products(t)[..., None]], axis=3)
            both, first = both.reshape(len(merged), -1, c), 0
            for f, (s, q) in enumerate([row.shape[1:3] for row in rows]):
                piece = both[:, first : first + s * q].reshape(-1, s, q, c)
                rows[f] = rows[f].at[merged, ..., -c:].set(piece)
                first += s * q
    return tuple(row.reshape(-1, *row.shape[2:]) for row in rows)


def _less_one(row):
    return row.shape[1], row.shape[2] - 1
