// Convolution by its definition, for filters of few taps or few of them: where a matrix product would be thin.
//
// direct: parallel over output pixels; a thread sums FILTERS filters of one group at one pixel, so that a number of x,
// once read, is multiplied FILTERS times. The block keeps these filters in shared memory, all threads reading the same
// one at a time. Bytes: x once for every FILTERS filters (from the second-level cache from the second time on), y once,
// nothing between. FLOPs: a multiply-add for a quarter of a shared read and a FILTERS-th of a cached one, beside the
// counting; that should leave half of the card's arithmetic (reasoned, not measured). The first layer of a network, 27
// multiplications for each number written, then waits for memory about as long as for arithmetic.
//
// direct_input: parallel over the input's pixels, each gathered by one thread from the outputs that its taps reach. Two
// cached reads for each multiply-add, so it is for few filters a group: upsampling by one filter a channel reads and
// writes its maps once, and does KH*KW/(sh*sw) multiply-adds a pixel, 4 for bilinear.
#include "common.h"
#include "conv_taps.h"

constexpr int MOST_TAPS = 256;  // of a filter, all its channels together: 32 KB of shared memory in double

extern "C" __global__ void direct(const REAL* x, const REAL* weight, const REAL* bias, REAL* y, int images, int groups,
                                  int channels, int filters, int h, int w, int oh, int ow, int kh, int kw, int sh,
                                  int sw, int ph, int pw, int dh, int dw, int relu) {
    alignas(16) __shared__ REAL taps[MOST_TAPS * FILTERS];  // (channels*KH*KW, FILTERS)
    const int parts = (filters + FILTERS - 1) / FILTERS, depth = channels * kh * kw, pixels = oh * ow;
    for (int part = blockIdx.y; part < groups * parts; part += gridDim.y) {
        int group = part / parts, o = group * filters + part % parts * FILTERS;  // the first filter
        int here = min(FILTERS, (group + 1) * filters - o);
        __syncthreads();  // nobody still reads the last ones
        for (int k = threadIdx.x; k < depth * FILTERS; k += THREADS) {
            int filter = k / depth, tap = k % depth;
            taps[tap * FILTERS + filter] = filter < here ? weight[(long long)(o + filter) * depth + tap] : REAL(0);
        }
        __syncthreads();
        for (int n = blockIdx.z; n < images; n += gridDim.z) {
            const REAL* planes = x + ((long long)n * groups + group) * channels * h * w;
            for (int at = first_of_all(); at < pixels; at += all_threads()) {
                int top = at / ow * sh - ph, left = at % ow * sw - pw;
                REAL sum[FILTERS] = {};
                int tap = 0;  // a number, not a pointer: so the compiler sees that it may read four filters at once
                for (int c = 0; c < channels; ++c) {
                    for (int i = 0; i < kh; ++i, tap += kw) {
                        int iy = top + i * dh;
                        if (iy < 0 || iy >= h) continue;
                        const REAL* row = planes + ((long long)c * h + iy) * w;
                        for (int j = 0; j < kw; ++j) {
                            int ix = left + j * dw;
                            if (ix < 0 || ix >= w) continue;
                            REAL value = row[ix];
                            #pragma unroll
                            for (int f = 0; f < FILTERS; ++f) sum[f] += value * taps[(tap + j) * FILTERS + f];
                        }
                    }
                }
                REAL* to = y + ((long long)n * groups * filters + o) * pixels + at;
                #pragma unroll
                for (int f = 0; f < FILTERS; ++f) {
                    if (f >= here) break;
                    REAL value = bias ? sum[f] + bias[o + f] : sum[f];
                    to[(long long)f * pixels] = relu && value <= 0 ? REAL(0) : value;  // NaN passes
                }
            }
        }
    }
}

extern "C" __global__ void direct_input(const REAL* gy, const REAL* weight, REAL* gx, int images, int groups,
                                        int channels, int filters, int h, int w, int oh, int ow, int kh, int kw, int sh,
                                        int sw, int ph, int pw, int dh, int dw, int step_i, int step_j) {
    for (int n = blockIdx.z; n < images; n += gridDim.z) {
        for (int plane = blockIdx.y; plane < groups * channels; plane += gridDim.y) {
            int first = plane / channels * filters, c = plane % channels;  // the first filter of the group
            for (int at = first_of_all(); at < h * w; at += all_threads()) {
                Taps down = taps_that_reach(at / w + ph, kh, sh, dh, step_i);
                Taps across = taps_that_reach(at % w + pw, kw, sw, dw, step_j);
                REAL total = 0;
                for (int o = first; o < first + filters; ++o) {
                    const REAL* map = gy + ((long long)n * groups * filters + o) * oh * ow;
                    const REAL* filter = weight + ((long long)o * channels + c) * kh * kw;
                    for (int i = down.first, p = down.p; i < kh; i += down.step, p -= down.down) {
                        if (p < 0 || p >= oh) continue;
                        for (int j = across.first, q = across.p; j < kw; j += across.step, q -= across.down)
                            if (0 <= q && q < ow) total += map[(long long)p * ow + q] * filter[i * kw + j];
                    }
                }
                gx[((long long)n * groups * channels + plane) * h * w + at] = total;
            }
        }
    }
}
