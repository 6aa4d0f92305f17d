"""Read a data set by name: most from files in the package, one over the network.

The files hold labels and numbers only. Which columns are factors, and in which order their levels
stand, is R's choice and is written here: the first level is the reference of treatment contrasts.
"""

import difflib
import hashlib
import os
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import pandas as pd

# Factor columns of each data set. None stands for R's default order of levels: by value when
# every label is a number, else alphabetical.
_FACTORS: dict[str, dict[str, tuple[str, ...] | None]] = {
    "Dyestuff": {"Batch": None},
    "Dyestuff2": {"Batch": None},
    "InstEval": {
        "s": None,
        "d": None,
        "studage": None,
        "lectage": None,
        "service": None,
        "dept": ("15", "5", "10", "12", "6", "7", "4", "8", "9", "14", "1", "3", "11", "2"),
    },
    "Oats": {"Block": ("VI", "V", "III", "IV", "II", "I"), "Variety": None},
    "Orthodont": {
        "Subject": (
            *"M16 M05 M02 M11 M07 M08 M03 M12 M13 M14 M09 M15 M06 M04 M01 M10".split(),
            *"F10 F09 F06 F01 F05 F07 F02 F08 F03 F04 F11".split(),
        ),
        "Sex": ("Male", "Female"),
    },
    "Pastes": {"batch": None, "cask": None, "sample": None},
    "Penicillin": {"plate": None, "sample": None},
    "cake": {"replicate": None, "recipe": None, "temperature": None},
    "gpa": {"occas": None, "job": None, "sex": None, "admitted": None},
    "sleepstudy": {"Subject": None},
}

_GPA_URL = "https://raw.githubusercontent.com/m-clark/mixed-models-with-R/master/data/gpa.csv"
_GPA_COLUMNS = "student occas gpa job sex highgpa admitted year semester occasion".split()
# Of the values in the columns above, not of the file, whose quotes and line ends may differ.
_GPA_CHECKSUM = "7c1eec50027b5ad9c82e118ef5b0d46bf30e300ddd195602b301856d9bc1c48c"
_GPA_BY_HAND = (
    "Download the file data/gpa.csv of the GitHub repository m-clark/mixed-models-with-R into a folder "
    "and set the environment variable JAXMIXED_DATA to that folder."
)


class DatasetError(OSError):
    """A data set could not be fetched, or is not the one that was asked for."""


def names() -> tuple[str, ...]:
    """Return the names that `load` knows.

    Examples
    --------
    >>> from jaxmixed import datasets
    >>> "InstEval" in datasets.names()
    True
    """
    return tuple(_FACTORS)


def load(name: str) -> pd.DataFrame:
    """Return a data set as a data frame, its factors categorical with R's order of levels.

    All come with the package but ``"gpa"``, the grades of 200 students on six occasions, which is
    looked for in the folder named by the environment variable ``JAXMIXED_DATA``, then in a cache,
    and else fetched once from the repository of the book it belongs to. Sources and licences are
    in the README of this folder.

    Parameters
    ----------
    name
        One of `names()`; upper and lower case matter.

    Returns
    -------
    pandas.DataFrame
        Columns as named in R, in the same order.

    Raises
    ------
    ValueError
        If there is no such data set.
    ImportError
        If the data set needs an optional package: pyarrow for InstEval, pooch to fetch gpa.
    DatasetError
        If gpa cannot be fetched or its values are not the published ones.

    Examples
    --------
    >>> from jaxmixed import datasets
    >>> datasets.load("Orthodont")["Sex"].cat.categories.tolist()
    ['Male', 'Female']
    """
    if name not in _FACTORS:
        raise ValueError(_unknown(name))
    if name == "gpa":
        frame = _gpa()
    elif name == "InstEval":
        frame = _packaged_parquet(name)
    else:
        with as_file(files("jaxmixed.datasets") / f"{name}.csv") as path:
            frame = _read_csv(path, name)
    return frame.assign(**{c: _factor(pd.Series(frame[c]), levels) for c, levels in _FACTORS[name].items()})


def _unknown(name: object) -> str:
    lower = {n.lower(): n for n in _FACTORS}
    close = difflib.get_close_matches(str(name).lower(), lower, n=2, cutoff=0.5)
    hint = f" Did you mean {' or '.join(repr(lower[c]) for c in close)}?" if close else ""
    return f"found no data set named {name!r}; expected one of {', '.join(_FACTORS)}.{hint}"


def _factor(column: pd.Series, levels: tuple[str, ...] | None) -> pd.Categorical:
    return pd.Categorical(column, categories=_r_levels(column) if levels is None else levels)


def _r_levels(column: pd.Series) -> list[str]:
    labels = column.dropna().unique().tolist()
    try:
        return sorted(labels, key=float)
    except ValueError:
        return sorted(labels)


def _read_csv(path: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(path, dtype=dict.fromkeys(_FACTORS[name], str), keep_default_na=False, na_values="NA")


def _packaged_parquet(name: str) -> pd.DataFrame:
    with as_file(files("jaxmixed.datasets") / f"{name}.parquet") as path:
        try:
            return pd.read_parquet(path)
        except ImportError as error:
            raise ImportError(
                f"the data set {name} is a parquet file and pyarrow is not installed; "
                'run: pip install "jaxmixed[data]"'
            ) from error


def _gpa() -> pd.DataFrame:
    folder = os.environ.get("JAXMIXED_DATA")
    if folder and (local := Path(folder) / "gpa.csv").is_file():
        return _checked_gpa(local)
    path = _fetched_gpa()
    try:
        return _checked_gpa(path)
    except DatasetError:
        # A damaged download must not be found in the cache the next time.
        path.unlink(missing_ok=True)
        raise


def _fetched_gpa() -> Path:
    try:
        import pooch
    except ImportError as error:
        raise ImportError(
            "the data set gpa is fetched over the network and pooch is not installed; "
            f'run: pip install "jaxmixed[data]". {_GPA_BY_HAND}'
        ) from error
    # A failed download is told in the words below, not in a log.
    pooch.get_logger().setLevel("WARNING")
    try:
        cache = pooch.os_cache("jaxmixed")
        return Path(pooch.retrieve(_GPA_URL, known_hash=None, fname="gpa.csv", path=cache))
    except OSError as error:
        raise DatasetError(
            f"could not fetch the data set gpa from {_GPA_URL} ({type(error).__name__}); try again with a "
            f"network, or without one: {_GPA_BY_HAND}"
        ) from error


def _checked_gpa(path: Path) -> pd.DataFrame:
    frame = _read_csv(path, "gpa")
    missing = [c for c in _GPA_COLUMNS if c not in frame]
    if missing:
        raise DatasetError(f"{path} lacks the column {missing[0]!r} of the student study. {_GPA_BY_HAND}")
    frame = frame.loc[:, _GPA_COLUMNS]
    found = _checksum(frame)
    if found != _GPA_CHECKSUM:
        raise DatasetError(
            f"the values in {path} are not those of the student study (checksum {found[:12]}, expected "
            f"{_GPA_CHECKSUM[:12]}). {_GPA_BY_HAND}"
        )
    return frame


def _checksum(frame: pd.DataFrame) -> str:
    """SHA-256 of the table written as plain comma-separated text, six significant digits, missing as NA."""
    columns = [
        np.where(c.isna(), "NA", [f"{v:.6g}" if isinstance(v, float | int) else str(v) for v in c.tolist()])
        for _, c in frame.items()
    ]
    lines = [",".join(frame.columns), *map(",".join, zip(*columns, strict=True))]
    return hashlib.sha256("".join(line + "\n" for line in lines).encode()).hexdigest()
