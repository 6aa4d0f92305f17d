import hashlib
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from catalog import all_cases

from jaxmixed import datasets
from jaxmixed.datasets import _load

SHAPES = {
    "Dyestuff": (30, 2),
    "Dyestuff2": (30, 2),
    "InstEval": (73421, 7),
    "Oats": (72, 4),
    "Orthodont": (108, 4),
    "Pastes": (60, 4),
    "Penicillin": (144, 3),
    "cake": (270, 5),
    "sleepstudy": (180, 3),
}
# A reference case fitted to each data set.
REFERENCE = {
    "Dyestuff": "dyestuff",
    "Dyestuff2": "dyestuff2",
    "InstEval": "insteval",
    "Oats": "oats",
    "Orthodont": "orthodont",
    "Pastes": "pastes",
    "Penicillin": "penicillin",
    "cake": "cake_split_plot",
    "sleepstudy": "sleep_slope",
}
GPA_HEADER = "student,occas,gpa,job,sex,highgpa,admitted,year,semester,occasion"
GPA_ROW = "1,year 1 semester 1,2.3,2 hours,female,2.8,NA,1,1,0"


@pytest.fixture
def no_folder(monkeypatch, tmp_path):
    """Take away the local folder, and point the cache at an empty one."""
    pooch = pytest.importorskip("pooch")
    monkeypatch.delenv("JAXMIXED_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / name)
    return pooch


def test_names_are_those_tested_here_and_gpa():
    assert set(datasets.names()) == {*SHAPES, "gpa"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "InstEval" else name for name in SHAPES]
)
def test_data_set_is_the_one_lme4_fitted(name):
    frame = datasets.load(name)
    assert frame.shape == SHAPES[name]
    assert not frame.isna().any().any()
    expected = all_cases()[REFERENCE[name]].data()[list(frame.columns)]
    pd.testing.assert_frame_equal(frame, expected)


@pytest.mark.parametrize(
    ("name", "column", "first"),
    [
        ("Orthodont", "Sex", ["Male", "Female"]),
        ("Orthodont", "Subject", ["M16", "M05", "M02"]),
        ("Oats", "Block", ["VI", "V", "III", "IV", "II", "I"]),
        ("InstEval", "dept", ["15", "5", "10"]),
        ("InstEval", "s", ["1", "2", "3"]),
        ("cake", "temperature", ["175", "185", "195"]),
        ("cake", "replicate", ["1", "2", "3"]),
        ("sleepstudy", "Subject", ["308", "309", "310"]),
    ],
)
def test_levels_stand_in_the_order_of_r(name, column, first):
    levels = datasets.load(name)[column].cat
    assert levels.categories.tolist()[: len(first)] == first
    assert not levels.ordered


@pytest.mark.parametrize(
    ("wrong", "right"), [("SleepStudy", "sleepstudy"), ("instevel", "InstEval"), ("GPA", "gpa")]
)
def test_unknown_name_is_told_the_nearest(wrong, right):
    with pytest.raises(ValueError, match=f"found no data set named '{wrong}'.*Did you mean '{right}'"):
        datasets.load(wrong)


def test_unknown_name_without_a_near_one_lists_all():
    with pytest.raises(ValueError, match=r"expected one of Dyestuff, Dyestuff2.*sleepstudy\.$"):
        datasets.load("zzz")


def test_gpa_of_another_content_is_refused(monkeypatch, tmp_path):
    (tmp_path / "gpa.csv").write_text(f"{GPA_HEADER}\n{GPA_ROW}\n")
    monkeypatch.setenv("JAXMIXED_DATA", str(tmp_path))
    with pytest.raises(datasets.DatasetError, match=r"are not those of the student study.*JAXMIXED_DATA"):
        datasets.load("gpa")


def test_gpa_lacking_a_column_is_refused(monkeypatch, tmp_path):
    (tmp_path / "gpa.csv").write_text("student,gpa\n1,2.3\n")
    monkeypatch.setenv("JAXMIXED_DATA", str(tmp_path))
    with pytest.raises(datasets.DatasetError, match="lacks the column 'occas'"):
        datasets.load("gpa")


def test_gpa_checksum_is_of_the_values_not_of_the_file(monkeypatch, tmp_path):
    plain = f"{GPA_HEADER}\n{GPA_ROW}\n"
    monkeypatch.setattr(_load, "_GPA_CHECKSUM", hashlib.sha256(plain.encode()).hexdigest())
    quoted = ",".join(f'"{v}"' for v in f"row,{GPA_HEADER}".split(","))
    (tmp_path / "gpa.csv").write_bytes(f"{quoted}\r\n1,{GPA_ROW}\r\n".encode())
    monkeypatch.setenv("JAXMIXED_DATA", str(tmp_path))
    frame = datasets.load("gpa")
    assert list(frame.columns) == GPA_HEADER.split(",")
    assert frame["admitted"].isna().all()
    assert frame["highgpa"].tolist() == [2.8]


def test_gpa_without_a_network_says_what_to_do(no_folder, monkeypatch):
    def retrieve(*args, **kwargs):
        raise ConnectionError("no route")

    monkeypatch.setattr(no_folder, "retrieve", retrieve)
    with pytest.raises(datasets.DatasetError, match=r"could not fetch .*ConnectionError.*JAXMIXED_DATA"):
        datasets.load("gpa")


def test_a_damaged_download_does_not_stay_in_the_cache(no_folder, monkeypatch, tmp_path):
    def retrieve(url, known_hash, fname, path):
        path.mkdir()
        (path / fname).write_text(f"{GPA_HEADER}\n{GPA_ROW}\n")
        return str(path / fname)

    monkeypatch.setattr(no_folder, "retrieve", retrieve)
    with pytest.raises(datasets.DatasetError, match="are not those"):
        datasets.load("gpa")
    assert not (tmp_path / "jaxmixed" / "gpa.csv").exists()


def test_gpa_is_the_published_study(monkeypatch):
    case = all_cases().get("gpa_factors")
    if case is None:
        pytest.skip("gpa data not here")
    monkeypatch.setenv("JAXMIXED_DATA", str(case.root / "data"))
    frame = datasets.load("gpa")
    pd.testing.assert_frame_equal(frame, case.data())
    assert frame["job"].cat.categories.tolist() == ["1 hour", "2 hours", "3 hours"]
    assert np.isclose(frame["gpa"].mean(), 2.865, atol=5e-4)


def test_optional_packages_are_only_needed_where_they_are_used():
    code = """
import sys
sys.modules["pyarrow"] = sys.modules["pooch"] = None
from jaxmixed import datasets
assert len(datasets.load("sleepstudy")) == 180
for name in ["InstEval", "gpa"]:
    try:
        datasets.load(name)
    except ImportError as error:
        assert "jaxmixed[data]" in str(error), error
    else:
        raise AssertionError(name)
"""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr


def test_loading_gives_a_fresh_frame_and_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = datasets.load("Pastes")
    first["strength"] = 0.0
    assert datasets.load("Pastes")["strength"].iloc[0] == 62.8
