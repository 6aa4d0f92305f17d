"""The examples are run as a user runs them, with the real data where they are and without."""

import runpy
from pathlib import Path

import pytest
from catalog import case

EXAMPLES = Path(__file__).parents[1] / "examples"
WIDTH = 100  # columns


def run(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    return capsys.readouterr().out


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
def pandas_options_as_they_were():
    import pandas as pd

    with pd.option_context("display.width", None):
        yield


def test_every_script_is_listed_and_run():
    listed = (EXAMPLES / "README.md").read_text()
    tested = Path(__file__).read_text()
    for script in EXAMPLES.glob("*.py"):
        assert f"({script.name})" in listed
        assert f'run("{script.name}"' in tested


@pytest.mark.usefixtures("out_of_reach")
def test_student_gpa_without_the_study(capsys):
    printed = run("student_gpa.py", capsys)
    assert "simulated from its published estimates" in printed
    assert "1200 grades of 200 students" in printed
    assert "nan" not in printed
    assert max(map(len, printed.splitlines())) <= WIDTH


@pytest.mark.usefixtures("study")
def test_student_gpa_gives_the_published_figures(capsys):
    printed = run("student_gpa.py", capsys)
    assert "simulated" not in printed
    assert max(map(len, printed.splitlines())) <= WIDTH
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
