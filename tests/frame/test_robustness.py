"""The smallest sets that overturn a conclusion, against fits to frames from which their rows are missing."""

import numpy as np
import pytest

import jaxmixed as jm

FORMULA = "angle ~ recipe + temp + (1 | replicate)"


@pytest.fixture(scope="module")
def cake_fit():
    return jm.lmer(FORMULA, jm.datasets.load("cake"))


@pytest.mark.parametrize("by", ["rows", "groups"])
def test_sets_are_left_out(cake_fit, by):
    data, term = jm.datasets.load("cake"), "recipe[T.C]"
    found = cake_fit.robustness(term, by)
    assert found.table.index.tolist() == ["sign", "significance"]
    assert found.influence.index.tolist() == (
        data.index.tolist() if by == "rows" else data["replicate"].unique().tolist()
    )
    for conclusion, row in found.table.iterrows():
        left_out = found.dropped[conclusion]
        assert len(left_out) == row["n_dropped"] > 0
        key = data.index if by == "rows" else data["replicate"]
        fit = jm.lmer(FORMULA, data[~key.isin(left_out)])
        assert row["estimate"] == pytest.approx(fit.params[term], rel=1e-6)
        assert row["p_value"] == pytest.approx(fit.pvalues[term], rel=1e-4)
        predicted = cake_fit.params[term] - found.influence[left_out].sum()
        assert row["predicted"] == pytest.approx(predicted, rel=1e-9)
        now = fit.params[term] * cake_fit.params[term] < 0
        if conclusion == "significance":
            now = (fit.pvalues[term] < 0.05) != (cake_fit.pvalues[term] < 0.05)
        assert row["overturned"] == now
        assert row["share"] == pytest.approx(len(left_out) / len(found.influence))


def test_influence_is_what_leaving_out_a_group_does(cake_fit):
    exact = cake_fit.influence().dfbeta["temp"]
    found = cake_fit.robustness("temp", "groups").influence
    np.testing.assert_allclose(found, exact, atol=0.2 * exact.abs().max())


def test_a_conclusion_that_no_half_overturns(cake_fit):
    found = cake_fit.robustness("temp", "groups")
    assert found.table["n_dropped"].isna().all() and not found.table["overturned"].any()
    assert found.table[["predicted", "estimate", "p_value", "share"]].isna().all(axis=None)
    assert found.dropped == {"sign": [], "significance": []}


def test_arguments_are_checked(cake_fit, nested_fit):
    with pytest.raises(jm.DataError, match="term is 'tmp'; expected a coefficient: 'Intercept', 'recipe"):
        cake_fit.robustness("tmp")
    with pytest.raises(jm.DataError, match="by is 'subjects'; expected"):
        cake_fit.robustness("temp", "subjects")
    with pytest.raises(jm.DataError, match="alpha is 5; expected"):
        cake_fit.robustness("temp", alpha=5)
    crossed = jm.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", jm.datasets.load("Penicillin"))
    with pytest.raises(jm.DataError, match="crossed, so that no groups are independent"):
        crossed.robustness("Intercept", "groups")
