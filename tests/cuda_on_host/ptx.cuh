// What kernels/ptx.cuh does in PTX, in plain C++; found before it on the host.
#pragma once

struct Half {
    unsigned short bits;
};

struct BFloat {
    unsigned short bits;
};

inline float to_float(Half value) {
    _Float16 number;
    std::memcpy(&number, &value.bits, sizeof number);
    return static_cast<float>(number);
}

inline float to_float(BFloat value) {
    const unsigned bits = static_cast<unsigned>(value.bits) << 16;
    float number;
    std::memcpy(&number, &bits, sizeof number);
    return number;
}

inline Half to_half(float value) {
    const _Float16 number = static_cast<_Float16>(value);
    Half result;
    std::memcpy(&result.bits, &number, sizeof number);
    return result;
}

inline BFloat to_bfloat(float value) {
    unsigned bits;
    std::memcpy(&bits, &value, sizeof bits);
    if (std::isnan(value)) {
        return {static_cast<unsigned short>(bits >> 16 | 0x40u)};
    }
    // To nearest, ties to even.
    return {static_cast<unsigned short>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16)};
}

constexpr unsigned TF32_BITS = 0xffffe000u;  // sign, exponent, 10 fraction bits

inline unsigned to_tf32(float value) {
    const unsigned bits = __float_as_uint(value);
    return (std::isnan(value) ? bits | 0x400000u : bits + 0x1000u) & TF32_BITS;
}

inline const void* row_of(const void* first, int row, int bytes) {
    return static_cast<const char*>(first) + static_cast<long long>(row) * bytes;
}

template <class Memory>
Memory& shared() {
    static_assert(sizeof(Memory) <= cuda_on_host::SHARED_BYTES, "more than a block may have");
    return *reinterpret_cast<Memory*>(cuda_on_host::shared_memory);
}

template <class Memory>
Memory& dynamic_shared() {
    static_assert(sizeof(Memory) <= cuda_on_host::MOST_SHARED_BYTES, "more than a block may have");
    if (sizeof(Memory) != cuda_on_host::dynamic_bytes) {
        cuda_on_host::fail("shared memory of " + std::to_string(sizeof(Memory)) + " bytes, launched with " +
                           std::to_string(cuda_on_host::dynamic_bytes));
    }
    return *reinterpret_cast<Memory*>(cuda_on_host::shared_memory);
}

// --- Asynchronous copies and tensor cores -------------------------------------------------------

inline bool is_aligned(const void* place) { return reinterpret_cast<std::uintptr_t>(place) % 16 == 0; }

template <int BYTES>
bool is_aligned_to(const void* place) { return reinterpret_cast<std::uintptr_t>(place) % BYTES == 0; }

// A copy happens when its thread waits for it and no earlier: a wait left out shows. So does one that
// begins while others still read what lies there.
template <int BYTES>
__attribute__((noinline)) inline void copy_bytes(void* to, const void* from, bool present) {
    if (!cuda_on_host::is_shared(to) || cuda_on_host::is_shared(from)) {
        cuda_on_host::fail("an asynchronous copy is not from global to shared memory");
    }
    if (!is_aligned_to<BYTES>(to) || !is_aligned_to<BYTES>(from)) {
        cuda_on_host::fail("an asynchronous copy is not aligned to its size");
    }
    COUNT(to, BYTES, cuda_on_host::Access::WRITES);
    if (present) {
        COUNT(from, BYTES, cuda_on_host::Access::READS);
        cuda_on_host::touch(from, BYTES, cuda_on_host::Access::READS);
    }
    const cuda_on_host::Uncounted uncounted;
    cuda_on_host::touch_by_copy(to, BYTES, true);
    cuda_on_host::running->copies.push_back({to, present ? from : nullptr, BYTES});
}

inline void close_group() {
    const cuda_on_host::Uncounted uncounted;
    cuda_on_host::Fiber& fiber = *cuda_on_host::running;
    fiber.groups.push_back(std::move(fiber.copies));
    fiber.copies.clear();
}

template <int PENDING>
void wait_for_groups() {
    auto& groups = cuda_on_host::running->groups;
    const cuda_on_host::Uncounted uncounted;  // they were when they began
    while (groups.size() > PENDING) {
        for (const cuda_on_host::Copy& copy : groups.front()) {
            cuda_on_host::touch_by_copy(copy.to, copy.bytes, false);
            if (copy.from == nullptr) {
                std::memset(copy.to, 0, copy.bytes);
            } else {
                std::memcpy(copy.to, copy.from, copy.bytes);
            }
        }
        groups.pop_front();
    }
}

__attribute__((always_inline)) inline void load_any_matrices(
    unsigned (&values)[4], const void* row, bool transposed) {
    if (!cuda_on_host::is_shared(row) || !is_aligned(row)) {
        cuda_on_host::fail("a matrix's row is not in shared memory, aligned to 16 bytes");
    }
    COUNT(row, 16, cuda_on_host::Access::READS);
    const std::uint64_t* rows = cuda_on_host::exchange(row);
    const unsigned lane = threadIdx.x % cuda_on_host::LANES;
    for (unsigned matrix = 0; matrix < 4; ++matrix) {
        const cuda_on_host::Uncounted uncounted;
        unsigned short pair[2];
        for (unsigned number = 0; number < 2; ++number) {
            const unsigned across = lane % 4 * 2 + number;
            const unsigned down = lane / 4;
            const unsigned from = matrix * 8 + (transposed ? across : down);
            const auto* elements =
                cuda_on_host::value_of<const unsigned short*>(rows, from);
            pair[number] = elements[transposed ? down : across];
        }
        values[matrix] = pair[0] | static_cast<unsigned>(pair[1]) << 16;
    }
    __syncwarp();  // what was read may be written after this, as on a GPU
}

__attribute__((noinline)) inline void load_matrices(unsigned (&values)[4], const void* row) {
    load_any_matrices(values, row, false);
}

__attribute__((noinline)) inline void load_transposed_matrices(unsigned (&values)[4], const void* row) {
    load_any_matrices(values, row, true);
}

// Element of a fragment: lane and register that hold it, and which part of the register.
template <class Value>
struct Element {
    static constexpr unsigned IN_REGISTER = 2;
    static float of(unsigned word, unsigned part) {
        return to_float(Value{static_cast<unsigned short>(part ? word >> 16 : word & 0xffffu)});
    }
};

template <>
struct Element<float> {
    static constexpr unsigned IN_REGISTER = 1;
    static float of(unsigned word, unsigned) { return __uint_as_float(word & TF32_BITS); }
};

// What a lane's registers hold of both factors, by register and part.
struct Factors {
    float left[4][2], right[2][2];
};

// Tensor cores do not round their sums to nearest: they drop what does not fit.
UNSEEN inline float toward_zero(double sum) {
    const float nearest = static_cast<float>(sum);
    const bool is_beyond = std::fabs(static_cast<double>(nearest)) > std::fabs(sum);
    return is_beyond && !std::isinf(nearest) ? std::nextafter(nearest, 0.0f) : nearest;
}

template <class Value>
UNSEEN void multiply_add(float (&sums)[4], const unsigned (&left)[4], unsigned right_first,
                  unsigned right_second, Value) {
    constexpr unsigned PARTS = Element<Value>::IN_REGISTER;
    const unsigned right[2] = {right_first, right_second};
    Factors mine;
    for (unsigned part = 0; part < PARTS; ++part) {
        for (unsigned number = 0; number < 4; ++number) {
            mine.left[number][part] = Element<Value>::of(left[number], part);
        }
        for (unsigned number = 0; number < 2; ++number) {
            mine.right[number][part] = Element<Value>::of(right[number], part);
        }
    }
    const std::uint64_t* lanes = cuda_on_host::exchange(static_cast<const Factors*>(&mine));
    const unsigned lane = threadIdx.x % cuda_on_host::LANES;
    for (unsigned number = 0; number < 4; ++number) {
        const unsigned row = lane / 4 + number / 2 * 8;
        const unsigned column = lane % 4 * 2 + number % 2;
        double sum = sums[number];
        for (unsigned depth = 0; depth < 8 * PARTS; ++depth) {
            const unsigned upper = depth / (4 * PARTS);
            const unsigned place = depth % (4 * PARTS) / PARTS;
            const unsigned part = depth % PARTS;
            const auto* lefts = cuda_on_host::value_of<const Factors*>(lanes, row % 8 * 4 + place);
            const auto* rights = cuda_on_host::value_of<const Factors*>(lanes, column * 4 + place);
            sum += static_cast<double>(lefts->left[row / 8 + 2 * upper][part]) *
                   static_cast<double>(rights->right[upper][part]);
        }
        sums[number] = toward_zero(sum);
    }
    __syncwarp();  // others read this lane's factors until here
}
