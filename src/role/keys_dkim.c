#include "role/keys_dkim.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "role/keys_file.h"

enum { KEYS_DKIM_RSA_LEAST_BITS = 2048, KEYS_DKIM_RSA_MOST_BITS = 4096 };
enum { KEYS_DKIM_AGAIN_MAX = 20 /* in all */, KEYS_DKIM_AGAIN_US = 50000 };

struct dkim_private {
	char *domain, *selector;
	EVP_PKEY *pkey;
	enum dkim_algorithm algorithm;
};

struct keys_dkim {
	struct dkim_private *keys; /* in order of domain, then selector */
	size_t count, size;
	char **unread;             /* domains a key of which could not be read */
	size_t unread_count;
	unsigned again;
	void (*complain)(const char *words, bool unread);
};

/* rc: RC_IO: it may be a good one */
static void keys_dkim_complain(struct keys_dkim *k, struct span domain, enum rc rc, const char *words)
{
	if (rc == RC_IO) {
		k->unread = mem_realloc(k->unread, (k->unread_count + 1) * sizeof(*k->unread));
		k->unread[k->unread_count++] = mem_str_span(domain);
	}
	if (k->complain)
		k->complain(words, rc == RC_IO);
}

/* what the system failed at may pass at once; the start waits only so long for it */
static bool keys_dkim_again(struct keys_dkim *k, enum rc rc)
{
	if (rc != RC_IO || k->again++ >= KEYS_DKIM_AGAIN_MAX)
		return false;
	(void)usleep(KEYS_DKIM_AGAIN_US);
	return true;
}

static enum rc keys_dkim_judge(struct dkim_private *p, const char *path, struct err *err)
{
	int bits = EVP_PKEY_get_bits(p->pkey);

	if (EVP_PKEY_is_a(p->pkey, "ED25519")) {
		p->algorithm = DKIM_ED25519_SHA256;
		return RC_OK;
	}
	if (!EVP_PKEY_is_a(p->pkey, "RSA"))
		return err_set(err, RC_BAD, "%s: neither an RSA nor an Ed25519 key", path);
	if (bits < KEYS_DKIM_RSA_LEAST_BITS || bits > KEYS_DKIM_RSA_MOST_BITS)
		return err_set(err, RC_BAD, "%s: an RSA key of %d bits; %d to %d would be right", path, bits, KEYS_DKIM_RSA_LEAST_BITS, KEYS_DKIM_RSA_MOST_BITS);
	p->algorithm = DKIM_RSA_SHA256;
	return RC_OK;
}

static enum rc keys_dkim_add(struct keys_dkim *k, const char *path, struct span domain, struct span selector, struct err *err)
{
	struct dkim_private p = {0};
	enum rc rc;

	if (k->count == KEYS_DKIM_MAX)
		return err_set(err, RC_LIMIT, "%s: left out, there are more than %d keys", path, KEYS_DKIM_MAX);
	rc = keys_file_key(path, &p.pkey, err);
	if (rc == RC_OK)
		rc = keys_dkim_judge(&p, path, err);
	if (rc != RC_OK) {
		EVP_PKEY_free(p.pkey);
		return rc;
	}
	if (k->count == k->size) {
		k->size = k->size ? 2 * k->size : 16;
		k->keys = mem_realloc(k->keys, k->size * sizeof(*k->keys));
	}
	p.domain = mem_str_span(domain);
	p.selector = mem_str_span(selector);
	k->keys[k->count++] = p;
	return RC_OK;
}

/* Calls each for the entries of a directory that do not begin with a dot. RC_NONE: it is not there; RC_BAD: it is no directory; RC_IO: some were perhaps
 * not found */
static enum rc keys_dkim_each(const char *dir, struct keys_dkim *k, void (*each)(struct keys_dkim *, const char *dir, const char *name), struct err *err)
{
	const struct dirent *entry;
	enum rc rc = RC_OK;
	DIR *d;

	do {
		d = opendir(dir);
		if (!d)
			rc = errno == ENOENT ? RC_NONE : err_errno(err, errno == ENOTDIR ? RC_BAD : RC_IO, "%s", dir);
	} while (!d && keys_dkim_again(k, rc));
	if (!d)
		return rc;
	for (errno = 0; (entry = readdir(d)) != NULL; errno = 0)
		if (entry->d_name[0] != '.')
			each(k, dir, entry->d_name);
	rc = errno ? err_errno(err, RC_IO, "%s", dir) : RC_OK;
	(void)closedir(d);
	return rc;
}

static void keys_dkim_file(struct keys_dkim *k, const char *dir, const char *name)
{
	struct span file = span_str(name), end = SPAN_LIT(".key"), domain = span_str(strrchr(dir, '/') + 1);
	struct err why = {""};
	char *path;
	enum rc rc;

	if (file.len <= end.len || !span_eq(span_from(file, file.len - end.len), end) || !dkim_selector_ok(span_head(file, file.len - end.len)))
		return;
	path = mem_printf("%s/%s", dir, name);
	do
		rc = keys_dkim_add(k, path, domain, span_head(file, file.len - end.len), &why);
	while (keys_dkim_again(k, rc));
	if (rc == RC_IO && access(path, F_OK) != 0 && errno == ENOENT) /* a link that leads nowhere */
		rc = RC_NONE;
	if (rc != RC_OK)
		keys_dkim_complain(k, domain, rc, why.words);
	free(path);
}

static void keys_dkim_domain(struct keys_dkim *k, const char *dir, const char *name)
{
	char *path = mem_printf("%s/%s", dir, name);
	struct err why = {""};
	enum rc rc;

	rc = keys_dkim_each(path, k, keys_dkim_file, &why);
	if (rc != RC_OK && rc != RC_NONE)
		keys_dkim_complain(k, span_str(name), rc, why.words);
	free(path);
}

static int keys_dkim_order(const void *a, const void *b)
{
	const struct dkim_private *x = a, *y = b;
	int order = strcmp(x->domain, y->domain);

	return order ? order : strcmp(x->selector, y->selector);
}

enum rc keys_dkim_load(const char *dir, void (*complain)(const char *words, bool unread), struct keys_dkim **out, struct err *err)
{
	struct keys_dkim *k;
	enum rc rc = keys_file_memory(err);

	if (rc != RC_OK)
		return rc;
	k = mem_zalloc(sizeof(*k));
	k->complain = complain;
	rc = keys_dkim_each(dir, k, keys_dkim_domain, err);
	if (rc != RC_OK && rc != RC_NONE) {
		keys_dkim_free(&k);
		return rc;
	}
	if (k->count)
		qsort(k->keys, k->count, sizeof(*k->keys), keys_dkim_order);
	*out = k;
	return RC_OK;
}

void keys_dkim_free(struct keys_dkim **k)
{
	if (!*k)
		return;
	for (size_t i = 0; i < (*k)->count; i++) {
		EVP_PKEY_free((*k)->keys[i].pkey);
		free((*k)->keys[i].domain);
		free((*k)->keys[i].selector);
	}
	for (size_t i = 0; i < (*k)->unread_count; i++)
		free((*k)->unread[i]);
	free((*k)->unread);
	free((*k)->keys);
	free(*k);
	*k = NULL;
}

size_t keys_dkim_count(const struct keys_dkim *k)
{
	return k->count;
}

static int keys_dkim_compare(const struct dkim_private *p, struct span domain)
{
	size_t len = strlen(p->domain);
	int order = memcmp(p->domain, domain.ptr, len < domain.len ? len : domain.len);

	return order ? order : (len > domain.len) - (len < domain.len);
}

size_t keys_dkim_of(const struct keys_dkim *k, struct span domain, struct keys_dkim_key out[KEYS_DKIM_DOMAIN_MAX])
{
	size_t low = 0, high = k->count, n = 0;

	if (domain.len == 0)
		return 0;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (keys_dkim_compare(&k->keys[middle], domain) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < k->count && n < KEYS_DKIM_DOMAIN_MAX && keys_dkim_compare(&k->keys[low], domain) == 0; low++)
		out[n++] = (struct keys_dkim_key){.key = (uint16_t)low, .algorithm = k->keys[low].algorithm, .selector = span_str(k->keys[low].selector)};
	return n;
}

bool keys_dkim_unread(const struct keys_dkim *k, struct span domain)
{
	for (size_t i = 0; i < k->unread_count; i++)
		if (span_eq(span_str(k->unread[i]), domain))
			return true;
	return false;
}

/* RSA: PKCS #1 v1.5 over the digest; Ed25519: the digest is the message (RFC 8463 3) */
static bool keys_dkim_run(const struct dkim_private *p, struct span digest, uint8_t *to, size_t *len)
{
	EVP_PKEY_CTX *ctx;
	EVP_MD_CTX *md;
	bool ok;

	if (p->algorithm == DKIM_ED25519_SHA256) {
		md = EVP_MD_CTX_new();
		ok = md && EVP_DigestSignInit(md, NULL, NULL, NULL, p->pkey) == 1 && EVP_DigestSign(md, to, len, digest.ptr, digest.len) == 1;
		EVP_MD_CTX_free(md);
		return ok;
	}
	ctx = EVP_PKEY_CTX_new(p->pkey, NULL);
	ok = ctx && EVP_PKEY_sign_init(ctx) > 0 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) > 0 &&
		EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) > 0 && EVP_PKEY_sign(ctx, to, len, digest.ptr, digest.len) > 0;
	EVP_PKEY_CTX_free(ctx);
	return ok;
}

enum rc keys_dkim_sign(const struct keys_dkim *k, uint16_t key, struct span domain, struct span digest, struct buf *out)
{
	const struct dkim_private *p = key < k->count ? &k->keys[key] : NULL;
	size_t len;
	uint8_t *to;
	bool ok;

	if (!p || digest.len != DKIM_DIGEST_BYTES || domain.len == 0 || keys_dkim_compare(p, domain) != 0)
		return RC_BAD;
	len = (size_t)EVP_PKEY_get_size(p->pkey);
	to = buf_reserve(out, len);
	ok = to && keys_dkim_run(p, digest, to, &len);
	if (ok)
		out->len += len;
	ERR_clear_error();
	return ok ? RC_OK : RC_IO;
}
