// Active output sites of a window, in canonical order: mark what is touched, count, emit.

#include <ptx.cuh>

#include "sites.cuh"

constexpr int LANES = 32;
constexpr int TILE_THREADS = 256;
constexpr int TILE_WORDS = TILE_THREADS;  // a thread looks at one
constexpr int TILES_EACH = 16;            // that a thread adds up at a time
constexpr int FEW_THREADS = 1024;         // of the one block that does everything
constexpr int WORDS_EACH = 4;             // that one of its threads adds up at a time
constexpr unsigned EVERY_LANE = 0xffffffffu;
constexpr long long NOWHERE = 0x7fffffffffffffffll;

struct Touch {
    Coordinates inputs;
    Grid outputs;
    Window window;
    int offsets;
    unsigned* words;        // of a bitmap over the output grid, 0 before; or
    long long* candidates;  // [offsets, N], a key for each pair, NOWHERE where there is no output
};

// The output site that sees an input site's row through a kernel offset, or NOWHERE.
__device__ __forceinline__ long long touched_key(const Touch& p, long long row, int offset) {
    Site output;
    const bool touched =
        sees_through(p.window, offset, p.outputs, site_at(p.inputs, row), output);
    return touched ? key_of(output, p.outputs) : NOWHERE;
}

__device__ __forceinline__ void mark(unsigned* words, long long key) {
    if (key != NOWHERE) {
        atomicOr(words + key / WORD_BITS, 1u << key % WORD_BITS);
    }
}

// One thread a pair of input site and kernel offset, offsets along the grid's y axis.
__global__ void touch_outputs(const Touch p) {
    const long long row = thread_number();
    if (row >= p.inputs.count) {
        return;
    }
    const int offset = blockIdx.y;
    const long long key = touched_key(p, row, offset);
    if (p.candidates != nullptr) {
        p.candidates[offset * p.inputs.count + row] = key;
    } else {
        mark(p.words, key);
    }
}

struct FirstOfRuns {
    const long long* keys;  // ascending
    unsigned* words;
    long long count;
};

// One thread a key: set the bit of every key that differs from the one before it.
__global__ void mark_first_of_runs(const FirstOfRuns p) {
    const long long place = thread_number();
    bool first = false;
    if (place < p.count) {
        const long long key = p.keys[place];
        first = key != NOWHERE && (place == 0 || p.keys[place - 1] != key);
    }
    const unsigned word = __ballot_sync(EVERY_LANE, first);
    if (threadIdx.x % WORD_BITS == 0 && place < p.count) {
        p.words[place / WORD_BITS] = word;
    }
}

struct Ranking {
    const unsigned* words;
    long long word_count;
    int* tile_counts;         // set bits of every TILE_WORDS words
    long long* tile_starts;   // their sum over the tiles before, and over all
    long long tiles;
    int* ranks;               // set bits before each word
    const long long* keys;    // of the bits; null where a bit's number is its site's key
    Grid grid;
    Coordinates sites;        // of the set bits
};

template <int THREADS>
struct WarpSums {
    int of_warps[THREADS / LANES];
};

// Exclusive prefix sum over a block's threads; the sum over all comes back in `total`.
template <int THREADS>
__device__ __forceinline__ int prefix_sum(int value, int& total) {
    int* of_warps = shared<WarpSums<THREADS>>().of_warps;
    const int lane = threadIdx.x % LANES;
    const int warp = threadIdx.x / LANES;
    int sum = value;
#pragma unroll
    for (int distance = 1; distance < LANES; distance *= 2) {
        const int before = __shfl_up_sync(EVERY_LANE, sum, distance);
        sum += lane >= distance ? before : 0;
    }
    if (lane == LANES - 1) {
        of_warps[warp] = sum;
    }
    __syncthreads();
    int earlier = 0;
    total = 0;
#pragma unroll
    for (int other = 0; other < THREADS / LANES; ++other) {
        earlier += other < warp ? of_warps[other] : 0;
        total += of_warps[other];
    }
    __syncthreads();
    return earlier + sum - value;
}

__device__ __forceinline__ long long word_of_thread() {
    return static_cast<long long>(blockIdx.x) * TILE_WORDS + threadIdx.x;
}

__device__ __forceinline__ unsigned bits_of_thread(const Ranking& p) {
    return word_of_thread() < p.word_count ? p.words[word_of_thread()] : 0;
}

// One block a tile.
__global__ void __launch_bounds__(TILE_THREADS) count_tiles(const Ranking p) {
    int total;
    prefix_sum<TILE_THREADS>(__popc(bits_of_thread(p)), total);
    if (threadIdx.x == 0) {
        p.tile_counts[blockIdx.x] = total;
    }
}

// One block for all tiles. Sums are taken in 64 bits: the caller looks whether rows still fit 32.
__global__ void __launch_bounds__(TILE_THREADS) add_up_tiles(const Ranking p) {
    long long start = 0;
    for (long long first = 0; first < p.tiles; first += TILE_THREADS * TILES_EACH) {
        const long long tile = first + threadIdx.x * TILES_EACH;
        int counts[TILES_EACH];
        int count = 0;
#pragma unroll
        for (int number = 0; number < TILES_EACH; ++number) {
            counts[number] = tile + number < p.tiles ? p.tile_counts[tile + number] : 0;
            count += counts[number];
        }
        int total;
        int before = prefix_sum<TILE_THREADS>(count, total);
#pragma unroll
        for (int number = 0; number < TILES_EACH; ++number) {
            if (tile + number < p.tiles) {
                p.tile_starts[tile + number] = start + before;
            }
            before += counts[number];
        }
        start += total;
    }
    if (threadIdx.x == 0) {
        p.tile_starts[p.tiles] = start;
    }
}

// One block a tile: the rank of every word, and the site of every set bit.
__global__ void __launch_bounds__(TILE_THREADS) emit_sites(const Ranking p) {
    const long long word = word_of_thread();
    const unsigned bits = bits_of_thread(p);
    int total;
    const int before = prefix_sum<TILE_THREADS>(__popc(bits), total);
    int row = static_cast<int>(p.tile_starts[blockIdx.x]) + before;
    if (p.ranks != nullptr && word < p.word_count) {
        p.ranks[word] = row;
    }
    for (unsigned left = bits; left != 0; left &= left - 1) {
        const long long place = word * WORD_BITS + (__ffs(static_cast<int>(left)) - 1);
        write_site(p.sites, row++, p.keys == nullptr ? place : p.keys[place], p.grid);
    }
}

struct FewOutputs {
    Touch touch;      // of words that may hold anything before
    Ranking ranking;  // of these words; the number of sites comes back in `tile_starts`
};

// One block for all of the above, where that is little: launches take the host longer.
__global__ void __launch_bounds__(FEW_THREADS) find_few_outputs(const FewOutputs p) {
    unsigned* words = p.touch.words;
    int* ranks = p.ranking.ranks;
    const int word_count = static_cast<int>(p.ranking.word_count);
    for (int word = threadIdx.x; word < word_count; word += FEW_THREADS) {
        words[word] = 0;
    }
    __syncthreads();
    const int inputs = static_cast<int>(p.touch.inputs.count);
    for (int pair = threadIdx.x; pair < inputs * p.touch.offsets; pair += FEW_THREADS) {
        mark(words, touched_key(p.touch, pair % inputs, pair / inputs));
    }
    __syncthreads();
    int start = 0;
    for (int first = 0; first < word_count; first += FEW_THREADS * WORDS_EACH) {
        const int word = first + threadIdx.x * WORDS_EACH;
        int counts[WORDS_EACH];
        int count = 0;
#pragma unroll
        for (int number = 0; number < WORDS_EACH; ++number) {
            counts[number] = word + number < word_count ? __popc(words[word + number]) : 0;
            count += counts[number];
        }
        int total;
        int row = start + prefix_sum<FEW_THREADS>(count, total);
#pragma unroll
        for (int number = 0; number < WORDS_EACH; ++number) {
            if (word + number < word_count) {
                ranks[word + number] = row;
            }
            row += counts[number];
        }
        start += total;
    }
    if (threadIdx.x == 0) {
        *p.ranking.tile_starts = start;
    }
    __syncthreads();
    // A word a thread, as few words may hold all sites.
    for (int word = threadIdx.x; word < word_count; word += FEW_THREADS) {
        int row = ranks[word];
        for (unsigned left = words[word]; left != 0; left &= left - 1) {
            const unsigned key = word * WORD_BITS + (__ffs(static_cast<int>(left)) - 1);
            write_site(p.ranking.sites, row++, key, p.ranking.grid);
        }
    }
}
