"""The optimisers' steps on whole arrays, one parameter after the other. All but the gradients change in place.

The largest parameter of a paper-size network takes 400 MB, so temporary arrays of its shape are made sparingly.
"""

from .. import array_module


def sgd_update(parameters, gradients, velocities, lrs, momentum, decays):
    """velocity = momentum * velocity + lr * (gradient + decay * parameter);  parameter = parameter - velocity."""
    for data, gradient, velocity, lr, decay in zip(parameters, gradients, velocities, lrs, decays, strict=True):
        change = _with_decay(data, gradient, decay)
        change *= lr
        velocity *= momentum
        velocity += change
        data -= velocity


def adam_update(parameters, gradients, firsts, seconds, lrs, beta1, beta2, eps, decays, step):
    """Adam (Kingma, Ba 2015, algorithm 1); step counts from 1."""
    share1, share2 = 1 - beta1**step, 1 - beta2**step
    arrays = zip(parameters, gradients, firsts, seconds, lrs, decays, strict=True)
    for data, gradient, first, second, lr, decay in arrays:
        g = _with_decay(data, gradient, decay)
        first *= beta1
        first += (1 - beta1) * g
        g *= g
        g *= 1 - beta2
        second *= beta2
        second += g
        usual = array_module(data).sqrt(second / share2)  # the usual size of the gradient, number by number
        usual += eps
        data -= lr / share1 * first / usual


def _with_decay(data, gradient, decay):
    """The gradient of loss + decay/2 * |data|^2, as a new array."""
    total = decay * data
    total += gradient
    return total
