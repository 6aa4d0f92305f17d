"""Compiled programs for NumPy arrays: what has loops and derivatives of its own, called from the host."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from ._programs import Program
from ._types import namespace

P = ParamSpec("P")
T = TypeVar("T")


def on_host(function: Callable[P, T]) -> Callable[P, T]:
    """Let a function of JAX arrays take NumPy arrays too: compiled, in their precision, NumPy coming back.

    Where the two are mixed, all become JAX's.
    """
    compiled = Program(function)

    @functools.wraps(function)
    def either(*args: P.args, **kwargs: P.kwargs) -> T:
        leaves = jax.tree.leaves((args, kwargs))
        if namespace(*leaves) is jnp:
            return function(*jax.tree.map(jnp.asarray, args), **kwargs)
        double = any(leaf.dtype == np.float64 for leaf in leaves if isinstance(leaf, np.ndarray | np.generic))
        with jax.enable_x64(double):
            return jax.tree.map(np.asarray, compiled(*args, **kwargs))

    return either
