#include "onwrist_watch.h"

#include <stddef.h>

#if !defined(ONWRIST_LOAD) && defined(__GNUC__) && defined(__ARM_ARCH_6M__)
/* A word is one access there, and the cores are alone, but compilers do not know that and would call a library. */
#define ONWRIST_LOAD(p) \
    __extension__({ __typeof__(*(p)) held = *(const volatile __typeof__(*(p)) *)(p); __asm volatile("dmb" ::: "memory"); held; })
#define ONWRIST_STORE(p, v) \
    do { __asm volatile("dmb" ::: "memory"); *(volatile __typeof__(*(p)) *)(p) = (v); } while (0)
#elif !defined(ONWRIST_LOAD) && defined(__GNUC__)
#define ONWRIST_LOAD(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define ONWRIST_STORE(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#elif !defined(ONWRIST_LOAD)
#error "Define ONWRIST_LOAD(p) and ONWRIST_STORE(p, v) for this compiler: see onwrist_watch.h"
#endif

#define READY 0x6f6e7721u
#define RING ((uint32_t)ONWRIST_RING)

/* The consumer's samples, and whether they were received. */
typedef enum { MADE_UP, REAL } origin;

static int32_t check(const onwrist_watch *w) {
    if (w == NULL) return ONWRIST_NULL;
    return ONWRIST_LOAD(&w->ready) == READY ? 0 : ONWRIST_NOT_READY;
}

static void clear_tallies(onwrist_watch *w) {
    const onwrist_tally none = {0, 0, 0};
    for (int32_t i = 0; i < ONWRIST_SPAN; i++) w->recent[i] = none;
    w->now = none;
    w->recent_at = w->samples = w->bridged = w->clipped = 0;
}

static void start_anew(onwrist_watch *w) {
    onwrist_reset(&w->core);
    clear_tallies(w);
    w->books.gated += w->books.pending;
    w->books.pending = 0;
    w->first = true;
#ifdef ONWRIST_WITH_BEATS
    onwrist_beats_reset(&w->pulse);
    w->beat_count = 0;
#endif
#ifdef ONWRIST_WITH_ACCELERATION
    onwrist_acceleration_unpair(&w->motion);
#endif
}

int32_t onwrist_watch_init(onwrist_watch *w, int8_t *arena, int32_t gap) {
    const onwrist_watch_counters none = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    if (w == NULL || arena == NULL) return ONWRIST_NULL;
    ONWRIST_STORE(&w->ready, 0u);
    if (gap < ONWRIST_GAP_INTERPOLATE || gap > ONWRIST_GAP_RESET || ((uintptr_t)arena & 7u) != 0) {
        return ONWRIST_BAD_ARGUMENT;
    }
    w->claim = w->head = w->write_at = w->high_water = 0;
    w->tail = w->read_at = w->left = 0;
    w->expected = w->number = w->last_number = 0;
    w->gap = gap;
    w->last_count = 0;
    w->bridge_from = w->bridge_at = w->bridge_parts = w->bridge_whole = w->bridge_rest = 0;
    w->taking = w->knows_expected = w->held = false;
    w->books = none;
    onwrist_init(&w->core, arena);
#ifdef ONWRIST_WITH_ACCELERATION
    w->acc_claim = w->acc_head = w->acc_write_at = w->acc_high_water = 0;
    w->acc_tail = w->acc_read_at = 0;
    onwrist_acceleration_init(&w->motion);
#endif
    start_anew(w);
    ONWRIST_STORE(&w->ready, READY);
    return 0;
}

/* --- the ring ---
 *
 * head and tail count samples since power-up, so that full and empty differ. The producer announces in `claim` what it
 * is about to overwrite, writes, and publishes in `head`. The consumer reads a slot, then `claim`: what lies more than
 * a ring behind it may have been overwritten while it was read, and is lost. */

int32_t onwrist_watch_push(onwrist_watch *w, uint32_t sequence, const int32_t *counts, int32_t n) {
    const int32_t status = check(w);
    if (status != 0) return status;
    if (n < 0) return ONWRIST_BAD_ARGUMENT;
    if (n == 0) return 0;
    if (counts == NULL) return ONWRIST_NULL;
    const uint32_t length = (uint32_t)n, claim = w->head + length;
    /* Of a burst longer than the ring only the end can survive. */
    const uint32_t skip = length > RING ? length - RING : 0;
    uint32_t at = (w->write_at + skip % RING) % RING;
    ONWRIST_STORE(&w->claim, claim);
    for (uint32_t i = skip; i < length; i++) {
        int32_t count = counts[i] < 0 ? 0 : counts[i];
        count = count > ONWRIST_FULL ? ONWRIST_FULL : count;
        ONWRIST_STORE(&w->ring[at].sequence, sequence + i);
        ONWRIST_STORE(&w->ring[at].count, ONWRIST_COUNTS_FALL ? ONWRIST_FULL - count : count);
        at = at + 1 < RING ? at + 1 : 0;
    }
    w->write_at = at;
    ONWRIST_STORE(&w->head, claim);
    const uint32_t behind = claim - ONWRIST_LOAD(&w->tail);
    const uint32_t waiting = behind < RING ? behind : RING;
    if (waiting > w->high_water) ONWRIST_STORE(&w->high_water, waiting);
    return 0;
}

static void advance(onwrist_watch *w, uint32_t n) {
    w->read_at = (w->read_at + n % RING) % RING;
    ONWRIST_STORE(&w->tail, w->tail + n);
}

/* Skip what the producer has overwritten or is about to; true if anything was. */
static bool skip_lost(onwrist_watch *w) {
    const uint32_t behind = ONWRIST_LOAD(&w->claim) - w->tail;
    if (behind <= RING) return false;
    w->books.dropped += behind - RING;
    advance(w, behind - RING);
    return true;
}

/* Whether a sample waits; while a burst longer than the ring is written, what survives of it lies ahead of head. */
static bool waits(const onwrist_watch *w) {
    return (int32_t)(ONWRIST_LOAD(&w->head) - w->tail) > 0;
}

/* The next sample of the burst that is being taken. */
static bool take(onwrist_watch *w, onwrist_slot *slot) {
    while (w->left > 0 && waits(w)) {
        slot->sequence = ONWRIST_LOAD(&w->ring[w->read_at].sequence);
        slot->count = ONWRIST_LOAD(&w->ring[w->read_at].count);
        if (skip_lost(w)) continue;
        advance(w, 1);
        w->left--;
        return true;
    }
    w->taking = false;
    return false;
}

#ifdef ONWRIST_WITH_ACCELERATION
/* --- the accelerometer's ring: the same, with three words a sample --- */

#define ACC_RING ((uint32_t)ONWRIST_ACC_RING)

int32_t onwrist_watch_push_acceleration(onwrist_watch *w, uint32_t sequence, const int16_t *counts, int32_t n) {
    const int32_t status = check(w);
    if (status != 0) return status;
    if (n < 0) return ONWRIST_BAD_ARGUMENT;
    if (n == 0) return 0;
    if (counts == NULL) return ONWRIST_NULL;
    const uint32_t length = (uint32_t)n, claim = w->acc_head + length;
    const uint32_t skip = length > ACC_RING ? length - ACC_RING : 0;
    uint32_t at = (w->acc_write_at + skip % ACC_RING) % ACC_RING;
    ONWRIST_STORE(&w->acc_claim, claim);
    for (uint32_t i = skip; i < length; i++) {
        const uint32_t x = (uint16_t)counts[3 * i], y = (uint16_t)counts[3 * i + 1], z = (uint16_t)counts[3 * i + 2];
        ONWRIST_STORE(&w->acc_ring[at].sequence, sequence + i);
        ONWRIST_STORE(&w->acc_ring[at].xy, x | y << 16);
        ONWRIST_STORE(&w->acc_ring[at].z, z);
        at = at + 1 < ACC_RING ? at + 1 : 0;
    }
    w->acc_write_at = at;
    ONWRIST_STORE(&w->acc_head, claim);
    const uint32_t behind = claim - ONWRIST_LOAD(&w->acc_tail);
    const uint32_t waiting = behind < ACC_RING ? behind : ACC_RING;
    if (waiting > w->acc_high_water) ONWRIST_STORE(&w->acc_high_water, waiting);
    return 0;
}

/* Everything that waits goes through the front end; whether anything was used. */
static bool drain(onwrist_watch *w) {
    const uint32_t used = w->motion.books.used;
    while ((int32_t)(ONWRIST_LOAD(&w->acc_head) - w->acc_tail) > 0) {
        const onwrist_acceleration_slot *slot = &w->acc_ring[w->acc_read_at];
        const uint32_t sequence = ONWRIST_LOAD(&slot->sequence), xy = ONWRIST_LOAD(&slot->xy), z = ONWRIST_LOAD(&slot->z);
        const uint32_t behind = ONWRIST_LOAD(&w->acc_claim) - w->acc_tail;
        const uint32_t taken = behind > ACC_RING ? behind - ACC_RING : 1;
        w->acc_read_at = (w->acc_read_at + taken % ACC_RING) % ACC_RING;
        ONWRIST_STORE(&w->acc_tail, w->acc_tail + taken);
        if (behind > ACC_RING) {
            w->motion.books.dropped += taken;
            continue;
        }
        const int16_t counts[] = {(int16_t)(xy & 0xffffu), (int16_t)(xy >> 16), (int16_t)z};
        onwrist_acceleration_receive(&w->motion, sequence, counts);
    }
    return w->motion.books.used != used;
}

/* Where the light stands; `last` only where a sample waits and none is lost. */
static onwrist_light light_of(const onwrist_watch *w) {
    const uint32_t behind = ONWRIST_LOAD(&w->head) - w->tail, waiting = behind < RING ? behind : RING;
    const uint32_t burst = waiting < ONWRIST_BURST ? waiting : ONWRIST_BURST;
    const int32_t parts = (int32_t)burst * ONWRIST_UP - w->core.phase;
    const int32_t coming = parts > 0 ? (parts + ONWRIST_DOWN - 1) / ONWRIST_DOWN : 0;
    const uint32_t last = burst > 0 ? ONWRIST_LOAD(&w->ring[(w->read_at + burst - 1) % RING].sequence) : 0;
    const onwrist_light found = {w->core.filled, coming, waiting, w->expected, last, w->knows_expected};
    return found;
}

static bool may_take(const onwrist_watch *w) {
    const uint32_t behind = ONWRIST_LOAD(&w->acc_head) - w->acc_tail;
    const onwrist_light light = light_of(w);
    return onwrist_acceleration_ready(&w->motion, &light, behind < ACC_RING ? behind : ACC_RING);
}

static void take_acceleration(onwrist_watch *w) {
    const bool came = drain(w);
    const onwrist_light light = light_of(w);
    onwrist_acceleration_meet(&w->motion, &light, came);
}

int32_t onwrist_watch_acceleration_books(const onwrist_watch *w, onwrist_acceleration_counters *out) {
    const int32_t status = check(w);
    if (status != 0) return status;
    if (out == NULL) return ONWRIST_NULL;
    *out = w->motion.books;
    out->received = ONWRIST_LOAD(&w->acc_head);
    out->waiting = out->received - w->acc_tail;
    out->high_water = ONWRIST_LOAD(&w->acc_high_water);
    return 0;
}

#endif
/* --- gaps --- */

/* Set up the samples that are missing before number `first`, whose count is `value`. */
static void bridge(onwrist_watch *w, uint32_t first, int32_t value) {
    const int32_t gap = w->knows_expected ? (int32_t)(first - w->expected) : 0;
    if (gap == 0 && w->knows_expected) return;
    if (gap <= 0 || gap > ONWRIST_BRIDGE || w->gap == ONWRIST_GAP_RESET) {
        if (w->core.seen > 0 || w->books.pending > 0) w->books.resets++;
        start_anew(w);
        return;
    }
    w->books.bridged += (uint32_t)gap;
    w->number = w->expected;
    w->bridge_from = w->last_count;
    w->bridge_at = 1;
    w->bridge_parts = gap + 1;
    w->bridge_whole = w->bridge_rest = 0;
    if (w->gap == ONWRIST_GAP_INTERPOLATE) {
        const int32_t rise = value - w->last_count;
        w->bridge_whole = rise / w->bridge_parts;
        w->bridge_rest = rise % w->bridge_parts;
        if (w->bridge_rest < 0) {
            w->bridge_whole--;
            w->bridge_rest += w->bridge_parts;
        }
    }
}

static int32_t made_up(const onwrist_watch *w) {
    const int32_t k = w->bridge_at, parts = w->bridge_parts;
    return w->bridge_from + k * w->bridge_whole + (2 * k * w->bridge_rest + parts) / (2 * parts);
}

/* A sample from the ring, news or not. */
static void receive(onwrist_watch *w, const onwrist_slot *slot) {
    const int32_t behind = w->knows_expected ? (int32_t)(w->expected - slot->sequence) : 0;
    if (behind > ONWRIST_LATE) {
        w->knows_expected = false; /* the sensor counts anew */
    } else if (behind > 0) {
        w->books.discarded++;
        return;
    }
    bridge(w, slot->sequence, slot->count);
    w->knows_expected = true;
    w->expected = slot->sequence + 1;
    w->held = true;
    w->last_number = slot->sequence;
    w->last_count = slot->count;
}

/* --- hops --- */

static uint32_t reasons(onwrist_watch *w, const onwrist_output *made) {
    onwrist_tally *oldest = &w->recent[w->recent_at];
    w->samples += (uint32_t)w->now.samples - oldest->samples;
    w->bridged += (uint32_t)w->now.bridged - oldest->bridged;
    w->clipped += (uint32_t)w->now.clipped - oldest->clipped;
    *oldest = w->now;
    w->recent_at = w->recent_at + 1 < ONWRIST_SPAN ? w->recent_at + 1 : 0;
    w->now.samples = w->now.bridged = w->now.clipped = 0;
    uint32_t why = 0;
    if (!made->valid) why |= ONWRIST_WARMING;
    if (w->bridged * 100u > w->samples * ONWRIST_BRIDGED_PERCENT) why |= ONWRIST_BRIDGED;
    if (w->clipped * 100u > w->samples * ONWRIST_CLIPPED_PERCENT) why |= ONWRIST_CLIPPED;
    if (made->flat) why |= ONWRIST_FLAT;
#if ONWRIST_GATE_ANSWER >= 0
    if (made->answers[ONWRIST_GATE_ANSWER] <= ONWRIST_GATE_ABOVE) why |= ONWRIST_POOR;
#endif
    return why;
}

#ifdef ONWRIST_WITH_BEATS
/* A sample into the front end, and what comes of it to the beats. */
static void push(onwrist_watch *w, int32_t count, origin from) {
    const int32_t filled = w->core.filled;
    /* The first of a hop: what was found before has been handed out. */
    if (w->now.samples == 1) w->beat_count = 0;
    if (from == MADE_UP || count <= 0 || count >= ONWRIST_FULL) onwrist_beats_spoil(&w->pulse);
    (void)onwrist_push(&w->core, &count, 1);
    if (w->core.filled == filled) return;
    if (onwrist_beats_push(&w->pulse, w->core.y1, w->core.magnitude) && w->beat_count < ONWRIST_BEATS_ROOM) {
        w->beats[w->beat_count++] = w->pulse.beat;
    }
}
#else
static void push(onwrist_watch *w, int32_t count, origin from) {
    (void)from;
    (void)onwrist_push(&w->core, &count, 1);
}
#endif

/* A sample into the front end; true if it completed a hop, whose output is then in *out. */
static bool feed(onwrist_watch *w, int32_t count, uint32_t number, origin from, onwrist_watch_output *out) {
    w->now.samples++;
    if (from == REAL) {
        w->books.pending++;
        if (count <= 0 || count >= ONWRIST_FULL) w->now.clipped++;
    } else {
        w->now.bridged++;
    }
    push(w, count, from);
#ifdef ONWRIST_WITH_ACCELERATION
    if (w->core.filled == ONWRIST_HOP) {
        out->unmoved = onwrist_acceleration_hop(&w->motion, w->core.arena + ONWRIST_ACC_OFFSET);
    }
#endif
    if (!onwrist_step(&w->core)) return false;
    onwrist_output made;
    onwrist_get(&w->core, &made);
    out->embedding = made.embedding;
    out->answers = made.answers;
    out->reasons = reasons(w, &made);
    out->sequence = number;
    out->first = w->first;
#ifdef ONWRIST_WITH_BEATS
    out->beats = w->beats;
    out->beat_count = w->beat_count;
#endif
    w->first = false;
    w->books.hops++;
    if (out->reasons == 0) {
        w->books.shown++;
        w->books.used += w->books.pending;
    } else {
        w->books.gated += w->books.pending;
    }
    w->books.pending = 0;
    return true;
}

int32_t onwrist_watch_run(onwrist_watch *w, onwrist_watch_output *out) {
    const int32_t status = check(w);
    if (status != 0) return status;
    if (out == NULL) return ONWRIST_NULL;
    if (!w->taking) {
#ifdef ONWRIST_WITH_ACCELERATION
        if (!may_take(w)) return ONWRIST_IDLE;
#endif
        (void)skip_lost(w);
        if (!waits(w)) return ONWRIST_IDLE;
#ifdef ONWRIST_WITH_ACCELERATION
        take_acceleration(w);
#endif
        w->taking = true;
        w->left = ONWRIST_BURST;
    }
    for (;;) {
        onwrist_slot slot;
        if (w->bridge_at < w->bridge_parts) {
            const int32_t count = made_up(w);
            w->bridge_at++;
            if (feed(w, count, w->number++, MADE_UP, out)) return ONWRIST_OUTPUT;
        } else if (w->held) {
            w->held = false;
            if (feed(w, w->last_count, w->last_number, REAL, out)) return ONWRIST_OUTPUT;
        } else if (take(w, &slot)) {
            receive(w, &slot);
        } else {
            return ONWRIST_BUSY;
        }
    }
}

int32_t onwrist_watch_restart(onwrist_watch *w) {
    const int32_t status = check(w);
    if (status == 0) w->knows_expected = false;
    return status;
}

int32_t onwrist_watch_books(const onwrist_watch *w, onwrist_watch_counters *out) {
    const int32_t status = check(w);
    if (status != 0) return status;
    if (out == NULL) return ONWRIST_NULL;
    *out = w->books;
    out->received = ONWRIST_LOAD(&w->head);
    out->waiting = out->received - w->tail + (w->held ? 1u : 0u);
    out->high_water = ONWRIST_LOAD(&w->high_water);
    return 0;
}
