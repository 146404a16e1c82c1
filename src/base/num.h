/* num - text to numbers and back, in one place. Decimal only, no sign, no blanks, no overflow. */
#ifndef MAILROOM_BASE_NUM_H
#define MAILROOM_BASE_NUM_H

#include "base/err.h"
#include "base/span.h"

/* the whole span must be 1..20 digits and the value <= max; RC_BAD, or RC_LIMIT when it is a number above max */
enum rc num_parse(struct span s, uint64_t max, uint64_t *out) RC_WARN;
/* a duration with its unit, ms s min h d ("30min", "5 min", "90s"); the result is milliseconds */
enum rc num_parse_duration_ms(struct span s, uint64_t *ms_out) RC_WARN;
/* a size with its unit, B KB MB GB or KiB MiB GiB (both meaning powers of 1024, as mail programs do); bytes */
enum rc num_parse_size_bytes(struct span s, uint64_t *bytes_out) RC_WARN;
/* little-endian, from a place that has the bytes */
uint64_t num_le(const uint8_t *at, size_t bytes);
/* Crockford base 32, upper case, at least `digits` long, into out (14 bytes with the NUL are enough); returns out */
char *num_base32(uint64_t n, unsigned digits, char out[14]);
enum rc num_parse_base32(struct span s, uint64_t *out) RC_WARN;

#endif
