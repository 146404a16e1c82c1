#include <crypt.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdio.h>

#include "test_role.h"

enum { STUB_ACCOUNTS = 16, STUB_ITERATIONS = 64, STUB_SALT = 16 };

struct stub {
	char address[128], hash[128];
	uint8_t salt[STUB_SALT], stored[32], server[32];
	bool scram, enabled, used;
	uint64_t generation;
};

static struct stub accounts[STUB_ACCOUNTS];
static bool changed, broken;
static unsigned hashes;

static void stub_hash(struct stub *a, const char *password)
{
	struct crypt_data data = {0};

	(void)snprintf(a->hash, sizeof(a->hash), "%s", crypt_rn(password, "$5$rounds=1000$abcdefgh$", &data, sizeof(data)));
}

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
	changed = broken = false;
	hashes = 0;
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
		.enabled = a->enabled, .generation = a->generation};
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

enum rc cred_find_local(struct cred *c, struct span local, struct arena *mem, struct span *address_out, struct err *err)
{
	const struct stub *found = NULL;

	(void)c;
	if (broken)
		return err_set(err, RC_IO, "disk on fire");
	for (size_t i = 0; i < STUB_ACCOUNTS; i++) {
		struct span address = span_str(accounts[i].address);

		if (!accounts[i].used || !span_eq(span_head(address, span_find(address, '@')), local))
			continue;
		if (found)
			return RC_BUSY;
		found = &accounts[i];
	}
	if (!found)
		return RC_NONE;
	*address_out = arena_copy(mem, span_str(found->address));
	return RC_OK;
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
