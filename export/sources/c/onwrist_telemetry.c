#include "onwrist_telemetry.h"

#include <stddef.h>

#include "onwrist_telemetry_config.h"

#define NAME 4
#define WIDTH 3
#define MOST 0xffffffu

static uint32_t read_counter(const onwrist_telemetry *t, int32_t i) {
    const uint8_t *at = t->bytes + ONWRIST_TELEMETRY_HEADER + WIDTH * i;
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16;
}

static void add_to(onwrist_telemetry *t, int32_t i, uint32_t more) {
    uint8_t *at = t->bytes + ONWRIST_TELEMETRY_HEADER + WIDTH * i;
    uint32_t value = read_counter(t, i);
    value = more > MOST - value ? MOST : value + more;
    at[0] = (uint8_t)(value & 0xffu);
    at[1] = (uint8_t)(value >> 8 & 0xffu);
    at[2] = (uint8_t)(value >> 16);
}

/* Whether _init has been: the format's name is there. */
static bool begun(const onwrist_telemetry *t) {
    for (int32_t i = 0; i < NAME; i++) {
        if (t->bytes[i] != onwrist_telemetry_header[i]) return false;
    }
    return true;
}

static bool odd(uint32_t x) {
    x ^= x >> 4;
    x ^= x >> 2;
    x ^= x >> 1;
    return (x & 1u) != 0;
}

/* Half octaves: of whole counts the length in bits, and the bit below the highest. */
static int32_t swing(int64_t magnitude) {
    const uint32_t counts = (uint32_t)(magnitude >> ONWRIST_TELEMETRY_SHIFT);
    int32_t bits = 0;
    while (bits < 32 && counts >> bits != 0) bits++;
    const int32_t half = bits > 1 ? (int32_t)(counts >> (bits - 2) & 1u) : 0;
    const int32_t part = 2 * bits + half - ONWRIST_TELEMETRY_SWING_FROM;
    return part < 0 ? 0 : part < ONWRIST_TELEMETRY_SWINGS ? part : ONWRIST_TELEMETRY_SWINGS - 1;
}

/* How many of n rising `edges`, in multiples of `unit`, x is not below. */
static int32_t part_of(int64_t x, const int32_t *edges, int32_t n, int64_t unit) {
    int32_t part = 0;
    while (part < n && x >= edges[part] * unit) part++;
    return part;
}

static void count_embedding(onwrist_telemetry *t, const int8_t *embedding) {
    for (int32_t d = 0; d < ONWRIST_TELEMETRY_DIRECTIONS; d++) {
        const uint32_t pattern = onwrist_telemetry_pattern[d];
        const int32_t *edge = onwrist_telemetry_edge + d * (ONWRIST_TELEMETRY_DIRECTION_PARTS - 1);
        int32_t sum = 0, part = 0;
        for (int32_t i = 0; i < ONWRIST_EMBEDDING; i++) sum += odd((uint32_t)i & pattern) ? -embedding[i] : embedding[i];
        while (part < ONWRIST_TELEMETRY_DIRECTION_PARTS - 1 && sum >= edge[part]) part++;
        add_to(t, ONWRIST_TELEMETRY_DIRECTION + d * ONWRIST_TELEMETRY_DIRECTION_PARTS + part, 1);
    }
}

int32_t onwrist_telemetry_init(onwrist_telemetry *telemetry) {
    if (telemetry == NULL) return ONWRIST_NULL;
    for (int32_t i = 0; i < ONWRIST_TELEMETRY_BYTES; i++) {
        telemetry->bytes[i] = i < ONWRIST_TELEMETRY_HEADER ? onwrist_telemetry_header[i] : 0;
    }
    return 0;
}

int32_t onwrist_telemetry_add(onwrist_telemetry *telemetry, const onwrist_watch *watch, const onwrist_watch_output *out) {
    static const int32_t of_wave[] = {-4, -2, -1, 0, 1, 2, 4}, of_slope[] = {-4, -1, 0, 1, 4};
    if (telemetry == NULL || watch == NULL || out == NULL) return ONWRIST_NULL;
    /* An output that no run has filled points nowhere. */
    if (!begun(telemetry) || out->embedding == NULL || out->answers == NULL) return ONWRIST_NOT_READY;
    add_to(telemetry, 0, 1);
    add_to(telemetry, 1, out->first ? 1 : 0);
    if ((out->reasons & ONWRIST_WARMING) != 0) {
        add_to(telemetry, 2, 1);
        return 0;
    }
    for (int32_t i = 1; i < 5; i++) add_to(telemetry, 2 + i, out->reasons >> i & 1u);
    add_to(telemetry, 7, out->reasons == 0 ? 1 : 0);
    const onwrist *core = &watch->core;
    const int32_t count = core->history[core->newest];
    add_to(telemetry, ONWRIST_TELEMETRY_LEVEL + (int32_t)((int64_t)count * ONWRIST_TELEMETRY_LEVELS >> ONWRIST_BITS), 1);
    add_to(telemetry, ONWRIST_TELEMETRY_SWING + swing(core->magnitude), 1);
    /* In the magnitude's own units, which are finer by its bits; halves and eighths of it as whole multiples. */
    const int64_t one = INT64_C(1) << ONWRIST_TELEMETRY_MAGNITUDE_BITS, step = (int64_t)core->y1 - core->y2;
    add_to(telemetry, ONWRIST_TELEMETRY_WAVE + part_of(2 * one * core->y1, of_wave, 7, core->magnitude), 1);
    add_to(telemetry, ONWRIST_TELEMETRY_SLOPE + part_of(8 * one * step, of_slope, 5, core->magnitude), 1);
    for (int32_t i = 0; i < ONWRIST_TELEMETRY_ANSWERS; i++) {
        const int32_t part = (out->answers[i] + 128) / ONWRIST_TELEMETRY_ANSWER_STEP;
        add_to(telemetry, ONWRIST_TELEMETRY_ANSWER + i * ONWRIST_TELEMETRY_ANSWER_PARTS + part, 1);
    }
    count_embedding(telemetry, out->embedding);
    return 0;
}

int32_t onwrist_telemetry_merge(onwrist_telemetry *telemetry, const onwrist_telemetry *other) {
    if (telemetry == NULL || other == NULL) return ONWRIST_NULL;
    if (!begun(telemetry)) return ONWRIST_NOT_READY;
    for (int32_t i = 0; i < ONWRIST_TELEMETRY_HEADER; i++) {
        if (telemetry->bytes[i] != other->bytes[i]) return ONWRIST_BAD_ARGUMENT;
    }
    for (int32_t i = 0; i < ONWRIST_TELEMETRY_COUNTERS; i++) add_to(telemetry, i, read_counter(other, i));
    return 0;
}
