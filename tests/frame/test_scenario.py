"""What data are simulated from: designs from factors, true parameters by name, more levels and rows."""

import numpy as np
import pandas as pd
import pytest

import jaxmixed as jm

TRUTH = {"Intercept": 250, "time": 10, "sd(Intercept | subject)": 25, "sigma": 25}
FORMULA = "y ~ time + (1 | subject)"


def frame_of(scenario: jm.Scenario) -> pd.DataFrame:
    """Return the columns of X, and the level of each grouping factor, of every row."""
    columns = dict(zip(scenario.frame.fixed_names, scenario.design.X.T, strict=True))
    terms = zip(scenario.frame.groups, scenario.design.terms, strict=True)
    return pd.DataFrame(columns | {labels.name: term.codes for labels, term in terms})


@pytest.fixture(scope="module")
def schools() -> jm.Scenario:
    """Ten schools in two arms that stand in blocks, two classes each, pupils of two sexes in blocks."""
    design = jm.make_design(school=10, room=jm.nested("school", 2), sex=["f", "m"], repeats=3)
    design["arm"] = np.where(design["school"] < "school 06", "a", "b")
    names = ("Intercept", "arm[T.b]", "sex[T.m]", "sd(Intercept | room)", "sd(Intercept | school)", "sigma")
    return jm.scenario("y ~ arm + sex + (1 | school) + (1 | room)", design, dict.fromkeys(names, 1.0))


# Designs


def test_factors_are_crossed_and_the_first_changes_slowest():
    design = jm.make_design(subject=2, time=[0.0, 0.5], side=["l", "r"], repeats=2)
    assert list(design.columns) == ["subject", "time", "side"]
    assert design["subject"].tolist() == ["subject 1"] * 8 + ["subject 2"] * 8
    assert design["time"].tolist() == ([0.0] * 4 + [0.5] * 4) * 2
    assert design["side"].tolist() == ["l", "l", "r", "r"] * 4


def test_between_is_constant_within_levels_and_balanced():
    arm, age = jm.between("subject", ["a", "b"]), jm.between("subject", [20, 40, 60])
    design = jm.make_design(subject=24, arm=arm, age=age, time=range(3))
    one = design.drop_duplicates("subject")
    assert len(one) == 24 and len(design) == 72
    assert (design.groupby("subject")[["arm", "age"]].nunique() == 1).all(axis=None)
    assert (one.groupby(["arm", "age"]).size() == 4).all()


def test_nested_factors():
    room, arm, pupil = jm.nested("school", [1, 2]), jm.between("room", ["a", "b"]), jm.nested("room", 2)
    design = jm.make_design(school=3, room=room, arm=arm, pupil=pupil, time=range(2))
    assert design.groupby("school")["room"].nunique().tolist() == [1, 2, 1]
    assert (design.groupby("room")["school"].nunique() == 1).all()
    assert (design.groupby("pupil")["room"].nunique() == 1).all()
    assert design["pupil"].nunique() == 8 and len(design) == 16
    assert design.drop_duplicates("room")["arm"].tolist() == ["a", "b", "a", "b"]


# True parameters


def test_parameters_become_theta_beta_and_sigma():
    """Lambda Lambda' sigma^2 is the covariance matrix that was asked for."""
    design = jm.make_design(subject=30, time=range(4), dose=[0, 1])
    params = {"Intercept": 5, "time": 1, "sigma": 2, "sd(Intercept | subject)": 3, "sd(dose | subject)": 0}
    params |= {"sd(time | subject)": 1.5, "cor(Intercept, time | subject)": -0.4}
    scenario = jm.scenario("y ~ time + (time + dose | subject)", design, params)
    theta, beta, sigma = scenario._truth
    L = np.zeros((3, 3))
    L[np.tril_indices(3)] = theta[[0, 1, 3, 2, 4, 5]]
    expected = np.array([[9, -1.8, 0], [-1.8, 2.25, 0], [0, 0, 0]])
    np.testing.assert_allclose(sigma**2 * L @ L.T, expected, atol=1e-12)
    np.testing.assert_array_equal(beta, [5, 1])
    assert scenario.params["cor(time, dose | subject)"] == 0


def test_a_perfect_correlation_and_an_impossible_one():
    design = jm.make_design(subject=30, time=range(4), dose=[0, 1])
    params = {"Intercept": 0, "sigma": 1} | {f"sd({x} | subject)": 1 for x in ("Intercept", "time", "dose")}
    cor = {f"cor({pair} | subject)": 1.0 for pair in ("Intercept, time", "Intercept, dose", "time, dose")}
    theta = jm.scenario("y ~ 1 + (time + dose | subject)", design, params | cor)._truth.theta
    np.testing.assert_allclose(theta, [1, 1, 1, 0, 0, 0])
    with pytest.raises(jm.DataError, match="contradict each other"):
        jm.scenario(
            "y ~ 1 + (time + dose | subject)", design, params | cor | {"cor(time, dose | subject)": -1}
        )


def test_a_fit_stands_for_its_estimates(slope_fit, zero_variance_fit):
    scenario = slope_fit.scenario()
    theta, beta, sigma = scenario._truth
    np.testing.assert_allclose(theta, slope_fit.theta, rtol=1e-9)
    np.testing.assert_array_equal(beta, slope_fit.params)
    np.testing.assert_allclose(sigma, slope_fit.sigma)
    assert set(scenario.params.index) == set(slope_fit.conf_int(method="wald", parm="all").index)
    assert zero_variance_fit.scenario().params["sd(Intercept | Batch)"] == 0


def test_simulated_responses_have_the_mean_and_the_variance():
    scenario = jm.scenario(FORMULA, jm.make_design(subject=4, time=range(3)), TRUTH)
    y = scenario.simulate(4000, key=1)
    assert y.shape == (4000, 12)
    np.testing.assert_allclose(y.mean(axis=0), 250 + 10 * np.tile(range(3), 4), atol=4.5 * 36 / 4000**0.5)
    np.testing.assert_allclose(y.var(axis=0), 2 * 25**2, rtol=4.5 * (2 / 4000) ** 0.5)


# More and fewer


def test_more_levels_copy_whole_levels(slope_fit):
    rows = frame_of(slope_fit.scenario(groups={"Subject": 40}))
    assert len(rows) == 400
    each = rows.groupby("Subject")["Days"].apply(list)
    assert len(each) == 40 and all(days == list(range(10)) for days in each)


def test_levels_within_are_copied_along_as_new_levels(schools):
    rows = frame_of(schools.change(groups={"school": 25}))
    assert rows["school"].nunique() == 25 and rows["room"].nunique() == 50 and len(rows) == 25 * 12
    assert (rows.groupby("room")["school"].nunique() == 1).all()
    assert (rows.groupby("school")["arm[T.b]"].nunique() == 1).all()
    assert rows.drop_duplicates("school")["arm[T.b]"].sum() in (12, 13)


def test_levels_that_are_held_are_spread_over_those_that_hold_them(schools):
    for number, of_each in ((10, {1}), (30, {3}), (34, {3, 4})):
        rows = frame_of(schools.change(groups={"room": number}))
        assert set(rows.groupby("school")["room"].nunique()) == of_each and rows["school"].nunique() == 10
        assert rows["room"].nunique() == number


def test_a_part_keeps_the_shares_of_covariates(schools):
    """The arms stand in blocks of schools, and the sexes in blocks of rows."""
    for number in (4, 6, 8):
        rows = frame_of(schools.change(groups={"school": number}))
        assert rows.drop_duplicates("school")["arm[T.b]"].mean() == 0.5
    rows = frame_of(schools.change(rows={"school": 8}))
    assert len(rows) == 80
    assert (rows.groupby(["school", "room", "sex[T.m]"]).size() == 2).all()


def test_crossed_factors_stay_what_they_are():
    design = jm.make_design(subject=6, item=4, condition=jm.between("item", ["x", "y"]))
    names = ("Intercept", "condition[T.y]", "sd(Intercept | subject)", "sd(Intercept | item)", "sigma")
    scenario = jm.scenario("y ~ condition + (1 | subject) + (1 | item)", design, dict.fromkeys(names, 1.0))
    rows = frame_of(scenario.change(groups={"item": 10}))
    assert rows["subject"].nunique() == 6 and rows["item"].nunique() == 10 and len(rows) == 60
    assert (rows.groupby(["subject", "item"]).size() == 1).all()
    assert (rows.groupby("item")["condition[T.y]"].nunique() == 1).all()
    assert rows.drop_duplicates("item")["condition[T.y]"].mean() == 0.5


def test_rows_of_a_level_take_turns(slope_fit):
    few, many = (frame_of(slope_fit.scenario(rows={"Subject": m})) for m in (4, 15))
    assert all(days == [0, 1, 2, 3] for days in few.groupby("Subject")["Days"].apply(list))
    twice = np.bincount([*range(10), *range(5)])
    assert all((np.bincount(days.astype(int)) == twice).all() for _, days in many.groupby("Subject")["Days"])


def test_a_size_that_is_given_changes_nothing(slope_fit):
    same = slope_fit.scenario(groups={"Subject": 18}, rows={"Subject": 10})
    np.testing.assert_array_equal(same.design.X, slope_fit.frame.design.X)
    assert slope_fit.scenario(params={"Days": 1}).prepared.design is slope_fit.frame.design


# Wrong calls

DESIGN = jm.make_design(subject=20, time=range(5))


@pytest.mark.parametrize(
    ("call", "found"),
    [
        (lambda: jm.make_design(), "no factors"),
        (lambda: jm.make_design(subject=0), "levels of 'subject' is 0"),
        (lambda: jm.make_design(subject="a"), "'subject' is 'a'"),
        (lambda: jm.make_design(subject=2, repeats=0), "repeats is 0"),
        (lambda: jm.make_design(arm=jm.between("subject", [1]), subject=2), "name 'subject' first"),
        (lambda: jm.between("subject", []), "jm.between is empty"),
        (lambda: jm.between(3, [1]), "group of jm.between is 3"),
        (lambda: jm.nested("school", 2.5), "jm.nested is 2.5"),
        (lambda: jm.scenario(FORMULA, DESIGN, {"time": 1}), "lacks 'Intercept', 'sd.*', 'sigma'"),
        (lambda: jm.scenario(FORMULA, DESIGN, TRUTH | {"tme": 1}), "did you mean 'time'"),
        (lambda: jm.scenario(FORMULA, DESIGN, TRUTH | {"sigma": 0}), "'sigma' is 0"),
        (lambda: jm.scenario(FORMULA, DESIGN, TRUTH | {"time": np.nan}), "'time' is nan"),
        (lambda: jm.scenario(FORMULA, DESIGN, [1, 2]), "params is of type list"),
        (lambda: jm.scenario(FORMULA, {"a": 1}, TRUTH), "design is of type dict"),
        (lambda: jm.scenario(FORMULA, DESIGN, TRUTH, reml=2), "reml is 2"),
        (lambda: jm.scenario("y ~ tme + (1 | subject)", DESIGN, TRUTH), "did you mean 'time'"),
    ],
)
def test_wrong_calls(call, found):
    with pytest.raises(jm.DataError, match=found):
        call()


def test_a_response_that_is_an_expression():
    with pytest.raises(jm.FormulaError, match=r"The response is 'log\(y\)'"):
        jm.scenario("log(y) ~ time + (1 | subject)", DESIGN, TRUTH)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"groups": {"Subjct": 3}}, "groups names 'Subjct'"),
        ({"groups": {"Subject": 1}}, "has one level"),
        ({"groups": {"Subject": 2.5}}, r"groups\['Subject'\] is 2.5"),
        ({"groups": 40}, "groups is 40"),
        ({"rows": {"Subject": 2}}, "36 random effects"),
        ({"params": {"days": 3}}, "did you mean 'Days'"),
        ({"params": 3}, "params is 3"),
    ],
)
def test_wrong_changes(slope_fit, changes, found):
    with pytest.raises(jm.DataError, match=found):
        slope_fit.scenario(**changes)


def test_a_part_too_small_for_a_coefficient():
    scenario = jm.scenario("y ~ time + I(time**2) + (1 | subject)", DESIGN, TRUTH | {"I(time ** 2)": 1})
    with pytest.raises(jm.DataError, match=r"'I\(time \*\* 2\)' cannot be estimated"):
        scenario.change(rows={"subject": 2})
