"""The register of workloads: what is asked, of which model, what counts as done, and what we aim at."""

from dataclasses import dataclass, field
from typing import Any

from ._models import (
    CAKE,
    GPA,
    INSTEVAL,
    INTERCEPTS,
    MANY_SETS,
    ORTHODONT,
    PASTES,
    PENICILLIN,
    RATINGS,
    RESPONSES,
    SETS,
    SLEEPSTUDY,
    SLOPES,
    STREAM,
    Model,
)
from .engines._base import SIZES

PYTHON = "Python"  # an aim for every package of Python


@dataclass(frozen=True)
class Workload:
    """One task on one model.

    `size` is how many fits we do at once, `others` how many other packages do, one after the other: times
    are those of one fit then. `aims` are how many times longer another package should take.
    """

    part: str
    model: Model
    task: str
    words: str
    unit: str = "ms"
    size: int = 0
    others: int = 0
    more: dict[str, int] = field(default_factory=dict)  # fits by packages that do many in the same time
    aims: dict[str, float] = field(default_factory=dict)
    quick: bool = True
    absent: dict[str, str] = field(default_factory=dict)  # what cannot be asked, and why
    floor: bool = False  # whether ours is compared with what the machine could do

    @property
    def name(self) -> str:
        return f"{self.model.name}: {self.words}"

    def fits(self, package: str, own: bool) -> int:
        """Return how many fits a package does in one call."""
        return self.size if own else self.more.get(package, self.others)

    def done(self, fits: int) -> int:
        """Return how many data sets were fitted: of all sizes in a power curve, one of streamed rows."""
        if self.task == "stream":
            return 1
        return max(fits, 1) * (len(SIZES) if self.task == "power" else 1)


SMALL = (SLEEPSTUDY, GPA, ORTHODONT, PASTES, PENICILLIN)
STUDIES = {"glmm": 20, "lme-python": 5}
QUICK = (SLEEPSTUDY, PENICILLIN, CAKE)  # whose single fits and tests the quick suite has
# How many fits are enough to time a package by, where 20 would be over in an instant.
FASTEST, BOOTSTRAP = {PYTHON: 1}, {PYTHON: 1, "lme4": 1000}
FITS = {"glmm": 1000, "lme-python": 1000, "mixedlm": 100, "lme4": 50}
TOO_LARGE = "needs matrices of 73,421 x 73,421 numbers, 40 GiB each"
# What takes too long for a suite, timed alone.
SLOW = {
    "interlace-lme": "not done after 70 s of processor time, alone",
    "lme-python": "not done after 70 s of processor time, alone",
    "glmmTMB": "71 s, alone; left out for the sake of time",
    "pystatistics": "62 s, alone; left out for the sake of time",
    "gpboost": "48 s, alone; left out for the sake of time",
}
LMERTEST = {"lmerTest": "not asked: refits by lme4 in 37 s, and differentiates numerically"}
UNTRIED = dict.fromkeys((*SLOW, "lme4"), "not asked: 37 s and more for InstEval")
ONE = "One fit"
TESTS = "Tests and intervals of a fitted model"
MANY = "Many fits, time of each"
LARGE = "Large data"


def one(model: Model) -> tuple[Workload, ...]:
    quick = model in QUICK
    return (
        Workload(ONE, model, "lmer", "lmer(), estimates read", aims={"lme4": 3}, quick=quick),
        Workload(ONE, model, "optimiser", "optimiser alone", aims={"lme4": 50}, quick=quick),
    )


def tests(model: Model) -> tuple[Workload, ...]:
    quick = model in QUICK
    return (
        Workload(TESTS, model, "satterthwaite", "Satterthwaite df", quick=quick),
        Workload(TESTS, model, "kenward-roger", "Kenward-Roger df, table", aims=FASTEST, quick=quick),
        Workload(TESTS, model, "profile", "profile intervals", aims=FASTEST, quick=quick),
    )


def many(model: Model, task: str, words: str, size: int, **more: Any) -> Workload:
    defaults = {"unit": "us", "others": 20, "more": FITS, "aims": FASTEST}
    return Workload(MANY, model, task, words, size=size, **defaults | more)


def large(model: Model, task: str, words: str, **more: Any) -> Workload:
    return Workload(LARGE, model, task, words, "s", quick=False, **more)


WORKLOADS = (
    *(workload for model in SMALL for workload in one(model)),
    Workload(ONE, SLEEPSTUDY, "refit", "refit(y), estimates read", aims=FASTEST),
    Workload(ONE, GPA, "refit", "refit(y), estimates read", aims=FASTEST, quick=False),
    Workload(ONE, SLEEPSTUDY, "gradient", "gradient of the criterion", aims=FASTEST),
    *(workload for model in (SLEEPSTUDY, ORTHODONT, PASTES, PENICILLIN) for workload in tests(model)),
    *tests(CAKE)[:2],
    Workload(TESTS, SLEEPSTUDY, "prediction", "prediction intervals of all rows"),
    many(SLEEPSTUDY, "bootstrap", "1,000 parametric replicates", 1000, quick=False, aims=BOOTSTRAP),
    many(SLEEPSTUDY, "bootstrap", "10,000 parametric replicates", 10_000, floor=True, aims=BOOTSTRAP),
    many(GPA, "bootstrap", "10,000 parametric replicates", 10_000, floor=True, aims=BOOTSTRAP, quick=False),
    many(INTERCEPTS, "responses", "20,000 responses", RESPONSES, floor=True),
    many(SLOPES, "responses", "20,000 responses", RESPONSES, floor=True, quick=False),
    many(MANY_SETS, "sets", "2,000 separate data sets", SETS),
    many(
        SLEEPSTUDY, "power", "power curve of 10 sizes, a data set", 1000, others=1, more=STUDIES, floor=True
    ),
    large(INSTEVAL, "lmer", "lmer(), estimates read", aims={"lme4": 10, PYTHON: 1}, floor=True, absent=SLOW),
    large(INSTEVAL, "satterthwaite", "Satterthwaite df", absent=SLOW | LMERTEST),
    large(
        INSTEVAL,
        "kenward-roger",
        "Kenward-Roger df, table",
        aims=FASTEST,
        absent=SLOW | {"pbkrtest": TOO_LARGE},
    ),
    large(RATINGS, "lmer", "1,000,000 ratings by 6,000 users of 4,000 items", aims=FASTEST, absent=UNTRIED),
    large(STREAM, "stream", "10^8 rows in 100,000 groups", size=10**8, floor=True),
)
