"""The optimisers' steps in one pass: each number's gradient, memory and value are read, changed and written together.

SGD moves 20 bytes a number (reads 3, writes 2), Adam 28 (reads 4, writes 3); on arrays each operation would be a pass.

A network has a hundred parameters, and most are short: a call of a compiled function takes longer than their numbers.
So there is one call for all. A table says where each one's arrays lie and which of all numbers, counted through, are
its own; a thread takes a share of that count, whatever parameters it falls on.

Measured (2026-11, two threads, Zen 4) against a copy of as many bytes: 14 million numbers go at 43 and 39 GB/s,
1.5 times as fast as the copy, since they come back to where they were read; 40 parameters of 4096 at half its speed.
"""

import numpy as np
from numba import carray, types
from numba.extending import intrinsic

from ._compile import compiled
from ._layout import contiguous
from ._planes import GRAIN
from ._threads import run


def sgd_update(parameters, gradients, velocities, lrs, momentum, decays):
    """velocity = momentum * velocity + lr * (gradient + decay * parameter);  parameter = parameter - velocity."""
    _in_place(_sgd, (parameters, velocities), gradients, (lrs, decays), (momentum,))


def adam_update(parameters, gradients, firsts, seconds, lrs, beta1, beta2, eps, decays, step):
    """Adam (Kingma, Ba 2015, algorithm 1); step counts from 1."""
    share1, share2 = 1 - beta1**step, 1 - beta2**step
    rates = [lr / share1 for lr in lrs]
    _in_place(_adam, (parameters, firsts, seconds), gradients, (rates, decays),
              (beta1, 1 - beta1, beta2, 1 - beta2, 1 / share2, eps))


def _in_place(kernel, changing, gradients, own, common):
    """Run the kernel on all parameters at once.

    changing: lists of the arrays that change; own: lists of settings, one for each parameter; common: settings of all.
    """
    flat = [[_flat(array) for array in arrays] for arrays in changing]
    flat.append([contiguous(gradient).reshape(-1) for gradient in gradients])
    table = np.empty((len(gradients), len(flat) + 2), np.int64)  # where its arrays lie, its first number, its stop
    stop = 0
    for row, arrays in zip(table, zip(*flat, strict=True), strict=True):
        first, stop = stop, stop + arrays[-1].size
        row[-2], row[-1] = first, stop
        _note_addresses(row, arrays)
    dtype = gradients[0].dtype
    run(kernel, stop, table, np.array(own, dtype), np.array(common, dtype), grain=GRAIN // 2)
    for arrays, changed in zip(changing, flat, strict=False):
        for array, one in zip(arrays, changed, strict=True):
            if not array.flags.carray:  # the loop wants numbers one behind the other, and worked on a copy
                array[...] = one.reshape(array.shape)


def _flat(array):
    return array.reshape(-1) if array.flags.carray else np.array(array, order="C").reshape(-1)


@compiled
def _note_addresses(row, arrays):
    """arrays: a tuple, alike. From Python, each address would take a microsecond."""
    for k, array in enumerate(arrays):
        row[k] = array.ctypes.data


@intrinsic
def _pointer(typing, address, like):
    """To numbers of the type that the array `like` has."""
    pointer = types.CPointer(like.dtype)

    def build(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(pointer))

    return pointer(types.int64, like), build


@compiled
def _cut(row, start, stop):
    """Which of a parameter's numbers are among the numbers start:stop of all: first and last, counted from its own."""
    return max(start, row[-2]) - row[-2], min(stop, row[-1]) - row[-2]


@compiled
def _numbers(row, k, like, first, last):
    """Array k of a parameter, from first to last."""
    return carray(_pointer(row[k], like), row[-1] - row[-2])[first:last]


@compiled
def _sgd(part, start, stop, table, own, common):
    """table (P, 5), own (2, P), common (1,): numbers start:stop of all."""
    for p in range(len(table)):
        first, last = _cut(table[p], start, stop)
        if first < last:
            data, velocity = _numbers(table[p], 0, own, first, last), _numbers(table[p], 1, own, first, last)
            gradient = _numbers(table[p], 2, own, first, last)
            _sgd_numbers(data, velocity, gradient, own[0, p], own[1, p], common[0])


@compiled(fastmath={"contract"})
def _sgd_numbers(data, velocity, gradient, lr, decay, momentum):
    for i in range(data.size):
        change = momentum * velocity[i] + lr * (gradient[i] + decay * data[i])
        velocity[i] = change
        data[i] -= change


@compiled
def _adam(part, start, stop, table, own, common):
    """table (P, 6), own (2, P), common (6,): numbers start:stop of all."""
    for p in range(len(table)):
        first, last = _cut(table[p], start, stop)
        if first < last:
            data, mean = _numbers(table[p], 0, own, first, last), _numbers(table[p], 1, own, first, last)
            square, gradient = _numbers(table[p], 2, own, first, last), _numbers(table[p], 3, own, first, last)
            _adam_numbers(data, mean, square, gradient, own[0, p], own[1, p], common)


@compiled(fastmath={"contract"})
def _adam_numbers(data, first, second, gradient, rate, decay, common):
    beta1, rest1, beta2, rest2, enlarge, eps = common[0], common[1], common[2], common[3], common[4], common[5]
    for i in range(data.size):
        g = gradient[i] + decay * data[i]
        mean = beta1 * first[i] + rest1 * g
        square = beta2 * second[i] + rest2 * g * g
        first[i], second[i] = mean, square
        data[i] -= rate * mean / (np.sqrt(square * enlarge) + eps)
