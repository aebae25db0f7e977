// Dropout: numbers times 0 by chance, or times 1 / (1 - p).
//
// Parallel over the numbers. No mask is kept, and no state that a thread would have to wait for: chance k is the number
// k, scrambled with a key (Philox4x32-10, Salmon et al. 2011), so the backward pass makes the same ones again. Bytes: 8 a
// number, float32 (one read, one written). Of 20 multiplications of 32 bits, and three times as many additions and
// exclusive ors, come four chances: some 20 operations a number in `dropout`, where an H200 has more than a hundred
// while it waits for eight bytes. In `dropout_together` each thread repeats the 80 for its neighbours: still fewer, and
// nobody has to wait.
#include "common.h"

struct Words {
    unsigned word[4];
};

// The four words that a counter below 2^64 makes.
__device__ Words philox(unsigned long long counter, long long key) {
    unsigned a = (unsigned)counter, b = (unsigned)(counter >> 32), c = 0, d = 0;
    unsigned key0 = (unsigned)key, key1 = (unsigned)(key >> 32);
    for (int round = 0; round < 10; ++round) {
        const unsigned long long left = 0xD2511F53ull * a, right = 0xCD9E8D57ull * c;
        a = (unsigned)(right >> 32) ^ b ^ key0, b = (unsigned)right;  // the halves of the products change places
        c = (unsigned)(left >> 32) ^ d ^ key1, d = (unsigned)left;
        key0 += 0x9E3779B9u, key1 += 0xBB67AE85u;
    }
    return {{a, b, c, d}};
}

// What a word makes of a number: its upper 24 bits are the chance.
__device__ REAL factor(unsigned word, int bound, REAL scale) { return (int)(word >> 8) >= bound ? scale : REAL(0); }

// A thread has a counter, whose four words decide numbers 32 apart: a warp reads and writes 32 neighbours at once.
extern "C" __global__ void dropout(
    const REAL* x, REAL* y, long long key, int bound, REAL scale, long long count) {
    for (long long counter = first_of_all(); counter / 32 * 128 < count; counter += all_threads()) {
        const Words words = philox(counter, key);
        for (int i = 0; i < 4; ++i) {
            const long long at = counter / 32 * 128 + 32 * i + counter % 32;
            if (at < count) y[at] = x[at] * factor(words.word[i], bound, scale);
        }
    }
}

// `together` neighbours in a row share a chance: blocks along the row, and rows in the second direction.
extern "C" __global__ void dropout_together(
    const REAL* x, REAL* y, long long key, int bound, REAL scale, int together, long long rows) {
    const long long at = first_of_all();
    if (at >= together) return;
    for (long long row = blockIdx.y; row < rows; row += gridDim.y) {
        const unsigned word = philox(row / 128 * 32 + row % 32, key).word[row % 128 / 32];
        y[row * together + at] = x[row * together + at] * factor(word, bound, scale);
    }
}
