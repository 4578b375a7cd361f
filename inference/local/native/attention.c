/* Attention over the cache: queries of a tile go through their context segment by segment, first through what
 * its spans have in common, then each span's through its own.
 */
#include <string.h>

#include "runner.h"

/* Attend to segments `from` to `to` of a span's context, its last block being that of `tokens`. */
static void attend_segments(chorus_runner *r, scratch *s, const queries *q, int layer, int kv_head, int span,
                            int from, int to, int tokens) {
    const int32_t *table = r->batch->table + r->batch->first_block[span];
    const int blocks = (tokens + TILE - 1) / TILE;
    const size_t size = (size_t)r->dims * TILE;
    for (int segment = from; segment < to; segment++) {
        const uint16_t *keys[SEGMENT], *values[SEGMENT];
        int count = least(SEGMENT, blocks - segment * SEGMENT);
        for (int b = 0; b < count; b++) {
            size_t place = place_of(r, layer, table[segment * SEGMENT + b], kv_head);
            if (r->cache.scales == NULL) {
                keys[b] = (const uint16_t *)r->cache.numbers + keys_at(r, place);
                values[b] = (const uint16_t *)r->cache.numbers + values_at(r, place);
                continue;
            }
            const int8_t *bytes = r->cache.numbers;
            const float *scales = r->cache.scales + place * 2 * TILE;
            keys[b] = s->unpacked + b * size;
            values[b] = s->unpacked + (SEGMENT + b) * size;
            r->kernel->unpack_keys(bytes + keys_at(r, place), scales, r->dims, s->unpacked + b * size);
            r->kernel->unpack_values(bytes + values_at(r, place), scales + TILE, r->dims,
                                     s->unpacked + (SEGMENT + b) * size);
        }
        r->kernel->attend(q, keys, values, count, segment * SEGMENT_TOKENS);
    }
}

/* Fill a tile's row with a token's query head. */
static void take_query(chorus_runner *r, scratch *s, int row, const chorus_layer *l, int token, int head) {
    const chorus_model *m = &r->model;
    float query[LARGEST_HEAD];
    padded_head(r, r->product + (size_t)token * stride_of(l->qkv.out) + (size_t)head * m->head_dim, query);
    if (l->query_norm) r->kernel->norm(query, l->query_norm, m->head_dim, m->epsilon, query);
    rotate_head(r, query, r->position[token]);
    r->kernel->to_bf16(query, r->dims, s->query + row * r->dims);
    s->token[row] = token;
    s->head[row] = head;
    s->end[row] = r->position[token] + 1;
    s->begin[row] = l->window ? greatest(0, s->end[row] - l->window) : 0;
    s->most[row] = -1e30f;
    s->sum[row] = 0;
    memset(s->mixed + row * r->dims, 0, sizeof(float) * (size_t)r->dims);
}

static queries rows_from(const chorus_runner *r, scratch *s, int first, int rows) {
    return (queries){rows,
                     r->dims,
                     r->model.scaling,
                     s->begin + first,
                     s->end + first,
                     s->query + first * r->dims,
                     s->most + first,
                     s->sum + first,
                     s->mixed + first * r->dims};
}

void attend_tile(chorus_runner *r, int layer, const tile *t, int kv_head, int member) {
    const chorus_model *m = &r->model;
    const chorus_batch *b = r->batch;
    const chorus_layer *l = layer_of(r, layer);
    const int share = m->heads / m->kv_heads;
    scratch *s = &r->scratch[member];
    int rows = 0;
    for (int i = t->first; i < t->first + t->spans;
         i++) { /* a span's first token is the number of those before it */
        int span = r->order[i], first = r->position[b->tokens + span];
        if (r->all_single) store(r, layer, first, kv_head);
        int from = t->spans == 1 ? t->first_row : 0, to = t->spans == 1 ? t->first_row + t->rows : share;
        for (int row = from; row < to; row++, rows++)
            take_query(r, s, rows, l, first + row / share, kv_head * share + row % share);
    }
    if (t->shared) {
        queries together = rows_from(r, s, 0, rows);
        int begin = s->begin[0];
        for (int row = 1; row < rows; row++) begin = least(begin, s->begin[row]);
        attend_segments(r, s, &together, layer, kv_head, r->order[t->first], begin / SEGMENT_TOKENS,
                        t->shared, t->shared * SEGMENT_TOKENS);
    }
    for (int i = 0, row = 0; i < t->spans; i++) {
        int count = t->spans == 1 ? rows : share, end = s->end[row + count - 1];
        queries own = rows_from(r, s, row, count);
        attend_segments(r, s, &own, layer, kv_head, r->order[t->first + i],
                        greatest(t->shared, s->begin[row] / SEGMENT_TOKENS),
                        (end + SEGMENT_TOKENS - 1) / SEGMENT_TOKENS, end);
        row += count;
    }
    for (int row = 0; row < rows; row++) {
        float *out = r->attended + (size_t)s->token[row] * stride_of(l->output.in) +
                     (size_t)s->head[row] * m->head_dim;
        float factor = 1 / s->sum[row];
        for (int d = 0; d < m->head_dim; d++) out[d] = s->mixed[row * r->dims + d] * factor;
    }
}
