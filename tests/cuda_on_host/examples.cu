// Small kernels that need what the stand-ins promise, some of them wrong on purpose.

#include <ptx.cuh>

struct Numbers {
    int* values;
    int count;
};

struct Line {
    int values[64];
};

__global__ void reverse(const Numbers p) {
    Line& line = shared<Line>();
    line.values[threadIdx.x] = p.values[threadIdx.x];
    __syncthreads();
    p.values[threadIdx.x] = line.values[p.count - 1 - threadIdx.x];
}

// The same in memory that the launch gives.
__global__ void reverse_in_given(const Numbers p) {
    Line& line = dynamic_shared<Line>();
    line.values[threadIdx.x] = p.values[threadIdx.x];
    __syncthreads();
    p.values[threadIdx.x] = line.values[p.count - 1 - threadIdx.x];
}

__global__ void reverse_without_barrier(const Numbers p) {
    Line& line = shared<Line>();
    line.values[threadIdx.x] = p.values[threadIdx.x];
    p.values[threadIdx.x] = line.values[p.count - 1 - threadIdx.x];
}

// Every block adds its warps' sums to the first number, its ballots' bits to the second, and to the
// third whether any thread holds a negative number.
__global__ void add_up(const Numbers p) {
    const int place = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    const int value = place < p.count ? p.values[3 + place] : 0;
    int sum = value;
    for (unsigned pattern = 16; pattern != 0; pattern /= 2) {
        sum += __shfl_xor_sync(0xffffffffu, sum, pattern);
    }
    const unsigned odd = __ballot_sync(0xffffffffu, value % 2 != 0);
    const int negative = __syncthreads_or(value < 0);
    if (threadIdx.x % 32 == 0) {
        atomicAdd(p.values, sum);
        atomicAdd(p.values + 1, __popc(odd));
    }
    if (threadIdx.x == 0) {
        atomicAdd(p.values + 2, negative);
    }
}

// Every thread of every block leaves a number, and reads the one that lies so far on.
template <int FAR>
__global__ void leave_and_look(const Numbers p) {
    int* own = p.values + blockIdx.x * blockDim.x + threadIdx.x;
    *own = 1;
    __syncthreads();
    p.values[p.count + (own - p.values)] = own[FAR];
}

// Every thread counts itself, and only then, or not, looks how many have.
template <bool LOOKS>
__global__ void count_oneself(const Numbers p) {
    atomicAdd(p.values, 1);
    if (LOOKS) {
        p.values[1 + blockIdx.x * blockDim.x + threadIdx.x] = p.values[0];
    }
}

// Half of a warp waits for the block, the other half for the warp.
__global__ void stuck(const Numbers p) {
    if (static_cast<int>(threadIdx.x) < p.count / 2) {
        __syncthreads();
    } else {
        __syncwarp();
    }
}

// Some threads leave; the others' barrier opens all the same, as on a GPU.
__global__ void leave(const Numbers p) {
    if (static_cast<int>(threadIdx.x) >= p.count) {
        return;
    }
    __syncthreads();
    p.values[threadIdx.x] = 1;
}

// Threads leave as soon as they have voted: their votes count all the same.
__global__ void vote_and_leave(const Numbers p) {
    p.values[threadIdx.x] = static_cast<int>(__ballot_sync(0xffffffffu, p.values[threadIdx.x] > 0));
}

// Shared memory is read that nothing wrote.
__global__ void read_unwritten(const Numbers p) {
    p.values[threadIdx.x] = shared<Line>().values[threadIdx.x];
}

// Every thread writes where its neighbour reads: after a barrier, or not.
template <bool ORDERED>
__global__ void shift(const Numbers p) {
    Line& line = shared<Line>();
    line.values[threadIdx.x] = p.values[threadIdx.x];
    __syncthreads();
    const int value = line.values[(threadIdx.x + 1) % blockDim.x];
    if (ORDERED) {
        __syncthreads();
    }
    line.values[threadIdx.x] = value;
    __syncthreads();
    p.values[threadIdx.x] = line.values[threadIdx.x];
}

// Half of a block waits at another barrier than the rest.
__global__ void meet_elsewhere(const Numbers p) {
    if (static_cast<int>(threadIdx.x) < p.count) {
        __syncthreads();
    } else {
        __syncthreads();
    }
}

// A lane asks for the value of one that has left.
__global__ void ask_who_left(const Numbers p) {
    if (static_cast<int>(threadIdx.x) < p.count) {
        p.values[threadIdx.x] = __shfl_up_sync(0xffffffffu, p.values[threadIdx.x], 1);
    }
}

enum Mistake { NONE, NO_WAIT, NO_BARRIER, EARLY, NEVER, ASKEW };

// Threads copy 16 bytes each to shared memory, and read what their neighbour copied.
template <Mistake MISTAKE>
__global__ void copy(const Numbers p) {
    struct alignas(16) Chunks {
        int values[256];
    };
    Chunks& chunks = shared<Chunks>();
    const int next = (threadIdx.x + 1) % blockDim.x * 4;
    const int* from = p.values + threadIdx.x * 4 + (MISTAKE == ASKEW);
    int first = 0;
    if (MISTAKE == EARLY) {
        chunks.values[threadIdx.x * 4] = 1;
        __syncthreads();
        first = chunks.values[next];
    }
    copy_bytes<16>(chunks.values + threadIdx.x * 4, from, true);
    close_group();
    if (MISTAKE == NEVER) {
        return;
    }
    if (MISTAKE != NO_WAIT) {
        wait_for_groups<0>();
    }
    if (MISTAKE != NO_BARRIER) {
        __syncthreads();
    }
    first += chunks.values[next];
    __syncthreads();
    p.values[threadIdx.x * 4] = first;
}

// Twice a number, given by its bits.
__global__ void twice(const Numbers p) {
    const float value = __uint_as_float(static_cast<unsigned>(p.values[0]));
    p.values[0] = static_cast<int>(__float_as_uint(value + value));
}

// 1, and half again of what the next float is more: to the nearest, that is the float after the next.
__global__ void multiply(const Numbers p) {
    float sums[4] = {1.0f, 1.0f, 1.0f, 1.0f};
    unsigned left[4], right = __float_as_uint(0.0f);
    for (unsigned& value : left) {
        value = __float_as_uint(0.0f);
    }
    if (threadIdx.x % 4 == 0) {
        left[0] = __float_as_uint(1.5f);
        right = __float_as_uint(1.0f / 8388608.0f);
    }
    multiply_add(sums, left, right, __float_as_uint(0.0f), 0.0f);
    p.values[threadIdx.x] = static_cast<int>(__float_as_uint(sums[0]));
}

// A matrix whose rows do not begin at 16 bytes.
__global__ void load_askew(const Numbers p) {
    Line& line = shared<Line>();
    line.values[threadIdx.x] = p.values[threadIdx.x];
    line.values[threadIdx.x + 32] = p.values[threadIdx.x];
    __syncthreads();
    unsigned values[4];
    load_matrices(values, line.values + 1);
    p.values[threadIdx.x] = static_cast<int>(values[0]);
}

struct Banks {
    int words[32 * 32];
    alignas(16) unsigned char rows[32][64];
};

// What a warp asks of memory, by which lane asks for which place: `STRIDE` words apart in shared memory
// and in device memory.
template <int STRIDE>
__global__ void stride(const Numbers p) {
    Banks& banks = shared<Banks>();
    banks.words[threadIdx.x * STRIDE] = p.values[threadIdx.x * STRIDE];
}

// Eight rows of 64 bytes for each 8 x 8 matrix, which takes 16 bytes of them: four by four in the same banks.
__global__ void load_columns(const Numbers p) {
    Banks& banks = shared<Banks>();
    for (int place = 0; place < 64; ++place) {
        banks.rows[threadIdx.x][place] = 0;
    }
    __syncthreads();
    unsigned values[4];
    load_matrices(values, banks.rows[threadIdx.x]);
    p.values[threadIdx.x] = static_cast<int>(values[0]);
}

struct alignas(16) Four {
    int values[4];
};

// Sixteen places of sixteen bytes; lanes `APART` of each other load the same.
template <int APART>
__global__ void load_alike(const Numbers p) {
    const auto* places = reinterpret_cast<const Four*>(shared<Banks>().rows);
    const int lane = threadIdx.x;
    reinterpret_cast<Four*>(p.values)[lane] = places[lane % APART + lane / (2 * APART) * APART];
}

// Sixteen bytes a lane, side by side.
__global__ void copy_rows(const Numbers p) {
    Banks& banks = shared<Banks>();
    copy_bytes<16>(&banks.rows[threadIdx.x / 4][threadIdx.x % 4 * 16], p.values + threadIdx.x * 4, true);
    close_group();
    wait_for_groups<0>();
}
