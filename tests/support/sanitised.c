/* Calls a kernel in C on odd shapes, every tensor in memory of exactly its size, so that a
   sanitiser sees each number read or written beside it.

   cc -DLOCAL=1 -I solutions/fast -fsanitize=address,undefined sanitised.c local.c -lm */

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t state = 1;

static uint64_t next(uint64_t below) { /* Knuth's MMIX */
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % below;
}

static int64_t one_of(const int64_t *some, int many) { return some[next(many)]; }

static const int64_t FEATURES[] = {0, 1, 2, 3, 5, 8, 16, 17, 33};
static const int64_t PIXELS[] = {1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33, 70};
static const int64_t WINDOWS[] = {1, 3, 5, 7, 9, 31};

#define TRY(REAL, suffix)                                                                        \
    static REAL *some_##suffix(int64_t numbers, int random) {                                    \
        REAL *to = malloc(sizeof(REAL) * numbers);                                               \
        for (int64_t i = 0; i < numbers; i++)                                                    \
            to[i] = random ? (REAL)next(2001) / 1000 - 1 : (REAL)NAN;                            \
        return to;                                                                               \
    }                                                                                            \
    static void seen_##suffix(REAL *x, int64_t numbers, const char *name) {                      \
        for (int64_t i = 0; i < numbers; i++)                                                    \
            if (!isfinite(x[i])) {                                                               \
                printf("%s: number %lld of %lld is %g\n", name, (long long)i,                    \
                       (long long)numbers, (double)x[i]);                                        \
                exit(1);                                                                         \
            }                                                                                    \
        free(x);                                                                                 \
    }                                                                                            \
    DECLARE(REAL, suffix)                                                                        \
    static void try_##suffix(int threads) {                                                      \
        const int64_t b = 1 + next(2), heads = 1 + next(2), n = b * heads;                       \
        int64_t d = one_of(FEATURES, 9), e = one_of(FEATURES, 9);                                \
        int64_t h = one_of(PIXELS, 12), w = one_of(PIXELS, 13);                                  \
        BODY(REAL, suffix)                                                                       \
    }

#define NEW(name, numbers, random, suffix)                                                       \
    const int64_t n_##name = (numbers);                                                          \
    name = some_##suffix(n_##name, random)
#define SEEN(name, suffix) seen_##suffix(name, n_##name, #name)

#if LOCAL
#define DECLARE(REAL, suffix)                                                                    \
    int forward_##suffix(REAL *, REAL *, const REAL *, const REAL *, const REAL *, const REAL *, \
                         const REAL *, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t,     \
                         int, int);                                                              \
    int backward_##suffix(REAL *, REAL *, REAL *, REAL *, REAL *, const REAL *, const REAL *,    \
                          const REAL *, const REAL *, const REAL *, const REAL *, const REAL *,  \
                          const REAL *, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t,    \
                          int, int);
#define BODY(REAL, suffix)                                                                       \
    const int window = (int)one_of(WINDOWS, 6);                                                  \
    d -= d % 2;                                                                                  \
    if (window > 9) h = h % 6 + 1;                                                               \
    const int64_t places = h * w, table = window * (d / 2);                                      \
    REAL *q, *k, *v, *rows, *columns, *out, *lse, *dout, *delta, *dq, *dk, *dv, *dr, *dc;        \
    printf(#suffix " n=%d d=%d e=%d h=%d w=%d window=%d\n", (int)n, (int)d, (int)e, (int)h,      \
           (int)w, window);                                                                      \
    NEW(q, n * d * places, 1, suffix);                                                           \
    NEW(k, n * d * places, 1, suffix);                                                           \
    NEW(v, n * e * places, 1, suffix);                                                           \
    NEW(rows, heads * table, 1, suffix);                                                         \
    NEW(columns, heads * table, 1, suffix);                                                      \
    NEW(out, n * e * places, 0, suffix);                                                         \
    NEW(lse, n * places, 0, suffix);                                                             \
    NEW(dout, n * e * places, 1, suffix);                                                        \
    NEW(delta, n * places, 1, suffix);                                                           \
    NEW(dq, n * d * places, 0, suffix);                                                          \
    NEW(dk, n * d * places, 0, suffix);                                                          \
    NEW(dv, n * e * places, 0, suffix);                                                          \
    NEW(dr, n * table, 0, suffix);                                                               \
    NEW(dc, n * table, 0, suffix);                                                               \
    if (forward_##suffix(out, lse, q, k, v, rows, columns, n, heads, d, e, h, w, window,         \
                         threads) ||                                                             \
        backward_##suffix(dq, dk, dv, dr, dc, q, k, v, rows, columns, dout, lse, delta, n,       \
                          heads, d, e, h, w, window, threads))                                   \
        exit(2);                                                                                 \
    SEEN(rows, suffix);                                                                          \
    SEEN(columns, suffix);                                                                       \
    SEEN(delta, suffix);                                                                         \
    REST(suffix)
#else
#define DECLARE(REAL, suffix)                                                                    \
    int forward_##suffix(REAL *, REAL *, const REAL *, const REAL *, const REAL *, const REAL *, \
                         const REAL *, int64_t, int64_t, int64_t, int64_t, int64_t, int);        \
    int backward_##suffix(REAL *, REAL *, REAL *, REAL *, REAL *, const REAL *, const REAL *,    \
                          const REAL *, const REAL *, const REAL *, const REAL *, const REAL *,  \
                          const REAL *, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t,    \
                          int);
#define BODY(REAL, suffix)                                                                       \
    d += !d;                                                                                     \
    const int64_t places = h * w, parts = 1 + next(3);                                           \
    REAL *q, *k, *v, *rows, *columns, *out, *lse, *dout, *dq, *dk, *dv, *dr, *dc;                \
    printf(#suffix " n=%d d=%d e=%d h=%d w=%d parts=%d\n", (int)n, (int)d, (int)e, (int)h,       \
           (int)w, (int)parts);                                                                  \
    NEW(q, n * d * places, 1, suffix);                                                           \
    NEW(k, n * d * places, 1, suffix);                                                           \
    NEW(v, n * e * places, 1, suffix);                                                           \
    NEW(rows, (2 * h - 1) * d, 1, suffix);                                                       \
    NEW(columns, (2 * w - 1) * d, 1, suffix);                                                    \
    NEW(out, n * e * places, 0, suffix);                                                         \
    NEW(lse, n * places, 0, suffix);                                                             \
    NEW(dout, n * e * places, 1, suffix);                                                        \
    NEW(dq, n * d * places, 0, suffix);                                                          \
    NEW(dk, parts * n * d * places, 0, suffix);                                                  \
    NEW(dv, parts * n * e * places, 0, suffix);                                                  \
    NEW(dr, parts * n * (2 * h - 1) * d, 0, suffix);                                             \
    NEW(dc, parts * n * (2 * w - 1) * d, 0, suffix);                                             \
    if (forward_##suffix(out, lse, q, k, v, rows, columns, n, d, e, h, w, threads) ||            \
        backward_##suffix(dq, dk, dv, dr, dc, q, k, v, rows, columns, dout, out, lse, n, d, e,   \
                          h, w, parts, threads))                                                 \
        exit(2);                                                                                 \
    SEEN(rows, suffix);                                                                          \
    SEEN(columns, suffix);                                                                       \
    REST(suffix)
#endif
#define REST(suffix)                                                                             \
    SEEN(q, suffix);                                                                             \
    SEEN(k, suffix);                                                                             \
    SEEN(v, suffix);                                                                             \
    SEEN(out, suffix);                                                                           \
    SEEN(lse, suffix);                                                                           \
    SEEN(dout, suffix);                                                                          \
    SEEN(dq, suffix);                                                                            \
    SEEN(dk, suffix);                                                                            \
    SEEN(dv, suffix);                                                                            \
    SEEN(dr, suffix);                                                                            \
    SEEN(dc, suffix);

TRY(float, float)
TRY(double, double)

int main(int count, char **given) {
    const int many = count > 1 ? atoi(given[1]) : 20;
    for (int i = 0; i < many; i++) {
        try_float(1 + i % 2);
        try_double(1 + i % 2);
        fflush(stdout);
    }
    printf("%d shapes\n", 2 * many);
    return 0;
}
