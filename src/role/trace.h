/* trace - the header lines that mailroom puts on top of what it takes: Received (RFC 5321 4.4) and, on submission, what RFC 6409 8 lets it complete. */
#ifndef MAILROOM_ROLE_TRACE_H
#define MAILROOM_ROLE_TRACE_H

#include "base/buf.h"
#include "mail/address.h"
#include "mail/header.h"

struct trace_facts {
	struct span helo, peer, hostname, id;
	struct span only_rcpt;    /* in ASCII where it has such a form, so that the line alone never needs SMTPUTF8 on the way on; the recipient where there is just one; empty: left out, so that nobody learns of blind copies */
	struct span relay_by, relay_account; /* let in by "relay-window" or "network" instead of a sign-in, and as whom; empty: not so */
	struct span tls_version, tls_cipher; /* empty: plain */
	bool esmtp, utf8, authenticated;
	int64_t wall_ms;
};
/* "Received: from ... by ... with ESMTPSA id ...; date" with folding; every piece from outside is made safe */
void trace_write_received(struct buf *out, const struct trace_facts *f);

/* Adds Date and Message-ID where the header has none; returns how many lines were added. */
unsigned trace_complete_header(struct buf *out, const struct header_facts *h, struct span hostname, uint64_t unique, int64_t wall_ms);

#endif
