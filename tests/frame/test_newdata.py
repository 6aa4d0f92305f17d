"""New data in the coding of the fit: kept transforms, kept levels, missing and unseen ones."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from jaxmixed.frame._data import model_frame
from jaxmixed.frame._errors import AliasedColumnsWarning, DataError
from jaxmixed.frame._newdata import new_design, unseen_levels


def test_new_data_repeat_the_fit(cake):
    fixed = "angle ~ scale(temp) + recipe + poly(temp, 2) + offset(temp)"
    formula = f"{fixed} + (recipe | replicate) + (1 | replicate:recipe)"
    with pytest.warns(AliasedColumnsWarning):
        frame = model_frame(formula, cake)
    rows = [200, 3, 77]
    new = new_design(frame, cake.drop(columns="angle").iloc[rows])
    np.testing.assert_allclose(new.X, frame.design.X[rows], atol=1e-14)
    np.testing.assert_array_equal(new.offset, frame.design.offset[rows])
    assert list(new.index) == rows
    for (z, codes), term in zip(new.terms, frame.design.terms, strict=True):
        np.testing.assert_array_equal(z, term.z[rows])
        np.testing.assert_array_equal(codes, term.codes[rows])
    unseen_levels(frame, new)


def test_new_levels(cake):
    frame = model_frame("angle ~ temp + (1 | replicate/recipe)", cake[cake.replicate < 15])
    new = new_design(
        frame,
        pd.DataFrame({"temp": [180, 180, 180, 180], "replicate": [1, 15, 99, None], "recipe": list("BCAA")}),
    )
    assert new.unseen == (("C:15", "A:99", "A:missing"), (15, 99, "missing"))
    np.testing.assert_array_equal(new.terms[1].codes, [0, -1, -1, -1])
    with pytest.raises(DataError, match="'recipe:replicate' that the fit did not see: 'C:15'"):
        unseen_levels(frame, new)


def test_new_rows_with_missing_covariates_stay(sleep):
    frame = model_frame("Reaction ~ scale(Days) + (Days | Subject)", sleep)
    new = new_design(frame, pd.DataFrame({"Days": [1, None, 2], "Subject": ["308", "309", "308"]}))
    np.testing.assert_array_equal(np.isnan(new.X).any(axis=1), [False, True, False])
    np.testing.assert_array_equal(np.isnan(new.terms[0].z).any(axis=1), [False, True, False])
    np.testing.assert_array_equal(new.terms[0].codes, [0, 1, 0])
    assert np.isnan(new_design(frame, pd.DataFrame({"Days": [None], "Subject": ["308"]})).X).all()


def test_marginal_predictions_need_no_groups(sleep):
    frame = model_frame("Reaction ~ Days + (Days | Subject)", sleep)
    new = new_design(frame, pd.DataFrame({"Days": [1.5]}), random=False)
    np.testing.assert_array_equal(new.X, [[1, 1.5]])
    assert new.terms == ()


def test_new_data_by_text_and_category(cake):
    frame = model_frame("angle ~ recipe + (1 | recipe:replicate)", cake)
    new = new_design(frame, pl.DataFrame({"recipe": ["C", "B"], "replicate": [2, 3]}))
    np.testing.assert_array_equal(new.X, [[1, 0, 1], [1, 1, 0]])
    assert [frame.groups[0].levels[code] for code in new.terms[0].codes] == ["C:2", "B:3"]


def test_regression_without_bars(sleep):
    frame = model_frame("Reaction ~ Days", sleep, random=False)
    assert frame.design.terms == ()
    assert new_design(frame, sleep).X.shape == (180, 2)


def test_known_levels_of_another_type(sleep):
    frame = model_frame("Reaction ~ Days + (1 | Subject)", sleep)
    with pytest.raises(DataError, match="found the int 308, while the fit has the text '308'"):
        unseen_levels(frame, new_design(frame, pd.DataFrame({"Days": [1.0], "Subject": [308]})))
