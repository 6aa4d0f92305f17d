"""What the examples share: headings, tables, and a folder for figures."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

WIDTH = 100  # columns of print
FIGURES = Path("figures")  # in the folder the example is run from
pd.set_option("display.width", WIDTH)


def heading(text: str) -> None:
    print(f"\n{'=' * WIDTH}\n{text}\n{'=' * WIDTH}\n")


def show(table: pd.DataFrame, decimals: int = 3) -> None:
    """Print a table; p values below a thousandth as such."""

    def number(value: float) -> str:
        return f"{round(value, decimals) + 0.0:.{decimals}f}"  # a small negative number is not "-0.000"

    print(table.to_string(float_format=number, formatters={"p_value": p_value}, na_rep=""), "\n")


def p_value(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def save(drawn: Any, name: str) -> None:
    """Save the figure of some axes."""
    FIGURES.mkdir(exist_ok=True)
    path = FIGURES / f"{name}.png"
    np.ravel(drawn)[0].figure.savefig(path, dpi=110)
    print(f"Figure saved: {path.as_posix()}")


def tell_where() -> None:
    """Say where the figures are."""
    print(f"\nAll figures are in the folder\n{FIGURES.resolve()}")
