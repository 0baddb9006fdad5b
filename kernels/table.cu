// The kernel map as a table [offsets, rows]: which row is seen through each offset.

#include "sites.cuh"

struct Table {
    Coordinates rows;  // sites that the table has a column for
    Grid grid;         // of the sites that are looked up
    Index index;       // of the same
    Window window;
    int* table;
};

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

constexpr int KEY_BITS = 31;  // keys are not negative

// One thread a row: a bit for each neighbour that it has, read as a word of the reflected Gray code. Rows
// whose keys are close then differ in few neighbours. More offsets than bits share them.
__global__ void neighbour_keys(const Neighbours p) {
    const long long row = thread_number();
    if (row >= p.rows) {
        return;
    }
    unsigned word = 0;
    for (int offset = 0; offset < p.offsets; ++offset) {
        const int bit = p.offsets <= KEY_BITS
                            ? offset
                            : static_cast<int>(static_cast<long long>(offset) * KEY_BITS / p.offsets);
        word |= p.table[offset * p.rows + row] >= 0 ? 1u << bit : 0u;
    }
#pragma unroll
    for (int distance = 1; distance < KEY_BITS; distance *= 2) {
        word ^= word >> distance;
    }
    p.keys[row] = static_cast<int>(word);
}
