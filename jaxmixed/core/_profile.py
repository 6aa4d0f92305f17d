"""Profile likelihood: where the deviance, all other parameters at their best, has risen by zeta^2.

    zeta(w) = sign(w - w_hat) sqrt(deviance(w) - deviance(w_hat))

Every parameter and every value of zeta asked for is a lane of one batch: an outer search for w by the secant
method, in which zeta is nearly a straight line, around Newton's method over the free parameters, each
starting where the last two ended, extrapolated. Where w reaches the end of its range first, that end is the
answer and is marked as such. A correlation has no effect where one of its standard deviations is zero, so
that its profile never rises above the deviance there: see that of the standard deviation. The criterion is
that of maximum likelihood, as in lme4
(Bates, Maechler, Bolker & Walker 2015, section 5.1, doi:10.18637/jss.v067.i01).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from ._constraint import Constraint, crossed_over, deviance_of, parameters_of
from ._newton import Evaluation, newton
from ._suffstats import SuffStats
from ._types import Array, Scalar

FOUND, AT_END, FAILED = range(3)
SETTLED = 1e-7  # of zeta, after which one more secant step follows
INNER = 1e-8  # Newton decrement, on the deviance scale
ROUNDS = 40
LOWER = 1e-4  # a deviance this much below the lowest known: there is another, better fit
FARTHEST = 3.0  # times as far from the estimate as before, when no point beyond zeta is known yet


class Point(NamedTuple):
    """A point of a profile.

    Attributes
    ----------
    zeta
        Signed root of the rise of the deviance.
    values
        All parameters there: standard deviations and correlations in theta's order, sigma, beta.
    status
        `FOUND`, `AT_END` of the range before zeta was reached, or `FAILED`.
    """

    zeta: Scalar
    values: Float[Array, " all"]
    status: Int[Array, ""]


class _Search(NamedTuple):
    w: Scalar
    x: Float[Array, " m"]
    height: Scalar  # |zeta| there
    last_w: Scalar
    last_x: Float[Array, " m"]
    last_height: Scalar
    inner: Scalar  # farthest w known to be too near
    outer: Scalar  # nearest w known to be too far, or the end of the range
    outer_known: Bool[Array, ""]
    next_w: Scalar
    next_x: Float[Array, " m"]
    status: Int[Array, ""]
    rounds: Int[Array, ""]
    done: Bool[Array, ""]


def profile_point(held: Constraint, target: Scalar, lowest: Scalar, stats: SuffStats) -> Point:
    """Find where the profile of one parameter reaches a value of zeta; vmap it over lanes.

    Parameters
    ----------
    held
        The parameter.
    target
        zeta, not zero; negative below the estimate.
    lowest
        The deviance at the maximum likelihood estimate.
    stats
        Sufficient statistics.
    """
    direction, goal = jnp.sign(target), jnp.abs(target)
    end = jnp.where(direction > 0, held.high, held.low)

    def advance(s: _Search) -> _Search:
        w, x, best = s.next_w, *_minimise(s.next_x, s.next_w, held, stats)
        height = jnp.sqrt(jnp.maximum(best - lowest, 0))
        # A correlation of the other sign is no answer; the best of this sign has a zero deviation.
        height = jnp.where(crossed_over(x, held), 2 * goal, height)
        too_far = height >= goal
        inner, outer = jnp.where(too_far, s.inner, w), jnp.where(too_far, w, s.outer)
        outer_known = s.outer_known | too_far
        slope = (height - s.height) / (w - s.w)
        step = jnp.where(slope != 0, (goal - height) / jnp.where(slope != 0, slope, 1.0), jnp.inf)
        farthest = held.estimate + FARTHEST * (w - held.estimate)
        next_w = w + step
        next_w = jnp.where(
            outer_known, next_w, direction * jnp.minimum(direction * next_w, direction * farthest)
        )
        beyond = direction * (outer - next_w) <= 0
        next_w = jnp.where(beyond & ~outer_known, outer, next_w)
        outside = (direction * (next_w - inner) <= 0) | (beyond & outer_known) | ~jnp.isfinite(next_w)
        next_w = jnp.where(outside, (inner + outer) / 2, next_w)
        next_x = x + (x - s.x) * ((next_w - w) / (w - s.w))
        next_x = jnp.where(jnp.isfinite(next_x), next_x, x)

        at_end = (w == end) & ~too_far
        settled = (jnp.abs(height - goal) < SETTLED * (1 + goal)) | (w == s.w)
        failed = ~jnp.isfinite(height) | (best < lowest - LOWER)
        status = jnp.where(failed, FAILED, jnp.where(at_end, AT_END, jnp.where(settled, FOUND, s.status)))
        return _Search(
            w, x, height, s.w, s.x, s.height, inner, outer, outer_known, next_w, next_x,
            status, s.rounds + 1, at_end | settled | failed,
        )  # fmt: skip

    zero, dtype = jnp.zeros((), held.start.dtype), held.start.dtype
    first = held.estimate + direction * jnp.minimum(goal * held.step, jnp.abs(end - held.estimate))
    nowhere = (direction * (end - held.estimate) <= 0) | ~jnp.isfinite(held.estimate)
    estimate = held.estimate.astype(dtype)
    search = _Search(
        estimate, held.start, zero, estimate, held.start, zero, estimate, end.astype(dtype),
        jnp.asarray(False), first.astype(dtype), held.start,
        jnp.where(nowhere, AT_END, FAILED), jnp.asarray(0), nowhere,
    )  # fmt: skip
    s = jax.lax.while_loop(lambda s: ~s.done & (s.rounds < ROUNDS), advance, search)
    found = s.status == FOUND
    w = jnp.where(found & jnp.isfinite(s.next_w), s.next_w, s.w)
    x = jnp.where(found, s.next_x, s.x)
    zeta = direction * jnp.where(found, goal, s.height)
    return Point(zeta, parameters_of(x, w, held, stats), s.status)


def _minimise(x, w, held: Constraint, stats: SuffStats):
    def evaluate(x) -> Evaluation:
        def gradient(x):
            value, slope = jax.value_and_grad(deviance_of)(x, w, held, stats)
            return slope, (value, slope)

        hessian, (value, slope) = jax.jacfwd(gradient, has_aux=True)(x)
        return value, slope, hessian

    minimum = newton(evaluate, x, tolerance=INNER, vanishing=lambda x: jnp.zeros(len(x), bool))
    return minimum.x, minimum.value - minimum.decrement / 2
