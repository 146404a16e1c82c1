#include <crypt.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdio.h>

#include "store/cred_throttle.h"
#include "store/cred_window.h"
#include "test_role.h"

enum { STUB_ACCOUNTS = 16, STUB_ITERATIONS = 64, STUB_SALT = 16 };

struct stub {
	char address[128], hash[128];
	uint8_t salt[STUB_SALT], stored[32], server[32];
	char app_name[32], app[32], old_hash[128];
	int64_t old_ended_ms;
	enum cred_demand demand;
	bool scram, enabled, used;
	uint64_t generation;
};

static struct stub accounts[STUB_ACCOUNTS];
static struct cred_throttle kept[64]; /* survives cred_close */
static size_t kept_count;
static uint64_t to_reset;
static bool changed, broken;
static unsigned hashes, old_hashes, uses;

static void stub_crypt(const char *password, char out[128])
{
	struct crypt_data data = {0};

	(void)snprintf(out, 128, "%s", crypt_rn(password, "$5$rounds=1000$abcdefgh$", &data, sizeof(data)));
}

static void stub_hash(struct stub *a, const char *password) { stub_crypt(password, a->hash); }

static void stub_scram(struct stub *a, const char *password)
{
	uint8_t salted[32], client[32];
	unsigned len;

	memset(a->salt, 7, sizeof(a->salt));
	a->salt[0] = (uint8_t)a->address[0];
	assert_int_equal(PKCS5_PBKDF2_HMAC(password, -1, a->salt, STUB_SALT, STUB_ITERATIONS, EVP_sha256(), 32, salted), 1);
	assert_non_null(HMAC(EVP_sha256(), salted, 32, (const uint8_t *)"Client Key", 10, client, &len));
	assert_non_null(SHA256(client, 32, a->stored));
	assert_non_null(HMAC(EVP_sha256(), salted, 32, (const uint8_t *)"Server Key", 10, a->server, &len));
	a->scram = true;
}

static struct stub *stub_find(struct span address)
{
	for (size_t i = 0; i < STUB_ACCOUNTS; i++) {
		if (accounts[i].used && span_eq(span_str(accounts[i].address), address))
			return &accounts[i];
	}
	return NULL;
}

void cred_stub_reset(void)
{
	memset(accounts, 0, sizeof(accounts));
	kept_count = 0;
	changed = broken = false;
	hashes = old_hashes = uses = 0;
}

void cred_stub_add(const char *address, const char *password, bool scram, bool enabled)
{
	size_t i = 0;

	while (accounts[i].used)
		i++;
	assert_true(i < STUB_ACCOUNTS);
	accounts[i] = (struct stub){.used = true, .enabled = enabled, .generation = 1};
	(void)snprintf(accounts[i].address, sizeof(accounts[i].address), "%s", address);
	if (password)
		stub_hash(&accounts[i], password);
	if (scram)
		stub_scram(&accounts[i], password);
}

void cred_stub_change(const char *address, const char *password)
{
	struct stub *a = stub_find(span_str(address));

	assert_non_null(a);
	if (password) {
		stub_hash(a, password);
		stub_scram(a, password);
	} else {
		a->enabled = false;
	}
	a->generation++;
	changed = true;
}

void cred_stub_demand(const char *address, enum cred_demand demand)
{
	struct stub *a = stub_find(span_str(address));

	a->demand = demand;
	a->generation++;
	changed = true;
}

void cred_stub_app(const char *address, const char *name, const char *password)
{
	struct stub *a = stub_find(span_str(address));

	(void)snprintf(a->app_name, sizeof(a->app_name), "%s", name ? name : "");
	(void)snprintf(a->app, sizeof(a->app), "%s", password ? password : "");
	changed = true;
	a->generation += password ? 0 : 1;
}

void cred_stub_old(const char *address, const char *password, int64_t ended_ms)
{
	struct stub *a = stub_find(span_str(address));

	stub_crypt(password, a->old_hash);
	a->old_ended_ms = ended_ms;
}

unsigned cred_stub_old_hashes(void) { return old_hashes; }
unsigned cred_stub_uses(void) { return uses; }
void cred_stub_broken(bool on) { broken = on; }
unsigned cred_stub_hashes(void) { return hashes; }

bool cred_stub_has_scram(const char *address)
{
	const struct stub *a = stub_find(span_str(address));

	return a && a->scram;
}

enum rc cred_open(const char *dir, bool create, struct cred **out, struct err *err)
{
	(void)dir, (void)create, (void)err;
	*out = (struct cred *)accounts;
	return RC_OK;
}

enum rc cred_get(struct cred *c, struct span address, struct arena *mem, struct cred_row *out, struct err *err)
{
	struct stub *a = stub_find(address);

	(void)c;
	if (broken)
		return err_set(err, RC_IO, "disk on fire");
	if (!a)
		return RC_NONE;
	*out = (struct cred_row){.account = a - accounts + 1, .address = arena_copy(mem, address), .hash = arena_copy(mem, span_str(a->hash)),
		.enabled = a->enabled, .generation = a->generation, .demand = a->demand, .old_hash = arena_copy(mem, span_str(a->old_hash)),
		.old_ended_ms = a->old_ended_ms};
	if (a->scram) {
		out->scram_salt = arena_copy(mem, span_of(a->salt, sizeof(a->salt)));
		out->scram_stored_key = arena_copy(mem, span_of(a->stored, 32));
		out->scram_server_key = arena_copy(mem, span_of(a->server, 32));
		out->scram_iterations = STUB_ITERATIONS;
	}
	return RC_OK;
}

enum rc cred_put(struct cred *c, const struct cred_row *row, struct err *err)
{
	struct stub *a = stub_find(row->address);

	(void)c, (void)err;
	assert_non_null(a);
	assert_int_equal(row->scram_stored_key.len, 32);
	(void)snprintf(a->hash, sizeof(a->hash), "%.*s", SPAN_FMT(row->hash));
	memcpy(a->salt, row->scram_salt.ptr, STUB_SALT);
	memcpy(a->stored, row->scram_stored_key.ptr, 32);
	memcpy(a->server, row->scram_server_key.ptr, 32);
	a->scram = true;
	a->generation++;
	return RC_OK;
}

enum rc cred_by_account(struct cred *c, int64_t account, struct arena *mem, struct cred_row *out, struct err *err)
{
	if (account < 1 || account > STUB_ACCOUNTS || !accounts[account - 1].used)
		return RC_NONE;
	return cred_get(c, span_str(accounts[account - 1].address), mem, out, err);
}

enum rc cred_find_locals(struct cred *c, struct span local, struct arena *mem, struct span *addresses, size_t max, size_t *count_out, struct err *err)
{
	(void)c;
	if (broken)
		return err_set(err, RC_IO, "disk on fire");
	*count_out = 0;
	for (size_t i = 0; i < STUB_ACCOUNTS && *count_out < max; i++) {
		struct span address = span_str(accounts[i].address);

		if (accounts[i].used && span_eq(span_head(address, span_find(address, '@')), local))
			addresses[(*count_out)++] = arena_copy(mem, address);
	}
	return RC_OK;
}

enum rc cred_find_local(struct cred *c, struct span local, struct arena *mem, struct span *address_out, struct err *err)
{
	struct span found[2];
	size_t count;
	enum rc rc = cred_find_locals(c, local, mem, found, 2, &count, err);

	if (rc != RC_OK || count != 1)
		return rc != RC_OK ? rc : count ? RC_BUSY : RC_NONE;
	*address_out = found[0];
	return RC_OK;
}

enum rc cred_domain_known(struct cred *c, struct span domain, bool *out, struct err *err)
{
	(void)c;
	if (broken)
		return err_set(err, RC_IO, "disk on fire");
	*out = false;
	for (size_t i = 0; i < STUB_ACCOUNTS; i++) {
		struct span address = span_str(accounts[i].address);

		*out |= accounts[i].used && span_eq(span_from(address, span_find(address, '@') + 1), domain);
	}
	return RC_OK;
}

enum rc cred_signed_in(struct cred *c, struct span address, int64_t wall_ms, struct err *err)
{
	(void)c, (void)address, (void)wall_ms, (void)err;
	uses++;
	return RC_OK;
}

enum rc cred_app_used(struct cred *c, struct span address, struct span name, int64_t wall_ms, struct err *err)
{
	(void)name;
	return cred_signed_in(c, address, wall_ms, err);
}

enum rc cred_app_check(struct cred *c, struct span address, struct span password, struct arena *mem, struct cred_app *out, struct err *err)
{
	const struct stub *a = stub_find(address);

	(void)c;
	if (broken)
		return err_set(err, RC_IO, "disk on fire");
	if (!a || !a->app[0] || !span_eq(password, span_str(a->app)))
		return RC_DENIED;
	*out = (struct cred_app){.name = arena_copy(mem, span_str(a->app_name))};
	return RC_OK;
}

enum rc cred_check_old(const struct cred_row *row, struct span password, int64_t wall_ms, struct err *err)
{
	enum rc rc = cred_check_password(wall_ms - row->old_ended_ms < CRED_OLD_MS ? row->old_hash : SPAN_NONE, password, err);

	hashes--;
	old_hashes++;
	return rc;
}

enum rc cred_changed(struct cred *c, bool *out, struct err *err)
{
	(void)c;
	if (broken)
		return err_set(err, RC_IO, "disk on fire");
	*out = changed;
	changed = false;
	return RC_OK;
}

enum rc cred_set_password(struct cred_row *row, struct span password, struct arena *mem, struct err *err)
{
	struct stub a = {0};
	char text[128];

	(void)err;
	(void)snprintf(text, sizeof(text), "%.*s", SPAN_FMT(password));
	a.address[0] = (char)row->address.ptr[0];
	stub_hash(&a, text);
	stub_scram(&a, text);
	row->hash = arena_copy(mem, span_str(a.hash));
	row->scram_salt = arena_copy(mem, span_of(a.salt, sizeof(a.salt)));
	row->scram_stored_key = arena_copy(mem, span_of(a.stored, 32));
	row->scram_server_key = arena_copy(mem, span_of(a.server, 32));
	row->scram_iterations = STUB_ITERATIONS;
	return RC_OK;
}

enum rc cred_check_password(struct span hash, struct span password, struct err *err)
{
	struct crypt_data data = {0};
	char have[128], text[1100];
	const char *made;

	(void)err;
	hashes++;
	(void)snprintf(have, sizeof(have), "%.*s", SPAN_FMT(hash));
	(void)snprintf(text, sizeof(text), "%.*s", SPAN_FMT(password));
	made = crypt_rn(text, hash.len ? have : "$5$rounds=1000$abcdefgh$", &data, sizeof(data));
	return hash.len && made && strcmp(made, have) == 0 ? RC_OK : RC_DENIED;
}

/* ---- no relay windows here: test_cred_window.c has the real ones */

enum rc cred_window_get(struct cred *c, struct span peer, struct arena *mem, struct cred_window *out, struct err *err)
{
	(void)c, (void)peer, (void)mem, (void)out, (void)err;
	return RC_NONE;
}

enum rc cred_window_open(struct cred *c, struct span peer, const struct cred_row *row, struct span service, int64_t now_ms, int64_t for_ms, bool *opened_out,
	struct err *err)
{
	(void)c, (void)peer, (void)row, (void)service, (void)now_ms, (void)for_ms, (void)err;
	*opened_out = true;
	return RC_OK;
}

enum rc cred_window_settle(struct cred *c, int64_t now_ms, struct err *err)
{
	(void)c, (void)now_ms, (void)err;
	return RC_OK;
}

enum rc cred_window_tidy(struct cred *c, int64_t now_ms, struct err *err)
{
	(void)c, (void)now_ms, (void)err;
	return RC_OK;
}

bool cred_window_is_open(const struct cred_window *w, int64_t now_ms)
{
	return now_ms < w->until_ms;
}

/* ---- failures kept over a restart */

enum rc cred_throttle_secret(struct cred *c, uint8_t secret_out[CRED_THROTTLE_SECRET_BYTES], struct err *err)
{
	(void)c;
	(void)err;
	memset(secret_out, 5, CRED_THROTTLE_SECRET_BYTES);
	return RC_OK;
}

enum rc cred_throttle_put(struct cred *c, const struct cred_throttle *rows, size_t count, struct err *err)
{
	(void)c;
	(void)err;
	for (size_t i = 0; i < count; i++) {
		size_t k = 0;

		while (k < kept_count && (kept[k].kind != rows[i].kind || kept[k].key != rows[i].key))
			k++;
		if (k == sizeof(kept) / sizeof(kept[0]))
			return RC_FULL;
		kept_count += k == kept_count;
		kept[k] = rows[i];
	}
	return RC_OK;
}

enum rc cred_throttle_each(struct cred *c, uint32_t most, void (*each)(void *arg, const struct cred_throttle *), void *arg, struct err *err)
{
	(void)c;
	(void)err;
	for (size_t i = 0; i < kept_count && i < most; i++)
		each(arg, &kept[i]);
	return RC_OK;
}

enum rc cred_throttle_tidy(struct cred *c, int64_t oldest_ms, int64_t latest_ms, uint32_t most, struct err *err)
{
	(void)c;
	(void)oldest_ms;
	(void)latest_ms;
	(void)most;
	(void)err;
	return RC_OK;
}

enum rc cred_throttle_reset(struct cred *c, uint64_t key, struct err *err)
{
	(void)c;
	(void)err;
	to_reset = key;
	return RC_OK;
}

enum rc cred_throttle_take_reset(struct cred *c, uint64_t *key_out, struct err *err)
{
	(void)c;
	(void)err;
	if (!to_reset)
		return RC_NONE;
	*key_out = to_reset;
	to_reset = 0;
	return RC_OK;
}
