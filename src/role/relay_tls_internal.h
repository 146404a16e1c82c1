/* relay_tls_internal - what the parts of relay_tls share: relay_tls.c (plans), relay_tls_dane.c (TLSA records), relay_tls_check.c (connections). */
#ifndef MAILROOM_ROLE_RELAY_TLS_INTERNAL_H
#define MAILROOM_ROLE_RELAY_TLS_INTERNAL_H

#include "role/relay_sts.h"
#include "role/relay_tls.h"

enum {
	RELAY_TLSA_MAX = 32,              /* usable records of a host that are kept; more are passed over */
	RELAY_TLSA_BYTES = 64 << 10,      /* ... and their data */
	RELAY_TLSA_WORDS_BYTES = 256,
};

struct relay_tls {
	struct role *role;
	struct names *names;
	struct relay_sts *sts; /* NULL: not heeded */
	SSL_CTX *ctx;
	bool dane;
};

struct relay_tls_dest {
	struct relay_tls *tls;
	enum relay_tls_level level;
	relay_tls_dest_ready *ready;
	void *arg;
	struct relay_sts_wait wait;
	struct loop_hook soon;
	struct sts_policy *policy; /* NULL: none */
	bool by_mx;
	char *domain;
};

struct relay_tlsa {
	uint8_t usage, selector, matching;
	struct span data;
};

/* what a certificate is held against; each includes that there is TLS */
enum relay_tls_need { RELAY_NEED_NOTHING, RELAY_NEED_TLS, RELAY_NEED_PKIX, RELAY_NEED_STS, RELAY_NEED_DANE };

struct relay_tls_host {
	struct relay_tls_dest *dest;
	relay_tls_host_ready *ready;
	void *arg;
	struct loop_hook soon;
	char *name, *canonical;    /* "" where there is none */
	uint32_t question;         /* 0: none */
	uint16_t port;
	bool mx_secure;
	bool literal;              /* the name is an address */
	bool tlsa_secure;          /* there are TLSA records, perhaps none that is usable */
	bool base_is_canonical;    /* they are those of `canonical` */
	enum relay_tls_need need;
	enum cause_id cause;       /* CAUSE_NONE: it may be tried */
	char words[RELAY_TLSA_WORDS_BYTES];
	struct relay_tlsa tlsa[RELAY_TLSA_MAX];
	size_t tlsa_count;
	struct arena mem;          /* of their data */
};

/* ---- relay_tls_dane.c */
/* keeps the records of a secure answer that SMTP and this OpenSSL can use (RFC 7672 3.1) */
void relay_dane_take(struct relay_tls_host *h, const struct msg_name_is *answer);
/* false: OpenSSL does not take it */
bool relay_dane_set(const struct relay_tls_host *h, SSL *ssl);

/* ---- relay_tls_check.c */
/* RC_BAD, RC_IO: err names the file */
enum rc relay_tls_ctx_new(const char *ca_file, SSL_CTX **out, struct err *err) RC_WARN;

#endif
