// Softmax cross-entropy over pixels, and its gradient.
//
// Parallel over pixels: a thread goes through the scores of one pixel, which lie a map apart, and neighbouring threads
// through those beside it. Forward reads each score twice, for the largest one and for the exponentials. With 21
// classes a block of 256 threads has 21 KiB of scores, which its second reading should find in the L1 cache; hundreds
// of classes come from the L2 cache, or from memory again. Bytes a score, float32: forward 4, backward 8 (x and gx).
//
// An exponential takes some 20 operations, about as many as an H200 does in the time that 4 bytes take: forward should
// lie at the limits of both memory and arithmetic, backward at that of memory. The exponentials of a pixel are added,
// and their logarithm taken, in double: where the network is sure, the loss is their small difference from 1.
#include "block_sum.h"

// What a pixel with label t counts; p is its number among all.
__device__ __forceinline__ REAL counts_of(const REAL* weight, const REAL* pixel_weight, int t, unsigned p) {
    return pixel_weight ? weight[t] * pixel_weight[p] : weight[t];
}

// The offset in (N, C, H, W) of the score of pixel p, among all N * H * W, for class 0. The others follow a map apart.
__device__ __forceinline__ long long scores_of(unsigned p, int classes, int pixels) {
    return (long long)(p / pixels) * classes * pixels + p % pixels;
}

// partials (blocks, 3): of each block the sums of the losses, of what their pixels count, and their number.
extern "C" __global__ void softmax_cross_entropy(
    const REAL* __restrict__ x, const int* __restrict__ target, const REAL* weight, const REAL* pixel_weight,
    int ignored, REAL* __restrict__ log_sum_exp, double* partials, int blocks, int count, int classes, int pixels) {
    if (blockIdx.x >= blocks) return;
    double sums[3] = {0, 0, 0};
    for (unsigned p = blockIdx.x * THREADS + threadIdx.x; p < count; p += blocks * THREADS) {
        const REAL* scores = x + scores_of(p, classes, pixels);
        REAL top = scores[0];
#pragma unroll 4
        for (int c = 1; c < classes; ++c) {
            const REAL score = scores[(long long)c * pixels];
            top = score > top ? score : top;
        }
        double exponentials = 0;
#pragma unroll 4
        for (int c = 0; c < classes; ++c) exponentials += exp(scores[(long long)c * pixels] - top);
        const double log_sum = log(exponentials);
        log_sum_exp[p] = top + log_sum;
        const int t = target[p];
        if (t == ignored) continue;
        const double counts = counts_of(weight, pixel_weight, t, p);
        // Not log_sum_exp - x[t]: where the network is sure of t, that difference is far below top.
        sums[0] += counts * (log_sum - (scores[(long long)t * pixels] - top));
        sums[1] += counts;
        sums[2] += 1;
    }
    keep_block_sums(sums, partials + blockIdx.x * 3);
}

extern "C" __global__ void add_losses(REAL* totals, long long* valid, const double* partials, int blocks) {
    if (blockIdx.x > 0) return;
    double sums[3];
    add_partials(partials, blocks, sums);
    if (threadIdx.x == 0) {
        totals[0] = sums[0];
        totals[1] = sums[1];
        *valid = sums[2];  // exact: a double counts to 2^53
    }
}

extern "C" __global__ void softmax_cross_entropy_grad(
    const REAL* __restrict__ x, const int* __restrict__ target, const REAL* weight, const REAL* pixel_weight,
    const REAL* __restrict__ log_sum_exp, int ignored, REAL scale, REAL* __restrict__ gx,
    int count, int classes, int pixels) {
    const unsigned p = blockIdx.x * THREADS + threadIdx.x;
    if (p >= count) return;
    const long long first = scores_of(p, classes, pixels);
    const int t = target[p];
    if (t == ignored) {  // 0 whatever its scores are, even NaN
        for (int c = 0; c < classes; ++c) gx[first + (long long)c * pixels] = 0;
        return;
    }
    const REAL counts = scale * counts_of(weight, pixel_weight, t, p), of_pixel = log_sum_exp[p];
#pragma unroll 4
    for (int c = 0; c < classes; ++c) {
        const long long at = first + (long long)c * pixels;
        gx[at] = counts * (exp(x[at] - of_pixel) - (c == t ? 1 : 0));
    }
}
