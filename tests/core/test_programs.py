"""How many compiled programs are kept."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxmixed.core import _programs
from jaxmixed.core._programs import Program


@pytest.fixture
def alone(monkeypatch):
    """Count only programs of the test, and keep three."""
    monkeypatch.setattr(_programs, "_all", type(_programs._all)())
    monkeypatch.setattr(_programs, "MOST", 3)


def traced(function):
    """Return a program and the shapes that it was compiled for, in order."""
    seen = []

    def noted(x):
        seen.append(x.shape)
        return function(x)

    return Program(noted), seen


@pytest.mark.usefixtures("alone")
def test_too_many_are_let_go_and_compiled_again():
    (total, sizes), (largest, others) = traced(jnp.sum), traced(jnp.max)
    for n in (1, 2, 1, 2):
        assert total(np.arange(n)) == n * (n - 1) // 2
    assert largest(np.arange(5)) == 4
    assert (sizes, others) == ([(1,), (2,)], [(5,)])  # three
    assert total(np.arange(3)) == 3  # the fourth: none is left
    assert [total(np.arange(3)), total(np.arange(1)), largest(np.arange(5))] == [3, 0, 4]
    assert (sizes, others) == ([(1,), (2,), (3,), (3,), (1,)], [(5,), (5,)])


@pytest.mark.usefixtures("alone")
def test_programs_without_an_owner_do_not_count():
    for n in range(1, 10):
        program, sizes = traced(jnp.sum)
        program(np.ones(n)), program(np.ones(n))
        assert sizes == [(n,)]
