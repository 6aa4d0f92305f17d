"""A process that times one package on request: `python -m benchmarks._worker NAME`.

A request is a line with fields separated by tabs, its answer a line of JSON:

    about                                  {"version": ..., "tasks": [...]}
    load     path  formula  g=a,b;h=       {}               factors, with levels where there are few
    prepare  task                          {}               what is there before the task, a fit mostly
    time     task  budget  size            {"seconds": [...], ...}  and what the task found
    floor    task  size                    {"flops": ..., "bytes": ..., ...}  of jaxmixed only

Samples are taken until `budget` seconds are spent, at least one. What goes wrong is {"error": ...}.
`engines/engine.R` answers the same requests.
"""

import functools
import importlib
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd

ALONE = {"lmer", "responses", "sets", "power", "stream", "crossed"}  # tasks that need no fit before them


def timed(task: Callable[[], Any], budget: float) -> tuple[list[float], Any]:
    """Repeat a task until the budget is spent; return the seconds of each, and the last result."""
    seconds: list[float] = []
    while not seconds or sum(seconds) < budget:
        start = time.perf_counter()
        result = task()
        seconds.append(time.perf_counter() - start)
    return seconds, result


def read(path: str, factors: str) -> pd.DataFrame:
    """Read a file; factors keep the order of their levels."""
    named = dict(factor.split("=") for factor in filter(None, factors.split(";")))
    data = pd.read_csv(path, dtype=dict.fromkeys(named, str))
    levels = {name: text.split(",") if text else None for name, text in named.items()}
    return data.assign(**{name: pd.Categorical(data[name], levels[name]) for name in named})


def tasks_of(engine: Any) -> list[str]:
    hidden = {"load", "fit", "fit_to", "answer", "refit_to", "floor_of", "where"}
    return [name for name in dir(engine) if not name.startswith("_") and name not in hidden]


def reply(engine: Any, verb: str, arguments: list[str]) -> dict[str, Any]:
    if verb == "about":
        named = f"{engine.distribution} {version(engine.distribution)}{engine.where()}"
        return {"version": named, "tasks": tasks_of(type(engine))}
    if verb == "load":
        path, formula, factors = arguments
        engine.load(path, read(path, factors), formula)
        return {}
    if verb == "prepare":
        if arguments[0] not in ALONE:
            _ = engine.fit
        return {}
    if verb == "floor":
        return engine.floor_of(arguments[0], int(arguments[1]))
    task, budget, size = arguments
    method = getattr(engine, task.replace("-", "_"))
    work = functools.partial(method, int(size)) if int(size) else method
    seconds, found = timed(work, float(budget))
    return {"seconds": seconds, **found}


def plain(value: Any) -> Any:
    """Turn NumPy into what JSON knows."""
    return value.item() if isinstance(value, np.generic) else np.asarray(value).tolist()


def main(name: str) -> None:
    """Answer requests until the input ends; what packages print goes to standard error."""
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    engine = importlib.import_module(f"benchmarks.engines.{name}").Package()
    for line in sys.stdin:
        verb, *arguments = line.rstrip("\n").split("\t")
        try:
            answer = reply(engine, verb, arguments)
        except Exception as error:  # of any package; the message goes to the other side
            answer = {"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
        print(json.dumps(answer, default=plain), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
