/* Application passwords. verifier: 16 bytes of salt, then HMAC-SHA256 with that salt as its key over the 16 signs without groups. */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/mem.h"
#include "base/rng.h"
#include "store/cred_internal.h"

enum { APP_SALT_BYTES = 16, APP_MAC_BYTES = 32, APP_VERIFIER_BYTES = APP_SALT_BYTES + APP_MAC_BYTES, APP_GROUP = 4 };

static const char app_alphabet[] = "abcdefghijkmnpqrstuvwxyz23456789"; /* 32, without l and o, 0 and 1 */

static bool app_mac(const uint8_t salt[APP_SALT_BYTES], const char signs[CRED_APP_SIGNS], uint8_t mac_out[APP_MAC_BYTES])
{
	unsigned len = 0;

	return HMAC(EVP_sha256(), salt, APP_SALT_BYTES, (const uint8_t *)signs, CRED_APP_SIGNS, mac_out, &len) && len == APP_MAC_BYTES;
}

/* the signs of what was typed; false: this cannot be one */
static bool app_signs(struct span password, char signs_out[CRED_APP_SIGNS])
{
	char signs[CRED_APP_SIGNS];
	size_t n = 0;

	for (size_t i = 0; i < password.len; i++) {
		uint8_t c = byte_lower(password.ptr[i]);

		if (c == '-' || c == ' ')
			continue;
		if (n == CRED_APP_SIGNS || c == 0 || !strchr(app_alphabet, c))
			return false;
		signs[n++] = (char)c;
	}
	if (n == CRED_APP_SIGNS)
		memcpy(signs_out, signs, sizeof(signs));
	explicit_bzero(signs, sizeof(signs));
	return n == CRED_APP_SIGNS;
}

static bool app_make(uint8_t verifier_out[APP_VERIFIER_BYTES], char text_out[CRED_APP_TEXT_BYTES + 1])
{
	uint8_t chance[CRED_APP_SIGNS];
	char signs[CRED_APP_SIGNS];
	size_t at = 0;
	bool ok;

	rng_fill(chance, sizeof(chance));
	rng_fill(verifier_out, APP_SALT_BYTES);
	for (size_t i = 0; i < CRED_APP_SIGNS; i++) {
		signs[i] = app_alphabet[chance[i] & 31];
		if (i && i % APP_GROUP == 0)
			text_out[at++] = '-';
		text_out[at++] = signs[i];
	}
	text_out[at] = '\0';
	ok = app_mac(verifier_out, signs, verifier_out + APP_SALT_BYTES);
	explicit_bzero(chance, sizeof(chance));
	explicit_bzero(signs, sizeof(signs));
	return ok;
}

static bool app_name_ok(struct span name)
{
	if (name.len == 0 || name.len > CRED_APP_NAME_BYTES || !span_is_utf8(name) || span_trim(name).len != name.len)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		/* C1 controls are C2 80 .. C2 9F */
		if (name.ptr[i] < 0x20 || name.ptr[i] == 0x7f || (name.ptr[i] == 0xc2 && i + 1 < name.len && name.ptr[i + 1] < 0xa0))
			return false;
	}
	return true;
}

/* ---- reading */

struct app_row {
	struct cred_app app;
	struct span verifier;
};

/* calls each with spans that live for the call; anything but RC_OK from it ends the walk and is returned */
static enum rc app_walk(struct cred *c, struct span address, enum rc (*each)(void *arg, const struct app_row *), void *arg, struct err *err)
{
	uint8_t lower[LIMIT_LOGIN_BYTES];
	struct sql_row row;
	enum rc rc = sql_first(&c->sql, &row, CRED_SQL_APP_LIST, SQL_ARGS(SQL_T(cred_lower(address, lower)), SQL_N(CRED_APP_MOST)), err);

	while (rc == RC_OK) {
		struct app_row a = {.app.name = sql_text(&row, 0, CRED_APP_NAME_BYTES), .verifier = sql_bytes(&row, 1, APP_VERIFIER_BYTES),
			.app.created_ms = sql_number(&row, 2, 0, INT64_MAX), .app.used_ms = sql_number(&row, 3, 0, INT64_MAX)};

		rc = sql_checked(&row, err);
		if (rc == RC_OK)
			rc = each(arg, &a);
		if (rc == RC_OK)
			rc = sql_next(&row, err);
	}
	sql_end(&row);
	return rc == RC_NONE ? RC_OK : rc;
}

struct app_show {
	enum rc (*each)(void *arg, const struct cred_app *);
	void *arg;
};

static enum rc app_show(void *arg, const struct app_row *a)
{
	const struct app_show *show = arg;

	return show->each(show->arg, &a->app);
}

enum rc cred_app_each(struct cred *c, struct span address, enum rc (*each)(void *arg, const struct cred_app *), void *arg, struct err *err)
{
	return app_walk(c, address, app_show, &(struct app_show){each, arg}, err);
}

struct app_seek {
	char signs[CRED_APP_SIGNS];
	bool usable;
	struct arena *mem;
	struct cred_app found;
};

static enum rc app_seek(void *arg, const struct app_row *a)
{
	struct app_seek *seek = arg;
	uint8_t mac[APP_MAC_BYTES];

	if (!seek->usable || a->verifier.len != APP_VERIFIER_BYTES || !app_mac(a->verifier.ptr, seek->signs, mac) ||
		CRYPTO_memcmp(mac, a->verifier.ptr + APP_SALT_BYTES, APP_MAC_BYTES) != 0)
		return RC_OK;
	seek->found = a->app;
	seek->found.name = arena_copy(seek->mem, a->app.name);
	return RC_EXISTS;
}

enum rc cred_app_check(struct cred *c, struct span address, struct span password, struct arena *mem, struct cred_app *out, struct err *err)
{
	struct app_seek seek = {.mem = mem};
	enum rc rc;

	seek.usable = app_signs(password, seek.signs);
	rc = app_walk(c, address, app_seek, &seek, err);
	explicit_bzero(seek.signs, sizeof(seek.signs));
	if (rc == RC_EXISTS && mem->overflow)
		return err_set(err, RC_LIMIT, "no room for a login's data");
	if (rc == RC_EXISTS)
		*out = seek.found;
	return rc == RC_EXISTS ? RC_OK : rc == RC_OK ? RC_DENIED : rc;
}

/* ---- changing */

static enum rc app_count(void *arg, const struct app_row *a)
{
	(void)a;
	++*(size_t *)arg;
	return RC_OK;
}

/* inside a transaction: is there such a login, and room for one more? */
static enum rc app_may_add(struct cred *c, struct span address, struct err *err)
{
	struct sql_row row;
	size_t count = 0;
	enum rc rc = sql_first(&c->sql, &row, CRED_SQL_GET, SQL_ARGS(SQL_T(address)), err);

	sql_end(&row);
	if (rc == RC_NONE)
		return err_set(err, RC_NONE, "there is no such login");
	if (rc == RC_OK)
		rc = app_walk(c, address, app_count, &count, err);
	if (rc == RC_OK && count >= CRED_APP_MOST)
		rc = err_set(err, RC_LIMIT, "an account may have %d application passwords", CRED_APP_MOST);
	return rc;
}

enum rc cred_app_add(struct cred *c, struct span address, struct span name, int64_t wall_ms, char text_out[CRED_APP_TEXT_BYTES + 1], struct err *err)
{
	uint8_t lower[LIMIT_LOGIN_BYTES], verifier[APP_VERIFIER_BYTES];
	struct span key = cred_lower(address, lower);
	enum rc rc;

	if (!app_name_ok(name))
		return err_set(err, RC_BAD, "a name has 1 to %d bytes without control characters", CRED_APP_NAME_BYTES);
	rc = sql_begin(&c->sql, err);
	if (rc != RC_OK)
		return rc;
	rc = app_may_add(c, key, err);
	if (rc == RC_OK && !app_make(verifier, text_out))
		rc = err_set(err, RC_IO, "OpenSSL could not make a verifier");
	if (rc == RC_OK)
		rc = sql_run(&c->sql, CRED_SQL_APP_ADD, SQL_ARGS(SQL_T(key), SQL_T(name), SQL_B(span_of(verifier, sizeof(verifier))), SQL_N(wall_ms)), err);
	return cred_end(c, rc, err);
}

enum rc cred_app_remove(struct cred *c, struct span address, struct span name, struct err *err)
{
	uint8_t lower[LIMIT_LOGIN_BYTES];
	struct span key = cred_lower(address, lower);
	int64_t generation = 0;
	enum rc rc = sql_begin(&c->sql, err);

	if (rc != RC_OK)
		return rc;
	rc = sql_run(&c->sql, CRED_SQL_APP_REMOVE, SQL_ARGS(SQL_T(key), SQL_T(name)), err);
	if (rc == RC_OK && sql_changed(&c->sql) == 0)
		rc = err_set(err, RC_NONE, "there is no such application password");
	if (rc == RC_OK)
		rc = cred_generation(c, &generation, err);
	if (rc == RC_OK)
		rc = sql_run(&c->sql, CRED_SQL_RENEW, SQL_ARGS(SQL_T(key), SQL_N(generation)), err);
	return cred_end(c, rc, err);
}

enum rc cred_app_used(struct cred *c, struct span address, struct span name, int64_t wall_ms, struct err *err)
{
	uint8_t lower[LIMIT_LOGIN_BYTES];
	enum rc rc = sql_begin(&c->sql, err);

	if (rc != RC_OK)
		return rc;
	rc = sql_run(&c->sql, CRED_SQL_APP_USED, SQL_ARGS(SQL_T(cred_lower(address, lower)), SQL_T(name), SQL_N(wall_ms)), err);
	return cred_end(c, rc, err);
}
