/* Kernels for any processor: plain loops that compilers turn into its vectors. */
#include "common.h"
#include "plain.h"

const kernels kernels_portable = {
    .name = "portable",
    .linear_int8 = linear_int8,
    .linear_bf16 = linear_bf16,
    .to_int8 = to_int8,
    .to_bf16 = to_bf16,
    .norm = norm,
    .rotate = rotate,
    .gate = gate,
    .unpack_keys = unpack_keys,
    .unpack_values = unpack_values,
    .attend = attend,
};
