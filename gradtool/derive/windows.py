"""Contractions over windows: convolutions, their transposes, and pooling."""

from __future__ import annotations

from collections.abc import Callable

from gradtool.derive.pieces import Piece, Slots
from gradtool.ir.poly import Atom, Term

AtomPiece = Callable[[Atom, Slots], Piece]


def window_piece(term: Term, slots: Slots, atom_piece: AtomPiece) -> Piece | None:
    """The array of a contraction whose accesses are windows; None when it is none."""
    return None
