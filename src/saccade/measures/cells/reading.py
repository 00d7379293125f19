"""A reader of cells: it follows what their values are, statement by statement, and runs nothing.

Every branch is taken once, and so is the body of a loop; a function counts where it is called, with
what it is given; what cannot be reached (`if False`, a handler of exceptions) does not count.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from typing import Literal

from saccade.measures.cells.calls import Calls
from saccade.measures.cells.values import CONSTANT, NUMBER, TEXT, UNKNOWN, Value, joined
from saccade.measures.cells.words import IMAGE_NAME, USUAL

Event = Literal["cut", "shown", "pictured", "marked", "numeric", "arithmetic"]
"""What a cell did: took a part of an image; showed or kept a part, or another image; drew; printed
or plotted numbers; computed, whether or not anything came of it."""

MAX_STEPS = 50_000
"""Parts of a cell that are looked at; what follows is not."""
MAX_DEPTH = 100
"""Levels of nesting, and of functions that call each other."""
MAX_CALLS = 8


class TooMuch(Exception):
    """The cell is larger than what is looked at."""


class Reader:
    """What a notebook knows, from its cells; `names` are its variables."""

    def __init__(self, names: dict[str, Value]) -> None:
        self.names = names
        self.done: set[Event] = set()
        self._steps = self._depth = self._calls = 0
        self._returned: list[Value] = []
        self._library = Calls(self)

    def run(self, tree: ast.Module) -> None:
        """Follow a cell; its last expression is shown, as in a notebook."""
        *others, last = tree.body or [ast.Pass()]
        self.block(others)
        if isinstance(last, ast.Expr):
            self.show(self.value(last.value), last=True)
        else:
            self.block([last])

    def show(self, value: Value, *, last: bool = False) -> None:
        """A value is shown to the model: displayed, or printed as the last one of a cell."""
        if value.is_image:
            self.done.add("shown" if value.nature == "part" else "pictured")
        elif last:
            self.say(value)

    def say(self, value: Value) -> None:
        """A value is printed."""
        for one in value.parts or (value,):
            if one.is_numeric:
                self.done.add("numeric")

    # Statements.

    def block(self, body: Sequence[ast.stmt]) -> bool:
        """Follow statements; returns whether something ends the function before they end."""
        for statement in body:
            self._step()
            self._depth += 1
            self._statement(statement)
            self._depth -= 1
            if isinstance(statement, ast.Return | ast.Raise | ast.Break | ast.Continue):
                return True
        return False

    def _statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Import(names=names):
                for alias in names:
                    bound = alias.asname or alias.name.split(".")[0]
                    self.names[bound] = Value("module", path=alias.name if alias.asname else bound)
            case ast.ImportFrom(module=module, names=names):
                for alias in names:
                    path = f"{module or ''}.{alias.name}"
                    self.names[alias.asname or alias.name] = Value("module", path=path)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                self.names[name] = Value("function", body=node)
            case ast.Expr(value=value):
                self.value(value)
            case ast.Assign(targets=targets, value=value):
                found = self.value(value)
                for target in targets:
                    self.bind(target, found)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self.bind(target, self.value(value))
            case ast.AugAssign(target=target, value=value):
                self.bind(target, self._computed([self.value(target), self.value(value)], node.op))
            case ast.Return(value=value):
                self._returned.append(self.value(value) if value else UNKNOWN)
            case ast.Assert(test=test):
                self.value(test)
            case ast.Delete() | ast.Raise():
                pass
            case _:
                self._compound(node)

    def _compound(self, node: ast.stmt) -> None:
        match node:
            case ast.If(test=test, body=body, orelse=orelse):
                self.value(test)
                fixed = test.value if isinstance(test, ast.Constant) else None
                if not isinstance(test, ast.Constant) or fixed:
                    self.block(body)
                if not fixed:
                    self.block(orelse)
            case ast.For(target=target, iter=iterable) | ast.AsyncFor(target=target, iter=iterable):
                self.bind(target, self.value(iterable).one)
                self.block(node.body)
                self.block(node.orelse)
            case ast.While(test=test, body=body, orelse=orelse):
                self.value(test)
                if not (isinstance(test, ast.Constant) and not test.value):
                    self.block(body)
                self.block(orelse)
            case ast.With(items=items, body=body) | ast.AsyncWith(items=items, body=body):
                for item in items:
                    held = self.value(item.context_expr)
                    if item.optional_vars is not None:
                        self.bind(item.optional_vars, held)
                self.block(body)
            case ast.Try() | ast.TryStar():
                for body in (node.body, node.orelse, node.finalbody):
                    self.block(body)
            case ast.Match(subject=subject, cases=cases):
                self.value(subject)
                for case in cases:
                    self.block(case.body)
            case _:
                pass

    def bind(self, target: ast.expr, value: Value) -> None:
        """Give a value to a name, or to the names of a tuple."""
        match target:
            case ast.Name(id=name):
                self.names[name] = value
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                known = len(value.parts) == len(targets)
                values = value.parts if known else [value.one] * len(targets)
                for one, held in zip(targets, values, strict=True):
                    self.bind(one, held)
            case ast.Starred(value=inner):
                self.bind(inner, value)
            case ast.Subscript(value=owner, slice=place):
                held = self.value(owner)
                # A region of an image that takes one colour is a filled box.
                painted = held.is_image and not held.many and _is_region(place)
                if painted and not value.is_image:
                    self.done.add("marked")
            case _:
                pass

    # Expressions.

    def value(self, node: ast.expr) -> Value:
        """What is known of the value of an expression."""
        self._step()
        self._depth += 1
        found = self._value(node)
        self._depth -= 1
        return found

    def _value(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant(value=value):
                number = isinstance(value, int | float | complex) and not isinstance(value, bool)
                return CONSTANT if number else TEXT if isinstance(value, str) else UNKNOWN
            case ast.Name(id=name):
                return self._named(name)
            case ast.Attribute(value=owner, attr=name):
                return self._library.attribute(self.value(owner), name)
            case ast.Call():
                return self._library.call(node)
            case ast.Subscript(value=owner, slice=place):
                return self._subscript(self.value(owner), place)
            case ast.BinOp(left=left, op=op, right=right):
                return self._computed([self.value(left), self.value(right)], op)
            case ast.UnaryOp(operand=operand):
                return self.value(operand)
            case ast.Compare(left=left, comparators=others):
                return self._computed([self.value(one) for one in (left, *others)], None)
            case ast.Tuple(elts=elts) | ast.List(elts=elts) | ast.Set(elts=elts):
                values = tuple(self.value(one) for one in elts)
                return joined(values)._replace(many=True, parts=values)
            case ast.JoinedStr(values=parts):
                values = tuple(self.value(part) for part in parts)
                numeric = any(value.is_numeric for value in values)
                return CONSTANT if numeric else TEXT
            case ast.FormattedValue(value=value) | ast.Await(value=value):
                return self.value(value)
            case ast.Lambda():
                return Value("function", body=node)
            case _:
                return self._wider(node)

    def _wider(self, node: ast.expr) -> Value:
        match node:
            case ast.BoolOp(values=values):
                return joined([self.value(one) for one in values])
            case ast.IfExp(test=test, body=body, orelse=orelse):
                self.value(test)
                return joined([self.value(body), self.value(orelse)])
            case ast.NamedExpr(target=target, value=value):
                found = self.value(value)
                self.bind(target, found)
                return found
            case ast.Dict(keys=keys, values=values):
                for key in keys:
                    if key is not None:
                        self.value(key)
                return joined([self.value(one) for one in values])._replace(many=True)
            case ast.ListComp(elt=elt) | ast.SetComp(elt=elt) | ast.GeneratorExp(elt=elt):
                self._generators(node.generators)
                return self.value(elt)._replace(many=True)
            case ast.DictComp(key=key, value=value):
                self._generators(node.generators)
                self.value(key)
                return self.value(value)._replace(many=True)
            case ast.Starred(value=value):
                return self.value(value)
            case _:
                return UNKNOWN

    def _generators(self, generators: Iterable[ast.comprehension]) -> None:
        for one in generators:
            self.bind(one.target, self.value(one.iter).one)
            for test in one.ifs:
                self.value(test)

    def _named(self, name: str) -> Value:
        if name in self.names:
            return self.names[name]
        if name in USUAL:
            return Value("module", path=USUAL[name])
        return Value("image") if IMAGE_NAME.fullmatch(name) else UNKNOWN

    def _subscript(self, owner: Value, place: ast.expr) -> Value:
        index = self.value(place) if not isinstance(place, ast.Slice) else UNKNOWN
        if owner.many:
            return owner if isinstance(place, ast.Slice) else owner.one
        if not owner.is_image:
            return owner
        if _is_region(place):
            self.done.add("cut")
            return Value("part")
        axes = place.elts if isinstance(place, ast.Tuple) else [place]
        whole = any(isinstance(axis, ast.Constant) and axis.value in (..., None) for axis in axes)
        if whole or index.is_image or all(isinstance(axis, ast.Slice) for axis in axes[:2]):
            return owner  # a channel, or what a mask picks
        return CONSTANT._replace(many=True)  # a pixel, or a line of them

    def _computed(self, values: Sequence[Value], op: ast.operator | None) -> Value:
        """What an operator gives: pixels of pixels, text of text, else a number."""
        found = joined(values)
        if any(value.is_image for value in values):
            return found._replace(many=False)
        if any(value.nature == "text" for value in values):
            told = isinstance(op, ast.Mod) and any(value.is_numeric for value in values)
            return CONSTANT if told else TEXT
        if isinstance(op, ast.Add) and any(value.many for value in values):
            return found
        if op is None and not any(value.is_numeric for value in values):
            return UNKNOWN
        self.done.add("arithmetic")
        return NUMBER

    # Functions of the cells themselves.

    def apply(self, function: Value, given: Sequence[Value], named: dict[str, Value]) -> Value:
        """What a function that a cell defines returns, from what it is given."""
        if self._calls >= MAX_CALLS:
            return UNKNOWN
        node = function.body
        assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        wanted = [one.arg for one in (*node.args.posonlyargs, *node.args.args)]
        outer, returned = self.names, self._returned
        self.names, self._returned = outer | dict(zip(wanted, given, strict=False)) | named, []
        for name in wanted[len(given) :]:
            if name not in named:
                self.names[name] = UNKNOWN
        self._calls += 1
        try:
            if isinstance(node, ast.Lambda):
                return self.value(node.body)
            self.block(node.body)
            return self._returned[0] if len(self._returned) == 1 else joined(self._returned)
        finally:
            self._calls -= 1
            self.names, self._returned = outer, returned

    def _step(self) -> None:
        self._steps += 1
        if self._steps > MAX_STEPS or self._depth > MAX_DEPTH:
            raise TooMuch


def _is_region(place: ast.expr) -> bool:
    """Whether an index takes a part of the rows or columns, and not single ones of them."""
    axes = (place.elts if isinstance(place, ast.Tuple) else [place])[:2]
    bounded = [
        isinstance(axis, ast.Slice) and bool(axis.lower or axis.upper or axis.step) for axis in axes
    ]
    return any(bounded) and all(isinstance(axis, ast.Slice) for axis in axes)
