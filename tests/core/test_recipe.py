"""Statistics made where they are needed: fits of draws, and what is read of them."""

from itertools import pairwise
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import random_design, random_theta

from jaxmixed import core
from jaxmixed.core._covariance import rectify
from jaxmixed.core._lane_theta import unconditioned_lanes
from jaxmixed.core._suffstats import unconditioned

DIFFER = ("C", "gamma_ols", "scale", "G", "B", "rows")


def _make(number, ingredients):
    key, model = ingredients
    return core.draw(core.fold_in(key, number), model)


def _read(theta, stats, power):
    found = core.estimates(theta, stats, True)
    return {"beta": found.beta, "moved": found.sigma**power, "large": found.sigma > 1}


@pytest.fixture(scope="module")
def model():
    with jax.enable_x64(True):
        design = random_design("one_pattern_slope", 3)
        stats = core.compress(design)
        return core.sampler(random_theta(design, 0), np.ones(stats.p), 1.5, stats)


@pytest.fixture(scope="module")
def recipe(model):
    with jax.enable_x64(True):
        ingredients = jax.random.key(1), model
        like = jax.eval_shape(_make, 0, ingredients)
        paths = jax.tree_util.tree_flatten_with_path(like)[0]
        differs = tuple(any(getattr(part, "name", None) in DIFFER for part in path) for path, _ in paths)
        return core.Recipe(_make, ingredients, like, differs)


@pytest.mark.parametrize("count", [1, 7, 300, 1500])
def test_made_and_given_statistics_have_the_same_fits(recipe, count, x64):
    """In one program or three: drawn, fitted, read. Lanes that take long are drawn again."""
    numbers = np.arange(2000)[-count:]
    theta = np.full(len(recipe.like.blocks) * 3, 0.5)
    found, read = core.fit_made(recipe, numbers, _read, (2.0,), True, theta)
    drawn = jax.jit(jax.vmap(_make, in_axes=(0, None)))(numbers, recipe.ingredients)
    apart = core.fit_batch(drawn, theta=theta)
    np.testing.assert_array_equal(found.result, 0)
    np.testing.assert_allclose(found.criterion, apart.criterion, rtol=1e-9)
    np.testing.assert_allclose(found.theta, apart.theta, rtol=1e-5, atol=1e-7)
    expected = jax.vmap(lambda theta, stats: _read(theta, stats, 2.0))(found.theta, drawn)
    np.testing.assert_allclose(read["beta"], expected["beta"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(read["moved"], expected["moved"], rtol=1e-9)
    np.testing.assert_array_equal(read["large"], expected["large"])
    assert read["large"].dtype == bool and len(read["large"]) == count


def test_a_fit_is_the_same_wherever_it_stands(recipe, x64):
    theta = np.array([0.5, 0.1, 0.5])
    whole, read = core.fit_made(recipe, np.arange(1200), _read, (1.0,), True, theta)
    order = np.random.default_rng(0).permutation(1200)[:500]
    some, of_some = core.fit_made(recipe, order, _read, (1.0,), True, theta)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[order], b), (whole, read), (some, of_some))


@pytest.mark.parametrize("own_T", [False, True])
@pytest.mark.parametrize("blocks", [((1,),), ((3,), (1, 2)), ((6,),)])
def test_theta_of_lanes(blocks, own_T, x64):
    """Against one lane at a time."""
    rng, lanes = np.random.default_rng(0), 5
    sizes = [sum(b) for b in blocks]
    k = sum(b * (b + 1) // 2 for block in blocks for b in block)
    x = rng.normal(size=(k, lanes))
    T = [np.tril(rng.normal(size=(lanes, q, q))) + 3 * np.eye(q) for q in sizes]
    for block, own in zip(blocks, T, strict=True):
        for a, b in pairwise(np.cumsum((0, *block))):
            own[:, a:b, :a] = 0
    T = [own if own_T else own[:1].repeat(lanes, 0) for own in T]
    given = [jnp.moveaxis(jnp.asarray(own), 0, -1) if own_T else jnp.asarray(own[0]) for own in T]
    found = unconditioned_lanes(jnp.asarray(x), tuple(given), blocks)

    for lane in range(lanes):
        like = SimpleNamespace(T=[own[lane] for own in T], blocks=blocks)
        np.testing.assert_allclose(
            found[:, lane], rectify(unconditioned(x[:, lane], like), blocks), rtol=1e-10
        )


def test_no_fits():
    stats = core.compress(random_design("one_pattern_slope", 3))
    none = jax.tree.map(lambda leaf: np.empty((0, *np.shape(leaf))), stats)
    with pytest.raises(ValueError, match="have lengths 0; expected one length, not 0"):
        core.fit_batch(none)
