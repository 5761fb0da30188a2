"""The little language that all languages are lowered to: expressions, calls, scopes and what is assigned in them."""

from collections.abc import Callable
from typing import NamedTuple


class Literal(NamedTuple):
    """A text, octets, a number, a truth value, or nothing."""

    value: str | bytes | int | float | bool | None


class Ref(NamedTuple):
    """A bare name."""

    name: str


class Member(NamedTuple):
    """`base.name`, whatever the language writes between the two."""

    base: "Expr"
    name: str


class Item(NamedTuple):
    """`base[key]`."""

    base: "Expr"
    key: "Expr"


class Join(NamedTuple):
    """Two operands and an operator."""

    operator: str
    left: "Expr"
    right: "Expr"


class Text(NamedTuple):
    """A text made of parts: an interpolated string."""

    parts: tuple["Expr", ...]


class Choice(NamedTuple):
    """One of several, at run time."""

    options: tuple["Expr", ...]


class Sequence(NamedTuple):
    """A list, tuple, set or array. `length` is an expression where only its size is told."""

    items: tuple["Expr", ...]
    length: "Expr | None" = None


class Table(NamedTuple):
    """A dictionary or an object: pairs of key and value."""

    pairs: tuple[tuple["Expr", "Expr"], ...]


class Generic(NamedTuple):
    """A type or function with type arguments."""

    base: "Expr"
    arguments: tuple["Expr", ...]


class Module(NamedTuple):
    """What a call such as `require("x")` gives: a module by its name."""

    name: str


class Nothing(NamedTuple):
    """An expression that says nothing."""


class Call:
    """A call, a constructor, or a value made by naming its fields. Two calls are the same only if they are one."""

    __slots__ = ("at", "branch", "end", "function", "items", "line", "made", "named", "scope", "start")

    def __init__(self, function: "Expr", items: "list[Expr]", named: "dict[str, Expr]", scope: "Scope") -> None:
        self.function, self.items, self.named, self.scope = function, items, named, scope
        self.start = self.end = self.line = 0
        self.at = 0
        self.branch: Branch = ()
        self.made = False


Expr = (
    Literal | Ref | Member | Item | Join | Text | Choice | Sequence | Table | Generic | Module | Nothing | Call
)  # fmt: skip
Branch = tuple[tuple[int, int], ...]
"""The conditions a place stands under: node and arm, outermost first."""
NOTHING = Nothing()


class Assignment(NamedTuple):
    """`name = value` at an octet. `part` is the index where several names share one value; `adds` is `+=`."""

    at: int
    branch: Branch
    value: Expr
    scope: "Scope"
    part: int | None = None
    adds: bool = False


class Parameter(NamedTuple):
    """A parameter of a function."""

    name: str
    default: Expr | None = None
    kind: Expr | None = None


class Scope:
    """A file, class or function. Its body is lowered when it is first asked for."""

    def __init__(self, name: str, parent: "Scope | None", *, kind: str) -> None:
        self.name, self.parent, self.kind = name, parent, kind
        self.parameters: list[Parameter] = []
        self.assigned: dict[str, list[Assignment]] = {}
        self.kinds: dict[str, Expr] = {}
        self.returned: list[Expr] = []
        self.calls: list[Call] = []
        self.stored: list[tuple[Expr, str, Expr, int]] = []
        """Properties set on objects: object, property, value, octet."""
        self.members: dict[str, Scope] = {}
        self.bases: list[Expr] = []
        self.imports: dict[str, str] = {}
        self.conditions: dict[int, Expr] = {}
        """What decides the branches of this scope, by their node."""
        self.outer: set[str] = set()
        """Names that Python says are of the file."""
        self.span = (0, 0)
        self.test: bool = parent.test if parent else False
        self.pending: Callable[[], None] | None = None

    def ready(self) -> "Scope":
        """Return the scope with its body lowered."""
        if self.pending:
            work, self.pending = self.pending, None
            work()
        return self

    def holder(self) -> "Scope | None":
        """Return the class that this scope stands in, or is."""
        scope: Scope | None = self
        while scope and scope.kind != "class":
            scope = scope.parent
        return scope


class Import(NamedTuple):
    """What a file imports: the qualified name, the name it has here ("*" for all in it), the line."""

    name: str
    alias: str
    line: int


class Source(NamedTuple):
    """A file as lowered: its outermost scope, all its scopes, its imports, and whether the grammar lost its way."""

    top: Scope
    scopes: list[Scope]
    imports: list[Import]
    broken: bool
