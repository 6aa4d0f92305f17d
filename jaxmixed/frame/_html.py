"""Tables as HTML that looks alike in every page: the style stands on the cells."""

from collections.abc import Container, Sequence
from html import escape

LEFT = "text-align:left;padding:0.1em 0.6em"
RIGHT = "text-align:right;padding:0.1em 0.6em;font-variant-numeric:tabular-nums"


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]], left: Container[int]) -> str:
    """Return a table, columns whose positions are in `left` to the left and all others to the right.

    A row of one cell is a heading across all columns.
    """
    body = []
    for row in rows:
        if len(row) == 1 < len(head):
            body.append(f'<th colspan="{len(head)}" style="{LEFT}">{escape(row[0])}</th>')
        else:
            body.append(_cells("td", row, left))
    shown = f"<thead><tr>{_cells('th', head, left)}</tr></thead>" if any(head) else ""
    return f"<table>{shown}<tbody>{''.join(f'<tr>{cells}</tr>' for cells in body)}</tbody></table>"


def _cells(tag: str, cells: Sequence[str], left: Container[int]) -> str:
    styles = (LEFT if i in left else RIGHT for i in range(len(cells)))
    return "".join(f'<{tag} style="{s}">{escape(c)}</{tag}>' for s, c in zip(styles, cells, strict=True))
