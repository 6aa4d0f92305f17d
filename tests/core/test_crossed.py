"""Crossed factors formed in three ways, against dense algebra; and memory that is known beforehand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import dense_oracle, random_design, random_theta

from jaxmixed import core
from jaxmixed.core import _couplings_sparse, _crossed_memory, _crossed_plan
from jaxmixed.core._couplings_sparse import SparseCouplings
from jaxmixed.core._crossed_memory import GIB, dense_memory
from jaxmixed.core._dense import logdet_gram
from jaxmixed.core._structure import Structure

# Share of the columns whose products are matrices, and numbers of the array that these are formed in.
FORMS = {"pairs": (0, 100), "both": (0.5, 10_000), "both in blocks": (0.5, 20), "blocks": (1, 20)}


def formed(monkeypatch, form: str):
    """Let designs, which are small, be laid out in one of the ways that large ones are."""
    share, block = FORMS[form]
    monkeypatch.setattr(_crossed_plan, "PAIR", 0)
    monkeypatch.setattr(_crossed_plan, "COMMON", (share, 1))
    monkeypatch.setattr(_crossed_plan, "BLOCK", 0)
    monkeypatch.setattr(_couplings_sparse, "BLOCK", block)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("structure", ["crossed_sparse", "crossed_slopes"])
def test_forms(structure, form, monkeypatch):
    formed(monkeypatch, form)
    design = random_design(structure, 6, weights=True)
    theta = random_theta(design, 6)
    stats, truth = core.suffstats(design), dense_oracle(design, theta)
    couplings = stats.structure.couplings
    assert isinstance(couplings, SparseCouplings)
    assert len(couplings.common) == int(FORMS[form][0] * couplings.n_columns)
    assert (couplings.block[0] < couplings.n_levels) == form.endswith("blocks")
    np.testing.assert_allclose(core.criterion(theta, stats), truth.criterion, rtol=1e-10)
    effects = core.ranef(theta, truth.sigma, stats)
    for effect, modes, covariances in zip(effects, truth.modes, truth.conditional_cov, strict=True):
        np.testing.assert_allclose(effect.modes, modes, rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(effect.covariances, covariances, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("form", ["both", "both in blocks"])
def test_derivatives(form, monkeypatch, x64):
    """Gradient against the oracle's, Hessian against differences of that, with everything traced."""
    formed(monkeypatch, form)
    design = random_design("crossed_sparse", 7, weights=True)
    theta, stats = random_theta(design, 7), core.suffstats(design)
    slope = jax.jit(jax.grad(core.criterion))(theta, stats)
    np.testing.assert_allclose(slope, dense_oracle(design, theta).gradient, rtol=1e-9)
    hessian, step = np.asarray(jax.jit(jax.hessian(core.criterion))(theta, stats)), 1e-5
    for e, row in zip(np.eye(len(theta)), hessian, strict=True):
        up, down = (dense_oracle(design, theta + s * step * e).gradient for s in (1, -1))
        np.testing.assert_allclose(row, (up - down) / (2 * step), rtol=1e-5, atol=1e-6 * np.abs(row).max())


@pytest.mark.parametrize("structure", ["crossed_sparse", "crossed_slopes"])
def test_curvature(structure, monkeypatch, x64):
    """Closed form, with inverses of Psi and, at a variance of zero, without: as by differentiation."""
    formed(monkeypatch, "both in blocks")
    design = random_design(structure, 8, weights=True)
    stats = core.suffstats(design)
    theta = random_theta(design, 8)
    first_of_others = len(theta) - sum(b * (b + 1) // 2 for b in stats.blocks[1])
    for t in (theta, np.where(np.arange(len(theta)) >= first_of_others, 0, theta)):
        factors = core.conditioned_factors(t, stats)
        directions = [
            np.stack([np.ones((len(L), len(L))), np.eye(len(L))])[: 1 + (len(L) > 1)] for L in factors
        ]
        found = stats.structure.curvature(factors, directions, stats.C)
        differentiated = jax.jit(
            lambda s, f=factors, d=directions: Structure.curvature(s.structure, f, d, s.C)
        )(jax.tree.map(jnp.asarray, stats))
        for mine, theirs in zip(found, differentiated, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-8, atol=1e-8 * np.abs(theirs).max())


def test_stacked(monkeypatch, x64):
    """Brought to a common shape, several designs keep their criteria."""
    formed(monkeypatch, "both in blocks")
    designs = [random_design("crossed_sparse", seed, weights=True) for seed in (9, 10)]
    stats = [core.suffstats(design) for design in designs]
    theta = random_theta(designs[0], 9)
    truth = [core.criterion(theta, s) for s in stats]
    for group in core.stack(stats):
        found = jax.jit(jax.vmap(lambda s: core.criterion(jnp.asarray(theta), s)))(group.stats)
        np.testing.assert_allclose(found, [truth[i] for i in group.index], rtol=1e-10)


def ratings(n: int, users: int, items: int) -> tuple[core.RandomTerm, ...]:
    rng, ones = np.random.default_rng(1), np.ones((n, 1))
    codes = [np.concatenate([np.arange(m), rng.integers(0, m, n - m)]) for m in (users, items)]
    return tuple(core.RandomTerm(ones, c, m, (1,)) for c, m in zip(codes, (users, items), strict=True))


@pytest.mark.parametrize("users, items", [(300, 200), (2_000, 50)])
def test_estimate_of_memory(users, items):
    """The structure's own arrays, and four D x D at work, take less than estimated, and not much less."""
    terms = ratings(5_000, users, items)
    stats = core.suffstats(core.Design(np.arange(5_000.0) % 7, np.ones((5_000, 1)), terms))
    held = sum(leaf.nbytes for leaf in jax.tree.leaves(stats.structure)) + 4 * 8 * items**2
    estimate = dense_memory(terms) - 8 * _couplings_sparse.BLOCK
    assert held < estimate < 8 * held


def test_too_large(monkeypatch):
    """The shape of the largest MovieLens: refused at once, with the numbers and what to do."""
    monkeypatch.setattr(_crossed_memory, "free_memory", lambda: 20 * GIB)
    terms = ratings(300_000, 200_948, 84_432)
    design = core.Design(np.zeros(300_000), np.ones((300_000, 1)), terms)
    with pytest.raises(ValueError, match="200,948, 84,432 levels") as error:
        core.plan(core.condition(design), "direct")
    assert "84,432 x 84,432, about 531" in str(error.value)
    assert "18.0 GiB" in str(error.value)
    assert 'solver="iterative"' in str(error.value)
    monkeypatch.setattr(_crossed_memory, "free_memory", lambda: None)
    assert dense_memory(terms) > 8 * 8 * 84_432**2


def test_free_memory(monkeypatch, tmp_path):
    """What the machine says, or its container where that is less; nothing where neither does."""
    assert _crossed_memory.free_memory() > GIB / 8
    (tmp_path / "memory.max").write_text("3000\n")
    (tmp_path / "memory.current").write_text("1000\n")
    monkeypatch.setattr(_crossed_memory, "CGROUP", tmp_path)
    assert _crossed_memory.free_memory() == 2000
    (tmp_path / "memory.max").write_text("max\n")
    assert _crossed_memory.free_memory() > GIB / 8


@pytest.mark.parametrize("D", [70, 151, 701])
def test_large_inverse(D, x64):
    """Factored, swept (strips that do not come out even), and by halves: as the library has it."""
    A = np.random.default_rng(D).normal(size=(D, D))
    S, W = A @ A.T / D + np.eye(D), A[:, :2]
    truth = np.linalg.inv(S)
    for logdet, gram, inverse in (logdet_gram(np.tril(S), W), jax.jit(logdet_gram)(np.tril(S), W)):
        np.testing.assert_allclose(logdet, np.linalg.slogdet(S)[1], rtol=1e-12)
        np.testing.assert_allclose(gram, W.T @ truth @ W, rtol=1e-10)
        np.testing.assert_allclose(inverse, truth, rtol=0, atol=1e-13)
