/* Keys that sign mail, and passwords for smarthosts: which files are read, what is left out and said, whose key signs what, that signatures verify. */
#include "test_keys_dkim.h"

#include <ftw.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/mem.h"
#include "role/keys_dkim.h"

struct home {
	char dir[64];
};

static unsigned complaints, unread;
static char complaint[512];

static void complain(const char *words, bool of_unread)
{
	complaints++;
	unread += of_unread;
	(void)snprintf(complaint, sizeof(complaint), "%s", words);
}

static void home_make(struct home *h)
{
	(void)snprintf(h->dir, sizeof(h->dir), "/tmp/test-keys-dkim-XXXXXX");
	assert_non_null(mkdtemp(h->dir));
	complaints = unread = 0;
	complaint[0] = '\0';
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st, (void)kind, (void)at;
	return remove(path);
}

int test_keys_remove(const char *dir)
{
	return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void home_remove(const struct home *h)
{
	assert_int_equal(test_keys_remove(h->dir), 0);
}

static void put_text(const struct home *h, const char *domain, const char *name, const char *text)
{
	char *path = mem_printf("%s/%s", h->dir, domain);
	FILE *f;

	(void)mkdir(path, 0700);
	free(path);
	path = mem_printf("%s/%s/%s", h->dir, domain, name);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	free(path);
}

/* bits: of RSA; 0: Ed25519; 1: a curve that DKIM does not know. Returns the key, for verifying */
static EVP_PKEY *put_key(const struct home *h, const char *domain, const char *name, unsigned bits)
{
	EVP_PKEY *key = bits > 1 ? EVP_RSA_gen(bits) : bits ? EVP_EC_gen("P-256") : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	BIO *bio = BIO_new(BIO_s_mem());
	char *bytes;

	assert_non_null(key);
	assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
	assert_int_equal(BIO_write(bio, "", 1), 1);
	assert_true(BIO_get_mem_data(bio, &bytes) > 0);
	put_text(h, domain, name, bytes);
	BIO_free(bio);
	return key;
}

static struct keys_dkim *load(const struct home *h)
{
	struct keys_dkim *k = NULL;
	struct err err = {""};

	assert_int_equal(keys_dkim_load(h->dir, complain, &k, &err), RC_OK);
	return k;
}

static bool verifies(EVP_PKEY *key, struct span signature, struct span digest)
{
	EVP_PKEY_CTX *ctx;
	EVP_MD_CTX *md;
	bool ok;

	if (EVP_PKEY_is_a(key, "ED25519")) {
		md = EVP_MD_CTX_new();
		ok = EVP_DigestVerifyInit(md, NULL, NULL, NULL, key) == 1 && EVP_DigestVerify(md, signature.ptr, signature.len, digest.ptr, digest.len) == 1;
		EVP_MD_CTX_free(md);
	} else {
		ctx = EVP_PKEY_CTX_new(key, NULL);
		ok = EVP_PKEY_verify_init(ctx) > 0 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) > 0 && EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) > 0 &&
			EVP_PKEY_verify(ctx, signature.ptr, signature.len, digest.ptr, digest.len) == 1;
		EVP_PKEY_CTX_free(ctx);
	}
	ERR_clear_error();
	return ok;
}

void test_keys_dkim_signs(void **state)
{
	struct span digest = SPAN_LIT("0123456789abcdef0123456789abcdef"), other = SPAN_LIT("0123456789abcdef0123456789abcdeg");
	struct keys_dkim_key found[KEYS_DKIM_DOMAIN_MAX];
	struct home h;
	struct buf out;

	(void)state;
	home_make(&h);
	EVP_PKEY *rsa = put_key(&h, "example.org", "b.key", 2048), *ed = put_key(&h, "example.org", "a.key", 0), *far = put_key(&h, "example.com", "a.key", 0);
	struct keys_dkim *k = load(&h);

	buf_init(&out, 1024);
	assert_int_equal(keys_dkim_count(k), 3);
	assert_int_equal(keys_dkim_of(k, SPAN_LIT("example.org"), found), 2);
	assert_true(span_eq(found[0].selector, SPAN_LIT("a")) && found[0].algorithm == DKIM_ED25519_SHA256);
	assert_true(span_eq(found[1].selector, SPAN_LIT("b")) && found[1].algorithm == DKIM_RSA_SHA256);
	assert_int_equal(keys_dkim_sign(k, found[0].key, SPAN_LIT("example.org"), digest, &out), RC_OK);
	assert_int_equal(out.len, 64);
	assert_true(verifies(ed, buf_span(&out), digest));
	assert_false(verifies(ed, buf_span(&out), other));
	assert_false(verifies(far, buf_span(&out), digest));
	buf_reset(&out);
	assert_int_equal(keys_dkim_sign(k, found[1].key, SPAN_LIT("example.org"), digest, &out), RC_OK);
	assert_int_equal(out.len, 256);
	assert_true(verifies(rsa, buf_span(&out), digest));
	assert_false(verifies(rsa, buf_span(&out), other));
	buf_reset(&out);
	/* a key signs for its own domain only, a digest only, and only where there is room */
	for (uint16_t key = 0; key < 5; key++)
		assert_int_equal(keys_dkim_sign(k, key, SPAN_LIT("example.net"), digest, &out), RC_BAD);
	assert_int_equal(keys_dkim_sign(k, found[0].key, SPAN_LIT("example.com"), digest, &out), RC_BAD);
	assert_int_equal(keys_dkim_sign(k, found[0].key, SPAN_LIT("example.or"), digest, &out), RC_BAD);
	assert_int_equal(keys_dkim_sign(k, found[0].key, SPAN_NONE, digest, &out), RC_BAD);
	assert_int_equal(keys_dkim_sign(k, UINT16_MAX, SPAN_LIT("example.org"), digest, &out), RC_BAD);
	assert_int_equal(keys_dkim_sign(k, found[0].key, SPAN_LIT("example.org"), span_head(digest, 31), &out), RC_BAD);
	assert_int_equal(keys_dkim_sign(k, found[0].key, SPAN_LIT("example.org"), SPAN_LIT("a text that is no digest at all, but longer"), &out), RC_BAD);
	assert_int_equal(out.len, 0);
	buf_clear(&out);
	buf_init(&out, 63);
	assert_int_equal(keys_dkim_sign(k, found[0].key, SPAN_LIT("example.org"), digest, &out), RC_IO);
	buf_clear(&out);
	keys_dkim_free(&k);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(ed);
	EVP_PKEY_free(far);
	home_remove(&h);
}

void test_keys_dkim_of(void **state)
{
	static const struct { const char *domain; size_t count; } cases[] = {
		{"a.example", 1}, {"b.example", KEYS_DKIM_DOMAIN_MAX}, {"bb.example", 1}, {"c.example", 1}, {"", 0}, {"a", 0}, {"a.exampl", 0}, {"a.examplee", 0}, {"b", 0},
		{"A.EXAMPLE", 0} /* who asks knows lower case */, {"zz.example", 0}, {"0", 0}, {"..", 0},
	};
	struct keys_dkim_key found[KEYS_DKIM_DOMAIN_MAX];
	struct home h;
	char name[16];

	(void)state;
	home_make(&h);
	EVP_PKEY_free(put_key(&h, "c.example", "x.key", 0));
	EVP_PKEY_free(put_key(&h, "a.example", "x.key", 0));
	EVP_PKEY_free(put_key(&h, "bb.example", "x.key", 0));
	for (unsigned i = 0; i < KEYS_DKIM_DOMAIN_MAX + 3; i++) {
		(void)snprintf(name, sizeof(name), "s%02u.key", i);
		EVP_PKEY_free(put_key(&h, "b.example", name, 0));
	}
	struct keys_dkim *k = load(&h);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(keys_dkim_of(k, span_str(cases[i].domain), found), cases[i].count);
	assert_int_equal(keys_dkim_of(k, SPAN_LIT("b.example"), found), KEYS_DKIM_DOMAIN_MAX);
	assert_true(span_eq(found[0].selector, SPAN_LIT("s00")) && span_eq(found[KEYS_DKIM_DOMAIN_MAX - 1].selector, SPAN_LIT("s07")));
	assert_int_equal(complaints, 0);
	keys_dkim_free(&k);
	assert_null(k);
	keys_dkim_free(&k);
	home_remove(&h);
}

/* a link that leads to itself: the system cannot open it */
static void put_loop(const struct home *h, const char *domain, const char *name)
{
	char *path = mem_printf("%s/%s", h->dir, domain);

	(void)mkdir(path, 0700);
	free(path);
	path = mem_printf("%s/%s/%s", h->dir, domain, name);
	assert_int_equal(symlink(name, path), 0);
	free(path);
}

static char passes_from[128], passes_to[128];

static void trouble_passes(int signal)
{
	(void)signal;
	(void)rename(passes_from, passes_to);
}

/* there is a key, and nobody knows which: no other than "there is none" */
void test_keys_dkim_unread(void **state)
{
	struct keys_dkim_key found[KEYS_DKIM_DOMAIN_MAX];
	struct itimerval soon = {.it_value = {.tv_usec = 30000}};
	struct keys_dkim *k;
	struct home h;

	(void)state;
	home_make(&h);
	put_loop(&h, "loop.example", "a.key");
	put_loop(&h, "both.example", "a.key");
	EVP_PKEY_free(put_key(&h, "both.example", "b.key", 0));
	put_loop(&h, ".", "dir.example");
	put_text(&h, "text.example", "a.key", "no key");
	put_loop(&h, "nowhere.example", "x");
	(void)snprintf(passes_from, sizeof(passes_from), "%s/nowhere.example/a.key", h.dir);
	assert_int_equal(symlink("not-there", passes_from), 0);
	k = load(&h);
	assert_int_equal(keys_dkim_count(k), 1);
	assert_int_equal(complaints, 5);
	assert_int_equal(unread, 3);
	assert_true(keys_dkim_unread(k, SPAN_LIT("loop.example")));
	assert_true(keys_dkim_unread(k, SPAN_LIT("dir.example")));
	assert_true(keys_dkim_unread(k, SPAN_LIT("both.example")));
	assert_int_equal(keys_dkim_of(k, SPAN_LIT("both.example"), found), 1);
	assert_false(keys_dkim_unread(k, SPAN_LIT("text.example")));
	assert_false(keys_dkim_unread(k, SPAN_LIT("nowhere.example")));
	assert_false(keys_dkim_unread(k, SPAN_LIT("loop.exampl")));
	keys_dkim_free(&k);
	home_remove(&h);

	/* what passes is not even told */
	home_make(&h);
	put_loop(&h, "example.org", "a.key");
	EVP_PKEY_free(put_key(&h, "example.org", "good", 0));
	(void)snprintf(passes_from, sizeof(passes_from), "%s/example.org/good", h.dir);
	(void)snprintf(passes_to, sizeof(passes_to), "%s/example.org/a.key", h.dir);
	assert_true(signal(SIGALRM, trouble_passes) != SIG_ERR);
	assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
	k = load(&h);
	assert_int_equal(keys_dkim_of(k, SPAN_LIT("example.org"), found), 1);
	assert_int_equal(complaints, 0);
	assert_false(keys_dkim_unread(k, SPAN_LIT("example.org")));
	keys_dkim_free(&k);
	home_remove(&h);
}

/* what is not in use is not read, what cannot be used is told, and neither stops the rest */
void test_keys_dkim_left_out(void **state)
{
	static const struct { const char *name; unsigned bits; const char *text, *said; } cases[] = {
		{"new.key.new", 0, NULL, NULL}, {"old.key.old", 0, NULL, NULL}, {".hidden.key", 0, NULL, NULL}, {"key", 0, NULL, NULL}, {".key", 0, NULL, NULL}, {"dot.ted.key", 0, NULL, NULL},
		{"under_score.key", 0, NULL, NULL}, {"-a.key", 0, NULL, NULL}, {"note.txt", 0, "hello", NULL},
		{"weak.key", 1024, NULL, "1024 bits; 2048 to 4096"}, {"curve.key", 1, NULL, "neither an RSA nor an Ed25519 key"}, {"empty.key", 0, "", "empty.key"},
		{"junk.key", 0, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "junk.key"},
	};
	struct keys_dkim_key found[KEYS_DKIM_DOMAIN_MAX];
	struct keys_dkim *k;
	struct home h;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		home_make(&h);
		EVP_PKEY_free(put_key(&h, "example.org", "good.key", 0));
		if (cases[i].text)
			put_text(&h, "example.org", cases[i].name, cases[i].text);
		else
			EVP_PKEY_free(put_key(&h, "example.org", cases[i].name, cases[i].bits));
		k = load(&h);
		assert_int_equal(keys_dkim_count(k), 1);
		assert_int_equal(keys_dkim_of(k, SPAN_LIT("example.org"), found), 1);
		assert_int_equal(complaints, cases[i].said ? 1 : 0);
		if (cases[i].said)
			assert_non_null(strstr(complaint, cases[i].said));
		assert_int_equal(unread, 0);
		assert_false(keys_dkim_unread(k, SPAN_LIT("example.org")));
		keys_dkim_free(&k);
		home_remove(&h);
	}
	home_make(&h); /* a file where a domain's directory should be, and no directory at all */
	put_text(&h, ".", "stray", "x");
	k = load(&h);
	assert_int_equal(keys_dkim_count(k), 0);
	keys_dkim_free(&k);
	home_remove(&h);
	k = load(&h);
	assert_int_equal(keys_dkim_count(k), 0);
	keys_dkim_free(&k);
}
