"""Solving B x = w, and w'log(B)w, for many columns w at once, from products with B alone.

The method of conjugate gradients makes, on its way, the tridiagonal matrix T that Lanczos' method makes of
B and w, and with it

    w'f(B)w  ~  |w|^2 e_1'f(T)e_1,     log T = integral over s > 0 of 1 / (1 + s) - (T + s)^-1

(Golub & Meurant 2010, Matrices, Moments and Quadrature), exact to the square of the error of x. Nothing is
kept of earlier steps but T, so that memory does not grow with their number. Columns that have converged
stand still. (Libraries solve for one column at a time, and keep T to themselves or all of Lanczos' basis
with it.) A vector is a tuple of arrays, one a factor, shape (J, q, m), its m columns last.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Float, Int

from ._types import Array

Columns = tuple[Float[Array, "J q m"], ...]
Operator = Callable[[Columns], Columns]

MAX_STEPS = 1000
TOLERANCE = 1e-8  # of the residual, relative to the column; float32 reaches 1e-5
# Trapezoids in u = log s: the error falls as exp(-2 pi^2 / h), below 1e-11, and the tails beyond e^-45.
STEP = 0.75
NODES = np.exp(np.arange(-45.0, 45.1, STEP))


class Krylov(NamedTuple):
    """What conjugate gradients found.

    Attributes
    ----------
    diagonal, beside
        T of each column, its diagonal and what stands beside it: element k belongs to rows k and k + 1.
        Rows beyond a column's last step are those of the identity. Shape (steps, m).
    residual
        |B x - w| / |w| of each column, shape (m,).
    steps
        Number of products with B.
    """

    diagonal: Float[Array, "s m"]
    beside: Float[Array, "s m"]
    residual: Float[Array, " m"]
    steps: Int[Array, ""]

    def of(self, columns: slice) -> "Krylov":
        """Return what belongs to some of the columns."""
        return Krylov(self.diagonal[:, columns], self.beside[:, columns], self.residual[columns], self.steps)


def dot(x: Columns, y: Columns) -> Float[Array, " m"]:
    """Return the inner product of each column of x with that of y."""
    return jnp.stack([(a * b).sum((0, 1)) for a, b in zip(x, y, strict=True)]).sum(0)


def solve(B: Operator, w: Columns) -> tuple[Columns, Krylov]:
    """Return B^-1 w for a symmetric positive definite B, and how it was reached.

    B is a pytree that multiplies columns when called. x is differentiable in its leaves and in w, to any
    order, by d x = B^-1(dw - dB x); `Krylov` counts as constant.
    """
    x, krylov = _conjugate_gradients(*jax.lax.stop_gradient((B, w)))
    return _solution(x, B, w), krylov


@jax.custom_jvp
def _solution(x, B, w):
    return x


def _solution_rule(primals, tangents):
    (x, B, w), (_, d_B, dw) = primals, tangents
    x = _solution(x, B, w)
    moved = moved_by(B, d_B, x)
    right = [] if is_constant(dw) else [dw]
    right += [] if moved is None else [tuple(-part for part in moved)]
    if not right:
        return x, jax.tree.map(jnp.zeros_like, x)
    total = tuple(sum(parts) for parts in zip(*right, strict=True))
    return x, jax.lax.custom_linear_solve(B, total, _solved, symmetric=True)


def _solved(B, w):
    return _conjugate_gradients(B, w)[0]


_solution.defjvp(_solution_rule, symbolic_zeros=True)


def is_constant(tangent: Columns) -> bool:
    """Tell whether a tangent, as a rule with symbolic zeros is given it, is zero throughout."""
    return all(isinstance(part, SymbolicZero) for part in tangent)


def moved_by(B: Operator, d_B: Operator, x: Columns) -> Columns | None:
    """Return dB x, or None if nothing of B moves; tangents of B are those of a rule with symbolic zeros."""
    primals, tree = jax.tree.flatten(B)
    tangents = jax.tree.leaves(d_B, is_leaf=lambda leaf: isinstance(leaf, SymbolicZero))
    moving = [i for i, d in enumerate(tangents) if not isinstance(d, SymbolicZero)]
    moving = [i for i in moving if jnp.issubdtype(primals[i].dtype, jnp.inexact)]
    if not moving:
        return None

    def product(*leaves):
        inside = dict(zip(moving, leaves, strict=True))
        return tree.unflatten([inside.get(i, leaf) for i, leaf in enumerate(primals)])(x)

    _, moved = jax.jvp(product, [primals[i] for i in moving], [tangents[i] for i in moving])
    return moved


def _conjugate_gradients(B, w):
    dtype, m = w[0].dtype, w[0].shape[2]
    tolerance = max(TOLERANCE, 100 * float(jnp.finfo(dtype).eps))
    size = dot(w, w)
    limit = tolerance**2 * size

    def going(state):
        step, *_, active = state
        return (step < MAX_STEPS) & active.any()

    def advance(state):
        step, x, r, p, rr, carried, diagonal, beside, active = state
        q = B(p)
        a = jnp.where(active, rr / jnp.where(active, dot(p, q), 1), 0)
        x = jax.tree.map(lambda x, p: x + a * p, x, p)
        r = jax.tree.map(lambda r, q: r - a * q, r, q)
        after = dot(r, r)
        still = active & (after > limit)
        b = jnp.where(still, after / jnp.where(active, rr, 1), 0)
        p = jax.tree.map(lambda r, p: jnp.where(still, r + b * p, 0), r, p)
        safe = jnp.where(active, a, 1)
        diagonal = diagonal.at[step].set(jnp.where(active, 1 / safe + carried, 1))
        beside = beside.at[step].set(jnp.sqrt(b) / safe)
        return step + 1, x, r, p, jnp.where(active, after, rr), b / safe, diagonal, beside, still

    zero = jax.tree.map(jnp.zeros_like, w)
    ones = jnp.ones((MAX_STEPS, m), dtype)
    start = (jnp.asarray(0), zero, w, w, size, jnp.zeros_like(size), ones, 0 * ones, size > 0)
    steps, x, _, _, rr, _, diagonal, beside, _ = jax.lax.while_loop(going, advance, start)
    residual = jnp.sqrt(rr / jnp.where(size > 0, size, 1))
    return x, Krylov(diagonal, beside, residual, steps)


def log_quadrature(krylov: Krylov) -> Float[Array, " m"]:
    """Return e_1'log(T)e_1 of each column."""
    s = jnp.asarray(NODES, krylov.diagonal.dtype)[:, None]

    def eliminate(below, row):
        diagonal, beside = row
        return 1 / (diagonal + s - beside**2 * below), None

    start = jnp.zeros((len(NODES), krylov.diagonal.shape[1]), s.dtype)
    corner, _ = jax.lax.scan(eliminate, start, (krylov.diagonal, krylov.beside), reverse=True)
    return STEP * (s / (1 + s) - s * corner).sum(0)
