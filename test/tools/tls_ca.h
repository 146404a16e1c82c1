/* tls_ca - for tests: an authority made on the spot, and certificates by it: right, expired, for other names. */
#ifndef MAILROOM_TEST_TLS_CA_H
#define MAILROOM_TEST_TLS_CA_H

#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct tls_ca {
	EVP_PKEY *key;
	X509 *cert;
};

static inline void tls_ca_must(int ok)
{
	if (!ok)
		abort();
}

static inline void tls_ca_extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	tls_ca_must(ext && X509_add_ext(cert, ext, -1));
	X509_EXTENSION_free(ext);
}

/* names: "DNS:a.test,DNS:b.test"; NULL: an authority. ca NULL: signed by itself. Valid until `until_s` from now on. */
static inline X509 *tls_ca_make(const struct tls_ca *ca, EVP_PKEY *key, const char *names, long until_s)
{
	static long serial = 1;
	X509 *cert = X509_new();
	X509_NAME *name = X509_get_subject_name(cert);
	char own[40];

	(void)snprintf(own, sizeof(own), "%s %ld", names ? "leaf" : "test authority", serial);
	tls_ca_must(X509_set_version(cert, X509_VERSION_3));
	ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++);
	X509_gmtime_adj(X509_getm_notBefore(cert), -86400 * 10);
	X509_gmtime_adj(X509_getm_notAfter(cert), until_s);
	X509_set_pubkey(cert, key);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)own, -1, -1, 0);
	X509_set_issuer_name(cert, ca ? X509_get_subject_name(ca->cert) : name);
	if (names)
		tls_ca_extend(cert, ca ? ca->cert : cert, NID_subject_alt_name, names);
	else
		tls_ca_extend(cert, cert, NID_basic_constraints, "critical,CA:TRUE");
	tls_ca_must(X509_sign(cert, ca ? ca->key : key, EVP_sha256()));
	return cert;
}

static inline void tls_ca_init(struct tls_ca *ca)
{
	ca->key = EVP_EC_gen("P-256");
	ca->cert = tls_ca_make(NULL, ca->key, NULL, 86400);
}

static inline void tls_ca_clear(struct tls_ca *ca)
{
	EVP_PKEY_free(ca->key);
	X509_free(ca->cert);
}

/* a server with a fresh key and a certificate by ca (NULL: by itself), with ca's in its chain */
static inline SSL_CTX *tls_ca_server(const struct tls_ca *ca, const char *names, long until_s)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = tls_ca_make(ca, key, names, until_s);

	tls_ca_must(SSL_CTX_use_certificate(ctx, cert) == 1 && SSL_CTX_use_PrivateKey(ctx, key) == 1);
	if (ca)
		tls_ca_must((int)SSL_CTX_add1_chain_cert(ctx, ca->cert));
	X509_free(cert);
	EVP_PKEY_free(key);
	return ctx;
}

/* into a new file; path: as mkstemp takes it */
static inline void tls_ca_write(const struct tls_ca *ca, char *path)
{
	int fd = mkstemp(path);
	FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;

	tls_ca_must(f && PEM_write_X509(f, ca->cert) && fclose(f) == 0);
}

/* For a group of tests: an authority that those may trust who read path (as mkstemp takes it), and one that nobody trusts. tls_ca_end: 0, or -1 when the file
 * was gone. */
static inline void tls_ca_begin(struct tls_ca *trusted, struct tls_ca *stranger, char *path)
{
	tls_ca_init(trusted);
	tls_ca_init(stranger);
	tls_ca_write(trusted, path);
}

static inline int tls_ca_end(struct tls_ca *trusted, struct tls_ca *stranger, const char *path)
{
	tls_ca_clear(trusted);
	tls_ca_clear(stranger);
	return unlink(path);
}

#endif
