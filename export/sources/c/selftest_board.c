/* The self-test with the cycles of each hop, as one line of JSON: what a board says of itself. Give it where characters go
 * (a UART, a debugger's channel):
 *
 *     int32_t onwrist_selftest_board(void (*put)(char));     returns the bytes that differ; 0 is right
 *
 * and hand the line to `onwrist parts --measured FILE`. Build it with what the board is:
 *
 *     -DONWRIST_BOARD_PART='"STM32U575"' -DONWRIST_BOARD_MHZ=160
 *
 * Cycles are the core's own: of the PMU (Armv8.1-M) or of DWT (Armv7-M, Armv8-M Mainline), whichever moves. Where neither does
 * (M0+, emulators) they are null, unless -DONWRIST_BOARD_CYCLES=NAME names a function of yours, uint32_t NAME(void), that reads
 * a counter at the core's clock. A core that faults at the PMU's registers: -DONWRIST_BOARD_NO_PMU. Interrupts that come
 * meanwhile are counted too. With ONWRIST_SELFTEST_BOARD_MAIN defined it is a program that says the line by semihosting (on a
 * host: prints it) and ends with 0 or 1. */
#include "onwrist.h"
#include "onwrist_golden.h"

#include <stddef.h>

#ifndef ONWRIST_BOARD_PART
#define ONWRIST_BOARD_PART "unknown"
#endif
#ifndef ONWRIST_BOARD_MHZ
#define ONWRIST_BOARD_MHZ 0
#endif
#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#elif defined(__GNUC__)
#define COMPILER "gcc " __VERSION__
#else
#define COMPILER "unknown"
#endif

#if defined(__ARM_ARCH_PROFILE) && __ARM_ARCH_PROFILE == 'M'
#define CORTEX_M 1
#else
#define CORTEX_M 0
#endif

#define TEXT(x) #x
#define AS_TEXT(x) TEXT(x)

int32_t onwrist_selftest_board(void (*put)(char));

static onwrist watch;
static _Alignas(8) int8_t arena[ONWRIST_ARENA_BYTES];

/* --- the counter --- */

#if defined(ONWRIST_BOARD_CYCLES)
uint32_t ONWRIST_BOARD_CYCLES(void);
static const char *start(void) {
    return "board";
}
static uint32_t cycles(void) {
    return ONWRIST_BOARD_CYCLES();
}
#elif CORTEX_M && __ARM_ARCH_ISA_THUMB == 2
#define REGISTER(address) (*(volatile uint32_t *)(address))
#define DEMCR REGISTER(0xE000EDFCu)
#define DWT_CTRL REGISTER(0xE0001000u)
#define DWT_CYCCNT REGISTER(0xE0001004u)
#define DWT_LOCK REGISTER(0xE0001FB0u)
#define PMU_CCNTR REGISTER(0xE000307Cu)
#define PMU_CNTENSET REGISTER(0xE0003C00u)
#define PMU_CTRL REGISTER(0xE0003E04u)

static volatile uint32_t *counter;

static int moves(volatile uint32_t *address) {
    const uint32_t before = *address;
    for (volatile int32_t i = 0; i < 16; i++) {
    }
    return *address != before;
}

static const char *start(void) {
    DEMCR |= 1u << 24; /* trace and counters on */
#if defined(__ARM_ARCH_8_1M_MAIN__) && !defined(ONWRIST_BOARD_NO_PMU)
    PMU_CTRL |= 1u, PMU_CNTENSET = 1u << 31;
    counter = &PMU_CCNTR;
    if (moves(counter)) return "PMU";
#endif
    DWT_LOCK = 0xC5ACCE55u; /* M7 locks it */
    DWT_CTRL |= 1u;
    counter = &DWT_CYCCNT;
    if (moves(counter)) return "DWT";
    counter = NULL;
    return NULL;
}
static uint32_t cycles(void) {
    return counter ? *counter : 0;
}
#else
static const char *start(void) {
    return NULL;
}
static uint32_t cycles(void) {
    return 0;
}
#endif

/* --- the line --- */

static void text(void (*put)(char), const char *s) {
    while (*s) put(*s++);
}

static void number(void (*put)(char), uint32_t value) {
    char digits[10];
    int32_t n = 0;
    do digits[n++] = (char)('0' + value % 10), value /= 10;
    while (value);
    while (n) put(digits[--n]);
}

static void quoted(void (*put)(char), const char *name, const char *value) {
    text(put, ",\""), text(put, name), text(put, "\":\"");
    for (; *value; value++) put(*value == '"' || *value == '\\' || (uint8_t)*value < 32 ? '_' : *value);
    put('"');
}

static void counted(void (*put)(char), const char *name, uint32_t value) {
    text(put, ",\""), text(put, name), text(put, "\":"), number(put, value);
}

static int32_t differing(const int8_t *a, const int8_t *b, int32_t n) {
    int32_t wrong = 0;
    for (int32_t i = 0; i < n; i++) wrong += a[i] != b[i];
    return wrong;
}

#ifdef ONWRIST_WITH_ACCELERATION
/* Rows of x, y, z beside the light of a hop. */
static void put_acceleration(int32_t hop) {
    if (watch.filled < ONWRIST_HOP || hop >= ONWRIST_GOLDEN_HOPS) return;
    const int8_t *rows = onwrist_golden_acc_input + hop * ONWRIST_HOP * 3;
    for (int32_t i = 0; i < ONWRIST_HOP * 3; i++) arena[ONWRIST_ACC_OFFSET + i] = rows[i];
}

#endif
int32_t onwrist_selftest_board(void (*put)(char)) {
    const char *name = start();
    int32_t wrong = 0, hops = 0, at = 0;
    uint32_t least = UINT32_MAX, most = 0;
    uint64_t sum = 0;
    onwrist_output out;
    onwrist_init(&watch, arena);
    while (at < ONWRIST_GOLDEN_COUNTS) {
        /* One hop: its samples through the front end, and the model. */
        uint32_t before = cycles();
        at += onwrist_push(&watch, onwrist_golden_counts + at, ONWRIST_GOLDEN_COUNTS - at);
        uint32_t took = cycles() - before;
        wrong += differing(arena + ONWRIST_INPUT_OFFSET, onwrist_golden_input + hops * ONWRIST_HOP,
                           watch.filled == ONWRIST_HOP ? ONWRIST_HOP : 0);
#ifdef ONWRIST_WITH_ACCELERATION
        put_acceleration(hops);
#endif
        before = cycles();
        const bool done = onwrist_step(&watch);
        took += cycles() - before;
        if (!done) break;
        if (took < least) least = took;
        if (took > most) most = took;
        sum += took;
        onwrist_get(&watch, &out);
        wrong += differing(out.embedding, onwrist_golden_embedding + hops * ONWRIST_EMBEDDING, ONWRIST_EMBEDDING);
        wrong += differing(out.answers, onwrist_golden_answers + hops * ONWRIST_ANSWERS, ONWRIST_ANSWERS);
        hops++;
    }
    wrong += hops != ONWRIST_GOLDEN_HOPS;
    text(put, "{\"schema\":\"onwrist.board/1\"");
    quoted(put, "part", ONWRIST_BOARD_PART), text(put, ",\"mhz\":" AS_TEXT(ONWRIST_BOARD_MHZ));
    quoted(put, "student", ONWRIST_GOLDEN_STUDENT), quoted(put, "digest", ONWRIST_GOLDEN_DIGEST);
    text(put, ",\"sensor_hz\":" AS_TEXT(ONWRIST_RATE_HZ)), counted(put, "hop", ONWRIST_HOP);
    counted(put, "hops", (uint32_t)hops), counted(put, "wrong", (uint32_t)wrong);
    if (name && hops) {
        quoted(put, "counter", name);
        text(put, ",\"cycles\":{\"least\":"), number(put, least), counted(put, "most", most);
        counted(put, "mean", (uint32_t)(sum / (uint32_t)hops)), put('}');
    } else {
        text(put, ",\"counter\":null,\"cycles\":null");
    }
    quoted(put, "compiler", COMPILER);
    text(put, "}\n");
    return wrong;
}

#ifdef ONWRIST_SELFTEST_BOARD_MAIN
#if CORTEX_M
static int32_t semihosting(int32_t operation, const void *argument) {
    register int32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}
static void say(char c) {
    (void)semihosting(0x03, &c); /* a character */
}
#else
#include <stdio.h>
static void say(char c) {
    (void)putchar(c);
}
#endif

int main(void) {
    return onwrist_selftest_board(say) != 0;
}
#endif
