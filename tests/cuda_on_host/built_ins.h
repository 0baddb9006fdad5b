// Runs CUDA kernels on the CPU, for tests: what nvcc builds in, in plain C++.
//
// Every thread of a block is a fiber with a stack of its own. A fiber runs until it must wait at a
// barrier, for its warp or for its block; so barriers, ballots and shuffles mean what they mean on a
// GPU. Threads and blocks run one after the other in an order that the caller shuffles: what depends
// on it comes out differently. Shared memory is filled with NaNs before every block, and float32
// smaller than 2^-126 is 0 (on x86), as CuPy has it compiled.
//
// What a GPU leaves undefined ends the launch with a message: a barrier that can never open, threads
// that meet at different ones, a lane that reads from one that gave nothing, an address that is not
// aligned, shared memory that the launch did not give, device memory outside of the tensors that it was
// told of, and races in both. The compiler is told (-fsanitize=thread) to call what is in races.h for every
// access. Kernels here order nothing within a warp.
//
// One thread of the host at a time may launch.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(bytes) alignas(bytes)
#define UNSEEN __attribute__((no_sanitize("thread")))  // whose accesses are no kernel's

struct dim3 {
    unsigned x = 1, y = 1, z = 1;
};

inline dim3 threadIdx, blockIdx, blockDim, gridDim;

extern "C" __attribute__((visibility("hidden"))) const unsigned char __ehdr_start[], _end[];  // of this library

namespace cuda_on_host {

constexpr unsigned LANES = 32;
constexpr unsigned MOST_THREADS = 1024;
constexpr std::size_t STACK_BYTES = 64 * 1024;
constexpr std::size_t SHARED_BYTES = 48 * 1024;        // of a kernel's own
constexpr std::size_t MOST_SHARED_BYTES = 163 * 1024;  // that a launch may give, on sm_80
constexpr unsigned MOST_BLOCKS[3] = {0x7fffffffu, 65535u, 65535u};

alignas(16) inline unsigned char shared_memory[MOST_SHARED_BYTES];
inline std::size_t dynamic_bytes;  // that the launch gives; where these are none, a kernel has its own

inline std::uint64_t phase = 1;  // barriers of blocks, and blocks, so far
inline std::uint64_t first_phase_of_block, first_phase_of_launch;
void forget_accesses();
void forget_device_accesses();

// Where threads meet: it opens when all that are alive have arrived, each from the same line.
struct Barrier {
    unsigned alive = 0;
    unsigned arrived = 0;
    int line = 0;
    bool is_of_block = false;
    unsigned generation = 0;
    unsigned any[2] = {};    // of two generations: the last is read while the next gathers
    unsigned given[2] = {};  // lanes that gave a value
    std::uint64_t values[2][LANES] = {};

    UNSEEN void open_if_complete() {
        if (arrived != 0 && arrived == alive) {
            arrived = 0;
            ++generation;
            phase += is_of_block;
            any[generation & 1] = 0;
            given[generation & 1] = 0;
        }
    }
};

// An asynchronous copy of 16 bytes that has not happened yet; from nowhere, of zeros.
struct Copy {
    void* to;
    const void* from;
    unsigned bytes;
};

struct Fiber {
    ucontext_t start;
    jmp_buf place;
    std::unique_ptr<unsigned char[]> stack;
    const unsigned char* floor = nullptr;  // of the stack
    bool entered = false;
    bool alive = false;
    std::vector<Copy> copies;              // begun since the last group was closed
    std::deque<std::vector<Copy>> groups;  // not waited for yet

    bool is_copying() const {
        return !copies.empty() || std::any_of(groups.begin(), groups.end(),
                                              [](const auto& group) { return !group.empty(); });
    }
};

inline void (*body)(const void*);  // of the kernel
inline const void* given;
inline std::size_t given_bytes;
inline std::vector<std::unique_ptr<Fiber>> fibers;
inline Fiber* running;
inline jmp_buf scheduler;
inline ucontext_t scheduler_start;
inline Barrier block;
inline Barrier warps[MOST_THREADS / LANES];
inline std::uint64_t events;  // arrivals and exits: while there are some, nobody is stuck
inline std::string fault;     // what the running thread did that is undefined on a GPU

// While it lives, accesses are a stand-in's own: it says for what it stands itself.
struct Uncounted {
    static inline bool lives = false;
    const bool before = lives;
    UNSEEN Uncounted() { lives = true; }
    UNSEEN ~Uncounted() { lives = before; }
};

// While it lives, accesses are atomic.
struct Atomically {
    static inline bool lives = false;
    UNSEEN Atomically() { lives = true; }
    UNSEEN ~Atomically() { lives = false; }
};

// End the launch: nothing of the running thread is executed any more.
[[noreturn]] UNSEEN inline void fail(const std::string& what) {
    Uncounted::lives = true;
    fault = what + ", thread " + std::to_string(threadIdx.x) + " of block " + std::to_string(blockIdx.x);
    Uncounted::lives = false;  // whoever wanted it does not come back
    Atomically::lives = false;
    _longjmp(scheduler, 1);
}

__attribute__((always_inline, no_sanitize("thread"))) inline bool is_shared(const void* place) {
    const auto offset = static_cast<std::size_t>(static_cast<const unsigned char*>(place) - shared_memory);
    return offset < MOST_SHARED_BYTES;
}

UNSEEN inline void yield() {
    if (_setjmp(running->place) == 0) {
        _longjmp(scheduler, 1);
    }
}

// A fiber outlives its kernel: making one costs system calls, going on with one does not.
UNSEEN inline void live() {
    for (;;) {
        body(given);
        running->alive = false;
        yield();
    }
}

UNSEEN inline void go_on(Fiber& fiber) {
    if (!fiber.entered) {
        getcontext(&fiber.start);
        fiber.stack = std::make_unique<unsigned char[]>(STACK_BYTES);
        fiber.start.uc_stack.ss_sp = fiber.stack.get();
        fiber.floor = fiber.stack.get();
        fiber.start.uc_stack.ss_size = STACK_BYTES;
        makecontext(&fiber.start, live, 0);
    }
    running = &fiber;
    if (_setjmp(scheduler) != 0) {
        running = nullptr;
    } else if (fiber.entered) {
        _longjmp(fiber.place, 1);
    } else {
        fiber.entered = true;
        swapcontext(&scheduler_start, &fiber.start);
    }
}

UNSEEN inline unsigned wait_at(Barrier& barrier, int line) {
    const unsigned generation = barrier.generation;
    if (barrier.arrived++ == 0) {
        barrier.line = line;
    } else if (barrier.line != line) {
        fail("threads wait at different barriers, in lines " + std::to_string(barrier.line) + " and " +
             std::to_string(line));
    }
    ++events;
    barrier.open_if_complete();
    while (barrier.generation == generation) {
        yield();
    }
    return generation & 1;
}

UNSEEN inline void run_block(unsigned threads, const std::vector<unsigned>& order) {
    std::memset(shared_memory, 0xff, sizeof shared_memory);
    first_phase_of_block = ++phase;
    block = Barrier{threads};
    block.is_of_block = true;
    for (unsigned warp = 0; warp * LANES < threads; ++warp) {
        warps[warp] = Barrier{std::min(LANES, threads - warp * LANES)};
    }
    for (unsigned thread = 0; thread < threads; ++thread) {
        fibers[thread]->alive = true;
        fibers[thread]->copies.clear();
        fibers[thread]->groups.clear();
    }
    while (block.alive != 0) {
        const std::uint64_t before = events;
        for (const unsigned thread : order) {
            Fiber& fiber = *fibers[thread];
            if (!fiber.alive) {
                continue;
            }
            threadIdx.x = thread;
            go_on(fiber);
            if (!fiber.alive && fiber.is_copying()) {
                fault = "a thread ends while it copies";
            }
            if (!fault.empty()) {
                fibers.clear();  // they are stuck within the kernel
                forget_accesses();
                throw std::runtime_error(std::exchange(fault, {}));
            }
            if (!fiber.alive) {
                ++events;
                for (Barrier* barrier : {&block, &warps[thread / LANES]}) {
                    --barrier->alive;
                    barrier->open_if_complete();
                }
            }
        }
        if (events == before) {
            fibers.clear();  // they are stuck within the kernel
            forget_accesses();
            throw std::runtime_error("threads of block " + std::to_string(blockIdx.x) +
                                     " wait at a barrier that others never reach");
        }
    }
}

// Flushes what is smaller than 2^-126 to 0 while it lives; of float64, too, which a GPU does not.
class Flushing {
#if defined(__SSE__)
    static constexpr unsigned RESULTS_AND_OPERANDS = 0x8040;
    const unsigned before = _mm_getcsr();

  public:
    Flushing() { _mm_setcsr(before | RESULTS_AND_OPERANDS); }
    ~Flushing() { _mm_setcsr(before); }
#endif
};

inline std::vector<unsigned> shuffled(unsigned count, unsigned seed) {
    std::vector<unsigned> order(count);
    std::iota(order.begin(), order.end(), 0u);
    if (seed != 0) {
        std::shuffle(order.begin(), order.end(), std::mt19937(seed));
    }
    return order;
}

// Run a kernel of one parameter, and give it so many bytes of shared memory. Seed 0 is ascending order, any
// other a shuffled one. Returns what is wrong, or null; the text lives until the next launch.
template <class Parameters>
const char* launch(void (*kernel)(Parameters), const unsigned* blocks, unsigned threads,
                   unsigned shared_bytes, const void* parameters, unsigned seed) {
    static void (*called)(Parameters);
    static std::string message;
    called = kernel;
    body = [](const void* values) { called(*static_cast<const std::decay_t<Parameters>*>(values)); };
    given = parameters;
    given_bytes = sizeof(std::decay_t<Parameters>);
    first_phase_of_launch = phase + 1;
    forget_device_accesses();
    dynamic_bytes = shared_bytes;
    gridDim = {blocks[0], blocks[1], blocks[2]};
    blockDim = {threads, 1, 1};
    try {
        if (shared_bytes > MOST_SHARED_BYTES) {
            throw std::runtime_error("a block cannot have " + std::to_string(shared_bytes) +
                                     " bytes of shared memory");
        }
        if (threads == 0 || threads > MOST_THREADS) {
            throw std::runtime_error("a block cannot have " + std::to_string(threads) + " threads");
        }
        for (unsigned axis = 0; axis < 3; ++axis) {
            if (blocks[axis] == 0 || blocks[axis] > MOST_BLOCKS[axis]) {
                throw std::runtime_error("a grid cannot have " + std::to_string(blocks[axis]) +
                                         " blocks along axis " + std::to_string(axis));
            }
        }
        const Flushing flushing;
        while (fibers.size() < threads) {
            fibers.push_back(std::make_unique<Fiber>());
        }
        const std::vector<unsigned> threads_in_order = shuffled(threads, seed);
        const std::vector<unsigned> blocks_in_order = shuffled(blocks[0], seed);
        for (blockIdx.z = 0; blockIdx.z < gridDim.z; ++blockIdx.z) {
            for (blockIdx.y = 0; blockIdx.y < gridDim.y; ++blockIdx.y) {
                for (const unsigned number : blocks_in_order) {
                    blockIdx.x = number;
                    run_block(threads, threads_in_order);
                }
            }
        }
    } catch (const std::exception& error) {
        message = error.what();
        return message.c_str();
    }
    return nullptr;
}

template <class Parameters>
std::size_t parameter_bytes(void (*)(Parameters)) {
    return sizeof(Parameters);
}

struct Exchanged {
    const std::uint64_t* values;
    unsigned given;
};

// Every lane's value, once all lanes of the warp that are alive have given theirs.
template <class Value>
UNSEEN Exchanged exchange_all(Value value, int line) {
    static_assert(sizeof(Value) <= sizeof(std::uint64_t), "lanes exchange 64 bits at most");
    Barrier& warp = warps[threadIdx.x / LANES];
    std::uint64_t& mine = warp.values[warp.generation & 1][threadIdx.x % LANES];
    mine = 0;
    std::memcpy(&mine, &value, sizeof value);
    warp.given[warp.generation & 1] |= 1u << threadIdx.x % LANES;
    const unsigned slot = wait_at(warp, line);
    return {warp.values[slot], warp.given[slot]};
}

// The same where every lane is needed: of one that left or is not there, nothing is defined.
template <class Value>
UNSEEN const std::uint64_t* exchange(Value value, int line = __builtin_LINE()) {
    const Exchanged exchanged = exchange_all(value, line);
    if (exchanged.given != 0xffffffffu) {
        fail("a warp lacks lanes that others read from");
    }
    return exchanged.values;
}

template <class Value>
UNSEEN Value value_of(const std::uint64_t* values, unsigned lane) {
    Value value;
    std::memcpy(&value, values + lane, sizeof value);
    return value;
}

// Kernels here name all lanes; a part of a warp is not provided for.
inline void check_mask(unsigned mask) {
    if (mask != 0xffffffffu) {
        fail("a mask names a part of a warp");
    }
}

}  // namespace cuda_on_host

#include "races.h"

UNSEEN inline void __syncthreads(int line = __builtin_LINE()) {
    cuda_on_host::wait_at(cuda_on_host::block, line);
}

UNSEEN inline int __syncthreads_or(int predicate, int line = __builtin_LINE()) {
    cuda_on_host::Barrier& block = cuda_on_host::block;
    block.any[block.generation & 1] |= predicate != 0;
    const unsigned slot = cuda_on_host::wait_at(block, line);
    return static_cast<int>(block.any[slot]);
}

UNSEEN inline void __syncwarp(unsigned mask = 0xffffffffu, int line = __builtin_LINE()) {
    cuda_on_host::check_mask(mask);
    cuda_on_host::exchange_all(0, line);
}

UNSEEN inline unsigned __ballot_sync(unsigned mask, int predicate, int line = __builtin_LINE()) {
    cuda_on_host::check_mask(mask);
    const cuda_on_host::Exchanged votes = cuda_on_host::exchange_all(predicate != 0, line);
    unsigned word = 0;
    for (unsigned lane = 0; lane < cuda_on_host::LANES; ++lane) {
        word |= votes.given >> lane & 1u && votes.values[lane] != 0 ? 1u << lane : 0u;
    }
    return word;
}

UNSEEN inline int __any_sync(unsigned mask, int predicate, int line = __builtin_LINE()) {
    return __ballot_sync(mask, predicate, line) != 0;
}

template <class Value>
UNSEEN Value __shfl_sync(unsigned mask, Value value, int lane, int line = __builtin_LINE()) {
    cuda_on_host::check_mask(mask);
    const std::uint64_t* values = cuda_on_host::exchange(value, line);
    return cuda_on_host::value_of<Value>(values, static_cast<unsigned>(lane) % cuda_on_host::LANES);
}

template <class Value>
UNSEEN Value __shfl_up_sync(unsigned mask, Value value, unsigned distance, int line = __builtin_LINE()) {
    cuda_on_host::check_mask(mask);
    const unsigned lane = threadIdx.x % cuda_on_host::LANES;
    const std::uint64_t* values = cuda_on_host::exchange(value, line);
    return cuda_on_host::value_of<Value>(values, lane >= distance ? lane - distance : lane);
}

template <class Value>
UNSEEN Value __shfl_xor_sync(unsigned mask, Value value, unsigned pattern, int line = __builtin_LINE()) {
    cuda_on_host::check_mask(mask);
    const unsigned lane = threadIdx.x % cuda_on_host::LANES;
    const std::uint64_t* values = cuda_on_host::exchange(value, line);
    return cuda_on_host::value_of<Value>(values, lane ^ pattern);
}

inline unsigned __float_as_uint(float value) {
    unsigned bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

inline float __uint_as_float(unsigned bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

inline int __popc(unsigned word) { return __builtin_popcount(word); }
inline int __ffs(int word) { return __builtin_ffs(word); }

template <class Value>
Value atomicAdd(Value* place, Value value) {
    const cuda_on_host::Atomically atomically;
    const Value before = *place;
    *place = before + value;
    return before;
}

template <class Value>
Value atomicOr(Value* place, Value value) {
    const cuda_on_host::Atomically atomically;
    const Value before = *place;
    *place = before | value;
    return before;
}

template <class Value>
Value atomicCAS(Value* place, Value expected, Value value) {
    const cuda_on_host::Atomically atomically;
    const Value before = *place;
    if (before == expected) {
        *place = value;
    }
    return before;
}
