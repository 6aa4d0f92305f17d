"""Array aliases, the table of symbols, and the choice between NumPy and JAX.

Every function of the core is written once and runs on either kind of array: on NumPy arrays it
works at once, with nothing to compile, and on JAX arrays (tracers included) it can be jitted,
vmapped and differentiated. `namespace` makes the choice.

====== ==================================================================
axis   meaning
====== ==================================================================
n      rows
p      columns of X
c      p + 1, the columns of [X y]
q      columns of one grouping factor's random effects, all its terms side by side
J      levels of a grouping factor
U      patterns: distinct Z_j'W_jZ_j among the levels of a factor
D      random effects of all factors but the eliminated one
k      elements of theta
====== ==================================================================
"""

import functools
import math
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array as JaxArray, Float, Int

if TYPE_CHECKING:
    # NumPy or JAX as `namespace` decides, which a type checker cannot follow.
    Array: TypeAlias = Any
else:
    Array = jax.Array | np.ndarray
Scalar = Float[Array, ""]
Theta = Float[Array, " k"]
Codes = Int[Array, " n"]


def namespace(*arrays: Any) -> ModuleType:
    """Return `jax.numpy` if any argument is a JAX array (or tracer), else `numpy`."""
    for array in arrays:
        # Asking a NumPy array whether it is one of JAX's takes as long as a product of small matrices.
        if type(array) is not np.ndarray and isinstance(array, jax.Array):
            return jnp
    return np


def varying_like(value: JaxArray, *like: Any) -> JaxArray:
    """Let a constant vary between the shards of a `shard_map` as arrays do: what a loop begins with must."""
    axes = frozenset().union(*map(_varying, jax.tree.leaves(like))) - _varying(value)
    return jax.lax.pcast(value, tuple(sorted(axes)), to="varying") if axes else value


def _varying(array: Array) -> frozenset[str]:
    kind = jax.typeof(array)
    return kind.manual_axis_type.varying if hasattr(kind, "manual_axis_type") else kind.vma  # before JAX 0.10


@functools.cache
def identity(size: int, dtype: Any = float) -> np.ndarray:
    """Return the identity matrix, made once: over few numbers, to make it takes as long as to add it."""
    unit = np.eye(size, dtype=dtype)
    unit.setflags(write=False)
    return unit


def pad(array: Array, widths: Sequence[tuple[int, int]]) -> Array:
    """Put so many zeros before and after along each axis. NumPy's own function is slow on small arrays."""
    if namespace(array) is jnp:
        return jnp.pad(array, widths)
    padded = np.zeros([b + n + a for n, (b, a) in zip(array.shape, widths, strict=True)], array.dtype)
    padded[tuple([slice(b, b + n) for n, (b, _) in zip(array.shape, widths, strict=True)])] = array
    return padded


def run_starts(codes: np.ndarray, n_segments: int) -> np.ndarray | None:
    """Return where each segment starts if it is a run of rows and none is empty, else `None`."""
    if len(codes) == 0 or codes[0] != 0 or codes[-1] != n_segments - 1:
        return None
    steps = codes[1:] - codes[:-1]
    (ends,) = steps.nonzero()
    if len(ends) != n_segments - 1 or steps.min(initial=0) < 0:
        return None
    starts = np.zeros(n_segments, ends.dtype)
    starts[1:] = ends + 1
    return starts


def segment_sum(values: Array, codes: Array, n_segments: int) -> Array:
    """Sum the rows of `values` (n, ...) that share a code, giving (n_segments, ...)."""
    if namespace(values, codes) is jnp:
        return jax.ops.segment_sum(values, jnp.asarray(codes), num_segments=n_segments)
    if (starts := run_starts(codes, n_segments)) is not None:
        return np.add.reduceat(values, starts, axis=0)
    return scattered_sum(values, codes, n_segments)


def scattered_sum(values: np.ndarray, codes: np.ndarray, n_segments: int) -> np.ndarray:
    """Do so for rows in any order."""
    flat = values.reshape(len(values), math.prod(values.shape[1:]))
    sums = np.empty((n_segments, flat.shape[1]), values.dtype)
    for place, column in enumerate(flat.T):
        sums[:, place] = np.bincount(codes, column, n_segments)
    return sums.reshape(n_segments, *values.shape[1:])
