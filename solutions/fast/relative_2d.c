/* Attention over all pixels, with a score for the row and one for the column of each key:
   forward and backward.

   Some queries at a time, one a lane, WIDE vectors side by side. They walk over the keys, KEYS
   at a time: scores, shares (with a running maximum) and what they read stay in the cache of a
   core; the map is never stored. Three products do the work, each with its sums in registers:

       scores    sum[key][query] = down[y][query] + across[x][query] + k[key][c] q[c][query]
       mixture   sum[channel][query] += v[key][channel] share[key][query]
       gather    sum[key][channel] += share[key][query] dout[query][channel]

   The backward pass makes the shares again from the log-sum-exp. Lanes being queries, no sum
   runs across a vector, and the two scores of places are as cheap as any addition.

   This file includes itself once per type. */

#ifndef DOUBLE

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

/* Sums that fit into the registers: 6 x 4 of 32 of them, or 4 x 2 of 16. */
#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
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
    int64_t n, d, e, h, w; /* pixels, features of keys and of values, rows, columns */
    int64_t keys, values;  /* d and e in whole vectors, in numbers */
} shape;

INLINE vec NAMED(larger)(vec a, vec b) { return pick(a > b, a, b); }

/* Some rows of features, transposed: one row a lane, zeros in the lanes beyond. */
static void NAMED(turn)(REAL *to, const REAL *from, int64_t features, int64_t many, int64_t wide) {
    const int64_t lanes = wide * LANES;
    if (many < lanes) memset(to, 0, sizeof(REAL) * features * lanes);
    for (int64_t c0 = 0; c0 < features; c0 += 8) {
        const int64_t end = c0 + 8 < features ? c0 + 8 : features;
        for (int64_t i = 0; i < many; i++)
            for (int64_t c = c0; c < end; c++) to[c * lanes + i] = from[i * features + c];
    }
}

static void NAMED(turn_back)(REAL *to, const REAL *from, int64_t features, int64_t many,
                             int64_t wide) {
    const int64_t lanes = wide * LANES;
    for (int64_t c0 = 0; c0 < features; c0 += 8) {
        const int64_t end = c0 + 8 < features ? c0 + 8 : features;
        for (int64_t i = 0; i < many; i++)
            for (int64_t c = c0; c < end; c++) to[i * features + c] = from[c * lanes + i];
    }
}

/* Rows of features with zeros up to whole vectors, and to `lanes` rows. */
static void NAMED(widen)(REAL *to, const REAL *from, int64_t features, int64_t padded,
                         int64_t many, int64_t lanes) {
    memset(to, 0, sizeof(REAL) * lanes * padded);
    for (int64_t i = 0; i < many; i++)
        memcpy(to + i * padded, from + i * features, sizeof(REAL) * features);
}

/* out[t][i] = what is there + sum over c of k[t][c] q[c][i], for `tall` keys; the largest of
   each query in `top`. Without places, from 0. */
INLINE void NAMED(scores_of)(vec *out, const REAL *k, const vec *q, int64_t d, const vec *down,
                             const vec *across, int64_t j, int64_t w, vec *top, const int tall,
                             const int wide) {
    vec sum[TALL][WIDE];
    for (int t = 0; t < tall; t++) {
        if (down) {
            const vec *row = down + (j + t) / w * wide, *column = across + (j + t) % w * wide;
            for (int u = 0; u < wide; u++) sum[t][u] = row[u] + column[u];
        } else {
            for (int u = 0; u < wide; u++) sum[t][u] = (vec){};
        }
    }
    for (int64_t c = 0; c < d; c++)
        for (int t = 0; t < tall; t++) {
            const vec one = (vec){} + k[t * d + c];
            for (int u = 0; u < wide; u++) sum[t][u] += one * q[c * wide + u];
        }
    for (int t = 0; t < tall; t++)
        for (int u = 0; u < wide; u++) {
            if (top) top[u] = NAMED(larger)(sum[t][u], top[u]);
            out[t * wide + u] = sum[t][u];
        }
}

INLINE void NAMED(scores)(vec *out, const REAL *k, const vec *q, int64_t d, const vec *down,
                          const vec *across, int64_t start, int64_t many, int64_t w, vec *top,
                          const int wide) {
    int64_t j = 0;
    for (; j + TALL <= many; j += TALL)
        NAMED(scores_of)(out + j * wide, k + j * d, q, d, down, across, start + j, w, top, TALL,
                         wide);
    for (; j < many; j++)
        NAMED(scores_of)(out + j * wide, k + j * d, q, d, down, across, start + j, w, top, 1, wide);
}

/* to[c][i] = factor to[c][i] + sum over j of v[j][c] share[j][i], for `tall` channels. */
INLINE void NAMED(mixture_of)(vec *to, const REAL *v, int64_t e, const vec *share, int64_t many,
                              const vec *factor, const int tall, const int wide) {
    vec sum[TALL][WIDE];
    for (int t = 0; t < tall; t++)
        for (int u = 0; u < wide; u++)
            if (factor) sum[t][u] = to[t * wide + u] * factor[u];
            else sum[t][u] = to[t * wide + u];
    for (int64_t j = 0; j < many; j++)
        for (int t = 0; t < tall; t++) {
            const vec one = (vec){} + v[j * e + t];
            for (int u = 0; u < wide; u++) sum[t][u] += one * share[j * wide + u];
        }
    for (int t = 0; t < tall; t++)
        for (int u = 0; u < wide; u++) to[t * wide + u] = sum[t][u];
}

INLINE void NAMED(mixture)(vec *to, const REAL *v, int64_t e, const vec *share, int64_t many,
                           const vec *factor, const int wide) {
    int64_t c = 0;
    for (; c + 4 <= e; c += 4)
        NAMED(mixture_of)(to + c * wide, v + c, e, share, many, factor, 4, wide);
    for (; c < e; c++)
        NAMED(mixture_of)(to + c * wide, v + c, e, share, many, factor, 1, wide);
}

/* to[t][c] += sum over i of share[t][i] a[i][c], for `tall` keys and `across` vectors of
   channels. */
INLINE void NAMED(gather_of)(REAL *to, const REAL *share, const REAL *a, int64_t padded,
                             int64_t lanes, const int tall, const int across) {
    vec sum[TALL][2];
    for (int t = 0; t < tall; t++)
        for (int u = 0; u < across; u++) sum[t][u] = load(to + t * padded + u * LANES);
    for (int64_t i = 0; i < lanes; i++)
        for (int t = 0; t < tall; t++) {
            const vec one = (vec){} + share[t * lanes + i];
            for (int u = 0; u < across; u++) sum[t][u] += one * load(a + i * padded + u * LANES);
        }
    for (int t = 0; t < tall; t++)
        for (int u = 0; u < across; u++) store(to + t * padded + u * LANES, sum[t][u]);
}

INLINE void NAMED(gather)(REAL *to, const vec *share, const REAL *a, int64_t padded, int64_t many,
                          const int wide) {
    const int64_t lanes = wide * LANES;
    const REAL *line = (const REAL *)share;
    for (int64_t c = 0; c < padded; c += 2 * LANES) {
        const int two = c + LANES < padded;
        int64_t j = 0;
        for (; j + TALL <= many; j += TALL) {
            REAL *here = to + j * padded + c;
            if (two) NAMED(gather_of)(here, line + j * lanes, a + c, padded, lanes, TALL, 2);
            else NAMED(gather_of)(here, line + j * lanes, a + c, padded, lanes, TALL, 1);
        }
        for (; j < many; j++) {
            REAL *here = to + j * padded + c;
            if (two) NAMED(gather_of)(here, line + j * lanes, a + c, padded, lanes, 1, 2);
            else NAMED(gather_of)(here, line + j * lanes, a + c, padded, lanes, 1, 1);
        }
    }
}

/* Memory of one thread, in numbers: for the forward, and for the backward pass of a head. */
static int64_t NAMED(room_of)(shape s, int backward) {
    const int64_t lanes = WIDE * LANES;
    const int64_t both = s.d + s.e + s.h + s.w + KEYS;
    if (!backward) return lanes * both;
    return lanes * (both + KEYS + s.d + s.h + s.w + s.keys + s.values) + s.n * (s.keys + s.values);
}

/* `many` queries of one head. */
INLINE void NAMED(forward_block)(REAL *out, REAL *lse, const REAL *q, const REAL *k, const REAL *v,
                                 const REAL *down, const REAL *across, int64_t many, shape s,
                                 REAL *room, const int wide) {
    const int64_t lanes = wide * LANES;
    REAL *mine = room, *rows = mine + s.d * lanes, *columns = rows + s.h * lanes;
    REAL *read = columns + s.w * lanes;
    vec *share = (vec *)(read + s.e * lanes);
    vec top[WIDE], total[WIDE], factor[WIDE];
    NAMED(turn)(mine, q, s.d, many, wide);
    NAMED(turn)(rows, down, s.h, many, wide);
    NAMED(turn)(columns, across, s.w, many, wide);
    memset(read, 0, sizeof(REAL) * s.e * lanes);
    for (int u = 0; u < wide; u++) top[u] = (vec){} - (REAL)1e30, total[u] = (vec){};
    for (int64_t j = 0; j < s.n; j += KEYS) {
        const int64_t seen = s.n - j < KEYS ? s.n - j : KEYS;
        vec before[WIDE];
        for (int u = 0; u < wide; u++) before[u] = top[u];
        NAMED(scores)(share, k + j * s.d, (vec *)mine, s.d, (vec *)rows, (vec *)columns, j, seen,
                      s.w, top, wide);
        for (int u = 0; u < wide; u++) {
            factor[u] = NAMED(expo)(before[u] - top[u]);
            total[u] *= factor[u];
        }
        for (int64_t t = 0; t < seen; t++)
            for (int u = 0; u < wide; u++) {
                const vec one = NAMED(expo)(share[t * wide + u] - top[u]);
                share[t * wide + u] = one;
                total[u] += one;
            }
        NAMED(mixture)((vec *)read, v + j * s.e, s.e, share, seen, factor, wide);
    }
    for (int u = 0; u < wide; u++) {
        factor[u] = (REAL)1 / total[u];
        for (int64_t c = 0; c < s.e; c++) ((vec *)read)[c * wide + u] *= factor[u];
        for (int64_t i = 0; i < LANES && u * LANES + i < many; i++)
            lse[u * LANES + i] = top[u][i] + (sizeof(REAL) == 4 ? __builtin_logf(total[u][i])
                                                                : __builtin_log(total[u][i]));
    }
    NAMED(turn_back)(out, read, s.e, many, wide);
}

/* dk and dv: of this head, in whole vectors, to be added to. */
INLINE void NAMED(backward_block)(REAL *dq, REAL *dk, REAL *dv, REAL *ddown, REAL *dacross,
                                  const REAL *q, const REAL *k, const REAL *v, const REAL *down,
                                  const REAL *across, const REAL *dout, const REAL *lse,
                                  const REAL *delta, int64_t many, shape s, REAL *room,
                                  const int wide) {
    const int64_t lanes = wide * LANES;
    REAL *mine = room, *rows = mine + s.d * lanes, *columns = rows + s.h * lanes;
    REAL *slope = columns + s.w * lanes, *back = slope + s.e * lanes;
    REAL *row_back = back + s.d * lanes, *column_back = row_back + s.h * lanes;
    REAL *mine_wide = column_back + s.w * lanes, *slope_wide = mine_wide + s.keys * lanes;
    vec *share = (vec *)(slope_wide + s.values * lanes), *grad = share + KEYS * wide;
    vec log_sum[WIDE] = {}, mean[WIDE] = {};
    NAMED(turn)(mine, q, s.d, many, wide);
    NAMED(turn)(rows, down, s.h, many, wide);
    NAMED(turn)(columns, across, s.w, many, wide);
    NAMED(turn)(slope, dout, s.e, many, wide);
    NAMED(widen)(mine_wide, q, s.d, s.keys, many, lanes);
    NAMED(widen)(slope_wide, dout, s.e, s.values, many, lanes);
    memcpy(log_sum, lse, sizeof(REAL) * many);
    memcpy(mean, delta, sizeof(REAL) * many);
    memset(back, 0, sizeof(REAL) * (s.d + s.h + s.w) * lanes);
    for (int64_t j = 0; j < s.n; j += KEYS) {
        const int64_t seen = s.n - j < KEYS ? s.n - j : KEYS;
        NAMED(scores)(share, k + j * s.d, (vec *)mine, s.d, (vec *)rows, (vec *)columns, j, seen,
                      s.w, 0, wide);
        NAMED(scores)(grad, v + j * s.e, (vec *)slope, s.e, 0, 0, j, seen, s.w, 0, wide);
        vec *row = (vec *)row_back + j / s.w * wide;
        vec *column = (vec *)column_back + j % s.w * wide;
        const vec *end = (vec *)column_back + s.w * wide;
        for (int64_t t = 0; t < seen; t++) {
            for (int u = 0; u < wide; u++) {
                const vec one = NAMED(expo)(share[t * wide + u] - log_sum[u]);
                const vec change = one * (grad[t * wide + u] - mean[u]);
                share[t * wide + u] = one;
                grad[t * wide + u] = change;
                row[u] += change;
                column[u] += change;
            }
            column += wide;
            if (column == end) column = (vec *)column_back, row += wide;
        }
        NAMED(mixture)((vec *)back, k + j * s.d, s.d, grad, seen, 0, wide);
        NAMED(gather)(dk + j * s.keys, grad, mine_wide, s.keys, seen, wide);
        NAMED(gather)(dv + j * s.values, share, slope_wide, s.values, seen, wide);
    }
    NAMED(turn_back)(dq, back, s.d, many, wide);
    NAMED(turn_back)(ddown, row_back, s.h, many, wide);
    NAMED(turn_back)(dacross, column_back, s.w, many, wide);
}

/* A number of vectors that is known when this is compiled lets the sums stay in registers. */
#define FOR_WIDTH(wide, call)                        \
    switch (wide) {                                  \
        case 1: { enum { W = 1 }; call; } break;     \
        case 2: { enum { W = 2 }; call; } break;     \
        case 3: { enum { W = WIDE < 3 ? WIDE : 3 }; call; } break; \
        default: { enum { W = WIDE }; call; }        \
    }

#define whole(x) (((x) + LANES - 1) / LANES)

static shape NAMED(shape_of)(int64_t d, int64_t e, int64_t h, int64_t w) {
    shape s = {h * w, d, e, h, w, whole(d) * LANES, whole(e) * LANES};
    return s;
}

/* q: heads n d, down: heads n h, across: heads n w, lse: heads n. Returns 1 where memory is
   short, else 0. */
int NAMED(forward)(REAL *out, REAL *lse, const REAL *q, const REAL *k, const REAL *v,
                   const REAL *down, const REAL *across, int64_t heads, int64_t d, int64_t e,
                   int64_t h, int64_t w, int threads) {
    const shape s = NAMED(shape_of)(d, e, h, w);
    const int64_t vectors = whole(s.n), blocks = (vectors + WIDE - 1) / WIDE;
    int failed = 0;
#pragma omp parallel num_threads(threads) if (heads * blocks > 1)
    {
        REAL *room = aligned_alloc(64, (sizeof(REAL) * NAMED(room_of)(s, 0) + 63) / 64 * 64);
        if (!room) failed = 1;
#pragma omp for schedule(dynamic)
        for (int64_t each = 0; each < heads * blocks; each++) {
            if (!room) continue;
            const int64_t head = each / blocks, block = each % blocks;
            const int64_t first = block * vectors / blocks;
            const int64_t wide = (block + 1) * vectors / blocks - first, i = first * LANES;
            const int64_t many = s.n - i < wide * LANES ? s.n - i : wide * LANES;
            const int64_t at = head * s.n + i;
            FOR_WIDTH(wide, NAMED(forward_block)(out + at * e, lse + at, q + at * d,
                                                 k + head * s.n * d, v + head * s.n * e,
                                                 down + at * h, across + at * w, many, s, room, W))
        }
        free(room);
    }
    return failed;
}

/* delta: heads n, the sum over e of out times its gradient. Each head is done by `parts` of its
   queries; dk and dv: parts heads n d, to be summed. */
int NAMED(backward)(REAL *dq, REAL *dk, REAL *dv, REAL *ddown, REAL *dacross, const REAL *q,
                    const REAL *k, const REAL *v, const REAL *down, const REAL *across,
                    const REAL *dout, const REAL *lse, const REAL *delta, int64_t heads, int64_t d,
                    int64_t e, int64_t h, int64_t w, int64_t parts, int threads) {
    const shape s = NAMED(shape_of)(d, e, h, w);
    const int64_t vectors = whole(s.n), blocks = (vectors + WIDE - 1) / WIDE;
    int failed = 0;
#pragma omp parallel num_threads(threads) if (heads * parts > 1)
    {
        REAL *room = aligned_alloc(64, (sizeof(REAL) * NAMED(room_of)(s, 1) + 63) / 64 * 64);
        if (!room) failed = 1;
#pragma omp for schedule(dynamic)
        for (int64_t each = 0; each < heads * parts; each++) {
            if (!room) continue;
            const int64_t head = each % heads, part = each / heads;
            REAL *back_k = room, *back_v = back_k + s.n * s.keys, *rest = back_v + s.n * s.values;
            memset(room, 0, sizeof(REAL) * s.n * (s.keys + s.values));
            for (int64_t block = part * blocks / parts; block < (part + 1) * blocks / parts;
                 block++) {
                const int64_t first = block * vectors / blocks;
                const int64_t wide = (block + 1) * vectors / blocks - first, i = first * LANES;
                const int64_t many = s.n - i < wide * LANES ? s.n - i : wide * LANES;
                const int64_t at = head * s.n + i;
                FOR_WIDTH(wide, NAMED(backward_block)(
                                    dq + at * d, back_k, back_v, ddown + at * h, dacross + at * w,
                                    q + at * d, k + head * s.n * d, v + head * s.n * e,
                                    down + at * h, across + at * w, dout + at * e, lse + at,
                                    delta + at, many, s, rest, W))
            }
            for (int64_t j = 0; j < s.n; j++) {
                memcpy(dk + (each * s.n + j) * d, back_k + j * s.keys, sizeof(REAL) * d);
                memcpy(dv + (each * s.n + j) * e, back_v + j * s.values, sizeof(REAL) * e);
            }
        }
        free(room);
    }
    return failed;
}

#undef shape
#undef whole
#undef FOR_WIDTH
#endif
