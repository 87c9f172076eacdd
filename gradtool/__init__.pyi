# Types of what `gradtool/__init__.py` loads when it is first used.
from gradtool.api import (
    Derived as Derived,
)
from gradtool.api import (
    Differential as Differential,
)
from gradtool.api import (
    Formula as Formula,
)
from gradtool.api import (
    Layer as Layer,
)
from gradtool.api import (
    SpecError as SpecError,
)
from gradtool.api import (
    UnsupportedError as UnsupportedError,
)
from gradtool.api import (
    UsageError as UsageError,
)
from gradtool.api import (
    load as load,
)
from gradtool.report.assertion import assert_gradients as assert_gradients

__version__: str
