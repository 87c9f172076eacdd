"""Index notation as NumPy."""
from __future__ import annotations
from gradtool.emit.numpy_names import ModuleNames
from gradtool.emit.numpy_steps import Step
from gradtool.ir.errors import UnsupportedError
from gradtool.ir.graph import AnyStatement
from gradtool.ir.tree import Call, Tree, children

def needs_index(tree: Tree) -> bool:
    if isinstance(tree, Call) and tree.op == "indexed":
        return True
    return any(needs_index(c) for c in children(tree))

def indexed_steps(module: ModuleNames, name: str, tree: Tree, statement: AnyStatement | None) -> list[Step]:
    raise UnsupportedError("index notation")
