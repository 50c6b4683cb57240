/* Local 2D attention with relative rows and columns: forward and backward.

   One (image, head) at a time: k and v are padded once with zeros, then each row of queries is
   done in tiles of LANES neighbouring pixels, one pixel a lane. Scores of a tile live in
   registers and on the stack; neither windows nor the map are ever stored. The backward pass
   computes the map again from the log-sum-exp.

   Places of the window beyond the edge score HIDDEN, which is -inf: no number is lower, and a
   query always sees itself. This file includes itself once per type. */

#ifndef DOUBLE

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#define LARGEST 31 /* window */
#define HIDDEN -__builtin_inf()

#define DOUBLE 0
#include "vectors.h"
#include __FILE__
#undef DOUBLE
#define DOUBLE 1
#include "vectors.h"
#include __FILE__

#else

/* Shapes of one call; `wide` is the length of a padded row. */
typedef struct {
    int64_t heads, d, e, h, w;
    int window, reach, half;
    int64_t tiles, wide, high;
} NAMED(shape);
#define shape NAMED(shape)

static shape NAMED(shape_of)(int64_t heads, int64_t d, int64_t e, int64_t h, int64_t w, int window) {
    shape s = {heads, d, e, h, w, window, window / 2, (int)(d / 2), (w + LANES - 1) / LANES, 0, 0};
    s.wide = s.tiles * LANES + 2 * s.reach;
    s.wide = (s.wide + LANES - 1) / LANES * LANES + LANES;
    s.high = h + 2 * s.reach;
    return s;
}

/* So many zeros, where a vector may begin; 0 where memory is short. A whole number of vectors is
   asked for, as C wants it. */
static REAL *NAMED(zeros)(int64_t numbers) {
    const size_t bytes = (sizeof(REAL) * numbers / 64 + 1) * 64;
    REAL *memory = aligned_alloc(64, bytes);
    if (memory) memset(memory, 0, bytes);
    return memory;
}

/* A map with zeros around it. */
static void NAMED(pad)(REAL *to, const REAL *from, int64_t channels, shape s) {
    memset(to, 0, sizeof(REAL) * channels * s.high * s.wide);
    for (int64_t c = 0; c < channels; c++)
        for (int64_t y = 0; y < s.h; y++)
            memcpy(to + (c * s.high + y + s.reach) * s.wide + s.reach,
                   from + (c * s.h + y) * s.w, sizeof(REAL) * s.w);
}

/* Row y of a map, every channel on its own line, zeros before and after. */
static void NAMED(row_of)(REAL *to, const REAL *from, int64_t channels, int64_t y, shape s) {
    for (int64_t c = 0; c < channels; c++)
        memcpy(to + c * s.wide + s.reach, from + (c * s.h + y) * s.w, sizeof(REAL) * s.w);
}

/* products[dy dx] = sum over c of a[c] b[c, there], for a tile of queries at x0 in row y. */
static inline __attribute__((always_inline)) void NAMED(products)(
    vec *sums, const REAL *a, const REAL *b, int64_t channels, int64_t y, int64_t x0, shape s,
    const int window) {
    for (int dy = 0; dy < window; dy++) {
        int64_t there = y + dy - s.reach;
        if (there < 0 || there >= s.h) continue;
        vec sum[LARGEST];
        for (int dx = 0; dx < window; dx++) sum[dx] = sums[dy * window + dx];
        for (int64_t c = 0; c < channels; c++) {
            vec one = load(a + c * s.wide + s.reach + x0);
            const REAL *line = b + (c * s.high + y + dy) * s.wide + x0;
#pragma GCC unroll 32
            for (int dx = 0; dx < window; dx++) sum[dx] += one * load(line + dx);
        }
        for (int dx = 0; dx < window; dx++) sums[dy * window + dx] = sum[dx];
    }
}

/* The scores of a tile of queries, q · (k + r), HIDDEN beyond the edges. */
static inline __attribute__((always_inline)) void NAMED(scores)(
    vec *score, const REAL *q, const REAL *k, const REAL *rows, const REAL *columns, int64_t y,
    int64_t x0, shape s, const int window) {
    vec down[LARGEST], across[LARGEST];
    for (int i = 0; i < window; i++) down[i] = across[i] = (vec){};
    for (int c = 0; c < s.half; c++) {
        vec first = load(q + c * s.wide + s.reach + x0);
        vec second = load(q + (c + s.half) * s.wide + s.reach + x0);
        for (int i = 0; i < window; i++) {
            down[i] += first * rows[i * s.half + c];
            across[i] += second * columns[i * s.half + c];
        }
    }
    for (int dy = 0; dy < window; dy++)
        for (int dx = 0; dx < window; dx++) score[dy * window + dx] = down[dy] + across[dx];
    NAMED(products)(score, q, k, s.d, y, x0, s, window);
    ints lane;
    for (int i = 0; i < LANES; i++) lane[i] = (INTEGER)(x0 + i);
    for (int dx = 0; dx < window; dx++) {
        ints x = lane + (INTEGER)(dx - s.reach);
        /* lanes past the end of the row keep themselves, so that their sums are not 0 */
        ints seen = ((x >= 0) & (x < (INTEGER)s.w)) | (dx == s.reach ? ~(ints){} : (ints){});
        for (int dy = 0; dy < window; dy++) {
            int64_t there = y + dy - s.reach;
            ints shown = there < 0 || there >= s.h ? (ints){} : seen;
            vec *one = score + dy * window + dx;
            *one = pick(shown, *one, (vec){} + (REAL)HIDDEN);
        }
    }
}

/* sums[c] = sum over dy, dx of weight[dy dx] b[c, there]: four channels at a time. */
static inline __attribute__((always_inline)) void NAMED(mixture)(
    REAL *out, int64_t stride, const vec *weight, const REAL *b, int64_t channels, int64_t y,
    int64_t x0, shape s, const int window) {
    for (int64_t c0 = 0; c0 < channels; c0 += 4) {
        int64_t many = channels - c0 < 4 ? channels - c0 : 4;
        const REAL *plane[4];
        for (int i = 0; i < 4; i++)
            plane[i] = b + ((c0 + (i < many ? i : 0)) * s.high + y) * s.wide + x0;
        vec sum[4] = {};
        for (int dy = 0; dy < window; dy++) {
            int64_t there = y + dy - s.reach;
            if (there < 0 || there >= s.h) continue;
#pragma GCC unroll 32
            for (int dx = 0; dx < window; dx++) {
                vec one = weight[dy * window + dx];
                for (int i = 0; i < 4; i++) sum[i] += one * load(plane[i] + dy * s.wide + dx);
            }
        }
        for (int64_t i = 0; i < many; i++) store(out + (c0 + i) * stride, sum[i]);
    }
}

/* The first `many` lanes of x. */
static inline void NAMED(part)(REAL *to, vec x, int64_t many) {
    memcpy(to, &x, sizeof(REAL) * (many < LANES ? many : LANES));
}

static inline __attribute__((always_inline)) void NAMED(forward_row)(
    REAL *out, REAL *lse, const REAL *q, const REAL *k, const REAL *v, const REAL *rows,
    const REAL *columns, int64_t y, shape s, const int window, REAL *line) {
    vec weight[LARGEST * LARGEST];
    const int places = window * window;
    for (int64_t x0 = 0; x0 < s.w; x0 += LANES) {
        NAMED(scores)(weight, q, k, rows, columns, y, x0, s, window);
        vec highest = weight[0], total = {};
        for (int i = 1; i < places; i++)
            highest = larger(weight[i], highest);
        for (int i = 0; i < places; i++) {
            weight[i] = NAMED(expo)(weight[i] - highest);
            total += weight[i];
        }
        vec share = (REAL)1 / total;
        for (int i = 0; i < places; i++) weight[i] *= share;
        NAMED(mixture)(line + x0, s.wide, weight, v, s.e, y, x0, s, window);
        vec log_sum = highest;
        for (int i = 0; i < LANES; i++)
            log_sum[i] += sizeof(REAL) == 4 ? __builtin_logf(total[i]) : __builtin_log(total[i]);
        NAMED(part)(lse + y * s.w + x0, log_sum, s.w - x0);
    }
    for (int64_t c = 0; c < s.e; c++)
        memcpy(out + (c * s.h + y) * s.w, line + c * s.wide, sizeof(REAL) * s.w);
}

/* What a row of queries leaves at the keys of its window: key row += weight of the query that
   sees it times what the query has. `weight` is laid out place by place in padded rows. */
static inline __attribute__((always_inline)) void NAMED(scatter)(
    REAL *to, const REAL *weight, const REAL *a, int64_t channels, int64_t y, shape s,
    const int window) {
    for (int dy = 0; dy < window; dy++) {
        int64_t there = y + dy - s.reach;
        if (there < 0 || there >= s.h) continue;
        for (int64_t x0 = 0; x0 < s.w; x0 += LANES)
            for (int64_t c0 = 0; c0 < channels; c0 += 4) {
                int64_t many = channels - c0 < 4 ? channels - c0 : 4;
                const REAL *from[4];
                vec sum[4] = {};
                for (int i = 0; i < 4; i++) from[i] = a + (c0 + (i < many ? i : 0)) * s.wide + x0;
#pragma GCC unroll 32
                for (int dx = 0; dx < window; dx++) {
                    int64_t back = 2 * s.reach - dx;
                    vec one = load(weight + (dy * window + dx) * s.wide + x0 + back);
                    for (int i = 0; i < 4; i++) sum[i] += one * load(from[i] + back);
                }
                for (int64_t i = 0; i < many; i++) {
                    REAL *cell = to + ((c0 + i) * s.high + y + dy) * s.wide + s.reach + x0;
                    store(cell, load(cell) + sum[i]);
                }
            }
    }
}

static inline __attribute__((always_inline)) void NAMED(backward_row)(
    REAL *dq, REAL *dk, REAL *dv, vec *drows, vec *dcolumns, const REAL *q, const REAL *k,
    const REAL *v, const REAL *rows, const REAL *columns, const REAL *dout, const REAL *lse,
    const REAL *delta, int64_t y, shape s, const int window, REAL *shares, REAL *slopes,
    REAL *line) {
    vec share[LARGEST * LARGEST], slope[LARGEST * LARGEST];
    const int places = window * window;
    ints lane;
    for (int i = 0; i < LANES; i++) lane[i] = (INTEGER)i;
    for (int64_t x0 = 0; x0 < s.w; x0 += LANES) {
        vec log_sum = {}, mean = {};
        memcpy(&log_sum, lse + y * s.w + x0,
               sizeof(REAL) * (s.w - x0 < LANES ? s.w - x0 : LANES));
        memcpy(&mean, delta + y * s.w + x0, sizeof(REAL) * (s.w - x0 < LANES ? s.w - x0 : LANES));
        ints real = lane < (INTEGER)(s.w - x0);
        NAMED(scores)(share, q, k, rows, columns, y, x0, s, window);
        for (int i = 0; i < places; i++) slope[i] = (vec){};
        NAMED(products)(slope, dout, v, s.e, y, x0, s, window);
        vec down[LARGEST], across[LARGEST];
        for (int i = 0; i < window; i++) down[i] = across[i] = (vec){};
        for (int i = 0; i < places; i++) {
            vec below = share[i] - log_sum;
            share[i] = NAMED(expo)(pick(below > 0, (vec){}, below)); /* nan stays */
            share[i] = pick(real, share[i], (vec){});
            slope[i] = share[i] * (slope[i] - mean);
            down[i / window] += slope[i];
            across[i % window] += slope[i];
            store(shares + i * s.wide + s.reach + x0, share[i]);
            store(slopes + i * s.wide + s.reach + x0, slope[i]);
        }
        NAMED(mixture)(line + x0, s.wide, slope, k, s.d, y, x0, s, window);
        for (int64_t c = 0; c < s.half; c++) {
            vec first = load(line + c * s.wide + x0), second = load(line + (c + s.half) * s.wide + x0);
            vec mine = load(q + c * s.wide + s.reach + x0);
            vec other = load(q + (c + s.half) * s.wide + s.reach + x0);
            for (int i = 0; i < window; i++) {
                first += down[i] * rows[i * s.half + c];
                second += across[i] * columns[i * s.half + c];
                drows[i * s.half + c] += down[i] * mine;
                dcolumns[i * s.half + c] += across[i] * other;
            }
            store(line + c * s.wide + x0, first);
            store(line + (c + s.half) * s.wide + x0, second);
        }
    }
    for (int64_t c = 0; c < s.d; c++)
        memcpy(dq + (c * s.h + y) * s.w, line + c * s.wide, sizeof(REAL) * s.w);
    NAMED(scatter)(dk, slopes, q, s.d, y, s, window);
    NAMED(scatter)(dv, shares, dout, s.e, y, s, window);
}

/* A window that is known when this is compiled lets the compiler unroll; that takes it time. */
#define FOR_EACH_WINDOW(call) \
    if (sizeof(REAL) == 4 && s.window == 7) { enum { K = 7 }; call; } \
    else { const int K = s.window; call; }

/* q k: n head d h w as n d h w with n = images times heads; tables: head window half.
   Returns 0, or 1 where memory is short. */
int NAMED(forward)(REAL *out, REAL *lse, const REAL *q, const REAL *k, const REAL *v,
                   const REAL *rows, const REAL *columns, int64_t n, int64_t heads, int64_t d,
                   int64_t e, int64_t h, int64_t w, int window, int threads) {
    const shape s = NAMED(shape_of)(heads, d, e, h, w, window);
    int failed = 0;
#pragma omp parallel num_threads(threads) if (n > 1)
    {
        const int64_t padded = s.high * s.wide;
        REAL *room = NAMED(zeros)((d + e) * padded + (d + e) * s.wide);
        if (!room) failed = 1;
        REAL *near_k = room, *near_v = room + d * padded;
        REAL *mine = near_v + e * padded, *line = mine + d * s.wide;
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < n; i++) {
            if (!room) continue;
            const REAL *row = rows + i % heads * window * s.half;
            const REAL *column = columns + i % heads * window * s.half;
            NAMED(pad)(near_k, k + i * d * h * w, d, s);
            NAMED(pad)(near_v, v + i * e * h * w, e, s);
            for (int64_t y = 0; y < h; y++) {
                NAMED(row_of)(mine, q + i * d * h * w, d, y, s);
                FOR_EACH_WINDOW(NAMED(forward_row)(out + i * e * h * w, lse + i * h * w, mine,
                                                   near_k, near_v, row, column, y, s, K, line))
            }
        }
        free(room);
    }
    return failed;
}

/* delta: n h w, the sum over e of out times its gradient; drows, dcolumns: n window half. */
int NAMED(backward)(REAL *dq, REAL *dk, REAL *dv, REAL *drows, REAL *dcolumns, const REAL *q,
                    const REAL *k, const REAL *v, const REAL *rows, const REAL *columns,
                    const REAL *dout, const REAL *lse, const REAL *delta, int64_t n,
                    int64_t heads, int64_t d, int64_t e, int64_t h, int64_t w, int window,
                    int threads) {
    const shape s = NAMED(shape_of)(heads, d, e, h, w, window);
    const int places = window * window;
    int failed = 0;
#pragma omp parallel num_threads(threads) if (n > 1)
    {
        const int64_t padded = s.high * s.wide;
        const int64_t table = window * s.half;
        const int64_t all =
            2 * (d + e) * padded + (2 * d + e + 2 * places) * s.wide + 2 * table * LANES;
        REAL *room = NAMED(zeros)(all);
        if (!room) failed = 1;
        REAL *near_k = room, *near_v = near_k + d * padded;
        REAL *back_k = near_v + e * padded, *back_v = back_k + d * padded;
        REAL *mine = back_v + e * padded, *line = mine + d * s.wide, *above = line + d * s.wide;
        REAL *shares = above + e * s.wide, *slopes = shares + places * s.wide;
        vec *to_rows = (vec *)(slopes + places * s.wide), *to_columns = to_rows + table;
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < n; i++) {
            if (!room) continue;
            NAMED(pad)(near_k, k + i * d * h * w, d, s);
            NAMED(pad)(near_v, v + i * e * h * w, e, s);
            memset(back_k, 0, sizeof(REAL) * (d + e) * padded);
            memset(to_rows, 0, sizeof(vec) * 2 * table);
            for (int64_t y = 0; y < h; y++) {
                NAMED(row_of)(mine, q + i * d * h * w, d, y, s);
                NAMED(row_of)(above, dout + i * e * h * w, e, y, s);
                FOR_EACH_WINDOW(NAMED(backward_row)(
                    dq + i * d * h * w, back_k, back_v, to_rows, to_columns, mine, near_k, near_v,
                    rows + i % heads * table, columns + i % heads * table, above, lse + i * h * w,
                    delta + i * h * w, y, s, K, shares, slopes, line))
            }
            for (int64_t c = 0; c < table; c++) {
                REAL row = 0, column = 0;
                for (int j = 0; j < LANES; j++) row += to_rows[c][j], column += to_columns[c][j];
                drows[i * table + c] = row;
                dcolumns[i * table + c] = column;
            }
            for (int64_t c = 0; c < d + e; c++)
                for (int64_t y = 0; y < h; y++) {
                    REAL *to = c < d ? dk + (i * d + c) * h * w : dv + (i * e + c - d) * h * w;
                    memcpy(to + y * w, back_k + (c * s.high + y + s.reach) * s.wide + s.reach,
                           sizeof(REAL) * w);
                }
        }
        free(room);
    }
    return failed;
}

#undef shape
#undef FOR_EACH_WINDOW
#endif
