"""Power, curves and studies, where theory knows the answer: balanced designs whose tests are exact.

With J subjects of m rows in three arms, sd tau between subjects and sigma within, and a covariate of sum of
squares S in each subject, the REML tests are those of the analysis of variance:

    difference of two arms   t of J - 3 df,           delta / sqrt(v (1/J_a + 1/J_b)),   v = tau^2 + sigma^2/m
    all arms                 F of 2 and J - 3 df,     sum_a J_a (mu_a - mu)^2 / v
    covariate                t of J (m - 1) - 1 df,   slope sqrt(J S) / sigma

unless the variance between subjects is estimated as zero, which tau makes all but impossible here.
"""

import jax
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import jaxmixed as jm
from jaxmixed import core
from jaxmixed.frame import _recipes, _trials
from jaxmixed.frame._estimate import estimate
from jaxmixed.frame._performance import estimation, exact_interval, precision, rate
from jaxmixed.frame._power import power_notes, power_table
from jaxmixed.frame._sample_size import smallest
from jaxmixed.frame._study_tests import read_tests

FORMULA = "y ~ arm + time + (1 | subject)"
M, TAU, SIGMA = 5, 2.0, 1.0
PARAMS = {"Intercept": 1.0, "arm[T.b]": 2.0, "arm[T.c]": -1.0, "time": 0.1}
PARAMS |= {"sd(Intercept | subject)": TAU, "sigma": SIGMA}
ARMS = "arm[T.b] = 0, arm[T.c] = 0"
TESTS = ["arm[T.b]", "arm[T.b] = arm[T.c]", ARMS, "time", "time = 0.1"]
N = 4000
SE = 4.5  # Monte Carlo standard errors that a comparison may be off: once in 150,000 times


@pytest.fixture(scope="module")
def scenario() -> jm.Scenario:
    design = jm.make_design(subject=12, arm=jm.between("subject", ["a", "b", "c"]), time=range(M))
    return jm.scenario(FORMULA, design, PARAMS)


@pytest.fixture(scope="module")
def table(scenario) -> pd.DataFrame:
    return jm.power(scenario, N, key=1, tests=TESTS)


def exact_power(J: int, tests=TESTS) -> np.ndarray:
    v, S = TAU**2 + SIGMA**2 / M, 10.0
    means = np.array([0, PARAMS["arm[T.b]"], PARAMS["arm[T.c]"]])
    within = J * (M - 1) - 1
    spread = J / 3 * ((means - means.mean()) ** 2).sum() / v
    found = {
        "arm[T.b]": t_power(means[1] / np.sqrt(6 * v / J), J - 3),
        "arm[T.b] = arm[T.c]": t_power((means[1] - means[2]) / np.sqrt(6 * v / J), J - 3),
        ARMS: stats.ncf.sf(stats.f.isf(0.05, 2, J - 3), 2, J - 3, spread),
        "time": t_power(PARAMS["time"] * np.sqrt(J * S) / SIGMA, within),
        "time = 0.1": 0.05,
    }
    return np.array([found[test] for test in tests])


def t_power(ncp: float, df: float) -> float:
    limit = stats.t.isf(0.025, df)
    return stats.nct.sf(limit, df, ncp) + stats.nct.cdf(-limit, df, ncp)


# Power


def test_power_where_theory_knows_it(table):
    """Five comparisons, of which all pass by chance in all but 1 of 30,000 cases."""
    truth = exact_power(12)
    assert table["test"].tolist() == TESTS
    assert (np.abs(table["power"] - truth) < SE * np.sqrt(truth * (1 - truth) / N)).all()
    assert (table["n"] == N).all() and (table["failures"] == 0).all()


def test_more_groups_are_another_number_of_groups(scenario):
    larger = jm.power(scenario, N, key=2, tests=TESTS, groups={"subject": 21})
    truth = exact_power(21)
    assert (np.abs(larger["power"] - truth) < SE * np.sqrt(truth * (1 - truth) / N)).all()


def test_a_curve_has_the_power_of_each_of_its_values(scenario, table):
    curve = jm.power_curve(scenario, N, key=1, tests=TESTS, groups={"subject": [21, 12]})
    frame = curve.to_frame()
    assert frame["value"].tolist() == [21] * 5 + [12] * 5 and frame["nobs"].tolist() == [105] * 5 + [60] * 5
    own = frame[frame["value"] == 12][table.columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(own, table)
    assert frame.attrs["along"] == "subject" and "Power along number of levels of subject" in repr(curve)
    assert jm.plots.power_curve(curve).get_xlabel() == "value"


def test_a_curve_along_a_parameter(scenario):
    curve = jm.power_curve(scenario, N, key=3, tests=["time"], params={"time": [0.0, 0.1, 0.2]})
    truth = np.array([t_power(b * np.sqrt(12 * 10), 12 * (M - 1) - 1) for b in (0.0, 0.1, 0.2)])
    found = curve.to_frame()["power"]
    assert (np.abs(found - truth) < SE * np.sqrt(truth * (1 - truth) / N)).all()
    with pytest.raises(jm.DataError, match="along the parameter 'time'"):
        curve.sample_size()


def test_the_sample_size_for_a_power(scenario):
    """Power changes by 0.013 with a subject about the size sought, and has an error of 0.006."""
    curve = jm.power_curve(scenario, N // FRESH, key=4, tests=["time"], groups={"subject": [12, 30]})
    found = curve.sample_size(0.7).iloc[0]
    truth = next(J for J in range(5, 1000) if exact_power(J, ["time"])[0] >= 0.7)
    assert abs(found["value"] - truth) <= 3
    at = exact_power(int(found["value"]), ["time"])[0]
    assert abs(found["power"] - at) < SE * np.sqrt(at * (1 - at) / N) and found["n"] == N


FRESH = 4


@pytest.mark.parametrize("truth", [1, 2, 7, 64, 99, 100])
@pytest.mark.parametrize("start", [1, 8, 60, 100])
def test_bisection(truth, start):
    assert smallest(lambda v: v >= truth, start, 100) == truth
    assert smallest(lambda v: False, start, 100) is None


# Trials


def test_trials_depend_on_the_key_and_their_number_alone(scenario, monkeypatch):
    tests = read_tests(TESTS, scenario.frame.fixed_names).hypotheses
    job = _trials.Job(scenario, jax.random.key(1), tests)
    (whole,) = _trials.run([job], N, "satterthwaite", False)
    (later,) = _trials.run([job, job], 64, "satterthwaite", False, first=3)[:1]
    monkeypatch.setattr(_recipes, "MOST", 64)
    (pieces,) = _trials.run([job], 100, "satterthwaite", False)
    for first, found in ((0, pieces), (3, later)):
        for ours, other in zip(found, whole, strict=True):
            np.testing.assert_allclose(ours, other[first : first + len(ours)], rtol=1e-7, atol=1e-9)


def test_every_trial_is_a_fit_of_its_own(scenario):
    """Statistics of single trials, fitted and tested one by one, in NumPy."""
    asked = read_tests(TESTS, scenario.frame.fixed_names)
    key = jax.random.key(1)
    (found,) = _trials.run([_trials.Job(scenario, key, asked.hypotheses)], 64, "satterthwaite", False)
    recipe = scenario._recipe
    for i in (0, 40):
        with jax.enable_x64(True):
            own = jax.tree.map(np.asarray, recipe.make(jax.random.fold_in(key, i), recipe.ingredients))
        theta = estimate(own, True).theta
        tests = core.satterthwaite(theta, own)
        single = tests.t_test(np.eye(4))
        np.testing.assert_allclose(found.beta[i], single.estimate, rtol=1e-6)
        np.testing.assert_allclose(found.se[i], single.std_error, rtol=1e-5)
        np.testing.assert_allclose(found.df[i], single.df, rtol=1e-4)
        p = [tests.f_test(test.matrix, test.values).p_value for test in asked.hypotheses]
        np.testing.assert_allclose(found.p_values[i], p, rtol=1e-4)


@pytest.mark.slow
def test_crossed_factors_are_drawn_row_by_row():
    """A trial is what `lmer` makes of the response that `simulate` draws for the same key."""
    design = jm.make_design(subject=12, item=6, condition=jm.between("item", ["x", "y"])).iloc[1:]
    params = {
        "Intercept": 1,
        "condition[T.y]": 0.5,
        "sd(Intercept | subject)": 1,
        "sd(Intercept | item)": 1,
    }
    formula = "y ~ condition + (1 | subject) + (1 | item)"
    scenario = jm.scenario(formula, design, params | {"sigma": 1})
    study = jm.simulate_study({"crossed": scenario, "again": scenario}, 64, key=7)
    frame = study.to_frame()
    for s, name in enumerate(("crossed", "again")):
        y = scenario.simulate(3, jax.random.fold_in(jax.random.key(7), s))
        for i in range(3):
            fit = jm.lmer(formula, design.assign(y=y[i]))
            own = frame[(frame["trial"] == i) & (frame["scenario"] == name)]
            np.testing.assert_allclose(own["estimate"], fit.params, rtol=1e-6)
            np.testing.assert_allclose(own["std_error"], fit.bse, rtol=1e-5)
            np.testing.assert_allclose(own["df"], fit.df, rtol=1e-3)


@pytest.mark.slow
def test_nested_factors():
    """Two arms of schools: a t test of J - 2 df of the means of schools, which hold equal rooms."""
    room = jm.nested("school", 3)
    design = jm.make_design(school=12, arm=jm.between("school", ["a", "b"]), room=room, repeats=4)
    params = {"Intercept": 0, "arm[T.b]": 2, "sd(Intercept | school)": 1.5, "sd(Intercept | room)": 1}
    scenario = jm.scenario("y ~ arm + (1 | school) + (1 | room)", design, params | {"sigma": 1})
    curve = jm.power_curve(scenario, 2000, key=1, groups={"school": [12, 20]})
    v = 1.5**2 + 1 / 3 + 1 / 12
    truth = np.array([t_power(2 / np.sqrt(4 * v / J), J - 2) for J in (12, 20)])
    found = curve.to_frame()["power"]
    assert (np.abs(found - truth) < SE * np.sqrt(truth * (1 - truth) / 2000)).all()


def test_what_did_not_converge_is_left_out_and_counted(scenario):
    asked = read_tests(["time", "arm[T.b]"], scenario.frame.fixed_names)
    p = np.array([[0.01, 0.01], [0.5, 0.5], [0.01, np.nan], [0.01, 0.01]])
    nothing = np.zeros((4, 4))
    trials = _trials.Trials(nothing, nothing, nothing, nothing, p, np.array([0, 0, 0, 1]), np.arange(4) == 1)
    table = power_table(trials, asked, 0.05)
    assert table["n"].tolist() == [3, 2] and table["failures"].tolist() == [1, 2]
    np.testing.assert_allclose(table["power"], [2 / 3, 1 / 2])
    assert table["singular"].tolist() == [1, 1]
    assert power_notes(trials) == (
        f"1 of 4 data sets left out: {core.RESULTS[1]}.",
        "1 of 4 data sets left out of a test that is undefined there.",
    )


# Studies


@pytest.fixture(scope="module")
def study(scenario) -> jm.Study:
    none = {"arm[T.b]": 0, "arm[T.c]": 0, "time": 0}
    return jm.simulate_study({"trial": scenario}, N, key=5, params={"effects": {}, "none": none}, tests=TESTS)


def test_measures_are_near_what_theory_says(study):
    """Bias none, coverage 95%, rejection of true hypotheses 5%: 20 numbers of 4.5 standard errors each."""
    table = study.summary()
    assert table["scenario"].unique().tolist() == ["trial, effects", "trial, none"]
    fixed = table[table["model_se"].notna()]
    assert fixed["parameter"].tolist() == ["Intercept", "arm[T.b]", "arm[T.c]", "time"] * 2
    assert (fixed["bias"].abs() < SE * fixed["bias_mcse"]).all()
    assert ((fixed["coverage"] - 0.95).abs() < SE * np.sqrt(0.95 * 0.05 / N)).all()
    assert (fixed["se_error"].abs() < SE * fixed["se_error_mcse"]).all()
    exact = fixed.set_index("parameter").loc["time", ["emp_se", "emp_se_mcse"]].to_numpy()
    assert (np.abs(exact[:, 0] - SIGMA / np.sqrt(12 * 10)) < SE * exact[:, 1]).all()
    null = table[(table["scenario"] == "trial, none") & (table["truth"] == 0)]
    assert ((null["rejection"] - 0.05).abs() < SE * np.sqrt(0.95 * 0.05 / N)).all()
    tests = table[table["parameter"].isin(TESTS) & table["truth"].isna()].head(5)["rejection"]
    truth = exact_power(12)
    assert (np.abs(tests - truth) < SE * np.sqrt(truth * (1 - truth) / N)).all()
    sigma = table[table["parameter"] == "sigma"].iloc[0]
    np.testing.assert_allclose(sigma["emp_se"], SIGMA / np.sqrt(2 * 47), rtol=0.06)
    assert (table["convergence"] == 1).all() and table.attrs["notes"] == ()


def test_every_estimate_is_there(study):
    frame = study.to_frame()
    assert len(frame) == 2 * N * 4 and (frame["status"] == "converged").all()
    own = frame[(frame["scenario"] == "trial, none") & (frame["parameter"] == "time")]["estimate"]
    row = study.summary().query("scenario == 'trial, none' and parameter == 'time'").iloc[0]
    np.testing.assert_allclose([own.mean(), own.std()], [row["bias"], row["emp_se"]], rtol=1e-9)
    assert "trial, none" in repr(study)


@pytest.mark.slow
@pytest.mark.parametrize("ddf", ["kenward-roger", "wald"])
def test_methods_of_tests(scenario, ddf):
    """In balanced designs Kenward-Roger's tests are exact too; z tests reject too often, as known."""
    null = {"arm[T.b]": 0, "arm[T.c]": 0}
    table = jm.power(scenario, N, key=6, tests=["arm[T.b]", ARMS], params=null, ddf=ddf)
    z = [2 * stats.t.sf(stats.norm.isf(0.025), 9), stats.f.sf(stats.chi2.isf(0.05, 2) / 2, 2, 9)]
    truth = np.array([0.05, 0.05] if ddf == "kenward-roger" else z)
    assert (np.abs(table["power"] - truth) < SE * np.sqrt(truth * (1 - truth) / N)).all()


def test_an_interrupt_keeps_what_is_done(scenario, monkeypatch):
    calls, piece = iter(range(10)), _trials._piece

    def stop(*args):
        if next(calls) == 1:
            raise KeyboardInterrupt
        return piece(*args)

    monkeypatch.setattr(_trials, "_piece", stop)
    with pytest.warns(jm.InterruptedWarning, match="1 of 2"):
        study = jm.simulate_study({"a": scenario, "b": scenario}, 64, key=1)
    assert list(study.scenarios) == ["a"] and len(study.to_frame()) == 64 * 4


def test_monte_carlo_errors():
    """Each against the spread of its measure over 4,000 studies of 200 estimates, whose se vary too."""
    rng = np.random.default_rng(1)
    studies = rng.normal(1.0, 2.0, (4000, 200))
    spread = np.sqrt(rng.chisquare(10, studies.shape) / 10 * 4)
    for measure in ("bias", "emp_se", "mse", "model_se", "se_error"):
        pairs = zip(studies, spread, strict=True)
        found = [(estimation(t, 1.0) | precision(t, se))[measure] for t, se in pairs]
        values, mcse = np.array(found).T
        np.testing.assert_allclose(np.sqrt((mcse**2).mean()), values.std(), rtol=0.06)
    values, mcse = np.array([rate(t > 2) for t in studies]).T
    np.testing.assert_allclose(np.sqrt((mcse**2).mean()), values.std(), rtol=0.06)


def test_exact_intervals():
    for hits, n in ((0, 20), (7, 50), (20, 20)):
        truth = stats.binomtest(hits, n).proportion_ci(0.95, "exact")
        np.testing.assert_allclose(exact_interval(hits, n), truth, rtol=1e-10)
    assert np.isnan(exact_interval(0, 0)).all()


# Wrong calls


@pytest.mark.parametrize(
    ("call", "found"),
    [
        (lambda s: jm.power("fit", 9, 1), "model is of type str"),
        (lambda s: jm.power(s, 0, 1), "n is 0"),
        (lambda s: jm.power(s, 9, "a"), "key is 'a'"),
        (lambda s: jm.power(s, 9, 1, alpha=5), "alpha is 5"),
        (lambda s: jm.power(s, 9, 1, ddf="kr"), "ddf is 'kr'"),
        (lambda s: jm.power(s, 9, 1, tests="tim"), "did you mean 'time'"),
        (lambda s: jm.power(s, 9, 1, tests=["time", "time"]), "'time' is there twice"),
        (lambda s: jm.power(s, 9, 1, tests=[]), "tests is empty"),
        (lambda s: jm.power(s, 9, 1, tests=3), "tests is of type int"),
        (lambda s: jm.power_curve(s, 9, 1), "several values of none"),
        (lambda s: jm.power_curve(s, 9, 1, groups={"subject": [6, 9]}, params={"time": [1]}), "'time', 'sub"),
        (lambda s: jm.power_curve(s, 9, 1, groups={"subject": [6, 6]}), "the values 6, 6"),
        (lambda s: jm.power_curve(s, 9, 1, groups={"subject": [6, 9.5]}), r"groups\['subject'\] is 9.5"),
        (lambda s: jm.simulate_study({}, 9, 1), "scenarios is empty"),
        (lambda s: jm.simulate_study([s], 9, 1), "scenarios is of type list"),
        (lambda s: jm.simulate_study(s, 9, 1, params={"none": 0}), "params is {'none': 0}"),
        (lambda s: jm.simulate_study(s, 9, 1, params={"none": {"tim": 0}}), "did you mean 'time'"),
    ],
)
def test_wrong_calls(scenario, call, found):
    with pytest.raises(jm.DataError, match=found):
        call(scenario)


def test_a_model_without_effects():
    params = {"Intercept": 0, "sd(Intercept | g)": 1, "sigma": 1}
    scenario = jm.scenario("y ~ 1 + (1 | g)", jm.make_design(g=5, repeats=3), params)
    with pytest.raises(jm.DataError, match="no coefficient but the intercept"):
        jm.power(scenario, 9, 1)
