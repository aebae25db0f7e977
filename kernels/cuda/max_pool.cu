// Max-pooling and its gradient.
//
// Parallel over the windows forward and over the pixels backward, in as many planes as fill the card; a thread keeps
// its window or pixel and goes from plane to plane (planes.h). Neighbours in a warp are neighbours in a row, so reads
// and writes are coalesced; where windows overlap, the first-level cache serves a pixel again.
//
// Backward, a pixel asks the windows over it whether it was their winner. It reads where a window would write, so no
// two threads meet at one address and nothing needs an atomic. Windows that do not overlap have a kernel of their own:
// with one window to ask, a thread can ask it in four planes at the same time.
//
// For each pixel of x (float32, 2x2/2): forward 4 bytes read and 2 written, backward 2 read and 4 written; one
// comparison. That is a copy's work, and by these counts memory is the limit for 2x2 windows. A 3x3 window at stride 2
// moves 24 bytes and takes some 10 instructions for each of 9 taps, which is about what an H200 does in that time: the
// two limits meet there, and larger windows wait for instructions.
#include "planes.h"
#include "windows.h"

// A window that begins at (top, left) of the unpadded input, in one plane after the other.
__device__ __forceinline__ void best_in_planes(
        const REAL* __restrict__ x, REAL* __restrict__ y, int* __restrict__ indices, Place place, int planes,
        int at_once, int top, int left, int h, int w, int windows, int kh, int kw, int dh, int dw) {
#pragma unroll 2
    for (int plane = place.plane; plane < planes; plane += at_once) {
        const REAL* image = x + (long long)plane * h * w;
        REAL best = 0;
        int winner = -1;  // no tap was inside yet
        for (int i = 0; i < kh; ++i) {
            for (int j = 0; j < kw; ++j) {
                int iy = top + i * dh, ix = left + j * dw;
                bool inside = 0 <= iy && iy < h && 0 <= ix && ix < w;
                REAL value = inside ? image[iy * w + ix] : best;
                // "Not less or equal" is also true of NaN: the first NaN beats every number and is never beaten.
                bool larger = !(value <= best) && best == best;
                if (inside && (winner < 0 || larger)) best = value, winner = iy * w + ix;
            }
        }
        long long at = (long long)plane * windows + place.pixel;
        y[at] = best;
        indices[at] = winner;
    }
}

extern "C" __global__ void max_pool2d(const REAL* x, REAL* y, int* indices, int planes, int at_once, int h, int w,
                                      int oh, int ow, int kh, int kw, int sh, int sw, int ph, int pw, int dh, int dw) {
    Place place = place_in(oh * ow);
    if (place.plane >= at_once) return;
    int top = place.pixel / ow * sh - ph, left = place.pixel % ow * sw - pw;
    // Three times the same: where the compiler knows the sizes it writes the taps out, and all are read together.
    if (kh == 2 && kw == 2)
        best_in_planes(x, y, indices, place, planes, at_once, top, left, h, w, oh * ow, 2, 2, dh, dw);
    else if (kh == 3 && kw == 3)
        best_in_planes(x, y, indices, place, planes, at_once, top, left, h, w, oh * ow, 3, 3, dh, dw);
    else
        best_in_planes(x, y, indices, place, planes, at_once, top, left, h, w, oh * ow, kh, kw, dh, dw);
}

// Windows that do not overlap: at most one is over a pixel.
extern "C" __global__ void max_pool2d_grad_apart(
        const REAL* __restrict__ gy, const int* __restrict__ indices, REAL* __restrict__ gx, int planes, int at_once,
        int h, int w, int oh, int ow, int kh, int kw, int sh, int sw, int ph, int pw, int dh, int dw) {
    Place place = place_in(h * w);
    if (place.plane >= at_once) return;
    Span rows = windows_over(place.pixel / w, dh * (kh - 1) + 1, sh, ph, oh);
    Span cols = windows_over(place.pixel % w, dw * (kw - 1) + 1, sw, pw, ow);
    bool covered = rows.first < rows.last && cols.first < cols.last;
    int window = rows.first * ow + cols.first;
#pragma unroll 4
    for (int plane = place.plane; plane < planes; plane += at_once) {
        long long at = (long long)plane * oh * ow + window;
        int winner = covered ? indices[at] : -1;
        REAL share = covered ? gy[at] : 0;  // read together with the winner, not after it is known
        gx[(long long)plane * h * w + place.pixel] = winner == place.pixel ? share : 0;
    }
}

// The last window of a span with a tap at the pixel, dilation or not, and before it every `dilation / gcd`-th.
__device__ __forceinline__ int last_with_a_tap(Span windows, int pixel, int stride, int pad, int dilation) {
    int last = windows.last - 1;
    while (last >= windows.first && (pixel + pad - last * stride) % dilation != 0) --last;
    return last;
}

// Any windows. Shares are added in the order of the taps, as in `reference`: from the last window to the first.
extern "C" __global__ void max_pool2d_grad(
        const REAL* __restrict__ gy, const int* __restrict__ indices, REAL* __restrict__ gx, int planes, int at_once,
        int h, int w, int oh, int ow, int kh, int kw, int sh, int sw, int ph, int pw, int dh, int dw,
        int step_down, int step_across) {
    Place place = place_in(h * w);
    if (place.plane >= at_once) return;
    int iy = place.pixel / w, ix = place.pixel % w;
    Span rows = windows_over(iy, dh * (kh - 1) + 1, sh, ph, oh), cols = windows_over(ix, dw * (kw - 1) + 1, sw, pw, ow);
    int last_row = last_with_a_tap(rows, iy, sh, ph, dh), last_col = last_with_a_tap(cols, ix, sw, pw, dw);
    for (int plane = place.plane; plane < planes; plane += at_once) {
        REAL total = 0;
        for (int p = last_row; p >= rows.first; p -= step_down) {
            for (int q = last_col; q >= cols.first; q -= step_across) {
                long long at = ((long long)plane * oh + p) * ow + q;
                REAL share = gy[at];
                if (indices[at] == place.pixel) total += share;
            }
        }
        gx[(long long)plane * h * w + place.pixel] = total;
    }
}
