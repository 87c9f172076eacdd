"""Modules that old course code imports, as the text of a stand-in with the same meaning."""

from __future__ import annotations

# Written from what the modules do; only what course code uses of them.
SHIMS: dict[str, str] = {
    "past": "",
    "past.builtins": (
        "xrange = range\nunicode = basestring = str\nlong = int\nraw_input = input\n"
        "from functools import reduce\n"
        "def cmp(a, b):\n    return (a > b) - (a < b)\n"
    ),
    "past.utils": (
        "def old_div(a, b):\n"
        "    whole = isinstance(a, int) and isinstance(b, int)\n"
        "    return a // b if whole else a / b\n"
    ),
    "six": (
        "PY2, PY3 = False, True\nstring_types = (str,)\ninteger_types = (int,)\n"
        "text_type = str\n"
        "def iteritems(d):\n    return iter(d.items())\n"
        "def itervalues(d):\n    return iter(d.values())\n"
        "def iterkeys(d):\n    return iter(d)\n"
    ),
    "six.moves": (
        "xrange = range\nrange = range\nzip = zip\nmap = map\nfilter = filter\ninput = input\n"
        "from functools import reduce\nimport pickle as cPickle\n"
    ),
    "cPickle": "from pickle import *\n",
    "future": "",
    "future.utils": (
        "def iteritems(d):\n    return iter(d.items())\n"
        "def itervalues(d):\n    return iter(d.values())\n"
        "def with_metaclass(meta, *bases):\n    return meta('Base', bases, {})\n"
    ),
    # Compilation changes the speed, not the numbers.
    "numba": (
        "def jit(*args, **options):\n"
        "    if len(args) == 1 and callable(args[0]) and not options:\n"
        "        return args[0]\n"
        "    return lambda function: function\n"
        "njit = vectorize = autojit = jit\nprange = range\n"
    ),
    # The same functions on another device.
    "cupy": (
        "from numpy import *\nfrom numpy import fft, linalg, random\n"
        "from types import SimpleNamespace as _Names\n"
        "asnumpy = asarray\n"
        "cuda = _Names(set_allocator=lambda *_: None, is_available=lambda: False,\n"
        "              MemoryPool=lambda: _Names(malloc=None))\n"
    ),
    "tqdm": (
        "class tqdm:\n"
        "    def __init__(self, iterable=(), *args, **options):\n"
        "        self.iterable = iterable\n"
        "    def __iter__(self):\n        return iter(self.iterable)\n"
        "    def __getattr__(self, name):\n        return lambda *args, **options: None\n"
        "def trange(*args, **options):\n    return range(*args)\n"
        "tqdm_notebook = tqdm\n"
    ),
    "tqdm.auto": "from tqdm import *\n",
    "tqdm.notebook": "from tqdm import *\n",
}

# Used only when they are not installed; the others would be found first.
ONLY_WHEN_MISSING = frozenset(SHIMS)

# Drawing and debugging have no part in a gradient: their calls do nothing, installed or not.
SILENT = frozenset(
    [
        "matplotlib",
        "pylab",
        "mpl_toolkits",
        "seaborn",
        "plotly",
        "bokeh",
        "altair",
        "graphviz",
        "IPython",
        "ipywidgets",
        "pdb",
        "ipdb",
        "pudb",
        "cv2_imshow",
        "turtle",
        "tkinter",
        "pygame",
        "visdom",
        "wandb",
        "tensorboardX",
    ]
)

# Names that NumPy has removed, as the expression that its release notes recommend.
NUMPY_ALIASES: dict[str, str] = {
    "float": "float",
    "int": "int",
    "bool": "bool",
    "object": "object",
    "str": "str",
    "complex": "complex",
    "long": "int",
    "unicode": "str",
    "float_": "np.float64",
    "complex_": "np.complex128",
    "unicode_": "np.str_",
    "string_": "np.bytes_",
    "Inf": "np.inf",
    "Infinity": "np.inf",
    "infty": "np.inf",
    "PINF": "np.inf",
    "NINF": "-np.inf",
    "NaN": "np.nan",
    "NAN": "np.nan",
    "product": "np.prod",
    "cumproduct": "np.cumprod",
    "sometrue": "np.any",
    "alltrue": "np.all",
    "round_": "np.round",
    "row_stack": "np.vstack",
    "trapz": "np.trapezoid",
    "in1d": "np.isin",
    "mat": "np.asmatrix",
    "asfarray": "lambda a, dtype=float: np.asarray(a, dtype=dtype)",
    "asscalar": "lambda a: a.item()",
    "msort": "lambda a: np.sort(a, axis=0)",
    "find_common_type": "lambda a, s: np.result_type(*a, *s)",
}
