// Counts what a GPU's memory would do for a kernel: wavefronts of shared memory, sectors of device memory.
//
// Lanes run one after the other here, so a warp's requests are put together afterwards: accesses of its
// lanes belong to one request if the same instruction makes them, for the same time since the last barrier
// of the warp or block. A lane that skips an access in a loop is out of step with others until then.
// Accesses are as wide as the source says: what nvcc joins of its own accord is counted apart.
//
// Compiled by itself: races.h calls it for what kernels do, and nobody for what this does.

#include <dlfcn.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <tuple>
#include <unordered_map>
#include <vector>

namespace {

constexpr unsigned LANES = 32;
constexpr std::uintptr_t BANKS = 32;
constexpr std::uintptr_t WORD_BYTES = 4;
constexpr std::uintptr_t SECTOR_BYTES = 32;

// Of one instruction. A unit is a wavefront of shared memory, which reads or writes one word of each bank,
// or a sector of device memory, 32 bytes. There could be as few as the bytes fill side by side.
struct Traffic {
    std::uint64_t instruction;  // its place in the library's file
    std::uint64_t is_shared, writes, bytes;
    std::uint64_t requests, units, fewest;
};

struct Asked {
    const void* instruction;
    std::uint64_t bytes;
    unsigned warp, generation, occurrence, lane;
    std::uintptr_t address;
    bool is_shared, writes;

    auto request() const { return std::tie(instruction, is_shared, warp, generation, occurrence); }
    bool operator<(const Asked& other) const {
        return std::tuple_cat(request(), std::tie(lane)) <
               std::tuple_cat(other.request(), std::tie(other.lane));
    }
};

std::vector<Asked> asked;  // since the last barrier of the block
std::uint64_t asked_in;    // phase
std::map<std::pair<const void*, bool>, Traffic> traffic;
// By thread, generation and whether memory is shared: an asynchronous copy asks for both.
std::map<std::tuple<unsigned, unsigned, bool>, std::unordered_map<const void*, unsigned>> occurrences;

// Whether lanes and those whose numbers differ in this bit ask for the same, as far as both ask.
bool ask_alike(const Asked* first, const Asked* end, unsigned bit) {
    std::map<unsigned, std::uintptr_t> addresses;  // of every two lanes
    return std::all_of(first, end, [&](const Asked& one) {
        return addresses.try_emplace(one.lane & ~bit, one.address).first->second == one.address;
    });
}

// Sixteen bytes a lane are served eight lanes at a time, eight bytes sixteen, fewer all at once; twice as
// many where a load's lanes all ask for the same by pairs, each and its neighbour, or each and the next but
// one. NVIDIA says so of compute capability 7.x (forums.developer.nvidia.com/t/77228); of later ones nothing is
// documented.
void add_wavefronts(Traffic& sum, const Asked* first, const Asked* end) {
    const auto alone = static_cast<unsigned>(BANKS * WORD_BYTES / std::max(first->bytes, WORD_BYTES));
    const unsigned in_pairs = first->writes ? alone : std::min(2 * alone, LANES);
    const bool are_pairs = ask_alike(first, end, 1) || ask_alike(first, end, 2);
    const unsigned together = are_pairs ? in_pairs : alone;
    std::set<std::uintptr_t> addresses;
    std::set<unsigned> groups;
    for (const Asked* one = first; one != end; ++one) {
        addresses.insert(one->address);
        groups.insert(one->lane / alone);
    }
    // So few addresses could be asked for by pairs.
    const bool could_be_pairs = 2 * addresses.size() <= static_cast<std::size_t>(end - first);
    sum.fewest += could_be_pairs ? (groups.size() * alone + in_pairs - 1) / in_pairs : groups.size();
    while (first != end) {
        const unsigned group = first->lane / together;
        std::set<std::uintptr_t> words[BANKS];
        std::size_t most = 0;
        for (; first != end && first->lane / together == group; ++first) {
            for (std::uintptr_t word = first->address / WORD_BYTES;
                 word <= (first->address + first->bytes - 1) / WORD_BYTES; ++word) {
                words[word % BANKS].insert(word);
                most = std::max(most, words[word % BANKS].size());
            }
        }
        sum.units += most;
    }
}

void add_sectors(Traffic& sum, const Asked* first, const Asked* end) {
    std::set<std::uintptr_t> sectors, addresses;
    for (; first != end; ++first) {
        addresses.insert(first->address);
        sectors.insert(first->address / SECTOR_BYTES);
        sectors.insert((first->address + first->bytes - 1) / SECTOR_BYTES);
    }
    sum.units += sectors.size();
    sum.fewest += (addresses.size() * sum.bytes + SECTOR_BYTES - 1) / SECTOR_BYTES;
}

// Put warps' requests together from what their lanes asked for.
void add_up() {
    std::sort(asked.begin(), asked.end());
    const Asked* const end = asked.data() + asked.size();
    for (const Asked* first = asked.data(); first != end;) {
        const Asked* const next = std::find_if(
            first, end, [&](const Asked& other) { return other.request() != first->request(); });
        Traffic& sum = traffic[{first->instruction, first->is_shared}];
        sum.is_shared = first->is_shared;
        sum.writes = first->writes;
        sum.bytes = first->bytes;
        ++sum.requests;
        (first->is_shared ? add_wavefronts : add_sectors)(sum, first, next);
        first = next;
    }
    asked.clear();
    occurrences.clear();
}

}  // namespace

// One thread's access. Phases are those of the block, generations those of the warp's barrier.
extern "C" void count_access(const void* place, std::size_t bytes, bool is_shared, bool writes,
                             const void* instruction, unsigned thread, std::uint64_t phase,
                             unsigned generation) {
    if (phase != asked_in) {
        add_up();
        asked_in = phase;
    }
    const unsigned occurrence = occurrences[{thread, generation, is_shared}][instruction]++;
    asked.push_back({instruction, bytes, thread / LANES, generation, occurrence, thread % LANES,
                     reinterpret_cast<std::uintptr_t>(place), is_shared, writes});
}

// Hand out what was counted since the last call, at most so many rows. Returns how many there are.
extern "C" std::size_t take_traffic(Traffic* rows, std::size_t most) {
    add_up();
    std::size_t number = 0;
    for (const auto& [key, sum] : traffic) {
        Dl_info library;
        if (number < most && dladdr(key.first, &library) != 0) {
            rows[number] = sum;
            rows[number].instruction = static_cast<std::uint64_t>(
                static_cast<const char*>(key.first) - static_cast<const char*>(library.dli_fbase) - 1);
        }
        ++number;
    }
    traffic.clear();
    return number;
}
