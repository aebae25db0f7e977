"""Plain Python loops: the definition of every pass, every other folder's oracle, and what a beginner steps through.

Written in the subset of Python that numba compiles, so that tests can run this very source compiled.
"""

from .conv import conv2d, conv2d_grad_input, conv2d_grad_weight

__all__ = ["conv2d", "conv2d_grad_input", "conv2d_grad_weight"]
