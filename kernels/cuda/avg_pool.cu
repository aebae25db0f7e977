// Average pooling and its gradient.
//
// Forward, a thread sums a window, in one plane after the other (planes.h); windows of many pixels, such as those of
// global pooling, are summed by a block each. Backward, a thread owns a pixel and adds the shares of the windows over
// it, in the order of `reference`. Neighbours in a warp are neighbours in a row.
//
// Bytes for each pixel (float32, 2x2/2): 5 both ways, read once and written once; one addition, in double forward.
// Memory should be the limit for small windows on a card that adds doubles at half speed. Large windows that overlap
// are read again for each window, from the caches; a few planes under one large window each leave most of the card
// idle: a block sums 200,000 pixels while the others wait.
#include "planes.h"
#include "window_sums.h"

extern "C" __global__ void avg_pool2d(const REAL* __restrict__ x, const REAL* __restrict__ divisor,
                                      REAL* __restrict__ y, int planes, int at_once, int h, int w, int oh, int ow,
                                      int kh, int kw, int sh, int sw, int ph, int pw) {
    Place place = place_in(oh * ow);
    if (place.plane >= at_once) return;
    Span rows = pixels_under(place.pixel / ow, kh, sh, ph, h), cols = pixels_under(place.pixel % ow, kw, sw, pw, w);
    REAL size = divisor[place.pixel];
#pragma unroll 4
    for (int plane = place.plane; plane < planes; plane += at_once)
        y[(long long)plane * oh * ow + place.pixel] =
            REAL(window_sum(x + (long long)plane * h * w, rows, cols, w)) / size;
}

// A block for each window.
extern "C" __global__ void avg_pool2d_large(const REAL* __restrict__ x, const REAL* __restrict__ divisor,
                                            REAL* __restrict__ y, int planes, int h, int w, int oh, int ow,
                                            int kh, int kw, int sh, int sw, int ph, int pw) {
    for (long long at = blockIdx.x; at < (long long)planes * oh * ow; at += gridDim.x) {
        int window = at % (oh * ow);
        Span rows = pixels_under(window / ow, kh, sh, ph, h), cols = pixels_under(window % ow, kw, sw, pw, w);
        double sum = window_sum_by_block(x + at / (oh * ow) * h * w, rows, cols, w);
        if (threadIdx.x == 0) y[at] = REAL(sum) / divisor[window];
    }
}

extern "C" __global__ void avg_pool2d_grad(const REAL* __restrict__ gy, const REAL* __restrict__ divisor,
                                           REAL* __restrict__ gx, int planes, int at_once, int h, int w, int oh, int ow,
                                           int kh, int kw, int sh, int sw, int ph, int pw) {
    Place place = place_in(h * w);
    if (place.plane >= at_once) return;
    Span rows = windows_over(place.pixel / w, kh, sh, ph, oh), cols = windows_over(place.pixel % w, kw, sw, pw, ow);
#pragma unroll 4
    for (int plane = place.plane; plane < planes; plane += at_once)
        gx[(long long)plane * h * w + place.pixel] =
            sum_of_shares(gy + (long long)plane * oh * ow, divisor, rows, cols, ow);
}
