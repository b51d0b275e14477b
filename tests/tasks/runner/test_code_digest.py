"""The digest of code is that of what it does, in every version of Python."""

import ast
from pathlib import Path

import pytest

from tasks.runner.code_digest import Code, code

AWKWARD = '''
"""Says nothing that counts."""
def f(x: int = 1, *, y=None) -> str:
    """Nor does this."""
    return f"{x!r:>{y}} 'a' \\"b\\" {x=}" "c" f"" f"{f'{x}'}" + "é"
d = {**{}, 1: 2.5e300, "k": ..., b"k": None}
'''
# in the order of the fields of Python's syntax tree, which new versions only add to
WRITTEN = (
    "Module(body=[FunctionDef(name='f', args=arguments(args=[arg(arg='x', annotation=Name(id='int',"
    " ctx=Load()))], kwonlyargs=[arg(arg='y')], kw_defaults=[None], defaults=[1]), "
    "body=[Return(value=BinOp(left=JoinedStr(values=[FormattedValue(value=Name(id='x', "
    "ctx=Load()), conversion=114, format_spec=JoinedStr(values=['>', "
    "FormattedValue(value=Name(id='y', ctx=Load()), conversion=-1)])), ' \\'a\\' \"b\" x=', "
    "FormattedValue(value=Name(id='x', ctx=Load()), conversion=114), 'c', "
    "FormattedValue(value=JoinedStr(values=[FormattedValue(value=Name(id='x', ctx=Load()), "
    "conversion=-1)]), conversion=-1)]), op=Add(), right='\\xe9'))], returns=Name(id='str', "
    "ctx=Load())), Assign(targets=[Name(id='d', ctx=Store())], value=Dict(keys=[None, 1, 'k', "
    "b'k'], values=[Dict(), 2.5e+300, Ellipsis, None]))])"
)


def code_of(text: str) -> str:
    return code(ast.parse(text))


def test_code_is_written_the_same_whichever_python_reads_it() -> None:
    assert code_of(AWKWARD) == WRITTEN


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("return 1", "return 2"),
        ("return", "return 1"),
        ('return f"{x}"', 'return f"{x!r}"'),
        ('return "1"', "return 1"),
        ("return a.b", "return a.c"),
        ("x = yield", "x = await y"),
    ],
)
def test_other_code_is_written_otherwise(one: str, other: str) -> None:
    assert code_of(f"async def f():\n    {one}\n") != code_of(f"async def f():\n    {other}\n")


@pytest.mark.parametrize(
    "other", ["x = ('a')  # why", 'x="a"', 'x = "" "a"', 'x = (\n    "a"\n)\n\n"""Words."""']
)
def test_comments_quotes_and_layout_do_not_count(other: str) -> None:
    assert code_of("x = 'a'\n") == code_of(other)


def test_a_body_of_words_alone_stays_a_body() -> None:
    assert code_of('class A:\n    """Only words."""\n') == code_of("class A:\n    pass\n")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in {
        "decant/deep.py": "import numpy as np\nvalue = 1\n",
        "tasks/one.py": "import decant.deep\n",
        "benchmarks/speed.py": "from tasks.one import deep\nimport scipy.stats\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_only_the_given_packages_are_followed(project: Path) -> None:
    packages = ("decant", "tasks", "benchmarks")
    code = Code(project, packages)
    assert {*code.closure("benchmarks.speed")} == {"benchmarks.speed", "tasks.one", "decant.deep"}
    assert code.libraries("benchmarks.speed") == {"numpy", "scipy"}
    before = code.digest("benchmarks.speed")
    (project / "decant/deep.py").write_text("value = 2\n")
    assert Code(project, packages).digest("benchmarks.speed") != before
    with pytest.raises(FileNotFoundError, match=r"benchmarks\.speed"):
        Code(project).digest("benchmarks.speed")
