"""Contractions of two arrays as matrix products, so that BLAS does the work without detours.

``np.einsum`` with a path ends in one large product too, but it first brings both arrays into the
order that `np.tensordot` wants.  Where an axis is shared with the result, or where the arrays are
windows that overlap in memory, a stack of products moves less: of 32x16x32x32 images in 3x3
windows the gradient of the filters takes 19 ms so and 32 ms with einsum, that of the images 27
instead of 57 (float64, one thread).
"""

from __future__ import annotations

from collections.abc import Sequence

from gradtool.emit.array_sizes import volume
from gradtool.emit.numpy_names import ModuleNames
from gradtool.emit.numpy_words import position_tree
from gradtool.ir.dims import Dim, total
from gradtool.ir.index import Tensor
from gradtool.ir.tree import Call, Items, Literal, Name, Tree, call, integer, rebuild
from gradtool.ops.errors import OpError
from gradtool.ops.shape import dim_tree
from gradtool.records import Struct


class _Operand(Struct, frozen=True):
    """An array with a letter for each axis."""

    tree: Tree
    letters: str

    def ordered(self, letters: Sequence[str]) -> Tree:
        """The array with its axes in another order."""
        places = [self.letters.index(c) for c in letters]
        if places == list(range(len(places))):
            return self.tree
        if places == [1, 0]:
            return call("transpose", self.tree)
        return call("transpose", self.tree, Items(tuple(map(integer, places))))


class _Pair(Struct, frozen=True):
    """A contraction ``a, b -> out`` with the letters by their roles."""

    a: _Operand
    b: _Operand
    out: str
    shared: str  # in both and in the result, in the order of the result
    summed: str  # in both only, in the order of a

    def own(self, operand: _Operand) -> str:
        """The letters that only one operand has."""
        return "".join(c for c in operand.letters if c not in self.shared + self.summed)

    @property
    def turned(self) -> _Pair:
        return _Pair(self.b, self.a, self.out, self.shared, self.summed)


def contracted(module: ModuleNames, tree: Tree) -> Tree:
    """The expression with every einsum of two arrays as a matrix product where that is better."""
    new = rebuild(tree, lambda child: contracted(module, child))
    tree = tree if new == tree else new
    if isinstance(tree, Call) and tree.op == "einsum" and len(tree.args) == 3:
        pair = _pair(tree)
        if pair is not None:
            found = (
                _stack(pair)
                or _windowed(module, pair)
                or _windowed(module, pair.turned)
                or _flat(module, pair)
            )
            return found if found is not None else tree
    return tree


def _pair(tree: Call) -> _Pair | None:
    pattern = tree.args[0]
    if not isinstance(pattern, Literal) or not isinstance(pattern.value, str):
        return None
    inputs, _, out = pattern.value.replace(" ", "").partition("->")
    first, _, second = inputs.partition(",")
    if "." in inputs or any(len(set(part)) != len(part) for part in (first, second, out)):
        return None
    both = set(first) & set(second)
    if set(out) != (set(first) | set(second)) - (both - set(out)):
        return None  # a letter of one array that is summed
    shared = "".join(c for c in out if c in both)
    summed = "".join(c for c in first if c in both and c not in out)
    if not summed:
        return None
    return _Pair(_Operand(tree.args[1], first), _Operand(tree.args[2], second), out, shared, summed)


def _stack(pair: _Pair) -> Tree | None:
    """One product, or a stack of products over leading axes that both arrays and the result have.

    Only where every matrix has one of its two axes contiguous, which BLAS needs.
    """
    left, right = pair.own(pair.a), pair.own(pair.b)
    if len(pair.summed) != 1 or len(left) != 1 or len(right) != 1:
        return None
    if pair.a.letters[-1] in pair.shared or pair.b.letters[-1] in pair.shared:
        return None
    if pair.out == pair.shared + left + right:
        x = pair.a.ordered(pair.shared + left + pair.summed)
        y = pair.b.ordered(pair.shared + pair.summed + right)
    elif pair.out == pair.shared + right + left:
        x = pair.b.ordered(pair.shared + right + pair.summed)
        y = pair.a.ordered(pair.shared + pair.summed + left)
    else:
        return None
    return call("matmul", x, y)


def _windowed(module: ModuleNames, pair: _Pair) -> Tree | None:
    """Images or windows (`pair.b`) against another array, a matrix product for each image.

    Windows are copied image by image in the order of their memory, not in the order of one
    large product.
    """
    windows, other = pair.b, pair.a
    if pair.shared:
        return None
    slides = isinstance(windows.tree, Name) and windows.tree.id in module.windows
    try:
        sizes = dict(zip(windows.letters, module.shape(windows.tree), strict=True))
        sizes |= dict(zip(other.letters, module.shape(other.tree), strict=True))
    except OpError:
        return None
    image, left, right = windows.letters[0], pair.own(other), pair.own(windows)
    summed = "".join(c for c in windows.letters if c in pair.summed)
    shape = Items(tuple(dim_tree(sizes[c]) for c in pair.out))
    if image in right:
        rest = right.replace(image, "")
        if pair.out != image + left + rest:
            return None
        matrix = _reshaped(other.ordered(left + summed), (left, summed), sizes)
        if slides:
            stack = _columns(module, windows, (image, summed, rest), sizes)
        elif windows.letters == image + summed + rest and rest:
            stack = _reshaped(windows.tree, (image, summed, rest), sizes)  # without a copy
        else:
            return None
        whole = call("matmul", matrix, stack)
        return whole if len(left) == len(rest) == 1 else call("reshape", whole, shape)
    inner = summed.replace(image, "")
    if not slides or pair.out != left + right or image not in other.letters or not inner:
        return None
    first = _reshaped(other.ordered(image + left + inner), (image, left, inner), sizes)
    stack = _columns(module, windows, (image, right, inner), sizes)
    second = call("transpose", stack, Items((integer(0), integer(2), integer(1))))
    total = Call("sum", (call("matmul", first, second),), (("axis", integer(0)),))
    return call("reshape", total, shape)


def _flat(module: ModuleNames, pair: _Pair) -> Tree | None:
    """One product over several summed axes: ``X.reshape(N * T, D).T @ dY.reshape(N * T, C)``.

    The larger array keeps the order of its memory, so that at most the smaller one is copied.
    (64x32x256 with 64x32x1024 in float64, one thread: 15 ms, and 18 with einsum.)
    """
    left, right = pair.own(pair.a), pair.own(pair.b)
    if pair.shared or len(pair.summed) < 2 or not left or not right:
        return None
    if pair.out not in (left + right, right + left):
        return None
    if any(isinstance(o.tree, Name) and o.tree.id in module.windows for o in (pair.a, pair.b)):
        return None
    try:
        shapes = [module.shape(operand.tree) for operand in (pair.a, pair.b)]
    except OpError:
        return None
    sizes = dict(zip(pair.a.letters + pair.b.letters, (*shapes[0], *shapes[1]), strict=True))
    large = pair.a if volume(module, shapes[0]) > volume(module, shapes[1]) else pair.b
    summed = "".join(c for c in large.letters if c in pair.summed)
    if summed not in large.letters:
        return None

    def matrix(operand: _Operand, own: str, rows: str) -> Tree:
        """The array as a matrix with the group `rows` first; transposed rather than copied."""
        groups = (own, summed) if operand.letters.startswith(own) else (summed, own)
        shape = Items(tuple(dim_tree(total(sizes[c] for c in group)) for group in groups))
        made = call("reshape", operand.ordered("".join(groups)), shape)
        return made if groups[0] == rows else call("transpose", made)

    if pair.out == left + right:
        whole = call("matmul", matrix(pair.a, left, left), matrix(pair.b, right, summed))
    else:
        whole = call("matmul", matrix(pair.b, right, right), matrix(pair.a, left, summed))
    if len(left) == len(right) == 1:
        return whole
    return call("reshape", whole, Items(tuple(dim_tree(sizes[c]) for c in pair.out)))


def _columns(
    module: ModuleNames, windows: _Operand, groups: Sequence[str], sizes: dict[str, Dim]
) -> Tree:
    """The windows as a matrix for each image, under a name: both passes need the same copy."""
    assert isinstance(windows.tree, Name)
    tree = position_tree(_reshaped(windows.ordered("".join(groups)), groups, sizes), module)
    name = module.made.get(tree)
    if name is None:
        name = module.fresh(windows.tree.id.replace("_windows", "_columns"))
        module.made[tree] = name
        shape = [total(sizes[c] for c in group) for group in groups]
        module.define(Tensor(name, tuple(shape)))
    return Name(name)


def _reshaped(tree: Tree, groups: Sequence[str], sizes: dict[str, Dim]) -> Tree:
    """The array with each group of neighbouring axes as one axis."""
    if all(len(group) == 1 for group in groups):
        return tree
    entries: list[Tree] = []
    for number, group in enumerate(groups):
        size = total(sizes[c] for c in group)
        last = number == len(groups) - 1
        entries.append(integer(-1) if last and len(group) > 1 else dim_tree(size))
    return call("reshape", tree, Items(tuple(entries)))
