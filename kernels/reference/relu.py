"""The rectified linear unit and its gradient, number by number."""

import numpy as np


def relu(x):
    """x of any shape -> y of the same: max(x, 0). A NaN is not <= 0, so it passes."""
    y = np.empty(x.shape, x.dtype)
    for place in np.ndindex(x.shape):
        if x[place] <= 0:
            y[place] = 0
        else:
            y[place] = x[place]
    return y


def relu_grad(gy, y):
    """gy and the forward output y, any shape -> gx of the same: what passed forward passes backward."""
    gx = np.empty(gy.shape, gy.dtype)
    for place in np.ndindex(gy.shape):
        if y[place] <= 0:
            gx[place] = 0
        else:
            gx[place] = gy[place]
    return gx
