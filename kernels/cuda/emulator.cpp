// The machine behind emulator.h: a block's threads as threads of the operating system, and where they meet.
#include "emulator.h"

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

// What ThreadSanitizer is told (RACES is defined where it runs). It does not look into this file: the lock in here would
// put every thread of a block in an order that a GPU knows nothing of. The only order is that of __syncthreads: what was
// written before it is seen after it. A meeting has two marks in turn, because the fast may already leave word for
// the next one while the slow have not yet heard of this one.
#ifdef RACES
extern "C" {
void __tsan_acquire(void*);
void __tsan_release(void*);
void AnnotateIgnoreSyncBegin(const char*, int);
void AnnotateIgnoreSyncEnd(const char*, int);
}
#else
static void __tsan_acquire(void*) {}
static void __tsan_release(void*) {}
static void AnnotateIgnoreSyncBegin(const char*, int) {}
static void AnnotateIgnoreSyncEnd(const char*, int) {}
#endif

namespace {
using emulator::Place;
struct Stopped {};  // thrown in all threads of a block of which one has gone wrong

// Where `count` threads wait for each other. All have to come to the same place in the source, and for the same thing.
struct Meeting {
    explicit Meeting(int count) : count(count) {}
    const int count;
    int arrived = 0;
    const char* what = nullptr;
    const char* file = nullptr;
    unsigned line = 0;
    std::atomic<int> round = 0;
    char marks[2];
    bool expects(const char* w, Place& p) const { return what == w && line == p.line() && !std::strcmp(file, p.file_name()); }
};

struct Warp {
    Meeting meeting{emulator::WARP};
    std::uint64_t values[emulator::WARP];
};

const char* const END = "the end of the kernel";
const char* const BARRIER = "a barrier";
const char* const GIVEN = "a shuffle";  // where a lane has laid down what it exchanges,
const char* const TAKEN = "the end of a shuffle";  // and where it has taken another's

// The threads of a block. It is stopped if a thread comes to another place than those that wait there already, or if
// all wait and nobody is left to come: on a GPU a barrier that only a part of a block reaches is undefined, and hangs,
// or lets that part through too early.
class Block {
  public:
    Block(int threads, char* shared, char* shared_end)
        : all(threads), warps(threads / emulator::WARP), shared(shared), shared_end(shared_end) {
        for (auto& warp : warps) warp = std::make_unique<Warp>();
        forget();
    }
    void wait(Meeting& meeting, const char* what, Place& place) {
        const int now = meeting.round;
        char* mark = what == BARRIER || what == END ? &meeting.marks[now & 1] : nullptr;
        if (mark) __tsan_release(mark);
        AnnotateIgnoreSyncBegin(__FILE__, __LINE__);
        if (!arrive(meeting, what, place)) meeting.round.wait(now);  // until somebody begins the next round
        AnnotateIgnoreSyncEnd(__FILE__, __LINE__);
        if (mark) __tsan_acquire(mark);
        if (stopped) throw Stopped();
    }
    // The whole block ends here, for this reason: the first one counts.
    [[noreturn]] void stop(const std::string& why) {
        AnnotateIgnoreSyncBegin(__FILE__, __LINE__);
        {
            std::lock_guard<std::mutex> lock(mutex);
            break_up(why);
        }
        AnnotateIgnoreSyncEnd(__FILE__, __LINE__);
        throw Stopped();
    }
    Meeting all;
    std::vector<std::unique_ptr<Warp>> warps;
    std::atomic<bool> stopped = false;
    std::string reason;

  private:
    // Whether nobody has to wait any more.
    bool arrive(Meeting& meeting, const char* what, Place& place) {
        std::lock_guard<std::mutex> lock(mutex);
        if (meeting.arrived++ == 0) meeting.what = what, meeting.file = place.file_name(), meeting.line = place.line();
        ++waiting;
        if (!meeting.expects(what, place) || (meeting.arrived < meeting.count && waiting == all.count))
            break_up(std::string("some threads came to ") + what + where(what, place) + " and others did not");
        if (stopped) return true;
        if (meeting.arrived < meeting.count) return false;
        waiting -= meeting.count;
        meeting.arrived = 0;
        if (what == END) forget();
        next_round(meeting);
        return true;
    }
    static std::string where(const char* what, Place& place) {
        return what == END ? "" : " in line " + std::to_string(place.line());
    }
    void break_up(const std::string& why) {
        if (!stopped) reason = why;
        stopped = true;
        next_round(all);
        for (auto& warp : warps) next_round(warp->meeting);
    }
    static void next_round(Meeting& meeting) {
        ++meeting.round;
        meeting.round.notify_all();
    }
    void forget() {  // by hand: ThreadSanitizer watches memset
        for (volatile char* at = shared; at < shared_end; ++at) *at = char(0xFF);  // NaN, or -1
    }
    int waiting = 0;  // at whichever meeting
    std::mutex mutex;
    char *const shared, *const shared_end;
};

thread_local Block* block;
thread_local int thread;  // its number in the block, x fastest
std::mutex one_launch;    // shared memory is one buffer
}  // namespace

namespace emulator {
int lane() { return thread % WARP; }

void meet_block(Place& place) { block->wait(block->all, BARRIER, place); }

std::uint64_t exchange(std::uint64_t mine, int from, unsigned mask, Place& place) {
    if (mask != 0xFFFFFFFFu)
        block->stop("a shuffle in line " + std::to_string(place.line()) + " whose mask does not name all 32 lanes");
    Warp& warp = *block->warps[thread / WARP];
    warp.values[lane()] = mine;
    block->wait(warp.meeting, GIVEN, place);
    const std::uint64_t other = warp.values[from];
    block->wait(warp.meeting, TAKEN, place);  // before anybody lays down the next value over this one
    return other;
}

static bool is(Colour colour, const dim3& at) {
    return colour == ALL || colour == ((at.x + at.y + at.z) % 2 ? BLACK : WHITE);
}

// All blocks, lived through by one thread of each.
static void live(Block& shared, unsigned number, const Launch& launch, Colour colour, Body body) {
    block = &shared;
    thread = number;
    const unsigned *grid = launch.grid, *size = launch.block;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {size[0], size[1], size[2]};
    threadIdx = {number % size[0], number / size[0] % size[1], number / size[0] / size[1]};
    const unsigned long long blocks = 1ull * grid[0] * grid[1] * grid[2];
    try {
        for (unsigned long long at = 0; at < blocks && !shared.stopped; ++at) {
            blockIdx = {unsigned(at % grid[0]), unsigned(at / grid[0] % grid[1]), unsigned(at / grid[0] / grid[1])};
            if (!is(colour, blockIdx)) continue;
            body.call(body.kernel, launch.values);
            if (launch.meets) shared.wait(shared.all, END, Place::current());
        }
    } catch (const Stopped&) {
    }
}

// Without `meets` no thread waits, not even between two blocks.
void run(const Launch& launch, Colour colour, Body body, char* memory, char* memory_end) {
    std::lock_guard<std::mutex> lock(one_launch);
    const unsigned threads = launch.block[0] * launch.block[1] * launch.block[2];
    Block shared(threads, memory, memory_end);
    std::vector<std::thread> lives;
    for (unsigned number = 0; number < threads; ++number)
        lives.emplace_back([&, number] { live(shared, number, launch, colour, body); });
    for (auto& one : lives) one.join();
    launch.why[shared.reason.copy(launch.why, WHY - 1)] = 0;
}
}  // namespace emulator

// One launch by two copies of a library, each with a shared memory of its own, for ThreadSanitizer: nothing puts the white
// blocks and the black ones in an order, so it sees what two of them do to one number. The blocks of one colour come
// one after the other, but those that touch are of different colours.
FROM_OUTSIDE void launch_both(void white(emulator::Launch*, emulator::Colour),
                              void black(emulator::Launch*, emulator::Colour), emulator::Launch* launch) {
    char why[emulator::WHY];
    emulator::Launch other = *launch;
    other.why = why;
    std::thread one(white, launch, emulator::WHITE), two(black, &other, emulator::BLACK);
    one.join();
    two.join();
    if (!*launch->why) std::memcpy(launch->why, why, sizeof why);
}

// What g++ calls where a kernel does what C++ and CUDA leave undefined (-fsanitize=...): the place comes first.
namespace {
struct Fault {
    const char* file;
    std::uint32_t line, column;
};
[[noreturn]] void fault(const Fault* at, const char* what) {
    block->stop(std::string(what) + " in line " + std::to_string(at->line));
}
}  // namespace
#define FAULT(name, what) extern "C" void __ubsan_handle_##name##_abort(Fault* at) { fault(at, what); }
FAULT(out_of_bounds, "an index outside of an array")
FAULT(type_mismatch_v1, "a pointer that is not aligned")
FAULT(add_overflow, "a sum that is no int")
FAULT(sub_overflow, "a difference that is no int")
FAULT(mul_overflow, "a product that is no int")
FAULT(negate_overflow, "a number whose negative is no int")
FAULT(divrem_overflow, "a division by zero")
FAULT(shift_out_of_bounds, "a shift by too much")
FAULT(float_cast_overflow, "a number that fits no int")
