"""`gradtool init`: the first files of a course, or a first spec for a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from gradtool import __version__
from gradtool.spec.usage import UsageError

ASSIGNMENT = """\
# An assignment for `gradtool lint submissions/ --assignment assignment.yaml`.
# Lines that begin with '#' are comments; what they show is the default or an example.

assignment: hw1                      # short, for keys and reports
title: "Homework 1: backpropagation by hand"

questions:
  - spec: affine                     # a bundled layer (`gradtool specs`) or a path from here
    # name: affine                   # for reports; the name of the spec
    # title: Fully connected layer
    # file: ["*.py", "*.ipynb"]      # in a submission that is a folder; or layers.py
    # function: affine_backward      # only where gradtool cannot tell: the forward, the
    #                                # backward or the class
    # cell: q1                       # of a notebook only the cells with this tag count, and
    #                                # those behind them are not run
    points: 10
    # credit: equal                  # a share for the forward pass, one for each gradient; or
    #                                # none: all or nothing; or stated shares:
    # credit: {forward: 2, X: 3, W: 3, b: 2, follows: 0.5}
    #                                # 'follows': for a gradient that fits a wrong forward
    # probes:                        # sizes to check at, beside those that gradtool chooses
    #   - {N: 50, D: 3, C: 4}
    # limits: {seconds: 20}          # of this question, in place of those below
    # forbid: none                   # in this question

  - spec: softmax_cross_entropy
    points: 10

# limits:                            # for each question of each submission
#   seconds: 10
#   cpu: 10
#   memory: 1024 MB

# libraries: [numpy]                 # what a submission may import beside the standard library
# forbid: [frameworks, numeric-differentiation]    # or none
# hide-expected: true                # no right values in any report
# explain: true                      # tell students the cause of a mistake
"""

SETUP = f"""\
#!/usr/bin/env bash
# Gradescope runs this once, when the autograder is built.
set -euo pipefail
apt-get update
apt-get install -y --no-install-recommends python3 python3-venv
python3 -m venv /opt/gradtool
/opt/gradtool/bin/pip install --no-cache-dir 'gradtool=={__version__}'
"""

RUN = """\
#!/usr/bin/env bash
# Gradescope runs this for every submission. The folders can be set for a trial on any machine.
set -uo pipefail
source_folder="${GRADTOOL_SOURCE:-/autograder/source}"
submission="${GRADTOOL_SUBMISSION:-/autograder/submission}"
results="${GRADTOOL_RESULTS:-/autograder/results}"
gradtool="${GRADTOOL_BIN:-/opt/gradtool/bin/gradtool}"

mkdir -p "$results"
# The container is Gradescope's, for one submission only, and often forbids the namespaces of a
# complete sandbox; what was active is in the results. Nothing that the submission writes is read.
"$gradtool" lint "$submission" --single --assignment "$source_folder/assignment.yaml" \\
  --no-require-sandbox --exit-zero --output "gradescope=$results/results.json"
code=$?
if [ "$code" -ne 0 ]; then
  text='The autograder could not run. Please tell your teacher.'
  printf '{"score": 0, "output": "%s", "stdout_visibility": "hidden"}\\n' "$text" \\
    > "$results/results.json"
fi
"""


def run(folder: Path, *, assignment: bool, gradescope: bool) -> list[Path]:
    """Write the files that were asked for; the paths of those that were written.

    Raises:
        UsageError: one is there already (nothing is written then), or cannot be written.
    """
    wanted: dict[Path, tuple[str, int]] = {}
    if assignment:
        wanted[folder / "assignment.yaml"] = ASSIGNMENT, 0o644
    if gradescope:
        top = folder / "gradescope"
        own = folder / "assignment.yaml"
        text = own.read_text(encoding="utf-8") if own.is_file() else ASSIGNMENT
        wanted[top / "setup.sh"] = SETUP, 0o755
        wanted[top / "run_autograder"] = RUN, 0o755
        wanted[top / "assignment.yaml"] = text, 0o644
    return _written(wanted)


def run_spec(
    folder: Path, file: Path, function: str | None, ask: Callable[[str, str], str] | None
) -> Path:
    """Write a first spec for a pair of functions of a file; its path.

    Raises:
        UsageError: as `run` does, or the file has no such pair.
    """
    from gradtool.report.init_spec import first_spec

    layer, text = first_spec(file, function, ask)
    return _written({folder / f"{layer}.yaml": (text, 0o644)})[0]


def _written(wanted: Mapping[Path, tuple[str, int]]) -> list[Path]:
    there = [path for path in wanted if path.exists()]
    if there:
        raise UsageError(
            f"{', '.join(map(str, there))} exists already: nothing was written",
            "remove it, or give another folder with --folder",
        )
    try:
        for path, (content, mode) in wanted.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8", newline="\n")
            path.chmod(mode)
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be written: {error.strerror}") from None
    return list(wanted)
