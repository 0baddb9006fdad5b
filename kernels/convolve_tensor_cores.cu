// Implicit GEMM on tensor cores: float16, bfloat16, and float32 rounded to tf32, with float32 sums.

#include "fragments.cuh"
#include "steps.cuh"

// A warp's sums: two warps abreast, of 32 rows and half of the columns each.
template <class Step>
struct FragmentSums {
    using Value = typename Step::Value;
    float values[2][Step::COLUMNS / 16][4] = {};

    __device__ static int warp_row() { return static_cast<int>(threadIdx.x) / LANES / 2 * 32; }
    __device__ static int warp_column() {
        return static_cast<int>(threadIdx.x) / LANES % 2 * (Step::COLUMNS / 2);
    }

    __device__ __forceinline__ void add(
        const typename Step::Left& rows, const typename Step::Right& weight) {
        constexpr int PAIRS = Step::COLUMNS / 32;
#pragma unroll
        for (int depth = 0; depth < Step::DEPTH; depth += Fragment<Value>::DEPTH) {
            unsigned left[2][4];
            unsigned right[PAIRS][4];
#pragma unroll
            for (int part = 0; part < 2; ++part) {
                load_left(left[part], rows, warp_row() + part * 16, depth);
            }
#pragma unroll
            for (int pair = 0; pair < PAIRS; ++pair) {
                const int column = warp_column() + pair * 16;
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
        const int first_column = blockIdx.y * Step::COLUMNS + warp_column();
        float bias[Step::COLUMNS / 16][2];
#pragma unroll
        for (int number = 0; number < Step::COLUMNS / 16; ++number) {
#pragma unroll
            for (int place = 0; place < 2; ++place) {
                bias[number][place] =
                    bias_of<Value>(p, first_column + number * 8 + column_of_sum(place));
            }
        }
#pragma unroll
        for (int half = 0; half < 4; ++half) {  // eight rows
            const int part = half / 2;
            const int value = half % 2 * 2;
            const int row = warp_row() + part * 16 + row_of_sum(value);
            if (first_row + row >= p.rows) {
                continue;
            }
            const Destination<Value> to =
                destination<Value>(p, first_row + row, active[row], p.shares != nullptr,
                                   first_column + column_of_sum(0) == 0);
#pragma unroll
            for (int number = 0; number < Step::COLUMNS / 16; ++number) {
                const int column = first_column + number * 8 + column_of_sum(0);
                if (column < p.out_channels) {
                    const float pair[2] = {values[part][number][value], values[part][number][value + 1]};
                    to.put(column, pair, bias[number]);
                }
            }
        }
    }
};

template <class Value, int ROWS, int COLUMNS, int STAGES, bool TRANSPOSED>
__global__ void __launch_bounds__(ROWS / 16 * LANES) convolve_tensor_cores(const Convolution p) {
    using Step = Steps<Value, ROWS, COLUMNS, STAGES, ROWS / 16, TRANSPOSED>;
    FragmentSums<Step> sums;
    convolve_by_steps(p, shared<Step>(), sums);
}
