"""Pages of the reference: what is public, to be filled from docstrings."""

import inspect
from types import ModuleType
from typing import Any

import jaxmixed as jm


def public(module: ModuleType) -> dict[str, Any]:
    """Return the functions and classes that a module exports, in its order."""
    names = [*vars(module), *(["MixedRegressor"] if module is jm else [])]
    found = {name: getattr(module, name) for name in names if not name.startswith("_")}
    return {name: v for name, v in found.items() if inspect.isclass(v) or inspect.isfunction(v)}


def reference_pages() -> dict[str, str]:
    """Return the pages by name."""
    top = public(jm)
    classes = {name for name, value in top.items() if isinstance(value, type)}
    failures = {name for name in classes if issubclass(top[name], Exception)}
    models = [name for name in top if name not in classes or name == "MixedRegressor"]
    results = [name for name in top if name in classes - failures - {"MixedRegressor"}]
    return {
        "models": _page("Models", "jaxmixed", sorted(models, key="lmer".__ne__)),
        "results": _page("Results", "jaxmixed", sorted(results, key="LmerResult".__ne__)),
        "errors": _page("Errors and warnings", "jaxmixed", [name for name in top if name in failures]),
        "plots": _page("Pictures", "jaxmixed.plots", list(public(jm.plots)), jm.plots.__doc__),
        "datasets": _page("Data sets", "jaxmixed.datasets", list(public(jm.datasets))),
        "core": _page("Core", "jaxmixed.core", list(public(jm.core)), jm.core.__doc__),
    }


def _page(title: str, module: str, names: list[str], opening: str | None = None) -> str:
    return "\n\n".join([f"# {title}", opening or "", *(f"::: {module}.{name}" for name in names)]) + "\n"
