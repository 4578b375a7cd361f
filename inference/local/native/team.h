/* Threads that work through a job's phases together. Knows nothing of what they compute.
 *
 * A phase is a number of chunks that can be done in any order by anybody. Members claim chunks one by one; a
 * phase is over when its last chunk is done. Nobody waits for a member that holds no chunk: one that the
 * system has taken off its core, because the machine is busy with something else, delays nobody, and the
 * others do its share.
 */
#ifndef CHORUS_TEAM_H
#define CHORUS_TEAM_H

#include <stdbool.h>
#include <stdint.h>

typedef struct team team;

/* A member's part in one job. */
typedef struct {
    team *team;
    int member;     /* 0 is the caller of team_run */
    uint32_t epoch; /* the job's number */
} team_turn;

/* What each member runs for a job: it goes through the phases in their order, and returns as soon as
 * team_phase says that the job is over. */
typedef void team_work(void *job, const team_turn *turn);
typedef void team_chunk(void *job, int argument, int chunk, int member);

team *team_open(int size, int phases);
void team_close(team *);
int team_size(const team *);

/* Before a job: phase `phase` will have so many chunks; 0 leaves it out. */
void team_prepare(team *, int phase, int chunks);

/* Run a prepared job on all members, the caller as member 0. Returns when every phase is done. */
void team_run(team *, team_work *work, void *job);

/* Within a job: help with a phase until it is over. False if the whole job is over already. What belongs to
 * the job may only be read from within `chunk`: a late member must not touch the next job's. */
bool team_phase(const team_turn *turn, int phase, team_chunk *chunk, void *job, int argument);

#endif
