/* The whole watch above the five calls of onwrist.h, optional: sequence numbers, gaps, late and repeated packets,
 * reasons not to show an answer, and books on every sample.
 *
 *     static onwrist_watch watch;
 *     _Alignas(8) static int8_t arena[ONWRIST_ARENA_BYTES];
 *
 *     onwrist_watch_init(&watch, arena, ONWRIST_GAP_INTERPOLATE);    once, before the interrupt is enabled
 *     onwrist_watch_push(&watch, sequence, counts, n);               in the sensor's interrupt; never waits
 *     while ((status = onwrist_watch_run(&watch, &out)) > 0) {       in the main loop
 *         if (status == ONWRIST_OUTPUT && out.reasons == 0) ...      show it
 *     }
 *
 * Two contexts may work on one instance at a time, without a lock: one pushes (an interrupt, another thread or core),
 * one calls everything else. The one that pushes never waits: where the other is late, the oldest samples are
 * overwritten, and counted. Nothing is global, nothing is allocated; sizes follow from onwrist_config.h.
 *
 * The calls between the two contexts are 32-bit loads (acquire) and stores (release). For compilers without
 * __atomic_load_n and __atomic_store_n, define ONWRIST_LOAD(p) as a volatile load with a barrier after it (DMB) and
 * ONWRIST_STORE(p, v) as a barrier with a volatile store after it.
 *
 * Which way counts go: the model was trained on counts that RISE when blood comes. A converter of reflected light
 * mostly counts DOWN then, since blood absorbs: build with -DONWRIST_COUNTS_FALL=1, and each count is taken as
 * ONWRIST_FULL - count. */
#ifndef ONWRIST_WATCH_H
#define ONWRIST_WATCH_H

#include "onwrist.h"

/* Of a configuration that has beats (onwrist_beats.h): they come with the outputs. */
#ifdef ONWRIST_WITH_BEATS
#include "onwrist_beats.h"
#endif
#ifdef ONWRIST_WITH_ACCELERATION

/* Of a student that takes acceleration: a second sensor, with numbers and an interrupt of its own. */
#include "onwrist_acceleration.h"
#endif

#ifdef __cplusplus
extern "C" {
#endif

#ifndef ONWRIST_COUNTS_FALL
#define ONWRIST_COUNTS_FALL 0
#endif

/* What the calls return; errors are negative. */
enum {
    ONWRIST_IDLE = 0,         /* nothing is left to do until samples come */
    ONWRIST_OUTPUT = 1,       /* an output is there */
    ONWRIST_BUSY = 2,         /* a burst is done, more may wait: call again */
    ONWRIST_NULL = -1,        /* an argument is NULL */
    ONWRIST_NOT_READY = -2,   /* before onwrist_watch_init, in an instance that is set to 0 (static ones are) */
    ONWRIST_BAD_ARGUMENT = -3 /* a negative n, no such gap policy, or an arena that is not aligned to 8 */
};

/* What bridges a gap of up to ONWRIST_BRIDGE samples; a longer one always starts anew. */
enum { ONWRIST_GAP_INTERPOLATE = 0, ONWRIST_GAP_HOLD = 1, ONWRIST_GAP_RESET = 2 };

/* Why an output is not shown; 0 is a good one. */
enum {
    ONWRIST_WARMING = 1, /* the window reaches back before the last (re)start */
    ONWRIST_BRIDGED = 2, /* too much of it was made up over gaps */
    ONWRIST_CLIPPED = 4, /* too much of it was at a rail of the converter */
    ONWRIST_FLAT = 8,    /* nothing moves: the running magnitude is below half a count */
    ONWRIST_POOR = 16    /* the model itself calls the signal bad */
};

/* received = dropped + discarded + used + gated + pending + waiting, at any time between calls, modulo 2^32. */
typedef struct {
    uint32_t received;   /* pushed */
    uint32_t dropped;    /* overwritten in the ring before the loop came */
    uint32_t discarded;  /* late or repeated */
    uint32_t used;       /* went into a hop whose output was shown */
    uint32_t gated;      /* went into one that was not, or into none before a restart */
    uint32_t pending;    /* of the hop that is not complete */
    uint32_t waiting;    /* in the ring, lost there but not noticed yet, or behind a gap that is being bridged */
    uint32_t bridged;    /* made up over gaps (not received) */
    uint32_t resets;     /* starts anew */
    uint32_t hops;       /* outputs */
    uint32_t shown;      /* of them without a reason not to */
    uint32_t high_water; /* most samples that ever waited; ONWRIST_RING is all there is room for */
} onwrist_watch_counters;

typedef struct {
    const int8_t *embedding; /* ONWRIST_EMBEDDING values, unit ONWRIST_EMBEDDING_SCALE; good until the next run */
    const int8_t *answers;   /* ONWRIST_ANSWERS values, unit ONWRIST_ANSWERS_SCALE */
    uint32_t reasons;        /* not to show it; 0: show it */
    uint32_t sequence;       /* of the sample that completed the hop: its time, in samples of the sensor */
    bool first;              /* the model started anew with this hop */
#ifdef ONWRIST_WITH_BEATS
    const onwrist_beat *beats; /* found during the hop, oldest first; good until the next run */
    int32_t beat_count;
#endif
#ifdef ONWRIST_WITH_ACCELERATION
    int32_t unmoved; /* rows of the hop, of ONWRIST_HOP, that are 0 for want of acceleration; all: as if there were none */
#endif
} onwrist_watch_output;

typedef struct {
    uint32_t sequence;
    int32_t count;
} onwrist_slot;

/* Samples of a hop: all, made up, at a rail. */
typedef struct {
    uint16_t samples, bridged, clipped;
} onwrist_tally;

typedef struct {
    uint32_t ready;
    /* Written where samples come from. `claim` runs ahead of what is written, `head` behind it. */
    uint32_t claim, head, write_at, high_water;
    /* Written by the loop. */
    uint32_t tail, read_at, left;
    uint32_t expected, number, last_number;
    int32_t gap, last_count;
    int32_t bridge_from, bridge_at, bridge_parts, bridge_whole, bridge_rest;
    bool taking, knows_expected, held, first;
    onwrist_watch_counters books;
    onwrist_tally now, recent[ONWRIST_SPAN]; /* of the hops that one window spans, a ring */
    uint32_t recent_at, samples, bridged, clipped;
    onwrist core;
#ifdef ONWRIST_WITH_BEATS
    onwrist_beats pulse;
    onwrist_beat beats[ONWRIST_BEATS_ROOM]; /* of the hop that is being filled */
    int32_t beat_count;
#endif
    onwrist_slot ring[ONWRIST_RING];
#ifdef ONWRIST_WITH_ACCELERATION
    /* The same two sides of the accelerometer's ring. */
    uint32_t acc_claim, acc_head, acc_write_at, acc_high_water;
    uint32_t acc_tail, acc_read_at;
    onwrist_acceleration motion;
    onwrist_acceleration_slot acc_ring[ONWRIST_ACC_RING];
#endif
} onwrist_watch;

/* arena: ONWRIST_ARENA_BYTES, aligned to 8. gap: one of ONWRIST_GAP_... */
int32_t onwrist_watch_init(onwrist_watch *watch, int8_t *arena, int32_t gap);
/* Producer: n samples (0 ... ONWRIST_FULL; beyond is cut off), the first with this sequence number; numbers count
 * samples as the converter takes them, also those that got lost, and wrap at 2^32. Returns 0 or an error. */
int32_t onwrist_watch_push(onwrist_watch *watch, uint32_t sequence, const int32_t *counts, int32_t n);
/* Consumer: works until an output is there or a burst is done, at most one inference; see the return values. */
int32_t onwrist_watch_run(onwrist_watch *watch, onwrist_watch_output *out);
/* Consumer: the next sample is the first, as after a change of the LED's current. Samples that wait stay. */
int32_t onwrist_watch_restart(onwrist_watch *watch);
/* Consumer: a copy of the books. */
int32_t onwrist_watch_books(const onwrist_watch *watch, onwrist_watch_counters *out);
#ifdef ONWRIST_WITH_ACCELERATION
/* Producer of acceleration, which may be another context than that of the light: n samples of x, y, z, the first with this
 * sequence number; numbers count samples from the same power-up as the light's, at ONWRIST_ACC_RATE_HZ, and wrap at 2^32.
 * Beyond ONWRIST_ACC_BITS is cut off. Returns 0 or an error. */
int32_t onwrist_watch_push_acceleration(onwrist_watch *watch, uint32_t sequence, const int16_t *counts, int32_t n);
/* Consumer: a copy of acceleration's books. */
int32_t onwrist_watch_acceleration_books(const onwrist_watch *watch, onwrist_acceleration_counters *out);
#endif

#ifdef __cplusplus
}
#endif

#endif
