/* relay_tls - what TLS a host that mail goes to must have, and making it so: opportunistic, required, verified; DANE (RFC 6698, 7672), MTA-STS (RFC 8461)
 * and what REQUIRETLS (RFC 8689) needs. DANE wins over MTA-STS. Part of the relay role: one struct relay_tls for the process, a plan for each destination
 * (its policy of MTA-STS) and for each of its hosts (its TLSA records), both found out asynchronously. Not responsible for connections, for MX and addresses,
 * or for what a failure means to a message.
 *
 * The order of things:
 *     d = relay_tls_dest_new(...), its function is called; for each host that is tried, once its addresses are known:
 *     h = relay_tls_host_new(d, ...), its function is called; relay_tls_host_cause(h) says whether the host may be tried at all
 *     relay_tls_host_mode(h) goes to smtp_out_new; SMTP_OUT_TLS: stream_tls_client(stream, relay_tls_ssl(h))
 *     on_tls: relay_tls_check(h, stream_ssl(stream), ok, why, &state); the engine says SMTP_OUT_NO_TLS: relay_tls_missing(h, ..., &state)
 *     state.cause is none: go on. Else this connection is of no use; state.retry_clear: once more, in a new connection with SMTP_OUT_TLS_NEVER (only where
 *     TLS is opportunistic); otherwise the host is deferred with that cause, never spoken to in the clear.
 *     a message with REQUIRETLS goes only where state.authenticated (and where the server offers REQUIRETLS, which smtp_out sees to). */
#ifndef MAILROOM_ROLE_RELAY_TLS_H
#define MAILROOM_ROLE_RELAY_TLS_H

#include <openssl/ssl.h>

#include "cause/cause.h"
#include "proto/smtp/smtp_out.h"
#include "role/names.h"
#include "role/role.h"

/* what the configuration asks for a destination */
enum relay_tls_level {
	RELAY_TLS_NEVER,    /* no TLS, no DANE, no MTA-STS */
	RELAY_TLS_MAY,      /* any certificate will do; in the clear where it cannot be had; more where DANE or MTA-STS say so */
	RELAY_TLS_MUST,     /* any certificate will do, but never in the clear */
	RELAY_TLS_VERIFIED, /* a certificate for the host's name by somebody in the CA file, or by DANE */
};

/* how a certificate was found good. Words in logs and history: "unchecked", "pkix", "sts", "dane" */
enum relay_tls_checked { RELAY_TLS_UNCHECKED, RELAY_TLS_PKIX, RELAY_TLS_STS, RELAY_TLS_DANE };

struct relay_tls_rules {
	const char *ca_file; /* PEM; "": the system's, and none where it has none */
	bool dane, sts;
};

struct relay_tls;
struct relay_tls_dest;
struct relay_tls_host;

/* Before the walls: reads the CA file. r: loop and parent are used; names stays the caller's and outlives it. RC_BAD, RC_IO: err names the file. */
enum rc relay_tls_new(struct role *r, struct names *names, const struct relay_tls_rules *rules, struct relay_tls **out, struct err *err) RC_WARN;
void relay_tls_free(struct relay_tls **t); /* after its destinations and hosts */
/* Channels. The store's is the relay's own: it is borrowed (NULL: it is gone; may call `ready` functions), and STS_IS frames are handed on here (RC_BAD: drop
 * the peer). That to fetch is kept here: takes fd; LOST is said to the parent when it ends. */
void relay_tls_store(struct relay_tls *t, struct chan *store);
enum rc relay_tls_on_sts(struct relay_tls *t, const struct msg_sts_is *m) RC_WARN;
void relay_tls_fetch_peer(struct relay_tls *t, uint32_t worker, int fd);

/* ---- a destination. `domain`: the next hop: of the recipients, or the host of a route; copied. by_mx: its hosts come from MX records, or it is its own
 * (implicit MX): MTA-STS is asked for; false: a smarthost or an address literal. `ready` is called once, later, never inside this call; it may take as long
 * as a policy takes to be fetched (the first time; RELAY_TLS_POLICY_MS at most). What it found is a snapshot: make a new one with each new look at the MX
 * records. */
enum { RELAY_TLS_POLICY_MS = 100000 };
typedef void relay_tls_dest_ready(void *arg, struct relay_tls_dest *d);
struct relay_tls_dest *relay_tls_dest_new(struct relay_tls *t, struct span domain, enum relay_tls_level level, bool by_mx, relay_tls_dest_ready *ready,
	void *arg);
void relay_tls_dest_free(struct relay_tls_dest **d); /* at any time, after its hosts; `ready` is not called any more */

/* ---- a host of it */
struct relay_tls_target {
	struct span name;      /* as the MX record or the route has it, no dot at its end; or an address without brackets, which has neither DANE nor SNI */
	struct span canonical; /* where the aliases of its addresses led; empty: there are none */
	bool mx_secure;        /* DNSSEC: the MX answer (implicit MX: that there are none). A route: true, the administrator said it */
	bool address_secure;   /* ... and the addresses: the one that is to be connected to */
	uint16_t port;
};
/* the spans are copied; `ready` as above, after two or three questions to the DNS at most. A host plan is good for any number of connections until its
 * destination is looked at anew. */
typedef void relay_tls_host_ready(void *arg, struct relay_tls_host *h);
struct relay_tls_host *relay_tls_host_new(struct relay_tls_dest *d, const struct relay_tls_target *target, relay_tls_host_ready *ready, void *arg);
void relay_tls_host_free(struct relay_tls_host **h);
/* CAUSE_NONE: it may be tried. Else it must not be now: its TLSA records cannot be had, or it is not in the policy; words (valid as long as h): for the log */
enum cause_id relay_tls_host_cause(const struct relay_tls_host *h, const char **words_out);
/* for smtp_out_new */
enum smtp_out_tls relay_tls_host_mode(const struct relay_tls_host *h);

/* A client for one connection to h, for stream_tls_client; NULL: OpenSSL has no memory. Verifies where h is verified, says the name (SNI), no ALPN. */
SSL *relay_tls_ssl(const struct relay_tls_host *h);

struct relay_tls_state {
	enum cause_id cause;             /* CAUSE_NONE: go on */
	enum relay_tls_checked checked;
	bool authenticated;              /* good enough for REQUIRETLS: DANE, MTA-STS, verified, or a good certificate of a host whose MX answer is secure */
	bool retry_clear;                /* the handshake failed and TLS was opportunistic */
	char words[256];                 /* what went wrong, printable; "" where nothing did */
};
/* after on_tls. ok, why: as on_tls got them; ssl: the stream's. RC_BAD from stream_tls_client: NULL, false, STREAM_WHY_INJECTION. Always fills *out. */
void relay_tls_check(const struct relay_tls_host *h, SSL *ssl, bool ok, const char *why, struct relay_tls_state *out);
/* the engine gave up as TLS was a must: STARTTLS was not offered (code 0) or refused with code and words. Always sets a cause. */
void relay_tls_missing(const struct relay_tls_host *h, unsigned code, struct span words, struct relay_tls_state *out);
/* for logs and the frame `delivery`: "TLSv1.3 TLS_AES_256_GCM_SHA384 dane"; nothing where ssl is NULL */
void relay_tls_words(SSL *ssl, const struct relay_tls_state *state, struct buf *out);
const char *relay_tls_checked_name(enum relay_tls_checked checked);

#endif
