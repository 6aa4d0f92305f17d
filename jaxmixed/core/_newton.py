"""Trust-region Newton for any smooth scalar function, in one `lax.while_loop`.

Each iteration evaluates the function, its gradient and its Hessian once, at a trial point, and takes from

    H ~ L D L',   s = -(L |D| L')^-1 g

a step that goes downhill along directions of negative curvature too (Gill, Murray & Wright 1981): a
variance at zero is a stationary point, and often a saddle. The step is cut to the trust radius, which
shrinks when the function rises. After convergence, coordinates that have all but
vanished are tried at exactly zero, in the same loop, and kept there if the function does not rise.

Many searches go side by side where arrays have one more axis, the last, with an element for each: a scalar
below is then an array of that length. So every operation runs over long rows, and treats all searches alike
to the last bit. `vmap` puts their axis where it likes, and the end of a loop over short rows may be rounded
otherwise.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from ._descent import along, beside, choose, dot, downhill, norm, times
from ._types import Scalar, varying_like

RESULTS = (
    "converged",
    "the maximum number of steps was reached before the criterion settled",
    "the criterion became infinite or not a number",
    "no step lowered the criterion although its gradient is not zero",
)
CONVERGED, MAX_STEPS, NON_FINITE, STUCK = range(4)

MAX_ITERATIONS = 200
RADIUS = 1.0  # of the first step, relative to 1 + |theta|
# Nocedal & Wright (2006), algorithm 4.1, and their condition of sufficient decrease
SHRINK, GROW = 0.25, 2.0
POOR_RATIO, GOOD_RATIO = 0.25, 0.75
SUFFICIENT = 1e-4

Evaluation = tuple[Scalar, Float[jax.Array, " m"], Float[jax.Array, "m m"]]


class Minimum(NamedTuple):
    """Where a minimisation ended.

    Attributes
    ----------
    x
        The best point. After convergence it is one Newton step from the last point evaluated.
    value, gradient, hessian
        The function and its derivatives, in the directions of the moves, at the last point evaluated.
    decrement
        g'H^-1g, twice the predicted distance to the minimum in units of the function.
    steps
        Number of evaluations.
    result
        Index into `RESULTS`.
    """

    x: Float[jax.Array, " k"]
    value: Scalar
    gradient: Float[jax.Array, " m"]
    hessian: Float[jax.Array, "m m"]
    decrement: Scalar
    steps: Int[jax.Array, ""]
    result: Int[jax.Array, ""]


class Moves(NamedTuple):
    """How a search goes from one point to the next.

    Attributes
    ----------
    size
        Number m of directions in which the function is differentiated.
    retract
        Takes x, shape (k,), and a step, shape (m,), and returns the next point.
    steepen
        Takes x and the Hessian, and makes it positive in directions along which nothing changes.
    """

    size: int
    retract: Callable[[Float[jax.Array, " k"], Float[jax.Array, " m"]], Float[jax.Array, " k"]]
    steepen: Callable[[Float[jax.Array, " k"], Float[jax.Array, "m m"]], Float[jax.Array, "m m"]]


def straight(size: int) -> Moves:
    """Return moves along straight lines: x + step."""
    return Moves(size, lambda x, step: x + step, lambda x, hessian: hessian)


class State(NamedTuple):
    """Between two evaluations: what `advance` takes and returns, all that a search needs to go on.

    Attributes
    ----------
    best
        The best point so far; its `value` is infinite before the first evaluation.
    trial, length, predicted
        The point to evaluate next, shape (k,), the length of the step to it, and how far the function should
        fall there.
    radius
        The longest step.
    trying_zeros
        Whether `trial` is the minimum with small coordinates at zero.
    done
        Whether the search has ended.
    """

    best: Minimum
    trial: Float[jax.Array, " k"]
    length: Scalar
    predicted: Scalar
    radius: Scalar
    trying_zeros: Bool[jax.Array, ""]
    done: Bool[jax.Array, ""]


def newton(
    evaluate: Callable[[Float[jax.Array, " k"]], Evaluation],
    start: Float[jax.Array, " k"],
    *,
    tolerance: float,
    vanishing: Callable[[Float[jax.Array, " k"]], Bool[jax.Array, " k"]],
    moves: Moves | None = None,
    max_steps: int = MAX_ITERATIONS,
) -> Minimum:
    """Minimise a function given with its gradient and (approximate) Hessian.

    Parameters
    ----------
    evaluate
        Returns value, gradient and symmetric Hessian at x.
    start
        First point, shape (k,).
    tolerance
        Newton decrement at which to stop, in units of the function; one more full step follows.
    vanishing
        Tells which coordinates of the minimum to try at exactly zero.
    moves
        In which directions `evaluate` differentiates, and how steps along them are taken: by default the
        coordinates, and straight on.
    max_steps
        Largest number of evaluations.

    Returns
    -------
    Minimum
        Never raises: look at `result`.
    """
    moves = straight(len(start)) if moves is None else moves

    def step(state: State) -> State:
        return advance(evaluate, state, tolerance=tolerance, vanishing=vanishing, moves=moves)

    first = begin(start, moves.size)
    return jax.lax.while_loop(lambda s: ~s.done & (s.best.steps < max_steps), step, first).best


def begin(start: Float[jax.Array, "k *lanes"], size: int) -> State:
    """Return the state before the first evaluation, of which the derivatives have so many directions."""
    dtype, lanes = start.dtype, start.shape[1:]
    infinity, one, no = jnp.full(lanes, jnp.inf, dtype), jnp.ones(lanes, dtype), jnp.zeros(lanes, bool)
    identity = jnp.broadcast_to(along(np.eye(size, dtype=dtype), start), (size, size, *lanes))
    slope, steps, result = jnp.zeros((size, *lanes), dtype), jnp.zeros(lanes, int), jnp.full(lanes, MAX_STEPS)
    best = Minimum(start, infinity, slope, identity, infinity, steps, result)
    state = State(best, start, one, one, RADIUS * (1 + norm(start)), no, no)
    return jax.tree.map(lambda leaf: varying_like(leaf, start), state)


def advance(
    evaluate: Callable[[Float[jax.Array, " k"]], Evaluation],
    state: State,
    *,
    tolerance: float,
    vanishing: Callable[[Float[jax.Array, " k"]], Bool[jax.Array, " k"]],
    moves: Moves,
) -> State:
    """Evaluate at the trial point, accept or refuse it, and choose the next; arguments as in `newton`."""
    best, x = state.best, state.trial
    eps, tiny = jnp.finfo(x.dtype).eps, jnp.finfo(x.dtype).tiny
    value, gradient, hessian = evaluate(x)
    noise = 10 * eps * (1 + jnp.abs(value))
    first = ~jnp.isfinite(best.value)
    # The criterion is even: without a decrease asked for, x and -x can be exchanged for ever.
    accepted = (value <= best.value - SUFFICIENT * state.predicted + noise) | first
    new, old = (x, value, gradient, hessian), best[:4]
    x, value, gradient, hessian = (choose(accepted, a, b) for a, b in zip(new, old, strict=True))

    steep = moves.steepen(x, hessian)
    step, decrement, convex = downhill(steep, gradient)
    # Where the function does not vary, its Hessian is rounding, and every scale of it is wrong.
    most = jnp.abs(gradient).max(0) * state.radius + jnp.abs(hessian).max((0, 1)) * state.radius**2
    settled = accepted & ((convex & (decrement < tolerance)) | (most < tolerance))
    step = choose(most < tolerance, jnp.zeros_like(step), step)
    # How far the function fell, against how far the quadratic model said it would.
    ratio = (best.value - new[1]) / jnp.maximum(state.predicted, noise)
    poor = ~first & (ratio < POOR_RATIO) & (state.predicted > noise)
    radius = jnp.where(poor | ~accepted, SHRINK * state.length, state.radius)
    good = accepted & ~first & (ratio > GOOD_RATIO)
    radius = jnp.where(good, jnp.maximum(radius, GROW * state.length), radius)

    length = norm(step)
    step = step * beside(jnp.minimum(1, radius / jnp.maximum(length, tiny)), step)
    predicted = -dot(gradient + times(steep, step) / 2, step)
    trial = moves.retract(x, step)
    zeros = vanishing(trial) & (trial != 0)
    try_zeros = settled & zeros.any(0) & ~state.trying_zeros
    finished = settled & ~state.trying_zeros
    trial = jnp.where(beside(try_zeros, trial) & zeros, 0, trial)
    x = choose(finished & ~try_zeros, trial, x)

    stuck = radius < eps * (1 + norm(x))
    result = jnp.where(settled | state.trying_zeros, CONVERGED, jnp.where(stuck, STUCK, MAX_STEPS))
    broken = ~jnp.isfinite(value) | (stuck & ~jnp.isfinite(new[1]))
    result = jnp.where(broken, NON_FINITE, result)
    done = (finished & ~try_zeros) | state.trying_zeros | stuck | ~jnp.isfinite(value)
    best = Minimum(x, value, gradient, hessian, decrement, best.steps + 1, result)
    return State(best, trial, jnp.minimum(length, radius), predicted, radius, try_zeros, done)
