// The machine behind emulator.h: a block's threads as threads of the operating system, and where they meet.
#include "emulator.h"

#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace {
struct Apart {};            // thrown in all threads of a block that has come apart
constexpr int END = 0;      // the "line" of a thread that has come to the end of its kernel,
constexpr int GIVEN = -1;   // of a lane that has laid down what it exchanges,
constexpr int TAKEN = -2;   // and of one that has taken another's

// Where `count` threads wait for each other. All have to come to the same line.
struct Meeting {
    explicit Meeting(int count) : count(count) {}
    const int count;
    int arrived = 0, line = 0;
    std::atomic<int> round = 0;
};

struct Warp {
    Meeting meeting{emulator::WARP};
    char values[emulator::WARP][8];
};

// The threads of a block. It comes apart if a thread comes to another line than those that wait there already, or if
// all wait and nobody is left to come: on a GPU a barrier that only a part of a block reaches is undefined, and hangs,
// or lets that part through too early.
class Block {
  public:
    explicit Block(int threads) : all(threads), warps(threads / emulator::WARP) {
        for (auto& warp : warps) warp = std::make_unique<Warp>();
    }
    void wait(Meeting& meeting, int line) {
        const int now = meeting.round;
        if (!arrive(meeting, line)) meeting.round.wait(now);  // until somebody begins the next round
        if (apart) throw Apart();
    }
    Meeting all;
    std::vector<std::unique_ptr<Warp>> warps;
    std::atomic<bool> apart = false;

  private:
    // Whether nobody has to wait any more.
    bool arrive(Meeting& meeting, int line) {
        std::lock_guard<std::mutex> lock(mutex);
        if (meeting.arrived++ == 0) meeting.line = line;
        ++waiting;
        if (line != meeting.line || (meeting.arrived < meeting.count && waiting == all.count)) break_up();
        if (apart) return true;
        if (meeting.arrived < meeting.count) return false;
        waiting -= meeting.count;
        meeting.arrived = 0;
        next_round(meeting);
        return true;
    }
    void break_up() {
        apart = true;
        next_round(all);
        for (auto& warp : warps) next_round(warp->meeting);
    }
    static void next_round(Meeting& meeting) {
        ++meeting.round;
        meeting.round.notify_all();
    }
    int waiting = 0;  // at whichever meeting
    std::mutex mutex;
};

thread_local Block* block;
thread_local int thread;  // its number in the block, x fastest
std::mutex one_launch;    // shared memory is one buffer
}  // namespace

namespace emulator {
int lane() { return thread % WARP; }

void meet_block(int line) { block->wait(block->all, line); }

void exchange(const void* mine, void* other, int size, int from) {
    Warp& warp = *block->warps[thread / WARP];
    std::memcpy(warp.values[lane()], mine, size);
    block->wait(warp.meeting, GIVEN);
    std::memcpy(other, warp.values[from], size);
    block->wait(warp.meeting, TAKEN);  // before anybody lays down the next value over this one
}

// All blocks, lived through by one thread of each.
static void live(Block& shared, unsigned number, const unsigned* grid, const unsigned* size, bool meets,
                 const std::function<void()>& kernel) {
    block = &shared;
    thread = number;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {size[0], size[1], size[2]};
    threadIdx = {number % size[0], number / size[0] % size[1], number / size[0] / size[1]};
    const unsigned long long blocks = 1ull * grid[0] * grid[1] * grid[2];
    try {
        for (unsigned long long at = 0; at < blocks; ++at) {
            blockIdx = {unsigned(at % grid[0]), unsigned(at / grid[0] % grid[1]), unsigned(at / grid[0] / grid[1])};
            kernel();
            if (meets) meet_block(END);
        }
    } catch (const Apart&) {
    }
}

// Returns what went wrong, or a null pointer. Without `meets` no block shares anything, and no thread waits.
const char* run(const unsigned* grid, const unsigned* size, bool meets, const std::function<void()>& kernel) {
    std::lock_guard<std::mutex> lock(one_launch);
    const unsigned threads = size[0] * size[1] * size[2];
    Block shared(threads);
    std::vector<std::thread> lives;
    for (unsigned number = 0; number < threads; ++number)
        lives.emplace_back([&, number] { live(shared, number, grid, size, meets, kernel); });
    for (auto& one : lives) one.join();
    return shared.apart ? "some threads came to a barrier or shuffle that others did not come to" : nullptr;
}
}  // namespace emulator
