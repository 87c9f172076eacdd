"""How each word of the vocabulary looks in LaTeX; a word that is not here is a function."""

from __future__ import annotations

from gradtool.emit.latex_arithmetic import (
    show_abs,
    show_add,
    show_div,
    show_expm1,
    show_floordiv,
    show_indicator,
    show_inverse,
    show_log1p,
    show_log_base,
    show_logdet,
    show_matmul,
    show_mul,
    show_neg,
    show_norm,
    show_outer,
    show_pos,
    show_pow,
    show_reciprocal,
    show_solve,
    show_sqrt,
    show_square,
    show_where,
)
from gradtool.emit.latex_axes import (
    show_indexed,
    show_reduction,
    show_transpose,
    show_transpose_entry,
)
from gradtool.emit.latex_entries import (
    show_arange,
    show_arange_entry,
    show_einsum,
    show_einsum_entry,
    show_eye,
    show_filled,
    show_getitem,
    show_getitem_entry,
    show_onehot,
    show_onehot_entry,
    show_shaped,
)
from gradtool.emit.latex_tree import Entry, Rule, Words
from gradtool.ops.registry import vocabulary
from gradtool.ops.scalar import FUNCTIONS

_RULES: dict[str, Rule] = {
    "add": show_add,
    "sub": show_add,
    "neg": show_neg,
    "pos": show_pos,
    "mul": show_mul,
    "div": show_div,
    "floordiv": show_floordiv,
    "pow": show_pow,
    "square": show_square,
    "sqrt": show_sqrt,
    "abs": show_abs,
    "reciprocal": show_reciprocal,
    "log2": show_log_base,
    "log10": show_log_base,
    "log1p": show_log1p,
    "expm1": show_expm1,
    "where": show_where,
    "matmul": show_matmul,
    "dot": show_matmul,
    "outer": show_outer,
    "inv": show_inverse,
    "solve": show_solve,
    "logdet": show_logdet,
    "norm": show_norm,
    "transpose": show_transpose,
    "swapaxes": show_transpose,
    "moveaxis": show_transpose,
    "indexed": show_indexed,
    "getitem": show_getitem,
    "onehot": show_onehot,
    "arange": show_arange,
    "einsum": show_einsum,
    "zeros": show_filled,
    "ones": show_filled,
    "zeros_like": show_filled,
    "ones_like": show_filled,
    "full": show_filled,
    "eye": show_eye,
    "reshape": show_shaped,
    "broadcast_to": show_shaped,
    **dict.fromkeys(
        ("gt", "ge", "lt", "le", "eq", "ne", "logical_and", "logical_or", "logical_not"),
        show_indicator,
    ),
    **dict.fromkeys(
        ("sum", "mean", "max", "min", "argmax", "argmin", "logsumexp", "var", "std"), show_reduction
    ),
}
_ELEMENTWISE = frozenset(
    (
        "add",
        "sub",
        "neg",
        "pos",
        "mul",
        "div",
        "pow",
        "square",
        "sqrt",
        "reciprocal",
        "where",
        "maximum",
        "minimum",
        "clip",
        "relu",
        "leaky_relu",
        "gt",
        "ge",
        "lt",
        "le",
        "eq",
        "ne",
        "logical_and",
        "logical_or",
        "logical_not",
        *FUNCTIONS,
    )
)
_ENTRIES: dict[str, Entry] = {
    "transpose": show_transpose_entry,
    "swapaxes": show_transpose_entry,
    "moveaxis": show_transpose_entry,
    "getitem": show_getitem_entry,
    "onehot": show_onehot_entry,
    "arange": show_arange_entry,
    "einsum": show_einsum_entry,
}


def words() -> Words:
    """Every rule, under every spelling of its word."""
    spellings = {name: getattr(word, "name", name) for name, word in vocabulary().items()}
    spellings |= {name: name for name in _RULES}
    return Words(
        {name: _RULES[word] for name, word in spellings.items() if word in _RULES},
        {name: _ENTRIES[word] for name, word in spellings.items() if word in _ENTRIES},
        {name for name, word in spellings.items() if word in _ELEMENTWISE},
    )
