#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <unistd.h>

#include "loop/stream.h"
#include "role/relay_tls_internal.h"

enum { TLS_WORDS_IN_BYTES = 250, TLS_WORDS_BYTES = 4 * TLS_WORDS_IN_BYTES + 300 }; /* \xNN for each byte at worst */
static const char system_ca_file[] = "/etc/ssl/certs/ca-certificates.crt";
/* opportunistic: what is weak is better than the clear (RFC 7435); the rest is what OpenSSL holds safe by default */
enum { TLS_SECURITY_ANY = 0, TLS_SECURITY_VERIFIED = 2 };
static const char tls_ciphers[] = "HIGH:MEDIUM:!aNULL:!eNULL:!PSK:!SRP";

/* ---- the context */

static enum rc tls_load_ca(SSL_CTX *ctx, const char *file, struct err *err)
{
	bool named = file[0] != '\0';
	unsigned long e;

	if (!named)
		file = system_ca_file;
	if (!named && access(file, F_OK) != 0)
		return RC_OK;
	if (SSL_CTX_load_verify_file(ctx, file) == 1)
		return RC_OK;
	e = ERR_peek_error();
	if (e && ERR_SYSTEM_ERROR(e))
		return err_set(err, RC_IO, "%s: %s", file, strerrordesc_np(ERR_GET_REASON(e)));
	return err_set(err, RC_BAD, "%s: there is no certificate in it", file);
}

enum rc relay_tls_ctx_new(const char *ca_file, SSL_CTX **out, struct err *err)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	enum rc rc = RC_IO;

	ERR_clear_error();
	if (!ctx || SSL_CTX_dane_enable(ctx) <= 0 || !SSL_CTX_set_cipher_list(ctx, tls_ciphers)) {
		(void)err_set(err, RC_IO, "OpenSSL gives no TLS context");
	} else {
		(void)SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
		(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
		rc = tls_load_ca(ctx, ca_file, err);
	}
	ERR_clear_error();
	if (rc != RC_OK)
		SSL_CTX_free(ctx);
	else
		*out = ctx;
	return rc;
}

/* ---- a connection */

/* looked at afterwards (SSL_get_verify_result): where nothing is demanded it is still good to know */
static int tls_any_certificate(int ok, X509_STORE_CTX *store)
{
	(void)ok, (void)store;
	return 1;
}

static bool tls_set_name(const struct relay_tls_host *h, SSL *ssl)
{
	if (!h->name[0])
		return true;
	if (h->literal)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), h->name) == 1;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set_tlsext_host_name(ssl, h->name) == 1 && SSL_set1_host(ssl, h->name) == 1;
}

SSL *relay_tls_ssl(const struct relay_tls_host *h)
{
	bool verify = h->need >= RELAY_NEED_PKIX;
	SSL *ssl = SSL_new(h->dest->tls->ctx);
	bool ok = ssl != NULL;

	if (!ok)
		return NULL;
	SSL_set_verify(ssl, SSL_VERIFY_PEER, verify ? NULL : tls_any_certificate);
	SSL_set_security_level(ssl, verify ? TLS_SECURITY_VERIFIED : TLS_SECURITY_ANY);
	ok = SSL_set_min_proto_version(ssl, h->need == RELAY_NEED_NOTHING ? TLS1_VERSION : TLS1_2_VERSION) == 1;
	ok = ok && (h->need == RELAY_NEED_DANE ? relay_dane_set(h, ssl) : tls_set_name(h, ssl));
	if (!ok) {
		SSL_free(ssl);
		ERR_clear_error();
		return NULL;
	}
	return ssl;
}

/* ---- what came of it */

static void state_fail(struct relay_tls_state *out, enum cause_id cause, const char *words)
{
	struct buf safe;

	out->cause = cause;
	buf_init(&safe, TLS_WORDS_BYTES);
	buf_add_safe(&safe, span_str(words), TLS_WORDS_IN_BYTES);
	(void)snprintf(out->words, sizeof(out->words), "%s", buf_cstr(&safe));
	buf_clear(&safe);
}

static enum cause_id certificate_cause(const struct relay_tls_host *h, long error)
{
	if (h->need == RELAY_NEED_DANE)
		return CAUSE_TLS_DANE_MISMATCH;
	if (h->need == RELAY_NEED_STS)
		return CAUSE_TLS_STS_MISMATCH;
	return error == X509_V_ERR_HOSTNAME_MISMATCH || error == X509_V_ERR_IP_ADDRESS_MISMATCH ? CAUSE_TLS_CERT_NAME_MISMATCH : CAUSE_TLS_CERT_UNTRUSTED;
}

static void check_failed(const struct relay_tls_host *h, SSL *ssl, const char *why, struct relay_tls_state *out)
{
	long error = ssl ? SSL_get_verify_result(ssl) : X509_V_OK;

	if (h->need >= RELAY_NEED_PKIX && error != X509_V_OK) {
		state_fail(out, certificate_cause(h, error), X509_verify_cert_error_string(error));
		return;
	}
	state_fail(out, CAUSE_TLS_REMOTE_FAILED, why);
	/* an injection is no server that is too old */
	out->retry_clear = h->need == RELAY_NEED_NOTHING && strcmp(why, STREAM_WHY_INJECTION) != 0;
}

static enum relay_tls_checked check_how(const struct relay_tls_host *h, SSL *ssl)
{
	const struct sts_policy *policy = h->dest->policy;

	if (!SSL_get0_peer_certificate(ssl) || SSL_get_verify_result(ssl) != X509_V_OK || (h->need != RELAY_NEED_DANE && !h->name[0]))
		return RELAY_TLS_UNCHECKED;
	if (h->need == RELAY_NEED_DANE)
		return SSL_get0_dane_authority(ssl, NULL, NULL) >= 0 ? RELAY_TLS_DANE : RELAY_TLS_UNCHECKED;
	if (policy && mta_sts_match(&policy->sts, span_str(h->name)) && SSL_version(ssl) >= TLS1_2_VERSION)
		return RELAY_TLS_STS;
	return RELAY_TLS_PKIX;
}

void relay_tls_check(const struct relay_tls_host *h, SSL *ssl, bool ok, const char *why, struct relay_tls_state *out)
{
	*out = (struct relay_tls_state){.cause = CAUSE_NONE};
	if (!ok || !ssl) {
		check_failed(h, ssl, why, out);
		return;
	}
	out->checked = check_how(h, ssl);
	if (h->need >= RELAY_NEED_PKIX && out->checked == RELAY_TLS_UNCHECKED) { /* the handshake should have failed */
		state_fail(out, certificate_cause(h, SSL_get_verify_result(ssl)), X509_verify_cert_error_string(SSL_get_verify_result(ssl)));
		return;
	}
	/* RFC 8689 4.2.1: besides a good certificate the name of the host has to be certain */
	out->authenticated = out->checked > RELAY_TLS_PKIX || (out->checked == RELAY_TLS_PKIX && (h->mx_secure || h->need == RELAY_NEED_PKIX));
}

void relay_tls_missing(const struct relay_tls_host *h, unsigned code, struct span words, struct relay_tls_state *out)
{
	static const char *const who[] = {"", "", "the settings of delivery", "the domain's MTA-STS policy", "the domain's DANE records"};
	struct buf all;

	*out = (struct relay_tls_state){.cause = CAUSE_TLS_REMOTE_MISSING};
	buf_init(&all, TLS_WORDS_BYTES);
	if (code) {
		buf_printf(&all, "STARTTLS was answered %u ", code);
		buf_add_safe(&all, words, TLS_WORDS_IN_BYTES / 2);
	} else {
		buf_add_str(&all, "STARTTLS is not offered");
	}
	if (h->need >= RELAY_NEED_PKIX)
		buf_printf(&all, "; %s demand it", who[h->need]);
	else if (h->tlsa_secure)
		buf_printf(&all, "; %s demand it", who[RELAY_NEED_DANE]);
	(void)snprintf(out->words, sizeof(out->words), "%s", buf_cstr(&all));
	buf_clear(&all);
}

const char *relay_tls_checked_name(enum relay_tls_checked checked)
{
	static const char *const names[] = {"unchecked", "pkix", "sts", "dane"};

	return names[checked];
}

void relay_tls_words(SSL *ssl, const struct relay_tls_state *state, struct buf *out)
{
	if (ssl && SSL_is_init_finished(ssl))
		buf_printf(out, "%s %s %s", SSL_get_version(ssl), SSL_get_cipher_name(ssl), relay_tls_checked_name(state->checked));
}
