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

template <class Memory>
Memory& shared() {
    static_assert(sizeof(Memory) <= cuda_on_host::SHARED_BYTES, "more than a block may have");
    return *reinterpret_cast<Memory*>(cuda_on_host::shared_memory);
}
