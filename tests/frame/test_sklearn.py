"""The estimator does what lmer does, and scikit-learn can copy it, search over it and pipe into it."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import jaxmixed as jm

LINES = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def sleep():
    return jm.datasets.load("sleepstudy")


def r2(y, predicted):
    return 1 - ((y - predicted) ** 2).sum() / ((y - y.mean()) ** 2).sum()


def test_it_is_lmer(sleep):
    X, y = sleep[["Subject", "Days"]], sleep["Reaction"]
    model = jm.MixedRegressor(LINES, reml=False).fit(X, y)
    fit = jm.lmer(LINES, sleep, reml=False)
    assert model.result_.criterion == fit.criterion
    np.testing.assert_array_equal(model.predict(X), fit.fittedvalues)
    np.testing.assert_allclose(model.score(X, y), r2(y, fit.fittedvalues))
    assert list(model.feature_names_in_) == ["Subject", "Days"] and model.n_features_in_ == 2


def test_y_counts_and_not_a_column_with_its_name_or_its_index(sleep):
    y = sleep["Reaction"] / 1000
    model = jm.MixedRegressor(LINES).fit(sleep, y.set_axis(range(1000, 1180)))
    np.testing.assert_allclose(model.result_.params, jm.lmer(LINES, sleep.assign(Reaction=y)).params)


def test_sample_weight_is_a_prior_weight(sleep):
    weights = np.linspace(1, 2, len(sleep))
    model = jm.MixedRegressor(LINES).fit(sleep, sleep["Reaction"], sample_weight=weights)
    assert model.result_.criterion == jm.lmer(LINES, sleep, weights=weights).criterion


def test_cross_validation_over_groups_predicts_the_population_part(sleep):
    """Each fold against a fit and X beta written out."""
    y, folds = sleep["Reaction"], GroupKFold(3)
    groups = sleep["Subject"]
    scores = cross_val_score(jm.MixedRegressor(LINES), sleep, y, groups=groups, cv=folds)
    expected = []
    for train, test in folds.split(sleep, y, groups):
        intercept, slope = jm.lmer(LINES, sleep.iloc[train]).params
        expected.append(r2(y.iloc[test], intercept + slope * sleep["Days"].iloc[test]))
    np.testing.assert_allclose(scores, expected)


def test_levels_that_were_fitted_are_predicted_better_than_new_ones(sleep):
    y, groups, model = sleep["Reaction"], sleep["Subject"], jm.MixedRegressor(LINES)
    new = cross_val_score(model, sleep, y, groups=groups, cv=GroupKFold(3)).mean()
    known = cross_val_score(model, sleep, y, cv=KFold(3, shuffle=True, random_state=1)).mean()
    assert known > new + 0.2


def test_new_levels_can_be_refused(sleep):
    model = jm.MixedRegressor(LINES, new_levels="error").fit(sleep, sleep["Reaction"])
    with pytest.raises(jm.DataError, match="'new'"):
        model.predict(sleep.assign(Subject="new"))


def test_pipeline_and_search_on_data_frames(sleep):
    """A covariate that was scaled before predicts what it predicts unscaled."""
    scale = ColumnTransformer(
        [("scale", StandardScaler(), ["Days"])], remainder="passthrough", verbose_feature_names_out=False
    ).set_output(transform="pandas")
    pipeline = make_pipeline(scale, jm.MixedRegressor("Reaction ~ Days + (1 | Subject)"))
    X, y = sleep[["Subject", "Days"]], sleep["Reaction"]
    grid = {"mixedregressor__formula": ["Reaction ~ Days + (1 | Subject)", LINES]}
    search = GridSearchCV(pipeline, grid, cv=KFold(3, shuffle=True, random_state=1)).fit(X, y)
    assert search.best_params_ == {"mixedregressor__formula": LINES}
    np.testing.assert_allclose(search.predict(X), jm.lmer(LINES, sleep).fittedvalues, rtol=1e-5)


def test_transformed_responses_go_through_scikit_learn(sleep):
    with pytest.raises(jm.FormulaError, match="TransformedTargetRegressor"):
        jm.MixedRegressor("log(Reaction) ~ Days + (1 | Subject)").fit(sleep, sleep["Reaction"])
    model = TransformedTargetRegressor(jm.MixedRegressor(LINES), func=np.log, inverse_func=np.exp)
    model.fit(sleep, sleep["Reaction"])
    logs = jm.lmer("log(Reaction) ~ Days + (Days | Subject)", sleep).fittedvalues
    np.testing.assert_allclose(model.predict(sleep), np.exp(logs))


def test_parameters_copies_and_pickles(sleep):
    model = jm.MixedRegressor(LINES, reml=False)
    assert model.get_params() == {"formula": LINES, "reml": False, "new_levels": "population"}
    model.fit(sleep, sleep["Reaction"])
    copy = clone(model).set_params(reml=True)
    assert not hasattr(copy, "result_") and copy.reml and not model.reml
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(sleep), model.predict(sleep))


def test_wrong_calls(sleep):
    y, model = sleep["Reaction"], jm.MixedRegressor(LINES)
    with pytest.raises(NotFittedError):
        model.predict(sleep)
    with pytest.raises(jm.DataError, match=r"X is of type ndarray.*set_output"):
        model.fit(sleep.to_numpy(), y)
    with pytest.raises(jm.DataError, match=r"y has shape \(10,\); expected \(180,\)"):
        model.fit(sleep, y[:10])
    with pytest.raises(jm.DataError, match=r"new_levels is 'missing'.*'population', 'error'"):
        jm.MixedRegressor(LINES, new_levels="missing").fit(sleep, y)
    with pytest.raises(jm.DataError, match="'Days'"):
        model.fit(sleep, y).predict(sleep[["Subject"]])
    with pytest.raises(AttributeError, match="no attribute 'MixedRegresor'"):
        jm.MixedRegresor  # noqa: B018


def test_without_scikit_learn_the_rest_works():
    code = """
import sys
sys.modules["sklearn"] = None
import jaxmixed as jm
try:
    jm.MixedRegressor
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert "needs scikit-learn" in done.stdout and 'pip install "jaxmixed[sklearn]"' in done.stdout
    code = "import sys, jaxmixed; assert 'sklearn' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
