"""The passes in numba. A pass that has no numba version yet is the one of `array`; `minifcn doctor` lists them."""

from ..array import *  # noqa: F403  every pass that is not overridden below
from ..array import __all__ as __all__
