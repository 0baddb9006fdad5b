// Implicit GEMM: a block computes a tile of output rows x output channels over all kernel offsets, and
// gathers the rows it needs into shared memory; nothing gathered reaches device memory.

#include "convolution.cuh"

constexpr int DEPTH = 16;      // input channels at a time
constexpr int SKEW = 4;        // against bank conflicts; keeps rows aligned to 16 bytes

template <class Value, int ROWS, int COLUMNS>
struct Tiles {
    Sum<Value> left[DEPTH][ROWS + SKEW];
    Sum<Value> right[DEPTH][COLUMNS + SKEW];
    int seen[ROWS];
    int active[ROWS];
};

// Grid: tiles of rows x tiles of columns x splits of the offsets. A thread computes ROWS_EACH x COLUMNS_EACH sums.
template <class Value, int ROWS, int COLUMNS, int ROWS_EACH, int COLUMNS_EACH, bool TRANSPOSED>
__global__ void __launch_bounds__(ROWS / ROWS_EACH * (COLUMNS / COLUMNS_EACH))
    convolve_tiles(const Convolution p) {
    constexpr int THREADS = ROWS / ROWS_EACH * (COLUMNS / COLUMNS_EACH);
    static_assert(ROWS <= THREADS, "a thread looks up one row");
    Tiles<Value, ROWS, COLUMNS>& tiles = shared<Tiles<Value, ROWS, COLUMNS>>();
    const int thread = threadIdx.x;
    const int my_column = thread % (COLUMNS / COLUMNS_EACH) * COLUMNS_EACH;
    const int my_row = thread / (COLUMNS / COLUMNS_EACH) * ROWS_EACH;
    const long long first_row = static_cast<long long>(blockIdx.x) * ROWS;
    int first_column = blockIdx.y * COLUMNS;

    Sum<Value> sums[ROWS_EACH][COLUMNS_EACH] = {};
    int active = 0;
    const int end = p.begin(blockIdx.z + 1);
    for (int offset = p.begin(blockIdx.z); offset < end; ++offset) {
        int seen = -1;
        if (thread < ROWS) {
            const long long row = first_row + thread;
            seen = row < p.rows ? p.seen(offset)[row] : -1;
            tiles.seen[thread] = seen;
            active += seen >= 0;
        }
        // Also the barrier between writing and reading `seen`.
        if (!__syncthreads_or(seen >= 0)) {
            continue;
        }
        for (int channel = 0; channel < p.in_channels; channel += DEPTH) {
            for (int place = thread; place < ROWS * DEPTH; place += THREADS) {
                const int depth = place % DEPTH;
                const int row = place / DEPTH;
                const int from = tiles.seen[row];
                const bool present = from >= 0 && channel + depth < p.in_channels;
                tiles.left[depth][row] =
                    present ? feature<Value>(p, from, channel + depth) : Sum<Value>(0);
            }
            for (int place = thread; place < COLUMNS * DEPTH; place += THREADS) {
                // Neighbouring threads read neighbouring elements of the weight.
                const int depth = TRANSPOSED ? place % DEPTH : place / COLUMNS;
                const int column = TRANSPOSED ? place / DEPTH : place % COLUMNS;
                const bool present = channel + depth < p.in_channels &&
                                     first_column + column < p.out_channels;
                tiles.right[depth][column] =
                    present ? tap<Value, TRANSPOSED>(
                                  p, offset, channel + depth, first_column + column)
                            : Sum<Value>(0);
            }
            __syncthreads();
#pragma unroll
            for (int depth = 0; depth < DEPTH; ++depth) {
                Sum<Value> left[ROWS_EACH];
                Sum<Value> right[COLUMNS_EACH];
#pragma unroll
                for (int row = 0; row < ROWS_EACH; ++row) {
                    left[row] = tiles.left[depth][my_row + row];
                }
#pragma unroll
                for (int column = 0; column < COLUMNS_EACH; ++column) {
                    right[column] = tiles.right[depth][my_column + column];
                }
#pragma unroll
                for (int row = 0; row < ROWS_EACH; ++row) {
#pragma unroll
                    for (int column = 0; column < COLUMNS_EACH; ++column) {
                        sums[row][column] += left[row] * right[column];
                    }
                }
            }
            __syncthreads();
        }
    }
    if (thread < ROWS) {
        tiles.active[thread] = active;
    }
    __syncthreads();
    first_column += my_column;
    Sum<Value> bias[COLUMNS_EACH][1];
#pragma unroll
    for (int column = 0; column < COLUMNS_EACH; ++column) {
        bias[column][0] = bias_of<Value>(p, first_column + column);
    }
#pragma unroll
    for (int row = 0; row < ROWS_EACH; ++row) {
        const long long place = first_row + my_row + row;
        if (place >= p.rows) {
            break;
        }
        const Destination<Value> to =
            destination<Value>(p, place, tiles.active[my_row + row], p.shares != nullptr, first_column == 0);
#pragma unroll
        for (int column = 0; column < COLUMNS_EACH; ++column) {
            if (first_column + column < p.out_channels) {
                const Sum<Value> sum[1] = {sums[row][column]};
                to.put(first_column + column, sum, bias[column]);
            }
        }
    }
}
