/* The paged cache: where a token's keys and values lie in their block, and how they get there. */
#include <math.h>
#include <string.h>

#include "runner.h"

void rotate_head(const chorus_runner *r, float *head, int position) {
    const int half = r->model.head_dim / 2;
    r->kernel->rotate(head, half, r->model.cosines + (size_t)position * half,
                      r->model.sines + (size_t)position * half);
}

size_t place_of(const chorus_runner *r, int layer, int block, int kv_head) {
    return ((size_t)block * r->model.layers + layer) * r->model.kv_heads + kv_head;
}

size_t keys_at(const chorus_runner *r, size_t place) { return place * 2 * (size_t)r->dims * TILE; }

size_t values_at(const chorus_runner *r, size_t place) { return keys_at(r, place) + (size_t)r->dims * TILE; }

/* A head's numbers to 8 bits and their scale, as to_int8 has it but around 0. */
static float to_bytes(const float *x, int size, int8_t *bytes) {
    float largest = 1e-12f;
    for (int i = 0; i < size; i++) largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
    for (int i = 0; i < size; i++) bytes[i] = (int8_t)lrintf(x[i] * (127 / largest));
    return largest / 127;
}

/* Put a head's key and value, (dims) numbers each of one or two bytes, in a token's place of its block. Keys
 * lie in pairs of dims, values in pairs of tokens. */
#define PLACE(TYPE, KEYS, VALUES)                                                                            \
    do {                                                                                                     \
        TYPE *key = (TYPE *)r->cache.numbers + keys_at(r, place) + slot * 2;                                 \
        TYPE *value = (TYPE *)r->cache.numbers + values_at(r, place) + slot / 2 * 2 * TILE + slot % 2;       \
        for (int d = 0; d < r->dims; d += 2, key += 2 * TILE) key[0] = (KEYS)[d], key[1] = (KEYS)[d + 1];    \
        for (int d = 0; d < r->dims; d += TILE, value += TILE * TILE)                                        \
            for (int i = 0; i < TILE; i++) value[2 * i] = (VALUES)[d + i];                                   \
    } while (0)

/* Numbers `k` of key and `v` of value, (dims) each, become the token's in slot `slot` of a block. */
static void store_token(chorus_runner *r, int layer, int block, int slot, int kv_head, const float *k,
                        const float *v) {
    size_t place = place_of(r, layer, block, kv_head);
    if (r->cache.scales) {
        int8_t bytes[2][LARGEST_HEAD];
        r->cache.scales[place * 2 * TILE + slot] = to_bytes(k, r->dims, bytes[0]);
        r->cache.scales[(place * 2 + 1) * TILE + slot] = to_bytes(v, r->dims, bytes[1]);
        PLACE(int8_t, bytes[0], bytes[1]);
    } else {
        uint16_t halves[2][LARGEST_HEAD];
        r->kernel->to_bf16(k, r->dims, halves[0]);
        r->kernel->to_bf16(v, r->dims, halves[1]);
        PLACE(uint16_t, halves[0], halves[1]);
    }
}

void padded_head(const chorus_runner *r, const float *head, float *out) {
    memcpy(out, head, sizeof(float) * (size_t)r->model.head_dim);
    memset(out + r->model.head_dim, 0, sizeof(float) * (size_t)(r->dims - r->model.head_dim));
}

void store(chorus_runner *r, int layer, int token, int kv_head) {
    const chorus_model *m = &r->model;
    const chorus_layer *l = layer_of(r, layer);
    const chorus_batch *b = r->batch;
    const float *heads =
        r->product + (size_t)token * stride_of(l->qkv.out) + (size_t)(m->heads + kv_head) * m->head_dim;
    float key[LARGEST_HEAD], value[LARGEST_HEAD];
    padded_head(r, heads, key);
    padded_head(r, heads + (size_t)m->kv_heads * m->head_dim, value);
    int span = r->span_of[token], position = r->position[token];
    if (l->key_norm) r->kernel->norm(key, l->key_norm, m->head_dim, m->epsilon, key);
    rotate_head(r, key, position);
    int block = b->table[b->first_block[span] + position / TILE];
    store_token(r, layer, block, position % TILE, kv_head, key, value);
}
