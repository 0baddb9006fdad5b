// Races, and addresses where a launch has nothing: who touched which place, and since when.
//
// The compiler, told -fsanitize=thread and left without the library of that name, calls the functions
// at the end for every access. Between two of different threads, one of which writes, there must be a
// barrier of the block; in device memory, no two blocks may come near unless both only read, or both
// are atomic. Kernels here hand nothing from one block to another.
#pragma once

namespace cuda_on_host {

constexpr unsigned EVERYBODY = 0xffffffffu;
constexpr std::size_t PLACE_BYTES = 2;  // of the smallest element

enum class Access { READS, WRITES, ATOMIC };

struct Place {
    std::uint64_t written = 0;  // phase
    std::uint64_t read = 0;
    std::uint64_t read_first = 0;
    unsigned writer = 0;
    unsigned reader = 0;  // EVERYBODY for several
    bool by_atomics = false;  // written
    bool arrives = false;  // by an asynchronous copy that was not waited for
};

[[noreturn]] UNSEEN inline void fail_by_race(Access access, unsigned thread, bool wrote) {
    const char* what[] = {"read", "written", "changed by an atomic"};
    fail(std::string("race: ") + what[static_cast<int>(access)] + " after " +
         (thread == EVERYBODY ? "several threads" : "thread " + std::to_string(thread)) +
         (wrote ? " wrote it" : " read it") + ", without a barrier between");
}

// What is older than `since`, a phase, is forgotten. Other blocks' accesses are those since then that
// are older than the running block.
UNSEEN inline void touch(Place& place, Access access, std::uint64_t since) {
    const unsigned thread = threadIdx.x;
    if (place.arrives) {
        fail(access == Access::READS ? "race: read while a copy arrives there"
                                     : "race: written while a copy arrives there");
    }
    const auto is_of_another_block = [&](std::uint64_t then) UNSEEN {
        return then >= since && then < first_phase_of_block;
    };
    if (access != Access::ATOMIC || !place.by_atomics) {
        if (is_of_another_block(place.written)) {
            fail("race: another block writes there");
        }
        if (place.written == phase && place.writer != thread) {
            fail_by_race(access, place.writer, true);
        }
    }
    if (access == Access::READS) {
        place.reader = place.read == phase && place.reader != thread ? EVERYBODY : thread;
        place.read = phase;
        if (place.read_first < since) {
            place.read_first = phase;
        }
        return;
    }
    if (is_of_another_block(place.read_first)) {
        fail("race: another block reads there");
    }
    if (place.read == phase && place.reader != thread) {
        fail_by_race(access, place.reader, false);
    }
    place.written = phase;
    place.writer = thread;
    place.by_atomics = access == Access::ATOMIC;
}

template <class PlaceOf>
UNSEEN void touch_each(std::size_t first, std::size_t bytes, Access access, std::uint64_t since,
                       PlaceOf place_of) {
    for (std::size_t number = first / PLACE_BYTES; number <= (first + bytes - 1) / PLACE_BYTES; ++number) {
        touch(place_of(number), access, since);
    }
}

// --- Shared memory ------------------------------------------------------------------------------

inline Place shared_places[MOST_SHARED_BYTES / PLACE_BYTES];

// Of so many bytes of shared memory the first, counted; the block must have them all.
UNSEEN inline std::size_t first_byte(const void* from, std::size_t bytes) {
    const auto first = static_cast<std::size_t>(static_cast<const unsigned char*>(from) - shared_memory);
    if (first + bytes > (dynamic_bytes != 0 ? dynamic_bytes : SHARED_BYTES)) {
        fail("shared memory beyond the block's");
    }
    return first;
}

UNSEEN inline void touch_shared(const void* from, std::size_t bytes, Access access) {
    touch_each(first_byte(from, bytes), bytes, access, first_phase_of_block,
               [](std::size_t number) UNSEEN -> Place& { return shared_places[number]; });
}

// Begin or end what an asynchronous copy writes: nobody else may come near meanwhile.
UNSEEN inline void touch_by_copy(const void* to, std::size_t bytes, bool begins) {
    const std::size_t first = first_byte(to, bytes);
    for (std::size_t place = first / PLACE_BYTES; place < (first + bytes) / PLACE_BYTES; ++place) {
        if (!begins) {
            shared_places[place].arrives = false;
        }
        touch(shared_places[place], Access::WRITES, first_phase_of_block);
        shared_places[place].arrives = begins;
    }
}

// --- Device memory ------------------------------------------------------------------------------

struct Memory {
    const unsigned char* first;
    std::size_t bytes;

    UNSEEN bool holds(const void* place, std::size_t count) const {
        const auto offset = static_cast<std::size_t>(static_cast<const unsigned char*>(place) - first);
        return offset < bytes && count <= bytes - offset;
    }
};

inline std::vector<Memory> memories;  // that launches may touch; where there is none, they may touch everything

constexpr std::size_t PAGE_PLACES = 1024;

struct Page {
    Place places[PAGE_PLACES];
};

inline std::unordered_map<std::size_t, Page> pages;  // of this launch, by number
inline std::pair<std::size_t, Page*> last_page;

UNSEEN inline Place& device_place(std::size_t number) {
    if (last_page.second == nullptr || last_page.first != number / PAGE_PLACES) {
        last_page = {number / PAGE_PLACES, &pages[number / PAGE_PLACES]};
    }
    return last_page.second->places[number % PAGE_PLACES];
}

UNSEEN inline void touch_device(const void* from, std::size_t bytes, Access access) {
    const Uncounted uncounted;
    if (!memories.empty() &&
        std::none_of(memories.begin(), memories.end(),
                     [&](const Memory& memory) UNSEEN { return memory.holds(from, bytes); })) {
        fail("an address outside of every tensor");
    }
    touch_each(reinterpret_cast<std::size_t>(from), bytes, access, first_phase_of_launch, device_place);
}

inline void forget_device_accesses() {
    pages.clear();
    last_page = {};
}

inline void forget_accesses() {
    std::fill(std::begin(shared_places), std::end(shared_places), Place());
    forget_device_accesses();
}

// --- Every access -------------------------------------------------------------------------------

// Whether a place is neither in shared memory nor in device memory, but on the thread's stack, among what the
// kernel was given, or in this library.
UNSEEN inline bool is_own(const void* place) {
    const auto* address = static_cast<const unsigned char*>(place);
    return static_cast<std::size_t>(address - running->floor) < STACK_BYTES ||
           static_cast<std::size_t>(address - static_cast<const unsigned char*>(given)) < given_bytes ||
           (address >= __ehdr_start && address < _end && !is_shared(place));
}

UNSEEN inline void touch(const void* place, std::size_t bytes, Access access) {
    const Access how = Atomically::lives ? Access::ATOMIC : access;
    if (is_shared(place)) {
        touch_shared(place, bytes, how);
    } else if (running != nullptr && !Uncounted::lives && !is_own(place)) {
        touch_device(place, bytes, how);
    }
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
#define NOTE(place, bytes, access)                       \
    COUNT(place, bytes, cuda_on_host::Access::access);   \
    cuda_on_host::touch(place, bytes, cuda_on_host::Access::access)
#define HOOK(name, bytes, access) \
    UNSEEN void name(void* place) { NOTE(place, bytes, access); }
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
UNSEEN void __tsan_read_range(void* place, std::size_t bytes) { NOTE(place, bytes, READS); }
UNSEEN void __tsan_write_range(void* place, std::size_t bytes) { NOTE(place, bytes, WRITES); }
#undef HOOKS
#undef HOOK
#undef NOTE
UNSEEN void __tsan_vptr_read(void**) {}
UNSEEN void __tsan_vptr_update(void**, void*) {}
UNSEEN void __tsan_func_entry(void*) {}
UNSEEN void __tsan_func_exit() {}
UNSEEN void __tsan_init() {}
}
