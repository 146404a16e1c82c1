#include "role/tls_remote.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "base/mem.h"

/* RSA_METHOD and EC_KEY_METHOD are deprecated in OpenSSL 3 in favour of providers, but are complete, a tenth of the code, and serve TLS 1.2 and 1.3. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

enum { REMOTE_SIGNATURE_BYTES = 1024 };

struct remote_key { /* hangs on the RSA or EC_KEY as ex_data; goes with it */
	tls_server_signer *sign;
	void *arg;
	unsigned key;
};

struct tls_remote {
	tls_server_signer *sign;
	void *arg;
	RSA_METHOD *rsa;
	EC_KEY_METHOD *ec;
};

static int rsa_index = -1, ec_index = -1;

static void remote_key_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
	(void)parent, (void)ad, (void)idx, (void)argl, (void)argp;
	free(ptr);
}

static bool remote_sign(const struct remote_key *k, enum key_scheme scheme, struct span input, uint8_t *to, size_t max, size_t *len_out)
{
	struct buf got;
	bool ok;

	if (!k)
		return false;
	buf_init(&got, REMOTE_SIGNATURE_BYTES);
	ok = k->sign(k->arg, k->key, scheme, input, &got) == RC_OK && !got.overflow && got.len && got.len <= max;
	if (ok) {
		memcpy(to, got.ptr, got.len);
		*len_out = got.len;
	}
	buf_clear(&got);
	return ok;
}

/* TLS 1.2 rsa_pkcs1: `from` is a DigestInfo. rsa_pss: OpenSSL has padded already and asks for the bare operation. */
static int remote_rsa_private(int len, const unsigned char *from, unsigned char *to, RSA *rsa, int padding)
{
	const struct remote_key *k = RSA_get_ex_data(rsa, rsa_index);
	size_t size = (size_t)RSA_size(rsa), got = 0;
	enum key_scheme scheme = padding == RSA_NO_PADDING ? KEY_SCHEME_RSA_PRIVATE_RAW : KEY_SCHEME_RSA_PRIVATE_PKCS1;

	if (len <= 0 || (padding != RSA_NO_PADDING && padding != RSA_PKCS1_PADDING))
		return -1;
	if (!remote_sign(k, scheme, span_of(from, (size_t)len), to, size, &got) || got != size) {
		ERR_raise(ERR_LIB_RSA, ERR_R_OPERATION_FAIL);
		return -1;
	}
	return (int)got;
}

/* no cipher with RSA key exchange is offered, so nothing is ever decrypted */
static int remote_rsa_refuse(int len, const unsigned char *from, unsigned char *to, RSA *rsa, int padding)
{
	(void)len, (void)from, (void)to, (void)rsa, (void)padding;
	ERR_raise(ERR_LIB_RSA, ERR_R_OPERATION_FAIL);
	return -1;
}

static int remote_ec_sign(int type, const unsigned char *digest, int len, unsigned char *sig, unsigned int *sig_len, const BIGNUM *kinv, const BIGNUM *rp,
	EC_KEY *ec)
{
	const struct remote_key *k = EC_KEY_get_ex_data(ec, ec_index);
	int max = ECDSA_size(ec);
	size_t got = 0;

	(void)type, (void)kinv, (void)rp;
	if (len <= 0 || max <= 0 || !remote_sign(k, KEY_SCHEME_ECDSA, span_of(digest, (size_t)len), sig, (size_t)max, &got)) {
		ERR_raise(ERR_LIB_EC, ERR_R_OPERATION_FAIL);
		return 0;
	}
	*sig_len = (unsigned)got;
	return 1;
}

/* TLS asks for whole DER signatures only */
static ECDSA_SIG *remote_ec_refuse(const unsigned char *digest, int len, const BIGNUM *kinv, const BIGNUM *rp, EC_KEY *ec)
{
	(void)digest, (void)len, (void)kinv, (void)rp, (void)ec;
	ERR_raise(ERR_LIB_EC, ERR_R_OPERATION_FAIL);
	return NULL;
}

struct tls_remote *tls_remote_new(tls_server_signer *sign, void *arg)
{
	struct tls_remote *r = mem_zalloc(sizeof(*r));
	int (*setup)(EC_KEY *, BN_CTX *, BIGNUM **, BIGNUM **) = NULL;

	if (rsa_index < 0) {
		rsa_index = RSA_get_ex_new_index(0, NULL, NULL, NULL, remote_key_free);
		ec_index = EC_KEY_get_ex_new_index(0, NULL, NULL, NULL, remote_key_free);
	}
	r->sign = sign;
	r->arg = arg;
	r->rsa = RSA_meth_dup(RSA_PKCS1_OpenSSL());
	r->ec = EC_KEY_METHOD_new(EC_KEY_OpenSSL());
	if (r->rsa) {
		(void)RSA_meth_set1_name(r->rsa, "keys role");
		(void)RSA_meth_set_priv_enc(r->rsa, remote_rsa_private);
		(void)RSA_meth_set_priv_dec(r->rsa, remote_rsa_refuse);
	}
	if (r->ec) {
		EC_KEY_METHOD_get_sign(EC_KEY_OpenSSL(), NULL, &setup, NULL);
		EC_KEY_METHOD_set_sign(r->ec, remote_ec_sign, setup, remote_ec_refuse);
	}
	return r;
}

void tls_remote_free(struct tls_remote **r)
{
	if (!*r)
		return;
	RSA_meth_free((*r)->rsa);
	EC_KEY_METHOD_free((*r)->ec);
	free(*r);
	*r = NULL;
}

static struct remote_key *remote_key_new(const struct tls_remote *r, unsigned key)
{
	struct remote_key *k = mem_alloc(sizeof(*k));

	*k = (struct remote_key){.sign = r->sign, .arg = r->arg, .key = key};
	return k;
}

static bool remote_rsa(struct tls_remote *r, unsigned key, EVP_PKEY *public, EVP_PKEY *pkey)
{
	const RSA *old = EVP_PKEY_get0_RSA(public);
	struct remote_key *k = remote_key_new(r, key);
	RSA *rsa = RSA_new();
	BIGNUM *n = old ? BN_dup(RSA_get0_n(old)) : NULL, *e = old ? BN_dup(RSA_get0_e(old)) : NULL;

	if (!r->rsa || !rsa || !n || !e || !RSA_set_method(rsa, r->rsa) || !RSA_set0_key(rsa, n, e, NULL)) {
		BN_free(n);
		BN_free(e);
		RSA_free(rsa);
		free(k);
		return false;
	}
	if (!RSA_set_ex_data(rsa, rsa_index, k)) {
		free(k);
		RSA_free(rsa);
		return false;
	}
	if (EVP_PKEY_assign_RSA(pkey, rsa) != 1) {
		RSA_free(rsa);
		return false;
	}
	return true;
}

static bool remote_ec(struct tls_remote *r, unsigned key, EVP_PKEY *public, EVP_PKEY *pkey)
{
	const EC_KEY *old = EVP_PKEY_get0_EC_KEY(public);
	struct remote_key *k = remote_key_new(r, key);
	EC_KEY *ec = EC_KEY_new();

	if (!r->ec || !ec || !old || !EC_KEY_set_method(ec, r->ec) || !EC_KEY_set_group(ec, EC_KEY_get0_group(old)) ||
	    !EC_KEY_set_public_key(ec, EC_KEY_get0_public_key(old)) || !EC_KEY_set_ex_data(ec, ec_index, k)) {
		free(k);
		EC_KEY_free(ec);
		return false;
	}
	if (EVP_PKEY_assign_EC_KEY(pkey, ec) != 1) {
		EC_KEY_free(ec);
		return false;
	}
	return true;
}

enum rc tls_remote_key(struct tls_remote *r, unsigned key, X509 *certificate, EVP_PKEY **out, struct err *err)
{
	EVP_PKEY *public = certificate ? X509_get0_pubkey(certificate) : NULL, *pkey = EVP_PKEY_new();
	bool ok = false;

	if (public && pkey && EVP_PKEY_is_a(public, "RSA"))
		ok = remote_rsa(r, key, public, pkey);
	else if (public && pkey && EVP_PKEY_is_a(public, "EC"))
		ok = remote_ec(r, key, public, pkey);
	if (!ok) {
		EVP_PKEY_free(pkey);
		ERR_clear_error();
		return err_set(err, RC_BAD, "the certificate's key is neither RSA nor EC");
	}
	*out = pkey;
	return RC_OK;
}
