"""Every error and warning the package can produce, read from its sources.

A message is the first argument of an exception or of `warnings.warn`. Where that is a name, a property or a
call, the strings it stands for are looked up; what is filled in when it is raised is a blank with a name.
"""

import ast
import builtins
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MOST = 12  # alternatives of one message, beyond which its parts are left blank


class Blank(NamedTuple):
    """What is filled in when a message is raised; dots where it has no name."""

    name: str


Text = tuple[str | Blank, ...]
Scope = tuple[ast.AST, ...]  # the module and the functions around an expression


class Message(NamedTuple):
    """An error or a warning.

    Attributes
    ----------
    kind
        Name of the exception or warning.
    text
        Words and blanks; empty if they come from another error, which is passed on.
    module, line
        Where it is raised.
    """

    kind: str
    text: Text
    module: str
    line: int


class Sources:
    """The package's syntax trees, and what its functions, properties and constants are called."""

    def __init__(self, package: Path) -> None:
        self.trees = {
            ".".join(path.relative_to(package.parent).with_suffix("").parts): ast.parse(
                path.read_text(encoding="utf-8")
            )
            for path in sorted(package.rglob("*.py"))
        }
        self.kinds: dict[str, ast.ClassDef] = {}
        self.functions: dict[str, list[ast.FunctionDef]] = {}
        for tree in self.trees.values():
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef):
                    self.functions.setdefault(node.name, []).append(node)
                elif isinstance(node, ast.ClassDef) and self._raised(node):
                    self.kinds[node.name] = node

    def _raised(self, node: ast.ClassDef) -> bool:
        return any(isinstance(base, ast.Name) and self.is_kind(base.id) for base in node.bases)

    def is_kind(self, name: str) -> bool:
        """Tell whether a name is that of an exception or a warning."""
        known = getattr(builtins, name, None)
        return name in self.kinds or (isinstance(known, type) and issubclass(known, Exception))


def collect(sources: Sources) -> list[Message]:
    """Return all messages of a package, by module and line."""
    return [
        message
        for module, tree in sources.trees.items()
        for scope, call in _calls(tree, (tree,))
        for message in _messages(call, scope, module, sources)
    ]


def _calls(node: ast.AST, scope: Scope) -> Iterator[tuple[Scope, ast.Call]]:
    """Yield every call with the module and the functions around it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call):
            yield scope, child
        yield from _calls(child, (*scope, child) if isinstance(child, ast.FunctionDef) else scope)


def _messages(call: ast.Call, scope: Scope, module: str, sources: Sources) -> Iterator[Message]:
    name = ast.unparse(call.func)
    if name == "warnings.warn":
        kind = ast.unparse(call.args[1])
    elif sources.is_kind(name) and call.args:
        kind = name
    else:
        return
    for text in _texts(call.args[0], scope, sources):
        yield Message(kind, text, module, call.lineno)


def _texts(node: ast.expr, scope: Scope, sources: Sources) -> list[Text]:
    """Return the strings that an expression can stand for, each as words and blanks."""
    match node:
        case ast.Constant(value=str(words)):
            return [(words,)]
        case ast.JoinedStr(values=pieces):
            return _joined([_texts(piece, scope, sources) for piece in pieces])
        case ast.FormattedValue(value=value):
            return _filled(value, scope, sources)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _joined([_texts(left, scope, sources), _texts(right, scope, sources)])
        case ast.IfExp(body=body, orelse=other):
            return _texts(body, scope, sources) + _texts(other, scope, sources)
        case ast.Call(func=ast.Name(id="str"), args=[ast.Name()]):
            return [()]
        case ast.Name(id=name):
            return _assigned(name, scope, sources) or [(Blank(name),)]
        case ast.Attribute(attr=name):
            return _returned(name, sources) or [(Blank(name),)]
        case ast.Call(func=ast.Name(id=name)):
            return _returned(name, sources) or [(Blank(name),)]
        case ast.Subscript(value=ast.Name(id=name)):
            return _appended(name, node.lineno, scope, sources) or [(Blank(name),)]
        case _:
            return [(Blank("..."),)]


def _filled(value: ast.expr, scope: Scope, sources: Sources) -> list[Text]:
    """Return what fills one place of a string: its alternatives if they are words, else a blank."""
    match value:
        case ast.Name(id=name) if name.isupper():
            return _number(name, scope[0]) or [(Blank(name),)]
        case ast.Name(id=name):
            known = _assigned(name, scope, sources)
            constant = all(isinstance(part, str) for text in known for part in text)
            return known if known and constant else [(Blank(name),)]
        case ast.Attribute(attr=name):
            return [(Blank("type" if name == "__name__" else name),)]
        case ast.IfExp(body=ast.Constant(), orelse=ast.Constant()):
            return _texts(value, scope, sources)
        case ast.Subscript(value=ast.Name(id=name)):
            return [(Blank(name),)]
        case ast.Call(func=ast.Name(id="counted"), args=[_, ast.Constant(value=noun)]):
            return [(Blank(f"... {noun}s"),)]  # "1 row", "2 rows"
        case ast.Call(func=ast.Attribute(value=ast.Constant(), attr="join"), args=[items]):
            return _items(items, scope, sources) or [(Blank("..."),)]
        case _:
            return [(Blank("..."),)]


def _joined(parts: list[list[Text]]) -> list[Text]:
    """Return all combinations of the alternatives of each part."""
    count = 1
    for i, alternatives in enumerate(parts):
        count *= len(alternatives)
        if count > MOST:
            parts[i], count = [(Blank("..."),)], count // len(alternatives)
    return [tuple(itertools.chain(*choice)) for choice in itertools.product(*parts)]


def _assigned(name: str, scope: Scope, sources: Sources) -> list[Text]:
    """Return the strings that a name is given, in the innermost function that gives it any."""
    for around in reversed(scope):
        values = [
            node.value
            for node in (around.body if isinstance(around, ast.Module) else ast.walk(around))
            if isinstance(node, ast.Assign) and any(_is(target, name) for target in node.targets)
        ]
        found = [text for value in values if _has_words(value) for text in _texts(value, scope, sources)]
        if values:
            return found if len(found) <= MOST else []
    return []


def _appended(name: str, line: int, scope: Scope, sources: Sources) -> list[Text]:
    """Return what a list of strings was last given before a line."""
    appended = [
        node.args[0]
        for node in ast.walk(scope[-1])
        if isinstance(node, ast.Call) and ast.unparse(node.func) == f"{name}.append" and node.lineno < line
    ]
    return _texts(appended[-1], scope, sources) if appended else []


def _items(node: ast.expr, scope: Scope, sources: Sources) -> list[Text]:
    """Return the strings that may be in a list."""
    match node:
        case ast.Name(id=name):
            return [
                text
                for element in _elements(name, scope[-1])
                if _has_words(element)
                for text in _texts(element, scope, sources)
            ]
        case ast.Attribute(attr=name) | ast.Call(func=ast.Name(id=name)):
            return [
                text
                for function in sources.functions.get(name, [])
                for returned in ast.walk(function)
                if isinstance(returned, ast.Return) and returned.value is not None
                for text in _items(returned.value, (function,), sources)
            ]
        case _:
            return []


def _elements(name: str, around: ast.AST) -> Iterator[ast.expr]:
    """Yield what is appended or added to a list."""
    for node in ast.walk(around):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=to), attr="append"), args=[element]):
                if to == name:
                    yield element
            case ast.AugAssign(target=ast.Name(id=to), value=ast.ListComp(elt=element)):
                if to == name:
                    yield element


def _number(name: str, module: ast.Module) -> list[Text]:
    """Return the number that a constant of a module is."""
    return [
        (str(node.value.value),)
        for node in module.body
        if isinstance(node, ast.Assign)
        and any(_is(target, name) for target in node.targets)
        and isinstance(node.value, ast.Constant)
    ]


def _returned(name: str, sources: Sources) -> list[Text]:
    """Return the strings that the functions or properties of a name return."""
    return [
        text
        for function in sources.functions.get(name, [])
        for node in ast.walk(function)
        if isinstance(node, ast.Return) and node.value is not None and _has_words(node.value)
        for text in _texts(node.value, (function,), sources)
    ]


def _has_words(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant | ast.JoinedStr | ast.IfExp | ast.BinOp) and not (
        isinstance(node, ast.Constant) and not isinstance(node.value, str)
    )


def _is(target: ast.expr, name: str) -> bool:
    return isinstance(target, ast.Name) and target.id == name
