"""What variance parameters are called: "sd(Days | Subject)", "cor(Intercept, Days | Subject)", "sigma"."""

from typing import Protocol

from ._data import ModelFrame
from ._groups import GroupLabels

SYMBOLS = {
    "theta": ("theta", "theta", "sigma"),
    "sdcor": ("sd", "cor", "sigma"),
    "varcov": ("var", "cov", "sigma^2"),
}


class Grouped(Protocol):
    """A model, or a part of one, with labels of its random terms."""

    @property
    def groups(self) -> tuple[GroupLabels, ...]:
        """Labels of each grouping factor."""
        ...


def variance_labels(frame: Grouped, scale: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return a label and a kind for each variance parameter, in theta's order and sigma last."""
    single, pair, last = SYMBOLS[scale]
    labels, kinds = [], []
    for group in frame.groups:
        for names in group.terms:
            for j, name in enumerate(names):
                labels.append(f"{single}({name} | {group.name})")
                labels += [f"{pair}({name}, {other} | {group.name})" for other in names[j + 1 :]]
                kinds += [single, *[pair] * (len(names) - j - 1)]
    return (*labels, last), (*kinds, last)


def parameter_labels(frame: ModelFrame, scale: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return labels and kinds of the variance parameters and, after them, of the fixed effects ("beta")."""
    labels, kinds = variance_labels(frame, scale)
    return (*labels, *frame.fixed_names), (*kinds, *["beta"] * len(frame.fixed_names))


def chosen(labels: tuple[str, ...], kinds: tuple[str, ...], parm: str) -> list[str]:
    """Return the labels of all parameters, or of the fixed effects, or of the variance parameters."""
    fixed = [label for label, kind in zip(labels, kinds, strict=True) if kind == "beta"]
    random = [label for label, kind in zip(labels, kinds, strict=True) if kind != "beta"]
    return {"fixed": fixed, "random": random, "all": fixed + random}[parm]
