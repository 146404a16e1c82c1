/* A client that says anything, in every mechanism. First byte: mechanism and TLS; then responses, each with its length before it (two bytes). Nobody gets
 * in without the password, the account is the one that was named, and every failure has a cause of sign-in. */
#include "fuzz.h"

#include <stdlib.h>

#include "base/limits.h"
#include "role/auth_sasl.h"

static const char *const mechanisms[] = {"PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"};
static const struct span password = SPAN_LIT("right"), name = SPAN_LIT("ann@example.org"), key = SPAN_LIT("0123456789abcdef0123456789abcdef");
static bool was_right;

static void must(bool holds)
{
	if (!holds)
		abort();
}

static enum rc door_find(void *owner, struct span asked, struct arena *mem, struct auth_login *out)
{
	enum rc rc = auth_login_canonical(asked, "example.org", mem, &out->canonical);

	(void)owner;
	must(asked.len <= LIMIT_SASL_BYTES);
	if (rc != RC_OK)
		return rc;
	out->found = span_eq(out->canonical, name);
	if (out->found)
		out->row = (struct cred_row){.account = 1, .address = arena_copy(mem, name), .hash = arena_copy(mem, password), .enabled = true,
			.generation = 1, .scram_iterations = 4096, .scram_salt = arena_copy(mem, span_head(key, 16)),
			.scram_stored_key = arena_copy(mem, key), .scram_server_key = arena_copy(mem, key)};
	return RC_OK;
}

static bool door_allowed(void *owner, struct span canonical, uint64_t *retry_ms_out)
{
	(void)owner;
	*retry_ms_out = 1000;
	return !span_eq(canonical, SPAN_LIT("slow@example.org"));
}

static enum rc door_check(void *owner, struct arena *mem, struct auth_login *login, struct span tried)
{
	(void)owner, (void)mem;
	was_right = login->found && span_eq(tried, login->row.hash);
	return was_right ? RC_OK : RC_DENIED;
}

static struct auth_sasl_lib *library(void)
{
	static const struct auth_sasl_door door = {door_find, door_allowed, door_check};
	static struct auth_sasl_lib *lib;
	struct auth_sasl_rules rules = {.mechanisms = "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN", .door = &door, .scram_iterations = 4096,
		.scram_salt_bytes = 16};
	struct err err;

	if (!lib)
		must(auth_sasl_lib_new(&rules, &lib, &err) == RC_OK);
	return lib;
}

/* shown as auth-bad-credentials, without the catalogue */
static bool is_wrong(enum cause_id cause)
{
	return cause == CAUSE_AUTH_BAD_CREDENTIALS || cause == CAUSE_AUTH_USER_UNKNOWN || cause == CAUSE_AUTH_WRONG_PASSWORD || cause == CAUSE_AUTH_LOGIN_FORM;
}

static void check_failure(const struct auth_sasl *s, const struct buf *out)
{
	enum cause_id cause = auth_sasl_cause(s);

	must(out->len == 0);
	must(is_wrong(cause) || cause == CAUSE_AUTH_SYNTAX || cause == CAUSE_AUTH_CHANNEL_BINDING || cause == CAUSE_AUTH_RATE_LIMITED);
	must(!auth_sasl_is_guess(s) || is_wrong(cause));
	must(auth_sasl_name(s).len <= LIMIT_LOGIN_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum auth_sasl_state state = AUTH_SASL_CHALLENGE;
	struct auth_sasl_start start = {.binding_exporter = SPAN_LIT("exporter"), .binding_unique = SPAN_LIT("unique")};
	enum cause_id cause = CAUSE_NONE;
	struct auth_sasl *s;
	struct buf out;
	size_t at = 1;

	if (size == 0)
		return 0;
	start.mechanism = span_str(mechanisms[data[0] & 3]);
	start.tls = data[0] & 4;
	if (data[0] & 8)
		start.binding_exporter = SPAN_NONE;
	s = auth_sasl_new(library(), &start, NULL, &cause);
	must((s == NULL) == (cause != CAUSE_NONE));
	if (!s)
		return 0;
	was_right = false;
	buf_init(&out, LIMIT_SASL_BYTES);
	if (data[0] & 16)
		state = auth_sasl_step(s, false, SPAN_NONE, &out);
	for (unsigned steps = 0; state == AUTH_SASL_CHALLENGE && at + 2 <= size; steps++) {
		size_t len = (size_t)data[at] << 8 | data[at + 1];
		struct span response = span_head(span_of(data + at + 2, size - at - 2), len);

		must(steps < 3);
		at += 2 + response.len;
		buf_reset(&out);
		(void)auth_sasl_is_costly(s, true, response);
		state = auth_sasl_step(s, true, response, &out);
	}
	if (state == AUTH_SASL_OK) {
		must(was_right); /* nobody can make the proof for the invented SCRAM keys above */
		must(auth_sasl_login(s)->found && span_eq(auth_sasl_login(s)->row.address, name));
	} else if (state == AUTH_SASL_FAILED) {
		check_failure(s, &out);
	}
	buf_clear(&out);
	auth_sasl_free(&s);
	return 0;
}
