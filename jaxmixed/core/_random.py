"""The numbers of `jax.random`, for very many keys.

On CPUs JAX's generator is a loop of many small steps; in blocks of a few hundred keys starting these takes
most of the time. Here the rounds of Threefry (Salmon, Moraes, Dror & Shaw 2011, doi:10.1145/2063384.2063405)
are written out, so that one kernel draws all numbers of a block. They are those of `jax.random` as it is by
default, bit for bit; keys of other generators are left to it.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array as JaxArray, Float, Int, PRNGKeyArray

from ._types import Scalar

ROTATIONS = (13, 15, 26, 6), (17, 29, 16, 24)
PARITY = np.uint32(0x1BD11BDA)

Words = tuple[JaxArray, JaxArray]  # two of 32 bits


def fold_in(key: PRNGKeyArray, number: Int[JaxArray, ""]) -> PRNGKeyArray:
    """Return `jax.random.fold_in(key, number)`."""
    if not _is_threefry(key):
        return jax.random.fold_in(key, number)
    number = jnp.asarray(number).astype(jnp.uint32)
    words = _threefry(_words(key), (jnp.zeros_like(number), number))
    return jax.random.wrap_key_data(jnp.stack(words), impl=jax.random.key_impl(key))


def uniforms(key: PRNGKeyArray, n: int, dtype: np.dtype, first: Scalar | int = 0) -> Float[JaxArray, " n"]:
    """Draw n numbers of a key, from number `first` on, uniform in (-1, 1).

    From the first on they are those of `jax.random.uniform`.
    """
    least = float(np.nextafter(dtype.type(-1), dtype.type(0)))
    if not _is_threefry(key):
        return jax.random.uniform(jax.random.fold_in(key, first), (n,), dtype, least, 1.0)
    index = jnp.arange(n, dtype=jnp.uint32) + jnp.uint32(first)
    high, low = _threefry(_words(key), (jnp.zeros_like(index), index))
    info = jnp.finfo(dtype)
    if info.bits == 64:
        bits = (high.astype(jnp.uint64) << 32) | low.astype(jnp.uint64)
    else:
        bits = high ^ low
    # The mantissa of a number in [1, 2) at random.
    bits = (bits >> (info.bits - info.nmant)) | np.array(1, dtype).view(bits.dtype)
    unit = jax.lax.bitcast_convert_type(bits, dtype) - 1
    return jnp.maximum(unit * (1 - dtype.type(least)) + dtype.type(least), least)


def normals(uniform: Float[JaxArray, " n"]) -> Float[JaxArray, " n"]:
    """Turn numbers uniform in (-1, 1) into standard normal ones."""
    return uniform.dtype.type(2**0.5) * jax.lax.erf_inv(uniform)


def _is_threefry(key: PRNGKeyArray) -> bool:
    return jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and jax.random.key_impl(key) == "threefry2x32"


def _words(key: PRNGKeyArray) -> Words:
    data = jax.random.key_data(key)
    return data[0], data[1]


def _threefry(key: Words, counter: Words) -> Words:
    """Encrypt a counter by twenty rounds."""
    keys = *key, key[0] ^ key[1] ^ PARITY
    x, y = counter[0] + keys[0], counter[1] + keys[1]
    for i in range(5):
        for r in ROTATIONS[i % 2]:
            x = x + y
            y = ((y << r) | (y >> (32 - r))) ^ x
        x, y = x + keys[(i + 1) % 3], y + keys[(i + 2) % 3] + np.uint32(i + 1)
    return x, y
