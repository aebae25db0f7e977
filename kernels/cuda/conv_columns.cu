// Columns: what turns a convolution into matrix products, and what puts the products' results where they belong.
//
//     im2col   x -> columns (C*KH*KW, positions)       what each tap reads at each position of a tile of outputs
//     col2im   columns -> gx, its adjoint
//     place    product (O, positions) -> y, with bias and ReLU
//     gather   gy -> (O, positions), its adjoint
//     finish   bias and ReLU where a product was written into y itself
//
// A position is an output pixel (image, p, q) of the tile. Parallel over positions (or pixels) and channels; neighbours
// in a warp are neighbours along w, so all of them read and write in rows, im2col and col2im at the stride of the
// convolution. Divisions are three a thread, which then does all taps of one channel.
//
// Bytes: a number of the columns is written once and read once by the product, 8 bytes for 2*O/groups FLOPs, where x is
// read once from memory and KH*KW times from the caches. With 64 filters that is about as many FLOPs a byte as a large
// card can do, so for 64 and fewer the columns, not the products, should decide how long a pass takes (reasoned, not
// measured). place, gather and finish move 8 bytes a number.
#include "common.h"
#include "conv_taps.h"

extern "C" __global__ void im2col(const REAL* x, REAL* columns, int images, int channels, int h, int w, int p0,
                                  int rows, int ow, int kh, int kw, int sh, int sw, int ph, int pw, int dh, int dw) {
    const int area = rows * ow, positions = images * area;
    for (int c = blockIdx.y; c < channels; c += gridDim.y) {
        for (int t = first_of_all(); t < positions; t += all_threads()) {
            int n = t / area, p = t % area / ow, q = t % ow;
            const REAL* plane = x + ((long long)n * channels + c) * h * w;
            REAL* column = columns + (long long)c * kh * kw * positions + t;
            for (int i = 0; i < kh; ++i) {
                int iy = (p0 + p) * sh + i * dh - ph;
                bool inside = 0 <= iy && iy < h;
                for (int j = 0; j < kw; ++j, column += positions) {
                    int ix = q * sw + j * dw - pw;
                    *column = inside && 0 <= ix && ix < w ? plane[(long long)iy * w + ix] : REAL(0);
                }
            }
        }
    }
}

// Rows y0 : y0 + height of gx, from the outputs in rows p0 : p0 + rows. Each pixel is one thread's: no two add to it.
extern "C" __global__ void col2im(const REAL* columns, REAL* gx, int images, int channels, int h, int w, int y0,
                                  int height, int p0, int rows, int ow, int kh, int kw, int sh, int sw, int ph, int pw,
                                  int dh, int dw, int step_i, int step_j, int add) {
    const int area = rows * ow, positions = images * area, pixels = images * height * w;
    for (int c = blockIdx.y; c < channels; c += gridDim.y) {
        for (int at = first_of_all(); at < pixels; at += all_threads()) {
            int n = at / (height * w), iy = y0 + at / w % height, ix = at % w;
            Taps down = taps_that_reach(iy + ph, kh, sh, dh, step_i);
            Taps across = taps_that_reach(ix + pw, kw, sw, dw, step_j);
            const REAL* column = columns + (long long)c * kh * kw * positions + n * area;
            REAL total = 0;
            for (int i = down.first, p = down.p - p0; i < kh; i += down.step, p -= down.down) {
                if (p < 0 || p >= rows) continue;
                for (int j = across.first, q = across.p; j < kw; j += across.step, q -= across.down)
                    if (0 <= q && q < ow) total += column[(long long)(i * kw + j) * positions + p * ow + q];
            }
            long long to = (((long long)n * channels + c) * h + iy) * w + ix;
            gx[to] = add ? gx[to] + total : total;
        }
    }
}

__device__ __forceinline__ REAL finished(REAL value, const REAL* bias, int filter, int relu) {
    if (bias) value += bias[filter];
    return relu && value <= 0 ? REAL(0) : value;  // NaN is not <= 0: it passes
}

extern "C" __global__ void place(const REAL* product, const REAL* bias, REAL* y, int images, int filters, int size,
                                 int start, int area, int relu) {  // numbers start : start + area of each plane
    const int positions = images * area;
    for (int o = blockIdx.y; o < filters; o += gridDim.y) {
        for (int t = first_of_all(); t < positions; t += all_threads()) {
            long long to = ((long long)(t / area) * filters + o) * size + start + t % area;
            y[to] = finished(product[(long long)o * positions + t], bias, o, relu);
        }
    }
}

extern "C" __global__ void gather(const REAL* gy, REAL* part, int images, int filters, int size, int start, int area) {
    const int positions = images * area;
    for (int o = blockIdx.y; o < filters; o += gridDim.y) {
        for (int t = first_of_all(); t < positions; t += all_threads())
            part[(long long)o * positions + t] = gy[((long long)(t / area) * filters + o) * size + start + t % area];
    }
}

extern "C" __global__ void finish(REAL* y, const REAL* bias, int images, int filters, int size, int relu) {
    const int planes = images * filters;
    for (int plane = blockIdx.y; plane < planes; plane += gridDim.y) {
        for (int at = first_of_all(); at < size; at += all_threads()) {
            REAL* number = y + (long long)plane * size + at;
            *number = finished(*number, bias, plane % filters, relu);
        }
    }
}
