"""A dense oracle in NumPy, and random designs of every structure.

The oracle forms the marginal covariance V = Z Psi Z' + W^-1 of all rows, relative to sigma^2, and works
from there, sharing no formula with the package but the definition of the model.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from scipy.linalg import block_diag, cho_solve, solve_triangular

from jaxmixed.core._design import Design, RandomTerm


@dataclass(frozen=True)
class Dense:
    """What the oracle knows of a design at one theta.

    `gradient` is that of `criterion` in theta. `modes` and `conditional_cov` hold an array for each factor,
    of shapes (J, q) and (J, q, q); the covariance is that given y, beta and theta, on the scale of y.
    """

    criterion: float
    gradient: np.ndarray
    beta: np.ndarray
    sigma: float
    vcov_beta: np.ndarray
    modes: tuple[np.ndarray, ...]
    conditional_cov: tuple[np.ndarray, ...]
    fitted: np.ndarray


def dense_oracle(design: Design, theta: np.ndarray, *, reml: bool = True) -> Dense:
    """Evaluate a model by dense algebra; theta as in lme4, factor by factor, block by block."""
    X, y = np.asarray(design.X, float), np.asarray(design.y, float)
    n, p = X.shape
    offset = np.zeros(n) if design.offset is None else np.asarray(design.offset, float)
    w = np.ones(n) if design.weights is None else np.asarray(design.weights, float)
    Z = [_indicators(t) for t in design.terms]
    Lambda = lower_factors(design, theta)

    V = np.diag(1 / w)
    for z, L, term in zip(Z, Lambda, design.terms, strict=True):
        half = z @ np.kron(np.eye(term.n_levels), L)
        V += half @ half.T
    root = np.linalg.cholesky(V)
    Xs, ys = (solve_triangular(root, a, lower=True) for a in (X, y - offset))
    Q, R = np.linalg.qr(Xs)
    beta = solve_triangular(R, Q.T @ ys)
    residual = ys - Q @ (Q.T @ ys)
    residual -= Q @ (Q.T @ residual)
    dof = n - p if reml else n
    sigma2 = residual @ residual / dof
    criterion = 2 * np.log(np.diag(root)).sum() + dof * (1 + math.log(2 * math.pi * sigma2))
    if reml:
        criterion += 2 * np.log(np.abs(np.diag(R))).sum()

    q = solve_triangular(root, residual, lower=True, trans="T")
    projected = solve_triangular(root, np.eye(n), lower=True)
    if reml:
        projected = projected - Q @ (Q.T @ projected)
    modes, gradient = [], []
    for z, L, term in zip(Z, Lambda, design.terms, strict=True):
        half, score = projected @ z, (z.T @ q).reshape(term.n_levels, -1)
        traces = np.einsum("nja,njb->ab", *2 * [half.reshape(n, *score.shape)])
        slope = 2 * (traces - score.T @ score / sigma2) @ L
        gradient.append(slope[lower_positions(term.blocks)])
        modes.append(score @ L @ L.T)

    root_R = solve_triangular(R, np.eye(p))
    return Dense(
        criterion=float(criterion),
        gradient=np.concatenate(gradient),
        beta=beta,
        sigma=math.sqrt(sigma2),
        vcov_beta=sigma2 * root_R @ root_R.T,
        modes=tuple(modes),
        conditional_cov=_conditional_covariances(design, Z, Lambda, w, sigma2),
        fitted=X @ beta + offset + sum(z @ b.ravel() for z, b in zip(Z, modes, strict=True)),
    )


def lower_positions(blocks: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of each element of theta in the factor of one term."""
    starts = np.cumsum([0, *blocks[:-1]])
    cells = [
        (s + i, s + j) for s, b in zip(starts, blocks, strict=True) for j in range(b) for i in range(j, b)
    ]
    rows, columns = zip(*cells, strict=True)
    return np.array(rows), np.array(columns)


def lower_factors(design: Design, theta: np.ndarray) -> list[np.ndarray]:
    """Cut theta up into the relative covariance factor of each term."""
    factors, used = [], 0
    for term in design.terms:
        rows, columns = lower_positions(term.blocks)
        L = np.zeros((term.z.shape[1],) * 2)
        L[rows, columns] = np.asarray(theta, float)[used : used + len(rows)]
        factors.append(L)
        used += len(rows)
    return factors


def random_theta(design: Design, seed: int, *, scale: float = 0.7) -> np.ndarray:
    """Draw a theta for a design, with a positive diagonal."""
    rng = np.random.default_rng([seed, 1])
    parts = []
    for term in design.terms:
        rows, columns = lower_positions(term.blocks)
        draw = scale * rng.normal(size=len(rows))
        parts.append(np.where(rows == columns, np.abs(draw) + 0.05, draw))
    return np.concatenate(parts)


def _indicators(term: RandomTerm) -> np.ndarray:
    """Z of one term, shape (n, J q), the effects of a level side by side."""
    n, q = term.z.shape
    Z = np.zeros((n, term.n_levels, q))
    Z[np.arange(n), np.asarray(term.codes)] = term.z
    return Z.reshape(n, -1)


def _conditional_covariances(design, Z, Lambda, w, sigma2) -> tuple[np.ndarray, ...]:
    """Diagonal blocks of sigma^2 Lambda (I + Lambda'Z'WZ Lambda)^-1 Lambda', no difference taken."""
    J = [t.n_levels for t in design.terms]
    full = block_diag(*[np.kron(np.eye(j), L) for j, L in zip(J, Lambda, strict=True)])
    half = np.sqrt(w)[:, None] * (np.hstack(Z) @ full)
    root = np.linalg.cholesky(np.eye(half.shape[1]) + half.T @ half)
    cov = sigma2 * full @ cho_solve((root, True), full.T)
    blocks, first = [], 0
    for j, L in zip(J, Lambda, strict=True):
        q = len(L)
        part = cov[first : first + j * q, first : first + j * q].reshape(j, q, j, q)
        blocks.append(part[np.arange(j), :, np.arange(j), :])
        first += j * q
    return tuple(blocks)


# --- random designs --------------------------------------------------------------------------------------


def _term(rng, codes, q: int, blocks: tuple[int, ...] | None = None, *, z=None) -> RandomTerm:
    """Build a term of an intercept and q - 1 covariates, levels renumbered so that each occurs."""
    levels, codes = np.unique(codes, return_inverse=True)
    if z is None:
        z = np.column_stack([np.ones(len(codes)), rng.normal(size=(len(codes), q - 1))])
    return RandomTerm(z, codes.astype(np.int32), len(levels), blocks or (q,))


def _sizes(rng, J: int, low: int, high: int) -> np.ndarray:
    """Codes of J groups of random sizes."""
    return np.repeat(np.arange(J), rng.integers(low, high, size=J))


def _balanced(rng, q: int, blocks=None) -> tuple[RandomTerm, ...]:
    """Every group sees the same covariates: one pattern."""
    J, m = 7, 5
    z = np.column_stack([np.arange(m) ** k / 2.0**k for k in range(q)])
    return (_term(rng, np.repeat(np.arange(J), m), q, blocks, z=np.tile(z, (J, 1))),)


def _single(rng, q: int, blocks=None, *, J: int = 8, low: int = 2, high: int = 8) -> tuple[RandomTerm, ...]:
    return (_term(rng, rng.permutation(_sizes(rng, J, low, high)), q, blocks),)


def _few_patterns(rng) -> tuple[RandomTerm, ...]:
    """Two covariate histories shared out over the groups."""
    histories = [np.column_stack([np.ones(m), rng.normal(size=m)]) for m in (3, 5)]
    which = rng.integers(2, size=9)
    codes = np.concatenate([np.full(len(histories[h]), j) for j, h in enumerate(which)])
    return (_term(rng, codes, 2, z=np.vstack([histories[h] for h in which])),)


def _nested(rng, depth: int, q: int = 1) -> tuple[RandomTerm, ...]:
    """Each level of one factor is split by the next; the outermost has q effects, the others one."""
    codes = np.arange(4)
    chain = [codes]
    for _ in range(depth - 1):
        parents = rng.integers(1, 4, size=len(codes))
        chain = [np.repeat(c, parents) for c in chain]
        codes = np.arange(len(chain[0]))
        chain.append(codes)
    rows = rng.integers(1, 5, size=len(codes))
    chain = [np.repeat(c, rows) for c in chain]
    shuffle = rng.permutation(len(chain[0]))
    return tuple(_term(rng, c[shuffle], q if i == 0 else 1) for i, c in enumerate(chain))


def _nested_unequal(rng) -> tuple[RandomTerm, ...]:
    """One school has many classes, the others one; one class has many pupils."""
    school = np.repeat(np.arange(6), [1, 1, 14, 1, 1, 1])
    pupils = np.where(np.arange(len(school)) == 4, 25, 1)
    klass, school = np.repeat(np.arange(len(school)), pupils), np.repeat(school, pupils)
    pupil = np.arange(len(klass))
    shuffle = rng.permutation(np.repeat(pupil, 2))
    return tuple(_term(rng, c[shuffle], 1) for c in (school, klass, pupil))


def _crossed(rng, levels: tuple[int, ...], q: tuple[int, ...], n: int = 70) -> tuple[RandomTerm, ...]:
    """Rows fall into cells at random, so that some cells are empty and others have several."""
    return tuple(_term(rng, rng.integers(j, size=n), k) for j, k in zip(levels, q, strict=True))


def _complete(rng) -> tuple[RandomTerm, ...]:
    """Build a full two-way table with two rows in each cell."""
    a, b = (g.ravel() for g in np.meshgrid(np.arange(6), np.arange(4), indexing="ij"))
    return _term(rng, np.tile(a, 2), 1), _term(rng, np.tile(b, 2), 1)


def _partially_crossed(rng) -> tuple[RandomTerm, ...]:
    """Pupils mostly stay in one school; a few move."""
    pupil = np.repeat(np.arange(15), 4)
    school = np.where(rng.random(60) < 0.85, pupil % 4, rng.integers(4, size=60))
    return _term(rng, pupil, 1), _term(rng, school, 1)


def _nested_and_crossed(rng) -> tuple[RandomTerm, ...]:
    terms = _nested(rng, 2)
    return (*terms, _term(rng, rng.integers(3, size=len(terms[0].codes)), 1))


STRUCTURES: dict[str, Callable[[np.random.Generator], tuple[RandomTerm, ...]]] = {
    "intercept": lambda rng: _single(rng, 1),
    "one_pattern_intercept": lambda rng: _balanced(rng, 1),
    "one_row_groups": lambda rng: _single(rng, 1, J=12, low=1, high=2),
    "mostly_one_row_groups": lambda rng: _single(rng, 2, J=14, low=1, high=4),
    "two_levels": lambda rng: _single(rng, 1, J=2, low=4, high=9),
    "distinct_patterns": lambda rng: _single(rng, 2),
    "one_pattern_slope": lambda rng: _balanced(rng, 2),
    "few_patterns": _few_patterns,
    "diagonal": lambda rng: _single(rng, 3, (1, 1, 1)),
    "blocks_two_one": lambda rng: _single(rng, 3, (2, 1)),
    "blocks_one_two": lambda rng: _balanced(rng, 3, (1, 2)),
    "three_by_three": lambda rng: _single(rng, 3, low=3),
    "six_by_six": lambda rng: _single(rng, 6, J=7, low=6, high=10),
    "nested_two": lambda rng: _nested(rng, 2),
    "nested_three": lambda rng: _nested(rng, 3),
    "nested_unequal": _nested_unequal,
    "nested_two_slope": lambda rng: _nested(rng, 2, q=2),
    "crossed_complete": _complete,
    "crossed_two": lambda rng: _crossed(rng, (9, 5), (1, 1)),
    "crossed_sparse": lambda rng: _crossed(rng, (20, 11), (1, 1), n=45),
    "crossed_three": lambda rng: _crossed(rng, (8, 5, 3), (1, 1, 1)),
    "crossed_slopes": lambda rng: _crossed(rng, (8, 5), (2, 2)),
    "partially_crossed": _partially_crossed,
    "nested_and_crossed": _nested_and_crossed,
}
NESTED = tuple(n for n in STRUCTURES if n.startswith("nested_") and "crossed" not in n)
CROSSED = tuple(n for n in STRUCTURES if "crossed" in n)
ONE_FACTOR = tuple(n for n in STRUCTURES if n not in NESTED + CROSSED)


# One structure of each kind, for tests that compile a program for every structure.
QUICK = (
    "intercept",
    "few_patterns",
    "blocks_two_one",
    "nested_two_slope",
    "crossed_two",
    "nested_and_crossed",
)


def with_slow_ones_marked(structures: Iterable[str]) -> list[Any]:
    """Return structures as pytest parameters, slow unless they are the first of their kind."""
    return [pytest.param(s, marks=[] if s in QUICK else [pytest.mark.slow]) for s in structures]


def random_design(structure: str, seed: int, *, weights: bool = False, offset: bool = False) -> Design:
    """Draw a design of one structure: NumPy arrays in double precision, reproducible from the seed."""
    rng = np.random.default_rng([seed, *structure.encode()])
    terms = STRUCTURES[structure](rng)
    n = len(terms[0].codes)
    X = np.column_stack([np.ones(n), rng.normal(size=(n, 2))])
    y = X @ rng.normal(size=3) + rng.normal(size=n)
    for term in terms:
        effects = rng.normal(size=(term.n_levels, term.z.shape[1]))
        y = y + np.einsum("nq,nq->n", term.z, effects[term.codes])
    return Design(
        y=y,
        X=X,
        terms=terms,
        weights=rng.uniform(0.2, 5.0, size=n) if weights else None,
        offset=rng.normal(size=n) if offset else None,
    )


def designs(structures: tuple[str, ...] = tuple(STRUCTURES)) -> st.SearchStrategy[Design]:
    """Hypothesis: designs of the given structures, with and without weights and offset."""
    return st.builds(
        random_design,
        st.sampled_from(structures),
        st.integers(0, 10_000),
        weights=st.booleans(),
        offset=st.booleans(),
    )
