// The sum of each channel over images and pixels, in two launches (block_sum.h).
//
// Parallel over channels, and within each over chunks of its numbers (channel.h). Bytes: 4 a number, read once, and one
// addition in double, of which data-centre GPUs make several in the time that a number takes to come: memory should set
// the pace. (Where there is one double unit to 64 others, the conversion and the addition may come close to it.)
#include "channel.h"

extern "C" __global__ void chunk_sums(const REAL* gy, double* partials, int count, int channels, int pixels) {
    if (own_channel() >= channels) return;
    double sum[1] = {0};
    each_of_channel(count, channels, pixels, [&](long long at) { sum[0] += gy[at]; });
    keep_block_sums(sum, own_place<1>(partials));
}

extern "C" __global__ void channel_sums(REAL* sums, const double* partials, int chunks, int channels) {
    if (own_channel() >= channels) return;
    double sum[1];
    add_partials(of_channel<1>(partials, chunks), chunks, sum);
    if (threadIdx.x == 0) sums[own_channel()] = sum[0];
}
