#include "role/keys_sign.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "base/mem.h"
#include "role/keys_file.h"

enum {
	KEYS_RSA_LEAST_BITS = 2048,
	KEYS_RSA_MOST_BYTES = 1024,  /* 8192 bits: what a frame holds */
	KEYS_DIGEST_MOST_BYTES = 64,
};

struct key {
	EVP_PKEY *pkey;
	bool rsa;
	size_t bytes; /* RSA: of the modulus */
	char kind[24];
};

struct keys {
	struct key *keys;
	size_t count;
};

/* DER of DigestInfo up to the digest (RFC 8017 9.2 note 1) */
static const struct digest_info {
	size_t digest_bytes;
	struct span prefix;
	const EVP_MD *(*md)(void);
} digest_infos[] = {
	{32, SPAN_LIT("\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"), EVP_sha256},
	{48, SPAN_LIT("\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30"), EVP_sha384},
	{64, SPAN_LIT("\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40"), EVP_sha512},
};
enum { DIGEST_COUNT = sizeof(digest_infos) / sizeof(digest_infos[0]) };

/* ---- reading */

static enum rc key_judge(struct key *k, const char *path, struct err *err)
{
	char group[32] = "";
	int bits = EVP_PKEY_get_bits(k->pkey);
	size_t len = 0;

	if (EVP_PKEY_is_a(k->pkey, "RSA")) {
		k->rsa = true;
		k->bytes = (size_t)EVP_PKEY_get_size(k->pkey);
		(void)snprintf(k->kind, sizeof(k->kind), "RSA %d", bits);
		if (bits < KEYS_RSA_LEAST_BITS || k->bytes > KEYS_RSA_MOST_BYTES || bits % 8)
			return err_set(err, RC_BAD, "%s: an RSA key of %d bits; use a multiple of 8 from %d to %d", path, bits, KEYS_RSA_LEAST_BITS,
				KEYS_RSA_MOST_BYTES * 8);
		return RC_OK;
	}
	if (!EVP_PKEY_is_a(k->pkey, "EC"))
		return err_set(err, RC_BAD, "%s: neither an RSA nor an EC key", path);
	(void)EVP_PKEY_get_utf8_string_param(k->pkey, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group), &len);
	if (strcmp(group, "prime256v1") != 0 && strcmp(group, "secp384r1") != 0)
		return err_set(err, RC_BAD, "%s: an EC key on the curve %s; use P-256 or P-384", path, group);
	(void)snprintf(k->kind, sizeof(k->kind), "EC P-%d", bits);
	return RC_OK;
}

/* a key that does not belong to the certificate would fail every handshake later, and say less about it */
static enum rc key_fits(const struct key *k, const struct conf_certificate *c, struct err *err)
{
	BIO *bio = BIO_new_file(c->chain, "r");
	X509 *x;
	bool fits;

	if (!bio)
		return err_errno(err, RC_IO, "%s", c->chain);
	x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	BIO_free(bio);
	fits = x && EVP_PKEY_eq(X509_get0_pubkey(x), k->pkey) == 1;
	ERR_clear_error();
	if (!x)
		return err_set(err, RC_BAD, "%s: holds no PEM certificate", c->chain);
	X509_free(x);
	return fits ? RC_OK : err_set(err, RC_BAD, "%s is not the key of %s", c->key, c->chain);
}

enum rc keys_load(const struct conf *conf, struct keys **out, struct err *err)
{
	struct keys *k;

	if (keys_file_memory(err) != RC_OK)
		return RC_IO;
	k = mem_zalloc(sizeof(*k));
	k->keys = mem_array(conf->certificate_count ? conf->certificate_count : 1, sizeof(*k->keys));
	for (size_t i = 0; i < conf->certificate_count; i++) {
		const struct conf_certificate *c = &conf->certificates[i];
		struct key *key = &k->keys[k->count++];
		struct err why = {""};
		enum rc rc = keys_file_key(c->key, &key->pkey, &why);

		if (rc == RC_OK)
			rc = key_judge(key, c->key, &why);
		if (rc == RC_OK)
			rc = key_fits(key, c, &why);
		if (rc != RC_OK) {
			keys_free(&k);
			return err_set(err, rc, "certificate \"%s\": %s", c->name, why.words);
		}
	}
	*out = k;
	return RC_OK;
}

void keys_free(struct keys **k)
{
	if (!*k)
		return;
	for (size_t i = 0; i < (*k)->count; i++)
		EVP_PKEY_free((*k)->keys[i].pkey);
	free((*k)->keys);
	free(*k);
	*k = NULL;
}

size_t keys_count(const struct keys *k)
{
	return k->count;
}

const char *keys_kind(const struct keys *k, unsigned key)
{
	return key < k->count ? k->keys[key].kind : "";
}

/* ---- what may be signed */

static bool is_digest_info(struct span s)
{
	for (size_t i = 0; i < DIGEST_COUNT; i++) {
		const struct digest_info *d = &digest_infos[i];

		if (s.len == d->prefix.len + d->digest_bytes && span_starts(s, d->prefix))
			return true;
	}
	return false;
}

/* RFC 8017 B.2.1, xored into block */
static bool mgf1_unmask(const EVP_MD *md, struct span seed, uint8_t *block, size_t len)
{
	uint8_t text[KEYS_DIGEST_MOST_BYTES + 4], mask[EVP_MAX_MD_SIZE];
	size_t done = 0;

	memcpy(text, seed.ptr, seed.len);
	for (uint32_t counter = 0; done < len; counter++) {
		unsigned n = 0;

		for (unsigned i = 0; i < 4; i++)
			text[seed.len + i] = (uint8_t)(counter >> (24 - 8 * i));
		if (!EVP_Digest(text, seed.len + 4, mask, &n, md, NULL) || n == 0)
			return false;
		for (unsigned i = 0; i < n && done < len; i++)
			block[done++] ^= mask[i];
	}
	return true;
}

/* RFC 8017 9.1.2 steps 4 to 10: everything of EMSA-PSS that shows without the message. A block that was not made this way passes with a chance
 * far below 2^-1000, so a taken worker cannot have anything else run through the key. */
static bool is_pss_block(struct span em, const struct digest_info *d)
{
	uint8_t db[KEYS_RSA_MOST_BYTES];
	size_t len, salt = d->digest_bytes;

	/* moduli are a multiple of 8 bits long (key_judge), so one bit is spare on top */
	if (em.len < 2 * d->digest_bytes + 2 || em.len > sizeof(db) || em.ptr[em.len - 1] != 0xbc || em.ptr[0] & 0x80)
		return false;
	len = em.len - d->digest_bytes - 1;
	memcpy(db, em.ptr, len);
	if (!mgf1_unmask(d->md(), span_of(em.ptr + len, d->digest_bytes), db, len))
		return false;
	db[0] &= 0x7f;
	for (size_t i = 0; i < len - salt - 1; i++) {
		if (db[i])
			return false;
	}
	return db[len - salt - 1] == 0x01;
}

bool keys_is_tls_shaped(const struct keys *k, unsigned key, unsigned scheme, struct span input)
{
	const struct key *own = key < k->count ? &k->keys[key] : NULL;

	if (!own)
		return false;
	switch (scheme) {
	case KEY_SCHEME_ECDSA:
		return !own->rsa && (input.len == 32 || input.len == 48 || input.len == 64);
	case KEY_SCHEME_RSA_PRIVATE_PKCS1:
		return own->rsa && is_digest_info(input);
	case KEY_SCHEME_RSA_PRIVATE_RAW:
		if (!own->rsa || input.len != own->bytes)
			return false;
		for (size_t i = 0; i < DIGEST_COUNT; i++) {
			if (is_pss_block(input, &digest_infos[i]))
				return true;
		}
		return false;
	default:
		return false;
	}
}

enum rc keys_sign(struct keys *k, unsigned key, unsigned scheme, struct span input, struct buf *out)
{
	EVP_PKEY_CTX *ctx = NULL;
	size_t len = 0;
	uint8_t *to;
	enum rc rc = RC_IO;

	if (!keys_is_tls_shaped(k, key, scheme, input))
		return RC_BAD;
	ctx = EVP_PKEY_CTX_new(k->keys[key].pkey, NULL);
	if (!ctx || EVP_PKEY_sign_init(ctx) <= 0)
		goto out;
	if (scheme != KEY_SCHEME_ECDSA &&
	    EVP_PKEY_CTX_set_rsa_padding(ctx, scheme == KEY_SCHEME_RSA_PRIVATE_RAW ? RSA_NO_PADDING : RSA_PKCS1_PADDING) <= 0)
		goto out;
	if (EVP_PKEY_sign(ctx, NULL, &len, input.ptr, input.len) <= 0)
		goto out;
	to = buf_reserve(out, len);
	if (!to || EVP_PKEY_sign(ctx, to, &len, input.ptr, input.len) <= 0)
		goto out;
	out->len += len;
	rc = RC_OK;
out:
	EVP_PKEY_CTX_free(ctx);
	ERR_clear_error();
	return rc;
}
