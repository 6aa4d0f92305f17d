"""Many responses of one design, and many designs brought to one shape, say what each says by itself."""

import jax
import numpy as np
import pytest
from helpers import STRUCTURES, random_design, random_theta

from jaxmixed import core
from jaxmixed.core._start import default_start


def of_response(stats, single, r):
    """Take one response out of the leaves that have an axis more than those of a single response."""
    return jax.tree.map(lambda own, all_: all_[r] if all_.ndim > own.ndim else all_, single, stats)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_responses_together_equal_responses_alone(structure, weighted):
    design = random_design(structure, 3, weights=weighted, offset=weighted)
    rng = np.random.default_rng(0)
    scales = 10.0 ** rng.integers(-1, 4, size=40)
    Y = 1e3 * rng.normal(size=40) + scales * (design.y[:, None] + rng.normal(size=(len(design.y), 40)))
    prepared = core.condition(design)
    plan = core.plan(prepared)
    theta = random_theta(design, 1)
    for compress in (True, False):
        together = core.assemble_many(prepared, plan, Y, compress=compress)
        for r in (0, 17, 39):
            alone = core.assemble(prepared, plan, Y[:, r], compress=compress)
            one = of_response(together, alone, r)
            for reml in (True, False):
                expected = core.criterion(theta, alone, reml)
                np.testing.assert_allclose(core.criterion(theta, one, reml), expected, rtol=1e-10, atol=1e-9)
            for got, wanted in zip(core.estimates(theta, one), core.estimates(theta, alone), strict=True):
                np.testing.assert_allclose(got, wanted, rtol=1e-8, atol=1e-9 * np.abs(wanted).max())
            np.testing.assert_allclose(default_start(one, True), default_start(alone, True), rtol=1e-8)


def test_levels_stay_apart_unless_merged():
    """Products with every level, response by response; only merged families have a choice of rows."""
    for structure in ("few_patterns", "nested_two", "crossed_two"):
        design = random_design(structure, 3)
        prepared = core.condition(design)
        plan = core.plan(prepared)
        Y = design.y[:, None] + np.random.default_rng(0).normal(size=(len(design.y), 20))
        together = core.assemble_many(prepared, plan, Y, compress=False)
        alone = core.assemble(prepared, plan, Y[:, 4], compress=False)
        one = of_response(together, alone, 4)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), one, alone)


def test_a_bad_response_disturbs_no_other():
    design = random_design("intercept", 3)
    prepared = core.condition(design)
    plan = core.plan(prepared)
    Y = np.random.default_rng(0).normal(size=(len(design.y), 30))
    good = core.assemble_many(prepared, plan, Y, compress=True)
    Y[2, 7], Y[5, 8] = np.nan, np.inf
    stats = core.assemble_many(prepared, plan, Y, compress=True)
    bad = np.isnan(stats.C[:, -1, -1])
    assert np.flatnonzero(bad).tolist() == [7, 8]
    np.testing.assert_array_equal(stats.C[~bad], good.C[~bad])
    np.testing.assert_array_equal(stats.structure.B[~bad], good.structure.B[~bad])


@pytest.mark.parametrize("structure", STRUCTURES)
def test_levels_without_rows_change_nothing(structure):
    designs = [random_design(structure, seed, weights=seed % 2 == 1) for seed in range(6)]
    each = [core.compress(design) for design in designs] + [core.suffstats(design) for design in designs]
    stacks = core.stack(each)
    assert sorted(i for stack in stacks for i in stack.index) == list(range(12))
    for stack in stacks:
        for lane, i in enumerate(stack.index):
            one = jax.tree.map(lambda leaf, lane=lane: leaf[lane], stack.stats)
            assert len(jax.tree.leaves(one)) >= 8
            theta = random_theta(designs[i % 6], 2)
            np.testing.assert_allclose(core.criterion(theta, one), core.criterion(theta, each[i]), rtol=1e-12)
            np.testing.assert_allclose(default_start(one, True), default_start(each[i], True), rtol=1e-12)


def test_data_sets_of_similar_size_share_a_shape():
    each = [core.compress(random_design("distinct_patterns", seed)) for seed in range(20)]
    assert len(core.stack(each)) == 1


@pytest.mark.parametrize(
    "structure", ["distinct_patterns", pytest.param("crossed_sparse", marks=pytest.mark.slow)]
)
def test_derivatives_do_not_see_levels_without_rows(structure, x64):
    design = random_design(structure, 1)
    single, theta = core.compress(design), random_theta(design, 2)
    (stack,) = core.stack([single])
    extended = jax.tree.map(lambda leaf: leaf[0], stack.stats)
    found, wanted = (core.satterthwaite(theta, s).t_test(np.eye(3)) for s in (extended, single))
    for got, expected in zip(found, wanted, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-9)
