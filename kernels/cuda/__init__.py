"""The passes in CUDA C++. A pass that has no CUDA version yet is the one of `array`, which runs on CuPy as it is."""

from ..array import *  # noqa: F403  every pass that is not overridden below
from ..array import __all__ as __all__
