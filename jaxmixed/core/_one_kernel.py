"""Programs over few numbers, made as one kernel that takes one vector.

On a CPU, XLA runs a program as a sequence of kernels, one for every small loop, and hands them to several
threads where one of their arrays is larger than 512 bytes; JAX takes a microsecond for each array that a
program is given. Over a few hundred numbers both take longer than the arithmetic.
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import jax
import numpy as np
from jax.experimental.xla_metadata import set_xla_metadata
from jaxtyping import Float

from ._programs import QUICKEST, Program

T = TypeVar("T")

# What is left to a library is not part of the kernel.
WHOLE = QUICKEST | {"xla_cpu_experimental_ynn_fusion_type": ""}
MARK = {"xla_cpu_small_call": "true", "inlineable": "false"}


class Layout(NamedTuple):
    """Where the arrays of a tree lie in a vector that holds one after the other."""

    tree: Any
    arrays: tuple[tuple[tuple[int, ...], np.dtype], ...]  # shape and dtype of each

    @property
    def shapes(self) -> Any:
        """The tree that was packed, its shapes and dtypes alone."""
        return jax.tree.unflatten(self.tree, [jax.ShapeDtypeStruct(*array) for array in self.arrays])

    def tree_of(self, vector: Float[jax.Array, " m"]) -> Any:
        """Return the tree that was packed."""
        ends = np.cumsum([0, *(int(np.prod(shape)) for shape, _ in self.arrays)])
        return jax.tree.unflatten(
            self.tree,
            [
                vector[first:end].reshape(shape).astype(dtype)
                for first, end, (shape, dtype) in zip(ends[:-1], ends[1:], self.arrays, strict=True)
            ],
        )


class Packed(NamedTuple):
    """The arrays of a tree in one vector."""

    vector: Float[np.ndarray, " m"]
    layout: Layout


def laid_out(tree: Any) -> tuple[list[Any], Layout]:
    """Return the arrays of a tree, and where they lie once they are packed."""
    leaves, form = jax.tree.flatten(tree)
    return leaves, Layout(form, tuple([(leaf.shape, leaf.dtype) for leaf in leaves]))


def pack(leaves: list[Any], layout: Layout) -> Packed:
    """Put arrays one after the other."""
    return Packed(np.concatenate(leaves, axis=None), layout)


class OneKernel(Generic[T]):
    """A function of a tree of few numbers: a `Program` that takes it packed, and on a CPU is one kernel.

    Nothing in it may be left to a library: XLA then refuses, and it is compiled as any other program.

    Parameters
    ----------
    function
        A pure function of a tree of JAX arrays.
    static
        Names of arguments that are known while compiling.
    """

    def __init__(self, function: Callable[..., T], static: Sequence[str] = ()):
        def apart(vector: jax.Array, layout: Layout, **known: Any) -> T:
            return function(layout.tree_of(vector), **known)

        def whole(vector: jax.Array, layout: Layout, **known: Any) -> T:
            if jax.default_backend() != "cpu":
                return apart(vector, layout, **known)
            with set_xla_metadata(**MARK):
                return jax.jit(lambda packed: apart(packed, layout, **known))(vector)

        self._whole = Program(whole, WHOLE, ["layout", *static])
        self._apart = Program(apart, QUICKEST, ["layout", *static])
        self._refused: set[Layout] = set()

    def __call__(self, packed: Packed, **known: Any) -> T:
        vector, layout = packed
        if layout not in self._refused:
            try:
                return self._whole(vector, layout=layout, **known)
            except jax.errors.JaxRuntimeError:
                self._refused.add(layout)
        return self._apart(vector, layout=layout, **known)
