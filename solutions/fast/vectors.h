/* Vectors for the kernels, by gcc's and clang's extension: no intrinsics, any processor.

   Included once with DOUBLE 0 and once with DOUBLE 1. Before it, BYTES may say how long a vector
   is; afterwards there are REAL, LANES, NAMED(name), vec, ints, load, store, pick and expo. */

#undef REAL
#undef INTEGER
#undef NAMED
#undef LANES
#undef vec
#undef any
#undef ints

#ifndef BYTES
#define BYTES 64
#endif

#if DOUBLE
#define REAL double
#define INTEGER int64_t
#define NAMED(name) name##_double
#else
#define REAL float
#define INTEGER int32_t
#define NAMED(name) name##_float
#endif
#define LANES (BYTES / (int)sizeof(REAL))

#define vec NAMED(vec)
#define any NAMED(any)
#define ints NAMED(ints)
typedef REAL vec __attribute__((vector_size(BYTES), aligned(BYTES), may_alias));
typedef REAL any __attribute__((vector_size(BYTES), aligned(sizeof(REAL)), may_alias));
typedef INTEGER ints __attribute__((vector_size(BYTES)));

#define load(p) (*(const any *)(p))
#define store(p, x) (*(any *)(p) = (x))
#define pick(mask, x, y) ((vec)(((ints)(x) & (mask)) | ((ints)(y) & ~(mask))))

/* e to the x for x <= 0, to rounding: 2^n (1 + r + r²/2 …), n the nearest integer to x / ln 2
   and r what is left. Products with 1 / i! instead of divisions, which take ten times as long. */
static inline vec NAMED(expo)(vec x) {
#if DOUBLE
    static const REAL factor[] = {1, 1, 1. / 2, 1. / 6, 1. / 24, 1. / 120, 1. / 720, 1. / 5040,
        1. / 40320, 1. / 362880, 1. / 3628800, 1. / 39916800, 1. / 479001600, 1. / 6227020800};
    const REAL magic = 6755399441055744.0, low = -708.0;
    const REAL high_part = 0.693147180369123816490, low_part = 1.90821492927058770002e-10;
    const int degree = 13, bits = 52;
#else
    static const REAL factor[] = {1, 1, 1. / 2, 1. / 6, 1. / 24, 1. / 120, 1. / 720, 1. / 5040};
    const REAL magic = 12582912.0, low = -87.0;
    const REAL high_part = 0.693359375, low_part = -2.12194440e-4;
    const int degree = 7, bits = 23;
#endif
    ints tiny = x < low;
    x = pick(tiny, (vec){} + low, x);
    vec shifted = x * (REAL)1.4426950408889634 + magic;
    vec n = shifted - magic;
    vec r = x - n * high_part;
    r = r - n * low_part;
    vec y = (vec){} + factor[degree];
    for (int i = degree - 1; i >= 0; i--) y = y * r + factor[i];
    /* n stands in the last bits of `shifted`: moved up, it is added to the exponent */
    y = (vec)((ints)y + ((ints)shifted << bits));
    return pick(tiny, (vec){}, y);
}
