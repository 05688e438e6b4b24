"""Which file writes which column of which model, read from the program's source."""

from __future__ import annotations

import ast
import re
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from django.apps import apps
from django.contrib.auth.models import AbstractUser
from django.db.models import Model

from controlplane.tenants.models import Person
from tests import program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import Field

_WRITTEN_BY = re.compile(r"Written by (?P<file>[\w/]+\.py)")
_UPDATE = re.compile(r"\bUPDATE\s+(?P<table>\w+)(?:\s+AS\s+\w+)?\s+SET\s+(?P<rest>.*)", re.DOTALL)


class Write(NamedTuple):
    """models: those that the row may belong to; one if that is clear."""

    file: str
    line: int
    models: tuple[str, ...]
    column: str

    @property
    def columns(self) -> list[str]:
        """Group the writes by the class that declares the column: a column that two models inherit is one."""
        return sorted({f"{owner_of(our_models()[name], self.column)}.{self.column}" for name in self.models})

    @property
    def is_stated(self) -> bool:
        return any(
            self.file == stated(our_models()[name], field_of(our_models()[name], self.column)) for name in self.models
        )


def stated(model: type[Model], field: Field[Any, Any]) -> str:
    """Return the file that the column, or else its model, names as the writer; "" for a column that never changes."""
    found = _WRITTEN_BY.search(str(field.help_text)) or _WRITTEN_BY.search(model.__doc__ or "")
    return found["file"] if found else ""


def is_djangos(model: type[Model], field: Field[Any, Any]) -> bool:
    """Return whether Person inherits this column from Django's own user."""
    return model is Person and field.name in {each.name for each in AbstractUser._meta.fields}


@cache
def our_models() -> dict[str, type[Model]]:
    """Return our own models by name."""
    return {each.__name__: each for each in apps.get_models() if each.__module__.startswith(program.PACKAGES)}


def field_of(model: type[Model], column: str) -> Field[Any, Any]:
    return next(field for field in model._meta.concrete_fields if column in {field.name, field.attname})


def owner_of(model: type[Model], column: str) -> str:
    """Return the class that declares the column: the model, or an abstract model of ours that it inherits from."""
    ours = [base for base in reversed(model.__mro__) if issubclass(base, Model) and base is not Model]
    return next(base.__name__ for base in ours if column in _names(base))


def columns(model: str) -> set[str]:
    return _names(our_models()[model])


def _names(model: type[Model]) -> set[str]:
    fields = [field for field in model._meta.concrete_fields if not is_djangos(model, field)]
    return {name for field in fields for name in (field.name, field.attname)}


def writes() -> list[Write]:
    found = [write for module in program.files() for write in of(module).writes()]
    tables = {model._meta.db_table: name for name, model in our_models().items()}
    for statement in program.statements():
        for update in _UPDATE.finditer(statement.sql):
            if update["table"] in tables:
                file = program.path(statement.module)
                found += [Write(file, 0, (tables[update["table"]],), name) for name in set_by(update["rest"])]
    return found


def set_by(rest: str) -> list[str]:
    """Return the columns in the text after SET: `a = 1, b = f(c = 2) FROM ...` -> a, b."""
    flat = rest
    while (inner := re.sub(r"\([^()]*\)", "", flat)) != flat:
        flat = inner
    ends = re.split(r"\b(?:FROM|WHERE|RETURNING)\b", flat, maxsplit=1)[0]
    return [part.split("=")[0].strip() for part in ends.split(",")]


class Module:
    """The writes of one file."""

    def __init__(self, file: str, tree: ast.Module, namespace: dict[str, Any]) -> None:
        self.file, self.tree, self.namespace = file, tree, namespace
        imports = [name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for name in node.names]
        defined = [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        self.known = {name for name in (*(each.name for each in imports), *defined) if name in our_models()}
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        self.results = {each.name: model for each in functions if (model := self._named(each.returns))}

    def writes(self) -> Iterator[Write]:
        yield from self._of_scope(self.tree, {})

    def _of_scope(self, scope: ast.AST, outside: dict[str, str]) -> Iterator[Write]:
        """Collect the writes of a function or class with its nested definitions. Names can stand for a model's rows."""
        rows = outside | self._given(scope)
        inside: list[ast.AST] = []
        nodes: list[ast.AST] = []
        for node in within(scope):
            (inside if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else nodes).append(node)
        for _ in range(3):  # a name may come from one that is bound further down
            for node in nodes:
                self._bind(node, rows)
        for node in nodes:
            for row, column in named_by(node, self.namespace):
                yield from self._write(row, column, rows)
        for node in inside:
            yield from self._of_scope(node, rows)

    def _given(self, scope: ast.AST) -> dict[str, str]:
        """Bind the function's parameters, and `self` in a model or in a queryset of one."""
        match scope:
            case ast.FunctionDef(args=args):
                arguments = (*args.posonlyargs, *args.args, *args.kwonlyargs)
                return {each.arg: model for each in arguments if (model := self._named(each.annotation))}
            case ast.ClassDef(name=name, bases=bases):
                of = {str(base.value) for node in bases for base in ast.walk(node) if isinstance(base, ast.Constant)}
                return dict.fromkeys(("self", "cls"), next(iter({name, *of} & self.known), ""))
        return {}

    def _bind(self, node: ast.AST, rows: dict[str, str]) -> None:
        match node:
            case ast.Assign(targets=targets, value=value):
                model = self._model(value, rows)
            case ast.AnnAssign(target=target, annotation=annotation):
                targets, model = [target], self._named(annotation)
            case ast.For(target=target, iter=value) | ast.comprehension(target=target, iter=value):
                targets, model = [target], self._model(value, rows)
            case ast.NamedExpr(target=target, value=value):
                targets, model = [target], self._model(value, rows)
            case _:
                return
        if model:
            rows |= {name.id: model for name in flat(targets) if isinstance(name, ast.Name)}

    def _write(self, row: ast.expr, column: str, rows: dict[str, str]) -> Iterator[Write]:
        model = self._model(row, rows)
        if model == "" and isinstance(row, ast.Name) and row.id in rows:
            return  # an attribute of an object that is not a row
        among = {model} if model else self.known
        found = tuple(sorted(each for each in among if column in columns(each)))
        if found:
            yield Write(self.file, row.lineno, found, column)

    def _model(self, node: ast.expr, rows: dict[str, str]) -> str:
        """Return the model of this row, queryset or collection; "" if it is not known."""
        match node:
            case ast.Name(id=name):
                return rows.get(name, name if name in self.known else "")
            case ast.Attribute(value=value, attr=name):
                return related(self._model(value, rows), name)
            case ast.Call(func=ast.Name(id=name)) if name in self.results:
                return self.results[name]
            case ast.Call(func=ast.Name(id="list" | "sorted" | "iter"), args=[value, *_]):
                return self._model(value, rows)
            case ast.Call(func=value) | ast.Subscript(value=value):
                return self._model(value, rows)
            case ast.BoolOp(values=[value, *_]) | ast.IfExp(body=value):
                return self._model(value, rows)
            case ast.ListComp(elt=value) | ast.GeneratorExp(elt=value):
                return self._model(value, rows)
        return ""

    def _named(self, annotation: ast.expr | None) -> str:
        """Return the one model that an annotation names."""
        nodes = ast.walk(annotation) if annotation is not None else ()
        found = {node.id for node in nodes if isinstance(node, ast.Name)} & self.known
        return found.pop() if len(found) == 1 else ""


def within(scope: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a scope, without those of nested functions and classes."""
    for node in ast.iter_child_nodes(scope):
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield from within(node)


def flat(targets: list[ast.expr]) -> Iterator[ast.expr]:
    for target in targets:
        if isinstance(target, (ast.Tuple, ast.List)):
            yield from flat(target.elts)
        else:
            yield target


def related(model: str, attribute: str) -> str:
    """Return what an attribute of a row, queryset or model class leads to: another model, the same one, or no row."""
    if not model:
        return ""
    fields = {field.name: field for field in our_models()[model]._meta.get_fields()}
    if attribute in fields:
        other = fields[attribute].related_model
        return other.__name__ if isinstance(other, type) and other.__name__ in our_models() else ""
    return "" if attribute in columns(model) | {"values", "values_list", "_meta", "pk"} else model


def named_by(node: ast.AST, namespace: dict[str, Any]) -> Iterator[tuple[ast.expr, str]]:
    """Yield (row or rows, column) for each column that a node sets by name."""
    match node:
        case ast.Assign(targets=targets):
            yield from ((each.value, each.attr) for each in flat(targets) if isinstance(each, ast.Attribute))
        case ast.AugAssign(target=ast.Attribute(value=row, attr=name)):
            yield row, name
        case ast.AnnAssign(target=ast.Attribute(value=row, attr=name)):
            yield row, name
        case ast.Call(func=ast.Name(id="setattr"), args=[row, ast.Constant(value=str(name)), _]):
            yield row, name
        case ast.Call(func=ast.Attribute(value=rows, attr=method), args=arguments, keywords=keywords):
            given = {keyword.arg: keyword.value for keyword in keywords if keyword.arg}
            if method == "update":
                yield from ((rows, name) for name in given)
            listed = [given.get("update_fields"), given.get("defaults") if method == "update_or_create" else None]
            listed += arguments[1:2] if method == "bulk_update" else []
            yield from ((rows, name) for each in listed if each for name in names_in(each, namespace))


def names_in(listed: ast.expr, namespace: dict[str, Any]) -> Iterator[str]:
    """Return the names in a list, a dict's keys, or a constant of the module that is one of these."""
    if isinstance(listed, ast.Name):
        yield from (name for name in namespace.get(listed.id, ()) if isinstance(name, str))
    parts = listed.keys if isinstance(listed, ast.Dict) else getattr(listed, "elts", [])
    yield from (str(part.value) for part in parts if isinstance(part, ast.Constant))


def of(module: str) -> Module:
    return Module(program.path(module), program.tree(module), vars(program.imported(module)))
