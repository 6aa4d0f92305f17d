"""Where the pages of the site come from: those written, with what they include, and those made anew.

    docs/pages + results of benchmarks + messages in the sources + examples, run -> build/docs

Nothing is copied by hand: what changes in the package changes on the site.
"""

import re
import shutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from _examples import page_of
from _messages_page import list_of_messages
from _reference import reference_pages
from latex2mathml.converter import convert

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs/pages"
RESULTS = ROOT / "benchmarks/results"
STAGE = ROOT / "build/docs"
PROCESSES = 2  # examples run side by side
MESSAGES = "<!-- messages -->"
INCLUDE = re.compile(r"^<!-- include: (\S+?)(?:: (.+))? -->$", flags=re.MULTILINE)
CODE = re.compile(r"(^```.*?^```$|`[^`\n]+`)", flags=re.MULTILINE | re.DOTALL)
EQUATION = re.compile(r"\$\$(.+?)\$\$", flags=re.DOTALL)
SYMBOL = re.compile(r"\$([^$\n]+)\$")


def included(text: str) -> str:
    """Put named files of the repository in place, or one section of them.

    A file comes without its title, its headings one level down; a section without its heading.
    """

    def body(match: re.Match[str]) -> str:
        path, heading = match.groups()
        if heading is None:
            return re.sub(r"^#", "##", re.sub(r"\A# .+\n", "", read(path)), flags=re.MULTILINE).strip()
        section = rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)"
        return re.findall(section, read(path), flags=re.MULTILINE | re.DOTALL)[0].strip()

    return INCLUDE.sub(body, text)


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def typeset(text: str) -> str:
    """Turn TeX between dollars, outside of code, into MathML, which browsers draw without a script.

    GitHub wants the bars of code in tables escaped, and the site does not.
    """
    pieces = CODE.split(text)
    pieces[::2] = [SYMBOL.sub(symbol, EQUATION.sub(equation, piece)) for piece in pieces[::2]]
    pieces[1::2] = [piece.replace(r"\|", "|") for piece in pieces[1::2]]
    return "".join(pieces)


def equation(match: re.Match[str]) -> str:
    return f'<div class="equation">{convert(match[1].strip(), display="block")}</div>'


def symbol(match: re.Match[str]) -> str:
    return f"<span>{convert(match[1])}</span>"  # at the beginning of a line <math> would begin a block


def stage_pages() -> None:
    """Copy the pages, with what they include and their mathematics typeset."""
    shutil.copytree(PAGES, STAGE)
    for picture in RESULTS.glob("*.png"):  # which included results show
        shutil.copy(picture, STAGE)
    messages = list_of_messages(ROOT / "jaxmixed")
    for path in STAGE.rglob("*.md"):
        page = typeset(included(path.read_text(encoding="utf-8")))
        path.write_text(page.replace(MESSAGES, messages), encoding="utf-8")
    for name, page in reference_pages().items():
        write(f"reference/{name}.md", page)


def stage_examples() -> None:
    """Run the examples, each in a process of its own, and write a page of each."""
    scripts = sorted((ROOT / "examples").glob("[!_]*.py"))
    listed = read("examples/README.md")
    write("examples/index.md", re.sub(r"\((\w+)\.py\)", r"(\1.md)", listed))
    with ProcessPoolExecutor(PROCESSES, get_context("spawn"), max_tasks_per_child=1) as pool:
        folders = [STAGE / "examples"] * len(scripts)
        for script, page in zip(scripts, pool.map(page_of, scripts, folders), strict=True):
            write(f"examples/{script.stem}.md", page)


def write(name: str, page: str) -> None:
    path = STAGE / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(page, encoding="utf-8")
