// Winograd's convolution F(4x4, 3x3): the transforms around its 36 matrix products, which are the library's.
//
//     filters      g (3, 3) -> U = G g G^T (6, 6)            of each pair of channels
//     inputs       d (6, 6) -> V = B^T d B                   of each channel of each tile
//     outputs      M = U V (6, 6) -> y = A^T M A (4, 4)      of each filter of each tile, with bias and ReLU
//     gradients    gy (4, 4) -> Z = A gy A^T (6, 6)          the adjoint of outputs
//     filter_gradients   Z V^T (6, 6) -> G^T (Z V^T) G     the adjoint of filters
//
// Point p of everything lies apart, as the products want it: U (36, O, C), V (36, C, tiles), M and Z (36, O, tiles). One
// thread transforms one tile of one channel in its registers, neighbours in a warp have neighbouring tiles: so the 36
// numbers on the products' side go in rows, those on the maps' side at steps of 4 (a warp's 36 reads share the lines
// that they meet; y is written as float4 where rows begin at multiples of 4).
//
// Bytes for a tile and channel: 36 numbers written or read here and as many again by the products, and 16 of the map.
// FLOPs: some 200 a tile and channel, a fifth of what the card could do meanwhile: the transforms wait for memory, and
// the products (72 FLOPs for each pair of channels and tile) are what is left (reasoned, not measured).
#include "common.h"
#include "winograd.h"

// Where a tile lies: its first output is (top, left) of image n. A dilation takes a map apart into dh*dw interleaved
// maps, in which neighbours are dh rows and dw columns apart; tiles of neighbouring columns have neighbouring numbers.
struct Tile { int n, top, left; };

__device__ __forceinline__ Tile tile_at(int number, int tiles_y, int tiles_x, int dh, int dw) {
    int b = number % dw, tx = number / dw % tiles_x, row = number / dw / tiles_x;  // image, tile, interleaved row
    int a = row % dh, ty = row / dh % tiles_y;
    return {row / dh / tiles_y, ty * 4 * dh + a, tx * 4 * dw + b};
}

// SIZE x SIZE numbers of a map (h, w) from (top, left) on, with a step to the next, and zeros outside.
template <int SIZE>
__device__ __forceinline__ void read_tile(const REAL* map, int h, int w, int top, int left, int dh, int dw, REAL* d) {
    #pragma unroll
    for (int r = 0; r < SIZE; ++r) {
        int iy = top + r * dh;
        bool inside = 0 <= iy && iy < h;
        #pragma unroll
        for (int s = 0; s < SIZE; ++s) {
            int ix = left + s * dw;
            d[r * SIZE + s] = inside && 0 <= ix && ix < w ? map[(long long)iy * w + ix] : REAL(0);
        }
    }
}

__device__ __forceinline__ void transform_input(const REAL* map, int h, int w, Tile tile, int ph, int pw, int dh,
                                                int dw, REAL* v, long long point) {
    REAL d[36];
    read_tile<6>(map, h, w, tile.top - ph, tile.left - pw, dh, dw, d);
    #pragma unroll
    for (int s = 0; s < 6; ++s) input_line(d + s, 6, d + s, 6);
    #pragma unroll
    for (int r = 0; r < 6; ++r) input_line(d + 6 * r, 1, d + 6 * r, 1);
    #pragma unroll
    for (int p = 0; p < 36; ++p) v[p * point] = d[p];
}

// Tiles first : first + tiles of x (N, C, H, W) -> v (36, C, tiles).
extern "C" __global__ void inputs(const REAL* x, REAL* v, int first, int tiles, int channels, int h, int w, int tiles_y,
                                  int tiles_x, int ph, int pw, int dh, int dw) {
    for (int c = blockIdx.y; c < channels; c += gridDim.y) {
        for (int t = first_of_all(); t < tiles; t += all_threads()) {
            Tile tile = tile_at(first + t, tiles_y, tiles_x, dh, dw);
            transform_input(x + ((long long)tile.n * channels + c) * h * w, h, w, tile, ph, pw, dh, dw,
                            v + (long long)c * tiles + t, (long long)channels * tiles);
        }
    }
}

// The same -> v (36, tiles, C), for a product over tiles. A warp has one tile of 32 channels; the warps of a block have
// neighbouring tiles, and find half of what they read in the first-level cache.
extern "C" __global__ void inputs_turned(const REAL* x, REAL* v, int first, int tiles, int channels, int h, int w,
                                         int tiles_y, int tiles_x, int ph, int pw, int dh, int dw) {
    const int lane = threadIdx.x % 32;
    for (int c = blockIdx.y * 32 + lane; c < channels; c += gridDim.y * 32) {
        for (int t = first_of_all() / 32; t < tiles; t += all_threads() / 32) {
            Tile tile = tile_at(first + t, tiles_y, tiles_x, dh, dw);
            transform_input(x + ((long long)tile.n * channels + c) * h * w, h, w, tile, ph, pw, dh, dw,
                            v + (long long)t * channels + c, (long long)tiles * channels);
        }
    }
}

// m (36, O, tiles) -> tiles first : first + tiles of y (N, O, OH, OW). `rows_of_four`: a row of a tile is a float4.
extern "C" __global__ void outputs(const REAL* m, const REAL* bias, REAL* y, int first, int tiles, int filters, int oh,
                                   int ow, int tiles_y, int tiles_x, int dh, int dw, int relu, int rows_of_four) {
    for (int o = blockIdx.y; o < filters; o += gridDim.y) {
        const REAL shift = bias ? bias[o] : REAL(0);
        for (int t = first_of_all(); t < tiles; t += all_threads()) {
            REAL d[36];
            #pragma unroll
            for (int p = 0; p < 36; ++p) d[p] = m[((long long)p * filters + o) * tiles + t];
            #pragma unroll
            for (int s = 0; s < 6; ++s) output_line(d + s, 6, d + s, 6);
            #pragma unroll
            for (int r = 0; r < 4; ++r) output_line(d + 6 * r, 1, d + 6 * r, 1);
            Tile tile = tile_at(first + t, tiles_y, tiles_x, dh, dw);
            REAL* map = y + ((long long)tile.n * filters + o) * oh * ow;
            #pragma unroll
            for (int r = 0; r < 4; ++r) {
                REAL* value = d + 6 * r;
                #pragma unroll
                for (int s = 0; s < 4; ++s) {
                    value[s] += shift;
                    if (relu && value[s] <= 0) value[s] = 0;  // NaN passes
                }
                int p = tile.top + r * dh;
                if (p >= oh) break;
                REAL* row = map + (long long)p * ow;
                if (rows_of_four) {
                    *reinterpret_cast<float4*>(row + tile.left) = make_float4(value[0], value[1], value[2], value[3]);
                } else {
                    #pragma unroll
                    for (int s = 0; s < 4; ++s)
                        if (tile.left + s * dw < ow) row[tile.left + s * dw] = value[s];
                }
            }
        }
    }
}

// Tiles first : first + tiles of gy (N, O, OH, OW) -> z (36, O, tiles).
extern "C" __global__ void gradients(const REAL* gy, REAL* z, int first, int tiles, int filters, int oh, int ow,
                                     int tiles_y, int tiles_x, int dh, int dw) {
    for (int o = blockIdx.y; o < filters; o += gridDim.y) {
        for (int t = first_of_all(); t < tiles; t += all_threads()) {
            Tile tile = tile_at(first + t, tiles_y, tiles_x, dh, dw);
            REAL g[16], d[36];
            read_tile<4>(gy + ((long long)tile.n * filters + o) * oh * ow, oh, ow, tile.top, tile.left, dh, dw, g);
            #pragma unroll
            for (int s = 0; s < 4; ++s) output_line_adjoint(g + s, 4, d + s, 6);
            #pragma unroll
            for (int r = 0; r < 6; ++r) output_line_adjoint(d + 6 * r, 1, d + 6 * r, 1);
            #pragma unroll
            for (int p = 0; p < 36; ++p) z[((long long)p * filters + o) * tiles + t] = d[p];
        }
    }
}

// weight (O, C, 3, 3) -> u (36, O, C); or, of filters turned by 180 degrees, u (36, C, O): the input gradient's.
extern "C" __global__ void filters(const REAL* weight, REAL* u, int filters, int channels, int turned) {
    const int rows = turned ? channels : filters, columns = turned ? filters : channels;
    for (int row = blockIdx.y; row < rows; row += gridDim.y) {
        for (int column = first_of_all(); column < columns; column += all_threads()) {
            const int o = turned ? column : row, c = turned ? row : column;
            const REAL* taps = weight + ((long long)o * channels + c) * 9;
            REAL g[9], d[36];
            #pragma unroll
            for (int k = 0; k < 9; ++k) g[k] = taps[turned ? 8 - k : k];
            #pragma unroll
            for (int j = 0; j < 3; ++j) filter_line(g + j, 3, d + j, 6);
            #pragma unroll
            for (int r = 0; r < 6; ++r) filter_line(d + 6 * r, 1, d + 6 * r, 1);
            #pragma unroll
            for (int p = 0; p < 36; ++p) u[((long long)p * rows + row) * columns + column] = d[p];
        }
    }
}

// gu (36, O, C) -> gweight (O, C, 3, 3).
extern "C" __global__ void filter_gradients(const REAL* gu, REAL* gweight, int pairs) {
    for (int at = first_of_all(); at < pairs; at += all_threads()) {
        REAL d[36];
        #pragma unroll
        for (int p = 0; p < 36; ++p) d[p] = gu[(long long)p * pairs + at];
        #pragma unroll
        for (int s = 0; s < 6; ++s) filter_line_adjoint(d + s, 6, d + s, 6);
        #pragma unroll
        for (int i = 0; i < 3; ++i) filter_line_adjoint(d + 6 * i, 1, d + 6 * i, 1);
        #pragma unroll
        for (int k = 0; k < 9; ++k) gweight[(long long)at * 9 + k] = d[k / 3 * 6 + k % 3];
    }
}
