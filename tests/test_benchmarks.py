"""The benchmarks' own judgement: which answers count, and what is said of those that do not."""

import numpy as np
import pytest

import jaxmixed as jm
from benchmarks._models import ORTHODONT, SLEEPSTUDY
from benchmarks._summaries import aims, floors
from benchmarks._truth import exact_power, judge, truth
from benchmarks._turns import Row, _ratios, without_wrong_methods
from benchmarks._workloads import WORKLOADS
from benchmarks.engines import _floors
from benchmarks.engines._base import SIZES, parts


@pytest.fixture
def right() -> dict:
    return truth(ORTHODONT, "lmer")


def answer(right: dict, **changed) -> dict:
    return {name: right[name] for name in ("criterion", "beta", "se", "names")} | changed


def test_coefficients_may_have_other_names_and_another_order(right):
    names = ["Intercept", "Sex[T.Female]", "age", "Sex[T.Female]:age"]
    order = [0, 2, 1, 3]
    moved = answer(right, names=names, beta=np.take(right["beta"], order), se=np.take(right["se"], order))
    assert right["names"][2] == "SexFemale"
    assert judge(moved, right, 0).right
    assert not judge(moved | {"names": right["names"]}, right, 0).right


@pytest.mark.parametrize(
    ("quantity", "factor"), [("criterion", 1 + 1e-5), ("beta", 1.01), ("se", 1.01), ("beta", np.nan)]
)
def test_wrong_answers_are_named_with_the_number(right, quantity, factor):
    verdict = judge(answer(right, **{quantity: np.multiply(right[quantity], factor)}), right, 0)
    assert not verdict.right
    assert verdict.wrong.startswith(quantity) and "right is" in verdict.wrong


def test_maximum_likelihood_is_compared_with_its_own(right):
    by_ml = right["ML"] | {"method": "ML"}
    assert judge(by_ml, right, 0).right
    assert not judge({**by_ml, "method": "REML"}, right, 0).right
    assert judge({"method": "ML", "df": [1]}, right, 0).wrong == "nothing to check"


def test_an_aim_that_is_missed_has_its_reason():
    workload = next(w for w in WORKLOADS if w.task == "optimiser" and w.aims)
    ((lme4, times),) = workload.aims.items()
    for ratio, met in ((times + 1, "yes"), (times - 1, "no")):
        table = aims([Row(workload, "jaxmixed"), Row(workload, lme4, ratio=ratio)])
        assert [line[-1] for line in table.rows] == [met]
        assert any("XLA" in note for note in table.notes) == (met == "no")


def test_replicates_are_judged_by_their_number():
    right = truth(SLEEPSTUDY, "bootstrap")
    found = {"boot_se": np.multiply(right["se"], 1.1)}
    assert judge(found, right, 100).right
    assert not judge(found, right, 10_000).right
    power = exact_power()
    assert (np.diff(power) > 0).all() and len(power) == len(SIZES) and 0.4 < power[0] < 0.41
    rejected = {"rejected": np.round(1000 * power) - 30, "each": 1000}
    assert not judge(rejected, truth(SLEEPSTUDY, "power"), 1000).right


def test_a_method_that_is_wrong_once_counts_nowhere(right):
    tests = [w for w in WORKLOADS if w.task == "kenward-roger"][:2]
    good, bad = judge(answer(right), right, 0), judge(answer(right, criterion=0.0), right, 0)
    rows = [
        Row(tests[0], "a", verdict=good),
        Row(tests[1], "a", verdict=bad),
        Row(tests[0], "b", verdict=good),
    ]
    assert [row.counts for row in without_wrong_methods(rows)] == [False, False, True]


def test_what_was_timed_once_stands_beside_every_round_of_ours():
    assert _ratios([[4.0]], [[1.0], [2.0]]) == [4.0, 2.0]
    assert _ratios([[4.0, 6.0], [8.0]], [[1.0], [2.0]]) == [5.0, 4.0]


def test_floors_are_there_or_missed_aloud():
    fit = jm.lmer("Reaction ~ Days + (Days | Subject)", jm.datasets.load("sleepstudy"))
    few, many = _floors.of_replicates(fit, 10), _floors.of_replicates(fit, 20)
    one = _floors.of_evaluations(fit, 1)
    assert 0 < 10 * one["flops"] <= few["flops"] < many["flops"] < 200 * one["flops"]
    row = Row(WORKLOADS[0], "jaxmixed", floor={"error": "out of memory"})
    assert any("no floor, out of memory" in note for note in floors([row]).notes)


def test_every_workload_has_a_truth_and_a_name_of_its_own():
    without = [w.name for w in WORKLOADS if not truth(w.model, w.task)]
    assert without == ["InstEval: Kenward-Roger df, table"]
    assert judge({"df": [1.0]}, {}, 0).wrong == "no reference, not checked"
    assert len({(workload.name, workload.part) for workload in WORKLOADS}) == len(WORKLOADS)


def test_formulas_are_taken_apart():
    assert parts("y ~ x + (x | g)") == ("y ~ x", [("x", "g")])
    assert parts("y ~ 1 + (1 | a/b)") == ("y ~ 1", [("1", "a"), ("1", "a:b")])
