/* Planning a step: which tokens stand where, and whose queries attend together. */
#include "runner.h"

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

/* Put neighbours that share at least a segment into tiles: as few as hold all rows, but enough for all
 * members. */
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

void plan(chorus_runner *r) {
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
    /* Single tokens: neighbours with the longest common beginning are brought together, one after the other.
     */
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
