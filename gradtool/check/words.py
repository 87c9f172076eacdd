"""What names mean: forward and backward words, synonyms of variables, names of gradients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import permutations

FORWARD_WORDS = frozenset(
    {"forward", "fwd", "fprop", "feedforward", "propagate", "forwardpass", "call", "compute"}
    | {"forwards"}
)
BACKWARD_WORDS = frozenset(
    {"backward", "backwards", "bwd", "back", "bprop", "backprop", "backpropagate", "grad"}
    | {"gradient", "gradients", "prime", "derivative", "deriv", "der", "derivate", "vjp", "d"}
    | {"grads", "backwardpass", "backpropagation"}
)
DERIVATIVE_WORDS = frozenset({"grad", "gradient", "prime", "derivative", "deriv", "der", "d"})
# Words that tell variants of one layer apart, or say nothing.
FILLERS = frozenset(
    {"layer", "naive", "fast", "numpy", "np", "my", "vectorized", "vec", "loop", "loops", "alt"}
    | {
        "propagation",
        "prop",
        "pass",
        "step",
        "simple",
        "func",
        "fn",
        "function",
        "op",
        "module",
        "with",
        "and",
        "node",
    }
)

_LAYER_NAMES = (
    ("affine", "fc", "linear", "dense", "fullyconnected", "innerproduct", "affinetransform"),
    ("batchnorm", "bn", "batchnormalization", "batchnorm1d"),
    ("layernorm", "ln", "layernormalization"),
    ("conv2d", "conv", "convolution", "convolutional", "convolution2d", "convolve"),
    ("maxpool2d", "maxpool", "maxpooling", "pool", "pooling"),
    ("avgpool2d", "avgpool", "averagepool", "meanpool"),
    (
        "softmaxcrossentropy",
        "softmaxloss",
        "softmaxcrossentropyloss",
        "softmaxwithloss",
        "crossentropyloss",
        "crossentropy",
        "softmaxcost",
        "softmax",
        "nllloss",
    ),
    ("svmloss", "hinge", "hingeloss", "svm", "multiclasshinge", "maxmargin"),
    ("mse", "mseloss", "meansquarederror", "l2loss", "squaredloss", "squarederror"),
    ("sigmoid", "logistic"),
    ("leakyrelu", "lrelu"),
    ("twolayerrelu", "twolayernet", "twolayer", "mlp"),
)

_MOST_WORDS = 4  # of a layer's name that are tried in every order

_SYNONYMS: tuple[tuple[str, ...], ...] = (
    ("x", "input", "inputs", "inp", "data", "features", "feats", "xbatch", "aprev", "inputdata"),
    ("w", "weight", "weights", "theta", "kernel", "kernels", "filters", "filter", "wgt", "thetas"),
    ("b", "bias", "biases", "intercept"),
    ("y", "label", "labels", "target", "targets", "t", "ytrue", "truth", "gt", "ybatch"),
    ("gamma", "scale", "gain"),
    ("beta", "shift", "offset"),
    ("s", "scores", "score", "logits", "logit"),
    (
        "reg",
        "lambda",
        "lam",
        "lambd",
        "l2",
        "weightdecay",
        "regularization",
        "lmbda",
        "regstrength",
    ),
    ("eps", "epsilon"),
    ("stride", "strides"),
    ("pad", "padding", "pads"),
    ("mask", "m", "keepmask"),
    (
        "p", "keep", "keepprob", "keepprobability", "keeprate", "prob", "ratio", "rate", "pkeep",
        "dropout", "dropprob", "droprate", "dropratio", "dropoutratio", "dropoutrate", "dropp",
        "dropoutprob", "pdrop", "probability", "probkeep", "drop", "dropprobability",
    ),
    ("h", "hidden", "hprev", "prevh", "hidprev"),
)  # fmt: skip
# What a constructor calls the size of a window; not a bare "filter", which may be the weights.
_WINDOW_SIZES = frozenset(
    what + of
    for what in ("pool", "pooling", "kernel", "filter", "filt", "window", "win", "k", "f")
    for of in ("size", "sz", "dim", "shape", "height", "width", "h", "w", "")
) - {"filter", "filt", "pool", "pooling", "fw"} | {"hh", "ww", "size"}

_UPSTREAM = frozenset(
    [
        "dout",
        "dy",
        "dz",
        "da",
        "dnext",
        "grad",
        "gradoutput",
        "gradout",
        "gradoutputs",
        "delta",
        "deltas",
        "upstream",
        "error",
        "err",
        "gradient",
        "dl",
        "dvalues",
        "dvalue",
        "dscores",
        "dh",
        "dloss",
        "upstreamgrad",
        "upstreamgradient",
        "outgrad",
        "gradz",
        "gradin",
        "doutput",
        "douts",
        "outputgrad",
        "nextgrad",
        "lossgrad",
        "lastgrad",
        "accumgrad",
        "eta",
        "gy",
        "gout",
    ]
)
RESULTS = frozenset({"output", "outputs", "out", "y", "a", "z", "activation", "result", "value"})
"""What a forward pass calls what it computes."""

_CACHE = frozenset({"cache", "caches", "ctx", "context", "saved", "memory", "store", "residuals"})


_LOSS = frozenset({"loss", "cost", "objective"})
# What a loss is given, and what it compares that with.
_TRUE = frozenset({"true", "truth", "target", "targets", "label", "labels", "actual", "gt"})
_MADE = frozenset({"pred", "preds", "predicted", "prediction", "predictions", "hat", "yhat"})


def is_loss(name: str) -> bool:
    """Whether a name is that of a loss, such as ``total_loss``."""
    return not _LOSS.isdisjoint(split(name))


def is_true_value(name: str) -> bool:
    """Whether a name is that of right values, such as ``y_true``."""
    return not _TRUE.isdisjoint(split(name))


def is_label(name: str) -> bool:
    """Whether a name is that of right values, or a plain ``y``, as labels are called, too."""
    return is_true_value(name) or canonical(name) == "y"


def is_prediction(name: str) -> bool:
    """Whether a name is that of what a network gives, such as ``Y_pred``."""
    return not _MADE.isdisjoint(split(name))


def folded(name: str) -> str:
    """A name without case and underscores."""
    return name.replace("_", "").lower()


@lru_cache(maxsize=4096)
def split(name: str) -> tuple[str, ...]:
    """The words of a snake_case or CamelCase name, in lower case."""
    return tuple(_words(name))


def _words(name: str) -> Iterator[str]:
    for part in name.split("_"):
        word = ""
        for place, letter in enumerate(part):
            boundary = letter.isupper() and (
                not part[place - 1].isupper() or (part[place + 1 : place + 2].islower())
            )
            if word and boundary:
                yield word.lower()
                word = ""
            word += letter
        if word:
            yield word.lower()


def canonical(name: str) -> str:
    """One spelling for all synonyms; a number at the end is kept: ``weights_1`` is ``w1``."""
    plain = folded(name)
    base = plain.rstrip("0123456789")
    number = plain[len(base) :]
    for group in _SYNONYMS:
        if plain in group:
            return group[0]
        if base in group:
            return group[0] + number
    return plain


def layer_names(name: str) -> tuple[str, ...]:
    """What a layer may be called in code, its own name first."""
    own = folded(name)
    # Of a specific name the others of its group are meant too: "affine" may be "fc".
    others = [n for group in _LAYER_NAMES if own in group for n in group]
    words = name.split("_")
    # "spatial_batchnorm" says the same as "batch_norm_spatial".
    turned = permutations(words) if len(words) <= _MOST_WORDS else ()
    others += (folded("".join(order)) for order in turned)
    return tuple(dict.fromkeys((own, *others)))


def is_window_size(name: str) -> bool:
    """Whether an argument is the size of a window, along both axes or along one."""
    return folded(name) in _WINDOW_SIZES


def is_upstream(name: str) -> bool:
    plain = folded(name)
    return plain in _UPSTREAM or (plain.startswith(("dout", "gradout", "upstream", "dlda", "dldy")))


def is_the_gradient(name: str) -> bool:
    """Whether a name says gradient and nothing of what: enough where there is one variable."""
    return folded(name) in ("grad", "grads", "gradient", "gradients", "derivative")


def names_gradient(name: str) -> bool:
    """Whether a name may be that of the gradient of something."""
    return bool(name) and any(bare != name for bare in of_gradient(name))


def is_cache(name: str) -> bool:
    plain = folded(name)
    return plain in _CACHE or plain.endswith(("cache", "ctx"))


def of_gradient(name: str) -> Iterable[str]:
    """The variables that a gradient's name may mean, likeliest first: ``dL_dW`` means ``W``."""
    bare = name.removeprefix("self.")
    _, quotient, below = bare.rpartition("_d")  # dJ_dW, dloss_dx
    if quotient and below and bare.startswith(("d", "g", "D")):
        yield below
    prefixes: tuple[str, ...] = (
        "dL_d",
        "dLd",
        "dL_",
        "grads_",
        "grad_",
        "gradient_",
        "delta_",
        "d_",
        "d",
        "g",
    )
    prefixes += ("grad", "delta", "D")
    suffixes = ("_grads", "_grad", "_gradient", "_g", ".grad", "_delta", "_error", "grad", "Grad")
    for prefix in prefixes:
        if bare.startswith(prefix) and len(bare) > len(prefix):
            yield bare[len(prefix) :]
    for suffix in suffixes:
        if bare.endswith(suffix) and len(bare) > len(suffix):
            yield bare[: -len(suffix)]
    yield bare
