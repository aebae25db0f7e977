"""The optimisers' steps, number by number. A call's arrays have one shape; all but the gradient change in place."""

import numpy as np


def sgd_update(data, gradient, velocity, lr, momentum, decay):
    """Gradient descent with momentum, in Caffe's form: the learning rate is inside the velocity.

    velocity = momentum * velocity + lr * (gradient + decay * data);  data = data - velocity
    """
    for at in np.ndindex(data.shape):
        velocity[at] = momentum * velocity[at] + lr * (gradient[at] + decay * data[at])
        data[at] -= velocity[at]


def adam_update(data, gradient, first, second, lr, beta1, beta2, eps, decay, step):
    """Adam (Kingma, Ba 2015, algorithm 1); step counts from 1.

    first and second are running means of the gradient and of its square. They start at 0 and are too small at first;
    after t steps they hold a share 1 - beta^t of the whole, and are divided by it.
    """
    share1, share2 = 1 - beta1**step, 1 - beta2**step
    for at in np.ndindex(data.shape):
        g = gradient[at] + decay * data[at]
        first[at] = beta1 * first[at] + (1 - beta1) * g
        second[at] = beta2 * second[at] + (1 - beta2) * g * g
        data[at] -= lr * (first[at] / share1) / (np.sqrt(second[at] / share2) + eps)
