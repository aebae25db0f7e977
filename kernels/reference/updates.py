"""The optimisers' steps, number by number. A call has all parameters: lists of arrays, and of settings of their own.

The arrays at one place of the lists have one shape, and all of a call one dtype; all but the gradients change in place.
"""

import numpy as np


def sgd_update(parameters, gradients, velocities, lrs, momentum, decays):
    """Gradient descent with momentum, in Caffe's form: the learning rate is inside the velocity.

    velocity = momentum * velocity + lr * (gradient + decay * parameter);  parameter = parameter - velocity
    """
    for data, gradient, velocity, lr, decay in zip(parameters, gradients, velocities, lrs, decays, strict=True):
        for at in np.ndindex(data.shape):
            velocity[at] = momentum * velocity[at] + lr * (gradient[at] + decay * data[at])
            data[at] -= velocity[at]


def adam_update(parameters, gradients, firsts, seconds, lrs, beta1, beta2, eps, decays, step):
    """Adam (Kingma, Ba 2015, algorithm 1); step counts from 1.

    first and second are running means of the gradient and of its square. They start at 0 and are too small at first;
    after t steps they hold a share 1 - beta^t of the whole, and are divided by it.
    """
    share1, share2 = 1 - beta1**step, 1 - beta2**step
    arrays = zip(parameters, gradients, firsts, seconds, lrs, decays, strict=True)
    for data, gradient, first, second, lr, decay in arrays:
        for at in np.ndindex(data.shape):
            g = gradient[at] + decay * data[at]
            first[at] = beta1 * first[at] + (1 - beta1) * g
            second[at] = beta2 * second[at] + (1 - beta2) * g * g
            data[at] -= lr * (first[at] / share1) / (np.sqrt(second[at] / share2) + eps)
