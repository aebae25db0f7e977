"""The optimisers' steps, one launch a parameter. All but the gradients change in place."""

import numpy as np

from ._in_place import in_place
from ._program import Program, contiguous

_CU = Program("updates")


def sgd_update(parameters, gradients, velocities, lrs, momentum, decays):
    """velocity = momentum * velocity + lr * (gradient + decay * parameter);  parameter = parameter - velocity."""
    for data, gradient, velocity, lr, decay in zip(parameters, gradients, velocities, lrs, decays, strict=True):
        with in_place(data, velocity) as changing:
            _CU.run("sgd_update", data.size, *changing, contiguous(gradient), float(lr), float(momentum), float(decay),
                    np.int64(data.size))


def adam_update(parameters, gradients, firsts, seconds, lrs, beta1, beta2, eps, decays, step):
    """Adam (Kingma, Ba 2015, algorithm 1); step counts from 1."""
    common = [float(beta) for b in (beta1, beta2) for beta in (b, 1 - b, 1 - b**step)] + [float(eps)]
    arrays = zip(parameters, gradients, firsts, seconds, lrs, decays, strict=True)
    for data, gradient, first, second, lr, decay in arrays:
        with in_place(data, first, second) as changing:
            _CU.run("adam_update", data.size, *changing, contiguous(gradient), float(lr), float(decay), *common,
                    np.int64(data.size))
