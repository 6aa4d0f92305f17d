"""Small programs as one kernel: packed and unpacked, compiled as a whole, or as usual where that fails."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmixed.core._one_kernel import OneKernel, laid_out, pack

TREE = {"a": np.arange(6.0).reshape(2, 3), "b": (np.float64(2.5), np.array([7, -1], np.int32), None)}


def total(tree, power: int):
    return sum((leaf**power).sum() for leaf in jax.tree.leaves(tree))


def packed(tree):
    return pack(*laid_out(tree))


def kept(vector, layout):
    return layout.tree_of(jnp.asarray(vector))


def test_what_is_packed_comes_back(x64):
    found = kept(*packed(TREE))
    assert jax.tree.structure(found) == jax.tree.structure(TREE)
    for mine, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(TREE), strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)


def test_one_kernel(x64):
    """The whole program is one call that XLA compiles as it stands."""
    program = OneKernel(total, ["power"])
    one = packed(TREE)
    for power in (1, 2):
        np.testing.assert_allclose(program(one, power=power), total(TREE, power))
    lowered = program._whole._jitted.lower(one.vector, layout=one.layout, power=2)
    main = lowered.compile().as_text().split("ENTRY")[1].splitlines()
    (call,) = [line for line in main if " call(" in line]
    assert 'xla_cpu_small_call="true"' in call
    assert len(main) < 6  # the vector, the call, brackets
    assert not program._refused


@pytest.fixture
def refusing(monkeypatch):
    """Let XLA refuse to make one kernel, and count how often it is asked."""
    asked = []

    def refuse(self, *args, **kwargs):
        asked.append(kwargs["layout"])
        raise jax.errors.JaxRuntimeError("UNIMPLEMENTED")

    program = OneKernel(total, ["power"])
    monkeypatch.setattr(program, "_whole", functools.partial(refuse, None))
    return program, asked


def test_what_is_refused_is_compiled_as_usual(refusing, x64):
    program, asked = refusing
    for _ in range(2):
        np.testing.assert_allclose(program(packed(TREE), power=2), total(TREE, 2))
    assert asked == [packed(TREE).layout]
    program(packed(TREE["a"]), power=2)
    assert len(asked) == 2
