/* Linear layers of a step: their inputs in the weights' numbers, and their outputs in chunks of packed
 * columns. */
#include <string.h>

#include "runner.h"

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
void convert_chunk(chorus_runner *r, const inputs *i, int chunk, int chunks, int member) {
    int from = share_of(i->rows, chunk, chunks), to = share_of(i->rows, chunk + 1, chunks);
    for (int n = from; n < to; n++)
        convert_row(r, i, n, r->scratch[member].normed, r->converted, r->converted_scale);
}

/* The converted inputs of a phase, made now if they are few and this member has not made them yet. */
static const uint8_t *converted(chorus_runner *r, const inputs *i, long phase, int member,
                                const float **scale) {
    if (i->rows > FEW) {
        *scale = r->converted_scale;
        return r->converted;
    }
    scratch *own = &r->scratch[member];
    *scale = own->converted_scale;
    if (own->prepared != phase) {
        for (int n = 0; n < i->rows; n++)
            convert_row(r, i, n, own->normed, own->converted, own->converted_scale);
        own->prepared = phase;
    }
    return own->converted;
}

int conversion_chunks(const chorus_runner *r, int rows) {
    return rows > FEW ? least(rows, CHUNKS_A_MEMBER * team_size(r->team)) : 0;
}

int linear_chunks(const chorus_runner *r, const chorus_linear *l) {
    int units = padded(l->out / TILE, COLUMNS_A_CHUNK) / COLUMNS_A_CHUNK;
    return least(units, CHUNKS_A_MEMBER * team_size(r->team));
}

/* The packed columns of a chunk: whole units of COLUMNS_A_CHUNK. */
static void chunk_columns(const chorus_linear *l, int chunk, int chunks, int *from, int *to) {
    int columns = l->out / TILE, units = padded(columns, COLUMNS_A_CHUNK) / COLUMNS_A_CHUNK;
    *from = share_of(units, chunk, chunks) * COLUMNS_A_CHUNK;
    *to = least(share_of(units, chunk + 1, chunks) * COLUMNS_A_CHUNK, columns);
}

/* out (rows, stride) = x W^T + bias, for packed columns `from` to `to`. */
static void linear(chorus_runner *r, const chorus_linear *l, const uint8_t *x, const float *scale, int rows,
                   int from, int to, float *out, int stride) {
    size_t before = (size_t)from * l->in * TILE;
    int first = from * TILE, count = to - from;
    if (r->model.weights == CHORUS_INT8)
        r->kernel->linear_int8((const int8_t *)l->weight + before, l->scale + first, l->shift + first, count,
                               l->in, x, scale, rows, out + first, stride);
    else
        r->kernel->linear_bf16((const uint16_t *)l->weight + before, count, l->in, (const uint16_t *)x, rows,
                               out + first, stride);
    if (l->bias == NULL) return;
    for (int m = 0; m < rows; m++)
        for (int n = first; n < to * TILE; n++) out[(size_t)m * stride + n] += l->bias[n];
}

void linear_chunk(chorus_runner *r, const chorus_linear *l, const inputs *i, long phase, int chunk,
                  int member, float *out, int stride, int *from, int *to) {
    const float *scale;
    const uint8_t *x = converted(r, i, phase, member, &scale);
    chunk_columns(l, chunk, linear_chunks(r, l), from, to);
    linear(r, l, x, scale, i->rows, *from, *to, out, stride);
}
