"""The register of workloads: what is asked, of which model, what counts as done, and what we aim at."""

from dataclasses import dataclass, field

from ._models import (
    GPA,
    INSTEVAL,
    INTERCEPTS,
    MANY_SETS,
    ORTHODONT,
    PASTES,
    PENICILLIN,
    RESPONSES,
    SETS,
    SLEEPSTUDY,
    SLOPES,
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

    @property
    def name(self) -> str:
        return f"{self.model.name}: {self.words}"

    def fits(self, package: str, own: bool) -> int:
        """Return how many fits a package does in one call."""
        return self.size if own else self.more.get(package, self.others)

    def done(self, fits: int) -> int:
        """Return how many data sets were fitted: those of all sizes in a power curve."""
        return max(fits, 1) * (len(SIZES) if self.task == "power" else 1)


SMALL = (SLEEPSTUDY, GPA, ORTHODONT, PASTES, PENICILLIN)
# How many fits are enough to time a package by, where 20 would be over in an instant.
FITS = {"glmm": 1000, "lme-python": 1000, "mixedlm": 200, "lme4": 50}
TOO_LARGE = "needs matrices of 73,421 x 73,421 numbers, 40 GiB each"
ONE = "One fit"
TESTS = "Tests and intervals of a fitted model"
MANY = "Many fits, time of each"
LARGE = "Large data"

WORKLOADS = (
    *(Workload(ONE, m, "lmer", "lmer(), estimates read", aims={"lme4": 3}) for m in SMALL),
    *(Workload(ONE, m, "optimiser", "optimiser alone", aims={"lme4": 50}) for m in SMALL),
    *(Workload(ONE, m, "refit", "refit(y), estimates read", aims={PYTHON: 1}) for m in (SLEEPSTUDY, GPA)),
    Workload(ONE, SLEEPSTUDY, "gradient", "gradient of the criterion", aims={PYTHON: 1}),
    *(
        Workload(TESTS, m, "satterthwaite", "Satterthwaite df")
        for m in (SLEEPSTUDY, ORTHODONT, PASTES, PENICILLIN)
    ),
    *(
        Workload(TESTS, m, "kenward-roger", "Kenward-Roger df", aims={PYTHON: 1})
        for m in (SLEEPSTUDY, ORTHODONT, PASTES, PENICILLIN)
    ),
    *(
        Workload(TESTS, m, "profile", "profile intervals", aims={PYTHON: 1})
        for m in (SLEEPSTUDY, ORTHODONT, PASTES, PENICILLIN)
    ),
    Workload(TESTS, SLEEPSTUDY, "prediction", "prediction intervals of all rows", aims={PYTHON: 1}),
    *(
        Workload(
            MANY,
            SLEEPSTUDY,
            "bootstrap",
            f"{n:,} parametric replicates",
            "us",
            n,
            20,
            FITS,
            {PYTHON: 1, "lme4": 1000},
            n == 10_000,
        )
        for n in (1000, 10_000)
    ),
    *(
        Workload(
            MANY,
            m,
            "responses",
            f"{RESPONSES:,} responses, with tests of ours",
            "us",
            RESPONSES,
            20,
            FITS,
            {PYTHON: 1},
        )
        for m in (INTERCEPTS, SLOPES)
    ),
    Workload(MANY, MANY_SETS, "sets", f"{SETS:,} data sets", "us", SETS, 20, FITS, {PYTHON: 1}),
    Workload(
        MANY,
        SLEEPSTUDY,
        "power",
        "power curve of 10 sizes, a data set",
        "us",
        1000,
        1,
        {"glmm": 20, "lme-python": 5},
        {PYTHON: 1},
    ),
    Workload(
        LARGE, INSTEVAL, "lmer", "lmer(), estimates read", "s", aims={"lme4": 10, PYTHON: 1}, quick=False
    ),
    Workload(LARGE, INSTEVAL, "optimiser", "optimiser alone", "s", quick=False),
    Workload(LARGE, INSTEVAL, "satterthwaite", "Satterthwaite df", "s", quick=False),
    Workload(
        LARGE,
        INSTEVAL,
        "kenward-roger",
        "Kenward-Roger df",
        "s",
        quick=False,
        aims={PYTHON: 1},
        absent={"pbkrtest": TOO_LARGE},
    ),
)
