"""Syntax trees of nine languages to the little language of `tree`. One table of node types serves all grammars."""

from bisect import bisect_left
from collections.abc import Callable

from tree_sitter import Node

from keystrand.formats.source import (
    lowering_binding,
    lowering_calls,
    lowering_expressions,
    lowering_imports,
    lowering_literals,
    lowering_scopes,
)
from keystrand.formats.source.tree import NOTHING, Assignment, Branch, Expr, Import, Scope

MAX_DEPTH = 120
"""Nodes within nodes that are followed: what is nested more deeply was written by a program."""


class Lowering:
    """Lowers one file. A function's body waits until something asks for it (`Scope.ready`)."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.top = self.scope = Scope("", None, kind="file")
        self.scopes = [self.top]
        self.imports: list[Import] = []
        self.branch: Branch = ()
        self.depth = 0
        self.too_deep = False

    def text(self, node: Node | None) -> str:
        """Return the text of `node`."""
        return self.content[node.start_byte : node.end_byte].decode("utf-8", "replace") if node else ""

    def expr(self, node: Node | None) -> Expr:
        """Lower `node`, and return what it stands for."""
        if node is None:
            return NOTHING
        if self.depth >= MAX_DEPTH:
            self.too_deep = True
            return NOTHING
        self.depth += 1
        try:
            return _LOWERINGS.get(node.type, _each)(self, node)
        finally:
            self.depth -= 1

    def inside(self, branch: tuple[int, int], node: Node | None) -> Expr:
        """Lower `node` as one arm of a condition."""
        kept, self.branch = self.branch, (*self.branch, branch)
        try:
            return self.expr(node)
        finally:
            self.branch = kept

    def open(self, scope: Scope, node: Node) -> None:
        """Enter a scope into the list of all."""
        scope.span = (node.start_byte, node.end_byte)
        self.scopes.append(scope)

    def within(self, scope: Scope, work: Callable[[], None]) -> None:
        """Do `work` in `scope`."""
        kept = self.scope, self.branch, self.depth
        self.scope, self.branch, self.depth = scope, (), min(self.depth, MAX_DEPTH // 2)
        try:
            work()
        finally:
            self.scope, self.branch, self.depth = kept

    def assign(self, name: str, value: Expr, at: int, *, part: int | None = None, adds: bool = False,
               declares: bool = False) -> None:  # fmt: skip
        """Note that `name` has `value` from octet `at` on."""
        home = self.scope
        if not declares:
            outer: Scope | None = home
            while outer and name not in outer.assigned and name not in outer.kinds:
                outer = outer.parent
            home = outer or home
        elif name in home.outer:
            home = self.top
        branch = self.branch if home is self.scope else (*self.branch, (at, 0))
        home.assigned.setdefault(name, []).append(Assignment(at, branch, value, self.scope, part, adds))


def _each(low: Lowering, node: Node) -> Expr:
    """Lower all children. A node around a single one stands for what that one does."""
    children = node.named_children
    if len(children) == 1:
        return low.expr(children[0])
    for child in children:
        low.expr(child)
    return NOTHING


_LOWERINGS: dict[str, Callable[[Lowering, Node], Expr]] = {
    **lowering_expressions.LOWERINGS,
    **lowering_calls.LOWERINGS,
    **lowering_binding.LOWERINGS,
    **lowering_scopes.LOWERINGS,
    **lowering_imports.LOWERINGS,
    **lowering_literals.LOWERINGS,
}


def touched(positions: list[int], span: tuple[int, int]) -> bool:
    """Return whether any of the sorted `positions` lies within `span`."""
    at = bisect_left(positions, span[0])
    return at < len(positions) and positions[at] < span[1]
