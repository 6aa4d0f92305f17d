"""Few rows with the cross products of many."""

import numpy as np
import pytest

from jaxmixed import core

N, J = 900, 30


@pytest.fixture(scope="module")
def design() -> core.Design:
    """Return rows with large means, in groups of unequal size, some without enough rows for their z's."""
    rng = np.random.default_rng(0)
    codes = np.sort(rng.choice(J, N, p=rng.dirichlet(np.full(J, 0.5))))
    codes[:J] = np.arange(J)
    x = rng.normal([1e4, 0], size=(N, 2))
    y = 1e5 + x @ [1.0, 2.0] + rng.normal(size=J)[codes] + rng.normal(size=N)
    X = np.column_stack([np.ones(N), x])
    return core.Design(y, X, (core.RandomTerm(X[:, :2] - [0, 1e4], codes, J, (2,)),))


def reduced(design, at, pieces, order) -> core.Design:
    """Add up the rows of pieces, each by itself, merge the sums in some order, and return the design."""
    M = np.column_stack([design.terms[0].z, design.X, design.y])
    codes, V = design.terms[0].codes, M @ at.inverse
    sums = []
    for rows in np.array_split(np.arange(N), pieces):
        sums.append(core.CellSums(M.shape[1], 2))
        sums[-1].add(codes[rows], J, V[rows])
    whole = sums[order[0]]
    for other in order[1:]:
        whole.merge(sums[other], np.arange(J), J)
    cells, rows = whole.rows(core.dependent_columns(at, whole.total))
    M = rows @ at.R
    term = core.RandomTerm(M[:, :2], cells, J, (2,))
    totals = core.Totals(np.asarray(float(N)), np.asarray(0.0))
    return core.Design(M[:, 5], M[:, 2:5], (term,), totals=totals)


def sample_of(design, rows) -> core.Coordinates:
    return core.coordinates(np.column_stack([design.terms[0].z, design.X, design.y])[rows])


@pytest.mark.parametrize("theta", [[0.0, 0.0, 0.0], [1.0, 0.2, 0.5], [3.0, -1.0, 0.0]])
def test_few_rows_have_the_criterion_of_all(design, theta):
    few = reduced(design, sample_of(design, slice(None, None, 7)), 4, [2, 0, 3, 1])
    assert len(few.y) <= 2 * J + 6
    theta = np.array(theta)
    all_stats, few_stats = core.suffstats(design), core.suffstats(few)
    np.testing.assert_allclose(core.criterion(theta, few_stats), core.criterion(theta, all_stats), rtol=1e-11)
    one, other = (core.estimates(theta, stats, True) for stats in (few_stats, all_stats))
    np.testing.assert_allclose(one.beta, other.beta, rtol=1e-9)
    np.testing.assert_allclose(one.vcov, other.vcov, rtol=1e-8)


def test_a_poor_sample_is_found_out_and_made_good(design):
    """A few rows of one group have columns that are all but dependent on each other."""
    M = np.column_stack([design.X, design.y])
    near = M[:9].copy()
    near[:, 1:] = near[0, 1:] + 1e-5 * (near[:, 1:] - near[0, 1:])
    at = core.coordinates(near + 0.1)
    total = (M @ at.inverse).T @ (M @ at.inverse)
    assert core.conditioning(at, total) < 1e-6
    for _ in range(2):
        at = core.refine(at, total)
        total = (M @ at.inverse).T @ (M @ at.inverse)
    assert core.conditioning(at, total) > 0.9
    np.testing.assert_allclose(at.R @ at.inverse, np.eye(4), atol=1e-9)


def test_dependent_columns_are_found_among_all_rows(design):
    x = design.X[:, 2]
    rare = (np.arange(N) == N - 1).astype(float)
    M = np.column_stack([np.ones(N), x, 3 * x - 2, rare, rare + x])
    at = core.coordinates(M[:200])  # where `rare` is zero
    total = (M @ at.inverse).T @ (M @ at.inverse)
    at = core.refine(at, total)
    total = (M @ at.inverse).T @ (M @ at.inverse)
    assert list(core.dependent_columns(at, total)) == [False, False, True, False, True]
