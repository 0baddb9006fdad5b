// The kernel map as a table [offsets, rows]: which row is seen through each offset.

#include "sites.cuh"

struct Table {
    Coordinates rows;  // sites that the table has a column for
    Grid grid;         // of the sites that are looked up
    Index index;       // of the same
    Window window;
    int* table;
    int* keys;         // [rows], see `key_of_neighbours`, of up to KEY_BITS offsets; or null
};

constexpr int KEY_BITS = 31;  // keys are not negative

// A bit for each neighbour that a row has, read as a word of the reflected Gray code: rows whose keys are close
// differ in few neighbours.
__device__ __forceinline__ int key_of_neighbours(unsigned bits) {
#pragma unroll
    for (int distance = 1; distance < KEY_BITS; distance *= 2) {
        bits ^= bits >> distance;
    }
    return static_cast<int>(bits);
}

// Rows are output sites, input sites are looked up: a row, INACTIVE or OFF_GRID. One thread an entry,
// offsets along the grid's y axis.
__global__ void look_up_inputs(const Table p) {
    const long long row = thread_number();
    if (row >= p.rows.count) {
        return;
    }
    Site input;
    const bool inside =
        seen_through(p.window, blockIdx.y, p.grid, site_at(p.rows, row), input);
    p.table[blockIdx.y * p.rows.count + row] =
        inside ? find(p.index, key_of(input, p.grid)) : OFF_GRID;
}

constexpr int ABREAST = 3;  // offsets along the last axis whose searches wait for memory together

// Rows of sites by their keys, or INACTIVE; OFF_GRID where a key is not of a site inside.
template <class Key>
__device__ __forceinline__ void find_abreast(
    const Index& index, const Key* keys, const bool* inside, int* found) {
    if constexpr (sizeof(Key) == sizeof(unsigned)) {
        unsigned words[ABREAST];
#pragma unroll
        for (int number = 0; number < ABREAST; ++number) {
            words[number] = inside[number] ? index.words[keys[number] / WORD_BITS] : 0;
        }
#pragma unroll
        for (int number = 0; number < ABREAST; ++number) {
            const int bit = static_cast<int>(keys[number] % WORD_BITS);
            found[number] = inside[number] ? INACTIVE : OFF_GRID;
            if (words[number] >> bit & 1u) {
                found[number] = index.ranks[keys[number] / WORD_BITS] + rank_in_word(words[number], bit);
            }
        }
    } else {
#pragma unroll
        for (int number = 0; number < ABREAST; ++number) {
            found[number] = inside[number] ? find(index, keys[number]) : OFF_GRID;
        }
    }
}

// As `look_up_inputs`, but one thread a row, which reads its site once and adds to one key for every offset. Key
// is unsigned for a bitmap, which has fewer than 2^32 bits, and long long for a hash table.
template <class Key>
__global__ void look_up_all_inputs(const Table p) {
    const long long row = thread_number();
    if (row >= p.rows.count) {
        return;
    }
    const Window& window = p.window;
    const int* size = p.grid.size;
    const Site output = site_at(p.rows, row);
    int first[AXES];
    Key key = static_cast<Key>(output.sample);  // of no site where the offset leads off the grid
#pragma unroll
    for (int axis = 0; axis < AXES; ++axis) {
        first[axis] = output.place[axis] * window.stride[axis] - window.padding[axis];
        key = key * static_cast<Key>(size[axis]) + static_cast<Key>(first[axis]);
    }
    unsigned bits = 0;
    unsigned next_bit = 1;
    int* to = p.table + row;
    for (int plane = 0; plane < window.kernel_size[0]; ++plane) {
        const int place_0 = first[0] + plane * window.dilation[0];
        for (int line = 0; line < window.kernel_size[1]; ++line) {
            const int place_1 = first[1] + line * window.dilation[1];
            const bool is_line = place_0 >= 0 && place_0 < size[0] && place_1 >= 0 && place_1 < size[1];
            const Key line_key =
                key + (static_cast<Key>(plane * window.dilation[0]) * static_cast<Key>(size[1]) +
                       static_cast<Key>(line * window.dilation[1])) *
                          static_cast<Key>(size[2]);
            for (int start = 0; start < window.kernel_size[2]; start += ABREAST) {
                Key keys[ABREAST];
                bool inside[ABREAST];
                int found[ABREAST];
#pragma unroll
                for (int number = 0; number < ABREAST; ++number) {
                    const int reach = (start + number) * window.dilation[2];
                    const int place = first[2] + reach;
                    inside[number] = is_line && start + number < window.kernel_size[2] && place >= 0 &&
                                     place < size[2];
                    keys[number] = line_key + static_cast<Key>(reach);
                }
                find_abreast(p.index, keys, inside, found);
#pragma unroll
                for (int number = 0; number < ABREAST; ++number) {
                    if (start + number < window.kernel_size[2]) {
                        *to = found[number];
                        to += p.rows.count;
                        bits |= found[number] >= 0 ? next_bit : 0u;
                        next_bit <<= 1;
                    }
                }
            }
        }
    }
    if (p.keys != nullptr) {
        p.keys[row] = key_of_neighbours(bits);
    }
}

// Rows are input sites, output sites are looked up: a row, or INACTIVE.
__global__ void look_up_outputs(const Table p) {
    const long long row = thread_number();
    if (row >= p.rows.count) {
        return;
    }
    Site output;
    const bool inside =
        sees_through(p.window, blockIdx.y, p.grid, site_at(p.rows, row), output);
    p.table[blockIdx.y * p.rows.count + row] =
        inside ? find(p.index, key_of(output, p.grid)) : INACTIVE;
}

struct Neighbours {
    const int* table;  // [offsets, rows], negative where there is no neighbour
    int* keys;         // [rows]
    long long rows;
    int offsets;
};

// One thread a row. More offsets than bits share them.
__global__ void neighbour_keys(const Neighbours p) {
    const long long row = thread_number();
    if (row >= p.rows) {
        return;
    }
    unsigned bits = 0;
    for (int offset = 0; offset < p.offsets; ++offset) {
        const int bit = p.offsets <= KEY_BITS ? offset : offset * KEY_BITS / p.offsets;
        bits |= p.table[offset * p.rows + row] >= 0 ? 1u << bit : 0u;
    }
    p.keys[row] = key_of_neighbours(bits);
}
