"""Small matrices without library calls, in batches and differentiated."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import random_design

from jaxmixed import core
from jaxmixed.core._small import eigen, logdet_inverse


@pytest.mark.parametrize("q", [1, 2, 3])
@pytest.mark.parametrize("batch", [(), (1,), (7, 4)])
def test_determinants_and_inverses(q, batch):
    root = np.random.default_rng(q).normal(size=(*batch, q, 2 * q))
    M = root @ root.swapaxes(-1, -2) + np.eye(q)
    logdet, inverse = logdet_inverse(M)
    np.testing.assert_allclose(logdet, np.linalg.slogdet(M)[1], rtol=1e-13)
    np.testing.assert_allclose(inverse, np.linalg.inv(M), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("q", [1, 2, 3])
def test_what_is_not_positive_definite_has_no_determinant(q):
    """And no warning: the caller asks whether the criterion is a number."""
    indefinite = np.eye(q)
    indefinite[-1, -1] = -1
    assert np.isnan(logdet_inverse(indefinite)[0])


@pytest.mark.parametrize("q", [1, 2, 5, 12])
def test_eigenvectors(q, x64):
    """Singular, repeated and ill-scaled ones among them."""
    root = np.random.default_rng(q).normal(size=(12, q, q))
    matrices = root @ root.swapaxes(1, 2)
    matrices[0], matrices[1], matrices[2] = np.eye(q), np.ones((q, q)), 0
    matrices[3] *= np.outer(*[np.geomspace(1e-6, 1, q)] * 2)
    d, P = jax.jit(jax.vmap(eigen))(jnp.asarray(matrices))
    size = np.abs(matrices).max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(
        P * d[:, None] @ P.swapaxes(1, 2) / (size + 1e-99), matrices / (size + 1e-99), atol=1e-13
    )
    np.testing.assert_allclose(P.swapaxes(1, 2) @ P, np.broadcast_to(np.eye(q), P.shape), atol=1e-13)


def test_the_derivative_of_eigenvectors(x64):
    """Of tr(sqrt(M) W), whose differences are taken, also where eigenvalues are equal."""
    rng = np.random.default_rng(1)
    root, W, direction = rng.normal(size=(3, 4, 4))
    W, direction = W + W.T, direction + direction.T

    def trace(M):
        d, P = eigen(M)
        return ((P * jnp.sqrt(d)) @ P.T * W).sum()

    M, h = jnp.asarray(root @ root.T + np.eye(4)), 1e-5
    difference = (trace(M + h * direction) - trace(M - h * direction)) / (2 * h)
    for value in (jax.jvp(trace, (M,), (jnp.asarray(direction),))[1], (jax.grad(trace)(M) * direction).sum()):
        np.testing.assert_allclose(value, difference, rtol=1e-7)


def test_joint_tests_in_batches_call_no_library(x64):
    stats, L = core.compress(random_design("few_patterns", 1)), np.eye(3)[1:]

    def joint(theta, stats):
        return core.kenward_roger(theta, stats).f_test(L)

    thetas = np.array([[0.5, 0.1, 0.4], [0.3, 0.0, 0.2]])
    traced = jax.tree.map(jnp.asarray, stats)
    program = jax.jit(jax.vmap(lambda theta: joint(theta, traced))).lower(thetas)
    # One triangular solve with the R that all share is none of a batch.
    assert set(re.findall(r"lapack_\w+", program.as_text())) <= {"lapack_dtrsm_ffi"}
    found = zip(*program.compile()(thetas), strict=True)
    for ours, theta in zip(found, thetas, strict=True):
        np.testing.assert_allclose(ours, joint(theta, stats), rtol=1e-8)
