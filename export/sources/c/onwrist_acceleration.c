#include "onwrist_acceleration.h"

#include "onwrist_acceleration_tables.h"

#define LOWEST (-(1 << (ONWRIST_ACC_BITS - 1)))

/* As if the next sample had been there for ever; the clock goes on. */
static void forget_past(onwrist_acceleration *a) {
    a->newest = 0;
    a->primed = a->started = false;
    for (int32_t i = 0; i < ONWRIST_AXES; i++) {
        a->highpass[i].y1 = a->highpass[i].y2 = a->highpass[i].remainder = 0;
    }
}

static void begin(onwrist_acceleration *a) {
    forget_past(a);
    a->phase = 0;
    a->paired = false;
    for (int32_t i = 0; i < ONWRIST_ACC_LINE; i++) {
        for (int32_t k = 0; k < 4; k++) a->rows[i][k] = 0;
    }
}

void onwrist_acceleration_init(onwrist_acceleration *a) {
    const onwrist_acceleration_counters none = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    a->books = none;
    a->head = a->lead = 0;
    a->expected = 0;
    a->knows_expected = a->lacking = false;
    begin(a);
}

void onwrist_acceleration_unpair(onwrist_acceleration *a) {
    a->paired = false;
}

/* Rows that the next samples bring. */
static int32_t rows_of(const onwrist_acceleration *a, uint32_t samples) {
    const int64_t parts = (int64_t)samples * ONWRIST_ACC_UP - a->phase;
    return parts > 0 ? (int32_t)((parts + ONWRIST_ACC_DOWN - 1) / ONWRIST_ACC_DOWN) : 0;
}

static int8_t *next_row(onwrist_acceleration *a) {
    int8_t *row = a->rows[a->head];
    a->head = a->head + 1 < ONWRIST_ACC_LINE ? a->head + 1 : 0;
    if (a->paired) a->lead++;
    return row;
}

static int32_t convert_axis(const onwrist_acceleration *a, int32_t axis) {
    const int32_t *taps = onwrist_acc_taps + a->phase * ONWRIST_ACC_TAPS; /* oldest first */
    const int32_t *history = a->history[axis];
    int64_t total = INT64_C(1) << (ONWRIST_ACC_TAP_SHIFT - 1);
    int32_t k = 0;
    for (int32_t i = a->newest + 1; i < ONWRIST_ACC_TAPS; i++) total += (int64_t)taps[k++] * history[i];
    for (int32_t i = 0; i <= a->newest; i++) total += (int64_t)taps[k++] * history[i];
    return (int32_t)(total >> ONWRIST_ACC_TAP_SHIFT);
}

/* High-pass, and int8 steps of an absolute size. */
static int8_t axis_steps(onwrist_acceleration *a, int32_t axis, int32_t x) {
    if (!a->started) a->highpass[axis].x1 = a->highpass[axis].x2 = x;
    const int32_t x1 = a->highpass[axis].x1, y1 = a->highpass[axis].y1;
    const int64_t bend = (int64_t)x - 2 * (int64_t)x1 + a->highpass[axis].x2;
    const int64_t total = ONWRIST_ACC_B0 * bend - (int64_t)ONWRIST_ACC_A1 * y1 -
                          (int64_t)ONWRIST_ACC_A2 * a->highpass[axis].y2 + a->highpass[axis].remainder;
    const int32_t y = (int32_t)(total >> ONWRIST_ACC_POLE_BITS);
    a->highpass[axis].remainder = (int32_t)(total & ((INT64_C(1) << ONWRIST_ACC_POLE_BITS) - 1));
    a->highpass[axis].x2 = x1, a->highpass[axis].x1 = x;
    a->highpass[axis].y2 = y1, a->highpass[axis].y1 = y;
    const int64_t size = y < 0 ? -(int64_t)y : y;
    const int64_t found = (size * ONWRIST_ACC_GAIN + (INT64_C(1) << (ONWRIST_ACC_SHIFT - 1))) >> ONWRIST_ACC_SHIFT;
    if (y < 0) return (int8_t)(found > 128 ? -128 : -found);
    return (int8_t)(found > 127 ? 127 : found);
}

/* A sample into the front end. */
static void push_sample(onwrist_acceleration *a, const int16_t *counts) {
    const int32_t at = a->newest + 1 < ONWRIST_ACC_TAPS ? a->newest + 1 : 0;
    bool rail = false;
    a->newest = at;
    for (int32_t i = 0; i < ONWRIST_AXES; i++) {
        int32_t count = counts[i];
        rail = rail || count <= LOWEST || count >= -LOWEST - 1;
        count = count < LOWEST ? LOWEST : count > -LOWEST - 1 ? -LOWEST - 1 : count;
        if (!a->primed) {
            for (int32_t k = 0; k < ONWRIST_ACC_TAPS; k++) a->history[i][k] = count;
        }
        a->history[i][at] = count;
    }
    a->primed = true;
    a->books.used++;
    if (rail) a->books.clipped++;
    while (a->phase < ONWRIST_ACC_UP) {
        int8_t *row = next_row(a);
        for (int32_t i = 0; i < ONWRIST_AXES; i++) row[i] = axis_steps(a, i, convert_axis(a, i));
        row[ONWRIST_AXES] = 1;
        a->started = true;
        a->phase += ONWRIST_ACC_DOWN;
    }
    a->phase -= ONWRIST_ACC_UP;
}

void onwrist_acceleration_receive(onwrist_acceleration *a, uint32_t sequence, const int16_t *counts) {
    const int32_t behind = a->knows_expected ? (int32_t)(a->expected - sequence) : 0;
    if (behind > ONWRIST_ACC_LATE || behind < -ONWRIST_ACC_LATE) {
        a->knows_expected = false; /* it counts anew, or was away for so long that its clock is not followed */
    } else if (behind > 0) {
        a->books.discarded++;
        return;
    }
    if (!a->knows_expected) {
        begin(a);
    } else if (behind < 0) {
        const uint32_t gap = (uint32_t)-behind;
        const int32_t rows = rows_of(a, gap);
        a->books.lost += gap;
        for (int32_t i = 0; i < rows; i++) {
            int8_t *row = next_row(a);
            for (int32_t k = 0; k < 4; k++) row[k] = 0;
        }
        a->phase += ONWRIST_ACC_DOWN * rows - ONWRIST_ACC_UP * -behind;
        forget_past(a);
    }
    a->knows_expected = true;
    a->expected = sequence + 1;
    push_sample(a, counts);
}

bool onwrist_acceleration_ready(const onwrist_acceleration *a, const onwrist_light *light, uint32_t waiting) {
    const int32_t wanted = light->filled + light->coming;
    if (!a->paired || a->lacking || wanted < ONWRIST_HOP) return true;
    return a->lead + rows_of(a, waiting) >= wanted || light->waiting >= ONWRIST_BURST + ONWRIST_ACC_PATIENCE;
}

/* Rows from power-up to a sample with this number. */
static int64_t rows_until(uint32_t number, int32_t up, int32_t down) {
    return ((int64_t)number * up + down - 1) / down;
}

void onwrist_acceleration_meet(onwrist_acceleration *a, const onwrist_light *light, bool came) {
    if (a->paired && came && a->lead >= 0) a->lacking = false;
    /* Samples of light that are still to be fed, those of a gap before them included. */
    const int32_t ahead = (int32_t)(light->last + 1 - light->expected);
    if (!light->knows_expected || light->waiting > ONWRIST_BURST || ahead <= 0 || ahead > ONWRIST_ACC_REACH) return;
    const int32_t arrived = light->filled + ahead * ONWRIST_UP / ONWRIST_DOWN;
    if (a->paired && (a->lead - arrived > ONWRIST_ACC_APART || arrived - a->lead > ONWRIST_ACC_APART)) {
        a->paired = false;
        a->books.slips++;
    }
    if (a->paired || !came) return;
    const int64_t numbered = light->filled + rows_until(a->expected, ONWRIST_ACC_UP, ONWRIST_ACC_DOWN) -
                             rows_until(light->expected, ONWRIST_UP, ONWRIST_DOWN);
    const int64_t apart = numbered < arrived ? arrived - numbered : numbered - arrived;
    a->lead = apart <= ONWRIST_ACC_APART ? (int32_t)numbered : arrived;
    a->paired = true;
    a->lacking = false;
}

int32_t onwrist_acceleration_hop(onwrist_acceleration *a, int8_t *rows) {
    if (a->lead > ONWRIST_ACC_LINE) a->paired = false; /* so far behind is the light that its rows are gone */
    int32_t came = 0, there = 0;
    if (a->paired) {
        came = a->lead < 0 ? 0 : a->lead < ONWRIST_HOP ? a->lead : ONWRIST_HOP;
        int32_t at = a->head - (a->lead < 0 ? 0 : a->lead);
        at += at < 0 ? ONWRIST_ACC_LINE : 0;
        for (int32_t i = 0; i < came; i++) {
            for (int32_t k = 0; k < ONWRIST_AXES; k++) rows[ONWRIST_AXES * i + k] = a->rows[at][k];
            there += a->rows[at][ONWRIST_AXES];
            at = at + 1 < ONWRIST_ACC_LINE ? at + 1 : 0;
        }
        a->lead -= ONWRIST_HOP;
    }
    for (int32_t i = ONWRIST_AXES * came; i < ONWRIST_AXES * ONWRIST_HOP; i++) rows[i] = 0;
    a->lacking = came < ONWRIST_HOP;
    a->books.missing += (uint32_t)(ONWRIST_HOP - there);
    return ONWRIST_HOP - there;
}
