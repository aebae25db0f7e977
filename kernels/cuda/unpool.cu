// Unpooling: values go to the places that a max-pooling wrote down, and gradients come back from there.
//
// gather: a thread keeps its window and goes from plane to plane (planes.h).
//
// scatter: a block owns a range of gx, a part of one large plane or several small planes, and builds it in shared
// memory. It looks at all places of its planes, stores the values that fall into its range, and writes the range to gx
// in one go: each pixel once, zeros and all, in whole cache lines. Stored straight into gx, values would meet zeros
// that may have left the cache again.
//   A bit for each pixel says whether a value came already. Setting it is an atomic operation on integers, so exactly
// one of several values with the same place finds it unset. If another finds it set, the block notes that places
// repeat, and does its range again: every thread owns some pixels of it, reads all places in their order and adds. So
// sums are made in the order of the outputs, as in `reference`, and where nothing repeats nothing is added.
//   A range has at most 16 KiB: some 8 rows of 500 pixels, and as many blocks on a multiprocessor as have room for
// their registers. A plane of 500x500 makes 62 ranges, and 62 blocks that read all of its places would take several
// times as long as a copy. So for planes larger than a range a first launch notes the smallest and the largest place
// of each SEGMENT of outputs, one warp a segment, and blocks skip the segments that miss their range. A pooling's
// places hardly leave the order of its windows: a block reads a segment or two more than it needs. Places in any other
// order are no less right, only slower.
//
// For each pixel (float32, 2x2/2): scatter 2 bytes read, 1 more by the first launch, 4 written: with what is read twice
// some 7, where a copy that knew its places would move 6. gather about 5 read (a cache line for each window, or for
// two), 1 written. No arithmetic: memory should be the limit. Far from it are maps with fewer than 32 values, which
// leave lanes idle in scatter; less than some 500 small planes, which do not fill the card with blocks; and ranges with
// repeats, whose threads each go through all places.
#include "planes.h"

extern "C" __global__ void gather(const REAL* __restrict__ x, const int* __restrict__ indices, REAL* __restrict__ y,
                                  int planes, int at_once, int size, int values) {
    Place place = place_in(values);
    if (place.plane >= at_once) return;
#pragma unroll 4
    for (int plane = place.plane; plane < planes; plane += at_once) {
        long long at = (long long)plane * values + place.pixel;
        y[at] = x[(long long)plane * size + indices[at]];
    }
}

constexpr int LANES = 32;  // of a warp
constexpr int SEGMENT = 256;  // outputs that are skipped together, as in unpool.py
constexpr int MOST_PIXELS = 16384 / sizeof(REAL);  // of a range, as there

// SEGMENT outputs of one plane, fewer at its end.
struct Segment { long long first, last; };  // outputs of all planes, laid end to end

__device__ __forceinline__ Segment segment_of(long long plane, int number, int values) {
    long long end = (plane + 1) * values, first = plane * values + (long long)number * SEGMENT;
    return {first, first + SEGMENT < end ? first + SEGMENT : end};
}

// The smallest and the largest place in each segment, (planes, segments, 2).
extern "C" __global__ void scatter_bounds(const int* __restrict__ indices, int* __restrict__ bounds, const REAL*,
                                          int planes, int values, int segments) {
    long long number = first_of_all() / LANES;
    if (number >= (long long)planes * segments) return;  // the whole warp
    Segment segment = segment_of(number / segments, number % segments, values);
    int low = 0x7fffffff, high = -1;
#pragma unroll
    for (int turn = 0; turn < SEGMENT; turn += LANES) {
        long long k = segment.first + turn + threadIdx.x % LANES;
        if (k < segment.last) low = min(low, indices[k]), high = max(high, indices[k]);
    }
    for (int by = LANES / 2; by > 0; by /= 2) {
        low = min(low, __shfl_xor_sync(0xffffffffu, low, by));
        high = max(high, __shfl_xor_sync(0xffffffffu, high, by));
    }
    if (threadIdx.x % LANES == 0) bounds[2 * number] = low, bounds[2 * number + 1] = high;
}

// What a block works on: pixels `first`, ..., first + count - 1 of its planes, laid end to end.
struct Share {
    long long plane;  // its first
    int planes, first, count;
};

// A block has `each` whole planes of `size` pixels; or, if a plane has more than `range`, that many pixels of one.
__device__ __forceinline__ Share share_of(long long number, int planes, int each, int size, int range) {
    int ranges = (each * size + range - 1) / range;
    Share share;
    share.plane = number / ranges * each;
    share.planes = int(min((long long)each, planes - share.plane));
    share.first = number % ranges * range;
    share.count = min(range, share.planes * size - share.first);
    return share;
}

// Whether a segment has no place in the range. Where ranges are whole planes, nobody asked for bounds.
__device__ __forceinline__ bool misses(const int* __restrict__ bounds, long long segment, Share share) {
    return bounds && (bounds[2 * segment + 1] < share.first || bounds[2 * segment] >= share.first + share.count);
}

// Puts each value that falls into the range into `sums`, if it is the first with its place; else notes the repeat.
__device__ __forceinline__ void store(const REAL* __restrict__ gy, const int* __restrict__ indices,
                                      const int* __restrict__ bounds, Share share, int size, int values, int segments,
                                      REAL* sums, unsigned* taken, int* repeats) {
    for (int number = threadIdx.x / LANES; number < share.planes * segments; number += THREADS / LANES) {  // a warp's
        int plane = number / segments;
        if (misses(bounds, share.plane * segments + number, share)) continue;
        Segment segment = segment_of(share.plane + plane, number % segments, values);
        int place[SEGMENT / LANES];
        REAL value[SEGMENT / LANES];
#pragma unroll
        for (int turn = 0; turn < SEGMENT / LANES; ++turn) {  // all reads first: none waits for another
            long long k = segment.first + turn * LANES + threadIdx.x % LANES;
            place[turn] = k < segment.last ? plane * size + indices[k] - share.first : -1;
        }
#pragma unroll
        for (int turn = 0; turn < SEGMENT / LANES; ++turn) {
            long long k = segment.first + turn * LANES + threadIdx.x % LANES;
            if (place[turn] >= share.count) place[turn] = -1;
            value[turn] = place[turn] >= 0 ? gy[k] : 0;
        }
#pragma unroll
        for (int turn = 0; turn < SEGMENT / LANES; ++turn) {
            if (place[turn] < 0) continue;
            unsigned bit = 1u << place[turn] % 32;
            if (atomicOr(&taken[place[turn] / 32], bit) & bit) atomicOr(repeats, 1);
            else sums[place[turn]] = value[turn];
        }
    }
}

// Adds all values that fall on this thread's pixels, in the order of the outputs.
__device__ __forceinline__ void add(const REAL* __restrict__ gy, const int* __restrict__ indices,
                                    const int* __restrict__ bounds, Share share, int size, int values, int segments,
                                    REAL* sums) {
    for (int number = 0; number < share.planes * segments; ++number) {
        int plane = number / segments;
        if (misses(bounds, share.plane * segments + number, share)) continue;
        Segment segment = segment_of(share.plane + plane, number % segments, values);
        for (long long k = segment.first; k < segment.last; ++k) {
            int place = plane * size + indices[k] - share.first;
            if (0 <= place && place < share.count && place % THREADS == threadIdx.x) sums[place] += gy[k];
        }
    }
}

extern "C" __global__ void scatter(const REAL* __restrict__ gy, const int* __restrict__ indices,
                                   const int* __restrict__ bounds, REAL* __restrict__ gx, long long shares, int planes,
                                   int each, int size, int range, int values, int segments) {
    __shared__ REAL sums[MOST_PIXELS];
    __shared__ unsigned taken[MOST_PIXELS / 32];
    __shared__ int repeats;
    if (blockIdx.x >= shares) return;  // the whole block
    Share share = share_of(blockIdx.x, planes, each, size, range);
    for (int i = threadIdx.x; i < share.count; i += THREADS) sums[i] = 0;
    for (int i = threadIdx.x; i < MOST_PIXELS / 32; i += THREADS) taken[i] = 0;
    if (threadIdx.x == 0) repeats = 0;
    __syncthreads();
    store(gy, indices, bounds, share, size, values, segments, sums, taken, &repeats);
    __syncthreads();
    // From here on every thread keeps to its own pixels, and nobody has to wait for another.
    if (repeats) {
        for (int i = threadIdx.x; i < share.count; i += THREADS) sums[i] = 0;
        add(gy, indices, bounds, share, size, values, segments, sums);
    }
    REAL* out = gx + share.plane * size + share.first;
    for (int i = threadIdx.x; i < share.count; i += THREADS) out[i] = sums[i];
}
