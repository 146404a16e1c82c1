/* rate - how much of something happened under a key (messages of an account, connections of an address) in the last 10 seconds, minute, hour and day. Four
 * sliding windows an entry, in a table of fixed size. Pure: time is an argument and monotonic; the wall clock only tells how long ago a saved entry was saved.
 * Not responsible for what a limit means, for names, or for where saved entries are kept.
 *
 * Error: a window is counted in eighths, and the eighth that is running counts whole. So no span of its length ever has more than the limit in it, and what is
 * refused would also be too much for a span 1/8 longer. Retry times are exact: what was refused passes then, if nothing else is counted meanwhile. An entry that
 * was loaded after the monotonic clock began anew may be one more eighth late.
 *
 * Memory: entries live in sets of 8 chosen by a keyed hash, so nobody can aim at another's. A new one in a full set takes the place of the one that counted
 * least in the day before it was last heard of (nothing, if that was more than a day ago), and of these the one that was silent longest. Counters stop at UINT32_MAX an eighth. */
#ifndef MAILROOM_POLICY_RATE_H
#define MAILROOM_POLICY_RATE_H

#include "base/clock.h"
#include "base/err.h"
#include "base/span.h"

enum { RATE_PEAK, RATE_MINUTE, RATE_HOUR, RATE_DAY, RATE_WINDOWS };
enum {
	RATE_SLOTS = 9,          /* the eighths of a window, and the one that is running */
	RATE_KEY_BYTES = 38,
	RATE_SAVED_BYTES = 17 + RATE_WINDOWS * 4 * (1 + RATE_SLOTS),
};

struct rate_key {
	uint8_t kind, len;       /* kind: the caller's */
	uint8_t bytes[RATE_KEY_BYTES];
};

struct rate_hit {
	int window;              /* RATE_PEAK ...; of several that are full the one that is full longest */
	uint32_t most;
	uint64_t used;
	uint64_t retry_ms;       /* from now */
	bool hopeless;           /* n alone is more than the limit: smaller pieces would pass, after retry_ms */
};

struct rate_table;
/* entries: at most, rounded down to a multiple of 8, at least 8. boot: what tells one start of the machine (and so of the monotonic clock) from others; 0: not known */
struct rate_table *rate_table_new(uint32_t entries, uint64_t boot);
void rate_table_free(struct rate_table **t);

/* RC_LIMIT: bytes are longer than RATE_KEY_BYTES */
enum rc rate_key_make(uint8_t kind, struct span bytes, struct rate_key *out) RC_WARN;
bool rate_key_eq(const struct rate_key *a, const struct rate_key *b);

/* Would n more stay within these limits (0: none)? false: *hit_out says which one not. Counts nothing. */
bool rate_check(const struct rate_table *t, const struct rate_key *k, const uint32_t most[RATE_WINDOWS], uint32_t n, mono_ms now, struct rate_hit *hit_out);
void rate_count(struct rate_table *t, const struct rate_key *k, uint32_t n, mono_ms now);
/* takes back what was counted, the latest first: for what was refused after all */
void rate_uncount(struct rate_table *t, const struct rate_key *k, uint32_t n, mono_ms now);
/* false: nothing is known under this key, used_out is all 0 */
bool rate_used(const struct rate_table *t, const struct rate_key *k, mono_ms now, uint64_t used_out[RATE_WINDOWS]);
/* every key in the table, some of them with nothing left in any window; false: no more. Start with *at = 0; nothing may be counted meanwhile. */
bool rate_next(const struct rate_table *t, size_t *at, struct rate_key *key_out);
void rate_forget(struct rate_table *t, const struct rate_key *k);

/* The entry that changed first of those that changed since they were last saved; false: none. */
bool rate_take_changed(struct rate_table *t, struct rate_key *key_out);
/* it could not be written: it counts as changed again */
void rate_put_changed(struct rate_table *t, const struct rate_key *k);
/* false: there is no such entry */
bool rate_save(const struct rate_table *t, const struct rate_key *k, mono_ms now, uint8_t saved_out[RATE_SAVED_BYTES]);
/* Back into the table. Time since then: by the monotonic clock where the machine has not been started since, else gap_ms, what the wall clock says; where that
 * went back (gap_ms < 0) none at all. RC_BAD: not what rate_save wrote; RC_EXISTS: the key is there already, and stays as it is; RC_NONE: too old to matter. */
enum rc rate_load(struct rate_table *t, const struct rate_key *k, struct span saved, int64_t gap_ms, mono_ms now) RC_WARN;

uint64_t rate_window_ms(int window);
/* "in 10 s", "a minute": behind a number of things */
const char *rate_window_words(int window);
/* "40 s", "12 min", "3 h": rounded up */
void rate_write_wait(char *out, size_t size, uint64_t ms);

#endif
