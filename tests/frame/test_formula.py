"""The parser: lme4's formulas in their parts, R's spellings, and one sentence for each mistake."""

import pytest

from jaxmixed.frame._errors import FormulaError
from jaxmixed.frame._formula import Bar, parse

ONE = (Bar("1", ("g",)),)

# formula, fixed part, [(columns, group, diagonal)]
LME4 = [
    ("angle ~ recipe + temp + (recipe | replicate)", "1 + recipe + temp", [("1 + recipe", "replicate")]),
    (
        "angle ~ recipe * temperature + (1 | replicate/recipe)",
        "1 + recipe * temperature",
        [("1", "replicate"), ("1", "recipe:replicate")],
    ),
    ("Yield ~ 1 + (1 | Batch)", "1", [("1", "Batch")]),
    (
        "gpa ~ occasion * sex + job + (occasion | student)",
        "1 + occasion * sex + job",
        [("1 + occasion", "student")],
    ),
    ("gpa ~ occasion + (1 | student)", "1 + occasion", [("1", "student")]),
    (
        "gpa ~ occasion + I(occasion^2) + log(highgpa) + (1 | student)",
        "1 + occasion + I(occasion**2) + log(highgpa)",
        [("1", "student")],
    ),
    ("y ~ service + (1 | s) + (1 | d) + (1 | dept)", "1 + service", [("1", "s"), ("1", "d"), ("1", "dept")]),
    (
        "yield ~ nitro * Variety + (1 | Block/Variety)",
        "1 + nitro * Variety",
        [("1", "Block"), ("1", "Variety:Block")],
    ),
    ("distance ~ age * Sex + (age | Subject)", "1 + age * Sex", [("1 + age", "Subject")]),
    (
        "distance ~ I(age - 11) + (I(age - 11) | Subject)",
        "1 + I(age - 11)",
        [("1 + I(age - 11)", "Subject")],
    ),
    ("strength ~ 1 + (1 | batch/cask)", "1", [("1", "batch"), ("1", "cask:batch")]),
    ("diameter ~ 1 + (1 | plate) + (1 | sample)", "1", [("1", "plate"), ("1", "sample")]),
    ("Reaction ~ poly(Days, 2) + (1 | Subject)", "1 + poly(Days, 2)", [("1", "Subject")]),
    ("Reaction ~ Days + (0 + Days | Subject)", "1 + Days", [("0 + Days", "Subject")]),
    (
        "Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)",
        "1 + Days",
        [("1", "Subject"), ("0 + Days", "Subject")],
    ),
]


@pytest.mark.parametrize(("formula", "fixed", "bars"), LME4)
def test_lme4_formulas(formula, fixed, bars):
    parsed = parse(formula)
    assert parsed.fixed == fixed
    assert [(bar.columns, bar.name) for bar in parsed.bars] == bars
    assert not any(bar.diagonal for bar in parsed.bars)


def test_double_bar_is_diagonal():
    assert parse("Reaction ~ Days + (Days || Subject)").bars == (Bar("1 + Days", ("Subject",), True),)


def test_offset_leaves_the_fixed_part():
    parsed = parse("Reaction ~ Days + offset(baseline) + offset(log(n^2)) + (1 | Subject)")
    assert parsed.fixed == "1 + Days"
    assert parsed.offsets == ("baseline", "log(n**2)")


@pytest.mark.parametrize(
    ("rhs", "fixed"),
    [
        ("x - 1", "0 + x"),
        ("0 + x", "0 + x"),
        ("x + 0", "0 + x"),
        ("-1 + x", "0 + x"),
        ("x - 0", "1 + x"),
        ("x - -1", "1 + x"),
        ("0 + x + 1", "1 + x"),
        ("1", "1"),
        ("0", "0"),
        ("a * b - a:b", "1 + a * b - a:b"),
        ("(a + b)^2", "1 + (a + b)^2"),
        ("a + b %in% a", "1 + a + b %in% a"),
        ("x^2 + I(x^2)", "1 + x^2 + I(x**2)"),
        ("poly(x, 2, raw = TRUE)", "1 + poly(x, 2, raw = True)"),
        ("as.factor(x) + factor(y)", "1 + factor(x) + factor(y)"),
        ("log (x)", "1 + log(x)"),
        ("log(class)", "1 + log(class_)"),
        ("`a^b TRUE (c)`", "1 + `a^b TRUE (c)`"),
        ("I(x | z)", "1 + I(x | z)"),
        ("C(x, contr.sum)", "1 + C(x, contr.sum)"),
        ("f('a | (b')", "1 + f('a | (b')"),
        ("np.log(x)", "1 + np.log(x)"),
    ],
)
def test_fixed_part(rhs, fixed):
    parsed = parse(f"y ~ {rhs} + (1 | g)")
    assert parsed.fixed == fixed
    assert parsed.bars == ONE


@pytest.mark.parametrize(
    ("group", "groups"),
    [
        ("a", [("a",)]),
        ("a:b", [("a", "b")]),
        ("a/b", [("a",), ("b", "a")]),
        ("a/b/c", [("a",), ("b", "a"), ("c", "b", "a")]),
        ("a:b/c", [("a", "b"), ("c", "a", "b")]),
        ("(a/b)", [("a",), ("b", "a")]),
        ("(a:b)", [("a", "b")]),
        ("`my a`:b", [("`my a`", "b")]),
        ("factor(a)", [("factor(a)",)]),
        ("I(a^2)/b", [("I(a**2)",), ("b", "I(a**2)")]),
        ("school.id", [("school.id",)]),
    ],
)
def test_groups(group, groups):
    assert [bar.group for bar in parse(f"y ~ x + (1 | {group})").bars] == groups


def test_names_lose_their_backticks():
    assert parse("y ~ (1 | `my a`/`b:c`)").bars[1].name == "b:c:my a"


def test_white_space_and_extra_parentheses():
    spread = parse("  `my y`~\n x +\t((1\n + x|g ))")
    assert spread.response == "`my y`"
    assert spread.bars == (Bar("1 + x", ("g",)),)


@pytest.mark.parametrize(
    ("response", "parsed"),
    [("log(y)", "log(y)"), ("y^2", "y**2"), ("yield", "yield"), ("log(yield)", "log(yield_)")],
)
def test_response_is_an_expression(response, parsed):
    assert parse(f"{response} ~ x + (1 | g)").response == parsed


def test_only_random_terms():
    assert parse("y ~ (1 | g)").fixed == "1"


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        (123, "of type int"),
        (None, "of type NoneType"),
        (["y ~ x"], "of type list"),
        ("y", "no '~'"),
        ("y ~ x ~ z", "2 '~'"),
        ("~ x + (1 | g)", "No response"),
        ("y ~ ", "Nothing after"),
        ("y ~ x + (1 | g", r"ends before a '\)'"),
        ("y ~ x + 1 | g)", "closes nothing"),
        ("y ~ x + f(1]", "closes nothing"),
        ("y ~ `x", "ends before a '`'"),
        ("y ~ x + 1 | g", "outside parentheses"),
        ("y ~ x * (1 | g)", "outside parentheses"),
        ("y ~ (x + (1 | g))", "can only be added"),
        ("y ~ x - (1 | g)", "can only be added"),
        ("y ~ x - offset(z) + (1 | g)", "can only be added"),
        ("y ~ x:offset(z) + (1 | g)", "offset inside"),
        ("y ~ x + (| g)", "Nothing stands before"),
        ("y ~ x + (1 |)", "Nothing stands after"),
        ("y ~ x + (1 | g | h)", "more than one bar"),
        ("y ~ x + (1 || g || h)", "more than one bar"),
        ("y ~ x + (1 ||| g)", "more than one bar"),
        ("y ~ x + (0 | g)", "no columns"),
        ("y ~ x + (1 | a + b)", "malformed"),
        ("y ~ x + (1 | a * b)", "malformed"),
        ("y ~ x + (1 | a/)", "malformed"),
        ("y ~ x + (1 | 1)", "malformed"),
        ("y ~ x + + (1 | g) +", "nothing after it"),
        ("y ~ . + (1 | g)", "name the columns"),
        ("y | z ~ x + (1 | g)", "in the response"),
    ],
)
def test_mistakes_get_one_sentence(formula, message):
    with pytest.raises(FormulaError, match=message) as caught:
        parse(formula)
    assert str(caught.value).endswith((".", "'."))
    assert "\n" not in str(caught.value).replace(str(formula), "")
