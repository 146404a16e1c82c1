/* What TLS a host must have: DANE, MTA-STS, the settings; certificates that are right, wrong, expired; real handshakes through memory. */
#include "relay_tls_world.h"

#include <openssl/err.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

#include "loop/stream.h"
#include "tls_ca.h"

static struct tls_ca ca, stranger;
static char ca_path[] = "/tmp/mailroom-test-ca-XXXXXX";

enum which { WHOLE = 0, KEY = 1, PLAIN = 0, SHA_256 = 1, SHA_512 = 2 };

/* a TLSA record for cert */
static void tlsa(struct buf *out, uint8_t usage, uint8_t selector, uint8_t matching, X509 *cert)
{
	uint8_t *der = NULL, digest[64];
	int len = selector == KEY ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der) : i2d_X509(cert, &der);

	assert_true(len > 0);
	buf_init(out, 1 << 16);
	buf_add_byte(out, usage);
	buf_add_byte(out, selector);
	buf_add_byte(out, matching);
	if (matching == PLAIN) {
		buf_add(out, span_of(der, (size_t)len));
	} else {
		if (matching == SHA_256)
			SHA256(der, (size_t)len, digest);
		else
			SHA512(der, (size_t)len, digest);
		buf_add(out, span_of(digest, matching == SHA_256 ? 32 : 64));
	}
	OPENSSL_free(der);
}

static void publish(const char *name, enum name_security security, uint8_t usage, uint8_t selector, uint8_t matching, X509 *cert)
{
	struct buf data;

	tlsa(&data, usage, selector, matching, cert);
	(void)names_stub_add(NAME_TLSA, name, security, buf_span(&data));
	buf_clear(&data);
}

/* ---- plans */

struct plan {
	struct relay_tls_dest *dest;
	struct relay_tls_host *host;
	struct relay_tls_target target;
	bool route;
};

static const struct relay_tls_target secure_target = {.name = {(const uint8_t *)"mx.test", 7}, .mx_secure = true, .address_secure = true, .port = 25};

static void plan_open(struct plan *p, struct world *w, enum relay_tls_level level)
{
	if (!p->target.port)
		p->target = secure_target;
	p->dest = relay_tls_dest_new(w->tls, SPAN_LIT("hop.test"), level, !p->route, world_dest_ready, w);
	world_run(w, w->ready + 1);
	p->host = relay_tls_host_new(p->dest, &p->target, world_host_ready, w);
	world_run(w, w->ready + 1);
}

static void plan_close(struct plan *p)
{
	relay_tls_host_free(&p->host);
	relay_tls_dest_free(&p->dest);
}

static enum cause_id plan_cause(const struct plan *p)
{
	const char *words = NULL;
	enum cause_id cause = relay_tls_host_cause(p->host, &words);

	assert_true((cause == CAUSE_NONE) == (words[0] == '\0'));
	return cause;
}

/* ---- handshakes */

struct shake {
	struct relay_tls_state state;
	char sni[100], words[200];
};

static void shake(const struct relay_tls_host *h, SSL_CTX *server_ctx, struct shake *out)
{
	SSL *client = relay_tls_ssl(h), *server = SSL_new(server_ctx);
	BIO *near, *far;
	struct buf words;
	int rc = 0;

	assert_non_null(client);
	memset(out, 0, sizeof(*out));
	assert_int_equal(BIO_new_bio_pair(&near, 1 << 16, &far, 1 << 16), 1);
	SSL_set_bio(client, near, near);
	SSL_set_bio(server, far, far);
	SSL_set_connect_state(client);
	SSL_set_accept_state(server);
	ERR_clear_error();
	for (int i = 0; i < 10 && rc != 1; i++) {
		rc = SSL_do_handshake(client);
		if (rc != 1 && SSL_get_error(client, rc) != SSL_ERROR_WANT_READ)
			break;
		(void)SSL_do_handshake(server);
		ERR_clear_error();
	}
	relay_tls_check(h, client, rc == 1, rc == 1 ? "" : "some alert", &out->state);
	if (SSL_get_servername(server, TLSEXT_NAMETYPE_host_name))
		(void)snprintf(out->sni, sizeof(out->sni), "%s", SSL_get_servername(server, TLSEXT_NAMETYPE_host_name));
	buf_init(&words, 200);
	relay_tls_words(client, &out->state, &words);
	(void)snprintf(out->words, sizeof(out->words), "%s", buf_cstr(&words));
	buf_clear(&words);
	ERR_clear_error();
	SSL_free(client);
	SSL_free(server);
}

/* takes server */
static void check(const struct plan *p, SSL_CTX *server, enum cause_id cause, enum relay_tls_checked checked, bool authenticated)
{
	struct shake s;

	shake(p->host, server, &s);
	if (s.state.cause != cause)
		fail_msg("cause %s (%s), not %s", cause_slug(s.state.cause), s.state.words, cause_slug(cause));
	assert_string_equal(relay_tls_checked_name(s.state.checked), relay_tls_checked_name(checked));
	assert_int_equal(s.state.authenticated, authenticated);
	assert_true((cause == CAUSE_NONE) == (s.state.words[0] == '\0'));
	if (cause == CAUSE_TLS_CERT_NAME_MISMATCH)
		assert_string_equal(s.state.words, "hostname mismatch");
	SSL_CTX_free(server);
}

/* ---- opportunistic, required, verified */

enum { DAY = 86400 };

static const struct {
	const char *names;
	long until_s;
	bool by_ca;
	enum relay_tls_checked checked; /* where any will do */
	enum cause_id cause;            /* where it is verified */
} certificates[] = {
	{"DNS:mx.test", DAY, true, RELAY_TLS_PKIX, CAUSE_NONE},
	{"DNS:other.test", DAY, true, RELAY_TLS_UNCHECKED, CAUSE_TLS_CERT_NAME_MISMATCH},
	{"DNS:mx.test", -DAY, true, RELAY_TLS_UNCHECKED, CAUSE_TLS_CERT_UNTRUSTED},
	{"DNS:mx.test", DAY, false, RELAY_TLS_UNCHECKED, CAUSE_TLS_CERT_UNTRUSTED},
};

static void test_levels(void **state)
{
	static const struct {
		enum relay_tls_level level;
		enum smtp_out_tls mode;
	} levels[] = {{RELAY_TLS_MAY, SMTP_OUT_TLS_MAY}, {RELAY_TLS_MUST, SMTP_OUT_TLS_MUST}, {RELAY_TLS_VERIFIED, SMTP_OUT_TLS_MUST},
		{RELAY_TLS_NEVER, SMTP_OUT_TLS_NEVER}};
	struct world w;

	(void)state;
	world_open(&w, ca_path, true, true);
	for (size_t l = 0; l < sizeof(levels) / sizeof(levels[0]); l++) {
		struct plan p = {.target = secure_target};

		p.target.mx_secure = false;
		plan_open(&p, &w, levels[l].level);
		assert_int_equal(plan_cause(&p), CAUSE_NONE);
		assert_int_equal(relay_tls_host_mode(p.host), levels[l].mode);
		for (size_t i = 0; i < sizeof(certificates) / sizeof(certificates[0]) && levels[l].level != RELAY_TLS_NEVER; i++) {
			SSL_CTX *server = tls_ca_server(certificates[i].by_ca ? &ca : NULL, certificates[i].names, certificates[i].until_s);
			bool verified = levels[l].level == RELAY_TLS_VERIFIED, fails = verified && certificates[i].cause != CAUSE_NONE;

			check(&p, server, verified ? certificates[i].cause : CAUSE_NONE, fails ? RELAY_TLS_UNCHECKED : certificates[i].checked, verified && !fails);
		}
		plan_close(&p);
	}
	world_close(&w);
}

static void test_words(void **state)
{
	SSL_CTX *server = tls_ca_server(&ca, "DNS:mx.test", DAY);
	struct plan p = {0};
	struct shake s;
	struct world w;

	(void)state;
	world_open(&w, ca_path, true, true);
	plan_open(&p, &w, RELAY_TLS_MAY);
	shake(p.host, server, &s);
	assert_string_equal(s.words, "TLSv1.3 TLS_AES_256_GCM_SHA384 pkix");
	assert_string_equal(s.sni, "mx.test");
	assert_true(s.state.authenticated); /* its name is from a secure MX answer */
	plan_close(&p);
	SSL_CTX_free(server);
	world_close(&w);
}

/* a server that only speaks what is out of date: good enough where the clear would do, not where TLS is a must */
static void test_old_tls(void **state)
{
	SSL_CTX *server = tls_ca_server(&ca, "DNS:mx.test", DAY);
	struct plan p = {0};
	struct shake s;
	struct world w;

	(void)state;
	(void)SSL_CTX_set_min_proto_version(server, TLS1_VERSION);
	assert_int_equal(SSL_CTX_set_max_proto_version(server, TLS1_VERSION), 1);
	SSL_CTX_set_security_level(server, 0);
	assert_int_equal(SSL_CTX_set_cipher_list(server, "ALL:@SECLEVEL=0"), 1);
	world_open(&w, ca_path, true, true);
	plan_open(&p, &w, RELAY_TLS_MAY);
	shake(p.host, server, &s);
	assert_int_equal(s.state.cause, CAUSE_NONE);
	assert_int_equal(strncmp(s.words, "TLSv1 ", 6), 0);
	plan_close(&p);
	plan_open(&p, &w, RELAY_TLS_MUST);
	shake(p.host, server, &s);
	assert_int_equal(s.state.cause, CAUSE_TLS_REMOTE_FAILED);
	assert_false(s.state.retry_clear);
	plan_close(&p);
	SSL_CTX_free(server);
	world_close(&w);
}

/* what follows a handshake that failed, and a server without STARTTLS */
static void test_failures(void **state)
{
	struct plan p = {0};
	struct relay_tls_state s;
	struct world w;

	(void)state;
	world_open(&w, ca_path, true, true);
	plan_open(&p, &w, RELAY_TLS_MAY);
	relay_tls_check(p.host, NULL, false, "closed by peer", &s);
	assert_int_equal(s.cause, CAUSE_TLS_REMOTE_FAILED);
	assert_true(s.retry_clear);
	assert_string_equal(s.words, "closed by peer");
	relay_tls_check(p.host, NULL, false, STREAM_WHY_INJECTION, &s);
	assert_int_equal(s.cause, CAUSE_TLS_REMOTE_FAILED);
	assert_false(s.retry_clear);
	plan_close(&p);

	plan_open(&p, &w, RELAY_TLS_MUST);
	relay_tls_check(p.host, NULL, false, "closed by peer", &s);
	assert_int_equal(s.cause, CAUSE_TLS_REMOTE_FAILED);
	assert_false(s.retry_clear);
	relay_tls_missing(p.host, 0, SPAN_NONE, &s);
	assert_int_equal(s.cause, CAUSE_TLS_REMOTE_MISSING);
	assert_string_equal(s.words, "STARTTLS is not offered");
	relay_tls_check(p.host, NULL, false, "a very long reason, as some libraries have them, which still has to stand there whole for whoever reads it", &s);
	assert_string_equal(s.words, "a very long reason, as some libraries have them, which still has to stand there whole for whoever reads it");
	relay_tls_missing(p.host, 454, SPAN_LIT("not\x1bnow"), &s);
	assert_string_equal(s.words, "STARTTLS was answered 454 not\\x1bnow");
	plan_close(&p);

	publish("_25._tcp.mx.test", NAME_SECURE, 3, KEY, SHA_256, ca.cert);
	plan_open(&p, &w, RELAY_TLS_MAY);
	relay_tls_missing(p.host, 0, SPAN_NONE, &s);
	assert_string_equal(s.words, "STARTTLS is not offered; the domain's DANE records demand it");
	plan_close(&p);
	world_close(&w);
}

/* ---- DANE */

static X509 *leaf_of(SSL_CTX *ctx)
{
	return SSL_CTX_get0_certificate(ctx);
}

static const struct {
	uint8_t usage, selector, matching;
	const char *names;
	long until_s;
	bool wrong;           /* the record is of another certificate */
	enum cause_id cause;
} danes[] = {
	{3, KEY, SHA_256, "DNS:mx.test", DAY, false, CAUSE_NONE},
	{3, KEY, SHA_512, "DNS:mx.test", DAY, false, CAUSE_NONE},
	{3, WHOLE, SHA_256, "DNS:mx.test", DAY, false, CAUSE_NONE},
	{3, WHOLE, PLAIN, "DNS:mx.test", DAY, false, CAUSE_NONE},
	{3, KEY, PLAIN, "DNS:mx.test", DAY, false, CAUSE_NONE},
	{3, KEY, SHA_256, "DNS:wrong.test", DAY, false, CAUSE_NONE},   /* RFC 7672 3.1.1: neither name nor dates count */
	{3, KEY, SHA_256, "DNS:mx.test", -DAY, false, CAUSE_NONE},
	{3, KEY, SHA_256, "DNS:mx.test", DAY, true, CAUSE_TLS_DANE_MISMATCH},
	{2, WHOLE, SHA_256, "DNS:mx.test", DAY, false, CAUSE_NONE},
	{2, KEY, SHA_512, "DNS:mx.test", DAY, false, CAUSE_NONE},
	{2, WHOLE, SHA_256, "DNS:hop.test", DAY, false, CAUSE_NONE},   /* 3.2.3: the next hop's name will do */
	{2, WHOLE, SHA_256, "DNS:wrong.test", DAY, false, CAUSE_TLS_DANE_MISMATCH},
	{2, WHOLE, SHA_256, "DNS:mx.test", -DAY, false, CAUSE_TLS_DANE_MISMATCH},
	{2, WHOLE, SHA_256, "DNS:mx.test", DAY, true, CAUSE_TLS_DANE_MISMATCH},
};

/* the authority is one that the CA file does not know: DANE needs none */
static void test_dane(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, ca_path, true, true);
	for (size_t i = 0; i < sizeof(danes) / sizeof(danes[0]); i++) {
		SSL_CTX *server = tls_ca_server(&stranger, danes[i].names, danes[i].until_s);
		struct plan p = {0};

		names_stub_clear();
		publish("_25._tcp.mx.test", NAME_SECURE, danes[i].usage, danes[i].selector, danes[i].matching,
			danes[i].wrong ? ca.cert : danes[i].usage == 2 ? stranger.cert : leaf_of(server));
		plan_open(&p, &w, RELAY_TLS_MAY);
		assert_int_equal(plan_cause(&p), CAUSE_NONE);
		assert_int_equal(relay_tls_host_mode(p.host), SMTP_OUT_TLS_MUST);
		check(&p, server, danes[i].cause, danes[i].cause ? RELAY_TLS_UNCHECKED : RELAY_TLS_DANE, danes[i].cause == CAUSE_NONE);
		plan_close(&p);
	}

	/* one of several is enough; DANE is verification, too, where the settings ask for one */
	for (int i = 0; i < 2; i++) {
		SSL_CTX *server = tls_ca_server(&stranger, "DNS:mx.test", DAY);
		struct plan p = {.route = i == 1};

		names_stub_clear();
		publish("_25._tcp.mx.test", NAME_SECURE, 3, KEY, SHA_256, ca.cert);
		publish("_25._tcp.mx.test", NAME_SECURE, 3, KEY, SHA_256, leaf_of(server));
		plan_open(&p, &w, i ? RELAY_TLS_VERIFIED : RELAY_TLS_MUST);
		check(&p, server, CAUSE_NONE, RELAY_TLS_DANE, true);
		plan_close(&p);
	}
	world_close(&w);
}

/* records that are no use: encrypted, but anybody will do (RFC 7672 2.2) */
static void test_dane_unusable(void **state)
{
	static const struct { uint8_t usage, selector, matching; } unusable[] = {{0, 0, 1}, {1, 1, 1}, {3, 1, 99}, {3, 99, 1}, {99, 1, 1}};
	struct world w;

	(void)state;
	world_open(&w, ca_path, true, true);
	for (size_t i = 0; i < sizeof(unusable) / sizeof(unusable[0]) + 1; i++) {
		struct plan p = {0};

		names_stub_clear();
		if (i < sizeof(unusable) / sizeof(unusable[0])) {
			uint8_t raw[35] = {unusable[i].usage, unusable[i].selector, unusable[i].matching};

			(void)names_stub_add(NAME_TLSA, "_25._tcp.mx.test", NAME_SECURE, span_of(raw, sizeof(raw)));
		} else {
			(void)names_stub_add(NAME_TLSA, "_25._tcp.mx.test", NAME_SECURE, SPAN_LIT("\x03\x01\x01short"));
			(void)names_stub_add(NAME_TLSA, "_25._tcp.mx.test", NAME_SECURE, SPAN_LIT("\x03\x01"));
		}
		plan_open(&p, &w, RELAY_TLS_MAY);
		assert_int_equal(plan_cause(&p), CAUSE_NONE);
		assert_int_equal(relay_tls_host_mode(p.host), SMTP_OUT_TLS_MUST);
		check(&p, tls_ca_server(&stranger, "DNS:wrong.test", -DAY), CAUSE_NONE, RELAY_TLS_UNCHECKED, false);
		plan_close(&p);
	}
	world_close(&w);
}

/* when there is no DANE, and when nobody can say */
static void test_dane_lookup(void **state)
{
	struct plan p = {.target = secure_target};
	struct world w;

	(void)state;
	world_open(&w, ca_path, true, true);
	for (int i = 0; i < 4; i++) { /* 0: secure but none, 1: no DNSSEC there, 2: the MX answer is not secure, 3: the address is not */
		names_stub_clear();
		if (i > 0)
			publish("_25._tcp.mx.test", i == 1 ? NAME_INSECURE : NAME_SECURE, 3, KEY, SHA_256, ca.cert);
		else
			names_stub_fail(NAME_TLSA, "_25._tcp.mx.test", NAME_NOTHING)->security = NAME_SECURE;
		p.target.mx_secure = i != 2;
		p.target.address_secure = i != 3;
		plan_open(&p, &w, RELAY_TLS_MAY);
		assert_int_equal(plan_cause(&p), CAUSE_NONE);
		assert_int_equal(relay_tls_host_mode(p.host), SMTP_OUT_TLS_MAY);
		assert_int_equal(names_stub_asked(NAME_TLSA), i < 2);
		plan_close(&p);
	}
	p.target = secure_target;
	for (int i = 0; i < 2; i++) {
		names_stub_clear();
		(void)names_stub_fail(NAME_TLSA, "_25._tcp.mx.test", i ? NAME_BOGUS : NAME_FAILED);
		plan_open(&p, &w, RELAY_TLS_MAY);
		assert_int_equal(plan_cause(&p), CAUSE_TLS_DANE_LOOKUP);
		plan_close(&p);
	}
	plan_open(&p, &w, RELAY_TLS_NEVER); /* the administrator wants none of it */
	assert_int_equal(plan_cause(&p), CAUSE_NONE);
	assert_int_equal(relay_tls_host_mode(p.host), SMTP_OUT_TLS_NEVER);
	plan_close(&p);
	world_close(&w);

	world_open(&w, ca_path, false, true); /* switched off */
	(void)names_stub_fail(NAME_TLSA, "_25._tcp.mx.test", NAME_BOGUS);
	plan_open(&p, &w, RELAY_TLS_MAY);
	assert_int_equal(plan_cause(&p), CAUSE_NONE);
	plan_close(&p);
	world_close(&w);
}

/* RFC 7672 2.2.2: the name where the aliases lead first, then the alias; behind an insecure end only a secure alias counts. The port is the host's. */
static void test_dane_alias(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, ca_path, true, true);
	for (int i = 0; i < 5; i++) {
		SSL_CTX *server = tls_ca_server(&stranger, i == 0 ? "DNS:real.test" : "DNS:mx.test", DAY);
		struct plan p = {.target = secure_target};
		struct shake s;

		names_stub_clear();
		p.target.canonical = SPAN_LIT("real.test");
		p.target.port = i == 4 ? 26 : 25;
		p.target.address_secure = i < 2 || i == 4;
		publish(i == 0 ? "_25._tcp.real.test" : i == 4 ? "_26._tcp.real.test" : "_25._tcp.mx.test", NAME_SECURE, 2, WHOLE, SHA_256, stranger.cert);
		(void)names_stub_add(NAME_CNAME, "mx.test", i == 2 ? NAME_SECURE : NAME_INSECURE, SPAN_LIT("real.test"));
		plan_open(&p, &w, RELAY_TLS_MAY);
		assert_int_equal(relay_tls_host_mode(p.host), i == 3 ? SMTP_OUT_TLS_MAY : SMTP_OUT_TLS_MUST);
		shake(p.host, server, &s);
		assert_int_equal(s.state.cause, CAUSE_NONE);
		assert_int_equal(s.state.checked, i == 3 ? RELAY_TLS_UNCHECKED : RELAY_TLS_DANE);
		assert_string_equal(s.sni, i == 0 || i == 4 ? "real.test" : "mx.test");
		SSL_CTX_free(server);
		plan_close(&p);
	}
	world_close(&w);
}

/* many records, and big ones: some are kept, nothing breaks */
static void test_dane_many(void **state)
{
	SSL_CTX *server = tls_ca_server(&stranger, "DNS:mx.test", DAY);
	struct plan p = {0};
	struct world w;
	uint8_t raw[35] = {3, 1, 1};

	(void)state;
	world_open(&w, ca_path, true, true);
	publish("_25._tcp.mx.test", NAME_SECURE, 3, KEY, SHA_256, leaf_of(server));
	for (uint8_t i = 0; i < 99; i++) {
		raw[34] = i;
		(void)names_stub_add(NAME_TLSA, "_25._tcp.mx.test", NAME_SECURE, span_of(raw, sizeof(raw)));
	}
	plan_open(&p, &w, RELAY_TLS_MAY);
	check(&p, server, CAUSE_NONE, RELAY_TLS_DANE, true);
	plan_close(&p);
	world_close(&w);
}

/* ---- MTA-STS */

static void policy(struct world *w, const char *mode, const char *mx)
{
	static char text[200];

	(void)snprintf(text, sizeof(text), "version: STSv1\nmode: %s\nmx: %s\nmax_age: 86400\n", mode, mx);
	names_stub_clear();
	(void)names_stub_add(NAME_TXT, "_mta-sts.hop.test", NAME_INSECURE, SPAN_LIT("v=STSv1; id=1;"));
	w->body = text;
}

static const struct {
	const char *mode, *mx;
	enum cause_id refused;          /* without a connection */
	enum smtp_out_tls tls;
	enum cause_id cause[sizeof(certificates) / sizeof(certificates[0])];
	enum relay_tls_checked checked; /* of the good certificate */
	bool authenticated;
} policies[] = {
	{"enforce", "mx.test", CAUSE_NONE, SMTP_OUT_TLS_MUST, {CAUSE_NONE, CAUSE_TLS_STS_MISMATCH, CAUSE_TLS_STS_MISMATCH, CAUSE_TLS_STS_MISMATCH},
		RELAY_TLS_STS, true},
	{"enforce", "elsewhere.test", CAUSE_TLS_STS_MISMATCH, SMTP_OUT_TLS_MUST, {CAUSE_NONE}, RELAY_TLS_STS, false},
	{"testing", "mx.test", CAUSE_NONE, SMTP_OUT_TLS_MAY, {CAUSE_NONE}, RELAY_TLS_STS, true},
	{"testing", "elsewhere.test", CAUSE_NONE, SMTP_OUT_TLS_MAY, {CAUSE_NONE}, RELAY_TLS_PKIX, false},
	{"none", "elsewhere.test", CAUSE_NONE, SMTP_OUT_TLS_MAY, {CAUSE_NONE}, RELAY_TLS_PKIX, false},
};

static void test_sts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
		struct plan p = {.target = secure_target};
		struct world w;

		world_open(&w, ca_path, true, true);
		policy(&w, policies[i].mode, policies[i].mx);
		p.target.mx_secure = false;
		plan_open(&p, &w, RELAY_TLS_MAY);
		assert_int_equal(plan_cause(&p), policies[i].refused);
		assert_int_equal(relay_tls_host_mode(p.host), policies[i].tls);
		for (size_t c = 0; c < sizeof(certificates) / sizeof(certificates[0]) && !policies[i].refused; c++) {
			bool good = certificates[c].cause == CAUSE_NONE;

			check(&p, tls_ca_server(certificates[c].by_ca ? &ca : NULL, certificates[c].names, certificates[c].until_s), policies[i].cause[c],
				good ? policies[i].checked : RELAY_TLS_UNCHECKED, good && policies[i].authenticated);
		}
		plan_close(&p);
		world_close(&w);
	}
}

/* RFC 8461 2: DANE wins, failing or not */
static void test_sts_and_dane(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) { /* 0: DANE is right, the policy wrong; 1: DANE is wrong, the policy right; 2: DANE is no use, the policy decides */
		SSL_CTX *server = tls_ca_server(&ca, "DNS:mx.test", DAY);
		struct plan p = {0};
		struct world w;

		world_open(&w, ca_path, true, true);
		policy(&w, "enforce", i == 0 ? "elsewhere.test" : "mx.test");
		publish("_25._tcp.mx.test", NAME_SECURE, i == 2 ? 1 : 3, KEY, SHA_256, i == 0 ? leaf_of(server) : stranger.cert);
		plan_open(&p, &w, RELAY_TLS_MAY);
		assert_int_equal(plan_cause(&p), CAUSE_NONE);
		check(&p, server, i == 1 ? CAUSE_TLS_DANE_MISMATCH : CAUSE_NONE, i == 0 ? RELAY_TLS_DANE : i == 1 ? RELAY_TLS_UNCHECKED : RELAY_TLS_STS, i != 1);
		plan_close(&p);
		world_close(&w);
	}
}

/* ---- the rest */

/* a route to an address: its certificate may have it, too */
static void test_literal(void **state)
{
	static const struct {
		const char *name, *names;
		enum relay_tls_level level;
		enum cause_id cause;
		enum relay_tls_checked checked;
	} cases[] = {
		{"192.0.2.1", "DNS:mx.test", RELAY_TLS_MUST, CAUSE_NONE, RELAY_TLS_UNCHECKED},
		{"192.0.2.1", "DNS:mx.test,IP:192.0.2.1", RELAY_TLS_VERIFIED, CAUSE_NONE, RELAY_TLS_PKIX},
		{"192.0.2.1", "DNS:mx.test,IP:192.0.2.2", RELAY_TLS_VERIFIED, CAUSE_TLS_CERT_NAME_MISMATCH, RELAY_TLS_UNCHECKED},
		{"192.0.2.1", "DNS:192.0.2.1", RELAY_TLS_VERIFIED, CAUSE_TLS_CERT_NAME_MISMATCH, RELAY_TLS_UNCHECKED},
		{"2001:db8::1", "IP:2001:db8:0::1", RELAY_TLS_VERIFIED, CAUSE_NONE, RELAY_TLS_PKIX},
		{"", "DNS:mx.test", RELAY_TLS_MAY, CAUSE_NONE, RELAY_TLS_UNCHECKED},
	};
	struct plan none = {.route = true, .target = {.port = 25}};
	struct world w;

	(void)state;
	world_open(&w, ca_path, true, true);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct plan p = {.route = true, .target = {.port = 25, .mx_secure = true, .address_secure = true, .name = span_str(cases[i].name)}};
		SSL_CTX *server = tls_ca_server(&ca, cases[i].names, DAY);
		struct shake s;

		plan_open(&p, &w, cases[i].level);
		assert_int_equal(plan_cause(&p), CAUSE_NONE);
		shake(p.host, server, &s);
		if (s.state.cause != cases[i].cause || s.state.checked != cases[i].checked)
			fail_msg("%s %s: %s %s", cases[i].name, cases[i].names, cause_slug(s.state.cause), relay_tls_checked_name(s.state.checked));
		assert_string_equal(s.sni, "");
		SSL_CTX_free(server);
		plan_close(&p);
	}
	plan_open(&none, &w, RELAY_TLS_VERIFIED);
	assert_int_equal(plan_cause(&none), CAUSE_TLS_CERT_NAME_MISMATCH);
	plan_close(&none);
	assert_int_equal(names_stub_asked(NAME_TLSA), 0);
	world_close(&w);
}

static void test_freed_early(void **state)
{
	struct relay_tls_dest *d;
	struct relay_tls_host *h;
	struct world w;

	(void)state;
	world_open(&w, ca_path, true, true);
	names_stub_fail(NAME_TLSA, "_25._tcp.mx.test", NAME_FAILED)->silent = true;
	for (int turns = 0; turns < 3; turns++) {
		d = relay_tls_dest_new(w.tls, SPAN_LIT("hop.test"), RELAY_TLS_MAY, true, world_dest_ready, &w);
		if (turns)
			world_turns(&w, (unsigned)turns);
		h = relay_tls_host_new(d, &secure_target, world_host_ready, &w);
		if (turns)
			world_turns(&w, (unsigned)turns);
		relay_tls_host_free(&h);
		relay_tls_host_free(&h);
		relay_tls_dest_free(&d);
		relay_tls_dest_free(&d);
	}
	world_turns(&w, 5);
	world_close(&w);
}

static void test_ca_file(void **state)
{
	static const struct {
		const char *path;
		enum rc rc;
		const char *words;
	} files[] = {{"/nonexistent/ca.pem", RC_IO, "/nonexistent/ca.pem: No such file or directory"},
		{"/etc/passwd", RC_BAD, "/etc/passwd: there is no certificate in it"}};
	struct world w;

	(void)state;
	world_open(&w, "", true, true); /* the system's */
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct relay_tls_rules rules = {.ca_file = files[i].path};
		struct relay_tls *none = NULL;
		struct err err = {""};

		assert_int_equal(relay_tls_new(&w.role, w.names, &rules, &none, &err), files[i].rc);
		assert_null(none);
		assert_string_equal(err.words, files[i].words);
	}
	world_close(&w);
}

static int setup(void **state)
{
	(void)state;
	tls_ca_begin(&ca, &stranger, ca_path);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return tls_ca_end(&ca, &stranger, ca_path);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_levels), cmocka_unit_test(test_words), cmocka_unit_test(test_old_tls), cmocka_unit_test(test_failures),
		cmocka_unit_test(test_dane), cmocka_unit_test(test_dane_unusable), cmocka_unit_test(test_dane_lookup), cmocka_unit_test(test_dane_alias),
		cmocka_unit_test(test_dane_many), cmocka_unit_test(test_sts), cmocka_unit_test(test_sts_and_dane), cmocka_unit_test(test_literal),
		cmocka_unit_test(test_freed_early), cmocka_unit_test(test_ca_file),
		cmocka_unit_test(test_relay_sts_fetch), cmocka_unit_test(test_relay_sts_kept), cmocka_unit_test(test_relay_sts_changed),
		cmocka_unit_test(test_relay_sts_fails), cmocka_unit_test(test_relay_sts_records), cmocka_unit_test(test_relay_sts_many_wait),
		cmocka_unit_test(test_relay_sts_roles_die), cmocka_unit_test(test_relay_sts_bounded),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
