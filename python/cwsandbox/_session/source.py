"""The source of a function or a class, made ready to be run elsewhere."""

from __future__ import annotations
import __future__

import ast
import contextlib
import copy
import dis
import functools
import inspect
import sys
from dataclasses import dataclass, field
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_Function = ast.FunctionDef | ast.AsyncFunctionDef

_FUTURE_ANNOTATIONS = __future__.annotations.compiler_flag
_READS_GLOBALS = {
    "LOAD_GLOBAL",
    "STORE_GLOBAL",
    "DELETE_GLOBAL",
    "LOAD_NAME",
    "LOAD_FROM_DICT_OR_GLOBALS",
}


@dataclass
class Definition:
    """What defines a function or a class.

    The source of a function defines ``_cws_cells``, whose variables are the names in ``closure``, and in that
    ``_cws_make``, which takes the values of ``defaults`` and returns the function. The receiver runs only the latter,
    on cells of its own, so that functions may share them.
    """

    name: str
    source: str
    future_annotations: bool
    is_decorated: bool = False
    closure: tuple[str, ...] = ()
    # Parameters by name, with those default values that are not written out in the source.
    defaults: list[tuple[str, Any]] = field(default_factory=list)
    # Globals that are read while it is defined, and those that are read once it is used.
    read_now: set[str] = field(default_factory=set)
    read_later: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)


def innermost(function: Any) -> Any:
    """What decorators have wrapped."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return function


def of_function(
    function: FunctionType, *, decorated: bool, can_be_sent: Callable[[Any], bool]
) -> Definition:
    """Its definition, of what its decorators make of it or of the function itself.

    Defaults whose values cannot be sent are evaluated again. ``OSError`` without its source, ``ValueError`` for a
    lambda.
    """
    code = function.__code__
    if code.co_name == "<lambda>":
        raise ValueError(f"a lambda cannot be sent: write {_place(code)} as a function with a name")
    tree = _parsed("".join(inspect.findsource(function)[0]))
    nodes = [node for node in ast.walk(tree) if _begins_at(node, code)]
    if not nodes:
        raise OSError(f"the source of {code.co_qualname!r} is not at {_place(code)} any more")
    node = copy.deepcopy(nodes[0])
    assert isinstance(node, _Function)
    *_, around, _ = ("", *code.co_qualname.split("."))
    if around and around != "<locals>":
        node = _Private(around).visit(node)
    is_future = bool(code.co_flags & _FUTURE_ANNOTATIONS)
    _drop_own_decorators(node)
    if not decorated:
        node.decorator_list = []
    if not is_future:
        _make_texts_of_annotations(node)
    defaults = _take_defaults(node, function, can_be_sent)
    closure = code.co_freevars
    definition = Definition(node.name, "", is_future, closure=closure, defaults=defaults)
    definition.is_decorated = bool(node.decorator_list)
    return _finished(definition, _scope(node, closure, len(defaults)))


def of_class(cls: type) -> Definition:
    """Its definition, or the assignment that makes it. ``OSError`` without its source."""
    tree = _parsed(_source_around(cls))
    nodes: list[ast.stmt] = [node for node in tree.body if _makes(node, cls.__name__)]
    if not nodes:
        raise OSError(f"the source of class {cls.__qualname__!r} was not found")
    node = copy.deepcopy(nodes[-1])
    for inner in ast.walk(node):
        if isinstance(inner, _Function):
            _drop_own_decorators(inner)
    is_future = any(
        isinstance(line, ast.ImportFrom)
        and line.module == "__future__"
        and any(alias.name == "annotations" for alias in line.names)
        for line in tree.body
    )
    return _finished(Definition(cls.__name__, "", is_future), node)


def _source_around(cls: type) -> str:
    # A method knows its file also where the module does not, as in a notebook.
    for member in vars(cls).values():
        method = innermost(getattr(member, "__func__", member))
        if isinstance(method, FunctionType) and method.__module__ == cls.__module__:
            # One that a decorator has made has no source.
            with contextlib.suppress(OSError):
                return "".join(inspect.findsource(method)[0])
    return "".join(inspect.findsource(sys.modules[cls.__module__])[0])


@functools.lru_cache(maxsize=16)
def _parsed(source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except SyntaxError as error:
        raise OSError(f"the source cannot be read: {error}") from error


def _place(code: CodeType) -> str:
    return f"line {code.co_firstlineno} of {code.co_filename}"


def _begins_at(node: ast.AST, code: CodeType) -> bool:
    if not isinstance(node, _Function) or node.name != code.co_name:
        return False
    first = node.decorator_list[0] if node.decorator_list else node
    return code.co_firstlineno in (first.lineno, node.lineno)


def _makes(node: ast.stmt, name: str) -> bool:
    if isinstance(node, ast.ClassDef):
        return node.name == name
    return isinstance(node, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id == name for target in node.targets
    )


def _drop_own_decorators(node: _Function) -> None:
    """Of the form ``@session.function`` or ``@session.function(...)``."""
    node.decorator_list = [one for one in node.decorator_list if not _is_own(one)]


def _is_own(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(called, ast.Attribute) and called.attr == "function"


def _make_texts_of_annotations(node: _Function) -> None:
    # Evaluated, they would need types that the sandbox may not have, and that nothing else asks for.
    arguments = node.args
    for one in (
        *arguments.posonlyargs,
        *arguments.args,
        *arguments.kwonlyargs,
        *filter(None, (arguments.vararg, arguments.kwarg)),
    ):
        if one.annotation is not None:
            one.annotation = ast.Constant(ast.unparse(one.annotation))
    if node.returns is not None:
        node.returns = ast.Constant(ast.unparse(node.returns))


def _take_defaults(
    node: _Function, function: FunctionType, can_be_sent: Callable[[Any], bool]
) -> list[tuple[str, Any]]:
    """Put names in the place of defaults that are no literals: their values are what they were at the definition."""
    taken: list[tuple[str, Any]] = []

    def instead(default: ast.expr, name: str, value: Any) -> ast.expr:
        if _is_literal(default) or not can_be_sent(value):
            return default
        taken.append((name, value))
        return ast.Name(f"_cws_default_{len(taken) - 1}", ast.Load())

    arguments = node.args
    positional = [one.arg for one in (*arguments.posonlyargs, *arguments.args)]
    values = function.__defaults__ or ()
    names = positional[len(positional) - len(arguments.defaults) :]
    arguments.defaults = [
        instead(*each) for each in zip(arguments.defaults, names, values, strict=True)
    ]
    by_name = function.__kwdefaults__ or {}
    arguments.kw_defaults = [
        None if default is None else instead(default, one.arg, by_name[one.arg])
        for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    return taken


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except ValueError:
        return False
    return True


def _scope(node: _Function, closure: tuple[str, ...], defaults: int) -> ast.stmt:
    parameters = ", ".join(f"_cws_default_{index}" for index in range(defaults))
    text = f"""
def _cws_cells({", ".join(closure)}):
    def _cws_make({parameters}):
        return {node.name}
"""
    cells = ast.parse(text).body[0]
    assert isinstance(cells, ast.FunctionDef)
    make = cells.body[0]
    assert isinstance(make, ast.FunctionDef)
    make.body.insert(0, node)
    return cells


def _finished(definition: Definition, node: ast.stmt) -> Definition:
    definition.source = ast.unparse(ast.fix_missing_locations(_WithoutFStrings().visit(node)))
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute):
            definition.attributes.add(part.attr)
    flags = _FUTURE_ANNOTATIONS if definition.future_annotations else 0
    code = compile(definition.source, "<remote>", "exec", flags=flags, dont_inherit=True)
    _scan(code, definition, runs_now=True)
    return definition


class _Private(ast.NodeTransformer):
    """Writes out the names that are private to a class, for a function that is taken out of it."""

    def __init__(self, cls: str) -> None:
        self._prefix = "_" + cls.lstrip("_")

    def _name(self, name: str) -> str:
        is_private = name.startswith("__") and not name.endswith("__")
        return self._prefix + name if is_private else name

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = self._name(node.id)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        node.attr = self._name(node.attr)
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.arg = self._name(node.arg)
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        # It has private names of its own.
        return node


class _WithoutFStrings(ast.NodeTransformer):
    """Python 3.12 may write them with quotes that end them in 3.11."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.expr:
        text, given = "", []
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                given.append(self.visit(part.value))
                conversion = "" if part.conversion == -1 else f"!{chr(part.conversion)}"
                if part.format_spec is not None:
                    given.append(self.visit(part.format_spec))
                    conversion += ":{}"
                text += f"{{{conversion}}}"
            else:
                assert isinstance(part, ast.Constant)
                text += str(part.value).replace("{", "{{").replace("}", "}}")
        template = ast.Attribute(ast.Constant(text), "format", ast.Load())
        return ast.Call(template, given, [])


def _scan(code: CodeType, definition: Definition, runs_now: bool) -> None:
    read = definition.read_now if runs_now else definition.read_later
    # A class body has names of its own; which ones is known only from their order.
    own: set[str] = set()
    for line in dis.get_instructions(code):
        if line.opname == "STORE_NAME":
            own.add(line.argval)
        elif line.opname in _READS_GLOBALS and line.argval not in own:
            read.add(line.argval)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            _scan(inner, definition, runs_now and _runs_at_once(inner))


def _runs_at_once(code: CodeType) -> bool:
    is_body = not code.co_flags & inspect.CO_OPTIMIZED
    is_comprehension = code.co_name.startswith("<") and code.co_name != "<lambda>"
    return is_body or is_comprehension or code.co_name in ("_cws_cells", "_cws_make")
