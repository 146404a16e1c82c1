/* mta_sts - MTA Strict Transport Security (RFC 8461) as text: the TXT record that says a policy exists and which one, the policy itself, and which hosts it
 * lets mail go to. Not responsible for fetching, keeping or obeying it. */
#ifndef MAILROOM_MAIL_MTA_STS_H
#define MAILROOM_MAIL_MTA_STS_H

#include "base/arena.h"
#include "base/err.h"

enum {
	MTA_STS_TEXT_BYTES = 64 << 10, /* RFC 8461 3.3 lets a limit be set, of at least 64 KiB */
	MTA_STS_ID_BYTES = 32,
	MTA_STS_MX_MAX = 2048,         /* patterns; a text with more is bad */
	MTA_STS_AGE_MAX_S = 31557600,  /* a year, RFC 8461 3.2 */
};

enum mta_sts_mode { MTA_STS_NONE, MTA_STS_TESTING, MTA_STS_ENFORCE };

struct mta_sts {
	enum mta_sts_mode mode;
	uint32_t max_age_s;
	const struct span *mx; /* patterns as they stand in the text: "mail.example.com", "*.example.net" */
	size_t mx_count;
};

/* One TXT record (its strings joined). RC_NONE: it is another kind of record; RC_BAD: it is of this kind, and broken (RFC 8461 3.1). A domain with more
 * than one record of this kind has no policy. */
enum rc mta_sts_record(struct span txt, struct span *id_out) RC_WARN;
/* A policy text. Spans in *out borrow from text, the list is in mem. RC_BAD, RC_LIMIT: err says what is wrong. */
enum rc mta_sts_parse(struct span text, struct arena *mem, struct mta_sts *out, struct err *err) RC_WARN;
/* may mail go to the MX host of that name (a dot at its end is no matter)? RFC 8461 4.1: a wildcard stands for exactly the left-most label */
bool mta_sts_match(const struct mta_sts *p, struct span host);
const char *mta_sts_mode_name(enum mta_sts_mode mode);

#endif
