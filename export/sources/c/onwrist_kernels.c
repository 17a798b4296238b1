#include "onwrist_kernels.h"

#include <string.h>

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FEATURE_SIMD32)
#include <arm_acle.h>
#define OW_DSP 1
#else
#define OW_DSP 0
#endif

/* Before loops whose values just fit into the registers: unrolled, they would spill. */
#if defined(__clang__)
#define OW_ROLLED _Pragma("clang loop unroll(disable)")
#elif defined(__GNUC__)
#define OW_ROLLED _Pragma("GCC unroll 1")
#else
#define OW_ROLLED
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

/* What turns sums into bytes, in locals: a store to int8_t might alias anything behind a pointer. */
typedef struct {
    const int32_t *multiplier;
    const int8_t *shift;
    int32_t zero, low, high, plain;
} finish;

static inline int8_t clamp(int32_t x, int32_t low, int32_t high) {
    return (int8_t)(x < low ? low : x > high ? high : x);
}

static inline int8_t finished(const finish f, int32_t acc, int32_t channel) {
    return clamp(requantise(acc, f.multiplier[channel], f.shift[channel]) + f.zero, f.low, f.high);
}

#define FINISH(op) {(op)->multiplier, (op)->shift, (op)->out_zero, (op)->low, (op)->high, (op)->plain}

/* The same where nothing is special: no branch, and the clamp is one SSAT. */
static inline int8_t plainly(int32_t acc, int32_t multiplier, int32_t right, int32_t zero) {
    const int32_t x = (int32_t)(((int64_t)(acc * 2) * multiplier + (INT64_C(1) << 31)) >> 32);
    return clamp(((x + (x >> 31) + (1 << (right - 1))) >> right) + zero, -128, 127);
}

/* Up to four channels from `channel` on. */
static inline void finish4(const finish f, const int32_t acc[4], int32_t channel, int32_t many, int8_t *out) {
    const int32_t *m = f.multiplier + channel;
    const int8_t *s = f.shift + channel;
    if (f.plain && many >= 4) {
        out[0] = plainly(acc[0], m[0], -s[0], f.zero), out[1] = plainly(acc[1], m[1], -s[1], f.zero);
        out[2] = plainly(acc[2], m[2], -s[2], f.zero), out[3] = plainly(acc[3], m[3], -s[3], f.zero);
        return;
    }
    OW_ROLLED for (int32_t i = 0; i < 4 && i < many; i++) out[i] = finished(f, acc[i], channel + i);
}

/* --- dot products: one row of input with four rows of packed weights --- */

#if OW_DSP
static inline uint32_t word(const int8_t *p) {
    uint32_t w;
    memcpy(&w, p, 4);
    return w;
}

/* Bytes 0 and 2, then 1 and 3, as two int16 each: SXTB16 with its free rotation. */
#define EVEN(w) __sxtb16((int8x4_t)(w))
#define ODD(w) __sxtb16((int8x4_t)__ror((w), 8))
#endif

/* acc[i] += x . row i, `words` times four bytes. A function of its own: inlined, its sums would spill. */
__attribute__((noinline)) static void dot4(const int8_t *x, const uint32_t *w, int32_t words, int32_t *acc) {
    int32_t a = acc[0], b = acc[1], c = acc[2], d = acc[3];
    OW_ROLLED for (; words; words--, x += 4, w += 4) {
#if OW_DSP
        const uint32_t xs = word(x);
        const int16x2_t even = EVEN(xs), odd = ODD(xs);
        a = __smlad(even, EVEN(w[0]), a), a = __smlad(odd, ODD(w[0]), a);
        b = __smlad(even, EVEN(w[1]), b), b = __smlad(odd, ODD(w[1]), b);
        c = __smlad(even, EVEN(w[2]), c), c = __smlad(odd, ODD(w[2]), c);
        d = __smlad(even, EVEN(w[3]), d), d = __smlad(odd, ODD(w[3]), d);
#else
        for (int32_t k = 0; k < 4; k++) {
            a += x[k] * (int8_t)(w[0] >> (8 * k)), b += x[k] * (int8_t)(w[1] >> (8 * k));
            c += x[k] * (int8_t)(w[2] >> (8 * k)), d += x[k] * (int8_t)(w[3] >> (8 * k));
        }
#endif
    }
    acc[0] = a, acc[1] = b, acc[2] = c, acc[3] = d;
}

/* --- convolution --- */

/* The taps of one place in one piece, with in_zero for what lies outside: rows of `line` bytes each. */
static void gather(const ow_conv *op, const int8_t *in, int32_t y0, int32_t x0, int32_t line, int8_t *to) {
    const int32_t n = op->in_c;
    for (int32_t ky = 0; ky < op->k_h; ky++, to += line) {
        const int32_t y = y0 + ky * op->dil_h;
        for (int32_t kx = 0; kx < op->k_w; kx++) {
            const int32_t x = x0 + kx * op->dil_w;
            const int inside = y >= 0 && y < op->in_h && x >= 0 && x < op->in_w;
            if (inside) memcpy(to + kx * n, in + (y * op->in_w + x) * n, (uint32_t)n);
            if (!inside) memset(to + kx * n, op->in_zero, (uint32_t)n);
        }
    }
}

/* One place, four channels at a time; `line` is from one row of taps to the next. */
static void conv_place(const ow_conv *op, const int8_t *x, int32_t line, int32_t words, int8_t *out) {
    const int32_t rows = op->k_h, channels = op->out_c;
    const uint32_t *w = op->packed;
    const int32_t *bias = op->bias;
    const finish f = FINISH(op);
    for (int32_t oc = 0; oc < channels; oc += 4, bias += 4) {
        int32_t acc[4] = {bias[0], bias[1], bias[2], bias[3]};
        OW_ROLLED for (int32_t ky = 0; ky < rows; ky++, w += 4 * words) dot4(x + ky * line, w, words, acc);
        finish4(f, acc, oc, channels - oc, out + oc);
    }
}

void ow_conv2d(const ow_conv *op, const int8_t *in, int8_t *out, int8_t *scratch) {
    const int32_t reach = op->dil_w * (op->k_w - 1), depth = op->dil_h * (op->k_h - 1);
    const int32_t words = (op->k_w * op->in_c + 3) / 4, line = op->dil_h * op->in_w * op->in_c;
    for (int32_t oy = 0; oy < op->out_h; oy++) {
        const int32_t y = oy * op->stride_h - op->pad_h;
        const int rows_inside = y >= 0 && y + depth < op->in_h;
        for (int32_t ox = 0; ox < op->out_w; ox++, out += op->out_c) {
            const int32_t x = ox * op->stride_w - op->pad_w;
            /* A row of taps is one run of bytes only inside the input and without dilation. */
            if (rows_inside && op->dil_w == 1 && x >= 0 && x + reach < op->in_w) {
                conv_place(op, in + (y * op->in_w + x) * op->in_c, line, words, out);
            } else {
                gather(op, in, y, x, 4 * words, scratch);
                conv_place(op, scratch, 4 * words, words, out);
            }
        }
    }
}

/* How depthwise taps lie in memory: `step` bytes from tap to tap, `line` from row to row, weights `n` apart. */
typedef struct {
    int32_t k_h, k_w, n, step, line;
} walk;

/* Four channels from one place on, all taps, sums in registers. */
__attribute__((noinline)) static void taps4(const int8_t *x, const int8_t *w, const walk *over, int32_t *acc) {
    const int32_t n = over->n, step = over->step, k_w = over->k_w;
    int32_t a = acc[0], b = acc[1], c = acc[2], d = acc[3];
    for (int32_t rows = over->k_h; rows; rows--, x += over->line) {
        const int8_t *p = x;
        OW_ROLLED for (int32_t k = k_w; k; k--, w += n, p += step) {
#if OW_DSP
            const uint32_t xs = word(p), ws = word(w);
            const int16x2_t x02 = EVEN(xs), x13 = ODD(xs), w02 = EVEN(ws), w13 = ODD(ws);
            a = __smlabb(x02, w02, a), c = __smlatt(x02, w02, c);
            b = __smlabb(x13, w13, b), d = __smlatt(x13, w13, d);
#else
            a += p[0] * w[0], b += p[1] * w[1], c += p[2] * w[2], d += p[3] * w[3];
#endif
        }
    }
    acc[0] = a, acc[1] = b, acc[2] = c, acc[3] = d;
}

/* `many` (up to four) channels from `c` on, anywhere, padding included. */
static void taps_at(const ow_conv *op, const int8_t *in, int32_t y0, int32_t x0, int32_t c, int32_t many, int32_t *acc) {
    const int32_t n = op->out_c, single = op->in_c == 1; /* one channel in: the depth multiplier makes the rest */
    const int8_t *w = op->weights + c;
    for (int32_t ky = 0; ky < op->k_h; ky++) {
        const int32_t y = y0 + ky * op->dil_h;
        for (int32_t kx = 0; kx < op->k_w; kx++, w += n) {
            const int32_t x = x0 + kx * op->dil_w;
            const int inside = y >= 0 && y < op->in_h && x >= 0 && x < op->in_w;
            const int8_t *p = in + (y * op->in_w + x) * op->in_c + (single ? 0 : c);
            OW_ROLLED for (int32_t i = 0; i < many; i++) acc[i] += (inside ? p[single ? 0 : i] : op->in_zero) * w[i];
        }
    }
}

void ow_depthwise(const ow_conv *op, const int8_t *in, int8_t *out, int8_t *scratch) {
    const int32_t n = op->out_c, out_h = op->out_h, out_w = op->out_w, each = op->in_c == n;
    const int32_t depth = op->dil_h * (op->k_h - 1), reach = op->dil_w * (op->k_w - 1);
    const walk there = {op->k_h, op->k_w, n, op->dil_w * n, op->dil_h * op->in_w * n};
    const walk here = {op->k_h, op->k_w, n, n, op->k_w * n};
    const int8_t *weights = op->weights;
    const int32_t *bias = op->bias;
    const finish f = FINISH(op);
    for (int32_t oy = 0; oy < out_h; oy++) {
        for (int32_t ox = 0; ox < out_w; ox++, out += n) {
            const int32_t y = oy * op->stride_h - op->pad_h, x = ox * op->stride_w - op->pad_w;
            const int inside = y >= 0 && y + depth < op->in_h && x >= 0 && x + reach < op->in_w;
            const int8_t *from = inside ? in + (y * op->in_w + x) * n : scratch;
            if (each && !inside) gather(op, in, y, x, op->k_w * n, scratch);
            for (int32_t c = 0; c < n; c += 4) {
                int32_t acc[4] = {bias[c], bias[c + 1], bias[c + 2], bias[c + 3]};
                if (each && n - c >= 4) taps4(from + c, weights + c, inside ? &there : &here, acc);
                else taps_at(op, in, y, x, c, n - c < 4 ? n - c : 4, acc);
                finish4(f, acc, c, n - c, out + c);
            }
        }
    }
}

void ow_fully_connected(const ow_dense *op, const int8_t *in, int8_t *out) {
    const int32_t words = (op->in + 3) / 4, rows = op->out;
    const uint32_t *w = op->packed;
    const int32_t *bias = op->bias;
    const finish f = FINISH(op);
    for (int32_t o = 0; o < rows; o += 4, bias += 4, w += 4 * words) {
        int32_t acc[4] = {bias[0], bias[1], bias[2], bias[3]};
        dot4(in, w, words, acc);
        finish4(f, acc, o, rows - o, out + o);
    }
}

/* --- the rest --- */

void ow_average_pool(const ow_pool *op, const int8_t *in, int8_t *out) {
    for (int32_t oy = 0; oy < op->out_h; oy++) {
        for (int32_t ox = 0; ox < op->out_w; ox++) {
            const int32_t y0 = oy * op->stride_h - op->pad_h, x0 = ox * op->stride_w - op->pad_w;
            for (int32_t c = 0; c < op->c; c++) {
                int32_t sum = 0, count = 0;
                for (int32_t y = y0 < 0 ? 0 : y0; y < y0 + op->k_h && y < op->in_h; y++) {
                    for (int32_t x = x0 < 0 ? 0 : x0; x < x0 + op->k_w && x < op->in_w; x++, count++) {
                        sum += in[(y * op->in_w + x) * op->c + c];
                    }
                }
                /* The mean of what is inside, ties away from zero. */
                const int32_t mean = sum > 0 ? (sum + count / 2) / count : (sum - count / 2) / count;
                *out++ = clamp(mean, op->low, op->high);
            }
        }
    }
}

void ow_mean(const ow_mean_t *op, const int8_t *in, int8_t *out) {
    for (int32_t c = 0; c < op->c; c++) {
        int32_t sum = -op->in_zero * op->places;
        for (int32_t i = 0; i < op->places; i++) sum += in[i * op->c + c];
        out[c] = clamp(requantise(sum, op->multiplier, op->shift) + op->out_zero, -128, 127);
    }
}

void ow_add(const ow_add_t *op, const int8_t *a, const int8_t *b, int8_t *out) {
    for (int32_t i = 0; i < op->n; i++) {
        const int32_t x = (a[i] - op->zero_a) * (1 << 20), y = (b[i] - op->zero_b) * (1 << 20);
        const int32_t sum = requantise(x, op->mul_a, op->shift_a) + requantise(y, op->mul_b, op->shift_b);
        out[i] = clamp(requantise(sum, op->mul_out, op->shift_out) + op->zero_out, op->low, op->high);
    }
}

void ow_copy(const int8_t *in, int8_t *out, int32_t rows, int32_t n, int32_t from, int32_t to) {
    for (int32_t i = 0; i < rows; i++) memcpy(out + i * to, in + i * from, (uint32_t)n);
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
