"""What all pictures share: axes made or checked, and marks that differ without colour too.

Colours are those of Okabe & Ito (2008), told apart by the colour-blind; the nth series also has the nth
marker and dash, so that a grey print says as much.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..frame._errors import DataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, GREY, FAINT = "#1A1A1A", "#6E6E6E", "#BDBDBD"
BLUE, ORANGE = "#0072B2", "#D55E00"
COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 3)))
MOST_LABELS = 40  # levels named along an axis
LETTERS, SMALLEST = 8.5, 5.5  # points: of a level's name, and what room it needs
ROW, UNNAMED = 0.21, 4.6  # inches: of a named level, of all unnamed ones


def single(ax: Any, width: float = 5.5, height: float = 3.8) -> Axes:
    """Return the axes given, or those of a new figure of that size in inches."""
    if ax is None:
        ax = _pyplot().subplots(figsize=(width, height), layout="constrained")[1]
        _plain(ax)
    elif not hasattr(ax, "plot"):
        raise DataError(
            f"ax is of type {type(ax).__name__}; expected one matplotlib Axes, such as plt.subplots()[1], or "
            f"None for a new figure."
        )
    return ax


def several(
    axes: Any, n: int, columns: int, width: float = 2.8, height: float = 2.4, **options
) -> np.ndarray:
    """Return n axes, shape (n,): those given, or those of a new figure with so many columns at most."""
    if axes is None:
        rows = -(-n // columns)
        columns = -(-n // rows)
        size = (max(columns * width, 3.5), max(rows * height, 2.6))
        grid = _pyplot().subplots(
            rows, columns, figsize=size, layout="constrained", squeeze=False, **options
        )[1]
        grid.flat[0].figure.get_layout_engine().set(w_pad=0.07, h_pad=0.06)
        for spare in grid.flat[n:]:
            spare.remove()
        axes = grid.flat[:n]
        for ax in axes:
            _plain(ax)
    axes = np.array(axes, dtype=object).reshape(-1)
    if len(axes) != n or not all(hasattr(ax, "plot") for ax in axes):
        raise DataError(
            f"axes has {len(axes)} elements; expected {n} matplotlib Axes, one for each panel, or None for a "
            f"new figure."
        )
    return axes


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            'Pictures need matplotlib, which is not installed; run: pip install "jaxmixed[plots]".'
        ) from error
    return plt


def _plain(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)


def legend_above(ax: Axes) -> None:
    """Put the legend above the axes, where it hides nothing."""
    handles, labels = ax.get_legend_handles_labels()
    if handles:
        where: dict[str, Any] = dict(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)
        ax.legend(handles, labels, ncols=4, frameon=False, fontsize="small", columnspacing=1.4, **where)


def joined(paths: list[np.ndarray]) -> np.ndarray:
    """Return paths of shape (m, 2) as one, with gaps between them: drawn at once."""
    gap = np.full((1, 2), np.nan)
    return np.concatenate([piece for path in paths for piece in (path, gap)])


def name_levels(ax: Axes, levels: list[Any], what: str) -> None:
    """Name positions 0, 1, ... of the y axis, or say how many there are if their names would touch."""
    points = 72 * ax.get_window_extent().height / ax.figure.dpi / max(len(levels), 1)
    if points >= SMALLEST and len(levels) <= MOST_LABELS:
        ax.set_yticks(np.arange(len(levels)), [str(level) for level in levels])
        ax.tick_params("y", labelsize=min(LETTERS, points), length=0)
        ax.set_ylabel(what)
    else:
        ax.set_yticks([])
        ax.set_ylabel(f"{what} ({len(levels)}, in order)")


def panel_size(levels: int) -> float:
    """Return the height in inches at which so many levels can be told apart."""
    return 1.1 + ROW * max(levels, 5) if levels <= MOST_LABELS else UNNAMED
