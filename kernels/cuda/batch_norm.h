// Batch normalisation and its gradients, with a ReLU behind it where RELU is 1: batch_norm.cu and batch_norm_relu.cu.
//
// Parallel over channels, and within each over chunks of its numbers (channel.h). Bytes a number in float32, + 4 for y
// in a gradient with ReLU; a handful of operations on each, so that memory should set the pace everywhere:
//
//     normalize        8: x read, y written
//     gradient        20: gy and x read for the sums, and once more for gx, which needs the sums of all pixels
//     frozen gradient 12: gx needs no sum, so one launch makes it and the sums
//
// What a channel gives in the second reading can still be in the L2 cache only if all of gy and x fit there (50 MB on
// an H100). Small layers wait for their launches instead: 3 for a gradient, 2 for a frozen one, 1 forward.
#pragma once
#include "channel.h"

extern "C" __global__ void normalize(
    const REAL* __restrict__ x, const REAL* mean, const REAL* inv_std, const REAL* weight, const REAL* bias,
    REAL* __restrict__ y, int count, int channels, int pixels) {
    const int c = own_channel();
    if (c >= channels) return;
    const REAL centre = mean[c], factor = inv_std[c] * weight[c], shift = bias[c];
    each_of_channel(count, channels, pixels, [&](long long at) {
        // The mean goes first: folding it into the bias would round away a small signal on a large mean.
        const REAL value = (x[at] - centre) * factor + shift;
        y[at] = RELU && value <= 0 ? REAL(0) : value;
    });
}

// The part of gy that the ReLU let through.
__device__ __forceinline__ REAL let_through(const REAL* gy, const REAL* y, long long at) {
    return RELU && y[at] <= 0 ? REAL(0) : gy[at];
}

// The sums of g * z and of g over each chunk: partials (C, chunks, 2). y is null without ReLU.
extern "C" __global__ void gradient_sums(
    const REAL* gy, const REAL* y, const REAL* x, const REAL* mean, const REAL* inv_std, double* partials,
    int count, int channels, int pixels) {
    const int c = own_channel();
    if (c >= channels) return;
    const REAL centre = mean[c], factor = inv_std[c];
    double sums[2] = {0, 0};
    each_of_channel(count, channels, pixels, [&](long long at) {
        const REAL g = let_through(gy, y, at);
        sums[0] += g * ((x[at] - centre) * factor);
        sums[1] += g;
    });
    keep_block_sums(sums, own_place<2>(partials));
}

// The same, and gx, for statistics that are constants.
extern "C" __global__ void frozen_gradient(
    const REAL* __restrict__ gy, const REAL* __restrict__ y, const REAL* __restrict__ x, const REAL* mean,
    const REAL* inv_std, const REAL* weight, REAL* __restrict__ gx, double* partials,
    int count, int channels, int pixels) {
    const int c = own_channel();
    if (c >= channels) return;
    const REAL centre = mean[c], factor = inv_std[c], scale = weight[c] * inv_std[c];
    double sums[2] = {0, 0};
    each_of_channel(count, channels, pixels, [&](long long at) {
        const REAL g = let_through(gy, y, at);
        gx[at] = scale * g;
        sums[0] += g * ((x[at] - centre) * factor);
        sums[1] += g;
    });
    keep_block_sums(sums, own_place<2>(partials));
}

extern "C" __global__ void add_gradient_sums(
    REAL* gweight, REAL* gbias, const double* partials, int chunks, int channels) {
    const int c = own_channel();
    if (c >= channels) return;
    double sums[2];
    add_partials(of_channel<2>(partials, chunks), chunks, sums);
    if (threadIdx.x == 0) {
        gweight[c] = sums[0];
        gbias[c] = sums[1];
    }
}

// gx = weight * inv_std * (g - gbias/M - z * gweight/M), with M = N*H*W and z = (x - mean) * inv_std.
extern "C" __global__ void gradient(
    const REAL* __restrict__ gy, const REAL* __restrict__ y, const REAL* __restrict__ x, const REAL* mean,
    const REAL* inv_std, const REAL* weight, const REAL* gweight, const REAL* gbias, REAL* __restrict__ gx,
    int count, int channels, int pixels) {
    const int c = own_channel();
    if (c >= channels) return;
    const REAL centre = mean[c], factor = inv_std[c], scale = weight[c] * inv_std[c];
    const REAL slope = gweight[c] / count, shift = gbias[c] / count;
    each_of_channel(count, channels, pixels, [&](long long at) {
        const REAL z = (x[at] - centre) * factor;
        gx[at] = scale * (let_through(gy, y, at) - shift - z * slope);
    });
}
