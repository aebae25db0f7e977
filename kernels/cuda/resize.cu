// Bilinear resizing and its gradient.
//
// Forward, a thread keeps an output pixel, works out its place and weights once, and goes from plane to plane
// (planes.h); neighbours in a warp read neighbours in a row, most of them again from the first-level cache.
//
// Backward, an input sums the outputs that read it, in their order: it reads where they would add, so sums repeat to
// the bit and need no atomics. One axis after the other, as rows and columns have weights of their own: first down the
// columns of gy, which leaves (h, OW), then along the rows of that. So an output is read by two sums instead of four,
// and where an image was enlarged, the second axis has little left to do. Which outputs read an input is found in a
// table of where each output lies, made by a launch before.
//
// Bytes (float32): forward 4 for each input and each output. Backward 4 for each output, read twice but close in time,
// 8 for each number of the (h, OW) between, 4 for each input. Forward 9 operations for each output, backward 4 for each
// output and as many for each number between. Memory should be the limit for large maps; the backward pass makes four
// launches, which are what small maps wait for.
#include "planes.h"

// Between which two inputs an output lies, and how far towards the second. In double, as `reference`: a place that is
// rounded to the other side of an input would read other pixels.
struct Between { int first; double fraction; };

__device__ __forceinline__ Between between(int output, int size, int count, int align_corners) {
    double place = align_corners ? double((long long)output * (size - 1)) / max(count - 1, 1)
                                 : (output + 0.5) * size / count - 0.5;
    if (place < 0) place = 0;
    return {int(place), place - int(place)};
}

extern "C" __global__ void resize_bilinear(const REAL* __restrict__ x, REAL* __restrict__ y, int planes, int at_once,
                                           int h, int w, int oh, int ow, int align_corners) {
    Place place = place_in(oh * ow);
    if (place.plane >= at_once) return;
    Between row = between(place.pixel / ow, h, oh, align_corners);
    Between col = between(place.pixel % ow, w, ow, align_corners);
    int top = row.first * w, bottom = min(row.first + 1, h - 1) * w;
    int left = col.first, right = min(col.first + 1, w - 1);
    REAL fy = row.fraction, fx = col.fraction, not_fy = 1 - row.fraction, not_fx = 1 - col.fraction;
#pragma unroll 4
    for (int plane = place.plane; plane < planes; plane += at_once) {
        const REAL* image = x + (long long)plane * h * w;
        REAL upper = not_fx * image[top + left] + fx * image[top + right];
        REAL lower = not_fx * image[bottom + left] + fx * image[bottom + right];
        y[(long long)plane * oh * ow + place.pixel] = not_fy * upper + fy * lower;
    }
}

// The table of an axis: `between` of every output.
extern "C" __global__ void resize_places(int* first, REAL* fraction, int size, int count, int align_corners) {
    for (int output = first_of_all(); output < count; output += all_threads()) {
        Between place = between(output, size, count, align_corners);
        first[output] = place.first;
        fraction[output] = place.fraction;
    }
}

// The first output that lies at `input` or behind it: a search by halves, since places grow with the outputs.
__device__ __forceinline__ int first_output_from(const int* __restrict__ first, int input, int count) {
    int low = 0, high = count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (first[middle] < input) low = middle + 1;
        else high = middle;
    }
    return low;
}

// The adjoint along one axis: gy (planes, count, inner) -> gx (planes, size, inner).
extern "C" __global__ void resize_adjoint(const REAL* __restrict__ gy, const int* __restrict__ first,
                                          const REAL* __restrict__ fraction, REAL* __restrict__ gx, int planes,
                                          int at_once, int size, int count, int inner) {
    Place place = place_in(size * inner);
    if (place.plane >= at_once) return;
    int input = place.pixel / inner, lane = place.pixel % inner;
    int begin = first_output_from(first, input - 1, count), end = first_output_from(first, input + 1, count);
    for (int plane = place.plane; plane < planes; plane += at_once) {
        const REAL* outputs = gy + (long long)plane * count * inner + lane;
        REAL total = 0;
#pragma unroll 4
        for (int output = begin; output < end; ++output) {
            REAL value = outputs[(long long)output * inner], weight = fraction[output];
            // At the end of the axis an output's two inputs are one.
            if (first[output] == input) total += (1 - weight) * value;
            if (min(first[output] + 1, size - 1) == input) total += weight * value;
        }
        gx[(long long)plane * size * inner + place.pixel] = total;
    }
}
