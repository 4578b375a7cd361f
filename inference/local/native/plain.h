/* Linear layers and attention's products without intrinsics. Included behind common.h.
 *
 * bf16 numbers lie in pairs: the first of a pair is the lower half of 32 bits, the second the upper. Shifted
 * or masked they are f32 numbers.
 */
#ifndef CHORUS_PLAIN_H
#define CHORUS_PLAIN_H

#include "common.h"

static inline f16 first_of(u16 pairs) { return (f16)(pairs << 16); }

static inline f16 second_of(u16 pairs) { return (f16)(pairs & 0xffff0000u); }

static inline u16 load_pairs(const uint16_t *p) {
    u16 v;
    memcpy(&v, p, sizeof v);
    return v;
}

#ifndef CHORUS_OWN_INT8
enum { ROWS_AT_ONCE = 4 };

static void linear_int8(const int8_t *weight, const float *scale, const int32_t *shift, int columns, int in,
                        const uint8_t *x, const float *x_scale, int rows, float *out, int stride) {
    for (int c = 0; c < columns; c++, weight += (size_t)in * TILE) {
        for (int row = 0; row < rows; row += ROWS_AT_ONCE) {
            int some = rows - row < ROWS_AT_ONCE ? rows - row : ROWS_AT_ONCE;
            int32_t sums[ROWS_AT_ONCE][TILE] = {{0}};
            for (int k = 0; k < in; k += 4) {
                const int8_t *w = weight + k * TILE;
                for (int m = 0; m < some; m++) {
                    const uint8_t *v = x + (size_t)(row + m) * in + k;
                    for (int n = 0; n < TILE; n++)
                        sums[m][n] +=
                            v[0] * w[4 * n] + v[1] * w[4 * n + 1] + v[2] * w[4 * n + 2] + v[3] * w[4 * n + 3];
                }
            }
            for (int m = 0; m < some; m++)
                for (int n = 0; n < TILE; n++)
                    out[(size_t)(row + m) * stride + c * TILE + n] =
                        (float)(sums[m][n] - shift[c * TILE + n]) * (scale[c * TILE + n] * x_scale[row + m]);
        }
    }
}
#endif

static void linear_bf16(const uint16_t *weight, int columns, int in, const uint16_t *x, int rows, float *out,
                        int stride) {
    for (int c = 0; c < columns; c++, weight += (size_t)in * TILE) {
        for (int row = 0; row < rows; row += 4) {
            int some = rows - row < 4 ? rows - row : 4;
            f16 sums[4][2] = {{{0}}};
            for (int k = 0; k < in; k += 2) {
                u16 pairs = load_pairs(weight + (size_t)k * TILE);
                f16 first = first_of(pairs), second = second_of(pairs);
                for (int m = 0; m < some; m++) {
                    const uint16_t *v = x + (size_t)(row + m) * in + k;
                    sums[m][0] += first * of_bf16(v[0]);
                    sums[m][1] += second * of_bf16(v[1]);
                }
            }
            for (int m = 0; m < some; m++)
                store(out + (size_t)(row + m) * stride + c * TILE, sums[m][0] + sums[m][1]);
        }
    }
}

static void scores(const queries *q, const uint16_t *const *keys, int blocks, float *score) {
    for (int b = 0; b < blocks; b++)
        for (int row = 0; row < q->rows; row++) {
            const uint16_t *query = q->query + row * q->dims;
            f16 first = all(0), second = all(0);
            for (int d = 0; d < q->dims; d += 2) {
                u16 pairs = load_pairs(keys[b] + d * TILE);
                first += first_of(pairs) * of_bf16(query[d]);
                second += second_of(pairs) * of_bf16(query[d + 1]);
            }
            store(score + row * SEGMENT_TOKENS + b * TILE, first + second);
        }
}

static void mix(const queries *q, const uint16_t *const *values, int blocks, const uint16_t *weight) {
    for (int row = 0; row < q->rows; row++)
        for (int d = 0; d < q->dims; d += TILE) {
            f16 sum = load(q->mixed + row * q->dims + d);
            for (int b = 0; b < blocks; b++) {
                const uint16_t *pair = values[b] + d * TILE; /* 8 pairs of tokens, 16 dims each */
                const uint16_t *w = weight + row * SEGMENT_TOKENS + b * TILE;
                for (int t = 0; t < TILE; t += 2, pair += 2 * TILE) {
                    u16 pairs = load_pairs(pair);
                    sum += first_of(pairs) * of_bf16(w[t]);
                    sum += second_of(pairs) * of_bf16(w[t + 1]);
                }
            }
            store(q->mixed + row * q->dims + d, sum);
        }
}

#endif
