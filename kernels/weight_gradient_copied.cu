// Shares of the gradient at the weights without tensor cores, in float32: a thread multiplies and adds up
// some input by some output channels.

#include "pair_steps.cuh"

// A thread's sums. A warp's lanes lie eight input by four output channels, four side by side each. Two
// neighbours of the input's, and every second lane of two neighbours of the output's, load the same: so a
// warp's load of 16 bytes a lane is served half a warp at a time, from different banks.
template <class Steps, int INS_EACH, int OUTS_EACH>
struct ThreadSums {
    static constexpr int WIDTH = 4;  // channels side by side
    static constexpr int WARPS_ABREAST = Steps::SIDE / (4 * OUTS_EACH);
    using Channels = Packed<float, WIDTH>;
    float values[INS_EACH][OUTS_EACH] = {};

    // Of the channels side by side.
    __device__ static int my_in(int number) {
        const int thread = threadIdx.x;
        return thread / LANES / WARPS_ABREAST * (8 * INS_EACH) + thread / 2 % 8 * WIDTH + number * 8 * WIDTH;
    }
    __device__ static int my_out(int number) {
        const int thread = threadIdx.x;
        const int of_four = thread % 2 + thread % LANES / 16 * 2;
        return thread / LANES % WARPS_ABREAST * (4 * OUTS_EACH) + of_four * WIDTH + number * 4 * WIDTH;
    }

    __device__ __forceinline__ void add(
        const typename Steps::Rows& features, const typename Steps::Rows& upstream) {
#pragma unroll
        for (int depth = 0; depth < Steps::DEPTH; ++depth) {
            Channels left[INS_EACH / WIDTH];
            Channels right[OUTS_EACH / WIDTH];
#pragma unroll
            for (int number = 0; number < INS_EACH / WIDTH; ++number) {
                left[number] =
                    *reinterpret_cast<const Channels*>(features.chunk(depth, my_in(number) / WIDTH));
            }
#pragma unroll
            for (int number = 0; number < OUTS_EACH / WIDTH; ++number) {
                right[number] =
                    *reinterpret_cast<const Channels*>(upstream.chunk(depth, my_out(number) / WIDTH));
            }
#pragma unroll
            for (int in = 0; in < INS_EACH; ++in) {
#pragma unroll
                for (int out = 0; out < OUTS_EACH; ++out) {
                    values[in][out] +=
                        left[in / WIDTH].values[in % WIDTH] * right[out / WIDTH].values[out % WIDTH];
                }
            }
        }
    }

    // Output channels side by side at a time: there are multiples of as many.
    __device__ __forceinline__ void write(const WeightGradient& p, int block, int offset, int first_in,
                                          int first_out) const {
#pragma unroll
        for (int number = 0; number < INS_EACH; ++number) {
            const int in = first_in + my_in(number / WIDTH) + number % WIDTH;
#pragma unroll
            for (int side = 0; side < OUTS_EACH / WIDTH; ++side) {
                const int out = first_out + my_out(side);
                using Written = Packed<float, Steps::BYTES / static_cast<int>(sizeof(float))>;
                constexpr int AT_ONCE = Steps::BYTES / static_cast<int>(sizeof(float));
#pragma unroll
                for (int start = 0; start < WIDTH; start += AT_ONCE) {
                    if (in < p.in_channels && out + start < p.out_channels) {
                        Written sums;
#pragma unroll
                        for (int place = 0; place < AT_ONCE; ++place) {
                            sums.values[place] = values[number][side * WIDTH + start + place];
                        }
                        *reinterpret_cast<Written*>(&p.share<float>(block, offset, in, out + start)) = sums;
                    }
                }
            }
        }
    }
};

template <int SIDE, int INS_EACH, int OUTS_EACH, int STAGES, int BYTES>
__global__ void __launch_bounds__(SIDE / INS_EACH * (SIDE / OUTS_EACH))
    weight_gradient_copied(const WeightGradient p) {
    using Steps = PairSteps<float, SIDE, STAGES, SIDE / INS_EACH * (SIDE / OUTS_EACH) / LANES, BYTES>;
    add_up_by_steps<ThreadSums<Steps, INS_EACH, OUTS_EACH>>(p, shared<Steps>());
}
