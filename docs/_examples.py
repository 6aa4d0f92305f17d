"""An example as a page: its words, its code, what the code prints and the figures it draws, all of it run."""

import contextlib
import io
import os
import re
import sys
from pathlib import Path
from typing import NamedTuple

FIGURE = re.compile(r"^Figure saved: (\S+)\n?", flags=re.MULTILINE)
BANNER = re.compile(r"^=+\n(.+)\n=+\n", flags=re.MULTILINE)
WHERE = re.compile(r"^All figures are in the folder\n.*\n?", flags=re.MULTILINE)


class Cell(NamedTuple):
    """What stands between two lines that begin with `# %%`.

    Attributes
    ----------
    words
        Whether it is Markdown, in comments.
    source
        Its lines.
    """

    words: bool
    source: str


def cells(script: str) -> list[Cell]:
    """Split a script; what precedes its first cell is about running it, and left out."""
    pieces = re.split(r"^# %%(.*)\n", script, flags=re.MULTILINE)[1:]
    return [
        Cell("[markdown]" in kind, source) for kind, source in zip(pieces[::2], pieces[1::2], strict=True)
    ]


def page_of(script: Path, folder: Path) -> str:
    """Run a script in a folder, where its figures go too, and return its page in Markdown."""
    os.chdir(folder)
    sys.path.insert(0, str(script.parent))
    session: dict[str, object] = {"__name__": "__main__"}
    parts = []
    for cell in cells(script.read_text(encoding="utf-8")):
        if cell.words:
            parts.append(re.sub(r"^# ?", "", cell.source, flags=re.MULTILINE))
            continue
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(cell.source, script.name, "exec"), session)
        parts += [f"```python\n{cell.source.strip()}\n```\n", *output(printed.getvalue())]
    parts.append(
        f"The script is `examples/{script.name}`; the figures and numbers were made with this page.\n"
    )
    return "\n".join(parts)


def output(printed: str) -> list[str]:
    """Return what a cell printed, and where it says that a figure was saved, the figure."""
    printed = WHERE.sub("", BANNER.sub(lambda match: f"\n{match[1]}\n", printed))
    text, *rest = FIGURE.split(printed)
    parts = [fenced(text)]
    for path, following in zip(rest[::2], rest[1::2], strict=True):
        parts += [f"![{Path(path).stem.replace('_', ' ')}]({path})\n", fenced(following)]
    return [part for part in parts if part]


def fenced(text: str) -> str:
    return f"```text\n{text.strip(chr(10)).rstrip()}\n```\n" if text.strip() else ""
