// One number for each channel, added to all its pixels, in place.
//
// Parallel over channels, and within each over chunks of its numbers (channel.h). Bytes: 8 a number, one read and
// written back, and one addition: memory sets the pace. A thread's next number may, for all the compiler knows, be the
// one that it writes now, so it asks for one at a time, and only the many threads keep the memory busy.
#include "channel.h"

extern "C" __global__ void add_bias(REAL* y, const REAL* bias, int count, int channels, int pixels) {
    if (own_channel() >= channels) return;
    const REAL more = bias[own_channel()];
    each_of_channel(count, channels, pixels, [&](long long at) { y[at] += more; });
}
