#include <crypt.h>
#include <gsasl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/rng.h"
#include "store/cred.h"

/* RFC 7677 4 asks for at least 4096; the client pays the same at every sign-in */
enum { CRED_SCRAM_ITERATIONS = 8192, CRED_SCRAM_SALT_BYTES = 16, CRED_SHA256_BYTES = 32 };

/* runs when there is no hash to check, so that an unknown name takes as long as a known one */
static const char cred_dummy[] = "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7";

/* a password as C string, prepared by SASLprep where it can be; freed with the bytes wiped */
struct cred_secret {
	char *raw;
	char *prepared; /* NULL: SASLprep refuses it, or it was not asked for */
};

static void cred_wipe(char **s)
{
	if (*s)
		explicit_bzero(*s, strlen(*s));
	free(*s);
	*s = NULL;
}

static void cred_secret_clear(struct cred_secret *p)
{
	cred_wipe(&p->raw);
	cred_wipe(&p->prepared);
}

/* RC_BAD: empty, or a NUL inside, which crypt(3) would stop at */
static enum rc cred_secret_init(struct cred_secret *p, struct span password, bool query)
{
	int strange = 0;

	*p = (struct cred_secret){0};
	if (password.len == 0 || password.len > LIMIT_PASSWORD_BYTES || memchr(password.ptr, '\0', password.len))
		return RC_BAD;
	p->raw = mem_str_span(password);
	/* RFC 4013 2.5: what is stored may hold no code points unknown to us, what is asked may */
	if (gsasl_saslprep(p->raw, query ? GSASL_ALLOW_UNASSIGNED : 0, &p->prepared, &strange) != GSASL_OK)
		p->prepared = NULL;
	if (p->prepared && p->prepared[0] == '\0')
		cred_wipe(&p->prepared);
	return RC_OK;
}

static bool cred_hash_same(const char *hash, const char *password, struct crypt_data *work)
{
	const char *made = crypt_r(password, hash, work);
	size_t len = strlen(hash);

	return made && made[0] != '*' && strlen(made) == len && CRYPTO_memcmp(made, hash, len) == 0;
}

/* "{CRYPT}" stands before hashes that come from other systems */
static struct span cred_hash_bare(struct span hash)
{
	struct span prefix = SPAN_LIT("{CRYPT}");

	return span_starts_nocase(hash, prefix) ? span_from(hash, prefix.len) : hash;
}

static bool cred_hash_usable(struct span hash)
{
	char *text;
	int kind;

	if (hash.len < 13 || hash.len >= CRYPT_OUTPUT_SIZE || !span_is_vchar(hash)) /* the shortest, of DES, has 13 */
		return false;
	text = mem_str_span(hash);
	kind = crypt_checksalt(text);
	free(text);
	return kind != CRYPT_SALT_INVALID && kind != CRYPT_SALT_METHOD_DISABLED;
}

enum rc cred_check_password(struct span hash, struct span password, struct err *err)
{
	struct span bare = cred_hash_bare(hash);
	bool usable = cred_hash_usable(bare), good = false;
	struct crypt_data *work = mem_zalloc(sizeof(*work));
	struct cred_secret secret;
	char *text = usable ? mem_str_span(bare) : mem_str(cred_dummy);

	if (cred_secret_init(&secret, password, true) != RC_OK) {
		(void)cred_hash_same(cred_dummy, "-", work);
	} else {
		good = cred_hash_same(text, secret.prepared ? secret.prepared : secret.raw, work);
		/* a hash that was made elsewhere is of the bytes as they were typed */
		if (!good && secret.prepared && !span_eq(span_str(secret.prepared), span_str(secret.raw)))
			good = cred_hash_same(text, secret.raw, work);
		if (usable && !span_starts(bare, SPAN_LIT("$y$"))) /* a cheap hash must not tell by its time that the name exists */
			(void)cred_hash_same(cred_dummy, secret.raw, work);
	}
	cred_secret_clear(&secret);
	free(text);
	explicit_bzero(work, sizeof(*work));
	free(work);
	return usable && good ? RC_OK : err_set(err, RC_DENIED, "wrong name or password");
}

enum rc cred_check_old(const struct cred_row *row, struct span password, int64_t wall_ms, struct err *err)
{
	bool recent = row->old_hash.len && row->old_ended_ms <= wall_ms && wall_ms - row->old_ended_ms < CRED_OLD_MS;

	return cred_check_password(recent ? row->old_hash : SPAN_NONE, password, err);
}

static bool cred_hmac(const uint8_t key[CRED_SHA256_BYTES], const char *text, uint8_t out[CRED_SHA256_BYTES])
{
	unsigned len = CRED_SHA256_BYTES;

	return HMAC(EVP_sha256(), key, CRED_SHA256_BYTES, (const uint8_t *)text, strlen(text), out, &len) != NULL;
}

/* RFC 5802 3: SaltedPassword, ClientKey, StoredKey, ServerKey; with SHA-256, RFC 7677 */
static enum rc cred_scram(struct cred_row *row, const char *prepared, struct arena *mem, struct err *err)
{
	uint8_t salt[CRED_SCRAM_SALT_BYTES], salted[CRED_SHA256_BYTES], client[CRED_SHA256_BYTES], stored[CRED_SHA256_BYTES], server[CRED_SHA256_BYTES];
	unsigned len = CRED_SHA256_BYTES;
	bool ok;

	rng_fill(salt, sizeof(salt));
	ok = PKCS5_PBKDF2_HMAC(prepared, (int)strlen(prepared), salt, sizeof(salt), CRED_SCRAM_ITERATIONS, EVP_sha256(), sizeof(salted), salted) == 1;
	ok = ok && cred_hmac(salted, "Client Key", client) && cred_hmac(salted, "Server Key", server);
	ok = ok && EVP_Digest(client, sizeof(client), stored, &len, EVP_sha256(), NULL) == 1;
	if (ok) {
		row->scram_salt = arena_copy(mem, span_of(salt, sizeof(salt)));
		row->scram_stored_key = arena_copy(mem, span_of(stored, sizeof(stored)));
		row->scram_server_key = arena_copy(mem, span_of(server, sizeof(server)));
		row->scram_iterations = CRED_SCRAM_ITERATIONS;
	}
	explicit_bzero(salted, sizeof(salted));
	explicit_bzero(client, sizeof(client));
	explicit_bzero(stored, sizeof(stored));
	explicit_bzero(server, sizeof(server));
	return ok ? RC_OK : err_set(err, RC_IO, "OpenSSL could not make a SCRAM verifier");
}

enum rc cred_set_password(struct cred_row *row, struct span password, struct arena *mem, struct err *err)
{
	struct crypt_data *work = mem_zalloc(sizeof(*work));
	char salt[CRYPT_GENSALT_OUTPUT_SIZE];
	struct cred_secret secret;
	const char *hash = NULL;
	enum rc rc = cred_secret_init(&secret, password, false);

	if (rc != RC_OK) {
		rc = err_set(err, RC_BAD, "a password must have 1 to %d bytes and no NUL", CRYPT_MAX_PASSPHRASE_SIZE - 1);
		goto out;
	}
	if (strlen(secret.prepared ? secret.prepared : secret.raw) >= CRYPT_MAX_PASSPHRASE_SIZE) {
		rc = err_set(err, RC_LIMIT, "a password may have at most %d bytes", CRYPT_MAX_PASSPHRASE_SIZE - 1);
		goto out;
	}
	if (crypt_gensalt_rn("$y$", 0, NULL, 0, salt, sizeof(salt)))
		hash = crypt_r(secret.prepared ? secret.prepared : secret.raw, salt, work);
	if (!hash || hash[0] == '*') {
		rc = err_errno(err, RC_IO, "crypt(3) could not make a hash");
		goto out;
	}
	row->hash = arena_copy(mem, span_str(hash));
	row->scram_salt = row->scram_stored_key = row->scram_server_key = SPAN_NONE;
	row->scram_iterations = 0;
	if (secret.prepared) /* without SASLprep a client and we would not agree on the bytes */
		rc = cred_scram(row, secret.prepared, mem, err);
	if (rc == RC_OK && mem->overflow)
		rc = err_set(err, RC_LIMIT, "no room for a login's data");
out:
	cred_secret_clear(&secret);
	explicit_bzero(work, sizeof(*work));
	free(work);
	return rc;
}
