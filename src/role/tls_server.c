#include "role/tls_server.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "base/mem.h"
#include "role/tls_remote.h"

enum { TLS_EXPORTER_BYTES = 32, TLS_FINISHED_BYTES = 64 };

/* forward secrecy only; CBC last, for mail programs of 2012 that would otherwise fall back to no encryption at all */
static const char tls12_ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL:!eNULL:!aPSK";
static const char tls13_ciphers[] = "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256";
/* what the keys role signs: nothing with SHA-1 */
static const char tls_sigalgs[] = "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:RSA-PSS+SHA256:RSA-PSS+SHA384:RSA-PSS+SHA512:RSA+SHA256:RSA+SHA384:RSA+SHA512";
static const char tls_groups[] = "X25519:P-256:P-384";

struct tls_server {
	struct tls_remote *remote;
	SSL_CTX **ctx;
	size_t count;
};

static enum rc tls_words(struct err *err, const char *file)
{
	unsigned long e = ERR_peek_error();
	const char *why = e && !ERR_SYSTEM_ERROR(e) ? ERR_reason_error_string(e) : NULL;
	enum rc rc = e && ERR_SYSTEM_ERROR(e) ? RC_IO : RC_BAD;

	if (rc == RC_IO)
		why = strerror(ERR_GET_REASON(e));
	rc = err_set(err, rc, "%s: %s", file, why ? why : "not usable");
	ERR_clear_error();
	return rc;
}

static bool tls_settings(SSL_CTX *ctx, size_t index)
{
	uint8_t id[sizeof(uint32_t)] = {(uint8_t)(index >> 24), (uint8_t)(index >> 16), (uint8_t)(index >> 8), (uint8_t)index};

	(void)SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	/* an idle connection keeps no record buffers; streams retry writes from wherever the bytes are by then */
	(void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(ctx, 0);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
	/* resumption by tickets, whose keys OpenSSL makes up for each process; nothing is remembered here */
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) && SSL_CTX_set_cipher_list(ctx, tls12_ciphers) &&
		SSL_CTX_set_ciphersuites(ctx, tls13_ciphers) && SSL_CTX_set1_sigalgs_list(ctx, tls_sigalgs) && SSL_CTX_set1_groups_list(ctx, tls_groups) &&
		SSL_CTX_set_session_id_context(ctx, id, sizeof(id)) && SSL_CTX_set_num_tickets(ctx, 1);
}

static enum rc tls_certificate(struct tls_server *t, const struct conf_certificate *c, unsigned index, struct err *err)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *pkey = NULL;
	struct err why = {""};
	enum rc rc = RC_BAD;

	ERR_clear_error();
	if (!ctx)
		return err_set(err, RC_IO, "OpenSSL gives no TLS context");
	t->ctx[index] = ctx;
	if (!tls_settings(ctx, index)) {
		rc = tls_words(&why, "TLS settings");
	} else if (SSL_CTX_use_certificate_chain_file(ctx, c->chain) != 1) {
		rc = tls_words(&why, c->chain);
	} else if ((rc = tls_remote_key(t->remote, index, SSL_CTX_get0_certificate(ctx), &pkey, &why)) == RC_OK) {
		if (SSL_CTX_use_PrivateKey(ctx, pkey) != 1)
			rc = tls_words(&why, c->chain);
	}
	EVP_PKEY_free(pkey);
	return rc == RC_OK ? RC_OK : err_set(err, rc, "certificate \"%s\": %s", c->name, why.words);
}

enum rc tls_server_new(const struct conf *conf, tls_server_signer *sign, void *arg, struct tls_server **out, struct err *err)
{
	struct tls_server *t = mem_zalloc(sizeof(*t));
	enum rc rc = RC_OK;

	t->remote = tls_remote_new(sign, arg);
	t->ctx = mem_array(conf->certificate_count ? conf->certificate_count : 1, sizeof(*t->ctx));
	t->count = conf->certificate_count;
	for (unsigned i = 0; i < t->count && rc == RC_OK; i++)
		rc = tls_certificate(t, &conf->certificates[i], i, err);
	if (rc != RC_OK)
		tls_server_free(&t);
	else
		*out = t;
	return rc;
}

void tls_server_free(struct tls_server **t)
{
	if (!*t)
		return;
	for (size_t i = 0; i < (*t)->count; i++)
		SSL_CTX_free((*t)->ctx[i]);
	tls_remote_free(&(*t)->remote);
	free((*t)->ctx);
	free(*t);
	*t = NULL;
}

SSL_CTX *tls_server_ctx(const struct tls_server *t, unsigned certificate)
{
	return certificate < t->count ? t->ctx[certificate] : NULL;
}

void tls_server_binding(SSL *ssl, struct buf *exporter_out, struct buf *unique_out)
{
	static const char label[] = "EXPORTER-Channel-Binding"; /* RFC 9266 4.2, without context */
	uint8_t bytes[TLS_FINISHED_BYTES];
	size_t len;

	if (!ssl || !SSL_is_init_finished(ssl))
		return;
	if (SSL_version(ssl) < TLS1_3_VERSION && SSL_get_extms_support(ssl) != 1)
		return;
	if (SSL_export_keying_material(ssl, bytes, TLS_EXPORTER_BYTES, label, sizeof(label) - 1, NULL, 0, 0) == 1)
		buf_add(exporter_out, span_of(bytes, TLS_EXPORTER_BYTES));
	if (SSL_version(ssl) < TLS1_3_VERSION) {
		/* RFC 5929 3.1: the first Finished message, which in a resumed handshake is the server's */
		len = SSL_session_reused(ssl) ? SSL_get_finished(ssl, bytes, sizeof(bytes)) : SSL_get_peer_finished(ssl, bytes, sizeof(bytes));
		buf_add(unique_out, span_of(bytes, len < sizeof(bytes) ? len : sizeof(bytes)));
	}
	explicit_bzero(bytes, sizeof(bytes));
}

void tls_server_fault(struct buf *out)
{
	unsigned long e = ERR_peek_last_error();
	const char *why = e ? ERR_reason_error_string(e) : NULL;

	buf_add_str(out, why ? why : "peer went away");
	ERR_clear_error();
}
