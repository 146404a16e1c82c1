/* tls_pair - for tests: a server context with a fresh self-signed certificate, and a client that speaks over a descriptor. */
#ifndef MAILROOM_TEST_TLS_PAIR_H
#define MAILROOM_TEST_TLS_PAIR_H

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdlib.h>

struct tls_pair {
	SSL_CTX *server_ctx, *client_ctx;
	SSL *client;
};

static inline X509 *tls_pair_cert(EVP_PKEY *key)
{
	X509 *cert = X509_new();
	X509_NAME *name = X509_get_subject_name(cert);

	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
	X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
	X509_set_pubkey(cert, key);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"mailroom.test", -1, -1, 0);
	X509_set_issuer_name(cert, name);
	if (!X509_sign(cert, key, EVP_sha256()))
		abort();
	return cert;
}

/* the descriptor stays the caller's */
static inline void tls_pair_init(struct tls_pair *t, int client_fd)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = tls_pair_cert(key);

	t->server_ctx = SSL_CTX_new(TLS_server_method());
	t->client_ctx = SSL_CTX_new(TLS_client_method());
	if (SSL_CTX_use_certificate(t->server_ctx, cert) != 1 || SSL_CTX_use_PrivateKey(t->server_ctx, key) != 1)
		abort();
	X509_free(cert);
	EVP_PKEY_free(key);
	(void)fcntl(client_fd, F_SETFL, O_NONBLOCK);
	t->client = SSL_new(t->client_ctx);
	SSL_set_fd(t->client, client_fd);
	SSL_set_connect_state(t->client);
	SSL_set_mode(t->client, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

/* goes on with the handshake; true: it is done */
static inline bool tls_pair_client_step(struct tls_pair *t)
{
	ERR_clear_error();
	return SSL_do_handshake(t->client) == 1;
}

static inline void tls_pair_clear(struct tls_pair *t)
{
	SSL_free(t->client);
	SSL_CTX_free(t->client_ctx);
	SSL_CTX_free(t->server_ctx);
}

#endif
