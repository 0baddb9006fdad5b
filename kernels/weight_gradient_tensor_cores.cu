// Shares of the gradient at the weights on tensor cores: float16, bfloat16, and float32 rounded to tf32,
// with float32 sums. Channels are multiples of 16 bytes; everything else goes to weight_gradient.

#include "fragments.cuh"
#include "weight_gradient.cuh"

constexpr int WARPS = 4;    // two by two
constexpr int THREADS = WARPS * LANES;
constexpr int LOOKS = 8;    // rows that a thread looks up before pairs are multiplied

// STAGES steps in shared memory: one is multiplied, the others arrive.
template <class Value, int SIDE, int STAGES>
struct PairSteps {
    static constexpr int DEPTH = 2 * Fragment<Value>::DEPTH;  // pairs of a step
    alignas(16) Matrix<Value, DEPTH, SIDE> left[STAGES];
    alignas(16) Matrix<Value, DEPTH, SIDE> right[STAGES];
    Pairs<THREADS, LOOKS, DEPTH> pairs;
};

// Begin the copies of SIDE channels of one step's rows; zeros for channels and pairs that are not there.
template <class Value, int DEPTH, int SIDE>
__device__ __forceinline__ void begin_rows(Matrix<Value, DEPTH, SIDE>& to, const void* from, const int* rows,
                                           int count, int channels, int first_channel) {
    constexpr int CHUNKS = Matrix<Value, DEPTH, SIDE>::CHUNKS;
    const int chunk = threadIdx.x % CHUNKS;
    const int channel = first_channel + chunk * Fragment<Value>::CHUNK;
    const int row_bytes = channels * static_cast<int>(sizeof(Value));
    const Value* source = static_cast<const Value*>(from) + channel;
#pragma unroll
    for (int part = 0; part < DEPTH * CHUNKS / THREADS; ++part) {
        const int number = threadIdx.x / CHUNKS + part * (THREADS / CHUNKS);
        const bool present = number < count && channel < channels;
        const int row = present ? rows[number] : 0;
        copy_16_bytes(to.chunk(number, chunk), row_of(source, row, row_bytes), present);
    }
}

// Grid: tiles of the channels x offsets x splits. A block computes SIDE x SIDE sums.
template <class Value, int SIDE, int STAGES>
__global__ void __launch_bounds__(THREADS) weight_gradient_tensor_cores(const WeightGradient p) {
    using Steps = PairSteps<Value, SIDE, STAGES>;
    constexpr int PARTS = SIDE / 32;  // 16 x 16 sums of a warp, along each side
    Steps& steps = shared<Steps>();
    const int warp = threadIdx.x / LANES;
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
    int seen[LOOKS];
    steps.pairs.look_up(seen_by, p.begin(blockIdx.z), end, seen);
    for (long long first = p.begin(blockIdx.z);; first += steps.pairs.ROWS) {
        const bool more = first < end;
        if (more) {
            waiting = steps.pairs.append(seen, first, waiting);
            steps.pairs.look_up(seen_by, first + steps.pairs.ROWS, end, seen);
        }
        const int ready = more ? waiting / Steps::DEPTH * Steps::DEPTH : waiting;
        const int count = (ready + Steps::DEPTH - 1) / Steps::DEPTH;
        int arriving = 0;    // stage
        int multiplied = 0;  // stage
        for (int step = 0; step < count + STAGES - 1; ++step) {
            const bool is_full = step >= STAGES - 1;
            if (is_full) {
                wait_for_groups<STAGES - 2>();
                __syncthreads();
            }
            if (step < count) {
                const int from = step * Steps::DEPTH;
                begin_rows(steps.left[arriving], p.features, steps.pairs.features + from, ready - from,
                           p.in_channels, first_in);
                begin_rows(steps.right[arriving], p.upstream, steps.pairs.upstream + from, ready - from,
                           p.out_channels, first_out);
                arriving = arriving + 1 == STAGES ? 0 : arriving + 1;
            }
            close_group();
            if (is_full) {
#pragma unroll
                for (int depth = 0; depth < Steps::DEPTH; depth += Fragment<Value>::DEPTH) {
                    unsigned left[PARTS][4];
                    unsigned right[PARTS][4];
#pragma unroll
                    for (int part = 0; part < PARTS; ++part) {
                        load_left_across(left[part], steps.left[multiplied], warp_in + part * 16, depth);
                        load_right_across(right[part], steps.right[multiplied], warp_out + part * 16, depth);
                    }
                    multiply_fragments<Value>(sums, left, right);
                }
                multiplied = multiplied + 1 == STAGES ? 0 : multiplied + 1;
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
            for (int value = 0; value < 4; value += 2) {
                const int in = first_in + warp_in + part * 16 + row_of_sum(value);
                const int out = first_out + warp_out + number * 8 + column_of_sum(value);
                if (in < p.in_channels && out < p.out_channels) {  // channels are multiples of more than 2
                    const float(&sum)[4] = sums[part][number];
                    *reinterpret_cast<Packed<float, 2>*>(&p.share<float>(blockIdx.z, offset, in, out)) = {
                        {sum[value], sum[value + 1]}};
                }
            }
        }
    }
}
