"""The oracle against lme4's numbers, and the generators against their promises."""

import numpy as np
import pytest
from catalog import cases
from helpers import CROSSED, NESTED, ONE_FACTOR, STRUCTURES, dense_oracle, random_design, random_theta

from jaxmixed.core._design import Design, RandomTerm

INTERCEPTS = cases(
    only=lambda c: (
        all(t["coef_names"] == ["(Intercept)"] for t in c.random_terms) and c.fixef_names == ["(Intercept)"]
    )
)


def intercept_design(case):
    """Build the design of a model of random intercepts and a mean, without a formula."""
    frame = case.data()
    terms = []
    for term in case.random_terms:
        labels = frame[term["group"].split(":")].astype(str).agg(":".join, axis=1)
        levels, codes = np.unique(labels, return_inverse=True)
        terms.append(RandomTerm(np.ones((len(frame), 1)), codes, len(levels), (1,)))
    y = frame[case.formula.split("~")[0].strip()].to_numpy(float)
    return Design(y, np.ones((len(y), 1)), tuple(terms))


@pytest.mark.parametrize("case", [c for c in INTERCEPTS if c.values[0] is not None])
@pytest.mark.parametrize("method", ["REML", "ML"])
def test_oracle_matches_lme4(case, method):
    design, fit = intercept_design(case), case.fits[method]
    found = dense_oracle(design, np.array(fit["theta"]), reml=method == "REML")
    np.testing.assert_allclose(found.criterion, fit["criterion"], rtol=1e-10)
    np.testing.assert_allclose(found.beta, fit["beta"], rtol=1e-8)
    np.testing.assert_allclose(found.sigma, fit["sigma"], rtol=1e-8)
    np.testing.assert_allclose(found.vcov_beta, fit["vcov_beta"], rtol=1e-8)
    for modes, cov, expected in zip(found.modes, found.conditional_cov, fit["ranef"], strict=True):
        np.testing.assert_allclose((modes**2).sum(0), expected["sum_sq"], rtol=1e-7, atol=1e-12)
        variances = np.array(expected["cond_cov"])[:, 0, 0]
        np.testing.assert_allclose(np.sort(cov[:, 0, 0])[[0, -1]], np.sort(variances)[[0, -1]], rtol=1e-7)
    for point in case.objective_points:
        found = dense_oracle(design, np.array(point["theta"]), reml=method == "REML")
        np.testing.assert_allclose(found.criterion, point[method], rtol=1e-10)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_oracle_gradient_is_that_of_its_criterion(structure, reml):
    design = random_design(structure, 3, weights=True, offset=True)
    theta = random_theta(design, 3)
    h = 1e-5
    steps = h * np.eye(len(theta))
    slopes = [
        (
            dense_oracle(design, theta + s, reml=reml).criterion
            - dense_oracle(design, theta - s, reml=reml).criterion
        )
        / (2 * h)
        for s in steps
    ]
    np.testing.assert_allclose(dense_oracle(design, theta, reml=reml).gradient, slopes, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_every_level_of_a_random_design_occurs(structure):
    for seed in range(20):
        design = random_design(structure, seed)
        assert len(design.y) > design.X.shape[1]
        for term in design.terms:
            np.testing.assert_array_equal(np.unique(term.codes), np.arange(term.n_levels))


def test_structures_are_sorted_into_three_kinds():
    assert sorted(ONE_FACTOR + NESTED + CROSSED) == sorted(STRUCTURES)
    for name in NESTED:
        outer, inner = random_design(name, 0).terms[:2]
        assert all(len(set(outer.codes[inner.codes == j])) == 1 for j in range(inner.n_levels))
