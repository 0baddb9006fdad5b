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
