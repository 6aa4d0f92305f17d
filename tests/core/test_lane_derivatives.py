"""The closed form of the criterion's derivatives in lanes against JAX's, fit by fit."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import STRUCTURES, random_design, random_theta, with_slow_ones_marked

from jaxmixed import core
from jaxmixed.core._fit import differentiated
from jaxmixed.core._lane_derivatives import evaluate, lane_stats
from jaxmixed.core._one_factor import OneFactor, Patterns

FITS = 3


def one_factor_structures():
    found = [name for name in STRUCTURES if len(random_design(name, 3).terms) == 1]
    return with_slow_ones_marked(found)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("structure", one_factor_structures())
def test_equal_to_automatic_derivatives(structure, compressed, x64):
    """With all statistics of each fit its own (as ML), and with the response's alone (as REML)."""
    design = random_design(structure, 3)
    stats = core.compress(design) if compressed else core.suffstats(design)
    assert isinstance(stats.structure, OneFactor | Patterns)
    thetas = np.stack([random_theta(design, seed) for seed in range(FITS)], axis=-1)
    traced = jax.jit(differentiated, static_argnums=2)
    for reml in (True, False):
        own, shared = _separated(stats, by_response=reml)
        lanes = lane_stats(own, jax.tree.map(jnp.asarray, shared), reml)
        found = evaluate(jnp.asarray(thetas), lanes, stats.blocks[0], reml)
        for i in range(FITS):
            truth = traced(jnp.asarray(thetas[:, i]), jax.tree.map(jnp.asarray, stats), reml)
            for part, expected in zip(found, truth, strict=True):
                scale = 1 + np.abs(expected).max()
                np.testing.assert_allclose(part[..., i] / scale, expected / scale, atol=1e-12)


def _separated(stats, by_response: bool):
    """Return statistics repeated with lanes last, those of the response or all of them, and the others."""
    names = ("C", "scale", "gamma_ols", "B", "G")

    def axis(path, leaf):
        return 0 if not by_response or getattr(path[-1], "name", None) in names else None

    axes = jax.tree_util.tree_map_with_path(axis, stats) if by_response else 0
    every = jax.tree.map(
        lambda a, leaf: leaf if a is None else np.stack([leaf] * FITS),
        jax.tree.broadcast(axes, stats, is_leaf=lambda a: a is None),
        stats,
        is_leaf=lambda a: a is None,
    )
    own, recipe = core.given(every, axes)
    return jax.tree.map(lambda leaf: jnp.moveaxis(jnp.asarray(leaf), 0, -1), own), recipe.ingredients


def test_no_fixed_effects(x64):
    """p = 0: nothing to profile but sigma."""
    design = random_design("one_pattern_slope", 3)
    design = eqx.tree_at(lambda d: d.X, design, design.X[:, :0])
    stats = core.compress(design)
    theta = random_theta(design, 0)
    own, shared = _separated(stats, by_response=True)
    lanes = lane_stats(own, jax.tree.map(jnp.asarray, shared), True)
    found = evaluate(jnp.stack([jnp.asarray(theta)] * FITS, -1), lanes, stats.blocks[0], True)
    np.testing.assert_allclose(found[0], core.criterion(theta, _unconditioned(theta, stats)), rtol=1e-12)


def _unconditioned(theta, stats):
    """Return statistics for which theta is in conditioned coordinates already."""
    return eqx.tree_at(lambda s: s.T, stats, tuple(np.eye(len(T)) for T in stats.T))
