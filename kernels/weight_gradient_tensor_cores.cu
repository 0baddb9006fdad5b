// Shares of the gradient at the weights on tensor cores: float16, bfloat16, and float32 rounded to tf32,
// with float32 sums.

#include "fragments.cuh"
#include "pair_steps.cuh"

constexpr int WARPS = 4;  // two by two

// A warp's sums of SIDE / 2 input by as many output channels.
template <class Steps>
struct FragmentSums {
    using Value = typename Steps::Value;
    static constexpr int HALF = Steps::SIDE / 2;
    static constexpr int PARTS = HALF / 16;  // along each side
    float values[PARTS][2 * PARTS][4] = {};

    __device__ static int warp_in() { return static_cast<int>(threadIdx.x) / LANES / 2 * HALF; }
    __device__ static int warp_out() { return static_cast<int>(threadIdx.x) / LANES % 2 * HALF; }

    __device__ __forceinline__ void add(
        const typename Steps::Rows& features, const typename Steps::Rows& upstream) {
#pragma unroll
        for (int depth = 0; depth < Steps::DEPTH; depth += Fragment<Value>::DEPTH) {
            unsigned left[PARTS][4];
            unsigned right[PARTS][4];
#pragma unroll
            for (int part = 0; part < PARTS; ++part) {
                load_left_across(left[part], features, warp_in() + part * 16, depth);
                load_right_across(right[part], upstream, warp_out() + part * 16, depth);
            }
            multiply_fragments<Value>(values, left, right);
        }
    }

    // Two channels at a time: they are multiples of more.
    __device__ __forceinline__ void write(const WeightGradient& p, int block, int offset, int first_in,
                                          int first_out) const {
#pragma unroll
        for (int part = 0; part < PARTS; ++part) {
#pragma unroll
            for (int number = 0; number < 2 * PARTS; ++number) {
#pragma unroll
                for (int value = 0; value < 4; value += 2) {
                    const int in = first_in + warp_in() + part * 16 + row_of_sum(value);
                    const int out = first_out + warp_out() + number * 8 + column_of_sum(value);
                    if (in < p.in_channels && out < p.out_channels) {
                        const float(&sum)[4] = values[part][number];
                        *reinterpret_cast<Packed<float, 2>*>(&p.share<float>(block, offset, in, out)) = {
                            {sum[value], sum[value + 1]}};
                    }
                }
            }
        }
    }
};

template <class Value, int SIDE, int STAGES, int BYTES>
__global__ void __launch_bounds__(WARPS * LANES) weight_gradient_tensor_cores(const WeightGradient p) {
    using Steps = PairSteps<Value, SIDE, STAGES, WARPS, BYTES>;
    add_up_by_steps<FragmentSums<Steps>>(p, shared<Steps>());
}
