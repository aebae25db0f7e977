"""What a frozen weight looks like to a fast kernel, worked out at the first forward and kept for the next ones."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..kernels import folder_for, winograd_allowed
from ..ops.check import Array
from .base import Parameter

SIZES = 4  # forms of one weight that are kept: those of the input sizes that came last


def prepared_form(parameter: Parameter, prepare: Callable[..., Any], x: Array, **options: Any) -> Any:
    """`prepare(weight, input_size=..., **options)` for inputs like x, once; None unless the parameter is frozen.

    Kept beside the parameter, so that whoever unfreezes it, in this network or in another that shares it, drops it.
    """
    forms, weight = parameter.prepared, parameter.data
    if forms is None or getattr(x, "ndim", 0) != 4:  # the op says what is wrong with x
        return None
    if isinstance(weight, np.ndarray) and weight.flags.writeable:  # somebody unlocked or replaced it
        return None
    size = x.shape[2:]
    key = (prepare.__name__, size, folder_for(weight), winograd_allowed(), *options.values())
    form = forms.pop(key, None)
    if form is None or form.weight is not weight:
        try:
            form = prepare(weight, input_size=size, **options)
        except ValueError:  # a picture smaller than the filter: the op says so in its own name
            return None
    forms[key] = form  # the newest stands last
    if len(forms) > SIZES:
        del forms[next(iter(forms))]
    return form
