"""The examples are run as a user runs them, with the real data where they are and without."""

import re
import runpy
from pathlib import Path

import jax
import numpy as np
import pytest
from catalog import case

EXAMPLES = Path(__file__).parents[1] / "examples"
WIDTH = 100  # columns


def run(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Run an example, look at what every one of them owes its reader, and return what it prints."""
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    printed = capsys.readouterr().out
    *lines, said, folder = printed.rstrip().splitlines()
    saved = [line.removeprefix("Figure saved: figures/") for line in lines if line.startswith("Figure saved")]
    assert said == "All figures are in the folder"
    assert saved and sorted(saved) == sorted(path.name for path in Path(folder).iterdir())
    assert max(map(len, lines)) <= WIDTH
    assert "nan" not in printed
    return printed


def squeezed(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture
def out_of_reach(monkeypatch, tmp_path):
    """Leave neither a file nor a cached copy nor a network."""
    pooch = pytest.importorskip("pooch")

    def retrieve(*args, **kwargs):
        raise ConnectionError("no route")

    monkeypatch.setenv("JAXMIXED_DATA", str(tmp_path))
    monkeypatch.setattr(pooch, "retrieve", retrieve)


@pytest.fixture
def study(monkeypatch):
    """Point to the student study; skip where it is not."""
    monkeypatch.setenv("JAXMIXED_DATA", str(case("gpa_intercept").root / "data"))


@pytest.fixture(autouse=True)
def run_in_an_empty_folder(monkeypatch, tmp_path):
    import pandas as pd

    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLES)
    double = jax.config.jax_enable_x64
    with pd.option_context("display.width", None):
        yield
    jax.config.update("jax_enable_x64", double)  # some examples choose double precision


def test_every_script_is_listed_and_run():
    listed = (EXAMPLES / "README.md").read_text()
    tested = Path(__file__).read_text()
    for script in EXAMPLES.glob("[!_]*.py"):
        assert f"({script.name})" in listed
        assert f'run("{script.name}"' in tested


@pytest.mark.usefixtures("out_of_reach")
def test_student_gpa_without_the_study(capsys):
    printed = run("student_gpa.py", capsys)
    assert "simulated from its published estimates" in printed
    assert "1200 grades of 200 students" in printed


@pytest.mark.usefixtures("study")
def test_student_gpa_gives_the_published_figures(capsys):
    printed = run("student_gpa.py", capsys)
    assert "simulated" not in printed
    words = squeezed(printed)
    for figures in [
        # One regression.
        "Intercept 2.599 0.018",
        "occasion 0.106 0.006",
        "Residual standard deviation 0.3487, R2 0.2136",
        # Regression and mixed model, side by side: estimate and standard error.
        "Intercept 2.599 0.018 2.599 0.022",
        "occasion 0.106 0.006 0.106 0.004",
        # Variance, standard deviation, share.
        "student Intercept 0.064 0.252 0.523",
        "Residual 0.058 0.241 0.477",
        "2.599214 2.705529 2.811843",
        # Profile intervals.
        "Intercept 2.557 2.642",
        "occasion 0.098 0.114",
        "sd(Intercept | student) 0.225 0.282",
        "sigma 0.231 0.252",
        "Intraclass correlation 0.523.",
        # Without and with covariates of students.
        "between students 0.0637 0.0559",
        "Intraclass correlation 0.523 without, 0.490 with.",
    ]:
        assert figures in words
    assert first_five(words, "Effects of the first five students") == [
        (-0.071, 0.092),
        (-0.216, 0.092),
        (0.088, 0.092),
        (-0.187, 0.092),
        (0.030, 0.092),
    ]
    assert first_five(words, "Sums of figures rounded to three decimals") == [
        (2.528, 0.095),
        (2.383, 0.095),
        (2.687, 0.095),
        (2.412, 0.095),
        (2.629, 0.095),
    ]
    exact = first_five(words, "Sums of exact figures")
    assert exact == [(2.528, 0.094), (2.384, 0.094), (2.687, 0.094), (2.413, 0.094), (2.630, 0.094)]


def first_five(words: str, title: str) -> list[tuple[float, float]]:
    """Return value and standard error of the first five rows of the table below a title."""
    table = words.split(title)[1].split(" group value se ")[1]
    columns = 5 if table.startswith("lower upper ") else 3
    numbers = table.removeprefix("lower upper ").split()
    rows = [numbers[i * (columns + 1) : (i + 1) * (columns + 1)] for i in range(5)]
    return [(float(row[2]), float(row[3])) for row in rows]


@pytest.mark.slow
def test_sleepstudy_gives_the_published_figures_and_the_picture_of_the_readme(capsys, tmp_path):
    from matplotlib.testing.compare import compare_images

    words = squeezed(run("sleepstudy.py", capsys))
    for figures in [
        "Days 10.467 1.238",  # regression
        "Days 10.4673 0.8042",  # random intercept
        "Days 10.467 1.546",  # random slope
        "Subject Intercept 612.09 24.740",
        "Days in (Days | Subject) 4 -893.233 42.837 2.000 <0.001",
        "sd(Days | Subject) 3.801 8.753",
    ]:
        assert figures in words
    readme, drawn = Path(__file__).parents[1] / "docs/figures/sleepstudy.png", tmp_path / "copy.png"
    drawn.write_bytes((tmp_path / "figures/sleepstudy_predictions.png").read_bytes())
    assert compare_images(str(readme), str(drawn), 8) is None  # letters differ between versions of FreeType


@pytest.mark.slow
def test_simulated_intercepts_are_found_again(capsys):
    printed = run("simulate_random_intercepts.py", capsys)
    rows = [line.split() for line in printed.split("held the truth:")[1].splitlines()[3:11]]
    assert [row[1:3] for row in rows[::2]] == [["50", "3"], ["50", "10"], ["100", "3"], ["100", "10"]]
    true, mean, _, width, covered = np.array(rows, float)[:, -5:].T
    np.testing.assert_allclose(mean, true, atol=0.015)
    np.testing.assert_allclose(covered, 0.95, atol=4 * np.sqrt(0.95 * 0.05 / 500))
    np.testing.assert_allclose(width[4:], width[:4] * np.sqrt(50 / 100), rtol=0.1)  # twice as many groups
    assert "4000 data sets drawn and fitted in" in printed
    assert "4000 of the fits converged" in printed


@pytest.mark.slow
def test_nested(capsys):
    words = squeezed(run("nested.py", capsys))
    for figures in [
        "cask:batch Intercept 8.4337 2.9041",
        "batch Intercept 1.6573 1.2874",
        "sd(Intercept | batch) 0.000 2.947",
        "recipe 64.608 32.304 2 28.000 1.578 0.224",
    ]:
        assert figures in words


@pytest.mark.slow
def test_crossed(capsys):
    pytest.importorskip("pyarrow")
    words = squeezed(run("crossed.py", capsys))
    for figures in [
        "plate Intercept 0.7169 0.8467",
        "sample Intercept 3.7309 1.9316",
        "s Intercept 0.105998",
    ]:
        assert figures in words


@pytest.mark.slow
def test_growth_curves(capsys):
    words = squeezed(run("growth_curves.py", capsys))
    for figures in [
        "years:Sex[T.Female] -0.30483 0.13474 25.0 -2.26 0.033",
        "girls, a year 0.480",
        "residual 1.716 1.716 0.000",
    ]:
        assert figures in words


def said(printed: str) -> list[float]:
    """Return the numbers of what an example says at the end that it shows."""
    words = squeezed(printed.split("What this shows")[1].split("All figures")[0])
    return [float(number) for number in re.findall(r"-?\d+\.\d+(?:e[-+]\d+)?", words)]


@pytest.mark.slow
def test_influence(capsys):
    rows, groups, rows_cost, groups_cost, predicted, found = said(run("influence.py", capsys))
    assert rows > 0.99 and groups > 0.99
    assert rows_cost < 20 and groups_cost < 20
    assert predicted > 0 and found > 0


@pytest.mark.slow
def test_optimal_design(capsys):
    printed = run("optimal_design.py", capsys)
    assert "moved four visits to [0. 0.5 0.5 1. ]" in squeezed(printed)
    *_, exact, predicted = said(printed)
    assert exact == pytest.approx(predicted, rel=0.1)


@pytest.mark.slow
def test_deep_mixed_model(capsys):
    ignored, indicators, random = said(run("deep_mixed_model.py", capsys))
    assert 1 < random < 0.7 * min(ignored, indicators)


@pytest.mark.slow
def test_equinox_module(capsys):
    loss, plain, between, within, *_ = said(run("equinox_module.py", capsys))
    assert loss == plain
    assert between == pytest.approx(1, abs=0.2) and within == pytest.approx(0.4, abs=0.05)


@pytest.mark.slow
def test_optimisers(capsys):
    pytest.importorskip("optimistix")
    words = squeezed(run("optimisers.py", capsys).split("What this shows")[1])
    gap, apart = re.findall(r"(?:within|to) (\de[-+]\d+)", words)
    assert float(gap) < 1e-6 and float(apart) < 1e-5


@pytest.mark.slow
def test_numpyro_sleepstudy(capsys):
    pytest.importorskip("numpyro")
    printed = run("numpyro_sleepstudy.py", capsys)
    r_hat, posterior, reml = said(printed)
    assert r_hat < 1.02
    assert "Posterior medians all lie inside" in printed
    assert posterior > reml


@pytest.mark.slow
def test_blackjax_sleepstudy(capsys):
    pytest.importorskip("blackjax")
    reml, posterior, reml_slope, posterior_slope = said(run("blackjax_sleepstudy.py", capsys))
    assert posterior == pytest.approx(reml, abs=1)
    assert reml_slope < posterior_slope < 9
