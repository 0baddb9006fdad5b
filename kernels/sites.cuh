// Sites as numbers, windows, and the search for a site's row.
#pragma once

constexpr int AXES = 3;  // grids of fewer axes have leading axes of one site
constexpr int INACTIVE = -1;
constexpr int OFF_GRID = -2;
constexpr long long NO_KEY = -1;
constexpr int WORD_BITS = 32;

struct Site {
    int sample;
    int place[AXES];
};

struct Grid {
    int size[AXES];
};

struct Window {
    int kernel_size[AXES];
    int stride[AXES];
    int padding[AXES];
    int dilation[AXES];
};

// Rows of coordinates int32 [N, 1 + axes], sample first.
struct Coordinates {
    int* values;
    long long count;
    int axes;
};

// Where a site's row is found: by its rank among the set bits of a bitmap over the grid, or, for grids
// too large for one, in a hash table with open addressing.
struct Index {
    unsigned* words;
    int* ranks;  // row of a word's first set bit; unset where the word is 0
    long long* keys;
    int* rows;
    long long slots;  // a power of two; 0 for a bitmap
};

__device__ __forceinline__ Site site_at(const Coordinates& coordinates, long long row) {
    const int* values = coordinates.values + row * (1 + coordinates.axes);
    Site site = {values[0], {0, 0, 0}};
    const int missing = AXES - coordinates.axes;
#pragma unroll
    for (int axis = 0; axis < AXES; ++axis) {
        if (axis >= missing) {
            site.place[axis] = values[1 + axis - missing];
        }
    }
    return site;
}

// `Key` is unsigned where that suffices: dividing 64 bits takes several times as many instructions.
template <typename Key>
__device__ __forceinline__ void write_site(
    const Coordinates& coordinates, long long row, Key key, const Grid& grid) {
    int* values = coordinates.values + row * (1 + coordinates.axes);
    const int missing = AXES - coordinates.axes;
#pragma unroll
    for (int axis = AXES - 1; axis >= 0; --axis) {
        if (axis >= missing) {
            values[1 + axis - missing] = static_cast<int>(key % grid.size[axis]);
        }
        key /= grid.size[axis];
    }
    values[0] = static_cast<int>(key);
}

// Number of a site in lexicographic order.
__device__ __forceinline__ long long key_of(const Site& site, const Grid& grid) {
    long long key = site.sample;
#pragma unroll
    for (int axis = 0; axis < AXES; ++axis) {
        key = key * grid.size[axis] + site.place[axis];
    }
    return key;
}

// Split the number of a kernel offset, last axis fastest, into its places times the dilation.
__device__ __forceinline__ void reach_of(const Window& window, int offset, int* reach) {
#pragma unroll
    for (int axis = AXES - 1; axis >= 0; --axis) {
        reach[axis] = offset % window.kernel_size[axis] * window.dilation[axis];
        offset /= window.kernel_size[axis];
    }
}

// Input site that an output site sees through an offset; false off the grid.
__device__ __forceinline__ bool seen_through(
    const Window& window, int offset, const Grid& inputs, const Site& output, Site& input) {
    int reach[AXES];
    reach_of(window, offset, reach);
    bool inside = true;
    input.sample = output.sample;
#pragma unroll
    for (int axis = 0; axis < AXES; ++axis) {
        const int place =
            output.place[axis] * window.stride[axis] - window.padding[axis] + reach[axis];
        inside = inside && place >= 0 && place < inputs.size[axis];
        input.place[axis] = place;
    }
    return inside;
}

// Output site that sees an input site through an offset; false where there is none.
__device__ __forceinline__ bool sees_through(
    const Window& window, int offset, const Grid& outputs, const Site& input, Site& output) {
    int reach[AXES];
    reach_of(window, offset, reach);
    bool inside = true;
    output.sample = input.sample;
#pragma unroll
    for (int axis = 0; axis < AXES; ++axis) {
        const int shifted = input.place[axis] + window.padding[axis] - reach[axis];
        const int place = shifted / window.stride[axis];
        inside = inside && shifted >= 0 && place * window.stride[axis] == shifted &&
                 place < outputs.size[axis];
        output.place[axis] = place;
    }
    return inside;
}

__device__ __forceinline__ int rank_in_word(unsigned word, int bit) {
    return __popc(word & ((1u << bit) - 1u));
}

// Finaliser of MurmurHash3 (Appleby), which spreads every bit of a key over the whole number.
__device__ __forceinline__ long long slot_of(long long key, long long slots) {
    unsigned long long mixed = static_cast<unsigned long long>(key);
    mixed = (mixed ^ (mixed >> 33)) * 0xff51afd7ed558ccdull;
    mixed = (mixed ^ (mixed >> 33)) * 0xc4ceb9fe1a85ec53ull;
    return static_cast<long long>((mixed ^ (mixed >> 33)) & (slots - 1));
}

// Row of a site, or INACTIVE.
__device__ __forceinline__ int find(const Index& index, long long key) {
    if (index.slots == 0) {
        const unsigned word = index.words[key / WORD_BITS];
        const int bit = static_cast<int>(key % WORD_BITS);
        return word >> bit & 1u ? index.ranks[key / WORD_BITS] + rank_in_word(word, bit)
                                : INACTIVE;
    }
    long long slot = slot_of(key, index.slots);
    while (index.keys[slot] != key) {
        if (index.keys[slot] == NO_KEY) {
            return INACTIVE;
        }
        slot = (slot + 1) & (index.slots - 1);
    }
    return index.rows[slot];
}

__device__ __forceinline__ long long thread_number() {
    return static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
}
