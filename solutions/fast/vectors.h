/* Vectors for the kernels, by gcc's and clang's extension: any processor.

   Included with DOUBLE 0 and again with DOUBLE 1. A vector is as long as a register of the
   processor that this is compiled for; ATTNCOURSE_VECTOR_BYTES, 16, 32 or 64, says otherwise.
   Longer ones are right and slow: the compiler makes each of several registers, and loops of
   them do not fit. Afterwards there are REAL, INTEGER, LANES, NAMED(name), the types vec and
   ints, load, store, pick, larger and expo; and once a function, vector_bytes. */

#undef REAL
#undef INTEGER
#undef UNSIGNED
#undef NAMED
#undef LANES
#undef vec
#undef any
#undef ints
#undef words

#ifndef BYTES
#if defined(ATTNCOURSE_VECTOR_BYTES)
#define BYTES ATTNCOURSE_VECTOR_BYTES
#elif defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX2__)
#define BYTES 32
#else /* SSE2, NEON, and what the compiler makes of it elsewhere */
#define BYTES 16
#endif
int vector_bytes(void) { return BYTES; } /* for who asks */
#endif

#if DOUBLE
#define REAL double
#define INTEGER int64_t
#define UNSIGNED uint64_t
#define NAMED(name) name##_double
#else
#define REAL float
#define INTEGER int32_t
#define UNSIGNED uint32_t
#define NAMED(name) name##_float
#endif
#define LANES (BYTES / (int)sizeof(REAL))

#define vec NAMED(vec)
#define any NAMED(any)
#define ints NAMED(ints)
#define words NAMED(words)
typedef REAL vec __attribute__((vector_size(BYTES), aligned(BYTES), may_alias));
typedef REAL any __attribute__((vector_size(BYTES), aligned(sizeof(REAL)), may_alias));
typedef INTEGER ints __attribute__((vector_size(BYTES)));
typedef UNSIGNED words __attribute__((vector_size(BYTES)));

#define load(p) (*(const any *)(p))
#define store(p, x) (*(any *)(p) = (x))
#define pick(mask, x, y) ((vec)(((ints)(x) & (mask)) | ((ints)(y) & ~(mask))))
#define larger(x, y) pick((x) > (y), x, y)

/* e to the x for x <= 0, to rounding, 0 where that is smaller than any normal number: 2^n e^r,
   with n the nearest integer to x / ln 2 and r what is left. */
static inline vec NAMED(expo)(vec x) {
#if DOUBLE
    static const REAL factor[] = {1, 1, 1. / 2, 1. / 6, 1. / 24, 1. / 120, 1. / 720, 1. / 5040,
        1. / 40320, 1. / 362880, 1. / 3628800, 1. / 39916800, 1. / 479001600, 1. / 6227020800};
    const REAL magic = 6755399441055744.0, least = -708.0;
    const REAL most_of_it = 0.693147180369123816490, rest = 1.90821492927058770002e-10;
    const int degree = 13, bits = 52;
#else
    /* fitted to e^r for |r| <= ln 2 / 2: 1e-8 at most */
    static const REAL factor[] = {1, 1, 0.5, 0.16666577, 0.0416665546, 0.00836317905,
        0.00139261836};
    const REAL magic = 12582912.0, least = -87.0;
    const REAL most_of_it = 0.693359375, rest = -2.12194440e-4;
    const int degree = 6, bits = 23;
#endif
    const vec shifted = x * (REAL)1.4426950408889634 + magic, n = shifted - magic;
    const vec r = x - n * most_of_it - n * rest;
    vec y = (vec){} + factor[degree];
    for (int i = degree - 1; i >= 0; i--) y = y * r + factor[i];
    /* n is in the last bits of `shifted`: moved up, it is added to the exponent */
    y = (vec)((words)y + ((words)shifted << bits));
    return (vec)((ints)y & ~(x < least)); /* what is not a number stays so */
}
