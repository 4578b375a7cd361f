/* Kernels for any processor: plain loops that compilers turn into its vectors. */
#include "common.h"
#include "plain.h"

const kernels kernels_portable = {
    .name = "portable",
    .linear_int8 = linear_int8,
    .linear_bf16 = linear_bf16,
    COMPILED_KERNELS,
};
