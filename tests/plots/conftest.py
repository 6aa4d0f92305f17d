"""One fit with a random slope and one without, and what is derived from them, made once."""

import pandas as pd
import pytest

import jaxmixed as jm

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(scope="session")
def sleepstudy() -> pd.DataFrame:
    return jm.datasets.load("sleepstudy")


@pytest.fixture(scope="session")
def slope_fit(sleepstudy) -> jm.LmerResult:
    return jm.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)


@pytest.fixture(scope="session")
def intercept_fit(sleepstudy) -> jm.LmerResult:
    return jm.lmer("Reaction ~ Days + (1 | Subject)", sleepstudy)


@pytest.fixture(scope="session")
def profile(intercept_fit) -> jm.Profile:
    return intercept_fit.profile()


@pytest.fixture(scope="session")
def boot(intercept_fit) -> jm.Bootstrap:
    return intercept_fit.bootstrap(200, key=1)


@pytest.fixture(scope="session")
def influence(intercept_fit) -> jm.Influence:
    return intercept_fit.influence()


@pytest.fixture(scope="session")
def power() -> pd.DataFrame:
    table = pd.DataFrame({"groups": [10, 20, 40] * 2, "test": ["x"] * 3 + ["x:t"] * 3})
    table["power"] = [0.3, 0.6, 0.8, 0.2, 0.3, 0.5]
    return table.assign(conf_low=table["power"] - 0.04, conf_high=table["power"] + 0.03)
