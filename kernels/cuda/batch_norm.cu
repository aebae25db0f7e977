// Batch normalisation: the statistics, here, and what is shared with batch_norm_relu.cu, in batch_norm.h.
//
// The variance is that around the mean: a first reading for the mean, a second for the squares, 8 bytes a number. One
// reading would do with E[x^2] - mean^2, which subtracts two large, nearly equal numbers when the mean is large. A
// number costs a subtraction, a multiplication and two additions in double: memory should set the pace here too.
#define RELU 0
#include "batch_norm.h"

extern "C" __global__ void chunk_sums(const REAL* x, double* partials, int count, int channels, int pixels) {
    if (own_channel() >= channels) return;
    double sum[1] = {0};
    each_of_channel(count, channels, pixels, [&](long long at) { sum[0] += x[at]; });
    keep_block_sums(sum, own_place<1>(partials));
}

// The mean of this block's channel, in double: rounding it before the squares are taken would spoil them.
__device__ __forceinline__ double channel_mean(const double* sums, int chunks, int count) {
    double sum[1];
    add_partials(of_channel<1>(sums, chunks), chunks, sum);
    return sum[0] / count;
}

// Every block adds its channel's sums for itself: a few numbers from the cache, against one more launch.
extern "C" __global__ void chunk_squares(
    const REAL* x, const double* sums, double* partials, int count, int channels, int pixels) {
    if (own_channel() >= channels) return;
    const double centre = channel_mean(sums, gridDim.y, count);
    double squares[1] = {0};
    each_of_channel(count, channels, pixels, [&](long long at) {
        const double off = x[at] - centre;
        squares[0] += off * off;
    });
    keep_block_sums(squares, own_place<1>(partials));
}

extern "C" __global__ void statistics(
    REAL* mean, REAL* var, const double* sums, const double* squares, int chunks, int count, int channels) {
    if (own_channel() >= channels) return;
    const double centre = channel_mean(sums, chunks, count), spread = channel_mean(squares, chunks, count);
    if (threadIdx.x == 0) {
        mean[own_channel()] = centre;
        var[own_channel()] = spread;
    }
}
