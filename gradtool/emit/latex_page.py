"""The frame of a LaTeX document: what stands around the sections of the layers."""

from __future__ import annotations

from collections.abc import Sequence

_LEGEND = (
    "Fractions, functions and $\\odot$ act entry by entry, with broadcasting; juxtaposed arrays "
    "are multiplied as matrices (over the last two axes), and a vector on the left is a row. "
    "Indices count from 0 and run over the size whose letter they are ($n$ and $n'$ over $N$). "
    "A colon keeps an axis, $\\bullet$ is a new axis of size one, $[a_{n}]_{n}$ is the array "
    "with the entries $a_{n}$, and $\\mathbf{1}[\\,\\cdot\\,]$ is 1 where the condition holds "
    "and 0 elsewhere."
)
_HEAD = (
    "\\documentclass{article}\n"
    "\\usepackage{amsmath}\n"
    "\\allowdisplaybreaks\n"
    "\\setlength{\\parindent}{0pt}\n"
    "\\setlength{\\textwidth}{17cm}\n"
    "\\setlength{\\oddsidemargin}{-5mm}\n"
    "\\begin{document}\n"
)
_FOOT = f"\n\\subsection*{{Notation}}\n{_LEGEND}\n\\end{{document}}\n"


def document(sections: str) -> str:
    """Sections as a document that compiles by itself, with the legend of the notation."""
    return f"{_HEAD}{sections}{_FOOT}"


def joined(documents: Sequence[str]) -> str:
    """Several documents of `document` as one."""
    return document("\n".join(d.removeprefix(_HEAD).removesuffix(_FOOT) for d in documents))
