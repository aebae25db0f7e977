// Local response normalisation across channels, and its gradient.
//
// Parallel over pixels, and within each over runs of RUN channels: a thread goes up through its run and takes the
// window with it. Of a size that the compiler knows (WINDOW), the window lies in registers: each term is made once, but
// for those that a run shares with the next one, a fourth. Of any other size (WINDOW 0) all terms are made anew for
// each channel, from numbers that the L1 cache should still have. Either way the window is summed anew: adding what
// comes in and subtracting what leaves would leave rounding behind, which grows with the number of channels.
//
// Bytes a number, float32: forward 12 (x read, y and scale written), backward 16. The power costs more than the sums:
// some 20 operations as two roots and a division for beta = 3/4, which every published network has, and by `pow`
// several times as many; backward needs two. An H200 does about 70 operations in the time that 12 bytes take. So with
// WINDOW and beta = 3/4 forward should lie at the limit of memory, backward at those of both; else arithmetic sets the
// pace.

// Channels first ... last - 1 of the pixel whose channel 0 is at `pixel`.
struct Run {
    long long pixel;
    int first, last;
};

__device__ __forceinline__ Run run_of(int part, int q, int channels, int pixels) {
    const int runs = (channels + RUN - 1) / RUN, first = part % runs * RUN;
    return {(long long)(part / runs) * channels * pixels + q, first, min(first + RUN, channels)};
}

// The sums of term(c) over channels c - before ... c + after, as far as there are any, for one c after the other.
template <class Term> class Window {
  public:
    __device__ __forceinline__ Window(Term term, int before, int after, int channels, int first)
        : term(term), before(before), after(after), channels(channels) {
        start(first);
    }
#if WINDOW
    __device__ __forceinline__ REAL around(int c) {
#pragma unroll
        for (int i = 0; i + 1 < WINDOW; ++i) terms[i] = terms[i + 1];
        terms[WINDOW - 1] = at(c + after);
        REAL total = 0;
#pragma unroll
        for (int i = 0; i < WINDOW; ++i) total += terms[i];
        return total;
    }

  private:
    __device__ __forceinline__ REAL at(int c) { return 0 <= c && c < channels ? term(c) : REAL(0); }
    __device__ __forceinline__ void start(int first) {
#pragma unroll
        for (int i = 1; i < WINDOW; ++i) terms[i] = at(first - before + i - 1);
    }
    REAL terms[WINDOW];  // the lowest channel first; the first of them is about to leave
#else
    __device__ __forceinline__ REAL around(int c) {
        REAL total = 0;
        const int last = min(channels - 1, c + after);
        for (int d = max(0, c - before); d <= last; ++d) total += term(d);
        return total;
    }

  private:
    __device__ __forceinline__ void start(int) {}
#endif
    Term term;
    const int before, after, channels;
};

__device__ __forceinline__ REAL inverse_power(REAL scale, REAL beta) {  // scale^-beta
    if (beta != REAL(0.75)) return pow(scale, -beta);
    const REAL root = 1 / sqrt(scale);  // scale^-1/2
    return root * sqrt(root);
}

// parts: images * runs.
extern "C" __global__ void local_response_norm(
    const REAL* __restrict__ x, int size, REAL factor, REAL beta, REAL k, REAL* __restrict__ y,
    REAL* __restrict__ scale, int parts, int channels, int pixels) {
    const int q = blockIdx.x * THREADS + threadIdx.x;
    if (q >= pixels) return;
    for (int part = blockIdx.y; part < parts; part += gridDim.y) {
        const Run run = run_of(part, q, channels, pixels);
        const auto square = [&](int c) {
            const REAL value = x[run.pixel + (long long)c * pixels];
            return value * value;
        };
        Window energy(square, size / 2, (size - 1) / 2, channels, run.first);
        for (int c = run.first; c < run.last; ++c) {
            const long long at = run.pixel + (long long)c * pixels;
            const REAL own = k + factor * energy.around(c);
            scale[at] = own;
            y[at] = x[at] * inverse_power(own, beta);
        }
    }
}

// gx = direct - factor * x * (sum of direct * x / scale over the mirrored window), direct = gy * scale^-beta.
extern "C" __global__ void local_response_norm_grad(
    const REAL* __restrict__ gy, const REAL* __restrict__ x, const REAL* __restrict__ scale, int size, REAL factor,
    REAL beta, REAL* __restrict__ gx, int parts, int channels, int pixels) {
    const int q = blockIdx.x * THREADS + threadIdx.x;
    if (q >= pixels) return;
    for (int part = blockIdx.y; part < parts; part += gridDim.y) {
        const Run run = run_of(part, q, channels, pixels);
        const auto direct = [&](long long at) { return gy[at] * inverse_power(scale[at], beta); };
        const auto through_scale = [&](int c) {
            const long long at = run.pixel + (long long)c * pixels;
            return direct(at) * x[at] / scale[at];
        };
        Window felt(through_scale, (size - 1) / 2, size / 2, channels, run.first);
        for (int d = run.first; d < run.last; ++d) {
            const long long at = run.pixel + (long long)d * pixels;
            gx[at] = direct(at) - factor * x[at] * felt.around(d);
        }
    }
}
