"""Numbers drawn for very many keys are those of `jax.random`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmixed.core import _random as random


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    with jax.enable_x64(request.param == "float64"):
        yield np.dtype(request.param)


def test_equal_to_those_of_jax(dtype):
    keys = jax.vmap(lambda i: random.fold_in(jax.random.key(5, impl="threefry2x32"), i))(jnp.arange(300))
    theirs = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(5, impl="threefry2x32"), i))(
        jnp.arange(300)
    )
    np.testing.assert_array_equal(*map(jax.random.key_data, (keys, theirs)))
    least = float(np.nextafter(dtype.type(-1), dtype.type(0)))
    expected = jax.vmap(lambda key: jax.random.uniform(key, (9,), dtype, least, 1.0))(keys)
    found = jax.vmap(lambda key: random.uniforms(key, 9, dtype))(keys)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, expected)
    later = jax.vmap(lambda key: random.uniforms(key, 4, dtype, first=jnp.int32(5)))(keys)
    np.testing.assert_array_equal(later, expected[:, 5:])
    normals = jax.vmap(lambda key: jax.random.normal(key, (9,), dtype))(keys)
    np.testing.assert_array_equal(random.normals(expected), normals)


@pytest.mark.parametrize("make", [jax.random.PRNGKey, lambda seed: jax.random.key(seed, impl="rbg")])
def test_keys_of_other_kinds(dtype, make):
    key = make(3)
    folded = random.fold_in(key, jnp.int32(4))
    expected = jax.random.fold_in(key, 4)
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        folded, expected = map(jax.random.key_data, (folded, expected))
    np.testing.assert_array_equal(folded, expected)
    found, later = random.uniforms(key, 1000, dtype), random.uniforms(key, 1000, dtype, first=1000)
    assert found.dtype == dtype and (np.abs(found) < 1).all()
    assert abs(found.mean()) < 0.1 and abs(found.var() - 1 / 3) < 0.05
    assert abs(np.corrcoef(found, later)[0, 1]) < 0.15


def test_a_generator_that_is_another_by_default(dtype):
    with jax.default_prng_impl("rbg"):
        key = jax.random.key(3)
        found, expected = random.fold_in(key, jnp.int32(4)), jax.random.fold_in(key, 4)
        np.testing.assert_array_equal(*map(jax.random.key_data, (found, expected)))
        assert (np.abs(random.uniforms(key, 10, dtype)) < 1).all()
        test_equal_to_those_of_jax(dtype)
