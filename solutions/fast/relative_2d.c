/* Attention over all pixels of a map, with relative rows and columns: forward and backward.

   Some queries at a time, one a lane, WIDE vectors of them side by side. They walk over the
   keys, KEYS at a time: scores, shares and what has been read stay in the cache of a core, with
   a running maximum; the map is never stored. Four products do the work, sums in registers:

       scores    sum[key][query] = down[y][query] + across[x][query] + k[key][c] q[c][query]
       mixture   sum[c][query] += v[key][c] share[key][query]
       gather    sum[key][c] += share[key][query] dout[query][c]       on the way back

   and scores again for the tables, whose rows are keys as well: what a query says to each
   offset, then moved from the offset to the row or column of the map. The way back makes the
   shares again from the log-sum-exp.

   This file includes itself once per type. */

#ifndef DOUBLE

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

/* TALL x WIDE sums fit into the registers, 32 of them or 16. */
#if defined(__AVX512F__) || defined(__aarch64__)
#define WIDE 4
#define TALL 6
#else
#define WIDE 2
#define TALL 5
#endif
#ifndef KEYS
#define KEYS 60
#endif
/* each step of a loop written out, or its sums would be kept in memory */
#define FLAT _Pragma("GCC unroll 8")
#define INLINE static inline __attribute__((always_inline))

#define DOUBLE 0
#include "vectors.h"
#include __FILE__
#undef DOUBLE
#define DOUBLE 1
#include "vectors.h"
#include __FILE__

#else

#define shape NAMED(shape)
typedef struct {
    int64_t n, d, e, h, w; /* pixels, features of a key and of a value, rows, columns */
    int64_t keys, values;  /* d and e filled up to whole vectors */
} shape;

/* ------------------------------------------------------------------ products */

/* out[t][i] = down[y][i] + across[x][i] + sum over c of k[t][c] q[c][i], for TALL keys or one.
   `row` and `column`: of the first key, 0 without places. */
INLINE void NAMED(scores_of)(vec *out, const REAL *k, const vec *q, int64_t d, const vec *row,
                             const vec *column, const vec *end, int64_t columns, const int tall,
                             const int wide) {
    vec sum[TALL][WIDE];
    if (row) {
        FLAT for (int t = 0; t < tall; t++) {
            FLAT for (int u = 0; u < wide; u++) sum[t][u] = row[u] + column[u];
            column += wide;
            const int64_t wrap = column == end;
            row += wrap * wide;
            column -= wrap * columns;
        }
    } else {
        FLAT for (int t = 0; t < tall; t++)
            FLAT for (int u = 0; u < wide; u++) sum[t][u] = (vec){};
    }
    for (int64_t c = 0; c < d; c++)
        FLAT for (int t = 0; t < tall; t++) {
            const REAL one = k[t * d + c];
            FLAT for (int u = 0; u < wide; u++) sum[t][u] += one * q[c * wide + u];
        }
    FLAT for (int t = 0; t < tall; t++)
        FLAT for (int u = 0; u < wide; u++) out[t * wide + u] = sum[t][u];
}

INLINE void NAMED(scores_wide)(vec *out, const REAL *k, const vec *q, int64_t d, const vec *down,
                               const vec *across, int64_t first, int64_t many, int64_t w,
                               const int wide) {
    const vec *end = across + w * wide;
    for (int64_t j = 0; j < many;) {
        const int64_t y = (first + j) / w, x = first + j - y * w;
        const vec *row = down ? down + y * wide : 0, *column = across + x * wide;
        if (j + TALL <= many) {
            NAMED(scores_of)(out + j * wide, k + j * d, q, d, row, column, end, w * wide, TALL,
                             wide);
            j += TALL;
        } else {
            NAMED(scores_of)(out + j * wide, k + j * d, q, d, row, column, end, w * wide, 1, wide);
            j++;
        }
    }
}

/* to[c][i] += sum over j of v[j][c] share[j][i], for `tall` features. */
INLINE void NAMED(mixture_of)(vec *to, const REAL *v, int64_t e, const vec *share, int64_t many,
                              const int tall, const int wide) {
    vec sum[TALL][WIDE];
    FLAT for (int t = 0; t < tall; t++)
        FLAT for (int u = 0; u < wide; u++) sum[t][u] = to[t * wide + u];
    for (int64_t j = 0; j < many; j++)
        FLAT for (int t = 0; t < tall; t++) {
            const REAL one = v[j * e + t];
            FLAT for (int u = 0; u < wide; u++) sum[t][u] += one * share[j * wide + u];
        }
    FLAT for (int t = 0; t < tall; t++)
        FLAT for (int u = 0; u < wide; u++) to[t * wide + u] = sum[t][u];
}

INLINE void NAMED(mixture_wide)(vec *to, const REAL *v, int64_t e, const vec *share, int64_t many,
                                const int wide) {
    int64_t c = 0;
    for (; c + 4 <= e; c += 4)
        NAMED(mixture_of)(to + c * wide, v + c, e, share, many, 4, wide);
    for (; c < e; c++) NAMED(mixture_of)(to + c * wide, v + c, e, share, many, 1, wide);
}

/* to[t][c] += sum over i of share[t][i] a[i][c], for `tall` keys and `many` vectors of
   features. */
INLINE void NAMED(gather_of)(REAL *to, const REAL *share, const REAL *a, int64_t filled,
                             int64_t lanes, const int tall, const int many) {
    vec sum[TALL][2];
    FLAT for (int t = 0; t < tall; t++)
        FLAT for (int u = 0; u < many; u++) sum[t][u] = load(to + t * filled + u * LANES);
    for (int64_t i = 0; i < lanes; i++)
        FLAT for (int t = 0; t < tall; t++) {
            const REAL one = share[t * lanes + i];
            FLAT for (int u = 0; u < many; u++) sum[t][u] += one * load(a + i * filled + u * LANES);
        }
    FLAT for (int t = 0; t < tall; t++)
        FLAT for (int u = 0; u < many; u++) store(to + t * filled + u * LANES, sum[t][u]);
}

static void NAMED(gather)(REAL *to, const vec *share, const REAL *a, int64_t filled, int64_t many,
                          int64_t lanes) {
    const REAL *line = (const REAL *)share;
    for (int64_t c = 0; c < filled; c += 2 * LANES)
        for (int64_t j = 0; j < many;) {
            REAL *here = to + j * filled + c;
            const REAL *shares = line + j * lanes;
            const int all = j + TALL <= many, two = c + LANES < filled;
            if (all && two) NAMED(gather_of)(here, shares, a + c, filled, lanes, TALL, 2);
            else if (all) NAMED(gather_of)(here, shares, a + c, filled, lanes, TALL, 1);
            else if (two) NAMED(gather_of)(here, shares, a + c, filled, lanes, 1, 2);
            else NAMED(gather_of)(here, shares, a + c, filled, lanes, 1, 1);
            j += all ? TALL : 1;
        }
}

/* ------------------------------------------------------------------ shares */

/* From scores to shares of the largest score so far, and what was summed before made to fit. */
INLINE void NAMED(shares_wide)(vec *share, int64_t many, vec *top, vec *total, vec *read,
                               int64_t e, const int wide) {
    const vec none = (vec){} - (REAL)__builtin_inf();
    vec most[WIDE], sum[WIDE];
    FLAT for (int u = 0; u < wide; u++) most[u] = top[u];
    for (int64_t j = 0; j < many; j++)
        FLAT for (int u = 0; u < wide; u++) most[u] = larger(share[j * wide + u], most[u]);
    FLAT for (int u = 0; u < wide; u++) {
        /* where all scores so far are -inf, none of them counts: -inf - -inf would be no number */
        const vec shift = pick(most[u] == none, (vec){}, most[u]);
        const vec factor = NAMED(expo)(top[u] - shift);
        sum[u] = total[u] * factor;
        top[u] = most[u];
        most[u] = shift;
        for (int64_t c = 0; c < e; c++) read[c * wide + u] *= factor;
    }
    for (int64_t j = 0; j < many; j++)
        FLAT for (int u = 0; u < wide; u++) {
            const vec one = NAMED(expo)(share[j * wide + u] - most[u]);
            share[j * wide + u] = one;
            sum[u] += one;
        }
    FLAT for (int u = 0; u < wide; u++) total[u] = sum[u];
}

/* From scores to shares, and from dout v to the gradient of the scores; its sums over rows and
   over columns. */
INLINE void NAMED(slopes_wide)(vec *share, vec *slope, const vec *log_sum, const vec *mean,
                               vec *down, vec *across, int64_t first, int64_t many, int64_t w,
                               const int wide) {
    vec *row = down + first / w * wide, *column = across + first % w * wide;
    const vec *end = across + w * wide;
    for (int64_t j = 0; j < many; j++) {
        FLAT for (int u = 0; u < wide; u++) {
            const vec one = NAMED(expo)(share[j * wide + u] - log_sum[u]);
            const vec change = one * (slope[j * wide + u] - mean[u]);
            share[j * wide + u] = one;
            slope[j * wide + u] = change;
            row[u] += change;
            column[u] += change;
        }
        column += wide;
        if (column == end) column = across, row += wide;
    }
}

/* How many vectors, known when this is compiled: sums can then stay in registers. */
#define FOR_WIDTH(wide, name, ...)                           \
    if (wide == WIDE) NAMED(name)(__VA_ARGS__, WIDE);        \
    else if (wide == 3) NAMED(name)(__VA_ARGS__, WIDE < 3 ? WIDE : 3); \
    else if (wide == 2) NAMED(name)(__VA_ARGS__, 2);         \
    else NAMED(name)(__VA_ARGS__, 1);

static void NAMED(scores)(vec *out, const REAL *k, const vec *q, int64_t d, const vec *down,
                          const vec *across, int64_t first, int64_t many, int64_t w, int wide) {
    FOR_WIDTH(wide, scores_wide, out, k, q, d, down, across, first, many, w)
}

static void NAMED(mixture)(vec *to, const REAL *v, int64_t e, const vec *share, int64_t many,
                           int wide) {
    FOR_WIDTH(wide, mixture_wide, to, v, e, share, many)
}

static void NAMED(shares)(vec *share, int64_t many, vec *top, vec *total, vec *read, int64_t e,
                          int wide) {
    FOR_WIDTH(wide, shares_wide, share, many, top, total, read, e)
}

static void NAMED(slopes)(vec *share, vec *slope, const vec *log_sum, const vec *mean, vec *down,
                          vec *across, int64_t first, int64_t many, int64_t w, int wide) {
    FOR_WIDTH(wide, slopes_wide, share, slope, log_sum, mean, down, across, first, many, w)
}

/* ------------------------------------------------------------------ some queries */

/* `many` queries of a head, from the i-th on, in `wide` vectors: `lanes` of them, and beyond the
   last there are zeros. */
#define block NAMED(block)
typedef struct {
    int64_t i, many, lanes;
    int wide;
} block;

static block NAMED(block_of)(int64_t which, int64_t blocks, shape s) {
    const int64_t vectors = (s.n + LANES - 1) / LANES, first = which * vectors / blocks;
    const int wide = (int)((which + 1) * vectors / blocks - first);
    const int64_t i = first * LANES, left = s.n - i;
    block b = {i, left < wide * LANES ? left : wide * LANES, wide * LANES, wide};
    return b;
}

/* From one query a row to one a lane. */
static void NAMED(turn)(REAL *to, const REAL *from, int64_t features, REAL scale, block b) {
    if (b.many < b.lanes) memset(to, 0, sizeof(REAL) * features * b.lanes);
    for (int64_t c0 = 0; c0 < features; c0 += 8) {
        const int64_t end = c0 + 8 < features ? c0 + 8 : features;
        for (int64_t i = 0; i < b.many; i++)
            for (int64_t c = c0; c < end; c++)
                to[c * b.lanes + i] = scale * from[i * features + c];
    }
}

static void NAMED(turn_back)(REAL *to, const REAL *from, int64_t features, REAL scale, block b) {
    for (int64_t c0 = 0; c0 < features; c0 += 8) {
        const int64_t end = c0 + 8 < features ? c0 + 8 : features;
        for (int64_t i = 0; i < b.many; i++)
            for (int64_t c = c0; c < end; c++)
                to[i * features + c] = scale * from[c * b.lanes + i];
    }
}

/* One query a row, features filled up to whole vectors. */
static void NAMED(fill)(REAL *to, const REAL *from, int64_t features, int64_t filled, REAL scale,
                        block b) {
    memset(to, 0, sizeof(REAL) * b.lanes * filled);
    for (int64_t i = 0; i < b.many; i++)
        for (int64_t c = 0; c < features; c++) to[i * filled + c] = scale * from[i * features + c];
}

/* Where query i of the block is, along one axis: its offset to the key at 0 is row `first` - that
   of the table of offsets that the block needs. */
typedef struct {
    int64_t first, many; /* rows of the table */
    int64_t nearest;     /* where the queries are: from here on */
} NAMED(reach);

static int64_t NAMED(place)(int64_t i, int64_t axis, shape s) {
    const int64_t pixel = i < s.n ? i : s.n - 1;
    return axis ? pixel % s.w : pixel / s.w;
}

/* The rows of a table that a block needs: offsets of keys to its first and to its last query. */
static NAMED(reach) NAMED(reach_of)(int64_t axis, shape s, block b) {
    const int64_t size = axis ? s.w : s.h;
    int64_t low = 0, high = size - 1;
    if (!axis) low = NAMED(place)(b.i, 0, s), high = NAMED(place)(b.i + b.many - 1, 0, s);
    NAMED(reach) r = {size - 1 - high, size + high - low, high};
    return r;
}

/* From what queries say to offsets to what they say to the places of the map, or back. */
static void NAMED(from_offsets)(REAL *places, const REAL *offsets, int64_t axis, shape s, block b) {
    const NAMED(reach) r = NAMED(reach_of)(axis, s, b);
    const int64_t size = axis ? s.w : s.h;
    for (int64_t i = 0; i < b.lanes; i++) {
        const REAL *from = offsets + (r.nearest - NAMED(place)(b.i + i, axis, s)) * b.lanes + i;
        for (int64_t y = 0; y < size; y++) places[y * b.lanes + i] = from[y * b.lanes];
    }
}

static void NAMED(to_offsets)(REAL *offsets, const REAL *places, int64_t axis, shape s, block b) {
    const NAMED(reach) r = NAMED(reach_of)(axis, s, b);
    const int64_t size = axis ? s.w : s.h;
    memset(offsets, 0, sizeof(REAL) * r.many * b.lanes);
    for (int64_t i = 0; i < b.lanes; i++) {
        REAL *to = offsets + (r.nearest - NAMED(place)(b.i + i, axis, s)) * b.lanes + i;
        for (int64_t y = 0; y < size; y++) to[y * b.lanes] = places[y * b.lanes + i];
    }
}

/* The memory of a thread, for one block; the parts that only the way back needs come last. */
typedef struct {
    REAL *q, *down, *across, *read, *offsets;
    vec *share;
    REAL *dout, *dq, *ddown, *dacross, *rows_of_q, *rows_of_dout;
    vec *slope;
    REAL *dk, *dv, *drows, *dcolumns; /* of a head, features filled up */
} NAMED(room);
#define room NAMED(room)

static int64_t NAMED(divide)(room *r, REAL *from, shape s, int backward) {
    const int64_t lanes = WIDE * LANES, most = 2 * (s.h > s.w ? s.h : s.w);
    REAL *at = from;
#define TAKE(name, numbers) r->name = (void *)at, at += (numbers)
    TAKE(q, s.d * lanes);
    TAKE(down, s.h * lanes);
    TAKE(across, s.w * lanes);
    TAKE(read, s.e * lanes);
    TAKE(offsets, most * lanes);
    TAKE(share, KEYS * lanes);
    if (backward) {
        TAKE(dout, s.e * lanes);
        TAKE(dq, s.d * lanes);
        TAKE(ddown, s.h * lanes);
        TAKE(dacross, s.w * lanes);
        TAKE(rows_of_q, s.keys * lanes);
        TAKE(rows_of_dout, s.values * lanes);
        TAKE(slope, KEYS * lanes);
        TAKE(dk, s.n * s.keys);
        TAKE(dv, s.n * s.values);
        TAKE(drows, (2 * s.h - 1) * s.keys);
        TAKE(dcolumns, (2 * s.w - 1) * s.keys);
    }
#undef TAKE
    return at - from;
}

/* The queries of a block and what they say to the rows and columns of the map. */
static void NAMED(queries)(room r, const REAL *q, const REAL *rows, const REAL *columns, shape s,
                           block b) {
    NAMED(turn)(r.q, q + b.i * s.d, s.d, (REAL)1 / __builtin_sqrt(s.d), b);
    for (int axis = 0; axis < 2; axis++) {
        const NAMED(reach) reach = NAMED(reach_of)(axis, s, b);
        const REAL *table = (axis ? columns : rows) + reach.first * s.d;
        NAMED(scores)((vec *)r.offsets, table, (vec *)r.q, s.d, 0, 0, 0, reach.many, 1, b.wide);
        NAMED(from_offsets)(axis ? r.across : r.down, r.offsets, axis, s, b);
    }
}

static void NAMED(forward_block)(REAL *out, REAL *lse, const REAL *q, const REAL *k, const REAL *v,
                                 const REAL *rows, const REAL *columns, shape s, block b, room r) {
    vec top[WIDE], total[WIDE] = {}, *read = (vec *)r.read;
    NAMED(queries)(r, q, rows, columns, s, b);
    memset(read, 0, sizeof(REAL) * s.e * b.lanes);
    for (int u = 0; u < b.wide; u++) top[u] = (vec){} - (REAL)__builtin_inf();
    for (int64_t j = 0; j < s.n; j += KEYS) {
        const int64_t many = s.n - j < KEYS ? s.n - j : KEYS;
        NAMED(scores)(r.share, k + j * s.d, (vec *)r.q, s.d, (vec *)r.down, (vec *)r.across, j,
                      many, s.w, b.wide);
        NAMED(shares)(r.share, many, top, total, read, s.e, b.wide);
        NAMED(mixture)(read, v + j * s.e, s.e, r.share, many, b.wide);
    }
    for (int u = 0; u < b.wide; u++) {
        const vec share = (REAL)1 / total[u];
        for (int64_t c = 0; c < s.e; c++) read[c * b.wide + u] *= share;
    }
    NAMED(turn_back)(out + b.i * s.e, r.read, s.e, 1, b);
    for (int64_t i = 0; i < b.many; i++) {
        const REAL sum = total[i / LANES][i % LANES];
        lse[b.i + i] = top[i / LANES][i % LANES]
            + (sizeof(REAL) == 4 ? __builtin_logf(sum) : __builtin_log(sum));
    }
}

static void NAMED(backward_block)(REAL *dq, const REAL *q, const REAL *k, const REAL *v,
                                  const REAL *rows, const REAL *columns, const REAL *dout,
                                  const REAL *out, const REAL *lse, shape s, block b, room r) {
    const REAL scale = (REAL)1 / __builtin_sqrt(s.d);
    vec log_sum[WIDE] = {}, mean[WIDE] = {};
    NAMED(queries)(r, q, rows, columns, s, b);
    NAMED(turn)(r.dout, dout + b.i * s.e, s.e, 1, b);
    NAMED(fill)(r.rows_of_q, q + b.i * s.d, s.d, s.keys, scale, b);
    NAMED(fill)(r.rows_of_dout, dout + b.i * s.e, s.e, s.values, 1, b);
    memcpy(log_sum, lse + b.i, sizeof(REAL) * b.many);
    for (int64_t i = 0; i < b.many; i++) {
        REAL sum = 0;
        for (int64_t c = 0; c < s.e; c++) sum += dout[(b.i + i) * s.e + c] * out[(b.i + i) * s.e + c];
        mean[i / LANES][i % LANES] = sum;
    }
    memset(r.dq, 0, sizeof(REAL) * s.d * b.lanes);
    memset(r.ddown, 0, sizeof(REAL) * s.h * b.lanes);
    memset(r.dacross, 0, sizeof(REAL) * s.w * b.lanes);
    for (int64_t j = 0; j < s.n; j += KEYS) {
        const int64_t many = s.n - j < KEYS ? s.n - j : KEYS;
        NAMED(scores)(r.share, k + j * s.d, (vec *)r.q, s.d, (vec *)r.down, (vec *)r.across, j,
                      many, s.w, b.wide);
        NAMED(scores)(r.slope, v + j * s.e, (vec *)r.dout, s.e, 0, 0, 0, many, 1, b.wide);
        NAMED(slopes)(r.share, r.slope, log_sum, mean, (vec *)r.ddown, (vec *)r.dacross, j, many,
                      s.w, b.wide);
        NAMED(mixture)((vec *)r.dq, k + j * s.d, s.d, r.slope, many, b.wide);
        NAMED(gather)(r.dk + j * s.keys, r.slope, r.rows_of_q, s.keys, many, b.lanes);
        NAMED(gather)(r.dv + j * s.values, r.share, r.rows_of_dout, s.values, many, b.lanes);
    }
    for (int axis = 0; axis < 2; axis++) {
        const NAMED(reach) reach = NAMED(reach_of)(axis, s, b);
        const REAL *table = (axis ? columns : rows) + reach.first * s.d;
        NAMED(to_offsets)(r.offsets, axis ? r.dacross : r.ddown, axis, s, b);
        NAMED(mixture)((vec *)r.dq, table, s.d, (vec *)r.offsets, reach.many, b.wide);
        NAMED(gather)((axis ? r.dcolumns : r.drows) + reach.first * s.keys, (vec *)r.offsets,
                      r.rows_of_q, s.keys, reach.many, b.lanes);
    }
    NAMED(turn_back)(dq + b.i * s.d, r.dq, s.d, scale, b);
}

/* ------------------------------------------------------------------ all of it */

static shape NAMED(shape_of)(int64_t d, int64_t e, int64_t h, int64_t w) {
    shape s = {h * w, d, e, h, w, (d + LANES - 1) / LANES * LANES, (e + LANES - 1) / LANES * LANES};
    return s;
}

static REAL *NAMED(room_for)(room *r, shape s, int backward) {
    const int64_t numbers = NAMED(divide)(r, 0, s, backward);
    REAL *memory = aligned_alloc(64, (sizeof(REAL) * numbers + 63) / 64 * 64);
    if (memory) NAMED(divide)(r, memory, s, backward);
    return memory;
}

/* q, k: heads n d, v: heads n e, rows: 2 h - 1 d, columns: 2 w - 1 d, lse: heads n. Returns 1
   where memory is short, else 0. */
int NAMED(forward)(REAL *out, REAL *lse, const REAL *q, const REAL *k, const REAL *v,
                   const REAL *rows, const REAL *columns, int64_t heads, int64_t d, int64_t e,
                   int64_t h, int64_t w, int threads) {
    const shape s = NAMED(shape_of)(d, e, h, w);
    const int64_t blocks = (s.n + WIDE * LANES - 1) / (WIDE * LANES);
    int failed = 0;
#pragma omp parallel num_threads(threads) if (heads * blocks > 1)
    {
        room r;
        REAL *memory = NAMED(room_for)(&r, s, 0);
        if (!memory) failed = 1;
#pragma omp for schedule(dynamic)
        for (int64_t each = 0; each < heads * blocks; each++) {
            if (!memory) continue;
            const int64_t at = each / blocks * s.n;
            NAMED(forward_block)(out + at * e, lse + at, q + at * d, k + at * d, v + at * e, rows,
                                 columns, s, NAMED(block_of)(each % blocks, blocks, s), r);
        }
        free(memory);
    }
    return failed;
}

/* Each head is done in `parts`, some of its queries each: dk, dv, drows and dcolumns have parts
   times heads of theirs, to be summed. */
int NAMED(backward)(REAL *dq, REAL *dk, REAL *dv, REAL *drows, REAL *dcolumns, const REAL *q,
                    const REAL *k, const REAL *v, const REAL *rows, const REAL *columns,
                    const REAL *dout, const REAL *out, const REAL *lse, int64_t heads, int64_t d,
                    int64_t e, int64_t h, int64_t w, int64_t parts, int threads) {
    const shape s = NAMED(shape_of)(d, e, h, w);
    const int64_t blocks = (s.n + WIDE * LANES - 1) / (WIDE * LANES);
    int failed = 0;
#pragma omp parallel num_threads(threads) if (heads * parts > 1)
    {
        room r;
        REAL *memory = NAMED(room_for)(&r, s, 1);
        if (!memory) failed = 1;
#pragma omp for schedule(dynamic)
        for (int64_t each = 0; each < heads * parts; each++) {
            if (!memory) continue;
            const int64_t part = each / heads, at = each % heads * s.n;
            const int64_t numbers[] = {s.n, s.n, 2 * h - 1, 2 * w - 1};
            const int64_t features[] = {d, e, d, d}, filled[] = {s.keys, s.values, s.keys, s.keys};
            REAL *from[] = {r.dk, r.dv, r.drows, r.dcolumns}, *to[] = {dk, dv, drows, dcolumns};
            for (int i = 0; i < 4; i++) memset(from[i], 0, sizeof(REAL) * numbers[i] * filled[i]);
            for (int64_t i = part * blocks / parts; i < (part + 1) * blocks / parts; i++)
                NAMED(backward_block)(dq + at * d, q + at * d, k + at * d, v + at * e, rows,
                                      columns, dout + at * e, out + at * e, lse + at, s,
                                      NAMED(block_of)(i, blocks, s), r);
            for (int i = 0; i < 4; i++)
                for (int64_t j = 0; j < numbers[i]; j++)
                    memcpy(to[i] + (each * numbers[i] + j) * features[i], from[i] + j * filled[i],
                           sizeof(REAL) * features[i]);
        }
        free(memory);
    }
    return failed;
}

#undef shape
#undef block
#undef room
#undef FOR_WIDTH
#endif
