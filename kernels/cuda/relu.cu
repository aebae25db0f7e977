// ReLU and its gradient.
//
// Parallel over the numbers, one thread each. Bytes: 8 a number forward (one read, one written), 12 backward, and one
// comparison: a GPU waits for its memory here and for nothing else.
#include "common.h"

extern "C" __global__ void relu(const REAL* x, REAL* y, long long count) {
    for (long long at = first_of_all(); at < count; at += all_threads()) {
        REAL value = x[at];
        y[at] = value <= 0 ? REAL(0) : value;  // NaN is not <= 0: it passes
    }
}

extern "C" __global__ void relu_grad(const REAL* gy, const REAL* y, REAL* gx, long long count) {
    for (long long at = first_of_all(); at < count; at += all_threads()) gx[at] = y[at] <= 0 ? REAL(0) : gy[at];
}
