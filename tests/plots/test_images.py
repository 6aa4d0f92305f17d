"""Every picture against a small one that was looked at, without letters: FreeType decides their shapes.

    JAXMIXED_BASELINES=write python -m pytest tests/plots/test_images.py

draws the baselines anew, to be looked at before they are committed.
"""

import os
from pathlib import Path

import numpy as np
import pytest

import jaxmixed as jm

matplotlib = pytest.importorskip("matplotlib")
BASELINES = Path(__file__).parent / "baseline"
TOLERANCE = 2  # root mean square of grey levels of 256
DPI = 45

PICTURES = {
    "trajectories": lambda made: jm.plots.trajectories(made("slope_fit"), bold=4),
    "predictions": lambda made: jm.plots.predictions(made("slope_fit"), levels=["308", "309", "335"]),
    "caterpillar": lambda made: jm.plots.caterpillar(made("slope_fit"), effect="Days"),
    "ranef_density": lambda made: jm.plots.ranef_density(made("slope_fit"), effect="Days"),
    "ranef_qq": lambda made: jm.plots.ranef_qq(made("slope_fit")),
    "shrinkage": lambda made: jm.plots.shrinkage(made("slope_fit")),
    "shrinkage_of_one": lambda made: jm.plots.shrinkage(made("intercept_fit")),
    "diagnostics": lambda made: jm.plots.diagnostics(made("slope_fit")),
    "profile_zeta": lambda made: jm.plots.profile_zeta(made("profile")),
    "profile_pairs": lambda made: jm.plots.profile_pairs(made("profile")),
    "bootstrap_density": lambda made: jm.plots.bootstrap_density(made("boot")),
    "power_curve": lambda made: jm.plots.power_curve(made("power")),
    "coefficients": lambda made: jm.plots.coefficients(
        {"slope": made("slope_fit"), "intercept": made("intercept_fit")}, ["Intercept", "Days"]
    ),
    "influence": lambda made: jm.plots.influence(made("influence"), "Days"),
}


def test_there_is_a_baseline_for_each_picture():
    assert {path.stem for path in BASELINES.glob("*.png")} == set(PICTURES)
    assert max(path.stat().st_size for path in BASELINES.glob("*.png")) < 30_000


@pytest.mark.parametrize("name", PICTURES)
def test_picture(name, request, tmp_path):
    from matplotlib.testing.compare import compare_images

    figure = np.ravel(PICTURES[name](request.getfixturevalue))[0].figure
    drawn = without_letters(figure, tmp_path / f"{name}.png")
    baseline = BASELINES / f"{name}.png"
    if os.environ.get("JAXMIXED_BASELINES") == "write":
        baseline.write_bytes(drawn.read_bytes())
    assert compare_images(str(baseline), str(drawn), TOLERANCE) is None


def without_letters(figure, path: Path) -> Path:
    from matplotlib.legend import Legend
    from matplotlib.text import Text

    for artist in (*figure.findobj(Legend), *figure.findobj(Text)):
        artist.set_visible(False)
    figure.savefig(path, dpi=DPI)
    return path
