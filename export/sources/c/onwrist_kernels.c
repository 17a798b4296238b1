#include "onwrist_kernels.h"

#include <stddef.h>
#include <string.h>

#if OW_HELIUM
#include <arm_mve.h>
#endif

/* Inner loops of cores with DSP instructions are assembly: the same instructions from every compiler, at every level. */
#if !OW_HELIUM && defined(__ARM_FEATURE_DSP) && defined(__thumb2__) && defined(__GNUC__) && !defined(__ARM_BIG_ENDIAN)
#define OW_DSP 1
#else
#define OW_DSP 0
#endif

/* --- fixed point, as gemmlowp and TFLite round --- */

/* a * b / 2^31 to nearest, ties up: saturating rounding doubling high multiply (b is never INT32_MIN). */
static inline int32_t high_mul(int32_t a, int32_t b) {
    return (int32_t)(((int64_t)a * b + (INT64_C(1) << 30)) >> 31);
}

/* x / 2^n to nearest, ties away from zero. */
static inline int32_t rounding_shift(int32_t x, int32_t n) {
    const int32_t mask = (int32_t)((UINT32_C(1) << n) - 1);
    const int32_t threshold = (mask >> 1) + (x < 0);
    return (x >> n) + ((x & mask) > threshold);
}

/* Both in a row for |x| < 2^30, left shift included, which the exporter proves of every channel: one SMMULR, three adds
 * and shifts. */
static inline int32_t requantise(int32_t x, int32_t multiplier, int32_t shift) {
    if (shift > 0) x *= 1 << shift, shift = 0;
    x = (int32_t)(((int64_t)(x * 2) * multiplier + (INT64_C(1) << 31)) >> 32);
    return shift ? (x + (x >> 31) + (1 << (-shift - 1))) >> -shift : x;
}

static inline int8_t clamp(int32_t x, int32_t low, int32_t high) {
    return (int8_t)(x < low ? low : x > high ? high : x);
}

/* The bytes of up to four channels from their sums. */
static void finish(const ow_conv *op, const int32_t *sums, int32_t channel, int32_t many, int8_t *out) {
    const ow_scale *scale = op->scale + channel;
    const int32_t zero = op->out_zero, low = op->low, high = op->high;
    for (int32_t i = 0; i < many; i++, scale++) {
        out[i] = clamp(requantise(sums[i], scale->multiplier, -scale->right - 1) + zero, low, high);
    }
}

/* --- inner loops: four channels, one place or two --- */

/* What an inner loop needs; the assembly reads it by these offsets. */
typedef struct {
    const void *x;           /* 0: input bytes; of a pair, widened */
    const uint32_t *w;        /* 4: packed weights, moved on */
    const int32_t *bias;     /* 8: moved on */
    const ow_scale *scale;   /* 12: moved on */
    int32_t zero;            /* 16: twice the output's zero point, and one */
    int8_t *out, *other;     /* 20, 24: bytes of the place, and of the pair's other; moved on */
    int32_t groups;          /* 28: of four channels */
    int32_t *sums;           /* 32: where sums go instead of bytes, or NULL */
    int32_t words;           /* 36: of four bytes, in a convolution */
    int32_t rows, taps;      /* 40, 44: depthwise */
    int32_t line, step;      /* 48, 52: bytes from row to row, from tap to tap */
    const void *y;           /* 56: input of the pair's other place; with vectors only */
} job;

#if OW_HELIUM || OW_DSP
#if defined(__clang__)
#define OW_ASSEMBLY __attribute__((naked, noinline)) static void
#else
#define OW_ASSEMBLY __attribute__((naked, noinline, noipa)) static void
#endif
#define OW_IN __attribute__((unused)) /* in a register, which the compiler does not see */
#endif

#if OW_HELIUM

/* A group's sums to bytes, as `requantise` and `clamp` do it, or as they are. */
static inline void group_done(const job *j, int32x4_t sums, int32x4x2_t scale, int8_t *out) {
    int32x4_t x = vqrdmulhq_s32(sums, scale.val[0]);
    x = vshlq_s32(vaddq_s32(x, vshrq_n_s32(x, 31)), vnegq_s32(scale.val[1]));
    x = vshrq_n_s32(vaddq_n_s32(x, j->zero), 1);
    vstrbq_s32(out, vminq_s32(vmaxq_s32(x, vdupq_n_s32(-128)), vdupq_n_s32(127)));
}

static inline int32x4_t four(int32_t a, int32_t b, int32_t c, int32_t d) {
    const int32x4_t v = {a, b, c, d};
    return v;
}

/* Of a channel's 16 weights with the bytes of both places in q0 and q1. */
#define OW_VECTOR(a, b) "vldrb.8 q2, [r5], #16\n vmladava.s8 " a ", q0, q2\n vmladava.s8 " b ", q1, q2\n"
/* As `group_done`: scales in q2 and (negative) q3, zero in r5. */
#define OW_BYTES(sums, out) \
    "vqrdmulh.s32 " sums ", " sums ", q2\n vshr.s32 q4, " sums ", #31\n vadd.i32 " sums ", " sums ", q4\n" \
    "vshl.s32 " sums ", " sums ", q3\n vadd.i32 " sums ", " sums ", r5\n vshr.s32 " sums ", " sums ", #1\n" \
    "vqmovnb.s32 " sums ", " sums "\n vqmovnb.s16 " sums ", " sums "\n vstrb.32 " sums ", [" out "], #4\n"

/* 16 bytes at a time of two places and four channels. The sums fill the even registers, which are all that VMLADAVA
 * takes; no compiler finds that by itself. 16 instructions for 128 products. */
OW_ASSEMBLY pair4(OW_IN job *j) {
    __asm__ volatile(
        ".syntax unified\n"
        "push {r4-r11, lr}\n push {r0}\n vpush {d8-d9}\n"
        "1: ldr r9, [sp, #16]\n"
        "ldr r3, [r9, #8]\n ldrd r0, r2, [r3], #8\n ldrd r4, r6, [r3], #8\n str r3, [r9, #8]\n"
        "mov r8, r0\n mov r10, r2\n mov r12, r4\n mov lr, r6\n"
        "ldrd r1, r5, [r9]\n ldr r7, [r9, #36]\n ldr r3, [r9, #56]\n"
        "2: vldrb.8 q0, [r1], #16\n vldrb.8 q1, [r3], #16\n"
        OW_VECTOR("r0", "r8") OW_VECTOR("r2", "r10") OW_VECTOR("r4", "r12") OW_VECTOR("r6", "lr")
        "subs r7, r7, #1\n bne 2b\n"
        "vmov q0[2], q0[0], r0, r4\n vmov q0[3], q0[1], r2, r6\n"
        "vmov q1[2], q1[0], r8, r12\n vmov q1[3], q1[1], r10, lr\n"
        "str r5, [r9, #4]\n ldr r3, [r9, #32]\n cbz r3, 3f\n"
        "vstrw.32 q0, [r3]\n vstrw.32 q1, [r3, #16]\n b 4f\n"
        "3: ldrd r3, r5, [r9, #12]\n vld20.32 {q2, q3}, [r3]\n vld21.32 {q2, q3}, [r3]!\n vneg.s32 q3, q3\n"
        "ldrd r6, r7, [r9, #20]\n" OW_BYTES("q0", "r6") OW_BYTES("q1", "r7")
        "str r3, [r9, #12]\n strd r6, r7, [r9, #20]\n"
        "ldr r0, [r9, #28]\n subs r0, r0, #1\n str r0, [r9, #28]\n bne 1b\n"
        "4: vpop {d8-d9}\n add sp, sp, #4\n pop {r4-r11, pc}\n");
}

static void one4(job *j) {
    const int8_t *w = (const int8_t *)j->w;
    const int32_t *bias = j->bias, *scale = &j->scale->multiplier;
    int8_t *out = j->out;
    for (int32_t groups = j->groups; groups > 0; groups--, bias += 4, scale += 8, out += 4) {
        const int8_t *x = (const int8_t *)j->x;
        int32_t a = bias[0], b = bias[1], c = bias[2], d = bias[3];
        for (int32_t words = j->words; words > 0; words--, x += 16, w += 64) {
            const int8x16_t p = vldrbq_s8(x);
            a = vmladavaq_s8(a, p, vldrbq_s8(w)), b = vmladavaq_s8(b, p, vldrbq_s8(w + 16));
            c = vmladavaq_s8(c, p, vldrbq_s8(w + 32)), d = vmladavaq_s8(d, p, vldrbq_s8(w + 48));
        }
        const int32x4_t sums = four(a, b, c, d);
        if (j->sums) vstrwq_s32(j->sums, sums);
        else group_done(j, sums, vld2q_s32(scale), out);
    }
    j->w = (const uint32_t *)(const void *)w, j->bias = bias;
}

/* Four channels of a depthwise convolution in four lanes. */
static void taps4(job *j) {
    const int8_t *w = (const int8_t *)j->w, *from = (const int8_t *)j->x;
    const int32_t *bias = j->bias, *scale = &j->scale->multiplier;
    const int32_t step = j->step;
    int8_t *out = j->out;
    for (int32_t groups = j->groups; groups > 0; groups--, from += 4, bias += 4, scale += 8, out += 4) {
        const int8_t *x = from;
        int32x4_t sums = vldrwq_s32(bias);
        for (int32_t rows = j->rows; rows > 0; rows--, x += j->line) {
            const int8_t *p = x;
            for (int32_t taps = j->taps; taps > 0; taps--, p += step, w += 4) {
                sums = vaddq_s32(sums, vmulq_s32(vldrbq_s32(p), vldrbq_s32(w)));
            }
        }
        if (j->sums) vstrwq_s32(j->sums, sums);
        else group_done(j, sums, vld2q_s32(scale), out);
    }
    j->x = from, j->w = (const uint32_t *)(const void *)w, j->bias = bias;
}
#elif OW_DSP
/* A sum to a byte as `requantise` and `clamp` do it, multiplier in r12, shift in lr, zero in r1. The last halving is
 * SSAT's shift. */
#define OW_BYTE(sum, out) \
    "lsl " sum ", " sum ", #1\n smmulr " sum ", " sum ", r12\n add " sum ", " sum ", " sum ", asr #31\n" \
    "asr " sum ", " sum ", lr\n add " sum ", " sum ", r1\n ssat " sum ", #8, " sum ", asr #1\n" \
    "strb " sum ", [" out "], #1\n"

/* Of w even (ror 0) or odd (ror 8) bytes times those of both places in r2 and r3, for channels i and i + 1. */
#define OW_PAIR(ror, a, b, c, d) \
    "sxtb16 r12, r12" ror "\n smlad " a ", r2, r12, " a "\n smlad " b ", r3, r12, " b "\n" \
    "sxtb16 lr, lr" ror "\n smlad " c ", r2, lr, " c "\n smlad " d ", r3, lr, " d "\n"

/* Two places at once: 33 instructions for 32 products. r4 ... r7 are the one's sums, r8 ... r11 the other's. */
OW_ASSEMBLY pair4(OW_IN job *j) {
    __asm__ volatile(
        ".syntax unified\n"
        "push {r4-r11, lr}\n"
        "ldr r2, [r0, #36]\n ldr r1, [r0]\n add r2, r1, r2, lsl #4\n"
        "push {r0, r2, r3}\n" /* the job, the end of x, and for alignment */
        "1: ldr r12, [sp]\n"
        "ldr r3, [r12, #8]\n ldm r3!, {r4-r7}\n str r3, [r12, #8]\n"
        "mov r8, r4\n mov r9, r5\n mov r10, r6\n mov r11, r7\n"
        "ldrd r0, r1, [r12]\n"
        "2:\n"
        "ldrd r2, r3, [r0], #8\n ldrd r12, lr, [r1]\n" OW_PAIR("", "r4", "r8", "r5", "r9")
        "ldrd r12, lr, [r1, #8]\n" OW_PAIR("", "r6", "r10", "r7", "r11")
        "ldrd r2, r3, [r0], #8\n ldrd r12, lr, [r1, #8]\n" OW_PAIR(", ror #8", "r6", "r10", "r7", "r11")
        "ldrd r12, lr, [r1], #16\n" OW_PAIR(", ror #8", "r4", "r8", "r5", "r9")
        "ldr r2, [sp, #4]\n cmp r0, r2\n bne 2b\n"
        "ldr r12, [sp]\n str r1, [r12, #4]\n"
        "ldr r3, [r12, #32]\n cbz r3, 3f\n stm r3, {r4-r11}\n b 4f\n"
        "3: ldrd r0, r1, [r12, #12]\n ldrd r2, r3, [r12, #20]\n"
        "ldrd r12, lr, [r0], #8\n" OW_BYTE("r4", "r2") OW_BYTE("r8", "r3")
        "ldrd r12, lr, [r0], #8\n" OW_BYTE("r5", "r2") OW_BYTE("r9", "r3")
        "ldrd r12, lr, [r0], #8\n" OW_BYTE("r6", "r2") OW_BYTE("r10", "r3")
        "ldrd r12, lr, [r0], #8\n" OW_BYTE("r7", "r2") OW_BYTE("r11", "r3")
        "ldr r12, [sp]\n str r0, [r12, #12]\n strd r2, r3, [r12, #20]\n"
        "ldr r0, [r12, #28]\n subs r0, r0, #1\n str r0, [r12, #28]\n bne 1b\n"
        "4: add sp, sp, #12\n pop {r4-r11, pc}\n");
}

/* The end of a group of one place. */
#define OW_GROUP_DONE \
    "ldr r12, [sp]\n str r1, [r12, #4]\n" \
    "ldr r3, [r12, #32]\n cbz r3, 3f\n stm r3, {r4-r7}\n b 4f\n" \
    "3: ldrd r0, r1, [r12, #12]\n ldr r2, [r12, #20]\n" \
    "ldrd r12, lr, [r0], #8\n" OW_BYTE("r4", "r2") "ldrd r12, lr, [r0], #8\n" OW_BYTE("r5", "r2") \
    "ldrd r12, lr, [r0], #8\n" OW_BYTE("r6", "r2") "ldrd r12, lr, [r0], #8\n" OW_BYTE("r7", "r2") \
    "ldr r12, [sp]\n str r0, [r12, #12]\n str r2, [r12, #20]\n" \
    "ldr r0, [r12, #28]\n subs r0, r0, #1\n str r0, [r12, #28]\n bne 1b\n" \
    "4: add sp, sp, #4\n pop {r4-r11, pc}\n"

#define OW_ONE(w, sum) \
    "sxtb16 lr, " w "\n smlad " sum ", r12, lr, " sum "\n sxtb16 " w ", " w ", ror #8\n smlad " sum ", r3, " w ", " sum "\n"

/* One place, its bytes as they are: 22 instructions for 16 products. */
OW_ASSEMBLY one4(OW_IN job *j) {
    __asm__ volatile(
        ".syntax unified\n"
        "push {r4-r11, lr}\n push {r0}\n"
        "1: ldr r12, [sp]\n"
        "ldr r3, [r12, #8]\n ldm r3!, {r4-r7}\n str r3, [r12, #8]\n"
        "ldrd r0, r1, [r12]\n ldr r2, [r12, #36]\n"
        "2: ldr r3, [r0], #4\n ldm r1!, {r8-r11}\n sxtb16 r12, r3\n sxtb16 r3, r3, ror #8\n"
        OW_ONE("r8", "r4") OW_ONE("r9", "r5") OW_ONE("r10", "r6") OW_ONE("r11", "r7")
        "subs r2, r2, #1\n bne 2b\n"
        OW_GROUP_DONE);
}

/* One place of a depthwise convolution: 13 instructions for 4 products. */
OW_ASSEMBLY taps4(OW_IN job *j) {
    __asm__ volatile(
        ".syntax unified\n"
        "push {r4-r11, lr}\n push {r0}\n"
        "1: ldr r12, [sp]\n"
        "ldr r3, [r12, #8]\n ldm r3!, {r4-r7}\n str r3, [r12, #8]\n"
        "ldrd r0, r1, [r12]\n add r2, r0, #4\n str r2, [r12]\n"
        "ldr r8, [r12, #40]\n ldr r11, [r12, #52]\n"
        "5: ldr r12, [sp]\n ldrd r9, r10, [r12, #44]\n add r10, r10, r0\n"
        "2: ldr r2, [r0]\n ldr r3, [r1], #4\n add r0, r0, r11\n"
        "sxtb16 r12, r2\n sxtb16 lr, r3\n sxtb16 r2, r2, ror #8\n sxtb16 r3, r3, ror #8\n"
        "smlabb r4, r12, lr, r4\n smlatt r6, r12, lr, r6\n smlabb r5, r2, r3, r5\n smlatt r7, r2, r3, r7\n"
        "subs r9, r9, #1\n bne 2b\n"
        "mov r0, r10\n subs r8, r8, #1\n bne 5b\n"
        OW_GROUP_DONE);
}

/* Bytes to the two int16 pairs that SMLAD wants, with room for the other place's between. */
OW_ASSEMBLY widen(OW_IN const int8_t *x, OW_IN int32_t *to, OW_IN int32_t words) {
    __asm__ volatile(
        ".syntax unified\n"
        "1: ldr r3, [r0], #4\n sxtb16 r12, r3\n sxtb16 r3, r3, ror #8\n"
        "str r12, [r1], #8\n str r3, [r1], #8\n subs r2, r2, #1\n bne 1b\n"
        "bx lr\n");
}
#else

/* The same in C. */

static inline int32_t byte(uint32_t w, int32_t k) {
    return (int8_t)(w >> (8 * k));
}

/* The bytes of a group where nothing is special, or its sums. */
static void group_done(job *j, int32_t a, int32_t b, int32_t c, int32_t d) {
    const int32_t sums[4] = {a, b, c, d};
    if (j->sums) {
        for (int32_t i = 0; i < 4; i++) j->sums[i] = sums[i];
        return;
    }
    for (int32_t i = 0; i < 4; i++, j->scale++) {
        const int32_t x = (int32_t)(((int64_t)(sums[i] * 2) * j->scale->multiplier + (INT64_C(1) << 31)) >> 32);
        *j->out++ = clamp((((x + (x >> 31)) >> j->scale->right) + j->zero) >> 1, -128, 127);
    }
}

static void one4(job *j) {
    do {
        const int8_t *x = j->x;
        const uint32_t *w = j->w;
        int32_t a = j->bias[0], b = j->bias[1], c = j->bias[2], d = j->bias[3];
        for (int32_t words = j->words; words; words--, x += 4, w += 4) {
            for (int32_t k = 0; k < 4; k++) {
                a += x[k] * byte(w[0], k), b += x[k] * byte(w[1], k);
                c += x[k] * byte(w[2], k), d += x[k] * byte(w[3], k);
            }
        }
        j->w = w, j->bias += 4;
        group_done(j, a, b, c, d);
    } while (--j->groups > 0);
}

static void taps4(job *j) {
    do {
        const int8_t *x = j->x;
        const uint32_t *w = j->w;
        int32_t a = j->bias[0], b = j->bias[1], c = j->bias[2], d = j->bias[3];
        for (int32_t rows = j->rows; rows; rows--, x += j->line) {
            const int8_t *p = x;
            for (int32_t taps = j->taps; taps; taps--, p += j->step, w++) {
                a += p[0] * byte(*w, 0), b += p[1] * byte(*w, 1), c += p[2] * byte(*w, 2), d += p[3] * byte(*w, 3);
            }
        }
        j->x = (const int8_t *)j->x + 4, j->w = w, j->bias += 4;
        group_done(j, a, b, c, d);
    } while (--j->groups > 0);
}
#endif

/* All channels: whole groups straight to bytes where nothing is special, others by way of their sums. */
static inline void run_groups(const ow_conv *op, job *j, void (*run)(job *), int8_t *out, int8_t *other) {
    const int32_t plain = op->plain ? op->out_c / 4 : 0;
    int32_t sums[8];
    j->w = op->packed, j->bias = op->bias, j->scale = op->scale, j->zero = 2 * op->out_zero + 1;
    j->out = out, j->other = other, j->groups = plain, j->sums = NULL;
    if (plain) run(j);
    j->sums = sums;
    for (int32_t c = 4 * plain; c < op->out_c; c += 4) {
        const int32_t many = op->out_c - c < 4 ? op->out_c - c : 4;
        j->groups = 1;
        run(j);
        finish(op, sums, c, many, out + c);
        if (other) finish(op, sums + 4, c, many, other + c);
    }
}

/* --- convolution --- */

/* The taps of one place one after the other, with in_zero for what lies outside. */
static void gather(const ow_conv *op, const int8_t *in, int32_t y0, int32_t x0, int8_t *to) {
    const int32_t n = op->in_c, wide = op->k_w * n;
    const int whole = op->dil_w == 1 && x0 >= 0 && x0 + op->k_w <= op->in_w;
    for (int32_t ky = 0; ky < op->k_h; ky++, to += wide) {
        const int32_t y = y0 + ky * op->dil_h;
        const int8_t *row = in + y * op->in_w * n;
        if (y < 0 || y >= op->in_h) {
            memset(to, op->in_zero, (uint32_t)wide);
        } else if (whole) {
            memcpy(to, row + x0 * n, (uint32_t)wide);
        } else {
            for (int32_t kx = 0, x = x0; kx < op->k_w; kx++, x += op->dil_w) {
                if (x >= 0 && x < op->in_w) memcpy(to + kx * n, row + x * n, (uint32_t)n);
                else memset(to + kx * n, op->in_zero, (uint32_t)n);
            }
        }
    }
}

typedef struct {
    int32_t y, x;
} place;

/* The taps of a place in one piece, where they are or gathered in `room`; moves on to the next place. */
static const int8_t *taps(const ow_conv *op, const int8_t *in, place *at, int8_t *room) {
    const int32_t y = at->y * op->stride_h - op->pad_h, x = at->x * op->stride_w - op->pad_w;
    if (++at->x == op->out_w) at->x = 0, at->y++;
    if (op->k_h == 1 && op->dil_w == 1 && y >= 0 && y < op->in_h && x >= 0 && x + op->k_w <= op->in_w) {
        return in + (y * op->in_w + x) * op->in_c;
    }
    gather(op, in, y, x, room);
    return room;
}

void ow_conv2d(const ow_conv *op, const int8_t *in, int8_t *out, int8_t *scratch) {
    const int32_t bytes = op->k_h * op->k_w * op->in_c, channels = op->out_c;
    int32_t left = op->out_h * op->out_w;
    place at = {0, 0};
    job j = {0};
#if OW_HELIUM
    const int32_t room = (bytes + 15) / 16 * 16;
    j.words = (bytes + 15) / 16;
    for (; left > 1; left -= 2, out += 2 * channels) {
        j.x = taps(op, in, &at, scratch);
        j.y = taps(op, in, &at, scratch + room);
        run_groups(op, &j, pair4, out, out + channels);
    }
#else
    j.words = (bytes + 3) / 4;
#endif
#if OW_DSP
    for (int32_t *wide = (int32_t *)(void *)scratch; left > 1; left -= 2, out += 2 * channels) {
        int8_t *room = scratch + 16 * j.words;
        widen(taps(op, in, &at, room), wide, j.words);
        widen(taps(op, in, &at, room), wide + 1, j.words);
        j.x = wide;
        run_groups(op, &j, pair4, out, out + channels);
    }
#endif
    for (; left > 0; left--, out += channels) {
        j.x = taps(op, in, &at, scratch);
        run_groups(op, &j, one4, out, NULL);
    }
}

void ow_depthwise(const ow_conv *op, const int8_t *in, int8_t *out, int8_t *scratch) {
    const int32_t n = op->out_c;
    const int32_t depth = op->dil_h * (op->k_h - 1), reach = op->dil_w * (op->k_w - 1);
    job j = {0};
    j.rows = op->k_h, j.taps = op->k_w;
    for (int32_t oy = 0; oy < op->out_h; oy++) {
        for (int32_t ox = 0; ox < op->out_w; ox++, out += n) {
            const int32_t y = oy * op->stride_h - op->pad_h, x = ox * op->stride_w - op->pad_w;
            if (y >= 0 && y + depth < op->in_h && x >= 0 && x + reach < op->in_w) {
                j.x = in + (y * op->in_w + x) * n;
                j.step = op->dil_w * n, j.line = op->dil_h * op->in_w * n;
            } else {
                gather(op, in, y, x, scratch);
                j.x = scratch;
                j.step = n, j.line = op->k_w * n;
            }
            run_groups(op, &j, taps4, out, NULL);
        }
    }
}

/* As `each` depthwise convolutions of the same input, whose outputs take turns. */
void ow_depthwise_each(const ow_conv *op, const int8_t *in, int8_t *out, int8_t *scratch) {
    const int32_t n = op->in_c, each = op->out_c / n, groups = (n + 3) / 4;
    const int32_t depth = op->dil_h * (op->k_h - 1), reach = op->dil_w * (op->k_w - 1);
    ow_conv one = *op;
    job j = {0};
    one.out_c = n, j.rows = op->k_h, j.taps = op->k_w;
    for (int32_t oy = 0; oy < op->out_h; oy++) {
        for (int32_t ox = 0; ox < op->out_w; ox++, out += op->out_c) {
            const int32_t y = oy * op->stride_h - op->pad_h, x = ox * op->stride_w - op->pad_w;
            const int8_t *from = scratch + n;
            if (y >= 0 && y + depth < op->in_h && x >= 0 && x + reach < op->in_w) {
                from = in + (y * op->in_w + x) * n;
                j.step = op->dil_w * n, j.line = op->dil_h * op->in_w * n;
            } else {
                gather(op, in, y, x, scratch + n);
                j.step = n, j.line = op->k_w * n;
            }
            one.packed = op->packed, one.bias = op->bias, one.scale = op->scale;
            for (int32_t k = 0; k < each; k++) {
                j.x = from;
                run_groups(&one, &j, taps4, scratch, NULL);
                for (int32_t c = 0, at = k; c < n; c++, at += each) out[at] = scratch[c];
                one.packed += groups * op->k_h * op->k_w, one.bias += 4 * groups, one.scale += 4 * groups;
            }
        }
    }
}

/* --- the rest --- */

/* Sums of up to four channels over `rows` rows of `wide` places. */
static void sum4(const int8_t *in, int32_t rows, int32_t wide, int32_t line, int32_t n, int32_t many, int32_t *sums) {
    int32_t a = 0, b = 0, c = 0, d = 0;
    for (; rows; rows--, in += line) {
        const int8_t *p = in;
        if (many == 4) {
            for (int32_t x = wide; x; x--, p += n) a += p[0], b += p[1], c += p[2], d += p[3];
        } else {
            for (int32_t x = wide; x; x--, p += n) a += p[0], b += many > 1 ? p[1] : 0, c += many > 2 ? p[2] : 0;
        }
    }
    sums[0] = a, sums[1] = b, sums[2] = c, sums[3] = d;
}

void ow_average_pool(const ow_pool *op, const int8_t *in, int8_t *out) {
    const int32_t n = op->c, line = op->in_w * n;
    for (int32_t oy = 0; oy < op->out_h; oy++) {
        for (int32_t ox = 0; ox < op->out_w; ox++) {
            int32_t y0 = oy * op->stride_h - op->pad_h, x0 = ox * op->stride_w - op->pad_w;
            const int32_t y1 = y0 + op->k_h < op->in_h ? y0 + op->k_h : op->in_h;
            const int32_t x1 = x0 + op->k_w < op->in_w ? x0 + op->k_w : op->in_w;
            y0 = y0 < 0 ? 0 : y0, x0 = x0 < 0 ? 0 : x0;
            const int32_t count = (y1 - y0) * (x1 - x0);
            for (int32_t c = 0; c < n; c += 4) {
                const int32_t many = n - c < 4 ? n - c : 4;
                int32_t sums[4];
                sum4(in + y0 * line + x0 * n + c, y1 - y0, x1 - x0, line, n, many, sums);
                for (int32_t i = 0; i < many; i++) {
                    /* The mean of what is inside, ties away from zero. */
                    const int32_t half = sums[i] > 0 ? count / 2 : -(count / 2);
                    *out++ = clamp((sums[i] + half) / count, op->low, op->high);
                }
            }
        }
    }
}

void ow_mean(const ow_mean_t *op, const int8_t *in, int8_t *out) {
    for (int32_t c = 0; c < op->c; c += 4) {
        const int32_t many = op->c - c < 4 ? op->c - c : 4;
        int32_t sums[4];
        sum4(in + c, 1, op->places, 0, op->c, many, sums);
        for (int32_t i = 0; i < many; i++) {
            const int32_t sum = sums[i] - op->in_zero * op->places;
            *out++ = clamp(requantise(sum, op->multiplier, op->shift) + op->out_zero, -128, 127);
        }
    }
}

void ow_max_pool(const ow_pool *op, const int8_t *in, int8_t *out) {
    const int32_t n = op->c, line = op->in_w * n;
    for (int32_t oy = 0; oy < op->out_h; oy++) {
        for (int32_t ox = 0; ox < op->out_w; ox++, out += n) {
            const int32_t y0 = oy * op->stride_h - op->pad_h, x0 = ox * op->stride_w - op->pad_w;
            memset(out, -128, (uint32_t)n);
            for (int32_t y = y0 < 0 ? 0 : y0; y < y0 + op->k_h && y < op->in_h; y++) {
                for (int32_t x = x0 < 0 ? 0 : x0; x < x0 + op->k_w && x < op->in_w; x++) {
                    const int8_t *p = in + y * line + x * n;
                    for (int32_t c = 0; c < n; c++) out[c] = p[c] > out[c] ? p[c] : out[c];
                }
            }
            for (int32_t c = 0; c < n; c++) out[c] = clamp(out[c], op->low, op->high);
        }
    }
}

void ow_add(const ow_add_t *op, const int8_t *a, const int8_t *b, int8_t *out) {
    for (int32_t i = 0, k = 0; i < op->n; i++) {
        const int32_t x = (a[i] - op->zero_a) * (1 << 20), y = (b[k] - op->zero_b) * (1 << 20);
        const int32_t sum = requantise(x, op->mul_a, op->shift_a) + requantise(y, op->mul_b, op->shift_b);
        out[i] = clamp(requantise(sum, op->mul_out, op->shift_out) + op->zero_out, op->low, op->high);
        k = k + 1 < op->period ? k + 1 : 0;
    }
}

void ow_mul(const ow_mul_t *op, const int8_t *a, const int8_t *b, int8_t *out) {
    for (int32_t i = 0, k = 0; i < op->n; i++) {
        const int32_t product = (a[i] - op->zero_a) * (b[k] - op->zero_b);
        out[i] = clamp(requantise(product, op->multiplier, op->shift) + op->zero_out, op->low, op->high);
        k = k + 1 < op->period ? k + 1 : 0;
    }
}

void ow_minimum(const int8_t *a, const int8_t *b, int8_t *out, int32_t n, int32_t period) {
    for (int32_t i = 0, k = 0; i < n; i++) {
        out[i] = a[i] < b[k] ? a[i] : b[k];
        k = k + 1 < period ? k + 1 : 0;
    }
}

void ow_maximum(const int8_t *a, const int8_t *b, int8_t *out, int32_t n, int32_t period) {
    for (int32_t i = 0, k = 0; i < n; i++) {
        out[i] = a[i] > b[k] ? a[i] : b[k];
        k = k + 1 < period ? k + 1 : 0;
    }
}

void ow_lookup(const int8_t *table, const int8_t *in, int8_t *out, int32_t n) {
    for (int32_t i = 0; i < n; i++) out[i] = table[in[i] + 128];
}

void ow_fill(int8_t *out, int32_t value, int32_t n) {
    memset(out, value, (uint32_t)n);
}

void ow_copy(const int8_t *in, int8_t *out, int32_t rows, int32_t n, int32_t from, int32_t to) {
    for (int32_t i = 0; i < rows; i++) memcpy(out + i * to, in + i * from, (uint32_t)n);
}

void ow_pick(const ow_pick_t *op, const int8_t *in, int8_t *out) {
    int32_t at[OW_AXES] = {0}, from = 0;
    for (int32_t i = 0; i < op->n; i++) {
        out[i] = in[from];
        for (int32_t k = OW_AXES - 1; k >= 0; k--) {
            from += op->step[k];
            if (++at[k] < op->size[k]) break;
            from -= op->step[k] * op->size[k];
            at[k] = 0;
        }
    }
}

static int32_t saturating_left(int32_t x, int32_t n) {
    const int32_t high = INT32_MAX >> n, low = INT32_MIN >> n;
    return x > high ? INT32_MAX : x < low ? INT32_MIN : (int32_t)((uint32_t)x << n);
}

/* e^x for x <= 0 with 5 integer bits, result with none: an odd polynomial on [-1/4, 0), then one factor per bit. */
static int32_t exp_negative(int32_t x) {
    static const int32_t factor[7] = {1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};
    const int32_t quarter = 1 << 24;
    if (x == 0) return INT32_MAX;
    const int32_t part = (x & (quarter - 1)) - quarter;
    const int32_t y = saturating_left(part, 5) + (1 << 28); /* + 1/8 */
    const int32_t y2 = high_mul(y, y), y3 = high_mul(y2, y), y4 = high_mul(y2, y2);
    const int32_t inner = rounding_shift(high_mul(rounding_shift(y4, 2) + y3, 715827883) + y2, 1);
    int32_t result = 1895147668 + high_mul(1895147668, y + inner);
    const int32_t rest = part - x;
    for (int32_t i = 0; i < 7; i++) {
        if (rest & (1 << (24 + i))) result = high_mul(result, factor[i]);
    }
    return result;
}

/* 1 / (1 + x) for x in [0, 1), no integer bits: three steps of Newton. */
static int32_t one_over_one_plus(int32_t x) {
    const int32_t half = (int32_t)(((int64_t)x + INT32_MAX + 1) / 2);
    int32_t y = 1515870810 + high_mul(half, -1010580540);
    for (int32_t i = 0; i < 3; i++) {
        const int32_t error = (1 << 29) - high_mul(half, y);
        y += saturating_left(high_mul(y, error), 2);
    }
    return saturating_left(y, 1);
}

void ow_softmax(const ow_softmax_t *op, const int8_t *in, int8_t *out) {
    for (int32_t row = 0; row < op->rows; row++, in += op->n, out += op->n) {
        int32_t most = -128;
        for (int32_t i = 0; i < op->n; i++) most = in[i] > most ? in[i] : most;
        int32_t sum = 0;
        for (int32_t i = 0; i < op->n; i++) {
            const int32_t diff = in[i] - most;
            if (diff < op->diff_min) continue;
            const int32_t scaled = high_mul((int32_t)((uint32_t)diff << op->left_shift), op->multiplier);
            sum += rounding_shift(exp_negative(scaled), 12);
        }
        int32_t headroom = 0;
        while (headroom < 31 && !(((uint32_t)sum << headroom) & UINT32_C(0x80000000))) headroom++;
        const int32_t scale = one_over_one_plus((int32_t)(((uint32_t)sum << headroom) - UINT32_C(0x80000000)));
        for (int32_t i = 0; i < op->n; i++) {
            const int32_t diff = in[i] - most;
            int32_t value = -128;
            if (diff >= op->diff_min) {
                const int32_t scaled = high_mul((int32_t)((uint32_t)diff << op->left_shift), op->multiplier);
                value += rounding_shift(high_mul(scale, exp_negative(scaled)), 12 - headroom + 31 - 8);
            }
            out[i] = clamp(value, -128, 127);
        }
    }
}
