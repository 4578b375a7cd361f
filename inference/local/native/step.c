/* The step: the layers' parts as phases of a team's job. Knows nothing of instruction sets or of threads' waiting.
 *
 * Activations are f32 rows, one a token. A layer is
 *   [convert] qkv [store] attend [convert] output [convert] gate_up [convert] down
 * where the conversions to the weights' numbers are phases of their own only for many rows: for few, each
 * member converts all rows for itself, which takes less time than waiting for one another.
 */
#include "step.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "team.h"

enum {
    FEW = 16,            /* rows that each member converts for itself */
    CHUNKS_A_MEMBER = 6, /* of a phase, so that a member that is slow for a while holds up little */
    COLUMNS_A_CHUNK = 4, /* packed columns that kernels like to take together */
    LARGEST_HEAD = 1024, /* dimensions, padded */
    ROW_SLACK = 2 * TILE, /* rows behind the last that kernels may read */
};

enum { CONVERT_IN, QKV, STORE, ATTEND, CONVERT_ATTENDED, OUTPUT, CONVERT_MLP, GATE_UP, CONVERT_GATED, DOWN, PHASES };

static int padded(int size, int to) { return (size + to - 1) / to * to; }

static int least(int a, int b) { return a < b ? a : b; }

static int greatest(int a, int b) { return a > b ? a : b; }

/* A share of attention's work for one KV head: query rows that go through the same code at once. Either rows
 * `first_row` to `first_row + rows` of one span (a row is a token and one of the KV head's query heads), or all
 * rows of several spans of one token, whose first `shared` segments lie in the same blocks. */
typedef struct {
    int first, spans; /* among the batch's spans, by `order` */
    int first_row, rows;
    int shared;
} tile;

/* What one member needs for itself. */
typedef struct {
    long prepared; /* the phase for which `converted` was made */
    uint8_t *converted; /* (FEW + ROW_SLACK, widest) int8 or bf16 */
    float *converted_scale;
    float *normed;         /* (widest) */
    uint16_t *query;       /* bf16 (2 TILE, D) */
    float *mixed;          /* (2 TILE, D) */
    uint16_t *unpacked;    /* bf16 (2, SEGMENT, D * TILE): blocks of an int8 cache */
    float most[2 * TILE], sum[2 * TILE];
    int32_t begin[2 * TILE], end[2 * TILE];
    int token[2 * TILE], head[2 * TILE];
} scratch;

struct chorus_runner {
    chorus_model model;
    chorus_cache cache;
    const kernels *kernel;
    team *team;
    scratch *scratch; /* one a member */
    int width;        /* hidden, padded */
    int dims;         /* head_dim, padded to 32 */
    int widest;       /* inputs that a linear layer has at most */
    long step;        /* steps so far */

    /* The step's batch, and room for its tokens. */
    const chorus_batch *batch;
    float *logits;
    int capacity, span_capacity, tile_capacity;
    int wanted, tiles, all_single;
    int *position, *span_of, *wanted_token, *order;
    tile *tile;
    float *x;        /* (T, width) the residual stream */
    float *product;  /* (T, widest output): what the last linear layer gave */
    float *attended; /* (T, output.in) */
    float *gated;    /* (T, down.in) */
    uint8_t *converted; /* (T + ROW_SLACK, widest) int8 or bf16 */
    float *converted_scale;
};

/* ---- conversion of a linear layer's inputs ---- */

/* Rows that go into a linear layer: `row[i]`, or i, of `from`, normalised first if there is a norm. */
typedef struct {
    const float *from;
    int stride, size, in; /* a row's distance, its real size for the norm, its padded size */
    const float *norm;
    const int *row;
    int rows;
} inputs;

static void convert_row(chorus_runner *r, const inputs *i, int n, float *normed, uint8_t *to, float *scale) {
    const float *row = i->from + (size_t)(i->row ? i->row[n] : n) * i->stride;
    if (i->norm) {
        r->kernel->norm(row, i->norm, i->size, r->model.epsilon, normed);
        memset(normed + i->size, 0, sizeof(float) * (size_t)(i->in - i->size));
        row = normed;
    }
    if (r->model.weights == CHORUS_INT8)
        r->kernel->to_int8(row, i->in, to + (size_t)n * i->in, scale + n);
    else
        r->kernel->to_bf16(row, i->in, (uint16_t *)to + (size_t)n * i->in);
}

/* The phase that converts many rows together; a chunk is a few rows. */
static void convert_chunk(chorus_runner *r, const inputs *i, int chunk, int chunks, int member) {
    int from = (int)((long)i->rows * chunk / chunks), to = (int)((long)i->rows * (chunk + 1) / chunks);
    for (int n = from; n < to; n++)
        convert_row(r, i, n, r->scratch[member].normed, r->converted, r->converted_scale);
}

/* The converted inputs of a phase, made now if they are few and this member has not made them yet. */
static const uint8_t *converted(chorus_runner *r, const inputs *i, long phase, int member, const float **scale) {
    if (i->rows > FEW) {
        *scale = r->converted_scale;
        return r->converted;
    }
    scratch *own = &r->scratch[member];
    *scale = own->converted_scale;
    if (own->prepared != phase) {
        for (int n = 0; n < i->rows; n++) convert_row(r, i, n, own->normed, own->converted, own->converted_scale);
        own->prepared = phase;
    }
    return own->converted;
}

static int conversion_chunks(const chorus_runner *r, int rows) {
    return rows > FEW ? least(rows, CHUNKS_A_MEMBER * team_size(r->team)) : 0;
}

/* ---- linear layers ---- */

static int linear_chunks(const chorus_runner *r, const chorus_linear *l) {
    int units = padded(l->out / TILE, COLUMNS_A_CHUNK) / COLUMNS_A_CHUNK;
    return least(units, CHUNKS_A_MEMBER * team_size(r->team));
}

/* The packed columns of a chunk: whole units of COLUMNS_A_CHUNK. */
static void chunk_columns(const chorus_linear *l, int chunk, int chunks, int *from, int *to) {
    int columns = l->out / TILE, units = padded(columns, COLUMNS_A_CHUNK) / COLUMNS_A_CHUNK;
    *from = (int)((long)units * chunk / chunks) * COLUMNS_A_CHUNK;
    *to = least((int)((long)units * (chunk + 1) / chunks) * COLUMNS_A_CHUNK, columns);
}

/* out (rows, stride) = x W^T + bias, for packed columns `from` to `to`. */
static void linear(chorus_runner *r, const chorus_linear *l, const uint8_t *x, const float *scale, int rows, int from,
                   int to, float *out, int stride) {
    size_t before = (size_t)from * l->in * TILE;
    int first = from * TILE, count = to - from;
    if (r->model.weights == CHORUS_INT8)
        r->kernel->linear_int8((const int8_t *)l->weight + before, l->scale + first, l->shift + first, count, l->in, x,
                               scale, rows, out + first, stride);
    else
        r->kernel->linear_bf16((const uint16_t *)l->weight + before, count, l->in, (const uint16_t *)x, rows,
                               out + first, stride);
    if (l->bias == NULL) return;
    for (int m = 0; m < rows; m++)
        for (int n = first; n < to * TILE; n++) out[(size_t)m * stride + n] += l->bias[n];
}

/* x += what the layer gives, for a chunk of its columns. */
static void add_linear(chorus_runner *r, const chorus_linear *l, const inputs *i, long phase, int chunk, int member) {
    int from, to;
    const float *scale;
    const uint8_t *x = converted(r, i, phase, member, &scale);
    chunk_columns(l, chunk, linear_chunks(r, l), &from, &to);
    linear(r, l, x, scale, i->rows, from, to, r->product, r->width);
    for (int m = 0; m < i->rows; m++) {
        float *row = r->x + (size_t)m * r->width;
        const float *more = r->product + (size_t)m * r->width;
        for (int n = from * TILE; n < to * TILE; n++) row[n] += more[n];
    }
}

/* ---- the parts of a layer ---- */

/* A number that no other phase of any step has. */
static long phase_number(const chorus_runner *r, int layer, int phase) {
    return (r->step * (r->model.layers + 1) + layer) * PHASES + phase;
}

static const chorus_layer *layer_of(const chorus_runner *r, int number) { return &r->model.layer[number]; }

static inputs into_qkv(const chorus_runner *r, const chorus_layer *l) {
    return (inputs){r->x, r->width, r->model.hidden, l->qkv.in, l->attention_norm, NULL, r->batch->tokens};
}

static inputs into_output(const chorus_runner *r, const chorus_layer *l) {
    return (inputs){r->attended, l->output.in, l->output.in, l->output.in, NULL, NULL, r->batch->tokens};
}

static inputs into_mlp(const chorus_runner *r, const chorus_layer *l) {
    return (inputs){r->x, r->width, r->model.hidden, l->gate_up.in, l->mlp_norm, NULL, r->batch->tokens};
}

static inputs into_down(const chorus_runner *r, const chorus_layer *l) {
    return (inputs){r->gated, l->down.in, l->down.in, l->down.in, NULL, NULL, r->batch->tokens};
}

static inputs into_head(const chorus_runner *r) {
    return (inputs){r->x, r->width, r->model.hidden, r->model.head.in, r->model.norm, r->wanted_token, r->wanted};
}

static void embed_chunk(void *job, int argument, int chunk, int member) {
    (void)argument, (void)member;
    chorus_runner *r = job;
    const chorus_model *m = &r->model;
    int chunks = least(r->batch->tokens, CHUNKS_A_MEMBER * team_size(r->team));
    int from = (int)((long)r->batch->tokens * chunk / chunks), to = (int)((long)r->batch->tokens * (chunk + 1) / chunks);
    for (int t = from; t < to; t++) {
        float *row = r->x + (size_t)t * r->width;
        const uint16_t *known = m->embedding + (size_t)r->batch->token[t] * m->hidden;
        for (int i = 0; i < m->hidden; i++) {
            uint32_t bits = (uint32_t)known[i] << 16;
            memcpy(row + i, &bits, 4);
            row[i] *= m->embedding_scale;
        }
        memset(row + m->hidden, 0, sizeof(float) * (size_t)(r->width - m->hidden));
    }
}

static void convert_in_chunk(void *job, int layer, int chunk, int member) {
    chorus_runner *r = job;
    inputs i = into_qkv(r, layer_of(r, layer));
    convert_chunk(r, &i, chunk, conversion_chunks(r, i.rows), member);
}

static void qkv_chunk(void *job, int layer, int chunk, int member) {
    chorus_runner *r = job;
    const chorus_linear *l = &layer_of(r, layer)->qkv;
    inputs i = into_qkv(r, layer_of(r, layer));
    const float *scale;
    int from, to;
    const uint8_t *x = converted(r, &i, phase_number(r, layer, QKV), member, &scale);
    chunk_columns(l, chunk, linear_chunks(r, l), &from, &to);
    linear(r, l, x, scale, i.rows, from, to, r->product, l->out);
}

static void rotate(const chorus_runner *r, float *head, int position) {
    const int half = r->model.head_dim / 2;
    r->kernel->rotate(head, half, r->model.cosines + (size_t)position * half, r->model.sines + (size_t)position * half);
}

/* Which of all blocks' pieces, one a layer and KV head, this is; its keys begin at the number
 * keys_at(place), its values at values_at(place). */
static size_t place_of(const chorus_runner *r, int layer, int block, int kv_head) {
    return ((size_t)block * r->model.layers + layer) * r->model.kv_heads + kv_head;
}

static size_t keys_at(const chorus_runner *r, size_t place) { return place * 2 * (size_t)r->dims * TILE; }

static size_t values_at(const chorus_runner *r, size_t place) { return keys_at(r, place) + (size_t)r->dims * TILE; }

/* A head's numbers to 8 bits and their scale, as to_int8 has it but around 0. */
static float to_bytes(const float *x, int size, int8_t *bytes) {
    float largest = 1e-12f;
    for (int i = 0; i < size; i++) largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
    for (int i = 0; i < size; i++) bytes[i] = (int8_t)lrintf(x[i] * (127 / largest));
    return largest / 127;
}

/* Put a head's key and value, (dims) numbers each of one or two bytes, in a token's place of its block. Keys lie
 * in pairs of dims, values in pairs of tokens. */
#define PLACE(TYPE, KEYS, VALUES)                                                                     \
    do {                                                                                              \
        TYPE *key = (TYPE *)r->cache.numbers + keys_at(r, place) + slot * 2;                                         \
        TYPE *value = (TYPE *)r->cache.numbers + values_at(r, place) + slot / 2 * 2 * TILE + slot % 2;               \
        for (int d = 0; d < r->dims; d += 2, key += 2 * TILE) key[0] = (KEYS)[d], key[1] = (KEYS)[d + 1]; \
        for (int d = 0; d < r->dims; d += TILE, value += TILE * TILE)                                 \
            for (int i = 0; i < TILE; i++) value[2 * i] = (VALUES)[d + i];                            \
    } while (0)

/* Numbers `k` of key and `v` of value, (dims) each, become the token's in slot `slot` of a block. */
static void store_token(chorus_runner *r, int layer, int block, int slot, int kv_head, const float *k, const float *v) {
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

/* A head's numbers with zeros behind them up to dims. */
static void padded_head(const chorus_runner *r, const float *head, float *out) {
    memcpy(out, head, sizeof(float) * (size_t)r->model.head_dim);
    memset(out + r->model.head_dim, 0, sizeof(float) * (size_t)(r->dims - r->model.head_dim));
}

/* Normalise and rotate a token's key, and put it and the value into the cache. */
static void store(chorus_runner *r, int layer, int token, int kv_head) {
    const chorus_model *m = &r->model;
    const chorus_layer *l = layer_of(r, layer);
    const chorus_batch *b = r->batch;
    const float *heads = r->product + (size_t)token * l->qkv.out + (size_t)(m->heads + kv_head) * m->head_dim;
    float key[LARGEST_HEAD], value[LARGEST_HEAD];
    padded_head(r, heads, key);
    padded_head(r, heads + (size_t)m->kv_heads * m->head_dim, value);
    int span = r->span_of[token], position = r->position[token];
    if (l->key_norm) r->kernel->norm(key, l->key_norm, m->head_dim, m->epsilon, key);
    rotate(r, key, position);
    int block = b->table[b->first_block[span] + position / TILE];
    store_token(r, layer, block, position % TILE, kv_head, key, value);
}

static void store_chunk(void *job, int layer, int chunk, int member) {
    (void)member;
    chorus_runner *r = job;
    int chunks = least(r->batch->tokens, CHUNKS_A_MEMBER * team_size(r->team));
    int from = (int)((long)r->batch->tokens * chunk / chunks), to = (int)((long)r->batch->tokens * (chunk + 1) / chunks);
    for (int t = from; t < to; t++)
        for (int h = 0; h < r->model.kv_heads; h++) store(r, layer, t, h);
}

/* Attend to segments `from` to `to` of a span's context, its last block being that of `tokens`. */
static void attend_segments(chorus_runner *r, scratch *s, const queries *q, int layer, int kv_head, int span, int from,
                            int to, int tokens) {
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
    padded_head(r, r->product + (size_t)token * l->qkv.out + (size_t)head * m->head_dim, query);
    if (l->query_norm) r->kernel->norm(query, l->query_norm, m->head_dim, m->epsilon, query);
    rotate(r, query, r->position[token]);
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
    return (queries){rows, r->dims, r->model.scaling, s->begin + first, s->end + first, s->query + first * r->dims,
                     s->most + first, s->sum + first, s->mixed + first * r->dims};
}

static void attend_chunk(void *job, int layer, int chunk, int member) {
    chorus_runner *r = job;
    const chorus_model *m = &r->model;
    const chorus_batch *b = r->batch;
    const chorus_layer *l = layer_of(r, layer);
    const tile *t = &r->tile[chunk / m->kv_heads];
    const int kv_head = chunk % m->kv_heads, share = m->heads / m->kv_heads;
    scratch *s = &r->scratch[member];
    int rows = 0;
    for (int i = t->first; i < t->first + t->spans; i++) { /* a span's first token is the number of those before it */
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
        attend_segments(r, s, &together, layer, kv_head, r->order[t->first], begin / SEGMENT_TOKENS, t->shared,
                        t->shared * SEGMENT_TOKENS);
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
        float *out = r->attended + (size_t)s->token[row] * l->output.in + (size_t)s->head[row] * m->head_dim;
        float factor = 1 / s->sum[row];
        for (int d = 0; d < m->head_dim; d++) out[d] = s->mixed[row * r->dims + d] * factor;
    }
}

static void convert_attended_chunk(void *job, int layer, int chunk, int member) {
    chorus_runner *r = job;
    inputs i = into_output(r, layer_of(r, layer));
    convert_chunk(r, &i, chunk, conversion_chunks(r, i.rows), member);
}

static void output_chunk(void *job, int layer, int chunk, int member) {
    chorus_runner *r = job;
    inputs i = into_output(r, layer_of(r, layer));
    add_linear(r, &layer_of(r, layer)->output, &i, phase_number(r, layer, OUTPUT), chunk, member);
}

static void convert_mlp_chunk(void *job, int layer, int chunk, int member) {
    chorus_runner *r = job;
    inputs i = into_mlp(r, layer_of(r, layer));
    convert_chunk(r, &i, chunk, conversion_chunks(r, i.rows), member);
}

static void gate_up_chunk(void *job, int layer, int chunk, int member) {
    chorus_runner *r = job;
    const chorus_layer *l = layer_of(r, layer);
    inputs i = into_mlp(r, l);
    const float *scale;
    int from, to;
    const uint8_t *x = converted(r, &i, phase_number(r, layer, GATE_UP), member, &scale);
    chunk_columns(&l->gate_up, chunk, linear_chunks(r, &l->gate_up), &from, &to);
    linear(r, &l->gate_up, x, scale, i.rows, from, to, r->product, l->gate_up.out);
    for (int m = 0; m < i.rows; m++) { /* columns of gate and up in turn */
        const float *row = r->product + (size_t)m * l->gate_up.out;
        for (int c = from; c < to; c += 2)
            r->kernel->gate(row + c * TILE, row + (c + 1) * TILE, TILE, r->model.activation,
                            r->gated + (size_t)m * l->down.in + c / 2 * TILE);
    }
}

static void convert_gated_chunk(void *job, int layer, int chunk, int member) {
    chorus_runner *r = job;
    inputs i = into_down(r, layer_of(r, layer));
    convert_chunk(r, &i, chunk, conversion_chunks(r, i.rows), member);
}

static void down_chunk(void *job, int layer, int chunk, int member) {
    chorus_runner *r = job;
    inputs i = into_down(r, layer_of(r, layer));
    add_linear(r, &layer_of(r, layer)->down, &i, phase_number(r, layer, DOWN), chunk, member);
}

static void convert_last_chunk(void *job, int argument, int chunk, int member) {
    (void)argument;
    chorus_runner *r = job;
    inputs i = into_head(r);
    convert_chunk(r, &i, chunk, conversion_chunks(r, i.rows), member);
}

static void head_chunk(void *job, int argument, int chunk, int member) {
    (void)argument;
    chorus_runner *r = job;
    const chorus_linear *l = &r->model.head;
    inputs i = into_head(r);
    const float *scale;
    int from, to;
    const uint8_t *x = converted(r, &i, phase_number(r, r->model.layers, 0), member, &scale);
    chunk_columns(l, chunk, linear_chunks(r, l), &from, &to);
    linear(r, l, x, scale, i.rows, from, to, r->logits, l->out);
}

/* ---- the job ---- */

static int first_phase(int layer) { return 1 + layer * PHASES; }

static void prepare(chorus_runner *r) {
    const chorus_model *m = &r->model;
    int few = least(r->batch->tokens, CHUNKS_A_MEMBER * team_size(r->team));
    int conversion = conversion_chunks(r, r->batch->tokens);
    team_prepare(r->team, 0, few);
    for (int i = 0; i < m->layers; i++) {
        const chorus_layer *l = layer_of(r, i);
        int chunks[PHASES] = {
            [CONVERT_IN] = conversion,
            [QKV] = linear_chunks(r, &l->qkv),
            [STORE] = r->all_single ? 0 : few,
            [ATTEND] = r->tiles * m->kv_heads,
            [CONVERT_ATTENDED] = conversion,
            [OUTPUT] = linear_chunks(r, &l->output),
            [CONVERT_MLP] = conversion,
            [GATE_UP] = linear_chunks(r, &l->gate_up),
            [CONVERT_GATED] = conversion,
            [DOWN] = linear_chunks(r, &l->down),
        };
        for (int p = 0; p < PHASES; p++) team_prepare(r->team, first_phase(i) + p, chunks[p]);
    }
    team_prepare(r->team, first_phase(m->layers), conversion_chunks(r, r->wanted));
    team_prepare(r->team, first_phase(m->layers) + 1, r->wanted ? linear_chunks(r, &m->head) : 0);
}

static void work(void *job, const team_turn *turn) {
    static team_chunk *const parts[PHASES] = {
        [CONVERT_IN] = convert_in_chunk,   [QKV] = qkv_chunk,
        [STORE] = store_chunk,             [ATTEND] = attend_chunk,
        [CONVERT_ATTENDED] = convert_attended_chunk, [OUTPUT] = output_chunk,
        [CONVERT_MLP] = convert_mlp_chunk, [GATE_UP] = gate_up_chunk,
        [CONVERT_GATED] = convert_gated_chunk, [DOWN] = down_chunk,
    };
    chorus_runner *r = job;
    const int layers = r->model.layers; /* what the model is never changes: late members may read it */
    bool going = team_phase(turn, 0, embed_chunk, r, 0);
    for (int i = 0; going && i < layers; i++)
        for (int p = 0; going && p < PHASES; p++) going = team_phase(turn, first_phase(i) + p, parts[p], r, i);
    if (going && team_phase(turn, first_phase(layers), convert_last_chunk, r, 0))
        team_phase(turn, first_phase(layers) + 1, head_chunk, r, 0);
    if (r->kernel->leave) r->kernel->leave();
}

/* ---- planning: which tokens stand where, and which attend together ---- */

/* Blocks that two spans of one token have in common from the beginning, and that are full for both. */
static int common_blocks(const chorus_batch *b, int one, int other) {
    int limit = least(b->start[one], b->start[other]) / TILE, same = 0;
    const int32_t *a = b->table + b->first_block[one], *c = b->table + b->first_block[other];
    while (same < limit && a[same] == c[same]) same++;
    return same;
}

static void add_tile(chorus_runner *r, tile t) { r->tile[r->tiles++] = t; }

/* Tiles for the rows of one span. */
static void add_rows(chorus_runner *r, int place, int rows) {
    for (int row = 0; row < rows; row += TILE) add_tile(r, (tile){place, 1, row, least(TILE, rows - row), 0});
}

/* Put neighbours that share at least a segment into tiles: as few as hold all rows, but enough for all members. */
static void group(chorus_runner *r, int first, int spans, int shared) {
    const int share = r->model.heads / r->model.kv_heads;
    if (share > TILE) {
        for (int i = first; i < first + spans; i++) add_rows(r, i, share);
        return;
    }
    int fewest = (spans * share + TILE - 1) / TILE;
    int most_in_one = greatest(1, TILE / share);
    int tiles = greatest((spans + most_in_one - 1) / most_in_one,
                         (2 * team_size(r->team) + r->model.kv_heads - 1) / r->model.kv_heads);
    tiles = least(spans, greatest(tiles, fewest));
    for (int i = 0; i < tiles; i++) {
        int from = spans * i / tiles, to = spans * (i + 1) / tiles;
        add_tile(r, (tile){first + from, to - from, 0, (to - from) * share, to - from > 1 ? shared : 0});
    }
}

static void plan(chorus_runner *r) {
    const chorus_batch *b = r->batch;
    const int share = r->model.heads / r->model.kv_heads;
    int token = 0, singles = 0;
    r->wanted = 0;
    r->tiles = 0;
    for (int i = 0; i < b->spans; i++) {
        r->position[b->tokens + i] = token;
        for (int n = 0; n < b->count[i]; n++, token++) {
            r->position[token] = b->start[i] + n;
            r->span_of[token] = i;
            if (n >= b->count[i] - b->wanted[i]) r->wanted_token[r->wanted++] = token;
        }
        if (b->count[i] == 1) r->order[singles++] = i;
    }
    r->all_single = singles == b->spans && share <= TILE;
    /* Single tokens: neighbours with the longest common beginning are brought together, one after the other. */
    for (int from = 0; from < singles;) {
        int to = from + 1, shared = b->start[r->order[from]];
        for (int i = to; i < singles; i++) {
            int common = common_blocks(b, r->order[from], r->order[i]) / SEGMENT;
            if (common == 0) continue;
            shared = least(shared, common);
            int kin = r->order[i];
            r->order[i] = r->order[to];
            r->order[to++] = kin;
        }
        group(r, from, to - from, shared);
        from = to;
    }
    int place = singles;
    for (int i = 0; i < b->spans; i++) {
        if (b->count[i] == 1) continue;
        r->order[place] = i;
        add_rows(r, place++, b->count[i] * share);
    }
}

/* ---- memory ---- */

static void *zeros(size_t bytes) {
    size_t size = (bytes + 63) / 64 * 64;
    void *memory = aligned_alloc(64, size ? size : 64);
    if (memory) memset(memory, 0, size);
    return memory;
}

static int number_bytes(const chorus_runner *r) { return r->model.weights == CHORUS_INT8 ? 1 : 2; }

static void free_room(chorus_runner *r) {
    free(r->position), free(r->span_of), free(r->wanted_token), free(r->order), free(r->tile), free(r->x);
    free(r->product), free(r->attended), free(r->gated), free(r->converted), free(r->converted_scale);
    r->position = r->span_of = r->wanted_token = r->order = NULL;
    r->tile = NULL;
    r->x = r->product = r->attended = r->gated = r->converted_scale = NULL;
    r->converted = NULL;
    r->capacity = 0;
}

/* Room for a step of so many tokens. 0, or 1 if there is none. */
static int make_room(chorus_runner *r, int tokens, int spans) {
    if (tokens <= r->capacity && spans <= r->span_capacity) return 0;
    const chorus_model *m = &r->model;
    const chorus_layer *l = &m->layer[0];
    size_t t = (size_t)padded(greatest(tokens, r->capacity), 64) + ROW_SLACK;
    int capacity = (int)t - ROW_SLACK, most_spans = greatest(spans, r->span_capacity);
    int share = m->heads / m->kv_heads;
    int out = greatest(greatest(l->qkv.out, l->gate_up.out), r->width);
    free_room(r);
    r->position = zeros(sizeof(int) * (t + (size_t)most_spans));
    r->span_of = zeros(sizeof(int) * t);
    r->wanted_token = zeros(sizeof(int) * t);
    r->order = zeros(sizeof(int) * (size_t)most_spans);
    r->tile = zeros(sizeof(tile) * (t * (size_t)share / TILE + (size_t)most_spans + t));
    r->x = zeros(sizeof(float) * t * (size_t)r->width);
    r->product = zeros(sizeof(float) * t * (size_t)out);
    r->attended = zeros(sizeof(float) * t * (size_t)l->output.in);
    r->gated = zeros(sizeof(float) * t * (size_t)l->down.in);
    r->converted = zeros((size_t)number_bytes(r) * t * (size_t)r->widest);
    r->converted_scale = zeros(sizeof(float) * t);
    if (!r->position || !r->span_of || !r->wanted_token || !r->order || !r->tile || !r->x || !r->product ||
        !r->attended || !r->gated || !r->converted || !r->converted_scale) {
        free_room(r);
        return 1;
    }
    r->capacity = capacity;
    r->span_capacity = most_spans;
    return 0;
}

static int make_scratch(chorus_runner *r) {
    r->scratch = zeros(sizeof(scratch) * (size_t)team_size(r->team));
    if (!r->scratch) return 1;
    for (int i = 0; i < team_size(r->team); i++) {
        scratch *s = &r->scratch[i];
        s->prepared = -1;
        s->converted = zeros((size_t)number_bytes(r) * (FEW + ROW_SLACK) * (size_t)r->widest);
        s->converted_scale = zeros(sizeof(float) * (FEW + ROW_SLACK));
        s->normed = zeros(sizeof(float) * (size_t)r->widest);
        s->query = zeros(sizeof(uint16_t) * 2 * TILE * (size_t)r->dims);
        s->mixed = zeros(sizeof(float) * 2 * TILE * (size_t)r->dims);
        s->unpacked = zeros(sizeof(uint16_t) * 2 * SEGMENT * TILE * (size_t)r->dims);
        if (!s->converted || !s->converted_scale || !s->normed || !s->query || !s->mixed || !s->unpacked) return 1;
    }
    return 0;
}

/* ---- the interface ---- */

int32_t chorus_version(void) { return CHORUS_VERSION; }

const char *chorus_instruction_sets(void) {
    static char names[64];
    const kernels *const *found = kernels_available();
    names[0] = 0;
    for (int i = 0; found[i]; i++) {
        if (i) strcat(names, " ");
        strcat(names, found[i]->name);
    }
    return names;
}

static const kernels *kernels_named(const char *name) {
    const kernels *const *found = kernels_available();
    for (int i = 0; found[i]; i++)
        if (strcmp(found[i]->name, name) == 0) return found[i];
    return NULL;
}

chorus_runner *chorus_open(const chorus_model *model, const chorus_cache *cache, int32_t threads,
                           const char *instruction_set) {
    const kernels *found = kernels_named(instruction_set);
    chorus_runner *r = found ? calloc(1, sizeof *r) : NULL;
    if (!r) return NULL;
    r->model = *model;
    r->cache = *cache;
    r->kernel = found;
    r->width = padded(model->hidden, PAD);
    r->dims = padded(model->head_dim, 32);
    const chorus_layer *l = &model->layer[0];
    r->widest = greatest(greatest(l->qkv.in, l->output.in), greatest(l->gate_up.in, l->down.in));
    r->team = team_open(threads, first_phase(model->layers) + 2);
    if (!r->team || make_scratch(r) || make_room(r, 64, 16)) {
        chorus_close(r);
        return NULL;
    }
    return r;
}

int32_t chorus_step(chorus_runner *r, const chorus_batch *batch, float *logits) {
    if (make_room(r, batch->tokens, batch->spans)) return 1;
    r->batch = batch;
    r->logits = logits;
    r->step++;
    plan(r);
    prepare(r);
    team_run(r->team, work, r);
    return 0;
}

void chorus_close(chorus_runner *r) {
    if (!r) return;
    int members = r->team ? team_size(r->team) : 0;
    team_close(r->team);
    for (int i = 0; r->scratch && i < members; i++) {
        scratch *s = &r->scratch[i];
        free(s->converted), free(s->converted_scale), free(s->normed), free(s->query), free(s->mixed), free(s->unpacked);
    }
    free(r->scratch);
    free_room(r);
    free(r);
}

/* ---- the machine's bandwidth, read as the step reads weights ---- */

enum { PIECE = 1 << 18, READ_AHEAD = 4096 }; /* bytes: a chunk, and what is asked for before it is used */

typedef struct {
    const char *memory;
    uint64_t *sums;
} reading;

static void read_chunk(void *job, int argument, int chunk, int member) {
    (void)argument;
    reading *j = job;
    const char *from = j->memory + (size_t)chunk * PIECE;
    uint64_t sum[4] = {0};
    for (int i = 0; i < PIECE; i += 256)
        for (int line = 0; line < 4; line++) { /* a number of each cache line: the memory, not the adding, is measured */
            uint64_t number;
            __builtin_prefetch(from + i + line * 64 + READ_AHEAD);
            memcpy(&number, from + i + line * 64, sizeof number);
            sum[line] += number;
        }
    j->sums[member * 8] += sum[0] + sum[1] + sum[2] + sum[3];
}

static void read_work(void *job, const team_turn *turn) { team_phase(turn, 0, read_chunk, job, 0); }

uint64_t chorus_read_memory(chorus_runner *r, const void *memory, uint64_t bytes) {
    uint64_t sums[8 * 256] = {0}, sum = 0;
    static reading job; /* late members get its address, never its contents */
    job = (reading){memory, sums};
    if (team_size(r->team) > 256) return 0;
    team_prepare(r->team, 0, (int)(bytes / PIECE));
    for (int i = 1; i < first_phase(r->model.layers) + 2; i++) team_prepare(r->team, i, 0);
    team_run(r->team, read_work, &job);
    for (int i = 0; i < team_size(r->team); i++) sum += sums[i * 8];
    return sum;
}
