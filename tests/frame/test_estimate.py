"""Which program finds a minimum, and that all find the same."""

import numpy as np
import pytest

import jaxmixed as jm
from jaxmixed.frame import _estimate
from jaxmixed.frame._estimate import Choice, Ready, minimum, ready

MODELS = {
    "one pattern": ("Reaction ~ Days + (Days | Subject)", "sleepstudy", slice(None)),
    "levels": ("Reaction ~ Days + (Days || Subject)", "sleepstudy", slice(1, None)),
    "strata": ("diameter ~ 1 + (1 | plate) + (1 | sample)", "Penicillin", slice(None)),
    "nested": ("strength ~ 1 + (1 | batch/cask)", "Pastes", slice(1, None)),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("reml", [True, False])
def test_one_kernel_and_others_agree(name, reml):
    formula, data, rows = MODELS[name]
    stats = jm.lmer(formula, jm.datasets.load(data).iloc[rows], reml=reml).stats
    chosen = ready(stats)
    program, *sizes, _ = chosen.choice
    assert program is _estimate._in_one_kernel
    found = minimum(chosen, reml)
    assert not program._refused
    other = minimum(Ready(Choice(_estimate._with_estimates, *sizes, True), stats), reml)
    bare = minimum(Ready(Choice(_estimate._alone[True], *sizes, False), stats), reml)
    np.testing.assert_allclose(found.estimates.beta, other.estimates.beta, rtol=1e-9)
    np.testing.assert_allclose(found.estimates.vcov, other.estimates.vcov, rtol=1e-6)
    assert bare.estimates is None
    for one in (other, bare):
        assert one.optimum.result == found.optimum.result == 0
        np.testing.assert_allclose(one.optimum.criterion, found.optimum.criterion, rtol=1e-11)
        np.testing.assert_allclose(one.optimum.theta, found.optimum.theta, atol=1e-6)
        np.testing.assert_allclose(one.conditioned, found.conditioned, atol=1e-6)


def widened(p: int):
    """Return the statistics of a model with p fixed effects."""
    data = jm.datasets.load("sleepstudy")
    noise = np.random.default_rng(0).normal(size=(len(data), p - 2))
    data = data.assign(**{f"x{i}": column for i, column in enumerate(noise.T)})
    terms = " + ".join(["Days", *(f"x{i}" for i in range(p - 2))])
    return jm.lmer(f"Reaction ~ {terms} + (1 | Subject)", data).stats


def test_long_loops_are_left_to_libraries():
    crossed = jm.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", jm.datasets.load("Penicillin").iloc[1:])
    assert ready(widened(8)).choice.program is _estimate._in_one_kernel
    assert ready(widened(9)).choice.program is _estimate._with_estimates
    assert ready(crossed.stats).choice.program is _estimate._alone[True]
