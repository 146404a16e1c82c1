#include "cli/cli_tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <time.h>

enum { CLI_TLS_DAYS = 3650, CLI_TLS_NAME_BYTES = 64 /* ub-common-name, RFC 5280 A.1 */ };

static bool cli_tls_extend(X509 *cert, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;
	bool ok;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = ext && X509_add_ext(cert, ext, -1) == 1;
	X509_EXTENSION_free(ext);
	return ok;
}

static bool cli_tls_alt_names(X509 *cert, const char *const *names, size_t count)
{
	struct buf list;
	bool ok;

	buf_init(&list, 64 << 10);
	for (size_t i = 0; i < count; i++) {
		bool again = strcmp(names[i], "localhost") == 0;

		for (size_t k = 0; k < i; k++)
			again |= strcmp(names[i], names[k]) == 0;
		if (!again)
			buf_printf(&list, "DNS:%s,", names[i]);
	}
	buf_add_str(&list, "DNS:localhost,IP:127.0.0.1,IP:::1");
	ok = !list.overflow && cli_tls_extend(cert, NID_subject_alt_name, buf_cstr(&list));
	buf_clear(&list);
	return ok;
}

static bool cli_tls_fill(X509 *cert, EVP_PKEY *key, const char *const *names, size_t count)
{
	BIGNUM *serial = BN_new();
	X509_NAME *name = X509_get_subject_name(cert);
	const char *common = count && strlen(names[0]) <= CLI_TLS_NAME_BYTES ? names[0] : "mailroom";
	bool ok;

	/* 126 bits of chance, positive (RFC 5280 4.1.2.2) */
	ok = serial && BN_rand(serial, 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 && BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(cert));
	ok = ok && X509_set_version(cert, X509_VERSION_3) == 1 && X509_gmtime_adj(X509_getm_notBefore(cert), -3600) &&
		X509_time_adj_ex(X509_getm_notAfter(cert), CLI_TLS_DAYS, 0, NULL) && X509_set_pubkey(cert, key) == 1 &&
		X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)common, -1, -1, 0) == 1 && X509_set_issuer_name(cert, name) == 1;
	ok = ok && cli_tls_extend(cert, NID_basic_constraints, "critical,CA:FALSE") && cli_tls_extend(cert, NID_key_usage, "critical,digitalSignature") &&
		cli_tls_extend(cert, NID_ext_key_usage, "serverAuth") && cli_tls_extend(cert, NID_subject_key_identifier, "hash") &&
		cli_tls_alt_names(cert, names, count);
	BN_free(serial);
	return ok && X509_sign(cert, key, EVP_sha256()) > 0;
}

static void cli_tls_take(BIO *from, struct buf *out)
{
	char *bytes;
	long len = BIO_get_mem_data(from, &bytes);

	buf_add(out, span_of(bytes, (size_t)len));
}

enum rc cli_tls_make(const char *const *names, size_t count, struct buf *certificate_out, struct buf *key_out, struct err *err)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	BIO *cert_bio = BIO_new(BIO_s_mem()), *key_bio = BIO_new(BIO_s_secmem());
	enum rc rc = RC_OK;

	if (key && cert && cert_bio && key_bio && cli_tls_fill(cert, key, names, count) && PEM_write_bio_X509(cert_bio, cert) == 1 &&
		PEM_write_bio_PKCS8PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL) == 1) {
		cli_tls_take(cert_bio, certificate_out);
		cli_tls_take(key_bio, key_out);
	} else {
		rc = err_set(err, RC_IO, "a certificate cannot be made: %s", ERR_reason_error_string(ERR_peek_last_error()));
	}
	BIO_free(cert_bio);
	BIO_free(key_bio);
	X509_free(cert);
	EVP_PKEY_free(key);
	return rc;
}

/* ---- looking */

/* nobody types a passphrase while a server starts: an encrypted key is refused, not asked about */
static int cli_tls_no_passphrase(char *to, int size, int writing, void *arg)
{
	(void)to;
	(void)size;
	(void)writing;
	*(bool *)arg = true;
	return -1;
}

static enum rc cli_tls_look_key(X509 *cert, const char *path, bool *seen_out, struct err *err)
{
	FILE *f = fopen(path, "re");
	EVP_PKEY *key;
	bool asked = false;
	enum rc rc = RC_OK;

	*seen_out = f != NULL;
	if (!f)
		return errno == EACCES ? RC_OK : err_errno(err, RC_IO, "%s", path);
	key = PEM_read_PrivateKey(f, NULL, cli_tls_no_passphrase, &asked);
	fclose(f);
	if (!key && asked)
		rc = err_set(err, RC_BAD, "%s: the key has a passphrase, which nobody could type at start; one without would be right", path);
	else if (!key)
		rc = err_set(err, RC_BAD, "%s: there is no private key in it; a PEM file with one would be right", path);
	else if (X509_check_private_key(cert, key) != 1)
		rc = err_set(err, RC_BAD, "%s: this key does not belong to the certificate", path);
	EVP_PKEY_free(key);
	return rc;
}

enum rc cli_tls_look(const char *chain, const char *key, struct cli_tls_facts *out, struct err *err)
{
	struct cli_tls_facts facts = {0};
	FILE *f = fopen(chain, "re");
	X509 *cert;
	struct tm tm;
	enum rc rc;

	if (!f)
		return err_errno(err, RC_IO, "%s", chain);
	cert = PEM_read_X509(f, NULL, NULL, NULL);
	fclose(f);
	if (!cert)
		return err_set(err, RC_BAD, "%s: there is no certificate in it; a PEM file with one would be right", chain);
	facts.self_signed = X509_self_signed(cert, 0) == 1;
	if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) == 1)
		facts.not_after_ms = (int64_t)timegm(&tm) * 1000;
	rc = cli_tls_look_key(cert, key, &facts.key_seen, err);
	X509_free(cert);
	if (rc == RC_OK)
		*out = facts;
	return rc;
}
