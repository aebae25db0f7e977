// CUDA's words, for a processor: with this header in front, g++ builds a .cu file as the C++ that it almost is.
//
//     g++ -std=c++20 -include emulator.h -x c++ relu.cu
//
// Each CUDA thread of a block is a thread of the operating system, and the blocks come one after the other. So a kernel
// can be stepped through with gdb, ThreadSanitizer sees its races, and no GPU is needed. What a kernel may use is what
// stands here: shared memory, __syncthreads, shuffles within a whole warp, float4 and atomics on integers. The machine
// behind these words, threads and barriers, is in emulator.cpp.
#pragma once
// Few headers: reading them takes longer than compiling most kernels.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __constant__ static const
// One buffer: no two blocks run at a time. All of them lie together, so that the machine can overwrite them between two
// blocks: a GPU's shared memory begins with whatever was there before.
#define __shared__ static __attribute__((section("shared_memory")))
extern "C" char __start_shared_memory[] __attribute__((weak)), __stop_shared_memory[] __attribute__((weak));

struct dim3 { unsigned x, y, z; };
struct alignas(16) float4 { float x, y, z, w; };  // a cast pointer has to be aligned
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

inline thread_local dim3 threadIdx, blockIdx;
inline thread_local dim3 blockDim, gridDim;

using std::exp, std::log, std::sqrt, std::pow, std::fabs, std::floor, std::fma;
inline float rsqrtf(float x) { return 1 / std::sqrt(x); }
// Of a number and a NaN, CUDA takes the number: a pass that lets NaN through has to compare by itself.
template <class T> T max(T a, T b) {
    if constexpr (std::is_floating_point_v<T>) return std::fmax(a, b);
    return a < b ? b : a;
}
template <class T> T min(T a, T b) {
    if constexpr (std::is_floating_point_v<T>) return std::fmin(a, b);
    return b < a ? b : a;
}

namespace emulator {
constexpr int WARP = 32;
using Place = const std::source_location;  // in the .cu file: all threads that meet have to come to the same one
void meet_block(Place& place = Place::current());                     // all threads of the block wait for each other
std::uint64_t exchange(std::uint64_t mine, int from, unsigned mask, Place& place);  // for that of another lane
int lane();
struct Launch {  // from outside
    const unsigned *grid, *block;  // three numbers each
    bool meets;                    // whether the threads of a block share anything or wait for each other
    void** values;                 // of the kernel's arguments, by address
    char* why;                     // room for WHY characters: what went wrong, if anything did
};
constexpr int WHY = 500;
enum Colour { ALL, WHITE, BLACK };  // of blocks, if they lay like the squares of a chessboard
struct Body {  // what every thread does in every block: call(kernel, values)
    void (*call)(void (*kernel)(), void** values);
    void (*kernel)();  // of whichever type; `call` knows it
};
void run(const Launch& launch, Colour colour, Body body, char* shared, char* shared_end);
template <class T> T from_lane(T value, int from, unsigned mask, Place& place) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "a shuffle moves 4 or 8 bytes");
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof(T));
    bits = exchange(bits, from >= 0 && from < WARP ? from : lane(), mask, place);
    std::memcpy(&value, &bits, sizeof(T));
    return value;
}
}  // namespace emulator

inline void __syncthreads(emulator::Place& place = emulator::Place::current()) { emulator::meet_block(place); }

// A lane that would read beyond its warp reads itself, as on a GPU. The mask must name all 32 lanes, and all must come. A
// shuffle moves values and orders nothing in memory: what a lane writes there, others see after __syncthreads only.
template <class T> T __shfl_sync(unsigned mask, T value, int from, emulator::Place& place = emulator::Place::current()) {
    return emulator::from_lane(value, from & (emulator::WARP - 1), mask, place);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, emulator::Place& place = emulator::Place::current()) {
    return emulator::from_lane(value, emulator::lane() - int(by), mask, place);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, emulator::Place& place = emulator::Place::current()) {
    return emulator::from_lane(value, emulator::lane() + int(by), mask, place);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int with, emulator::Place& place = emulator::Place::current()) {
    return emulator::from_lane(value, emulator::lane() ^ with, mask, place);
}

// Relaxed, as CUDA's are: an atomic orders nothing but itself.
namespace emulator {
template <class T> T* whole(T* place) {
    static_assert(std::is_integral_v<T>, "atomics add floating-point numbers in any order: sums would not repeat");
    return place;
}
}  // namespace emulator
template <class T> T atomicAdd(T* place, std::type_identity_t<T> value) {
    return __atomic_fetch_add(emulator::whole(place), value, __ATOMIC_RELAXED);
}
template <class T> T atomicOr(T* place, std::type_identity_t<T> value) {
    return __atomic_fetch_or(emulator::whole(place), value, __ATOMIC_RELAXED);
}
template <class T> T atomicExch(T* place, std::type_identity_t<T> value) {
    return __atomic_exchange_n(emulator::whole(place), value, __ATOMIC_RELAXED);
}
template <class T> T atomicMax(T* place, std::type_identity_t<T> value) {
    T old = __atomic_load_n(emulator::whole(place), __ATOMIC_RELAXED);
    while (old < value && !__atomic_compare_exchange_n(place, &old, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
    return old;
}

// A kernel from outside: to be launched, and with the types that it expects, so that a launcher which passes a 4-byte
// number for an 8-byte one is found here and not by wrong results on a GPU.
namespace emulator {
template <class T> char* describe(char* text) {  // " *f4", four characters at most
    using Bare = std::remove_cv_t<std::remove_pointer_t<T>>;
    *text++ = ' ';
    if (std::is_pointer_v<T>) *text++ = '*';
    *text++ = std::is_floating_point_v<Bare> ? 'f' : std::is_signed_v<Bare> ? 'i' : 'u';
    *text++ = char('0' + sizeof(Bare));
    return text;
}
template <class... A> const char* types(void (*)(A...)) {
    static char text[4 * sizeof...(A) + 1];
    char* end = text;
    ((end = describe<A>(end)), ...);
    return text;
}
template <class... A, std::size_t... I>
void call(void (*kernel)(A...), void** values, std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_cv_t<A>*>(values[I])...);
}
template <class... A> void launch(void (*kernel)(A...), const Launch& launch, Colour colour) {
    auto typed = [](void (*kernel)(), void** values) {
        call(reinterpret_cast<void (*)(A...)>(kernel), values, std::index_sequence_for<A...>());
    };
    Body body{typed, reinterpret_cast<void (*)()>(kernel)};
    run(launch, colour, body, __start_shared_memory, __stop_shared_memory);
}
}  // namespace emulator

#define FROM_OUTSIDE extern "C" __attribute__((visibility("default")))
#define EMULATED(kernel)                                                                   \
    FROM_OUTSIDE const char* types_##kernel() { return emulator::types(&kernel); }         \
    FROM_OUTSIDE void launch_##kernel(emulator::Launch* launch, emulator::Colour colour) { \
        emulator::launch(&kernel, *launch, colour);                                        \
    }
