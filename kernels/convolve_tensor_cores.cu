// Implicit GEMM on tensor cores: float16, bfloat16, and float32 rounded to tf32, with float32 sums. Weights of
// float32 are transposed, and rounded before (round_weight.cu).

#include "fragments.cuh"
#include "steps.cuh"

// A warp's sums.
template <class Step>
struct FragmentSums {
    using Value = typename Step::Value;
    static constexpr int PARTS = Step::WARP_ROWS / 16;
    static constexpr int PAIRS = Step::WARP_COLUMNS / 16;
    float values[PARTS][2 * PAIRS][4] = {};

    __device__ __forceinline__ void add(
        const typename Step::Left& rows, const typename Step::Right& weight) {
#pragma unroll
        for (int depth = 0; depth < Step::DEPTH; depth += Fragment<Value>::DEPTH) {
            unsigned left[PARTS][4];
            unsigned right[PAIRS][4];
#pragma unroll
            for (int part = 0; part < PARTS; ++part) {
                load_left(left[part], rows, Step::warp_row() + part * 16, depth);
            }
#pragma unroll
            for (int pair = 0; pair < PAIRS; ++pair) {
                const int column = Step::warp_column() + pair * 16;
                if constexpr (Step::TRANSPOSED) {
                    load_right(right[pair], weight, column, depth);
                } else {
                    load_right_across(right[pair], weight, column, depth);
                }
            }
            multiply_fragments<Value>(values, left, right);
        }
    }

    // Two columns at a time: channels are multiples of more.
    __device__ __forceinline__ void write(
        const Convolution& p, const int* active, long long first_row) const {
        const int first_column = blockIdx.y * Step::COLUMNS + Step::warp_column();
        float bias[2 * PAIRS][2];
#pragma unroll
        for (int number = 0; number < 2 * PAIRS; ++number) {
#pragma unroll
            for (int place = 0; place < 2; ++place) {
                bias[number][place] =
                    bias_of<Value>(p, first_column + number * 8 + column_of_sum(place));
            }
        }
#pragma unroll
        for (int half = 0; half < 2 * PARTS; ++half) {  // eight rows
            const int part = half / 2;
            const int value = half % 2 * 2;
            const int row = Step::warp_row() + part * 16 + row_of_sum(value);
            if (first_row + row >= p.rows) {
                continue;
            }
            const Destination<Value> to =
                destination<Value>(p, first_row + row, active[row], p.shares != nullptr,
                                   first_column + column_of_sum(0) == 0);
#pragma unroll
            for (int number = 0; number < 2 * PAIRS; ++number) {
                const int column = first_column + number * 8 + column_of_sum(0);
                if (column < p.out_channels) {
                    const float pair[2] = {values[part][number][value], values[part][number][value + 1]};
                    to.put(column, pair, bias[number]);
                }
            }
        }
    }
};

// Of a block; registers are to leave room for LEAST_BLOCKS of a multiprocessor.
template <int ROWS, int COLUMNS, int ROWS_EACH, int COLUMNS_EACH>
struct Warps {
    static constexpr int THREADS = ROWS / ROWS_EACH * (COLUMNS / COLUMNS_EACH);
    static constexpr int LEAST_BLOCKS = ROWS * COLUMNS > 8192 ? 32768 / (ROWS * COLUMNS) : 4;
};

template <class Value, int ROWS, int COLUMNS, int ROWS_EACH, int COLUMNS_EACH, int STAGES, bool TRANSPOSED,
          int BYTES>
__global__ void __launch_bounds__(Warps<ROWS, COLUMNS, ROWS_EACH, COLUMNS_EACH>::THREADS,
                                  Warps<ROWS, COLUMNS, ROWS_EACH, COLUMNS_EACH>::LEAST_BLOCKS)
    convolve_tensor_cores(const Convolution p) {
    static_assert(TRANSPOSED || sizeof(Value) == 2, "weights of float32 are transposed");
    using Step = Steps<Value, ROWS, COLUMNS, ROWS_EACH, COLUMNS_EACH, STAGES, TRANSPOSED, BYTES>;
    FragmentSums<Step> sums;
    convolve_by_steps(p, dynamic_shared<Step>(), sums);
}
