/* Acceleration beside the light: an accelerometer's counts in, rows (x, y, z) for the model out, each at the time of the
 * light's output that it goes in with. It belongs to onwrist_watch.h, which calls all of this: push counts with
 * onwrist_watch_push_acceleration, and each output says of how many rows it had to do without.
 *
 * Which acceleration belongs to which light: both sensors number their samples from power-up, so that a number over a rate is
 * a time. Where the two clocks have come apart by a quarter of a second more than bursts explain, the newest row belongs to the
 * newest light, and `slips` counts it. A burst of light waits until acceleration of the same time is there, at most ONWRIST_ACC_PATIENCE samples
 * long. What is not there by then, was lost, or comes from no accelerometer at all is 0 in all three axes, and counted.
 *
 * With the five calls of onwrist.h alone, put ONWRIST_HOP rows of x, y, z at arena + ONWRIST_ACC_OFFSET before each
 * onwrist_step. */
#ifndef ONWRIST_ACCELERATION_H
#define ONWRIST_ACCELERATION_H

#include <stdbool.h>
#include <stdint.h>

#include "onwrist_config.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { ONWRIST_AXES = 3 };

/* received = dropped + discarded + used + waiting, at any time between calls, modulo 2^32. */
typedef struct {
    uint32_t received;  /* pushed */
    uint32_t dropped;   /* overwritten in the ring before the loop came */
    uint32_t discarded; /* late or repeated */
    uint32_t used;      /* went through the front end */
    uint32_t waiting;   /* in the ring */
    uint32_t lost;      /* never came, by their numbers (not received) */
    uint32_t clipped;   /* used, with an axis at a rail */
    uint32_t missing;   /* rows that hops did without */
    uint32_t slips;     /* times that the clocks had come apart */
    uint32_t high_water; /* most samples that ever waited; ONWRIST_ACC_RING is all there is room for */
} onwrist_acceleration_counters;

/* Counts of one sample; z alone in the last word. */
typedef struct {
    uint32_t sequence, xy, z;
} onwrist_acceleration_slot;

typedef struct {
    int32_t history[ONWRIST_AXES][ONWRIST_ACC_TAPS]; /* counts, rings that turn together */
    int32_t newest, phase;
    struct {
        int32_t x1, x2, y1, y2, remainder;
    } highpass[ONWRIST_AXES];
    bool primed, started;
    int8_t rows[ONWRIST_ACC_LINE][4]; /* x, y, z, whether it was there; the newest before `head` */
    int32_t head;
    int32_t lead; /* rows that came beyond the beginning of the hop that is being filled; known while `paired` */
    uint32_t expected;
    bool knows_expected, paired, lacking;
    onwrist_acceleration_counters books;
} onwrist_acceleration;

/* Where the light stands when its next burst could be taken. */
typedef struct {
    int32_t filled, coming; /* outputs of the hop that is being filled, and that the burst brings if nothing is missing */
    uint32_t waiting;       /* samples in its ring */
    uint32_t expected;      /* number of its next sample, where it knows one */
    uint32_t last;          /* number of the burst's last sample */
    bool knows_expected;
} onwrist_light;

void onwrist_acceleration_init(onwrist_acceleration *a);
/* The light has started anew. */
void onwrist_acceleration_unpair(onwrist_acceleration *a);
/* A sample out of the ring. */
void onwrist_acceleration_receive(onwrist_acceleration *a, uint32_t sequence, const int16_t *counts);
/* Whether the next burst of light may be taken while so many samples of acceleration wait. */
bool onwrist_acceleration_ready(const onwrist_acceleration *a, const onwrist_light *light, uint32_t waiting);
/* All acceleration that waited has been received: see to the clocks. came: any of it was used. */
void onwrist_acceleration_meet(onwrist_acceleration *a, const onwrist_light *light, bool came);
/* ONWRIST_HOP rows of the hop that is complete; returns how many of them are 0 for want of acceleration. */
int32_t onwrist_acceleration_hop(onwrist_acceleration *a, int8_t *rows);

#ifdef __cplusplus
}
#endif

#endif
