/* Linear layers and attention's products with AVX-512's dot products (VNNI, BF16). Included behind common.h.
 */
#ifndef CHORUS_AVX512_H
#define CHORUS_AVX512_H

#include <immintrin.h>

#include "common.h"

enum { AHEAD = 2048 }; /* bytes that weights are fetched ahead of their use */

static inline __m512i four_bytes(const uint8_t *p) {
    int32_t v;
    memcpy(&v, p, 4);
    return _mm512_set1_epi32(v);
}

static inline __m512bh two_halves(const uint16_t *p) {
    int32_t v;
    memcpy(&v, p, 4);
    return (__m512bh)_mm512_set1_epi32(v);
}

/* Goes over all rows and packed columns in the largest blocks that there are; BLOCK(R, C) computes R rows
 * from m on by C columns from c on, whose weights begin at w. */
#define IN_BLOCKS(BLOCK)                                                                                     \
    int c = 0;                                                                                               \
    for (; c + 4 <= columns; c += 4) {                                                                       \
        w = weight + (size_t)c * in * TILE;                                                                  \
        int m = 0;                                                                                           \
        for (; m + 4 <= rows; m += 4) BLOCK(4, 4);                                                           \
        if (rows - m == 3) BLOCK(3, 4);                                                                      \
        if (rows - m == 2) BLOCK(2, 4);                                                                      \
        if (rows - m == 1) BLOCK(1, 4);                                                                      \
    }                                                                                                        \
    for (; c < columns; c++) {                                                                               \
        w = weight + (size_t)c * in * TILE;                                                                  \
        int m = 0;                                                                                           \
        for (; m + 4 <= rows; m += 4) BLOCK(4, 1);                                                           \
        for (; m < rows; m++) BLOCK(1, 1);                                                                   \
    }

/* `rows` rows by `columns` packed columns, both known when compiled, so that the sums stay in registers. */
static inline __attribute__((always_inline)) void block_int8(const int rows, const int columns,
                                                             const int8_t *weight, const float *scale,
                                                             const int32_t *shift, int in, const uint8_t *x,
                                                             const float *x_scale, float *out, int stride) {
    __m512i sums[8][4];
    for (int m = 0; m < rows; m++)
        for (int c = 0; c < columns; c++) sums[m][c] = _mm512_setzero_si512();
    for (int k = 0; k < in; k += 4) {
        __m512i w[4];
        for (int c = 0; c < columns; c++) {
            const int8_t *at = weight + ((size_t)c * in + k) * TILE;
            _mm_prefetch((const char *)at + AHEAD, _MM_HINT_T0);
            w[c] = _mm512_loadu_si512(at);
        }
        for (int m = 0; m < rows; m++) {
            __m512i v = four_bytes(x + (size_t)m * in + k);
            for (int c = 0; c < columns; c++) sums[m][c] = _mm512_dpbusd_epi32(sums[m][c], v, w[c]);
        }
    }
    for (int c = 0; c < columns; c++)
        for (int m = 0; m < rows; m++) {
            __m512i sum = _mm512_sub_epi32(sums[m][c], _mm512_loadu_si512(shift + c * TILE));
            __m512 factor = _mm512_mul_ps(_mm512_loadu_ps(scale + c * TILE), _mm512_set1_ps(x_scale[m]));
            _mm512_storeu_ps(out + (size_t)m * stride + c * TILE,
                             _mm512_mul_ps(_mm512_cvtepi32_ps(sum), factor));
        }
}

static void linear_int8(const int8_t *weight, const float *scale, const int32_t *shift, int columns, int in,
                        const uint8_t *x, const float *x_scale, int rows, float *out, int stride) {
#define BLOCK(R, C)                                                                                          \
    block_int8(R, C, w, scale + c * TILE, shift + c * TILE, in, x + (size_t)m * in, x_scale + m,             \
               out + (size_t)m * stride + c * TILE, stride)
    const int8_t *w;
    IN_BLOCKS(BLOCK)
#undef BLOCK
}

static inline __attribute__((always_inline)) void block_bf16(const int rows, const int columns,
                                                             const uint16_t *weight, int in,
                                                             const uint16_t *x, float *out, int stride) {
    __m512 sums[8][4];
    for (int m = 0; m < rows; m++)
        for (int c = 0; c < columns; c++) sums[m][c] = _mm512_setzero_ps();
    for (int k = 0; k < in; k += 2) {
        __m512bh w[4];
        for (int c = 0; c < columns; c++) {
            const uint16_t *at = weight + ((size_t)c * in + k) * TILE;
            _mm_prefetch((const char *)at + AHEAD, _MM_HINT_T0);
            w[c] = (__m512bh)_mm512_loadu_si512(at);
        }
        for (int m = 0; m < rows; m++) {
            __m512bh v = two_halves(x + (size_t)m * in + k);
            for (int c = 0; c < columns; c++) sums[m][c] = _mm512_dpbf16_ps(sums[m][c], w[c], v);
        }
    }
    for (int c = 0; c < columns; c++)
        for (int m = 0; m < rows; m++) _mm512_storeu_ps(out + (size_t)m * stride + c * TILE, sums[m][c]);
}

static inline __attribute__((unused)) void linear_bf16(const uint16_t *weight, int columns, int in,
                                                       const uint16_t *x, int rows, float *out, int stride) {
#define BLOCK(R, C) block_bf16(R, C, w, in, x + (size_t)m * in, out + (size_t)m * stride + c * TILE, stride)
    int c = 0;
    for (; c + 4 <= columns; c += 4) {
        const uint16_t *w = weight + (size_t)c * in * TILE;
        int m = 0;
        for (; m + 4 <= rows; m += 4) BLOCK(4, 4);
        if (rows - m == 3) BLOCK(3, 4);
        if (rows - m == 2) BLOCK(2, 4);
        if (rows - m == 1) BLOCK(1, 4);
    }
    for (; c < columns; c++) {
        const uint16_t *w = weight + (size_t)c * in * TILE;
        int m = 0;
        for (; m + 4 <= rows; m += 4) BLOCK(4, 1);
        for (; m < rows; m++) BLOCK(1, 1);
    }
#undef BLOCK
}

#endif
