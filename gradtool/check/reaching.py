"""Code that looks into the process that runs it, and the same code without that.

Whoever holds a frame of what calls him, or finds any object by its type, can change what is seen
of him while he runs.  No layer needs that; so what is right is right without.  What a text puts
together from pieces is not found: this tells code that says what it does.
"""

from __future__ import annotations

import ast
from unicodedata import normalize

_FRAMES = (
    *("_getframe", "_current_frames", "_current_exceptions", "currentframe", "walk_stack"),
    *("getouterframes", "getinnerframes", "walk_tb", "f_back", "f_globals", "f_locals"),
    *("f_builtins", "tb_frame", "gi_frame", "cr_frame", "ag_frame"),
)
_WATCHES = (
    *("getprofile", "setprofile", "gettrace", "settrace", "addaudithook"),
    *("setprofile_all_threads", "settrace_all_threads"),
)
_OBJECTS = ("get_objects", "get_referrers", "get_referents", "__subclasses__")
_MODULES = ("ctypes", "_ctypes", "_testcapi", "_testinternalcapi")
WORDS = frozenset((*_FRAMES, *_WATCHES, *_OBJECTS, *_MODULES))
_ASCII = bytes(range(128))
_USUAL = (b"utf-8", b"utf8", b"ascii", b"latin", b"8859", b"125")
_SPELLED = tuple(word.encode() for word in sorted(WORDS))


def reaches(content: bytes) -> bool:
    """Whether a file has a word by which it could reach what runs it, in a comment, too; or is
    written so that none can be seen: by escapes, or in an encoding that few people use.
    """
    # Python takes a letter of another width for the usual one.
    letters = set(content.translate(None, _ASCII).decode("utf-8", "ignore"))
    if any(normalize("NFKC", one).isascii() for one in letters):
        return True
    if any(word in content for word in _SPELLED):
        return True
    first = b" ".join(content.split(b"\n", 2)[:2])
    unusual = b"coding" in first and not any(name in first.lower() for name in _USUAL)
    return unusual or b"\\u00" in content


class Sealer(ast.NodeTransformer):
    """Gives these words another name, everywhere in a text.

    What is the code's own by such a name stays, and what is the interpreter's is not there.
    """

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        for field, value in ast.iter_fields(node):
            if isinstance(value, str):
                setattr(node, field, _sealed(value, isinstance(node, ast.Constant)))
            elif isinstance(value, list) and all(isinstance(item, str) for item in value):
                setattr(node, field, [_sealed(item, False) for item in value])  # of `global`
            elif isinstance(value, bytes):
                setattr(node, field, _sealed(value.decode("latin-1"), True).encode("latin-1"))
        return node


def _sealed(text: str, constant: bool) -> str:
    """A name, which may have dots; or a constant, which may be the text of code."""
    if constant:
        for word in sorted(WORDS):
            text = text.replace(word, f"{word}_sealed")
        return text
    return ".".join(f"{part}_sealed" if part in WORDS else part for part in text.split("."))
