#define ONWRIST_BEATS_TABLES
#include "onwrist_beats.h"

#include <stddef.h>

#define ONE (1 << ONWRIST_BEATS_FRACTION)
#define SLOW 3

static int32_t smaller(int32_t a, int32_t b) {
    return a < b ? a : b;
}

static int32_t larger(int32_t a, int32_t b) {
    return a > b ? a : b;
}

static int32_t clamp(int32_t value, int32_t reach) {
    return smaller(larger(value, -reach), reach);
}

static int32_t likeness(int32_t a, int32_t b) {
    return (int32_t)((int64_t)ONWRIST_BEATS_PART * smaller(a, b) / larger(a, b));
}

/* Where the parabola through three values has its peak, -128 ... 128 parts of a sample from the middle. */
static int32_t vertex(int32_t left, int32_t middle, int32_t right) {
    const int64_t bend = 2 * (int64_t)middle - left - right;
    if (bend <= 0 || left > middle || right > middle) return 0;
    return (int32_t)(ONE / 2 * ((int64_t)right - left + bend) / bend) - ONE / 2;
}

/* The median of the last values, of an even number the larger of the middle two. */
static int32_t usual(const int32_t *values, uint32_t count, int32_t otherwise) {
    int32_t sorted[ONWRIST_BEATS_MEMORY];
    if (count == 0) return otherwise;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t k = i;
        for (; k > 0 && sorted[k - 1] > values[i]; k--) sorted[k] = sorted[k - 1];
        sorted[k] = values[i];
    }
    return sorted[count / 2];
}

static void remember(int32_t *values, uint32_t *count, uint32_t *at, int32_t value) {
    values[*at] = value;
    *at = *at + 1 < ONWRIST_BEATS_MEMORY ? *at + 1 : 0;
    if (*count < ONWRIST_BEATS_MEMORY) (*count)++;
}

void onwrist_beats_reset(onwrist_beats *b) {
    static const onwrist_beats nothing;
    *b = nothing;
    b->spoilt = ONWRIST_BEATS_SETTLE;
    b->lag = b->span = ONWRIST_BEATS_FIRST_LAG;
    b->even = b->alike = ONWRIST_BEATS_PART / 2 * ONE;
}

void onwrist_beats_spoil(onwrist_beats *b) {
    const uint32_t until = b->count + ONWRIST_BEATS_SMEAR;
    if (until > b->spoilt) b->spoilt = until;
}

static void valley(onwrist_beats *b, int32_t now, uint32_t k) {
    b->low = now;
    b->low_at = k;
    b->best = b->best_left = b->best_right = 0;
    b->best_at = 0;
}

static void peak(onwrist_beats *b, uint32_t k) {
    b->high = b->right = b->z[0];
    b->left = b->z[1];
    b->high_at = k;
}

static void steepest(onwrist_beats *b, int32_t slope, uint32_t k) {
    if (b->best > 0 && k == b->best_at + 1) b->best_right = slope;
    if (slope > b->best) {
        b->best = b->best_right = slope;
        b->best_left = b->slopes[0];
        b->best_at = k;
    }
}

/* Whether a pulse is the second wave of the one before: weak, and soon after it or early in an even rhythm. */
static bool echo(const onwrist_beats *b, int32_t interval, int32_t height) {
    if (10 * (int64_t)height >= ONWRIST_BEATS_ECHO_TENTHS * (int64_t)b->last_height) return false;
    const int32_t mean = usual(b->interval, b->intervals, interval);
    const bool early = 10 * (int64_t)interval < ONWRIST_BEATS_ECHO_TENTHS * (int64_t)mean;
    return interval < ONWRIST_BEATS_ECHO_SOON ||
           (early && b->even >> ONWRIST_BEATS_FRACTION >= ONWRIST_BEATS_ECHO_EVEN);
}

static int32_t above(int32_t value, const int8_t *edges, int32_t n) {
    int32_t found = 0;
    for (int32_t i = 0; i < n; i++) found += value >= edges[i];
    return found;
}

static uint8_t judge(onwrist_beats *b, int32_t interval, int32_t height) {
    const int32_t mean = usual(b->interval, b->intervals, interval);
    const int32_t same = likeness(interval, mean);
    const int32_t alike = likeness(height, usual(b->height, b->heights, height));
    const int32_t away = ONWRIST_BEATS_PART - same - 1; /* edges are exceeded, not reached */
    const int32_t row = interval < mean
                            ? ONWRIST_BEATS_SHORTS - above(away, onwrist_beats_short, ONWRIST_BEATS_SHORTS)
                            : ONWRIST_BEATS_SHORTS + above(away, onwrist_beats_long, ONWRIST_BEATS_LONGS);
    const int32_t even = above(b->even >> ONWRIST_BEATS_FRACTION, onwrist_beats_even, ONWRIST_BEATS_EVENS);
    const int32_t like =
        above((b->alike - 16 * b->stray) >> ONWRIST_BEATS_FRACTION, onwrist_beats_like, ONWRIST_BEATS_LIKES);
    b->even += (same * ONE - b->even) >> SLOW;
    b->alike += (alike * ONE - b->alike) >> SLOW;
    return onwrist_beats_confidence[(row * (ONWRIST_BEATS_EVENS + 1) + even) * (ONWRIST_BEATS_LIKES + 1) + like];
}

/* A rise and a fall are complete; true if they are a beat. */
static bool pulse(onwrist_beats *b, uint32_t k) {
    const int32_t top = vertex(b->left, b->high, b->right);
    int32_t off = 0;
    if (b->best > 0) {
        const int32_t rise = vertex(b->best_left, b->best, b->best_right) - 3 * ONE / 2;
        off = (int32_t)(b->high_at - b->best_at) * ONE + top - rise - b->lag;
    }
    b->span = b->lag + clamp(off, ONWRIST_BEATS_SPAN_REACH); /* from the rise to the peak, of this pulse */
    /* Where the two keep their distance the rise is the finer of them, where they do not the peak is the surer. */
    const int32_t reach = larger(0, ONWRIST_BEATS_LAG_REACH - b->stray);
    const uint32_t time = (b->high_at << ONWRIST_BEATS_FRACTION) + (uint32_t)(top - b->lag - clamp(off, reach));
    const int32_t since = (int32_t)(time - b->last), height = b->high - b->low;
    if (b->has_last && (since < ONWRIST_BEATS_SHORTEST || echo(b, since, height))) return false;
    b->lag += clamp(off, ONE) >> SLOW;
    b->stray += (smaller(off < 0 ? -off : off, 4 * ONE) - b->stray) >> SLOW;
    /* A beat that reaches into a spoilt stretch is none, and no interval spans one. */
    const bool clear = b->low_at >= b->spoilt;
    const bool follows = clear && b->has_last && b->last_peak >= b->spoilt && since <= ONWRIST_BEATS_LONGEST;
    b->beat.interval = 0;
    b->beat.confidence = 0;
    if (follows) {
        b->beat.interval = (uint16_t)since;
        b->beat.confidence = judge(b, since, height);
        remember(b->interval, &b->intervals, &b->interval_at, since);
    }
    if (clear) remember(b->height, &b->heights, &b->height_at, height);
    b->last = time;
    b->last_peak = b->high_at;
    b->last_height = height;
    b->has_last = clear;
    b->beat.time = time - ONWRIST_BEATS_DELAY;
    b->beat.found = k;
    return clear;
}

static void count_in(onwrist_beats *b) {
    const int32_t interval = b->beat.interval;
    if (interval == 0 || b->beat.confidence < ONWRIST_BEATS_TRUSTED) {
        b->before = 0;
        return;
    }
    b->now.intervals++;
    b->now.total += interval;
    b->now.squares += (int64_t)interval * interval;
    if (b->before > 0) {
        const int32_t step = interval - b->before;
        b->now.pairs++;
        const int32_t turn = b->span - 2 * b->spans[0] + b->spans[1];
        b->now.steps += (int64_t)step * step;
        b->now.spans += (int64_t)turn * turn;
        if (step > ONWRIST_BEATS_FIFTY_MS || step < -ONWRIST_BEATS_FIFTY_MS) b->now.beyond++;
    }
    b->before = interval;
}

static void pass_time(onwrist_beats *b) {
    static const onwrist_minute none;
    if (++b->samples < ONWRIST_BEATS_MINUTE) return;
    b->samples = 0;
    b->whole[b->minute_at] = b->now;
    b->minute_at = b->minute_at + 1 < ONWRIST_BEATS_MINUTES ? b->minute_at + 1 : 0;
    if (b->minutes < ONWRIST_BEATS_MINUTES) b->minutes++;
    b->now = none;
}

bool onwrist_beats_push(onwrist_beats *b, int32_t y, int64_t magnitude) {
    if (magnitude <= ONWRIST_BEATS_FLOOR) onwrist_beats_spoil(b);
    const uint32_t k = b->count++;
    const int32_t now = y >> ONWRIST_BEATS_WIDTH_BITS;
    if (k == 0) {
        for (int32_t i = 0; i < 4; i++) b->z[i] = now;
        b->low = now;
    }
    for (int32_t i = 3; i > 0; i--) b->z[i] = b->z[i - 1];
    b->z[0] = now;
    const int32_t least = (int32_t)((magnitude >> ONWRIST_BEATS_MAGNITUDE_BITS) * ONWRIST_BEATS_PULSE_EIGHTHS >> 3);
    if (b->rising && k == b->high_at + 1) b->right = now;
    if (!b->rising && now < b->low) valley(b, now, k);
    /* Centred one and a half samples ago, and so to be behind the valley. */
    const int32_t slope = b->z[0] + b->z[1] - b->z[2] - b->z[3];
    if (k - b->low_at >= 2) steepest(b, slope, k);
    b->slopes[1] = b->slopes[0];
    b->slopes[0] = slope;
    bool found = false;
    if (!b->rising) {
        if (now - b->low > least) {
            b->rising = true;
            peak(b, k);
        }
    } else if (now > b->high) {
        peak(b, k);
    } else if (b->high - now > least) {
        found = pulse(b, k);
        b->rising = false;
        valley(b, now, k);
    }
    if (found) {
        count_in(b);
        b->spans[1] = b->spans[0];
        b->spans[0] = b->span;
    }
    pass_time(b);
    return found;
}

static uint32_t root(uint64_t value) {
    uint64_t found = 0;
    for (uint64_t bit = UINT64_C(1) << 31; bit > 0; bit >>= 1) {
        const uint64_t tried = found | bit;
        if (tried * tried <= value) found = tried;
    }
    return (uint32_t)found;
}

bool onwrist_beats_variability(const onwrist_beats *b, int32_t minutes, onwrist_variability *out) {
    static const onwrist_variability none;
    int64_t n = 0, total = 0, squares = 0, pairs = 0, steps = 0, spans = 0, beyond = 0;
    if (b == NULL || out == NULL) return false;
    *out = none;
    if (minutes < 1 || (uint32_t)minutes > b->minutes) return false;
    for (uint32_t i = 1; i <= (uint32_t)minutes; i++) {
        const onwrist_minute *m = &b->whole[(b->minute_at + ONWRIST_BEATS_MINUTES - i) % ONWRIST_BEATS_MINUTES];
        n += m->intervals, total += m->total, squares += m->squares;
        pairs += m->pairs, steps += m->steps, spans += m->spans, beyond += m->beyond;
    }
    const int64_t cover = total * 1000 / (minutes * INT64_C(60) * 25 * ONE);
    if (cover < ONWRIST_BEATS_LEAST_COVER || pairs < ONWRIST_BEATS_LEAST_PAIRS) return false;
    /* From 1/6400 s to tenths of a ms, squared. */
    const int64_t spread = (n * squares - total * total) / (n * (n - 1)) * 10000 / 4096;
    const int64_t own = steps - (spans >> ONWRIST_BEATS_SPAN_QUARTER);
    const int64_t square = (own > 0 ? own : 0) * 10000 / 4096 / pairs - ONWRIST_BEATS_JITTER * ONWRIST_BEATS_JITTER;
    out->intervals = (uint16_t)n;
    out->cover = (uint16_t)cover;
    out->mean = (uint16_t)(total * 100 / (64 * n));
    out->sdnn = (uint16_t)root((uint64_t)spread);
    out->rmssd = (uint16_t)root((uint64_t)(square > 0 ? square : 0));
    out->pnn50 = (uint16_t)(1000 * beyond / pairs);
    return true;
}
