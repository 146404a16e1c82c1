#include "role/auth_sasl.h"

#include <gsasl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#include "base/b64.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/rng.h"
#include "mail/address.h"

enum { SASL_MEM_BYTES = 16384, SCRAM_KEY_BYTES = 32, SCRAM_SALT_MAX_BYTES = 32, SASL_BINDING_BYTES = 512 };

struct mechanism {
	const char *name;
	unsigned responses; /* how many a sign-in has */
	unsigned costly;    /* which one carries the password; 0: none */
	bool scram, plus;
	const char *prompts[2]; /* sent instead of the library's: what old clients look for */
};

static const struct mechanism mechanisms[] = {
	{"PLAIN", 1, 1, false, false, {NULL, NULL}},
	{"LOGIN", 2, 2, false, false, {"Username:", "Password:"}},
	{"SCRAM-SHA-256", 2, 0, true, false, {NULL, NULL}},
	{"SCRAM-SHA-256-PLUS", 2, 0, true, true, {NULL, NULL}},
};

struct auth_sasl_lib {
	Gsasl *gsasl;
	struct auth_sasl_rules rules;
};

struct auth_sasl {
	struct auth_sasl_lib *lib;
	const struct mechanism *mechanism;
	Gsasl_session *session;
	void *owner;
	struct arena mem;
	struct span exporter, unique; /* base64 would be what the library wants; raw here */
	struct span bound;            /* the one the client chose */
	struct span gs2;              /* SCRAM: gs2-header, to look at c= */
	struct auth_login login;
	struct span name;
	unsigned taken;               /* responses so far */
	bool prompted;                /* LOGIN: the first prompt has been taken from the library */
	bool fake;                    /* SCRAM with an invented verifier */
	bool foreign_authzid;         /* asks to act as somebody else */
	bool guess;
	enum cause_id cause;
	uint64_t retry_ms;
	const char *note;
};

/* ---- the library */

static bool list_has(const char *list, const char *word)
{
	struct span rest = span_str(list);

	while (rest.ptr) {
		if (span_eq_nocase(span_cut(&rest, ' '), span_str(word)))
			return true;
	}
	return false;
}

static int sasl_callback(Gsasl *gsasl, Gsasl_session *session, Gsasl_property prop);

enum rc auth_sasl_lib_new(const struct auth_sasl_rules *rules, struct auth_sasl_lib **out, struct err *err)
{
	struct auth_sasl_lib *lib = mem_zalloc(sizeof(*lib));
	int rc = gsasl_init(&lib->gsasl);

	if (rc != GSASL_OK) {
		free(lib);
		return err_set(err, RC_IO, "GNU SASL: %s", gsasl_strerror(rc));
	}
	lib->rules = *rules;
	if (lib->rules.scram_salt_bytes > SCRAM_SALT_MAX_BYTES)
		lib->rules.scram_salt_bytes = SCRAM_SALT_MAX_BYTES;
	gsasl_callback_set(lib->gsasl, sasl_callback);
	*out = lib;
	return RC_OK;
}

void auth_sasl_lib_secret(struct auth_sasl_lib *lib, const uint8_t secret[32])
{
	memcpy(lib->rules.secret, secret, sizeof(lib->rules.secret));
}

void auth_sasl_lib_free(struct auth_sasl_lib **lib)
{
	if (!*lib)
		return;
	gsasl_done((*lib)->gsasl);
	explicit_bzero(*lib, sizeof(**lib));
	free(*lib);
	*lib = NULL;
}

/* ---- outcome */

static int sasl_fail(struct auth_sasl *s, enum cause_id cause, const char *note)
{
	if (s->cause == CAUSE_NONE) {
		s->cause = cause;
		s->note = note;
	}
	return GSASL_AUTHENTICATION_ERROR;
}

/* one of the causes that are shown as auth-bad-credentials */
static int sasl_wrong(struct auth_sasl *s, enum cause_id cause, const char *note)
{
	s->guess = s->cause == CAUSE_NONE || s->guess;
	return sasl_fail(s, cause, note);
}

static int sasl_foreign(struct auth_sasl *s)
{
	return sasl_wrong(s, CAUSE_AUTH_BAD_CREDENTIALS, "asks to act as another account");
}

/* The password was right: may this account sign in with it? Whoever knows the password may be told why not. */
static int sasl_settle(struct auth_sasl *s, const struct auth_login *login)
{
	if (!login->row.enabled)
		return sasl_fail(s, CAUSE_AUTH_ACCOUNT_DISABLED, "");
	if (login->row.demand == CRED_DEMAND_WEB_SIGN_IN)
		return sasl_fail(s, CAUSE_AUTH_WEB_LOGIN, "the account is held; mailroom account demand takes that off");
	if (login->row.demand == CRED_DEMAND_APP_PASSWORD && login->app.name.len == 0)
		return sasl_fail(s, CAUSE_AUTH_APP_PASSWORD, "the account's own password was given");
	return GSASL_OK;
}

/* Throttling comes before any cost. False: said so. */
static bool sasl_allowed(struct auth_sasl *s)
{
	if (s->lib->rules.door->allowed(s->owner, s->login.canonical, &s->retry_ms))
		return true;
	(void)sasl_fail(s, CAUSE_AUTH_RATE_LIMITED, "too many failures");
	return false;
}

/* RFC 4422 2: the authorization identity; here only one's own */
static bool authzid_is_own(const struct auth_sasl *s, const char *authzid)
{
	struct span z = span_str(authzid);

	return z.len == 0 || span_eq_nocase(z, s->name) || address_text_same(z, s->login.canonical) ||
		(s->login.found && address_text_same(z, s->login.row.address));
}

/* Who is meant. False: the sign-in has failed (s->cause). */
static bool sasl_find(struct auth_sasl *s, const char *authid)
{
	enum rc rc;

	if (!authid) {
		(void)sasl_fail(s, CAUSE_AUTH_SYNTAX, "no login name");
		return false;
	}
	s->name = arena_copy(&s->mem, span_head(span_str(authid), LIMIT_LOGIN_BYTES));
	rc = s->lib->rules.door->find(s->owner, span_str(authid), &s->mem, &s->login);
	if (rc == RC_BAD)
		(void)sasl_wrong(s, CAUSE_AUTH_LOGIN_FORM, "not a login name");
	else if (rc != RC_OK)
		(void)sasl_fail(s, CAUSE_AUTH_TEMPORARILY_UNAVAILABLE, "account look-up failed");
	return rc == RC_OK;
}

static void wipe_property(Gsasl_session *session, Gsasl_property prop)
{
	const char *value = gsasl_property_fast(session, prop);

	if (value)
		explicit_bzero((void *)(uintptr_t)value, strlen(value));
}

/* PLAIN and LOGIN: the library has taken the message apart */
static int sasl_validate(struct auth_sasl *s, Gsasl_session *session)
{
	const char *authid = gsasl_property_fast(session, GSASL_AUTHID), *authzid = gsasl_property_fast(session, GSASL_AUTHZID);
	struct span password = span_str(gsasl_property_fast(session, GSASL_PASSWORD));
	struct auth_login asked;
	enum rc rc;

	if (!sasl_find(s, authid) || !sasl_allowed(s))
		return GSASL_AUTHENTICATION_ERROR;
	s->foreign_authzid = !authzid_is_own(s, authzid);
	asked = s->login;
	if (password.len == 0 || password.len > LIMIT_PASSWORD_BYTES)
		asked.found = false; /* never right, and costs what a wrong one costs */
	if (!asked.found)
		asked.row = (struct cred_row){0};
	rc = s->lib->rules.door->check(s->owner, &s->mem, &asked, password);
	if (rc != RC_OK && rc != RC_DENIED)
		return sasl_fail(s, CAUSE_AUTH_TEMPORARILY_UNAVAILABLE, "password check failed");
	if (!s->login.found)
		return sasl_wrong(s, CAUSE_AUTH_USER_UNKNOWN, "");
	if (rc != RC_OK || !asked.found)
		return sasl_wrong(s, CAUSE_AUTH_WRONG_PASSWORD, s->login.row.hash.len ? "" : "the account has no password yet");
	s->login = asked;
	return s->foreign_authzid ? sasl_foreign(s) : sasl_settle(s, &s->login);
}

/* ---- SCRAM */

static void property_b64(Gsasl_session *session, Gsasl_property prop, struct span raw)
{
	struct buf text;

	buf_init(&text, SASL_BINDING_BYTES * 2);
	b64_encode(&text, raw);
	(void)gsasl_property_set_raw(session, prop, (const char *)text.ptr, text.len);
	if (text.ptr)
		explicit_bzero(text.ptr, text.len);
	buf_clear(&text);
}

/* A salt for a name that has none: always the same for that name, so that asking twice tells nothing (RFC 5802 9) */
static struct span fake_salt(const struct auth_sasl *s, uint8_t out[EVP_MAX_MD_SIZE])
{
	const struct auth_sasl_rules *r = &s->lib->rules;
	unsigned len = 0;

	if (!HMAC(EVP_sha256(), r->secret, sizeof(r->secret), s->login.canonical.ptr, s->login.canonical.len, out, &len))
		len = 0;
	return span_of(out, len < r->scram_salt_bytes ? len : r->scram_salt_bytes);
}

/* first message: the library wants salt, iterations and keys of AUTHID */
static int scram_verifier(struct auth_sasl *s, Gsasl_session *session)
{
	uint8_t salt[EVP_MAX_MD_SIZE], keys[2 * SCRAM_KEY_BYTES];
	const struct cred_row *row = &s->login.row;
	uint32_t iterations;
	char *text;

	if (!sasl_find(s, gsasl_property_fast(session, GSASL_AUTHID)) || !sasl_allowed(s))
		return GSASL_AUTHENTICATION_ERROR;
	s->foreign_authzid = !authzid_is_own(s, gsasl_property_fast(session, GSASL_AUTHZID));
	s->fake = !s->login.found || row->hash.len == 0 || row->scram_salt.len == 0 || row->scram_iterations == 0 ||
		row->scram_stored_key.len != SCRAM_KEY_BYTES || row->scram_server_key.len != SCRAM_KEY_BYTES;
	rng_fill(keys, sizeof(keys));
	property_b64(session, GSASL_SCRAM_SALT, s->fake ? fake_salt(s, salt) : row->scram_salt);
	property_b64(session, GSASL_SCRAM_STOREDKEY, s->fake ? span_of(keys, SCRAM_KEY_BYTES) : row->scram_stored_key);
	property_b64(session, GSASL_SCRAM_SERVERKEY, s->fake ? span_of(keys + SCRAM_KEY_BYTES, SCRAM_KEY_BYTES) : row->scram_server_key);
	iterations = s->fake ? s->lib->rules.scram_iterations : row->scram_iterations;
	text = mem_printf("%u", iterations);
	(void)gsasl_property_set(session, GSASL_SCRAM_ITER, text);
	free(text);
	explicit_bzero(keys, sizeof(keys));
	return GSASL_OK;
}

/* The proof was right. The account is read again: its password may have changed since the first message. */
static bool scram_settled(struct auth_sasl *s)
{
	struct auth_login again;
	enum rc rc = s->lib->rules.door->find(s->owner, s->name, &s->mem, &again);

	if (rc != RC_OK)
		(void)sasl_fail(s, CAUSE_AUTH_TEMPORARILY_UNAVAILABLE, "account look-up failed");
	else if (s->fake || !again.found || again.row.generation != s->login.row.generation || again.row.account != s->login.row.account)
		(void)sasl_wrong(s, CAUSE_AUTH_BAD_CREDENTIALS, "password changed meanwhile");
	else if (s->foreign_authzid)
		(void)sasl_foreign(s);
	else
		(void)sasl_settle(s, &again);
	return s->cause == CAUSE_NONE;
}

static bool offers_plus(const struct auth_sasl *s)
{
	return list_has(s->lib->rules.mechanisms, "SCRAM-SHA-256-PLUS");
}

/* A name of which SASLprep (RFC 4013) leaves nothing, as of a lone soft hyphen: the library would refuse it, and leak its memory. */
static bool scram_name_vanishes(struct span bare)
{
	struct span name = span_cut(&bare, ',');
	char *text, *prepared = NULL;
	bool vanishes;

	if (!span_starts(name, SPAN_LIT("n=")))
		return false;
	text = mem_str_span(span_from(name, 2));
	vanishes = gsasl_saslprep(text, GSASL_ALLOW_UNASSIGNED, &prepared, NULL) == GSASL_OK && prepared && !*prepared;
	gsasl_free(prepared);
	free(text);
	return vanishes;
}

/* gs2-cbind-flag of the first message (RFC 5802 7), looked at here because the reason deserves its own cause. The library checks it all again. */
static bool scram_first_ok(struct auth_sasl *s, struct span m)
{
	static const struct span p = SPAN_LIT("p=");
	struct span rest = m, flag = span_cut(&rest, ','), type;
	bool have = s->exporter.len || s->unique.len;

	if (m.len == 0 || !rest.ptr || span_find(m, '\0') < m.len) {
		(void)sasl_fail(s, CAUSE_AUTH_SYNTAX, "malformed SCRAM message");
		return false;
	}
	(void)span_cut(&rest, ',');
	s->gs2 = arena_copy(&s->mem, span_head(m, m.len - rest.len));
	if (scram_name_vanishes(rest)) {
		(void)sasl_fail(s, CAUSE_AUTH_SYNTAX, "no name is left of what the client calls its name");
		return false;
	}
	if (!s->mechanism->plus) {
		/* "y": the client thinks we cannot do -PLUS though we said so: somebody between us took it out (RFC 5802 6) */
		if (m.ptr[0] == 'p' || (m.ptr[0] == 'y' && have && offers_plus(s)))
			(void)sasl_fail(s, CAUSE_AUTH_CHANNEL_BINDING, m.ptr[0] == 'y' ? "client did not see -PLUS offered" : "binding without -PLUS");
		return s->cause == CAUSE_NONE;
	}
	type = span_starts(flag, p) ? span_from(flag, p.len) : SPAN_NONE;
	if (span_eq(type, SPAN_LIT("tls-exporter")))
		s->bound = s->exporter;
	else if (span_eq(type, SPAN_LIT("tls-unique")))
		s->bound = s->unique;
	if (s->bound.len == 0)
		(void)sasl_fail(s, CAUSE_AUTH_CHANNEL_BINDING, type.len ? "binding type not available" : "-PLUS without binding");
	return s->cause == CAUSE_NONE;
}

/* c= of the last message: header and binding data must be ours, before any proof is looked at */
static bool scram_final_ok(struct auth_sasl *s, struct span m)
{
	struct span rest = m, c = span_cut(&rest, ',');
	struct buf got;
	bool ok;

	if (!span_starts(c, SPAN_LIT("c=")) || span_find(m, '\0') < m.len) {
		(void)sasl_fail(s, CAUSE_AUTH_SYNTAX, "malformed SCRAM message");
		return false;
	}
	buf_init(&got, LIMIT_SASL_BYTES);
	if (b64_decode(&got, span_from(c, 2)) != RC_OK)
		(void)sasl_fail(s, CAUSE_AUTH_SYNTAX, "malformed SCRAM message");
	ok = got.len == s->gs2.len + s->bound.len && span_eq(span_head(buf_span(&got), s->gs2.len), s->gs2) &&
		span_eq(span_from(buf_span(&got), s->gs2.len), s->bound);
	buf_clear(&got);
	if (!ok)
		(void)sasl_fail(s, CAUSE_AUTH_CHANNEL_BINDING, "channel binding differs");
	return s->cause == CAUSE_NONE && sasl_allowed(s);
}

static int sasl_callback(Gsasl *gsasl, Gsasl_session *session, Gsasl_property prop)
{
	struct auth_sasl *s = gsasl_session_hook_get(session);

	(void)gsasl;
	switch ((int)prop) {
	case GSASL_VALIDATE_SIMPLE:
		return sasl_validate(s, session);
	case GSASL_CB_TLS_EXPORTER:
		if (s->exporter.len == 0 || !offers_plus(s))
			return GSASL_NO_CB_TLS_EXPORTER;
		property_b64(session, prop, s->exporter);
		return GSASL_OK;
	case GSASL_CB_TLS_UNIQUE:
		if (s->unique.len == 0 || !offers_plus(s))
			return GSASL_NO_CB_TLS_UNIQUE;
		property_b64(session, prop, s->unique);
		return GSASL_OK;
	case GSASL_SCRAM_ITER:
		return scram_verifier(s, session);
	default:
		return GSASL_NO_CALLBACK;
	}
}

/* ---- one sign-in */

static const struct mechanism *mechanism_find(const struct auth_sasl_lib *lib, struct span name)
{
	for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++) {
		if (span_eq_nocase(span_str(mechanisms[i].name), name) && list_has(lib->rules.mechanisms, mechanisms[i].name))
			return &mechanisms[i];
	}
	return NULL;
}

struct auth_sasl *auth_sasl_new(struct auth_sasl_lib *lib, const struct auth_sasl_start *start, void *owner, enum cause_id *cause_out)
{
	const struct mechanism *m = mechanism_find(lib, start->mechanism);
	struct auth_sasl *s;

	if (!m || (m->plus && !start->tls)) {
		*cause_out = CAUSE_AUTH_MECHANISM_UNKNOWN;
		return NULL;
	}
	s = mem_zalloc(sizeof(*s));
	*s = (struct auth_sasl){.lib = lib, .mechanism = m, .owner = owner, .note = ""};
	arena_init(&s->mem, SASL_MEM_BYTES);
	if (gsasl_server_start(lib->gsasl, m->name, &s->session) != GSASL_OK) {
		s->session = NULL;
		auth_sasl_free(&s);
		*cause_out = CAUSE_AUTH_TEMPORARILY_UNAVAILABLE;
		return NULL;
	}
	gsasl_session_hook_set(s->session, s);
	if (start->tls) {
		s->exporter = arena_copy(&s->mem, span_head(start->binding_exporter, SASL_BINDING_BYTES));
		s->unique = arena_copy(&s->mem, span_head(start->binding_unique, SASL_BINDING_BYTES));
	}
	return s;
}

static void wipe_span(struct span s)
{
	if (s.ptr && s.len)
		explicit_bzero((void *)(uintptr_t)s.ptr, s.len);
}

void auth_sasl_free(struct auth_sasl **s)
{
	static const Gsasl_property secrets[] = {GSASL_PASSWORD, GSASL_SCRAM_STOREDKEY, GSASL_SCRAM_SERVERKEY};
	struct auth_sasl *old = *s;

	if (!old)
		return;
	if (old->session) {
		for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++)
			wipe_property(old->session, secrets[i]);
		gsasl_finish(old->session);
	}
	wipe_span(old->login.row.hash);
	wipe_span(old->login.row.old_hash);
	wipe_span(old->login.row.scram_stored_key);
	wipe_span(old->login.row.scram_server_key);
	arena_clear(&old->mem);
	free(old);
	*s = NULL;
}

bool auth_sasl_is_costly(const struct auth_sasl *s, bool has_response, struct span response)
{
	return has_response && response.len && s->mechanism->costly && s->taken + 1 == s->mechanism->costly;
}

static enum cause_id cause_of(int rc)
{
	switch (rc) {
	case GSASL_AUTHENTICATION_ERROR:
	case GSASL_SASLPREP_ERROR:
		return CAUSE_AUTH_BAD_CREDENTIALS;
	case GSASL_NO_CB_TLS_EXPORTER:
	case GSASL_NO_CB_TLS_UNIQUE:
		return CAUSE_AUTH_CHANNEL_BINDING;
	case GSASL_MALLOC_ERROR:
	case GSASL_CRYPTO_ERROR:
		return CAUSE_AUTH_TEMPORARILY_UNAVAILABLE;
	default:
		return CAUSE_AUTH_SYNTAX;
	}
}

/* one step of the library; its own words are replaced where the table has better ones */
static int sasl_step_library(struct auth_sasl *s, struct span response, struct buf *out)
{
	const char *prompt = s->taken < 2 ? s->mechanism->prompts[s->taken] : NULL;
	char *answer = NULL, *copy = mem_str_span(response);
	size_t len = 0;
	int rc = gsasl_step(s->session, copy, response.len, &answer, &len);

	explicit_bzero(copy, response.len);
	free(copy);
	if (rc == GSASL_NEEDS_MORE && prompt)
		buf_add_str(out, prompt);
	else if (rc == GSASL_OK || rc == GSASL_NEEDS_MORE)
		buf_add(out, span_of(answer, len));
	gsasl_free(answer);
	return rc;
}

static bool sasl_response_ok(struct auth_sasl *s, struct span response)
{
	/* an empty response is never right in these mechanisms (RFC 4616 2, RFC 5802 7) */
	if (response.len == 0 || response.len > LIMIT_SASL_BYTES || s->taken >= s->mechanism->responses) {
		(void)sasl_fail(s, CAUSE_AUTH_SYNTAX, "empty, oversize or surplus response");
		return false;
	}
	if (!s->mechanism->scram)
		return true;
	return s->taken == 0 ? scram_first_ok(s, response) : scram_final_ok(s, response);
}

static enum auth_sasl_state sasl_failed(struct auth_sasl *s, struct buf *out, enum cause_id cause)
{
	buf_reset(out);
	if (s->cause != CAUSE_NONE || cause == CAUSE_NONE)
		return AUTH_SASL_FAILED;
	if (cause != CAUSE_AUTH_BAD_CREDENTIALS)
		(void)sasl_fail(s, cause, cause == CAUSE_AUTH_SYNTAX ? "malformed message" : "");
	else if (!s->mechanism->scram || s->taken < 2)
		(void)sasl_wrong(s, CAUSE_AUTH_LOGIN_FORM, "not a login name");
	else if (!s->login.found)
		(void)sasl_wrong(s, CAUSE_AUTH_USER_UNKNOWN, "");
	else if (s->fake)
		(void)sasl_wrong(s, CAUSE_AUTH_BAD_CREDENTIALS, "no SCRAM verifier yet: needs one plain sign-in");
	else
		(void)sasl_wrong(s, CAUSE_AUTH_WRONG_PASSWORD, "by SCRAM, where only the account's own password works");
	return AUTH_SASL_FAILED;
}

enum auth_sasl_state auth_sasl_step(struct auth_sasl *s, bool has_response, struct span response, struct buf *out)
{
	int rc = GSASL_NEEDS_MORE;

	if (s->cause != CAUSE_NONE)
		return AUTH_SASL_FAILED;
	if (!has_response && s->taken)
		return sasl_failed(s, out, CAUSE_AUTH_SYNTAX);
	/* LOGIN speaks first; where the client gave its name at once, the first prompt is swallowed */
	if (s->mechanism->prompts[0] && !s->prompted) {
		rc = sasl_step_library(s, SPAN_NONE, out);
		s->prompted = true;
		if (has_response)
			buf_reset(out);
	}
	if (!has_response)
		return AUTH_SASL_CHALLENGE;
	if (rc != GSASL_NEEDS_MORE || !sasl_response_ok(s, response))
		return sasl_failed(s, out, rc != GSASL_NEEDS_MORE ? cause_of(rc) : CAUSE_NONE);
	s->taken++;
	rc = sasl_step_library(s, response, out);
	if (s->cause != CAUSE_NONE)
		return sasl_failed(s, out, CAUSE_NONE);
	if (rc == GSASL_NEEDS_MORE && s->taken < s->mechanism->responses)
		return AUTH_SASL_CHALLENGE;
	if (rc != GSASL_OK)
		return sasl_failed(s, out, rc == GSASL_NEEDS_MORE ? CAUSE_AUTH_SYNTAX : cause_of(rc));
	if (s->mechanism->scram && !scram_settled(s))
		return sasl_failed(s, out, CAUSE_NONE);
	return AUTH_SASL_OK;
}

const char *auth_sasl_mechanism(const struct auth_sasl *s) { return s->mechanism->name; }
const struct auth_login *auth_sasl_login(const struct auth_sasl *s) { return &s->login; }
struct span auth_sasl_name(const struct auth_sasl *s) { return s->name; }
enum cause_id auth_sasl_cause(const struct auth_sasl *s) { return s->cause; }
uint64_t auth_sasl_retry_ms(const struct auth_sasl *s) { return s->retry_ms; }
bool auth_sasl_is_guess(const struct auth_sasl *s) { return s->guess; }
const char *auth_sasl_note(const struct auth_sasl *s) { return s->note; }
