"""Names as LaTeX: W1 is a W with an index, xhat has a hat, gamma is Greek; no two look alike."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

_GREEK = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "zeta",
    "eta",
    "theta",
    "iota",
    "kappa",
    "lambda",
    "mu",
    "nu",
    "xi",
    "pi",
    "rho",
    "sigma",
    "tau",
    "upsilon",
    "phi",
    "chi",
    "psi",
    "omega",
]
_CAPITAL = [
    "Gamma",
    "Delta",
    "Theta",
    "Lambda",
    "Xi",
    "Pi",
    "Sigma",
    "Upsilon",
    "Phi",
    "Psi",
    "Omega",
]
_COMMANDS = {name: f"\\{name}" for name in (*_GREEK, *_CAPITAL)}
_COMMANDS |= {"eps": "\\epsilon", "lam": "\\lambda", "ell": "\\ell"}
_ACCENTS = {"hat": "\\hat", "bar": "\\bar", "tilde": "\\tilde"}
_SPECIAL = {
    "\\": "\\textbackslash{}",
    "{": "\\{",
    "}": "\\}",
    "_": "\\_",
    "$": "\\$",
    "&": "\\&",
    "#": "\\#",
    "%": "\\%",
    "^": "\\textasciicircum{}",
    "~": "\\textasciitilde{}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    "|": "\\textbar{}",
    "–": "--",
    "—": "---",
    "−": "$-$",
    "×": "$\\times$",
    "·": "$\\cdot$",
    "…": "\\dots{}",
    "’": "'",
    "‘": "`",
    "“": "``",
    "”": "''",
    "≥": "$\\ge$",
    "≤": "$\\le$",
    "∂": "$\\partial$",
    "Σ": "$\\sum$",
    "½": "$\\frac{1}{2}$",
    "²": "$^{2}$",
    "‖": "$\\Vert$",
    "∈": "$\\in$",
    "ᵀ": "$^{\\top}$",
    "→": "$\\to$",
    "√": "$\\surd$",
    "≠": "$\\ne$",
    "⊙": "$\\odot$",
}


def latex_names(names: Iterable[str]) -> dict[str, str]:
    """LaTeX for every name; the second of two names that would look alike is spelled out."""
    result: dict[str, str] = {}
    seen: set[str] = set()
    for name in names:
        if name in result:
            continue
        shown = latex_name(name)
        if shown in seen:
            shown = _spelled(name)
        seen.add(shown)
        result[name] = shown
    return result


def latex_name(name: str) -> str:
    """One name as people print it: ``\\mu_{B}``, ``\\hat{x}``, ``W_{1}``, ``\\mathrm{std}``."""
    head, *rest = name.split("_")
    letters = head.rstrip("0123456789")
    if letters != head:
        rest = [head[len(letters) :], *rest]
        head = letters
    accent = ""
    if rest and rest[-1] in _ACCENTS and head:
        accent = rest.pop()
    elif not accent:
        accent = next((a for a in _ACCENTS if head.endswith(a) and _short(head[: -len(a)])), "")
        head = head.removesuffix(accent)
    if not head or not all(rest):  # begins or ends with _, or holds two in a row
        return _spelled(name)
    text = _word(head)
    if accent:
        text = f"{_ACCENTS[accent]}{{{text}}}"
    return f"{text}_{{{','.join(_word(part) for part in rest)}}}" if rest else text


def text_latex(text: str) -> str:
    """Running text with everything escaped that LaTeX would read as a command."""
    return "".join(_character(c) for c in text)


def _short(word: str) -> bool:
    return len(word) == 1 or word in _COMMANDS


def _word(word: str) -> str:
    greek = _greek(word)
    if greek:
        return greek
    if word.isdigit() or (len(word) == 1 and word.isascii()):
        return word
    return _spelled(word)


def _greek(word: str) -> str:
    if len(word) == 1 and not word.isascii():
        parts = unicodedata.name(word, "").split()  # GREEK SMALL LETTER SIGMA
        if parts[:1] == ["GREEK"] and len(parts) == 4 and parts[2] == "LETTER":
            spelled = parts[3].replace("LAMDA", "LAMBDA").lower()
            return _COMMANDS.get(spelled.title() if parts[1] == "CAPITAL" else spelled, "")
    return _COMMANDS.get(word, "")


def _spelled(name: str) -> str:
    letters = "".join(_character(c) for c in name)
    return f"\\mathrm{{{letters.replace('$', '')}}}"


def _character(character: str) -> str:
    """A character of running text; one that fonts lack is given by its number."""
    if character in _SPECIAL:
        return _SPECIAL[character]
    if character.isascii():
        return character
    greek = _greek(character)
    if greek:
        return f"${greek}$"
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return plain if plain.isalnum() else f"U+{ord(character):04X}"
