"""Limited-memory BFGS for many covariance parameters, with the interface of `newton`.

A Hessian of k > 20 parameters costs k gradients and takes long to compile; here only gradients are
formed. The optimiser and its line search are optax's.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from ._newton import CONVERGED, MAX_STEPS, NON_FINITE, STUCK, Minimum
from ._types import Scalar

MAX_ITERATIONS = 1000
MEMORY = 20


class _State(NamedTuple):
    x: Float[jax.Array, " k"]
    value: Scalar
    gradient: Float[jax.Array, " k"]
    optimiser: tuple
    decrement: Scalar
    steps: jax.Array


def lbfgs(
    function: Callable[[Float[jax.Array, " k"]], Scalar],
    start: Float[jax.Array, " k"],
    *,
    tolerance: float,
    vanishing: Callable[[Float[jax.Array, " k"]], Bool[jax.Array, " k"]],
    max_steps: int = MAX_ITERATIONS,
) -> Minimum:
    """Minimise a smooth function of many variables.

    Parameters
    ----------
    function
        The function.
    start
        First point, shape (k,).
    tolerance
        Decrease predicted by the BFGS model of the function at which to stop, in units of the function.
    vanishing
        Tells which coordinates of the minimum to try at exactly zero.
    max_steps
        Largest number of steps.

    Returns
    -------
    Minimum
        With a matrix of NaN for the Hessian, which is never formed.
    """
    import optax  # slow to import, and seldom needed

    optimiser = optax.lbfgs(memory_size=MEMORY)
    value_and_gradient = optax.value_and_grad_from_state(function)

    def advance(state: _State) -> _State:
        value, gradient = value_and_gradient(state.x, state=state.optimiser)
        updates, memory = optimiser.update(
            gradient, state.optimiser, state.x, value=value, grad=gradient, value_fn=function
        )
        return _State(
            state.x + updates, value, gradient, memory, jnp.abs(gradient @ updates), state.steps + 1
        )

    def unfinished(state: _State) -> jax.Array:
        return (state.steps < max_steps) & (state.decrement > tolerance) & jnp.isfinite(state.value)

    zero = jnp.zeros((), start.dtype)
    state = _State(start, zero, jnp.zeros_like(start), optimiser.init(start), zero + jnp.inf, jnp.asarray(0))
    state = jax.lax.while_loop(unfinished, advance, state)
    x = jnp.where(vanishing(state.x), 0, state.x)
    noise = 10 * jnp.finfo(start.dtype).eps * (1 + jnp.abs(state.value))
    x = jnp.where(function(x) <= state.value + noise, x, state.x)
    value, gradient = jax.value_and_grad(function)(x)
    flat = jnp.max(jnp.abs(gradient)) < tolerance**0.25 * (1 + jnp.abs(value)) ** 0.5
    result = jnp.where(state.steps < max_steps, jnp.where(flat, CONVERGED, STUCK), MAX_STEPS)
    result = jnp.where(jnp.isfinite(value), result, NON_FINITE)
    hessian = jnp.full((len(start), len(start)), jnp.nan, start.dtype)
    return Minimum(x, value, gradient, hessian, state.decrement, state.steps, result)
