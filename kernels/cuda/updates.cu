// The optimisers' steps, all of a step in one pass over a parameter's numbers.
//
// Parallel over the numbers, one thread each. Bytes a number, float32: SGD 20 (3 read, 2 written), Adam 28 (4 and 3),
// and some ten to fifty operations, where an H200 has more than a hundred in that time: memory should set the pace. A
// parameter of few numbers, a bias, takes no longer than its launch.
#include "common.h"

// velocity = momentum * velocity + lr * (gradient + decay * parameter);  parameter = parameter - velocity
extern "C" __global__ void sgd_update(
    REAL* __restrict__ data, REAL* __restrict__ velocity, const REAL* __restrict__ gradient,
    REAL lr, REAL momentum, REAL decay, long long count) {
    for (long long at = first_of_all(); at < count; at += all_threads()) {
        const REAL value = data[at], change = momentum * velocity[at] + lr * (gradient[at] + decay * value);
        velocity[at] = change;
        data[at] = value - change;
    }
}

// rest = 1 - beta; share = 1 - beta^step: the means of the gradient and of its square start at 0 and hold that much.
extern "C" __global__ void adam_update(
    REAL* __restrict__ data, REAL* __restrict__ first, REAL* __restrict__ second, const REAL* __restrict__ gradient,
    REAL lr, REAL decay, REAL beta1, REAL rest1, REAL share1, REAL beta2, REAL rest2, REAL share2, REAL eps,
    long long count) {
    for (long long at = first_of_all(); at < count; at += all_threads()) {
        const REAL value = data[at], g = gradient[at] + decay * value;
        const REAL mean = beta1 * first[at] + rest1 * g, square = beta2 * second[at] + rest2 * g * g;
        first[at] = mean;
        second[at] = square;
        data[at] = value - lr * (mean / share1) / (sqrt(square / share2) + eps);
    }
}
