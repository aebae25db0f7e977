// Adaptive average pooling and its gradient.
//
// As average pooling (avg_pool.cu) does it: a thread for each window, or a block where windows are large, and backward
// a thread for each pixel. What differs is where windows lie. Their sizes are written down once by a first launch,
// since pixels would divide for them again in every plane.
//
// Bytes for each pixel (float32): 4, read once forward, written once backward; one addition in double forward. Memory
// should be the limit from about a thousand windows on; a few large windows leave most of the card idle.
#include "planes.h"
#include "window_sums.h"

// Along an axis of `size` pixels cut into `count` windows: the pixels floor(p*size/count) up to, not including,
// ceil((p+1)*size/count). The windows over a pixel are given by the same formula with the sizes exchanged.
__device__ __forceinline__ Span span_of(int p, int size, int count) {
    return {int((long long)p * size / count), int(((p + 1LL) * size + count - 1) / count)};
}

extern "C" __global__ void window_sizes(REAL* sizes, int h, int w, int oh, int ow) {
    for (int window = first_of_all(); window < oh * ow; window += all_threads()) {
        Span rows = span_of(window / ow, h, oh), cols = span_of(window % ow, w, ow);
        sizes[window] = REAL((rows.last - rows.first) * (cols.last - cols.first));
    }
}

extern "C" __global__ void adaptive_avg_pool2d(const REAL* __restrict__ x, REAL* __restrict__ y, int planes,
                                               int at_once, int h, int w, int oh, int ow) {
    Place place = place_in(oh * ow);
    if (place.plane >= at_once) return;
    Span rows = span_of(place.pixel / ow, h, oh), cols = span_of(place.pixel % ow, w, ow);
    REAL size = (rows.last - rows.first) * (cols.last - cols.first);
#pragma unroll 4
    for (int plane = place.plane; plane < planes; plane += at_once)
        y[(long long)plane * oh * ow + place.pixel] =
            REAL(window_sum(x + (long long)plane * h * w, rows, cols, w)) / size;
}

// A block for each window.
extern "C" __global__ void adaptive_avg_pool2d_large(const REAL* __restrict__ x, REAL* __restrict__ y, int planes,
                                                     int h, int w, int oh, int ow) {
    for (long long at = blockIdx.x; at < (long long)planes * oh * ow; at += gridDim.x) {
        int window = at % (oh * ow);
        Span rows = span_of(window / ow, h, oh), cols = span_of(window % ow, w, ow);
        double sum = window_sum_by_block(x + at / (oh * ow) * h * w, rows, cols, w);
        if (threadIdx.x == 0) y[at] = REAL(sum) / REAL((rows.last - rows.first) * (cols.last - cols.first));
    }
}

extern "C" __global__ void adaptive_avg_pool2d_grad(const REAL* __restrict__ gy, const REAL* __restrict__ sizes,
                                                    REAL* __restrict__ gx, int planes, int at_once, int h, int w,
                                                    int oh, int ow) {
    Place place = place_in(h * w);
    if (place.plane >= at_once) return;
    Span rows = span_of(place.pixel / w, oh, h), cols = span_of(place.pixel % w, ow, w);
#pragma unroll 4
    for (int plane = place.plane; plane < planes; plane += at_once)
        gx[(long long)plane * h * w + place.pixel] =
            sum_of_shares(gy + (long long)plane * oh * ow, sizes, rows, cols, ow);
}
