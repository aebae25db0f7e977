"""One number for each channel, added to all its pixels."""

from ._channels import every_number
from ._in_place import in_place
from ._program import Program, contiguous

_CU = Program("add_bias")


def add_bias(y, bias):
    """y (N, C, H, W) += bias (C,), in place."""
    work, sizes = every_number(y)
    with in_place(y) as (row,):
        _CU.run("add_bias", work, row, contiguous(bias), *sizes)
