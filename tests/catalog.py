"""The reference cases: models, data and the numbers lme4 found."""

import functools
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

HERE = Path(__file__).parent / "reference"

# Fitted to the student grades, which are not part of this repository.
GPA_CASES = (
    "gpa_factors",
    "gpa_intercept",
    "gpa_intercept_covariates",
    "gpa_missing",
    "gpa_occasion_factor",
    "gpa_rank_deficient",
    "gpa_slope",
    "gpa_transforms",
)


@dataclass(frozen=True, eq=False)
class Case:
    """One model, its data and its reference results; the fields are explained in reference/README.md."""

    name: str
    formula: str
    weights: str | None
    fits: dict[str, dict[str, Any]] = field(repr=False)
    objective_points: list[dict[str, Any]] = field(repr=False)
    tolerance: dict[str, Any] = field(repr=False)
    random_terms: list[dict[str, Any]] = field(repr=False)
    fixef_names: list[str] = field(repr=False)
    raw: dict[str, Any] = field(repr=False)
    root: Path = field(repr=False)

    def data(self) -> pd.DataFrame:
        """Return a fresh data frame, factors categorical in R's order of levels."""
        return _data(self.root, self.raw["data"]["file"], json.dumps(self.raw["data"]["columns"])).copy()


def load_case(path: Path) -> Case:
    raw = json.loads(path.read_text())
    names = "name formula weights fits objective_points tolerance random_terms fixef_names".split()
    return Case(**{n: raw[n] for n in names}, raw=raw, root=path.parent.parent)


@functools.cache
def all_cases() -> dict[str, Case]:
    """Return every case that can be found here, by name."""
    paths = sorted((HERE / "cases").glob("*.json"))
    if (extra := _extra_folder()) is not None:
        paths += [p for name in GPA_CASES if (p := extra / "cases" / f"{name}.json").is_file()]
    return {p.stem: load_case(p) for p in paths}


def case(name: str) -> Case:
    """Return one case; skip the test if its data is not here."""
    if name not in all_cases() and name in GPA_CASES:
        pytest.skip("gpa data not here")
    return all_cases()[name]


def cases(*, only: Any = None, slow: tuple[str, ...] = ("insteval",)) -> list[Any]:
    """Return all cases as pytest parameters; those whose data is missing are skipped by name.

    `only` is a predicate on a case; the names in `slow` are marked so.
    """
    found = [c for c in all_cases().values() if only is None or only(c)]
    params = [pytest.param(c, id=c.name, marks=[pytest.mark.slow] if c.name in slow else []) for c in found]
    absent = pytest.mark.skip(reason="gpa data not here")
    return params + [pytest.param(None, id=n, marks=absent) for n in GPA_CASES if n not in all_cases()]


def _extra_folder() -> Path | None:
    named = os.environ.get("JAXMIXED_REFERENCE")
    folder = Path(named) if named else HERE.parents[2] / "shared" / "reference" / "public"
    return folder if (folder / "cases").is_dir() else None


@functools.cache
def _data(root: Path, file: str, columns: str) -> pd.DataFrame:
    described = json.loads(columns)
    path = root / file if (root / file).is_file() else root / f"{file}.gz"
    factors = [c for c, d in described.items() if d["type"] == "factor"]
    frame = pd.read_csv(path, dtype=dict.fromkeys(factors, str), keep_default_na=False, na_values="NA")
    levels = {c: described[c].get("levels") or _sorted_levels(frame[c], described[c]) for c in factors}
    return frame.assign(**{c: pd.Categorical(frame[c], categories=levels[c]) for c in factors})


def _sorted_levels(column: pd.Series, description: dict[str, Any]) -> list[str]:
    if not description["levels_sorted"]:
        raise ValueError(f"the order of the levels of {column.name!r} is neither given nor sorted")
    return sorted(column.dropna().unique(), key=float if description["looks_numeric"] else str)
