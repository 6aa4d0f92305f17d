"""Fits that several files ask about, made once: compiling one takes longer than asking."""

import warnings

import numpy as np
import pandas as pd
import pytest

import jaxmixed as jm


def quietly(*args, **options) -> jm.LmerResult:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jm.JaxmixedWarning)
        return jm.lmer(*args, **options)


@pytest.fixture
def sleepstudy() -> pd.DataFrame:
    """Return a fresh copy, to be changed at will."""
    return jm.datasets.load("sleepstudy")


@pytest.fixture(scope="session")
def slope_fit() -> jm.LmerResult:
    return jm.lmer("Reaction ~ Days + (Days | Subject)", jm.datasets.load("sleepstudy"))


@pytest.fixture(scope="session")
def intercept_fit() -> jm.LmerResult:
    return jm.lmer("Reaction ~ Days + (1 | Subject)", jm.datasets.load("sleepstudy"))


@pytest.fixture(scope="session")
def gappy() -> pd.DataFrame:
    """Return the sleep study with odd row labels and three rows that cannot be used."""
    data = jm.datasets.load("sleepstudy")
    data.index = [f"row {i}" for i in range(180, 0, -1)]
    data.iloc[[3, 50], data.columns.get_loc("Reaction")] = np.nan
    return data.assign(Days=data["Days"].astype(float).where(np.arange(180) != 7))


@pytest.fixture(scope="session")
def gappy_fit(gappy) -> jm.LmerResult:
    return quietly("Reaction ~ Days + (1 | Subject)", gappy)


@pytest.fixture(scope="session")
def nested_fit() -> jm.LmerResult:
    return jm.lmer("strength ~ 1 + (1 | batch/cask)", jm.datasets.load("Pastes"))


@pytest.fixture(scope="session")
def zero_variance_fit() -> jm.LmerResult:
    return quietly("Yield ~ 1 + (1 | Batch)", jm.datasets.load("Dyestuff2"))


@pytest.fixture(scope="session")
def correlated_fit() -> jm.LmerResult:
    """Return a fit whose covariance matrix has rank two of three."""
    return quietly("angle ~ recipe + temp + (recipe | replicate)", jm.datasets.load("cake"))


@pytest.fixture
def compiled():
    """Return a list that grows by one whenever a program is compiled."""
    import jax

    programs = []

    def listen(event, duration, **_):
        if "backend_compile" in event:
            programs.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    jax.jit(lambda x: x + len(programs))(1.0)
    assert len(programs) == 1, "the events of compilations have another name"
    programs.clear()
    yield programs
    jax.monitoring.unregister_event_duration_listener(listen)


# Frames in which only the right-hand side means anything.


@pytest.fixture(scope="module")
def sleep() -> pd.DataFrame:
    subjects = np.repeat([str(s) for s in range(308, 326)], 10)
    response = np.random.default_rng(3).normal(size=180)
    return pd.DataFrame({"Reaction": response, "Days": np.tile(np.arange(10), 18), "Subject": subjects})


@pytest.fixture(scope="module")
def cake() -> pd.DataFrame:
    """Replicates 1 to 15, recipes A to C, temperatures 175 to 225 as text."""
    rows = [(r, recipe, str(t)) for r in range(1, 16) for recipe in "ABC" for t in range(175, 226, 10)]
    cake = pd.DataFrame(rows, columns=["replicate", "recipe", "temperature"])
    angle = np.random.default_rng(4).normal(size=270)
    return cake.assign(angle=angle, temp=cake.temperature.astype(int))
