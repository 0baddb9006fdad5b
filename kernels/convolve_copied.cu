// Implicit GEMM without tensor cores, in float32: a thread multiplies and adds up some rows and columns.

#include "steps.cuh"

// A thread's sums. A warp's lanes lie eight rows by four columns, and take every eighth row, and four of
// sixteen columns. Two neighbours of a row, and every second lane of two neighbouring columns, load the same:
// so a warp's load of 16 bytes a lane is served half a warp at a time, from different banks.
template <class Step, int ROWS_EACH, int COLUMNS_EACH>
struct ThreadSums {
    static constexpr int WIDTH = 4;  // columns side by side
    static constexpr int WARPS_ABREAST = Step::COLUMNS / (4 * COLUMNS_EACH);
    float values[ROWS_EACH][COLUMNS_EACH] = {};

    __device__ static int my_row(int number) {
        const int thread = threadIdx.x;
        return thread / LANES / WARPS_ABREAST * (8 * ROWS_EACH) + thread / 2 % 8 + number * 8;
    }

    // Of the columns side by side.
    __device__ static int my_column(int number) {
        const int thread = threadIdx.x;
        const int of_four = thread % 2 + thread % LANES / 16 * 2;
        return thread / LANES % WARPS_ABREAST * (4 * COLUMNS_EACH) + of_four * WIDTH + number * 16;
    }

    __device__ __forceinline__ void add(
        const typename Step::Left& rows, const typename Step::Right& weight) {
        using Chunk = Packed<float, WIDTH>;
        // Transposed, what is loaded for all chunks at a time would not fit the registers.
#pragma unroll(Step::TRANSPOSED ? 2 : Step::Left::CHUNKS)
        for (int chunk = 0; chunk < Step::Left::CHUNKS; ++chunk) {
            Chunk left[ROWS_EACH];
#pragma unroll
            for (int row = 0; row < ROWS_EACH; ++row) {
                left[row] = *reinterpret_cast<const Chunk*>(rows.chunk(my_row(0), row * 8, chunk));
            }
#pragma unroll
            for (int side = 0; side < COLUMNS_EACH / WIDTH; ++side) {
                Chunk right[WIDTH];  // by depth; transposed by column
#pragma unroll
                for (int number = 0; number < WIDTH; ++number) {
                    right[number] = *reinterpret_cast<const Chunk*>(
                        Step::TRANSPOSED
                            ? weight.chunk(my_column(0), side * 16 + number, chunk)
                            : weight.chunk(0, chunk * WIDTH + number, my_column(side) / WIDTH));
                }
#pragma unroll
                for (int depth = 0; depth < WIDTH; ++depth) {
#pragma unroll
                    for (int row = 0; row < ROWS_EACH; ++row) {
#pragma unroll
                        for (int column = 0; column < WIDTH; ++column) {
                            values[row][side * WIDTH + column] +=
                                left[row].values[depth] * (Step::TRANSPOSED ? right[column].values[depth]
                                                                            : right[depth].values[column]);
                        }
                    }
                }
            }
        }
    }

    // Columns side by side at a time: channels are multiples of as many.
    __device__ __forceinline__ void write(
        const Convolution& p, const int* active, long long first_row) const {
        const int first_column = blockIdx.y * Step::COLUMNS;
        float bias[COLUMNS_EACH / WIDTH][WIDTH];
#pragma unroll
        for (int column = 0; column < COLUMNS_EACH; ++column) {
            bias[column / WIDTH][column % WIDTH] =
                bias_of<float>(p, first_column + my_column(column / WIDTH) + column % WIDTH);
        }
#pragma unroll
        for (int number = 0; number < ROWS_EACH; ++number) {
            const int row = my_row(number);
            if (first_row + row >= p.rows) {
                continue;
            }
            const Destination<float> to =
                destination<float>(p, first_row + row, active[row], p.shares != nullptr,
                                   first_column + my_column(0) == 0);
#pragma unroll
            for (int side = 0; side < COLUMNS_EACH / WIDTH; ++side) {
                const int column = first_column + my_column(side);
                constexpr int AT_ONCE = Step::BYTES / static_cast<int>(sizeof(float));
#pragma unroll
                for (int start = 0; start < WIDTH; start += AT_ONCE) {
                    if (column + start < p.out_channels) {
                        float sums[AT_ONCE];
                        float added[AT_ONCE];
#pragma unroll
                        for (int place = 0; place < AT_ONCE; ++place) {
                            sums[place] = values[number][side * WIDTH + start + place];
                            added[place] = bias[side][start + place];
                        }
                        to.put(column + start, sums, added);
                    }
                }
            }
        }
    }
};

// Of a block; registers are to leave room for LEAST_BLOCKS of a multiprocessor.
template <int ROWS, int COLUMNS, int ROWS_EACH, int COLUMNS_EACH>
struct Warps {
    static constexpr int THREADS = ROWS / ROWS_EACH * (COLUMNS / COLUMNS_EACH);
    static constexpr int COUNT = THREADS / LANES;
    static constexpr int LEAST_BLOCKS = 10 / COUNT;
};

template <int ROWS, int COLUMNS, int ROWS_EACH, int COLUMNS_EACH, int STAGES, bool TRANSPOSED,
          int BYTES>
__global__ void __launch_bounds__(Warps<ROWS, COLUMNS, ROWS_EACH, COLUMNS_EACH>::THREADS,
                                  Warps<ROWS, COLUMNS, ROWS_EACH, COLUMNS_EACH>::LEAST_BLOCKS)
    convolve_copied(const Convolution p) {
    using Step = Steps<float, ROWS, COLUMNS, ROWS_EACH, COLUMNS_EACH, STAGES, TRANSPOSED, BYTES>;
    ThreadSums<Step, ROWS_EACH, COLUMNS_EACH> sums;
    convolve_by_steps(p, dynamic_shared<Step>(), sums);
}
