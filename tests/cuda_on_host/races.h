// Races in shared memory: who touched which place since the last barrier of the block.
//
// The compiler, told -fsanitize=thread and left without the library of that name, calls the functions
// at the end for every access. Those outside of shared memory are let pass: one kernel alone,
// `find_few_outputs`, hands anything from one thread to another there, and is held by its results.
#pragma once

namespace cuda_on_host {

constexpr unsigned EVERYBODY = 0xffffffffu;
constexpr std::size_t PLACE_BYTES = 2;  // of the smallest element

struct Place {
    std::uint64_t written = 0;  // phase
    std::uint64_t read = 0;
    unsigned writer = 0;
    unsigned reader = 0;  // EVERYBODY for several
    bool arrives = false;  // by an asynchronous copy that was not waited for
};

inline Place places[MOST_SHARED_BYTES / PLACE_BYTES];

inline void forget_accesses() {
    for (Place& place : places) {
        place = Place();
    }
}

enum class Access { READS, WRITES };

UNSEEN inline void touch(Place& place, Access access) {
    const unsigned thread = threadIdx.x;
    const bool writes = access == Access::WRITES;
    if (place.arrives) {
        fail(writes ? "race: written while a copy arrives there" : "race: read while a copy arrives there");
    }
    if (place.written == phase && place.writer != thread) {
        fail((writes ? "race: written after thread " : "race: read after thread ") +
             std::to_string(place.writer) + " wrote it, without a barrier between");
    }
    if (writes) {
        if (place.read == phase && place.reader != thread) {
            fail("race: written after " +
                 (place.reader == EVERYBODY ? "several threads"
                                            : "thread " + std::to_string(place.reader)) +
                 " read it, without a barrier between");
        }
        place.written = phase;
        place.writer = thread;
    } else {
        place.reader = place.read == phase && place.reader != thread ? EVERYBODY : thread;
        place.read = phase;
    }
}

// Of so many bytes of shared memory the first, counted; the block must have them all.
UNSEEN inline std::size_t first_byte(const void* from, std::size_t bytes) {
    const auto first = static_cast<std::size_t>(static_cast<const unsigned char*>(from) - shared_memory);
    if (first + bytes > (dynamic_bytes != 0 ? dynamic_bytes : SHARED_BYTES)) {
        fail("shared memory beyond the block's");
    }
    return first;
}

UNSEEN inline void touch(const void* from, std::size_t bytes, Access access) {
    const std::size_t first = first_byte(from, bytes);
    for (std::size_t place = first / PLACE_BYTES; place <= (first + bytes - 1) / PLACE_BYTES; ++place) {
        touch(places[place], access);
    }
}

// Begin or end what an asynchronous copy writes: nobody else may come near meanwhile.
UNSEEN inline void touch_by_copy(const void* to, std::size_t bytes, bool begins) {
    const std::size_t first = first_byte(to, bytes);
    for (std::size_t place = first / PLACE_BYTES; place < (first + bytes) / PLACE_BYTES; ++place) {
        if (!begins) {
            places[place].arrives = false;
        }
        touch(places[place], Access::WRITES);
        places[place].arrives = begins;
    }
}

// While it lives, accesses are a stand-in's own: it counts what it stands for.
struct Uncounted {
    static inline bool lives = false;
    UNSEEN Uncounted() { lives = true; }
    UNSEEN ~Uncounted() { lives = false; }
};

// Neither shared memory nor device memory, but the thread's own, or built in.
UNSEEN inline bool is_own(const void* place) {
    const auto stack = static_cast<std::size_t>(static_cast<const unsigned char*>(place) - running->floor);
    const auto is_in = [&](const dim3& built_in) UNSEEN {
        return place >= &built_in && place < &built_in + 1;
    };
    return stack < STACK_BYTES || is_in(threadIdx) || is_in(blockIdx) || is_in(blockDim) || is_in(gridDim);
}

}  // namespace cuda_on_host

#ifdef COUNT_TRAFFIC
extern "C" void count_access(const void* place, std::size_t bytes, bool is_shared, bool writes,
                             const void* instruction, unsigned thread, std::uint64_t phase,
                             unsigned generation);  // traffic.cpp
#define COUNT(place, bytes, access)                                                                 \
    if (cuda_on_host::running != nullptr && !cuda_on_host::Uncounted::lives &&                      \
        !cuda_on_host::is_own(place)) {                                                             \
        count_access(place, bytes, cuda_on_host::is_shared(place),                                  \
                     access == cuda_on_host::Access::WRITES, __builtin_return_address(0),           \
                     threadIdx.x, cuda_on_host::phase,                                              \
                     cuda_on_host::warps[threadIdx.x / cuda_on_host::LANES].generation);            \
    }
#else
#define COUNT(place, bytes, access)
#endif

// What the compiler calls. Nothing here is atomic for it, and who calls whom does not matter.
extern "C" {
#define HOOK(name, bytes, access)                                            \
    UNSEEN void name(void* place) {                                          \
        COUNT(place, bytes, cuda_on_host::Access::access);                   \
        if (cuda_on_host::is_shared(place)) {                                \
            cuda_on_host::touch(place, bytes, cuda_on_host::Access::access); \
        }                                                                    \
    }
#define HOOKS(bytes)                                      \
    HOOK(__tsan_read##bytes, bytes, READS)                \
    HOOK(__tsan_write##bytes, bytes, WRITES)              \
    HOOK(__tsan_unaligned_read##bytes, bytes, READS)      \
    HOOK(__tsan_unaligned_write##bytes, bytes, WRITES)
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)
#undef HOOKS
#undef HOOK

UNSEEN void __tsan_read_range(void* place, std::size_t bytes) {
    COUNT(place, bytes, cuda_on_host::Access::READS);
    if (cuda_on_host::is_shared(place)) {
        cuda_on_host::touch(place, bytes, cuda_on_host::Access::READS);
    }
}
UNSEEN void __tsan_write_range(void* place, std::size_t bytes) {
    COUNT(place, bytes, cuda_on_host::Access::WRITES);
    if (cuda_on_host::is_shared(place)) {
        cuda_on_host::touch(place, bytes, cuda_on_host::Access::WRITES);
    }
}
UNSEEN void __tsan_vptr_read(void**) {}
UNSEEN void __tsan_vptr_update(void**, void*) {}
UNSEEN void __tsan_func_entry(void*) {}
UNSEEN void __tsan_func_exit() {}
UNSEEN void __tsan_init() {}
}
