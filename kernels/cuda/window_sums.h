// Sums that average poolings make. Those over the pixels of a window, by one thread or by a block, are in double: a
// running float32 sum of 200,000 numbers near 1 would be off by some 1e-5 of itself.
#pragma once
#include "block_sum.h"
#include "windows.h"

__device__ __forceinline__ double window_sum(const REAL* __restrict__ image, Span rows, Span cols, int w) {
    double sum = 0;
    for (int iy = rows.first; iy < rows.last; ++iy)
        for (int ix = cols.first; ix < cols.last; ++ix) sum += image[iy * w + ix];
    return sum;
}

// All threads get the sum. The threads lie over the window as a tile, `across` of them in a row.
__device__ __forceinline__ double window_sum_by_block(const REAL* __restrict__ image, Span rows, Span cols, int w) {
    if (cols.first == 0 && cols.last == w) {  // whole rows are one long row, and no thread is left over at their ends
        cols = {rows.first * w, rows.last * w};
        rows = {0, 1};
    }
    int across = 1;
    while (across < cols.last - cols.first && across < THREADS) across *= 2;
    double sum[1] = {};
    for (int iy = rows.first + int(threadIdx.x) / across; iy < rows.last; iy += THREADS / across) {
#pragma unroll 4
        for (int ix = cols.first + int(threadIdx.x) % across; ix < cols.last; ix += across)
            sum[0] += image[iy * w + ix];
    }
    block_sums(sum);
    return sum[0];
}

// Backward: what a pixel gets from the windows over it.
__device__ __forceinline__ REAL sum_of_shares(const REAL* __restrict__ gy, const REAL* __restrict__ divisor, Span rows,
                                              Span cols, int ow) {
    REAL sum = 0;
    for (int p = rows.first; p < rows.last; ++p)
        for (int q = cols.first; q < cols.last; ++q) sum += gy[p * ow + q] / divisor[p * ow + q];
    return sum;
}
