// How the blocks of a grid share the numbers of each channel of (N, C, H, W).
//
// The grid is (channels, chunks) blocks: block (c, k) has the share k of channel c. So what belongs to a channel, its
// mean or its bias, is read once a thread, and a block's sum is a sum of one channel. The numbers of a channel, counted
// through all images, are 0 ... count - 1; chunk after chunk, thread after thread takes one of them, then all go on by
// chunks * THREADS. Neighbouring threads so read neighbouring numbers, and small planes leave no thread idle.
#pragma once
#include "block_sum.h"

__device__ __forceinline__ int own_channel() { return blockIdx.x; }

// use(at) for each number of this thread, `at` being its offset. count: N * H * W; pixels: H * W.
// The loop has no division: images and pixels of a step are known before, and a carry goes from one to the other.
template <class Use>
__device__ __forceinline__ void each_of_channel(int count, int channels, int pixels, Use use) {
    const int first = blockIdx.y * THREADS + threadIdx.x, step = gridDim.y * THREADS;
    if (first >= count) return;
    const int mine = (count - 1 - first) / step + 1;
    const int more_pixels = step % pixels;
    const long long next_image = (long long)channels * pixels;
    const long long forward = step / pixels * next_image + more_pixels;
    int pixel = first % pixels;
    long long at = first / pixels * next_image + (long long)own_channel() * pixels + pixel;
#pragma unroll 4  // four numbers are on their way from memory at a time
    for (int turn = 0; turn < mine; ++turn) {
        use(at);
        at += forward;
        pixel -= pixels - more_pixels;  // this is + more_pixels, one image further on
        if (pixel < 0) pixel += pixels;
        else at += next_image - pixels;
    }
}

// The place in partials (C, chunks, COUNT) that this block's sums go to, and where those of its channel begin.
template <int COUNT> __device__ __forceinline__ double* own_place(double* partials) {
    return partials + ((long long)own_channel() * gridDim.y + blockIdx.y) * COUNT;
}
template <int COUNT> __device__ __forceinline__ const double* of_channel(const double* partials, int chunks) {
    return partials + (long long)own_channel() * chunks * COUNT;
}
