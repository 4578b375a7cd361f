/* Kernels for x86-64 with AVX2 and FMA. */
#define CHORUS_OWN_INT8
#include <immintrin.h>

#include "common.h"
#include "plain.h"

/* AVX2 multiplies unsigned by signed bytes and adds pairs in 16 bits, which overflow at 2 * 255 * 127. With
 * the sign moved from x to the weight they stay within 2 * 127 * 127. The sums are then those of x itself,
 * and no shift is left to subtract. */
static inline __attribute__((always_inline)) void rows_int8(const int rows, const int8_t *weight,
                                                            const float *scale, int in, const uint8_t *x,
                                                            const float *x_scale, float *out, int stride) {
    __m256i sums[4][2];
    for (int m = 0; m < rows; m++) sums[m][0] = sums[m][1] = _mm256_setzero_si256();
    const __m256i ones = _mm256_set1_epi16(1), middle = _mm256_set1_epi8((char)0x80);
    for (int k = 0; k < in; k += 4) {
        __m256i low = _mm256_loadu_si256((const __m256i *)(weight + k * TILE));
        __m256i high = _mm256_loadu_si256((const __m256i *)(weight + k * TILE + 32));
        for (int m = 0; m < rows; m++) {
            int32_t four;
            memcpy(&four, x + (size_t)m * in + k, 4);
            __m256i v = _mm256_xor_si256(_mm256_set1_epi32(four), middle), size = _mm256_abs_epi8(v);
            __m256i a = _mm256_maddubs_epi16(size, _mm256_sign_epi8(low, v));
            __m256i b = _mm256_maddubs_epi16(size, _mm256_sign_epi8(high, v));
            sums[m][0] = _mm256_add_epi32(sums[m][0], _mm256_madd_epi16(a, ones));
            sums[m][1] = _mm256_add_epi32(sums[m][1], _mm256_madd_epi16(b, ones));
        }
    }
    for (int m = 0; m < rows; m++)
        for (int half = 0; half < 2; half++) {
            __m256 factor = _mm256_mul_ps(_mm256_loadu_ps(scale + 8 * half), _mm256_set1_ps(x_scale[m]));
            _mm256_storeu_ps(out + (size_t)m * stride + 8 * half,
                             _mm256_mul_ps(_mm256_cvtepi32_ps(sums[m][half]), factor));
        }
}

static void linear_int8(const int8_t *weight, const float *scale, const int32_t *shift, int columns, int in,
                        const uint8_t *x, const float *x_scale, int rows, float *out, int stride) {
    (void)shift;
    for (int c = 0; c < columns; c++, weight += (size_t)in * TILE, scale += TILE, out += TILE) {
        int row = 0;
        for (; row + 4 <= rows; row += 4)
            rows_int8(4, weight, scale, in, x + (size_t)row * in, x_scale + row, out + (size_t)row * stride,
                      stride);
        for (; row < rows; row++)
            rows_int8(1, weight, scale, in, x + (size_t)row * in, x_scale + row, out + (size_t)row * stride,
                      stride);
    }
}

const kernels kernels_avx2 = {
    .name = "avx2",
    .linear_int8 = linear_int8,
    .linear_bf16 = linear_bf16,
    COMPILED_KERNELS,
};
