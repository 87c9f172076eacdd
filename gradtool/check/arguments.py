"""Which spec name goes to which argument of a user's function."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from gradtool.check.candidate import flag
from gradtool.check.inventory import Function
from gradtool.check.placing import MOST_PLACED, Guess, placing
from gradtool.check.reference import Reference
from gradtool.check.words import (
    canonical,
    folded,
    is_prediction,
    is_the_gradient,
    is_true_value,
    is_window_size,
    of_gradient,
)
from gradtool.records import Struct, field
from gradtool.spec.model import Variable

INTO = frozenset(
    [
        "in",
        "infeatures",
        "inputdim",
        "inputsize",
        "nin",
        "indim",
        "fanin",
        "ninput",
        "numinputs",
        "insize",
        "inputs",
        "inchannels",
        "inchannel",
        "inch",
        "cin",
        "ninputs",
        "inputfeatures",
        "inputunits",
        "d",
    ]
)
OUT_OF = frozenset(
    [
        "out",
        "outfeatures",
        "outputdim",
        "outputsize",
        "nout",
        "outdim",
        "fanout",
        "noutput",
        "numoutputs",
        "outsize",
        "units",
        "neurons",
        "noutputs",
        "outchannels",
        "numclasses",
        "classes",
        "outputfeatures",
        "nneurons",
        "numout",
        "outchannel",
        "outch",
        "cout",
        "numnodes",
        "nnodes",
        "nodes",
        "numneurons",
        "neuronscount",
        "numunits",
        "nunits",
        "c",
    ]
)
_HIDDEN = frozenset(
    {"hidden", "hiddendim", "hiddensize", "nhidden", "numhidden", "hiddenunits", "hiddenneurons"}
)


IMAGE = 4  # axes of images: samples, channels, rows, columns


class NoMatch(Exception):
    """An argument that nothing in the spec fits, in words."""


class Names(Struct, frozen=True):
    """The spec names that a function can be given."""

    variables: tuple[Variable, ...]
    numbers: tuple[str, ...]  # constants, then sizes
    constants: tuple[str, ...]
    outputs: tuple[str, ...]
    is_loss: bool = False
    images: tuple[str, ...] = ()  # the outputs with axes for samples, channels, rows and columns
    chosen: Mapping[str, str] = field(default_factory=dict)  # texts for parameters, as Python
    order: int = 0  # which order of results that have no names is meant, the likeliest first
    placed: int = 0  # and which of arguments that have none
    open: bool = False  # nobody said which layer it is, so it may be called in another way, too

    @staticmethod
    def of(reference: Reference) -> Names:
        spec = reference.spec
        sizes = {symbol for v in spec.variables for dim in v.shape for symbol in dim.symbols}
        numbers = dict.fromkeys((*reference.constants, *sorted(sizes)))
        constants = tuple(reference.constants)
        is_loss = not any(reference.output_shapes[name] for name in reference.outputs)
        images = tuple(n for n in reference.outputs if len(reference.output_shapes[n]) == IMAGE)
        outputs = reference.outputs
        return Names(spec.variables, tuple(numbers), constants, outputs, is_loss, images)

    @property
    def real(self) -> tuple[str, ...]:
        """The variables that have a gradient."""
        return tuple(v.name for v in self.variables if v.differentiable)

    @property
    def parameters(self) -> tuple[str, ...]:
        return tuple(v.name for v in self.variables if v.role == "parameter")


def compared(names: Names) -> tuple[str, str] | None:
    """The prediction and the target of a loss of two arrays of one shape; None for all others."""
    inputs = [v for v in names.variables if v.role == "input" and v.dtype == "real"]
    if not names.is_loss or len(inputs) != 2 or inputs[0].shape != inputs[1].shape:
        return None
    real = [v.name for v in inputs if v.differentiable]
    rest = [v.name for v in inputs if not v.differentiable]
    return (real[0], rest[0]) if len(real) == len(rest) == 1 else None


class Call(Struct, frozen=True):
    """The arguments of a call as text, and which variable each parameter got.

    `guess` is how the arguments were placed whose names the spec does not know.
    """

    text: str
    given: Mapping[str, str]
    guess: Guess | None = None


def same(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` means: equal, equal up to case, or the only synonym."""
    known = list(known)
    if name in known:
        return name
    for key in (folded, canonical):
        found = [other for other in known if key(other) == key(name)]
        if len(found) == 1:
            return found[0]
        if found:
            return None
    return None


def call(
    function: Function,
    names: Names,
    fixed: Mapping[str, str],
    need: Iterable[str],
    differentiated: Collection[str] = (),
) -> Call:
    """The arguments for a function.

    `fixed` are parameters whose text is known (an upstream gradient, a cache), and what stands for
    all further arguments under the name ``*cache``; `differentiated`
    are those that a returned gradient is named after.  Names decide first; what is left goes by
    first letters or by the order of the signature when the numbers are equal.

    Raises:
        NoMatch: a required parameter gets nothing, or a variable of `need` has no parameter; or
            there is no order of arguments that is as unlikely as asked for.
    """
    wanted = [v.name for v in names.variables if v.name in set(need)]
    given: dict[str, str] = {}
    left = [p for p in function.params if p not in fixed]
    own = [p for p in left if p in differentiated]
    real = [n for n in wanted if n in names.real]
    if len(own) == len(real) == 1:  # whatever else is called like the variable
        given[own[0]] = real[0]
        left.remove(own[0])
    pair = compared(names)
    targets = [p for p in left if pair and folded(p) == folded(pair[1])]
    for parameter in list(left):
        free = [n for n in wanted if n not in given.values()]
        if pair and folded(parameter) == "y" and not targets:
            free = [n for n in free if n != pair[0]]  # beside a prediction, y is the target
        match = _earlier(parameter, free) or same(parameter, free)
        if match:
            given[parameter] = match
            left.remove(parameter)
    for parameter in list(left):
        open_ = [v for v in names.variables if v.name in wanted and v.name not in given.values()]
        if (role := _by_role(parameter, open_)) is not None:
            given[parameter] = role
            left.remove(parameter)
    texts = {**fixed, **given}
    synonyms = Counter(canonical(p) for p in left)
    unplaced = sum(n not in given.values() for n in wanted)
    for parameter in list(left):
        keys = function.reads.get(parameter, ())
        # Of two that are called so, and two variables for them, the word does not tell which.
        several = 1 < synonyms[canonical(parameter)] <= unplaced
        meant = None if several else called_otherwise(parameter, names, given.values())
        if meant in wanted:
            given[parameter] = texts[parameter] = str(meant)
            left.remove(parameter)
            continue
        match = _number(parameter, names) or names.chosen.get(parameter)
        match = match or _configuration(parameter, keys, names)
        if match and match not in given.values():
            texts[parameter] = in_pairs(match, parameter, function)
            left.remove(parameter)
    for parameter in list(left):
        wanted_left = [n for n in wanted if n not in given.values()]
        if entries := _dictionary(function.reads.get(parameter, ()), wanted_left):
            texts[parameter] = "{" + ", ".join(f'"{k}": {n}' for k, n in entries.items()) + "}"
            given |= entries
            left.remove(parameter)
    required = [p for p in left if p in function.needed]
    rest = [name for name in wanted if name not in given.values()]
    guess: Guess | None = None
    if required and len(required) == len(rest):
        left_over = [v for v in names.variables if v.name in rest]
        found = placing(required, left_over, names.placed, MOST_PLACED[names.open])
        if found is None:
            raise NoMatch(f"there is no further order of {', '.join(required)}")
        placed, guess = found
        given |= placed
        texts |= given
    elif required:
        takes = f"{function.name} takes {', '.join(required)}"
        raise NoMatch(f"{takes}: no input, parameter or constant is called that")
    elif rest:
        raise NoMatch(f"{function.name} has no argument for {', '.join(rest)}")
    # In the order of the signature: results without names mostly come in it.
    places = {parameter: place for place, parameter in enumerate(function.params)}
    given = dict(sorted(given.items(), key=lambda item: places.get(item[0], len(places))))
    return Call(_written(function, texts), given, guess)


def in_pairs(text: str, parameter: str, function: Function) -> str:
    """A number for both axes, where a function wants one for each."""
    number = text.isidentifier() and text not in ("True", "False")
    return f"({text}, {text})" if number and parameter in function.pairs else text


def _earlier(parameter: str, free: Iterable[str]) -> str | None:
    """The variable of the step before that a parameter means: of a cell with a state ``a_prev`` is
    that, and not the input as in a network of columns."""
    states = {name: state for name in free if (state := _before(name)) is not None}
    own = _before(parameter)
    if own is None:
        return None
    found = [name for name, state in states.items() if state in (own, _STATES.get(own, own))]
    return found[0] if len(found) == 1 else next(iter(states)) if len(states) == 1 else None


def _before(name: str) -> str | None:
    """What a name says is of the step before: the ``h`` of ``prev_h``; None if it says nothing."""
    plain = folded(name)
    for word in ("previous", "prev", "last", "old"):
        if plain.startswith(word):
            return plain.removeprefix(word)
        if plain.endswith(word):
            return plain.removesuffix(word)
    return None


_STATES = {"a": "h", "h": "a", "hidden": "h", "s": "h", "cell": "c"}


def _by_role(parameter: str, free: Sequence[Variable]) -> str | None:
    """The only variable with a gradient for a prediction, the only one without for its target."""
    if not is_true_value(parameter) and not is_prediction(parameter):
        return None
    fitting = [v.name for v in free if v.differentiable == is_prediction(parameter)]
    return fitting[0] if len(fitting) == 1 else None


def _dictionary(keys: Iterable[str], wanted: Sequence[str]) -> dict[str, str]:
    """The variables that a function takes out of a dictionary, by key; {} if not all are known."""
    found: dict[str, str] = {}
    for key in keys:
        match = same(key, [n for n in wanted if n not in found.values()])
        if match is None:
            return {}
        found[key] = match
    return found


def _written(function: Function, texts: Mapping[str, str]) -> str:
    parts, keywords = [], False
    for parameter in function.params:
        if parameter not in texts or parameter in function.named:
            keywords = True  # it keeps its default, so the later ones need their names
        if parameter not in texts:
            continue
        parts.append(f"{parameter}={texts[parameter]}" if keywords else texts[parameter])
    if further := texts.get(f"*{function.rest}"):
        parts.append(further)
    return ", ".join(parts)


def _number(parameter: str, names: Names) -> str | None:
    """A size by exactly its name (``d`` is rarely ``D``), a constant also by a synonym."""
    return parameter if parameter in names.numbers else same(parameter, names.constants)


def _configuration(parameter: str, keys: Sequence[str], names: Names) -> str | None:
    """A flag, or a dictionary of the spec's constants, for arguments such as ``conv_param``.

    `keys` are those that the function reads; without any the dictionary has all constants.
    """
    if text := flag(parameter):
        return text
    plain = folded(parameter)
    if not plain.endswith(("param", "params", "config", "hparameters", "hparams", "options")):
        return None
    entries = {"mode": '"train"'}
    for key in keys:
        if constant := constant_for(key, names):
            entries[key] = constant
    if not keys:
        spelled = {"pad": ("pad", "padding")}
        for name in names.constants:
            entries |= dict.fromkeys(spelled.get(canonical(name), (name,)), name)
    return "{" + ", ".join(f'"{key}": {value}' for key, value in entries.items()) + "}"


def constant_for(key: str, names: Names) -> str | None:
    """The constant that an entry of a configuration means; a window is as high as it is wide."""
    found = same(key, names.constants)
    return found or ("size" if is_window_size(key) and "size" in names.constants else None)


def size_called(word: str, names: Names) -> str | None:
    """The size of a name, whatever its case: a synonym of ``W`` means weights, and no width."""
    found = [n for n in names.numbers if n not in names.constants and folded(n) == folded(word)]
    return word if word in found else found[0] if len(found) == 1 else None


def other_name(name: str, names: Names) -> str:
    """What code may call a parameter beside its own name: "w", "b" or nothing.

    Weights are the only matrix or filter; without one, as PyTorch has it, the scale of a
    normalization, whose shift is the bias.
    """
    parameters = [v for v in names.variables if v.role == "parameter"]
    large = [v.name for v in parameters if len(v.shape) > 1]
    if large:
        return "w" if large == [name] else ""
    own = {canonical(v.name): v.name for v in parameters}
    if own.keys() & {"w", "b"} or "gamma" not in own:
        return ""
    return _OF_NORMALIZATION.get(canonical(name), "")


_OF_NORMALIZATION = {"gamma": "w", "beta": "b"}


def called_otherwise(word: str, names: Names, given: Iterable[str]) -> str | None:
    """The parameter that code means by a word such as ``weights``, which is not its name."""
    taken = set(given)
    meant = canonical(word)
    found = (n for n in names.parameters if n not in taken and other_name(n, names) == meant)
    return next(found, None) if meant else None


def sizes_for(parameter: str, names: Names) -> str | None:
    """The size that a constructor's argument such as ``in_features`` stands for."""
    plain = folded(parameter)
    tall = [v for v in names.variables if v.role == "parameter" and len(v.shape) >= 2]
    weights = [v for v in tall if all(str(dim) != "1" for dim in v.shape)]  # no bias of columns
    if not weights:
        return None
    if plain in _HIDDEN and len(weights) > 1:
        return str(weights[1].shape[0])
    if plain in INTO:
        return str(weights[0].shape[0])
    return str(weights[-1].shape[1]) if plain in OUT_OF else None


def gradient_target(
    name: str, given: Mapping[str, str], names: Names, without: Iterable[str] = ()
) -> str | None:
    """The variable whose gradient a name such as ``dw`` or ``grad_x`` stands for.

    `given` maps the parameters of the forward to variables: ``dx`` is first of all the gradient
    of what the forward calls ``x``.
    """
    open_names = [n for n in names.real if n not in set(without)]
    for bare in of_gradient(name):
        for known in (given, dict.fromkeys(names.real)):
            match = same(bare, known)
            variable = given.get(match, match) if match else None
            if variable in open_names:
                return variable
    return None


def gradients_among(words: Sequence[str], given: Mapping[str, str], names: Names) -> dict[str, str]:
    """By variable which of some words is the name of its gradient, in their order.

    One that says so, such as ``dX`` or of an only variable ``grad``, counts before the variable's
    own name, under which a result may have the variable itself beside its gradient.
    """
    known = (*given, *names.real)
    found: dict[str, str] = {}
    for word in words:
        variable = gradient_target(word, given, names)
        if variable is not None and (variable not in found or same(found[variable], known)):
            found[variable] = word
    alone = [word for word in words if is_the_gradient(word)]
    if len(names.real) == len(alone) == 1 and all(same(word, known) for word in found.values()):
        return {names.real[0]: alone[0]}
    return found
