// Shares of the gradient at the weights on tensor cores: float16, bfloat16, and float32 rounded to tf32,
// with float32 sums. Channels are multiples of 16 bytes; everything else goes to weight_gradient.

#include "fragments.cuh"
#include "weight_gradient.cuh"

constexpr int WARPS = 4;    // two by two
constexpr int THREADS = WARPS * LANES;
constexpr int LOOKS = 4;    // rows that a thread looks up before pairs are multiplied

// STAGES steps in shared memory: one is multiplied, the others arrive.
template <class Value, int SIDE, int STAGES>
struct PairSteps {
    static constexpr int DEPTH = 2 * Fragment<Value>::DEPTH;  // pairs of a step
    static constexpr int WIDTH = SIDE + Fragment<Value>::SKEW_WIDE;
    alignas(16) Value left[STAGES][DEPTH][WIDTH];
    alignas(16) Value right[STAGES][DEPTH][WIDTH];
    Pairs<THREADS, LOOKS * THREADS + DEPTH> pairs;
};

// Begin the copies of SIDE channels of one step's rows; zeros for channels and pairs that are not there.
template <class Value, int SIDE, int DEPTH, int WIDTH>
__device__ __forceinline__ void begin_rows(Value (&to)[DEPTH][WIDTH], const void* from, const int* rows,
                                           int count, int channels, int first_channel) {
    constexpr int CHUNK = Fragment<Value>::CHUNK;
    constexpr int CHUNKS = SIDE / CHUNK;
    for (int place = threadIdx.x; place < DEPTH * CHUNKS; place += THREADS) {
        const int number = place / CHUNKS;
        const int channel = place % CHUNKS * CHUNK;
        const bool present = number < count && first_channel + channel < channels;
        const Value* source = static_cast<const Value*>(from);
        if (present) {
            source += static_cast<long long>(rows[number]) * channels + first_channel + channel;
        }
        copy_16_bytes(&to[number][channel], source, present);
    }
}

// Grid: tiles of the channels x offsets x splits. A block computes SIDE x SIDE sums.
template <class Value, int SIDE, int STAGES>
__global__ void __launch_bounds__(THREADS) weight_gradient_tensor_cores(const WeightGradient p) {
    using Steps = PairSteps<Value, SIDE, STAGES>;
    constexpr int PARTS = SIDE / 32;  // 16 x 16 sums of a warp, along each side
    Steps& steps = shared<Steps>();
    const int thread = threadIdx.x;
    const int warp = thread / LANES;
    const int warp_in = warp / 2 * (SIDE / 2);
    const int warp_out = warp % 2 * (SIDE / 2);
    const int tiles_out = (p.out_channels + SIDE - 1) / SIDE;
    const int first_in = blockIdx.x / tiles_out * SIDE;
    const int first_out = blockIdx.x % tiles_out * SIDE;
    const int offset = blockIdx.y;
    const long long end = p.begin(blockIdx.z + 1);
    const int* seen_by = p.table + offset * p.rows;

    float sums[PARTS][2 * PARTS][4] = {};
    int waiting = 0;
    for (long long first = p.begin(blockIdx.z);; first += LOOKS * THREADS) {
        const bool more = first < end;
        for (int look = 0; more && look < LOOKS; ++look) {
            waiting = steps.pairs.append(seen_by, first + look * THREADS + thread, end, waiting);
        }
        const int ready = more ? waiting / Steps::DEPTH * Steps::DEPTH : waiting;
        const int count = (ready + Steps::DEPTH - 1) / Steps::DEPTH;
        for (int step = 0; step < count + STAGES - 1; ++step) {
            const int done = step - (STAGES - 1);
            if (done >= 0) {
                wait_for_groups<STAGES - 2>();
                __syncthreads();
            }
            if (step < count) {
                const int from = step * Steps::DEPTH;
                begin_rows<Value, SIDE>(steps.left[step % STAGES], p.features, steps.pairs.features + from,
                                        ready - from, p.in_channels, first_in);
                begin_rows<Value, SIDE>(steps.right[step % STAGES], p.upstream, steps.pairs.upstream + from,
                                        ready - from, p.out_channels, first_out);
            }
            close_group();
            if (done >= 0) {
#pragma unroll
                for (int depth = 0; depth < Steps::DEPTH; depth += Fragment<Value>::DEPTH) {
                    unsigned left[PARTS][4];
                    unsigned right[PARTS][4];
#pragma unroll
                    for (int part = 0; part < PARTS; ++part) {
                        load_left_across(left[part], steps.left[done % STAGES], warp_in + part * 16, depth);
                        load_right_across(right[part], steps.right[done % STAGES], warp_out + part * 16, depth);
                    }
                    multiply_fragments<Value>(sums, left, right);
                }
            }
        }
        if (!more) {
            break;
        }
        waiting = steps.pairs.drop(ready, waiting);
    }
#pragma unroll
    for (int part = 0; part < PARTS; ++part) {
#pragma unroll
        for (int number = 0; number < 2 * PARTS; ++number) {
#pragma unroll
            for (int value = 0; value < 4; ++value) {
                const int in = first_in + warp_in + part * 16 + row_of_sum(value);
                const int out = first_out + warp_out + number * 8 + column_of_sum(value);
                if (in < p.in_channels && out < p.out_channels) {
                    p.share<float>(blockIdx.z, offset, in, out) = sums[part][number][value];
                }
            }
        }
    }
}
