/* The machine's bandwidth, read as the step reads weights: with the same threads, chunk by chunk. */
#include <string.h>

#include "runner.h"

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
        for (int line = 0; line < 4;
             line++) { /* a number of each cache line: the memory, not the adding, is measured */
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
    for (int i = 1; i < phases_of(r); i++) team_prepare(r->team, i, 0);
    team_run(r->team, read_work, &job);
    for (int i = 0; i < team_size(r->team); i++) sum += sums[i * 8];
    return sum;
}
