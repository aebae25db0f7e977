"""The optimisers' steps in one pass: each number's gradient, memory and value are read, changed and written together.

SGD moves 20 bytes a number (reads 3, writes 2), Adam 28 (reads 4, writes 3); on arrays each operation would be a pass.
"""

import numpy as np

from ._compile import compiled
from ._layout import contiguous
from ._planes import GRAIN
from ._threads import run


def sgd_update(data, gradient, velocity, lr, momentum, decay):
    """velocity = momentum * velocity + lr * (gradient + decay * data);  data = data - velocity."""
    _in_place(_sgd, (data, velocity), gradient, lr, momentum, decay)


def adam_update(data, gradient, first, second, lr, beta1, beta2, eps, decay, step):
    """Adam (Kingma, Ba 2015, algorithm 1); step counts from 1."""
    share1, share2 = 1 - beta1**step, 1 - beta2**step
    _in_place(_adam, (data, first, second), gradient, lr / share1, beta1, 1 - beta1, beta2, 1 - beta2, 1 / share2, eps,
              decay)


def _in_place(kernel, arrays, gradient, *settings):
    """Run the kernel on the arrays, which change, the gradient and the settings in the arrays' own type."""
    flat = [array.reshape(-1) if array.flags.carray else np.array(array, order="C").reshape(-1) for array in arrays]
    number = gradient.dtype.type
    run(kernel, gradient.size, *flat, contiguous(gradient).reshape(-1), *map(number, settings), grain=GRAIN // 2)
    for array, changed in zip(arrays, flat, strict=True):
        if not array.flags.carray:  # the loop wants numbers one behind the other, and worked on a copy
            array[...] = changed.reshape(array.shape)


@compiled(fastmath={"contract"})
def _sgd(part, start, stop, data, velocity, gradient, lr, momentum, decay):
    data, velocity, gradient = data[start:stop], velocity[start:stop], gradient[start:stop]
    for i in range(data.size):
        change = momentum * velocity[i] + lr * (gradient[i] + decay * data[i])
        velocity[i] = change
        data[i] -= change


@compiled(fastmath={"contract"})
def _adam(part, start, stop, data, first, second, gradient, rate, beta1, rest1, beta2, rest2, enlarge, eps, decay):
    data, first, second, gradient = data[start:stop], first[start:stop], second[start:stop], gradient[start:stop]
    for i in range(data.size):
        g = gradient[i] + decay * data[i]
        mean = beta1 * first[i] + rest1 * g
        square = beta2 * second[i] + rest2 * g * g
        first[i], second[i] = mean, square
        data[i] -= rate * mean / (np.sqrt(square * enlarge) + eps)
