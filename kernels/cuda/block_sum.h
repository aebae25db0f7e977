// Sums that come out the same in every run: of a block's threads, and of what many blocks have left behind.
//
// A sum over all pixels is made in two launches. In the first each block adds a share and keeps the result in its own
// place of `partials`; in the second one block adds those. Who adds what to what is fixed by the numbers of threads and
// blocks, so that the rounding repeats, which atomics, adding in the order of arrival, cannot promise. All in double:
// a float has 24 bits, and a sum of a million numbers would lose 20 of them.
#pragma once

// Each of the COUNT values becomes its sum over the block, in all threads. All threads of the block have to come.
template <int COUNT> __device__ __forceinline__ void block_sums(double (&values)[COUNT]) {
    __shared__ double of_warps[COUNT][THREADS / 32];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    for (int k = 0; k < COUNT; ++k) {
        for (int by = 16; by > 0; by /= 2) values[k] += __shfl_down_sync(0xffffffff, values[k], by);
    }
    __syncthreads();  // somebody may still be reading what the last call has left
    if (lane == 0) {
        for (int k = 0; k < COUNT; ++k) of_warps[k][warp] = values[k];
    }
    __syncthreads();
    for (int k = 0; k < COUNT; ++k) {
        values[k] = 0;
        for (int other = 0; other < THREADS / 32; ++other) values[k] += of_warps[k][other];
    }
}

// The end of the first launch: the block's sums go to its own `place`, COUNT numbers long.
template <int COUNT> __device__ __forceinline__ void keep_block_sums(double (&values)[COUNT], double* place) {
    block_sums(values);
    if (threadIdx.x == 0) {
        for (int k = 0; k < COUNT; ++k) place[k] = values[k];
    }
}

// The second launch: partials (chunks, COUNT) -> their sums, in all threads of the block.
template <int COUNT>
__device__ __forceinline__ void add_partials(const double* partials, int chunks, double (&sums)[COUNT]) {
    for (int k = 0; k < COUNT; ++k) sums[k] = 0;
    for (int chunk = threadIdx.x; chunk < chunks; chunk += THREADS) {
        for (int k = 0; k < COUNT; ++k) sums[k] += partials[chunk * COUNT + k];
    }
    block_sums(sums);
}
