"""The site names what exists, links to what exists, lists what is raised, and is built without a warning."""

import os
import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from _examples import cells, output
from _messages import Blank, Message, Sources, collect
from _reference import public, reference_pages
from _stage import included, typeset

import jaxmixed as jm

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
LINK = re.compile(r"\]\((?!https?:)([^)#]+\.md)(?:#[^)]*)?\)")
# Where words come from another error, whose words are collected where they are written.
PASSED_ON = re.compile(r"raise (DataError|FormulaError)\(str\(error\)\)")


@pytest.fixture(scope="module")
def messages() -> list[Message]:
    return collect(Sources(ROOT / "jaxmixed"))


def pages() -> set[str]:
    """Return the pages of the site, written or made."""
    written = {path.relative_to(DOCS / "pages").as_posix() for path in (DOCS / "pages").rglob("*.md")}
    examples = {f"examples/{script.stem}.md" for script in (ROOT / "examples").glob("[!_]*.py")}
    reference = {f"reference/{name}.md" for name in reference_pages()}
    return {*written, *examples, *reference, "examples/index.md"}


def named(nav: list) -> list[str]:
    """Return the files that a navigation names."""
    files: list[str] = []
    for entry in nav:
        value = entry if isinstance(entry, str) else next(iter(entry.values()))
        files += [value] if isinstance(value, str) else named(value)
    return files


def test_the_navigation_names_every_page_once_and_nothing_else():
    files = named(tomllib.loads((DOCS / "zensical.toml").read_text())["project"]["nav"])
    assert sorted(files) == sorted(pages())


def test_pages_link_to_pages():
    for path in (DOCS / "pages").rglob("*.md"):
        for target in LINK.findall(path.read_text()):
            assert (path.parent / target).relative_to(DOCS / "pages").as_posix() in pages(), (path, target)


def test_everything_public_is_in_the_reference_once():
    listed = re.findall(r"^::: (\S+)$", "\n".join(reference_pages().values()), flags=re.MULTILINE)
    modules = (jm, jm.core, jm.plots, jm.datasets)
    assert sorted(listed) == sorted(f"{m.__name__}.{name}" for m in modules for name in public(m))
    assert {"jaxmixed.lmer", "jaxmixed.core.criterion", "jaxmixed.plots.caterpillar"} <= set(listed)


def test_files_and_sections_are_included_without_their_title():
    text = included("# A\n\n<!-- include: benchmarks/results/calibration.md -->\n\nB\n")
    source = (ROOT / "benchmarks/results/calibration.md").read_text()
    assert text.startswith("# A\n\nRejection rates") and text.endswith(source.splitlines()[-1] + "\n\nB\n")
    formulas = included("<!-- include: README.md: Formulas -->")
    assert formulas.startswith("lme4's language") and "## " not in formulas
    with pytest.raises(FileNotFoundError):
        included("<!-- include: benchmarks/results/nothing.md -->")


def test_mathematics_outside_of_code_is_typeset():
    text = typeset("With $x^2$ and `$HOME`:\n\n$$\n\\frac{a}{b}\n$$\n\n```text\n$y$\n```\n| `(x \\| g)` |\n")
    assert "<msup><mi>x</mi><mn>2</mn></msup>" in text and "<mfrac><mrow><mi>a</mi></mrow>" in text
    assert "`$HOME`" in text and "```text\n$y$\n```" in text and "`(x | g)`" in text


def test_an_example_becomes_words_code_output_and_figures():
    script = '"""About running it."""\n\n# %% [markdown]\n# # Title\n#\n# Words.\n\n# %%\nx = 1\n'
    words, code = cells(script)
    assert words.words and not code.words and code.source == "x = 1\n"
    banner = "=" * 100
    printed = f"\n{banner}\nTable\n{banner}\n\n  1\nFigure saved: figures/a_b.png\nmore\n"
    assert output(printed) == [
        "```text\nTable\n\n  1\n```\n",
        "![a b](figures/a_b.png)\n",
        "```text\nmore\n```\n",
    ]


def test_every_line_that_raises_or_warns_is_collected(messages):
    """Lines are found by their text, messages by their syntax."""
    found = {(message.module, message.line) for message in messages if message.text}
    for path in (ROOT / "jaxmixed").rglob("*.py"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.search(r"(?:raise|return) \w+(?:Error|Warning)\(|warnings\.warn\(", line):
                assert (module, number) in found or PASSED_ON.search(line), (module, number, line)


def calls() -> list:
    sleep = jm.datasets.load("sleepstudy")
    fit = jm.lmer("Reaction ~ Days + (1 | Subject)", sleep)
    late = sleep["Days"].where(sleep["Days"] > 1)
    return [
        lambda: jm.lmer("Reaction ~ Days", sleep),
        lambda: jm.lmer(3, sleep),
        lambda: jm.lmer("Reaction ~ Dys + (1 | Subject)", sleep),
        lambda: jm.lmer("Reaction ~ Days + (1 | Subject)", sleep.assign(Reaction=1.0)),
        lambda: jm.lmer("Reaction ~ Days + (1 | Subject)", sleep.head(0)),
        lambda: jm.lmer("Reaction ~ Days + (1 | Subject)", sleep, weights=-np.ones(180)),
        lambda: jm.lmer("Reaction ~ nothing(Days) + (1 | Subject)", sleep),
        lambda: jm.lmer("Reaction ~ Days + (1 | Subject)", sleep.to_numpy()),
        lambda: fit.conf_int(alpha=2),
        lambda: fit.predict(sleep.assign(Subject="new")),
        lambda: fit.wald_test("Dys = 0"),
        lambda: fit.bootstrap(10, key="a"),
        lambda: jm.anova(fit),
        lambda: jm.plots.caterpillar(sleep),
        lambda: jm.lmer("Reaction ~ Days + I(2 * Days) + (1 | Subject)", sleep),
        lambda: jm.lmer("Reaction ~ Days + (1 | Subject)", sleep.assign(Days=late)),
        lambda: jm.datasets.load("sleepstudi"),
    ]


def test_what_is_raised_is_what_is_listed(messages):
    """Call wrongly, and look up what comes: warnings are errors in tests."""
    for call in calls():
        with pytest.raises((ValueError, UserWarning)) as caught:
            call()
        listed = [message for message in messages if message.kind == type(caught.value).__name__]
        assert any(pattern(message).fullmatch(str(caught.value)) for message in listed), str(caught.value)


def pattern(message: Message) -> re.Pattern[str]:
    parts = [".*" if isinstance(part, Blank) else re.escape(part) for part in message.text]
    return re.compile("".join(parts), flags=re.DOTALL)


class Page(HTMLParser):
    """What a page refers to, what it loads, and where it can be jumped to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors.add(values.get("id", ""))
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if "src" in values or (tag == "link" and values.get("rel") != "canonical"):
            self.loads.append(values.get("src") or values["href"])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_site_is_built_whole_and_without_a_network():
    """Nothing is loaded from elsewhere; every link, anchor and picture of every page is there."""
    build = [sys.executable, DOCS / "build.py"]
    here = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(build, env=here, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "warning" not in (done.stdout + done.stderr).lower()
    site = ROOT / "build/site"
    built = {path: Page(path) for path in site.rglob("*.html") if path.name != "404.html"}
    assert {path.relative_to(site).with_suffix(".md").as_posix() for path in built} == pages()
    assert any("figures/" in load for page in built.values() for load in page.loads)
    for path, page in built.items():
        for reference in page.loads + page.links:
            target = urlsplit(reference)
            if target.scheme or target.netloc:
                assert reference in page.links, f"{path} loads {reference}"
                continue
            file = (path.parent / unquote(target.path)).resolve() if target.path else path
            assert file.exists(), (path, reference)
            if target.fragment and file in built:
                assert unquote(target.fragment) in built[file].anchors, (path, reference)
