"""The wording and the place of every message about a spec file, as a person reads them.

Each case gives a file and all of its problems: ``line:column+length message -> hint``.
"""

# ruff: noqa: E501  (messages stand on one line, as they are printed)

from __future__ import annotations

import pytest
import yaml

from gradtool.spec.errors import SpecError
from gradtool.spec.load import load_text

CASES: list[tuple[str, str, list[str]]] = [
    (
        "empty",
        "",
        [
            "1:1+1 expected a layer spec, found an empty file -> a spec needs at least layer:, inputs: and forward:",
        ],
    ),
    (
        "only comments",
        "# nothing\n",
        [
            "1:1+1 expected a layer spec, found an empty file -> a spec needs at least layer:, inputs: and forward:",
        ],
    ),
    (
        "a text",
        "Y = X @ W\n",
        [
            "1:1+9 expected a mapping that begins with 'layer: name', found 'Y = X @ W' -> a spec needs at least layer:, inputs: and forward:",
        ],
    ),
    (
        "a list",
        "- layer\n",
        [
            "1:1+1 expected a mapping that begins with 'layer: name', found a list -> a spec needs at least layer:, inputs: and forward:",
        ],
    ),
    (
        "tab",
        "layer: a\ninputs:\n\tX: [N]\n",
        [
            "3:1+1 expected spaces, found a tab: YAML is indented by spaces only -> replace the tab by spaces",
        ],
    ),
    (
        "tab after a block",
        "layer: a\nforward: |\n  Y = X\n\tZ = Y\n",
        [
            "4:1+1 expected spaces, found a tab: YAML is indented by spaces only -> replace the tab by spaces",
        ],
    ),
    (
        "duplicate key",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\nlayer: b\n",
        [
            "4:1+5 the key 'layer' stands twice (first in line 1) -> remove or rename one of them",
        ],
    ),
    (
        "duplicate key inside",
        "layer: a\ninputs:\n  X: [N]\n  X: [D]\nforward: Y = X\n",
        [
            "4:3+1 the key 'X' stands twice (first in line 3) -> remove or rename one of them",
        ],
    ),
    (
        "alias",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\nabout: *that\n",
        [
            "4:8+5 YAML aliases are not allowed in a spec, found '*that' -> write the value out; text that begins with '*' needs quotes or the block form '|'",
        ],
    ),
    (
        "anchor",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\nabout: &that text\n",
        [
            "4:8+5 YAML anchors are not allowed in a spec, found '&that' -> remove it; text that begins with '&' needs quotes or the block form '|'",
        ],
    ),
    (
        "tag",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\nabout: !!python/name:os.system x\n",
        [
            "4:8+23 YAML tags are not allowed in a spec, found '!!python/name:os.system' -> remove the tag; text that begins with '!' needs quotes or the block form '|'",
        ],
    ),
    (
        "anchor bomb",
        "x-a: &a [1, 1]\n"
        "x-b: &b [*a, *a]\n"
        "x-c: [*b, *b]\n"
        "layer: a\n"
        "inputs: {X: [N, D]}\n"
        "forward: Y = X\n",
        [
            "1:6+2 YAML anchors are not allowed in a spec, found '&a' -> remove it; text that begins with '&' needs quotes or the block form '|'",
            "2:6+2 YAML anchors are not allowed in a spec, found '&b' -> remove it; text that begins with '&' needs quotes or the block form '|'",
            "2:10+2 YAML aliases are not allowed in a spec, found '*a' -> write the value out; text that begins with '*' needs quotes or the block form '|'",
            "2:14+2 YAML aliases are not allowed in a spec, found '*a' -> write the value out; text that begins with '*' needs quotes or the block form '|'",
            "3:7+2 YAML aliases are not allowed in a spec, found '*b' -> write the value out; text that begins with '*' needs quotes or the block form '|'",
            "3:11+2 YAML aliases are not allowed in a spec, found '*b' -> write the value out; text that begins with '*' needs quotes or the block form '|'",
        ],
    ),
    (
        "merge key",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\n<<: *base\n",
        [
            "4:1+2 unknown key '<<' -> known here: layer, about, reference, inputs, parameters, constants, sizes, forward, output, outputs, check",
            "4:5+5 YAML aliases are not allowed in a spec, found '*base' -> write the value out; text that begins with '*' needs quotes or the block form '|'",
        ],
    ),
    (
        "two documents",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\n---\nlayer: b\n",
        [
            "4:1+3 a spec file holds one document, found '---' and a second one -> put each layer into a file of its own",
        ],
    ),
    (
        "text after the end",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\n...\nlayer: b\n",
        [
            "5:1+1 expected the end of the file, found 'layer: b' -> a spec file holds one document",
        ],
    ),
    (
        "nested too deep",
        "x-a: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
        [
            "1:25+1 lists and mappings are nested more than 20 deep -> a spec needs at most five levels",
        ],
    ),
    (
        "key that is a list",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\n? [a]\n: b\n",
        [
            "4:3+1 expected a name as the key, found a list or a mapping -> a text that begins with '{' or '[' needs quotes or the block form '|'",
        ],
    ),
    (
        "open list",
        "layer: a\ninputs:\n  X: [N, D\nforward: Y = X\n",
        [
            "3:6+1 the '[' that opens here is not closed: expected ',' or ']', found ': Y = X' in line 4 -> close it with ']'",
        ],
    ),
    (
        "open mapping",
        "layer: a\ninputs: {X: [N]\n",
        [
            "2:9+1 the '{' that opens here is not closed: expected ',' or '}', found the end of the file -> close it with '}'",
        ],
    ),
    (
        "open quote",
        "layer: 'a\nforward: Y = X\n",
        [
            "1:8+1 the text that opens with ' here is never closed -> close it with '",
        ],
    ),
    (
        "unknown escape",
        'layer: a\nabout: "\\q"\n',
        [
            "2:9+2 expected a YAML escape after '\\' in a double-quoted text -> use single quotes, which have no escapes",
        ],
    ),
    (
        "item missing",
        "layer: a\ninputs:\n  X: [N, , D]\nforward: Y = X\n",
        [
            "3:10+1 expected a value, found ', D]'",
        ],
    ),
    (
        "dash after a key",
        "layer: - a\n",
        [
            "1:8+1 expected a value, found '- ', which begins a list -> begin the list on the next line, or write it as [a, b]",
        ],
    ),
    (
        "no colon",
        "layer: a\nforward\nabout: b\n",
        [
            "2:1+1 expected 'key: value', found 'forward' -> every line is 'key: value'; code that goes over several lines needs the block form '|'",
        ],
    ),
    (
        "no colon above",
        "layer a\nabout: b\n",
        [
            "2:6+1 expected no key here, found 'about:' -> check the indentation, and that the line above ends with ':' if this line belongs to it",
        ],
    ),
    (
        "odd indentation",
        "layer: a\ninputs:\n    X: [N]\n  W: [N]\n",
        [
            "4:3+1 the indentation of this line (2 deep) fits no line above -> keys of one mapping begin in the same column",
        ],
    ),
    (
        "text after a quote",
        "about: 'a' b\n",
        [
            "1:12+1 expected the end of the line after a complete value, found 'b' -> put the whole text in quotes",
        ],
    ),
    (
        "text after a block sign",
        "forward: |Y = X\n  Z = Y\n",
        [
            "1:11+1 expected the end of the line after '|', found 'Y = X' -> the text begins on the line after '|', indented",
        ],
    ),
    (
        "percent",
        "layer: %a\n",
        [
            "1:8+1 expected a value, found '%', with which no YAML text can begin -> put the text in quotes",
        ],
    ),
    (
        "undefined tag",
        "about: !x!y z\n",
        [
            "1:8+1 YAML reads a text that begins with '!' as a tag -> put the text in quotes",
        ],
    ),
    (
        "ampersand alone",
        "about: & b\n",
        [
            "1:8+1 YAML reads a text that begins with '&' as an anchor or an alias -> put the text in quotes",
        ],
    ),
    (
        "invisible character",
        "layer: a\u2028\nabout: a\x07b\n",
        [
            "1:9+1 expected printable text, found the invisible character U+2028 -> delete it (it often comes with pasted text)",
            "2:9+1 expected printable text, found the invisible character U+0007 -> delete it (it often comes with pasted text)",
        ],
    ),
    (
        "mapping in code",
        'forward: Y = {"a": 1}["a"]\n',
        [
            "1:18+1 the text after 'forward:' contains ': ', which YAML reads as another key -> write it in block form: 'forward: |', and the code on the next lines, indented",
        ],
    ),
    (
        "list in code",
        "check:\n  forward: [a, b] = f(X)\n",
        [
            "2:19+1 expected the end of the line after a complete value, found '= f(X)' -> write it in block form: 'forward: |', and the code on the next lines, indented",
        ],
    ),
    (
        "mapping as code",
        'layer: a\ninputs: {X: [N, D]}\nforward: Y = X\ncheck:\n  backward: {"a": 1}\n',
        [
            "5:13+8 check.backward: expected code, found a mapping -> write it in block form: 'backward: |', and the code on the next lines, indented",
        ],
    ),
    (
        "list as code",
        "layer: a\ninputs: {X: [N, D]}\nforward: [X]\n",
        [
            "3:10+3 forward: expected code, found a list -> write it in block form: 'forward: |', and the code on the next lines, indented",
        ],
    ),
    (
        "colon in a text",
        "about: Note: this\n",
        [
            "1:12+1 the text after 'about:' contains ': ', which YAML reads as another key -> put the text in quotes",
        ],
    ),
    (
        "several plain lines",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\n  Z = Y\n",
        [
            "3:10+1 forward: YAML joins the lines of this code into one -> write it in block form: 'forward: |', and the code on the next lines, indented",
        ],
    ),
    (
        "folded",
        "layer: a\ninputs: {X: [N, D]}\nforward: >\n  Y = X\n",
        [
            "3:10+1 forward: '>' joins lines into one, found it before code -> write it in block form: 'forward: |', and the code on the next lines, indented",
        ],
    ),
    (
        "several quoted lines",
        "layer: a\ninputs: {X: [N, D]}\nforward: 'Y = X\n  Z = Y'\n",
        [
            "3:10+1 forward: YAML joins the lines of this code into one -> write it in block form: 'forward: |', and the code on the next lines, indented",
        ],
    ),
    (
        "control character in code",
        'layer: a\ninputs: {X: [N, D]}\nforward: "Y = X\\rZ = Y"\n',
        [
            "3:16+1 forward: expected code, found the invisible character U+000D -> delete it",
        ],
    ),
    (
        "no code",
        "layer: a\ninputs: {X: [N, D]}\nforward:\n",
        [
            "3:9+1 forward: expected code, found nothing -> write it in block form: 'forward: |', and the code on the next lines, indented",
        ],
    ),
    (
        "blank code",
        "layer: a\ninputs: {X: [N, D]}\nforward: |\n\n",
        [
            "3:10+1 forward: expected code, found an empty text -> write it in block form: 'forward: |', and the code on the next lines, indented",
        ],
    ),
    (
        "unknown section",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\nabuot: x\n",
        [
            "4:1+5 unknown key 'abuot' -> did you mean 'about'?",
        ],
    ),
    (
        "unknown section far",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\ncolour: x\n",
        [
            "4:1+6 unknown key 'colour' -> known here: layer, about, reference, inputs, parameters, constants, sizes, forward, output, outputs, check",
        ],
    ),
    (
        "nothing needed is there",
        "about: x\n",
        [
            "1:1+1 expected a section 'inputs:', found none -> add inputs:, then names and shapes such as 'X: [N, D]'",
            "1:1+1 expected a section 'forward:', found none -> add forward: | and the assignments of the forward pass",
            "1:1+1 expected a section 'layer:', found none -> add layer: and the name of the layer",
        ],
    ),
    (
        "misspelt section",
        "layer: a\ninput: {X: [N]}\nforward: Y = X\n",
        [
            "2:1+5 unknown key 'input' -> did you mean 'inputs'?",
        ],
    ),
    (
        "layer with a hyphen",
        "layer: two-layer\ninputs: {X: [N]}\nforward: Y = X\n",
        [
            "1:8+9 layer: expected a name, found 'two-layer' -> write two_layer",
        ],
    ),
    (
        "layer is a list",
        "layer: [a]\ninputs: {X: [N]}\nforward: Y = X\n",
        [
            "1:8+3 layer: expected a name, found a list",
        ],
    ),
    (
        "about is empty",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\nabout:\n",
        [
            "4:7+1 about: expected a text, found nothing",
        ],
    ),
    (
        "lambda",
        "layer: a\ninputs:\n  lambda: []\nforward: Y = X\n",
        [
            "3:3+6 inputs: 'lambda' is a word of Python and cannot be a name -> write lam",
        ],
    ),
    (
        "dunder",
        "layer: a\ninputs:\n  __x: []\nforward: Y = X\n",
        [
            "3:3+3 inputs: expected a name, found '__x': '__' is reserved -> drop the underscores",
        ],
    ),
    (
        "np",
        "layer: a\ninputs:\n  np: []\nforward: Y = X\n",
        [
            "3:3+2 inputs: 'np' is NumPy and cannot be a name -> choose another name",
        ],
    ),
    (
        "underscore first",
        "layer: a\ninputs:\n  _x: []\nparameters:\n  _1: []\nforward: Y = _x * _1\n",
        [
            "3:3+2 inputs: a name must begin with a letter -> write x",
            "5:3+2 parameters: a name must begin with a letter -> choose another name",
        ],
    ),
    (
        "digit first",
        "layer: a\ninputs:\n  1x: []\nforward: Y = X\n",
        [
            "3:3+2 inputs: expected a name, found '1x' -> letters, digits and _, not beginning with a digit",
        ],
    ),
    (
        "name too long",
        "layer: a\n"
        "inputs:\n"
        "  xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: []\n"
        "forward: Y = X\n",
        [
            "3:3+61 inputs: expected a name of at most 60 letters",
        ],
    ),
    (
        "invisible in a name",
        "layer: a\ninputs:\n  X\xa0: []\nforward: Y = X\n",
        [
            "3:3+2 inputs: expected a name, found 'X\\xa0' -> letters, digits and _, not beginning with a digit",
        ],
    ),
    (
        "variable twice",
        "layer: a\ninputs:\n  X: []\nforward: Y = X\nparameters: {X: []}\n",
        [
            "5:14+1 'X' is already an input (line 3) -> give one of them another name",
        ],
    ),
    (
        "constant and input",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\nconstants: {X: 1}\n",
        [
            "4:13+1 'X' is already an input (line 2) -> give one of them another name",
        ],
    ),
    (
        "two spellings",
        "layer: a\ninputs:\n  \xb5: []\n  \u03bc: []\nforward: Y = X\n",
        [
            "4:3+1 inputs: 'μ' stands twice -> remove one of them",
        ],
    ),
    (
        "dimension and input",
        "layer: a\ninputs:\n  X: [N, D]\n  N: []\nforward: Y = X\n",
        [
            "4:3+1 'N' is an input here and a dimension in line 3 -> give one of them another name",
        ],
    ),
    (
        "real constant as a size",
        "layer: a\ninputs:\n  X: [N, eps]\nforward: Y = X\nconstants: {eps: 1e-5}\n",
        [
            "3:10+3 a size is made of integers, but 'eps' is a real constant (line 5) -> write eps as an integer, without a decimal point",
        ],
    ),
    (
        "gradient name",
        "layer: a\ninputs:\n  X: [N]\n  dX: [N]\nforward: Y = X\n",
        [
            "4:3+2 'dX' is an input here and the name of the gradient of 'X' -> rename it (or give X 'constant: true' if it needs no gradient)",
        ],
    ),
    (
        "shape is a name",
        "layer: a\ninputs:\n  X: N\nforward: Y = X\n",
        [
            "3:6+1 inputs.X: expected a shape such as [N, D], found 'N' -> write [N]",
        ],
    ),
    (
        "shape in parentheses",
        "layer: a\ninputs:\n  X: (N, D)\nforward: Y = X\n",
        [
            "3:6+6 inputs.X: expected a shape such as [N, D], found '(N, D)' -> a shape stands in square brackets",
        ],
    ),
    (
        "no shape",
        "layer: a\ninputs:\n  X:\nforward: Y = X\n",
        [
            "3:5+1 inputs.X: expected a shape such as [N, D], found nothing -> write [] for a scalar",
        ],
    ),
    (
        "shape in a list",
        "layer: a\ninputs:\n  X: [[N, D]]\nforward: Y = X\n",
        [
            "3:7+6 inputs.X: expected a size such as N or 2*H, found a list",
        ],
    ),
    (
        "comma missing",
        "layer: a\ninputs:\n  X: [N, D C]\nforward: Y = X\n",
        [
            "3:12+1 inputs.X: expected a size, found 'D C' -> separate sizes by commas: [D, C]",
        ],
    ),
    (
        "true division",
        "layer: a\ninputs:\n  X: [N, D/2]\nforward: Y = X\n",
        [
            "3:10+3 inputs.X: a size must be an integer: write // for division",
        ],
    ),
    (
        "caret",
        "layer: a\ninputs:\n  X: [D^2]\nforward: Y = X\n",
        [
            "3:7+3 inputs.X: a size is made of integers, dimension names, + - * // and ** -> write ** for a power",
        ],
    ),
    (
        "real size",
        "layer: a\ninputs:\n  X: [2.5]\nforward: Y = X\n",
        [
            "3:7+3 inputs.X: a size is made of integers, dimension names, + - * // and **",
        ],
    ),
    (
        "negative size",
        "layer: a\ninputs:\n  X: [N, -1]\nforward: Y = X\n",
        [
            "3:10+2 inputs.X: expected a size from 1 to 1,000,000, found -1",
        ],
    ),
    (
        "zero size",
        "layer: a\ninputs:\n  X: [0]\nforward: Y = X\n",
        [
            "3:7+1 inputs.X: expected a size from 1 to 1,000,000, found 0 -> a scalar has the shape []",
        ],
    ),
    (
        "function in a size",
        "layer: a\ninputs:\n  X: [N, 2*min(H, W)]\nforward: Y = X\n",
        [
            "3:15+1 inputs.X: expected a size, found '2*min(H'",
            "3:20+1 inputs.X: expected a size, found 'W)'",
        ],
    ),
    (
        "unfinished size",
        "layer: a\ninputs:\n  X: [N, '2*(H + ']\nforward: Y = X\n",
        [
            "3:13+1 inputs.X: expected a size, found '2*(H + '",
        ],
    ),
    (
        "reserved size",
        "layer: a\ninputs:\n  X: [lambda]\nforward: Y = X\n",
        [
            "3:7+6 inputs.X: expected a size, found 'lambda' -> write lam",
        ],
    ),
    (
        "np as a size",
        "layer: a\ninputs:\n  X: [N, 2*np]\nforward: Y = X\n",
        [
            "3:12+2 'np' is NumPy and cannot be a name -> choose another name",
        ],
    ),
    (
        "division by zero",
        "layer: a\ninputs:\n  X: [N//0]\nforward: Y = X\n",
        [
            "3:7+4 inputs.X: division by zero in a size",
        ],
    ),
    (
        "huge size",
        "layer: a\ninputs:\n  X: [((2**8)**8)**8]\nforward: Y = X\n",
        [
            "3:7+14 inputs.X: the size '((2**8)**8)**8' is too large to multiply out",
        ],
    ),
    (
        "inputs is a list",
        "layer: a\ninputs: [X]\nforward: Y = X\n",
        [
            "2:9+3 inputs: expected a mapping, found a list",
        ],
    ),
    (
        "no shape:",
        "layer: a\ninputs:\n  y: {index: C}\nforward: Y = X\n",
        [
            "3:3+1 inputs.y: expected a shape, found none -> add shape: [N, D]",
        ],
    ),
    (
        "misspelt field",
        "layer: a\ninputs:\n  y: {shpae: [N]}\nforward: Y = X\n",
        [
            "3:7+5 unknown key 'shpae' in inputs.y -> did you mean 'shape'?",
        ],
    ),
    (
        "integer dtype",
        "layer: a\ninputs:\n  y: {shape: [N], dtype: int64}\nforward: Y = X\n",
        [
            "3:26+5 inputs.y.dtype: expected real or bool, found 'int64' -> a label is declared by index: C, the size of the axis that it indexes",
        ],
    ),
    (
        "float dtype",
        "layer: a\ninputs:\n  y: {shape: [N], dtype: float}\nforward: Y = X\n",
        [
            "3:26+5 inputs.y.dtype: expected real or bool, found 'float' -> write real",
        ],
    ),
    (
        "index and dtype",
        "layer: a\ninputs:\n  y: {shape: [N], dtype: bool, index: C}\nforward: Y = X\n",
        [
            "3:26+4 inputs.y: a label (index:) is an integer, found dtype: bool -> remove dtype: or index:",
        ],
    ),
    (
        "yes",
        "layer: a\ninputs:\n  M: {shape: [N], constant: yes}\nforward: Y = X\n",
        [
            "3:29+3 inputs.M.constant: expected true or false, found 'yes' -> write true",
        ],
    ),
    (
        "text for truth",
        "layer: a\ninputs:\n  M: {shape: [N], read: maybe}\nforward: Y = X\n",
        [
            "3:25+5 inputs.M.read: expected true or false, found 'maybe'",
        ],
    ),
    (
        "read and differentiated",
        "layer: a\ninputs:\n  M: {shape: [N], read: true, constant: false}\nforward: Y = X\n",
        [
            "3:41+5 inputs.M: 'read: true' is drawn by the user's code, so it cannot be 'constant: false' -> remove constant:",
        ],
    ),
    (
        "index of a parameter",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\nparameters: {W: {shape: [D], index: C}}\n",
        [
            "4:30+5 parameters.W: a parameter is real and has no index -> declare labels under inputs:",
        ],
    ),
    (
        "not without index",
        "layer: a\ninputs:\n  y: {shape: [N], not: z}\nforward: Y = X\n",
        [
            "3:19+3 inputs.y: 'not' excludes a label, but 'y' is none -> add index: V",
        ],
    ),
    (
        "not names nothing",
        "layer: a\n"
        "inputs:\n"
        "  o: {shape: [], index: V}\n"
        "  y: {shape: [N], index: V, not: q}\n"
        "forward: Y = X\n",
        [
            "4:34+1 inputs.y.not: expected the name of another label, found 'q' -> known here: o",
        ],
    ),
    (
        "not names another axis",
        "layer: a\n"
        "inputs:\n"
        "  o: {shape: [], index: C}\n"
        "  y: {shape: [N], index: V, not: o}\n"
        "forward: Y = X\n",
        [
            "4:34+1 inputs.y.not: 'y' indexes V, but 'o' indexes C -> both must index the same axis",
        ],
    ),
    (
        "unknown domain",
        "layer: a\ninputs:\n  X: {shape: [N], domain: postive}\nforward: Y = X\n",
        [
            "3:27+7 inputs.X.domain: unknown domain 'postive' -> did you mean 'positive'?",
        ],
    ),
    (
        "unknown domain far",
        "layer: a\ninputs:\n  X: {shape: [N], domain: even}\nforward: Y = X\n",
        [
            "3:27+4 inputs.X.domain: unknown domain 'even' -> one of: real, positive, nonnegative, binary, sign, probabilities, one-hot, symmetric, positive-definite, lower-triangular, bernoulli(p), or an interval [0, 1]",
        ],
    ),
    (
        "empty interval",
        "layer: a\ninputs:\n  X: {shape: [N], domain: [1, 0]}\nforward: Y = X\n",
        [
            "3:27+6 inputs.X.domain: expected an interval [low, high] with low < high, found [1, 0]",
        ],
    ),
    (
        "one end",
        "layer: a\ninputs:\n  X: {shape: [N], domain: [1]}\nforward: Y = X\n",
        [
            "3:27+3 inputs.X.domain: expected an interval of two ends, found a list of 1 -> write [0, 1]; null leaves an end open",
        ],
    ),
    (
        "text end",
        "layer: a\ninputs:\n  X: {shape: [N], domain: [a, 1]}\nforward: Y = X\n",
        [
            "3:28+1 inputs.X.domain: expected a number, found 'a' -> a number is written as 2, 0.5, 1e-5 or 1/3; compute anything else in forward:",
        ],
    ),
    (
        "wrong infinity",
        "layer: a\ninputs:\n  X: {shape: [N], domain: [inf, null]}\nforward: Y = X\n",
        [
            "3:28+3 inputs.X.domain: the interval is empty: found inf as its lower end",
        ],
    ),
    (
        "probabilities of a scalar",
        "layer: a\ninputs:\n  X: {shape: [], domain: probabilities}\nforward: Y = X\n",
        [
            "3:26+13 inputs.X.domain: 'probabilities' needs an axis to sum over, found the shape ()",
        ],
    ),
    (
        "symmetric vector",
        "layer: a\ninputs:\n  X: {shape: [N], domain: symmetric}\nforward: Y = X\n",
        [
            "3:27+9 inputs.X.domain: 'symmetric' needs a square matrix, found the shape (N,)",
        ],
    ),
    (
        "symmetric oblong",
        "layer: a\ninputs:\n  X: {shape: [N, D], domain: positive-definite}\nforward: Y = X\n",
        [
            "3:30+17 inputs.X.domain: 'positive-definite' needs a square matrix, found the shape (N, D) -> the last two sizes must be the same",
        ],
    ),
    (
        "domain of a label",
        "layer: a\ninputs:\n  y: {shape: [N], index: C, domain: positive}\nforward: Y = X\n",
        [
            "3:29+6 inputs.y: a label has no domain -> its values are 0 <= value < index",
        ],
    ),
    (
        "domain of a bool",
        "layer: a\ninputs:\n  y: {shape: [N], dtype: bool, domain: binary}\nforward: Y = X\n",
        [
            "3:32+6 inputs.y: a bool input has no domain",
        ],
    ),
    (
        "constant call",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\nconstants: {c: sqrt(2)}\n",
        [
            "4:16+7 constants.c: expected a number, found 'sqrt(2)' -> a number is written as 2, 0.5, 1e-5 or 1/3; compute anything else in forward:",
        ],
    ),
    (
        "constant empty",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\nconstants:\n  c:\n",
        [
            "5:5+1 constants.c: expected a number, found nothing",
        ],
    ),
    (
        "constant inf",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\nconstants: {c: .inf}\n",
        [
            "4:16+4 constants.c: expected a finite number, found '.inf'",
        ],
    ),
    (
        "constant huge",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\nconstants: {c: 1e999999999999}\n",
        [
            "4:16+14 constants.c: expected a number within the range of a float64, found '1e999999999999'",
        ],
    ),
    (
        "constant over zero",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\nconstants: {c: 1/0}\n",
        [
            "4:16+3 constants.c: expected a number, found the division by zero '1/0'",
        ],
    ),
    (
        "constant list",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\nconstants: {c: [1]}\n",
        [
            "4:16+3 constants.c: expected a number, found a list",
        ],
    ),
    (
        "constant true",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\nconstants: {c: true}\n",
        [
            "4:16+4 constants.c: expected a number, found 'true' -> a number is written as 2, 0.5, 1e-5 or 1/3; compute anything else in forward:",
        ],
    ),
    (
        "size of nothing",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\nsizes: {Q: 3}\n",
        [
            "4:9+1 sizes: no shape uses the dimension 'Q' -> an integer of its own is declared under constants:",
        ],
    ),
    (
        "size misspelt",
        "layer: a\ninputs:\n  X: [batch]\nforward: Y = X\nsizes: {bacth: 3}\n",
        [
            "5:9+5 sizes: no shape uses the dimension 'bacth' -> did you mean 'batch'?",
        ],
    ),
    (
        "size of a constant",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\nconstants: {k: 3}\nsizes: {k: 3}\n",
        [
            "5:9+1 sizes: 'k' is no dimension but a declared constant (line 4) -> change its value there",
        ],
    ),
    (
        "size of an input",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\nsizes: {X: 3}\n",
        [
            "4:9+1 sizes: 'X' is no dimension but a declared input (line 2) -> give sizes by dimension",
        ],
    ),
    (
        "size zero",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\nsizes: {N: 0}\n",
        [
            "4:12+1 sizes.N: expected a size from 1 to 1,000,000, found 0",
        ],
    ),
    (
        "size text",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\nsizes: {N: many}\n",
        [
            "4:12+4 sizes.N: expected an integer or a bound, found 'many' -> write 4 to pin it, or '>=2'",
        ],
    ),
    (
        "size with >",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\nsizes: {N: '>2'}\n",
        [
            "4:12+4 sizes.N: expected an integer or a bound, found '>2' -> write 4 to pin it, or '>=2'",
        ],
    ),
    (
        "outputs is a name",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\noutputs: Y\n",
        [
            "4:10+1 outputs: expected a list such as [mu, P], found 'Y' -> write outputs: [Y], or output: Y",
        ],
    ),
    (
        "output is a list",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\noutput: [Y, Z]\n",
        [
            "4:9+6 output: expected one name, found a list -> write outputs: for several",
        ],
    ),
    (
        "both",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\noutput: Y\noutputs: [Y, Z]\n",
        [
            "5:1+7 found both output: (line 4) and outputs: -> keep outputs: [a, b] for several, output: a for one",
        ],
    ),
    (
        "output twice",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\noutputs: [Y, Y]\n",
        [
            "4:14+1 outputs: 'Y' stands twice -> remove one of them",
        ],
    ),
    (
        "no outputs",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\noutputs: []\n",
        [
            "4:10+2 outputs: expected a list such as [mu, P], found an empty list",
        ],
    ),
    (
        "check is code",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\ncheck: f(X)\n",
        [
            "4:8+4 check: expected a mapping, found 'f(X)' -> write 'forward: …' and 'backward: …' on lines of their own under check:",
        ],
    ),
    (
        "check is empty",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\ncheck:\n",
        [
            "4:7+1 check: expected a mapping, found nothing -> known here: setup, forward, backward, gradients, grads, scale, upstream, load",
        ],
    ),
    (
        "check misspelt",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\ncheck: {forwards: f(X)}\n",
        [
            "4:9+8 unknown key 'forwards' in check -> did you mean 'forward'?",
        ],
    ),
    (
        "check syntax",
        "layer: a\n"
        "inputs: {X: [N, D]}\n"
        "forward: Y = X\n"
        "check:\n"
        "  forward: |\n"
        "    \xe9 = f(X)\n"
        "    \xe9 = f(\xe9, X\n"
        "  backward: dX = = g(dY)\n",
        [
            "7:10+1 check.forward: expected Python, found 'é = f(é, X': '(' was never closed",
            "8:18+1 check.backward: expected Python, found 'dX = = g(dY)': invalid syntax",
        ],
    ),
    (
        "check return",
        "layer: a\n"
        "inputs: {X: [N, D]}\n"
        "forward: Y = X\n"
        "check:\n"
        "  forward: |\n"
        "    \xe9 = 1; return f(X)\n",
        [
            "6:12+1 check.forward: expected Python, found 'é = 1; return f(X)': 'return' outside function",
        ],
    ),
    (
        "check indentation",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\ncheck:\n  setup: |\n    if X:\n    y = 1\n",
        [
            "7:5+1 check.setup: expected Python, found 'y = 1': expected an indented block after 'if' statement in line 6",
        ],
    ),
    (
        "gradient of nothing",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\ncheck: {gradients: [Q]}\n",
        [
            "4:21+1 check.gradients: no input or parameter is called 'Q' -> known here: X",
        ],
    ),
    (
        "gradient named d",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\ncheck: {gradients: [dX]}\n",
        [
            "4:21+2 check.gradients: no input or parameter is called 'dX' -> write X: gradients are listed by the names of their variables",
        ],
    ),
    (
        "gradient of a label",
        "layer: a\n"
        "inputs:\n"
        "  X: [N]\n"
        "  y: {shape: [N], index: C}\n"
        "forward: Y = X\n"
        "check: {gradients: [y]}\n",
        [
            "6:21+1 check.gradients: 'y' has no gradient: it is a label -> remove it",
        ],
    ),
    (
        "gradient of a constant",
        "layer: a\n"
        "inputs:\n"
        "  X: [N]\n"
        "  M: {shape: [N], constant: true}\n"
        "forward: Y = X\n"
        "check: {gradients: [M]}\n",
        [
            "6:21+1 check.gradients: 'M' has no gradient: it is not differentiated -> remove it",
        ],
    ),
    (
        "grads is a statement",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\ncheck:\n  grads: {X: g = step(X)}\n",
        [
            "5:16+1 check.grads.X: expected one expression, found 'g = step(X)': invalid syntax",
        ],
    ),
    (
        "grads misspelt",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\ncheck:\n  grads: {x: step(X)}\n",
        [
            "5:11+1 check.grads: no input or parameter is called 'x' -> did you mean 'X'?",
        ],
    ),
    (
        "scale is a list",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\ncheck: {scale: [X]}\n",
        [
            "4:16+3 check.scale: expected a mapping, found a list",
        ],
    ),
    (
        "upstream misspelt",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\ncheck: {upstream: onehot}\n",
        [
            "4:19+6 check.upstream: expected one-hot, ones or {scale: 1e-3}, found 'onehot' -> did you mean 'one-hot'?",
        ],
    ),
    (
        "upstream unknown",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\ncheck: {upstream: zeros}\n",
        [
            "4:19+5 check.upstream: expected one-hot, ones or {scale: 1e-3}, found 'zeros'",
        ],
    ),
    (
        "upstream scale negative",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\ncheck: {upstream: {scale: -1}}\n",
        [
            "4:27+2 check.upstream.scale: expected a positive number, found '-1'",
        ],
    ),
    (
        "upstream scale missing",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\ncheck: {upstream: {size: 1}}\n",
        [
            "4:20+4 unknown key 'size' in check.upstream -> known here: scale",
        ],
    ),
    (
        "load only",
        "layer: a\ninputs: {X: [N, D]}\nforward: Y = X\ncheck: {load: {only: functions}}\n",
        [
            "4:22+9 check.load.only: expected definitions, found 'functions'",
        ],
    ),
    (
        "provide a file",
        "layer: a\n"
        "inputs: {X: [N, D]}\n"
        "forward: Y = X\n"
        "check:\n"
        "  load:\n"
        "    provide:\n"
        "      utils.py: x = 1\n",
        [
            "7:7+8 check.load.provide: expected the name of a module, found 'utils.py' -> write utils",
        ],
    ),
    (
        "provide bad code",
        "layer: a\n"
        "inputs: {X: [N, D]}\n"
        "forward: Y = X\n"
        "check:\n"
        "  load:\n"
        "    provide:\n"
        "      utils: 'x = '\n",
        [
            "7:19+1 check.load.provide.utils: expected Python, found 'x =': invalid syntax",
        ],
    ),
]


def problems_of(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load_text(text, "s.yaml")
    return [
        f"{p.line}:{p.column}+{p.length} {p.message}" + (f" -> {p.hint}" if p.hint else "")
        for p in caught.value.problems
    ]


@pytest.mark.parametrize(("text", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_every_problem_is_worded_for_a_person(text: str, expected: list[str]) -> None:
    assert problems_of(text) == expected


@pytest.mark.parametrize(("text", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_both_yaml_parsers_give_the_same_message(
    text: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(yaml, "CBaseLoader", raising=False)  # as without libyaml
    assert problems_of(text) == expected


def test_the_printed_form_shows_the_line_and_a_caret_under_the_part_that_is_wrong() -> None:
    text = "layer: a\ninputs:\n  X: [N, D C]\nforward: Y = X\n"
    with pytest.raises(SpecError) as caught:
        load_text(text, "specs/a.yaml")
    assert str(caught.value) == (
        "specs/a.yaml:3:12: inputs.X: expected a size, found 'D C'\n"
        "      X: [N, D C]\n"
        "               ^\n"
        "    separate sizes by commas: [D, C]"
    )


def test_all_problems_of_a_file_come_at_once_and_in_its_order() -> None:
    text = (
        "layer: a-b\ninputs: {X: [N D], lambda: []}\nsizes: {N: 0}\nconstants: {c: x}\n"
        "check: {upstream: all}\ncolour: red\nforward: >\n  Y = X\n"
    )
    with pytest.raises(SpecError) as caught:
        load_text(text, "s.yaml")
    assert [p.line for p in caught.value.problems] == [1, 2, 2, 3, 4, 5, 6, 7]
