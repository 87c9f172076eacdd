"""Every kind of finding once: a stable code, its name, how grave it is, and what to do."""

from __future__ import annotations

from typing import Literal

from gradtool.records import Struct

Level = Literal["error", "warning", "note"]


class Rule(Struct, frozen=True):
    """One kind of finding.

    Attributes:
        code: never changes its meaning.
        name: for people who filter by words.
        level: "error" costs the verdict; "warning" and "note" do not.
        about: one sentence on what was found.
        help: one sentence on what to do.
    """

    code: str
    name: str
    level: Level
    about: str
    help: str


_ALL = (
    Rule(
        "GT101",
        "missing-file",
        "error",
        "The submission has no file that fits the question.",
        "Hand in a file with the name that the assignment states.",
    ),
    Rule(
        "GT102",
        "refused-file",
        "error",
        "No file was opened: it is a link, no regular file, too large, or one of several that fit.",
        "Hand in one file, not a link, of at most 1 MB, or 16 MB for a notebook.",
    ),
    Rule(
        "GT103",
        "not-python",
        "error",
        "The file is no Python that can be parsed.",
        "Run the file once with Python, or restart the notebook and run all cells.",
    ),
    Rule(
        "GT104",
        "import-failed",
        "error",
        "Importing the file did not come to an end.",
        "Keep training loops and input() out of the top level of the file.",
    ),
    Rule(
        "GT105",
        "function-not-found",
        "error",
        "The file does not define the function that the question asks for, or several fit.",
        "Use the name that the assignment states.",
    ),
    Rule(
        "GT106",
        "exception",
        "error",
        "The code raised an exception.",
        "Call the function by hand on small arrays and read the traceback.",
    ),
    Rule(
        "GT107",
        "timeout",
        "error",
        "The code did not come to an end in the time that is allowed.",
        "Look for an endless loop, or allow more time in the assignment; the arrays are small.",
    ),
    Rule(
        "GT108",
        "out-of-memory",
        "error",
        "The code needed more memory than is allowed.",
        "Look for an array that is built from a product of many sizes.",
    ),
    Rule(
        "GT109",
        "ended",
        "error",
        "The code ended the process, or crashed it.",
        "Remove exit(), quit() and os._exit().",
    ),
    Rule(
        "GT110",
        "garbled",
        "error",
        "The process of the code did not answer properly.",
        "Do not write to, or close, file descriptors that the code did not open.",
    ),
    Rule(
        "GT111",
        "not-graded",
        "error",
        "Gradtool failed at this question: by a mistake of its own, or at forged answers.",
        "Report the message to whoever maintains gradtool; it says where.",
    ),
    Rule(
        "GT112",
        "nothing-to-check",
        "note",
        "No function of the file is called after the layer, or computes it.",
        "Nothing, where that is so; a spec can say in its check: block what is to be called.",
    ),
    Rule(
        "GT201",
        "forward-wrong",
        "error",
        "The forward pass does not compute what the question asks for.",
        "Compare it with the definition of the layer, at small sizes.",
    ),
    Rule(
        "GT202",
        "gradient-wrong",
        "error",
        "A gradient differs from the derivative of the layer.",
        "Derive it once more; `gradtool derive LAYER --steps` shows the way.",
    ),
    Rule(
        "GT203",
        "gradient-missing",
        "error",
        "A gradient was not returned.",
        "Return one gradient for every input and parameter.",
    ),
    Rule(
        "GT204",
        "gradient-not-computed",
        "error",
        "A gradient was not computed, because something else went wrong before.",
        "Mend the first exception.",
    ),
    Rule(
        "GT205",
        "follows-forward",
        "warning",
        "A gradient fits the code's own forward pass, which is wrong.",
        "Mend the forward pass; the gradient may then be right.",
    ),
    Rule(
        "GT206",
        "unfinished",
        "error",
        "The code is not written yet.",
        "Replace the placeholder.",
    ),
    Rule(
        "GT207",
        "not-decided",
        "error",
        "What is right in one reading of the code is wrong in another.",
        "Say which is meant, in the code's names or in the spec.",
    ),
    Rule(
        "GT301",
        "scale",
        "note",
        "Gradients of parameters have a constant factor that some courses use.",
        "Nothing, if your course defines them so.",
    ),
    Rule(
        "GT302",
        "shape",
        "note",
        "An array has the right entries in a shape that differs by axes of size one.",
        "A gradient has the shape of its variable.",
    ),
    Rule(
        "GT303",
        "float32",
        "note",
        "The code computes in single precision and was judged so.",
        "Use float64 for checking gradients.",
    ),
    Rule(
        "GT304",
        "mutates",
        "warning",
        "The code changes its inputs or its cache.",
        "Copy an array before changing it.",
    ),
    Rule(
        "GT305",
        "aliases",
        "note",
        "A result shares memory with an input or another result.",
        "Copy it if somebody may change either of the two.",
    ),
    Rule(
        "GT306",
        "state",
        "warning",
        "A second call on the same data, or a call in between, changes the answer.",
        "Reset accumulated gradients; keep what backward needs in the cache.",
    ),
    Rule(
        "GT307",
        "restricted",
        "note",
        "The gradient is right for a special upstream gradient only.",
        "Multiply by the upstream gradient that is given.",
    ),
    Rule(
        "GT308",
        "remark",
        "note",
        "A fact beside the verdict.",
        "Read its message.",
    ),
    Rule(
        "GT309",
        "not-looked-at",
        "warning",
        "The code is too slow to be looked at everywhere.",
        "Replace loops over entries by array operations, or allow more time in the assignment.",
    ),
    Rule(
        "GT401",
        "forbidden-import",
        "error",
        "The file imports a library that does the work of the question.",
        "Write the backward pass with NumPy.",
    ),
    Rule(
        "GT402",
        "numeric-differentiation",
        "error",
        "The gradient is computed by differences of the forward pass.",
        "Derive the backward pass; use differences only to check it.",
    ),
    Rule(
        "GT403",
        "tampering",
        "error",
        "The code evades an observation: it switches it off, or computes otherwise meanwhile.",
        "Leave frames and sys.setprofile alone, start no threads, compute with float64.",
    ),
)

NOT_THERE = "GT105"
NOT_GRADED = "GT111"
NOTHING = "GT112"

RULES = {rule.code: rule for rule in _ALL}
BY_NAME = {rule.name: rule for rule in _ALL}
