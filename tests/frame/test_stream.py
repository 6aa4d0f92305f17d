"""Rows that are read in batches: the same answers as from a data frame, or an error that says where."""

import os
import signal
import warnings
from functools import reduce

import numpy as np
import pandas as pd
import pytest
from catalog import all_cases

import jaxmixed as jm
from jaxmixed.frame import _stream, _stream_source
from jaxmixed.frame._errors import DataError, FormulaError
from jaxmixed.frame._formula import parse
from jaxmixed.frame._stream import lay_out, to_frame
from jaxmixed.frame._stream_batch import plan_reading, read_batch
from jaxmixed.frame._stream_learn import Learning
from jaxmixed.frame._stream_open import open_stream
from jaxmixed.frame._stream_sums import Sums

pa = pytest.importorskip("pyarrow")

SLOPE = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    """Let batches of a few rows be batches: those of a real file are joined up to 65,536 rows."""
    monkeypatch.setattr(_stream_source, "AT_LEAST", 1)


def shuffled(data, seed=0) -> pd.DataFrame:
    return data.sample(frac=1, random_state=seed, ignore_index=True)


def in_batches(data, rows=37):
    table = pa.Table.from_pandas(data, preserve_index=False)
    return [table.slice(first, rows) for first in range(0, len(data), rows)]


def in_files(folder, data, files=4):
    for i in range(files):
        data.iloc[i::files].to_parquet(folder / f"part{i}.parquet", index=False, row_group_size=11)
    return folder


def quietly(*args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jm.JaxmixedWarning)
        return jm.lmer(*args, **options)


def same(one, other, tolerance=1e-9):
    """Compare two fits, estimates in standard errors."""
    assert one.nobs == other.nobs and one.ngroups == other.ngroups
    assert abs(one.criterion - other.criterion) < tolerance * max(1, abs(other.criterion))
    assert list(one.params.index) == list(other.params.index)
    np.testing.assert_allclose((one.params - other.params) / other.bse, 0, atol=tolerance)
    for mine, theirs in (
        (one.bse, other.bse),
        (one.varcorr()["variance"], other.varcorr()["variance"]),
        (one.r2(), other.r2()),
    ):
        np.testing.assert_allclose(mine, theirs, rtol=tolerance, atol=tolerance * np.abs(theirs).max())
    effects, known = one.ranef(), other.ranef()
    assert list(effects["group"].astype(str)) == list(known["group"].astype(str))
    np.testing.assert_allclose(effects["value"], known["value"], atol=tolerance * known["value"].abs().max())
    np.testing.assert_allclose(effects["se"], known["se"], rtol=tolerance, atol=tolerance)


CASES = [
    "sleep_slope",
    "sleep_slope_uncorrelated",
    "sleep_weights",
    "sleep_offset",
    "sleep_poly",
    "pastes",
    "penicillin",
    "cake_factor_slope",
    "oats_factorial",
    pytest.param("insteval", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("name", CASES)
def test_the_answer_is_that_of_a_data_frame(name, tmp_path):
    case = all_cases()[name]
    data = case.data()
    files = in_files(tmp_path, shuffled(data))
    same(
        quietly(case.formula, files, weights=case.weights), quietly(case.formula, data, weights=case.weights)
    )


@pytest.fixture(scope="module")
def awkward() -> pd.DataFrame:
    """Return rows with missing values, large numbers, a rare level, and a column that depends on others."""
    rng, n = np.random.default_rng(5), 600
    g = rng.integers(0, 20, n)
    x = 1e5 + rng.normal(size=n)
    kind = rng.choice(["u", "v", "w"], n)
    kind[-3:] = "a rare one"
    data = pd.DataFrame(
        {
            "y": 1e6 + 3 * x + rng.normal(size=20)[g] + (kind == "v") + rng.normal(size=n),
            "x": x,
            "z": 2 * x + 1,
            "kind": kind,
            "flag": rng.random(n) < 0.5,
            "g": g,
            "h": np.where(rng.random(n) < 0.02, None, rng.choice(list("pqrstuv"), n)),
            "w": rng.uniform(0.5, 2, n),
            "o": rng.normal(size=n),
        }
    )
    data.loc[rng.choice(n, 9, False), "y"] = np.nan
    return data


@pytest.mark.parametrize(
    ("formula", "options"),
    [
        ("y ~ x + z + kind + (1 | g)", {}),
        ("y ~ kind * flag + scale(x) + (1 | g) + (1 | h)", {"weights": "w", "offset": "o"}),
        ("y ~ scale(log(x - 99990)) + poly(x, 3) + C(kind, contr.sum) + (1 | g/h)", {"weights": "w"}),
        ("log(y) ~ bs(x, knots=[99999, 100001]) + offset(center(o) / 1000) + (0 + center(x) | g)", {}),
        ("I(y - 1.3e6) ~ 0 + kind:center(x) + (flag || g)", {}),
    ],
)
def test_awkward_data(formula, options, awkward):
    one, other = (quietly(formula, data, **options) for data in (in_batches(awkward, 50), awkward))
    assert one.frame.aliased == other.frame.aliased
    assert one.frame.dropped_by == other.frame.dropped_by and one.frame.n_dropped == other.frame.n_dropped
    same(one, other, tolerance=1e-8)  # y and x have lost five digits to their means


def test_further_passes_change_nothing(awkward, monkeypatch):
    """Coordinates are made better until they are good enough, here never."""
    monkeypatch.setattr(_stream, "WELL_CONDITIONED", 1.1)
    formula = "y ~ x + z + kind + (1 | g)"
    batches, passes = in_batches(awkward, 50), []

    def counted():
        passes.append(1)
        return batches

    same(quietly(formula, counted), quietly(formula, awkward), tolerance=1e-8)
    assert len(passes) == 2 + _stream.PASSES  # the first call shows the columns


def test_categories_keep_their_order():
    data = jm.datasets.load("sleepstudy")
    order = ["9", "8", "7", "6", "5", "4", "3", "2", "1", "0"]
    data["day"] = pd.Categorical(data["Days"].astype(str), categories=order)
    data["Subject"] = pd.Categorical(
        data["Subject"].astype(str), categories=sorted(set(data["Subject"]))[::-1]
    )
    same(*(jm.lmer("Reaction ~ day + (1 | Subject)", d) for d in (in_batches(shuffled(data)), data)))


def test_the_whole_result(tmp_path, slope_fit):
    data = jm.datasets.load("sleepstudy")
    fit = jm.lmer(SLOPE, in_files(tmp_path, shuffled(data)))
    assert str(fit.summary()).split("Optimiser")[0] == str(slope_fit.summary()).split("Optimiser")[0]
    new = data.iloc[[3, 60, 120]].assign(Days=12)
    questions = [
        lambda f: f.tidy(ddf="kenward-roger").select_dtypes(float),
        lambda f: f.wald_test("Days = 12", ddf="kenward-roger").p_value,
        lambda f: f.anova(type=1).select_dtypes(float),
        lambda f: f.varcorr(se=True).select_dtypes(float),
        lambda f: f.conf_int(parm="all", method="wald"),
        lambda f: f.coef().select_dtypes(float),
        lambda f: f.icc(),
        lambda f: f.predict(new, interval="prediction"),
        lambda f: f.ranova()[["llf", "statistic"]],
        lambda f: f.glance().select_dtypes(float),
    ]
    for ask in questions:
        np.testing.assert_allclose(ask(fit), ask(slope_fit), rtol=1e-7, atol=1e-8)
    assert fit.bootstrap(50, key=1).conf_int().notna().all().all()
    small = jm.lmer("Reaction ~ Days + (1 | Subject)", in_batches(data), reml=False)
    table = jm.anova(small, jm.lmer(SLOPE, data, reml=False))
    np.testing.assert_allclose(table["statistic"].iloc[1], 42.1393, atol=1e-4)


def test_what_needs_rows_says_so():
    data, crossed = jm.datasets.load("sleepstudy"), in_batches(jm.datasets.load("Penicillin"))
    fit = jm.lmer(SLOPE, in_batches(data))
    for ask in (
        lambda: fit.fittedvalues,
        lambda: fit.resid,
        lambda: fit.caic,
        fit.augment,
        fit.influence,
        fit.to_marginaleffects,
        lambda: fit.simulate(2, 1),
        lambda: fit.refit(data["Reaction"]),
        lambda: fit.cov_params(robust="CR2"),
        lambda: fit.bootstrap(10, 1, kind="case"),
        lambda: fit.bootstrap(10, 1, kind="wild"),
        lambda: jm.plots.trajectories(fit),
        lambda: jm.power(fit, n=10, key=1),
        lambda: jm.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", crossed).bootstrap(10, 1),
    ):
        with pytest.raises(DataError, match="needs the rows that were fitted"):
            ask()


# Sources


def test_sources(tmp_path):
    data = shuffled(jm.datasets.load("sleepstudy"))
    dataset = pytest.importorskip("pyarrow.dataset")
    batches = in_batches(data)
    folder = tmp_path / "folder"
    folder.mkdir()
    in_files(folder, data)
    data.to_parquet(tmp_path / "one.parquet", index=False)
    for i in range(3):
        (tmp_path / "hive" / f"part={i}").mkdir(parents=True)
        data.iloc[i::3].to_parquet(tmp_path / "hive" / f"part={i}" / "rows.parquet", index=False)
    sources = [
        str(tmp_path / "one.parquet"),
        str(folder),
        tmp_path / "hive",
        dataset.dataset(folder),
        batches,
        lambda: iter(batches),
        lambda: (table.to_batches()[0] for table in batches),
        lambda: (data.iloc[first : first + 40] for first in range(0, 180, 40)),
    ]
    for source in sources:
        stream = open_stream(source)
        assert stream is not None
        rows = [piece.source.read("Reaction") for piece in stream.read(["Reaction", "Subject"])]
        assert np.allclose(sorted(np.concatenate(rows)), sorted(data["Reaction"]))
    hive = open_stream(tmp_path / "hive")
    assert hive is not None and "part" in hive.columns
    assert set(np.concatenate([piece.source.read("part") for piece in hive.read(["part"])])) == {0, 1, 2}


def test_duckdb():
    duckdb = pytest.importorskip("duckdb")
    data = jm.datasets.load("sleepstudy").assign(**{"odd name": 1.0})
    connection = duckdb.connect()
    connection.register("sleep", pa.Table.from_pandas(data, preserve_index=False))
    same(*(quietly(SLOPE, source) for source in (connection.sql("select * from sleep"), data)))


@pytest.mark.parametrize(
    ("data", "match"),
    [
        ("nowhere.parquet", "There is no file or folder 'nowhere.parquet'"),
        ((b for b in [1]), "can be read once only"),
        (lambda: None, "gave a NoneType; expected an iterator"),
        (lambda: [1], "value of type int; expected Arrow"),
        (lambda: [], "no batches"),
        ([1, 2], "data is of type list; expected a data frame"),
    ],
)
def test_what_is_no_source(data, match):
    with pytest.raises(DataError, match=match):
        jm.lmer(SLOPE, data)


# Sums add up


def test_sums_add_up_in_any_order(awkward):
    formula = "y ~ kind + poly(x, 2) + scale(o) + (center(x) | g) + (1 | h)"
    pieces = list(open_stream(in_batches(awkward, 60)).read([*"yxogwh", "kind"]))
    reading = plan_reading(parse(formula), tuple(awkward.columns), "w", None, {})
    batches = [read_batch(reading, piece.source) for piece in pieces]

    def each(new, order):
        parts = []
        for i in order:
            part = new()
            part.update(batches[i])
            parts.append(part)
        return parts

    def merged(one, other):
        one.merge(other)
        return one

    def tree(parts):
        while len(parts) > 1:
            parts = [reduce(merged, parts[i : i + 2]) for i in range(0, len(parts), 2)]
        return parts[0]

    order = np.random.default_rng(1).permutation(len(batches))
    learning = tree(each(lambda: Learning(reading), order))
    layout = lay_out(learning)
    sums = tree(each(lambda: Sums(layout), order[::-1]))
    stats = jm.core.compress(to_frame(learning, sums).design)
    known = quietly(formula, awkward, weights="w")
    assert int(stats.n) == known.nobs
    criterion = jm.core.criterion(known.theta, stats)
    np.testing.assert_allclose(criterion, known.criterion, rtol=1e-10)


# What cannot be learnt, and what goes wrong


@pytest.mark.parametrize(
    ("formula", "match"),
    [
        ("Reaction ~ bs(Days, df=4) + (1 | Subject)", "name the knots"),
        ("Reaction ~ cr(Days, df=3) + (1 | Subject)", "needs all rows at once"),
        ("Reaction ~ scale(scale(Days)) + (1 | Subject)", "its argument learns"),
    ],
)
def test_transforms_that_need_all_rows(formula, match):
    with pytest.raises(FormulaError, match=match):
        jm.lmer(formula, in_batches(jm.datasets.load("sleepstudy")))


@pytest.mark.parametrize(
    ("formula", "match"),
    [
        ("Reaction ~ I(Days - np.mean(Days)) + (1 | Subject)", "treats each row by itself"),
        ("scale(Reaction) ~ Days + (1 | Subject)", "The response 'scale"),
        ("Reaction ~ 1 + offset(Days / np.max(Days)) + (1 | Subject)", "or its offset"),
        ("Reaction ~ Day + (1 | Subject)", "did you mean 'Days'"),
        ("Reaction ~ log(Days) + (1 | Subject)", "'log.Days.' is infinite"),
    ],
)
def test_expressions_that_cannot_be_used(formula, match):
    with pytest.raises(DataError, match=match):
        jm.lmer(formula, in_batches(shuffled(jm.datasets.load("sleepstudy"))))


@pytest.mark.parametrize("options", [{"weights": np.ones(180)}, {"offset": np.zeros(180)}])
def test_weights_and_offset_are_columns(options):
    with pytest.raises(DataError, match="expected the name of a column"):
        jm.lmer(SLOPE, in_batches(jm.datasets.load("sleepstudy")), **options)


def test_damaged_files_are_named(tmp_path):
    data = jm.datasets.load("sleepstudy").assign(Subject=lambda d: d["Subject"].astype(str))
    in_files(tmp_path, data)
    file = tmp_path / "part2.parquet"
    whole = file.read_bytes()

    def fails(match):
        with pytest.raises(DataError, match=match):
            jm.lmer(SLOPE, tmp_path)

    file.write_bytes(whole[:-50])
    fails("part2.parquet")
    file.write_bytes(whole[:300] + bytes(400) + whole[700:])
    fails("part2.parquet")
    data.drop(columns="Days").to_parquet(file, index=False)
    fails("'Days' is missing in .*part2.parquet")
    data.assign(Days=data["Days"].astype(str)).to_parquet(file, index=False)
    fails("holds text in .*part2.parquet and numbers before")


def test_data_that_change_between_passes(tmp_path):
    data = jm.datasets.load("sleepstudy").assign(kind=lambda d: np.where(d["Days"] % 2, "odd", "even"))
    formula = "Reaction ~ kind + (1 | Subject)"

    def changing(change):
        passes = []

        def batches():
            passes.append(1)
            return in_batches(data if len(passes) < 3 else change(data))  # the first call shows the columns

        return batches

    with pytest.raises(DataError, match=r"180 rows .* at first and 170"):
        jm.lmer(formula, changing(lambda d: d.iloc[10:]))
    with pytest.raises(DataError, match="In batch 3: The column 'kind' has levels that were not there"):
        jm.lmer(formula, changing(lambda d: d.assign(kind=d["kind"].where(d.index != 90, "new"))))


def test_a_file_that_goes_away(tmp_path):
    in_files(tmp_path, jm.datasets.load("sleepstudy"))
    stream = open_stream(tmp_path)
    assert stream is not None
    list(stream.read(["Days"]))
    (tmp_path / "part3.parquet").unlink()
    with pytest.raises(DataError, match=r"Cannot read .*part3.parquet"):
        list(stream.read(["Days"]))


# Partitions, on workers


def partitioned(data, partitions=7):
    dask = pytest.importorskip("dask.dataframe")
    return dask.from_pandas(data, npartitions=partitions)


def test_dask_partitions(awkward):
    formula = "y ~ kind + poly(x, 2) + scale(o) + (center(x) | g) + (1 | h)"
    frame = partitioned(awkward)
    same(quietly(formula, frame, weights="w"), quietly(formula, awkward, weights="w"), tolerance=1e-8)
    with pytest.raises(DataError, match=r"In partition \d: weights has"):
        jm.lmer(formula, frame, weights="o")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of distributed, about the worker that is lost
def test_a_lost_worker_changes_nothing(tmp_path):
    distributed = pytest.importorskip("distributed")
    data, flag, here = jm.datasets.load("sleepstudy"), tmp_path / "once", os.getpid()

    def deadly(values):
        if os.getpid() != here and (values == 9).any() and not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return values

    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster):
        lost = jm.lmer(
            "Reaction ~ deadly(Days) + (Days | Subject)", partitioned(data, 12), context={"deadly": deadly}
        )
    assert flag.exists()
    whole = jm.lmer(SLOPE, data)
    assert abs(lost.criterion - whole.criterion) < 1e-9
    np.testing.assert_allclose(lost.params, whole.params, rtol=1e-9)
