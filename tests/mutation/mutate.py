"""Every single change of a backward function that the operators of `changes` make.

The operators and the key know Python and NumPy, and nothing of how causes are found.
"""

from __future__ import annotations

import ast
import copy
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256

from tests.mutation.changes import OPERATORS
from tests.mutation.key import Codes, codes
from tests.mutation.site import Site, Values
from tests.mutation.syntax import gradients_in

HELD_OUT = "heldout"
OPENED = "opened"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One changed file; `accepted` are the codes that name the change rightly.

    `alike` are those that name another change which gives the same numbers.  `facts` are codes
    that are true of one gradient's numbers, whatever the change was: it is zero, it is the right
    one but for its sign or a constant.  `set_name` is the set of its layer, "" for the first ones.
    """

    layer: str
    line: int
    kind: str
    before: str
    after: str
    text: str
    accepted: Codes
    alike: Codes = frozenset()
    facts: Mapping[str, Codes] = field(default_factory=dict, compare=False)
    set_name: str = ""

    @property
    def identity(self) -> str:
        return f"{self.layer}:{self.line}:{self.kind}:{self.before} -> {self.after}"

    @property
    def half(self) -> str:
        """ "seen" while the causes were written, "unseen" until they were finished.

        The layers that were added after both are sets of their own: "opened" are those that were
        looked at since, "heldout" those that are to be judged once.
        """
        if self.set_name:
            return self.set_name
        digest = sha256(self.identity.encode()).digest()
        return "seen" if digest[0] % 2 else "unseen"

    def right(self, gradient: str) -> Codes:
        return self.accepted | self.facts.get(gradient, codes())


def mutants(layer: str, text: str, values: Values) -> list[Mutant]:
    """All mutants of the function `backward` in `text`, without repetitions.

    `values` are its local variables at the end of one run.
    """
    tree = ast.parse(text)
    whole = ast.unparse(tree)
    function = next(
        n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == "backward"
    )
    found: dict[str, Mutant] = {}
    gradients = gradients_in(function)
    for target in ast.walk(function):
        if target is function or isinstance(target, ast.arguments | ast.arg):
            continue
        site = Site(target, _parents(function, target), values, gradients)
        for operator in OPERATORS:
            for new, accepted, kind in operator(site):
                changed = _replaced(tree, site.parent, target, new)
                if changed is None or changed == whole:
                    continue
                if changed in found:  # two operators make one change: either's words are right
                    both = found[changed].accepted | accepted
                    found[changed] = replace(found[changed], accepted=both)
                    continue
                line = getattr(target, "lineno", getattr(site.parent, "lineno", 0))
                before, after = _shown(target), "nothing" if new is None else _shown(new)
                found[changed] = Mutant(layer, line, kind, before, after, changed, accepted)
    return list(found.values())


def chosen(found: Sequence[Mutant], limit: int, seed: int) -> list[Mutant]:
    """At most `limit` of the mutants of a layer, of every kind in turn, in their own order.

    Which of a kind are taken is decided by a hash of the seed and the change.
    """
    kinds: dict[str, list[Mutant]] = defaultdict(list)
    for mutant in found:
        kinds[mutant.kind].append(mutant)

    def rank(mutant: Mutant) -> bytes:
        return sha256(f"{seed} {mutant.identity} {mutant.text}".encode()).digest()

    queues = [sorted(kinds[kind], key=rank) for kind in sorted(kinds)]
    taken: set[int] = set()
    for place in range(max(map(len, queues), default=0)):
        for queue in queues:
            if place < len(queue) and len(taken) < limit:
                taken.add(id(queue[place]))
    return [m for m in found if id(m) in taken]


def _shown(node: ast.AST) -> str:
    try:
        return ast.unparse(node)
    except Exception:
        return type(node).__name__


def _parents(root: ast.AST, target: ast.AST) -> list[ast.AST]:
    """The chain from `root` to the parent of `target`."""

    def search(node: ast.AST, chain: list[ast.AST]) -> list[ast.AST] | None:
        for child in ast.iter_child_nodes(node):
            if child is target:
                return [*chain, node]
            below = search(child, [*chain, node])
            if below is not None:
                return below
        return None

    return search(root, []) or [root]


def _replaced(tree: ast.Module, parent: ast.AST, old: ast.AST, new: ast.AST | None) -> str | None:
    """The text of a tree with another node in a place; the tree is left as it was."""
    put = ast.fix_missing_locations(ast.Pass() if new is None else copy.deepcopy(new))
    with _swapped(parent, old, put):
        try:
            text = ast.unparse(tree)
            ast.parse(text)
        except (SyntaxError, AttributeError, TypeError, ValueError):
            return None
    return text


@contextmanager
def _swapped(parent: ast.AST, old: ast.AST, new: ast.AST) -> Iterator[None]:
    """For a while another node in the place of a child; a copy of the tree for each takes long."""
    for name, held in ast.iter_fields(parent):
        siblings = held if isinstance(held, list) else []
        places = [k for k, each in enumerate(siblings) if each is old]
        if held is old:
            setattr(parent, name, new)
            yield
            setattr(parent, name, old)
            return
        if places:
            siblings[places[0]] = new
            yield
            siblings[places[0]] = old
            return
    raise ValueError("no child of this node")
