#include "role/auth_sasl.h"

#include <gsasl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/b64.h"
#include "base/limits.h"
#include "test_role.h"

/* the real login look-up over the stub; throttling and what is asked are seen here */
static struct { bool allowed; unsigned checks; } door;

static enum rc door_find(void *owner, struct span name, struct arena *mem, struct auth_login *out)
{
	struct err err;

	(void)owner;
	return auth_login_find(NULL, name, "example.org", mem, out, &err);
}

static bool door_allowed(void *owner, struct span canonical, uint64_t *retry_ms_out)
{
	(void)owner;
	assert_true(canonical.len);
	*retry_ms_out = 30000;
	return door.allowed;
}

static enum rc door_check(void *owner, struct arena *mem, struct auth_login *login, struct span password)
{
	struct err err;

	(void)owner, (void)mem;
	door.checks++;
	return cred_check_password(login->found ? login->row.hash : SPAN_NONE, password, &err);
}

static const struct auth_sasl_door test_door = {door_find, door_allowed, door_check};
static struct auth_sasl_lib *lib;

static void make_lib(const char *mechanisms)
{
	struct auth_sasl_rules rules = {.mechanisms = mechanisms, .door = &test_door, .scram_iterations = 64, .scram_salt_bytes = 16};
	struct err err;

	memset(rules.secret, 5, sizeof(rules.secret));
	auth_sasl_lib_free(&lib);
	assert_int_equal(auth_sasl_lib_new(&rules, &lib, &err), RC_OK);
}

static int setup(void **state)
{
	(void)state;
	cred_stub_reset();
	cred_stub_add("ann@example.org", "tea & cake", true, true);
	cred_stub_add("old@example.org", "crypt only", false, true);
	cred_stub_add("off@example.org", "gone", true, false);
	cred_stub_add("nohash@example.org", NULL, false, true);
	cred_stub_add("held@example.org", "tea", true, true);
	cred_stub_demand("held@example.org", CRED_DEMAND_WEB_SIGN_IN);
	cred_stub_add("apps@example.org", "tea", true, true);
	cred_stub_demand("apps@example.org", CRED_DEMAND_APP_PASSWORD);
	door.allowed = true;
	door.checks = 0;
	make_lib("SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	auth_sasl_lib_free(&lib);
	return 0;
}

/* ---- the client side, by the same library */

struct client { const char *authid, *authzid, *password, *exporter, *unique; };

static int client_callback(Gsasl *gsasl, Gsasl_session *session, Gsasl_property prop)
{
	const struct client *c = gsasl_session_hook_get(session);
	const char *value = prop == GSASL_AUTHID ? c->authid : prop == GSASL_AUTHZID ? c->authzid : prop == GSASL_PASSWORD ? c->password : NULL;
	const char *raw = prop == GSASL_CB_TLS_EXPORTER ? c->exporter : prop == GSASL_CB_TLS_UNIQUE ? c->unique : NULL;
	struct buf text;

	(void)gsasl;
	if (raw) {
		buf_init(&text, 200);
		b64_encode(&text, span_str(raw));
		assert_int_equal(gsasl_property_set(session, prop, buf_cstr(&text)), GSASL_OK);
		buf_clear(&text);
		return GSASL_OK;
	}
	return value ? gsasl_property_set(session, prop, value) : GSASL_NO_CALLBACK;
}

struct outcome { enum auth_sasl_state state; enum cause_id cause; int64_t account; bool guess; bool server_proved; };

static struct auth_sasl *begin(const char *mechanism, bool tls, const char *exporter, const char *unique)
{
	enum cause_id cause = CAUSE_NONE;

	return auth_sasl_new(lib, &(struct auth_sasl_start){.mechanism = span_str(mechanism), .tls = tls, .binding_exporter = span_str(exporter),
		.binding_unique = span_str(unique)}, NULL, &cause);
}

/* whole exchange; server_* is the binding the server sees */
static struct outcome run(const char *mechanism, const struct client *c, bool initial, const char *server_exporter, const char *server_unique)
{
	struct auth_sasl *s = begin(mechanism, true, server_exporter, server_unique);
	struct outcome o = {.state = AUTH_SASL_CHALLENGE};
	Gsasl_session *session;
	struct buf out;
	Gsasl *g;
	bool has = false;
	char *text = NULL;
	size_t len = 0;
	int rc;

	assert_non_null(s);
	buf_init(&out, LIMIT_SASL_BYTES);
	assert_int_equal(gsasl_init(&g), GSASL_OK);
	gsasl_callback_set(g, client_callback);
	assert_int_equal(gsasl_client_start(g, mechanism, &session), GSASL_OK);
	gsasl_session_hook_set(session, (void *)(uintptr_t)c);
	if (initial) {
		rc = gsasl_step(session, NULL, 0, &text, &len);
		assert_true(rc == GSASL_OK || rc == GSASL_NEEDS_MORE);
		has = true;
	}
	for (unsigned i = 0; i < 6 && o.state == AUTH_SASL_CHALLENGE; i++) {
		buf_reset(&out);
		o.state = auth_sasl_step(s, has, span_of(text, len), &out);
		gsasl_free(text);
		text = NULL;
		len = 0;
		if (o.state == AUTH_SASL_FAILED) {
			assert_int_equal(out.len, 0);
			break;
		}
		if (o.state == AUTH_SASL_OK && out.len == 0)
			break;
		rc = gsasl_step(session, buf_cstr(&out), out.len, &text, &len);
		o.server_proved = o.state == AUTH_SASL_OK && rc == GSASL_OK;
		if (rc != GSASL_OK && rc != GSASL_NEEDS_MORE)
			fail_msg("%s client: %s", mechanism, gsasl_strerror(rc));
		has = true;
	}
	gsasl_free(text);
	o.cause = auth_sasl_cause(s);
	o.guess = auth_sasl_is_guess(s);
	o.account = o.state == AUTH_SASL_OK ? auth_sasl_login(s)->row.account : 0;
	assert_true((o.state == AUTH_SASL_FAILED) == (o.cause != CAUSE_NONE));
	gsasl_finish(session);
	gsasl_done(g);
	buf_clear(&out);
	auth_sasl_free(&s);
	return o;
}

static void test_right(void **state)
{
	static const char *const names[] = {"ann@example.org", "ANN@EXAMPLE.ORG", "ann+example.org", "ann"};
	static const char *const mechanisms[] = {"PLAIN", "LOGIN", "SCRAM-SHA-256"};

	(void)state;
	for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
		for (size_t m = 0; m < sizeof(mechanisms) / sizeof(mechanisms[0]); m++) {
			bool scram = m == 2;
			struct client c = {.authid = names[n], .password = "tea & cake"};
			struct outcome o = run(mechanisms[m], &c, m != 1, "", "");

			assert_int_equal(o.state, AUTH_SASL_OK);
			assert_int_equal(o.account, 1);
			assert_int_equal(o.server_proved, scram);
			assert_int_equal(run(mechanisms[m], &c, false, "", "").state, AUTH_SASL_OK);
		}
	}
}

static void test_plus(void **state)
{
	struct client exporter = {.authid = "ann@example.org", .password = "tea & cake", .exporter = "0123456789abcdef0123456789abcdef"};
	struct client unique = {.authid = "ann@example.org", .password = "tea & cake", .unique = "finished-msg"};
	struct outcome o;

	(void)state;
	o = run("SCRAM-SHA-256-PLUS", &exporter, true, "0123456789abcdef0123456789abcdef", "");
	assert_int_equal(o.state, AUTH_SASL_OK);
	assert_true(o.server_proved);
	assert_int_equal(run("SCRAM-SHA-256-PLUS", &unique, true, "0123456789abcdef0123456789abcdef", "finished-msg").state, AUTH_SASL_OK);
	/* somebody in between: another TLS connection at the other end */
	o = run("SCRAM-SHA-256-PLUS", &exporter, true, "0123456789abcdef0123456789abcdeX", "");
	assert_int_equal(o.cause, CAUSE_AUTH_CHANNEL_BINDING);
	assert_false(o.guess);
	/* a binding that this connection does not have */
	assert_int_equal(run("SCRAM-SHA-256-PLUS", &unique, true, "0123456789abcdef0123456789abcdef", "").cause, CAUSE_AUTH_CHANNEL_BINDING);
	assert_int_equal(run("SCRAM-SHA-256-PLUS", &unique, true, "", "").cause, CAUSE_AUTH_CHANNEL_BINDING);
	unique.password = "wrong";
	assert_int_equal(run("SCRAM-SHA-256-PLUS", &unique, true, "", "finished-msg").cause, CAUSE_AUTH_WRONG_PASSWORD);
}

/* first messages and the flag in them */
static void test_binding_flags(void **state)
{
	static const struct { const char *mechanism, *first, *exporter; enum cause_id cause; } cases[] = {
		{"SCRAM-SHA-256", "n,,n=ann@example.org,r=abcdefgh", "e", CAUSE_NONE},
		{"SCRAM-SHA-256", "y,,n=ann@example.org,r=abcdefgh", "", CAUSE_NONE},                             /* nothing to bind to */
		{"SCRAM-SHA-256", "y,,n=ann@example.org,r=abcdefgh", "e", CAUSE_AUTH_CHANNEL_BINDING},            /* downgrade */
		{"SCRAM-SHA-256", "p=tls-exporter,,n=ann@example.org,r=abcdefgh", "e", CAUSE_AUTH_CHANNEL_BINDING},
		{"SCRAM-SHA-256-PLUS", "p=tls-exporter,,n=ann@example.org,r=abcdefgh", "e", CAUSE_NONE},
		{"SCRAM-SHA-256-PLUS", "n,,n=ann@example.org,r=abcdefgh", "e", CAUSE_AUTH_CHANNEL_BINDING},
		{"SCRAM-SHA-256-PLUS", "y,,n=ann@example.org,r=abcdefgh", "e", CAUSE_AUTH_CHANNEL_BINDING},
		{"SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,n=ann@example.org,r=abcdefgh", "e", CAUSE_AUTH_CHANNEL_BINDING},
		{"SCRAM-SHA-256-PLUS", "p=,,n=ann@example.org,r=abcdefgh", "e", CAUSE_AUTH_CHANNEL_BINDING},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct auth_sasl *s = begin(cases[i].mechanism, true, cases[i].exporter, "");
		struct buf out;

		buf_init(&out, LIMIT_SASL_BYTES);
		assert_int_equal(auth_sasl_step(s, true, span_str(cases[i].first), &out), cases[i].cause ? AUTH_SASL_FAILED : AUTH_SASL_CHALLENGE);
		if (auth_sasl_cause(s) != cases[i].cause)
			fail_msg("%s: %s", cases[i].first, auth_sasl_note(s));
		buf_clear(&out);
		auth_sasl_free(&s);
	}
	/* where -PLUS is not offered, "y" is the truth */
	make_lib("SCRAM-SHA-256 PLAIN");
	{
		struct auth_sasl *s = begin("scram-sha-256", true, "e", "u");
		struct buf out;

		buf_init(&out, LIMIT_SASL_BYTES);
		assert_int_equal(auth_sasl_step(s, true, SPAN_LIT("y,,n=ann@example.org,r=abcdefgh"), &out), AUTH_SASL_CHALLENGE);
		buf_clear(&out);
		auth_sasl_free(&s);
	}
}

static void test_wrong(void **state)
{
	static const struct { const char *mechanism, *name, *password; enum cause_id cause; unsigned checks; } cases[] = {
		{"PLAIN", "ann@example.org", "Tea & cake", CAUSE_AUTH_WRONG_PASSWORD, 1},
		{"PLAIN", "nobody@example.org", "tea & cake", CAUSE_AUTH_USER_UNKNOWN, 1}, /* the same work as for a wrong password */
		{"PLAIN", "nohash@example.org", "x", CAUSE_AUTH_WRONG_PASSWORD, 1},
		{"PLAIN", "off@example.org", "wrong", CAUSE_AUTH_WRONG_PASSWORD, 1},
		{"PLAIN", "off@example.org", "gone", CAUSE_AUTH_ACCOUNT_DISABLED, 1},
		{"LOGIN", "ann@example.org", "tea", CAUSE_AUTH_WRONG_PASSWORD, 1},
		{"LOGIN", "nobody", "tea", CAUSE_AUTH_USER_UNKNOWN, 1},
		{"LOGIN", "off", "gone", CAUSE_AUTH_ACCOUNT_DISABLED, 1},
		{"SCRAM-SHA-256", "ann@example.org", "tea", CAUSE_AUTH_WRONG_PASSWORD, 0},
		{"SCRAM-SHA-256", "nobody@example.org", "tea & cake", CAUSE_AUTH_USER_UNKNOWN, 0},
		{"SCRAM-SHA-256", "old@example.org", "crypt only", CAUSE_AUTH_BAD_CREDENTIALS, 0}, /* no verifier yet */
		{"SCRAM-SHA-256", "nohash@example.org", "x", CAUSE_AUTH_BAD_CREDENTIALS, 0},
		{"SCRAM-SHA-256", "off@example.org", "gone", CAUSE_AUTH_ACCOUNT_DISABLED, 0},
		{"SCRAM-SHA-256", "off@example.org", "wrong", CAUSE_AUTH_WRONG_PASSWORD, 0},
		{"PLAIN", "a\tb", "x", CAUSE_AUTH_LOGIN_FORM, 0},
		/* the right password, and more is wanted: said to who knows it */
		{"PLAIN", "held@example.org", "tea", CAUSE_AUTH_WEB_LOGIN, 1}, {"LOGIN", "held", "tea", CAUSE_AUTH_WEB_LOGIN, 1},
		{"SCRAM-SHA-256", "held@example.org", "tea", CAUSE_AUTH_WEB_LOGIN, 0}, {"PLAIN", "held@example.org", "te", CAUSE_AUTH_WRONG_PASSWORD, 1},
		{"PLAIN", "apps@example.org", "tea", CAUSE_AUTH_APP_PASSWORD, 1}, {"SCRAM-SHA-256", "apps@example.org", "tea", CAUSE_AUTH_APP_PASSWORD, 0},
		{"PLAIN", "apps@example.org", "te", CAUSE_AUTH_WRONG_PASSWORD, 1}, {"SCRAM-SHA-256", "apps@example.org", "te", CAUSE_AUTH_WRONG_PASSWORD, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct client c = {.authid = cases[i].name, .password = cases[i].password};
		struct outcome o;

		door.checks = 0;
		o = run(cases[i].mechanism, &c, strcmp(cases[i].mechanism, "LOGIN") != 0, "", "");
		if (o.cause != cases[i].cause || door.checks != cases[i].checks)
			fail_msg("%s %s: cause %d, %u checks", cases[i].mechanism, cases[i].name, (int)o.cause, door.checks);
		assert_int_equal(o.guess, cases[i].cause == CAUSE_AUTH_BAD_CREDENTIALS || cause_get(cases[i].cause)->shown_as == CAUSE_AUTH_BAD_CREDENTIALS);
	}
}

static void test_authzid(void **state)
{
	static const struct { const char *authzid; bool ok; } cases[] = {{"ann@example.org", true}, {"Ann", true}, {"ann", true}, {"off@example.org", false}, {"root", false}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct client c = {.authid = "ann", .authzid = cases[i].authzid, .password = "tea & cake"};

		assert_int_equal(run("PLAIN", &c, true, "", "").cause, cases[i].ok ? CAUSE_NONE : CAUSE_AUTH_BAD_CREDENTIALS);
		assert_int_equal(run("SCRAM-SHA-256", &c, true, "", "").cause, cases[i].ok ? CAUSE_NONE : CAUSE_AUTH_BAD_CREDENTIALS);
	}
}

static void test_throttled(void **state)
{
	struct client c = {.authid = "ann", .password = "tea & cake"};

	(void)state;
	door.allowed = false;
	assert_int_equal(run("PLAIN", &c, true, "", "").cause, CAUSE_AUTH_RATE_LIMITED);
	assert_int_equal(run("LOGIN", &c, false, "", "").cause, CAUSE_AUTH_RATE_LIMITED);
	assert_int_equal(run("SCRAM-SHA-256", &c, true, "", "").cause, CAUSE_AUTH_RATE_LIMITED);
	assert_int_equal(door.checks, 0); /* nothing was hashed for it */
}

static void test_database_gone(void **state)
{
	struct client c = {.authid = "ann", .password = "tea & cake"};

	(void)state;
	cred_stub_broken(true);
	assert_int_equal(run("PLAIN", &c, true, "", "").cause, CAUSE_AUTH_TEMPORARILY_UNAVAILABLE);
	assert_int_equal(run("SCRAM-SHA-256", &c, true, "", "").cause, CAUSE_AUTH_TEMPORARILY_UNAVAILABLE);
}

static enum auth_sasl_state step_text(struct auth_sasl *s, const char *text, struct buf *out)
{
	buf_reset(out);
	return auth_sasl_step(s, true, span_str(text), out);
}

/* salts of names that do not exist stay the same and look like real ones; another secret gives another salt */
static void test_fake_salt(void **state)
{
	static const char *const forms[] = {"n,,n=nobody,r=abcdefgh", "n,,n=nobody@example.org,r=abcdefgh", "n,,n=NOBODY+example.org,r=abcdefgh"};
	char salt[100] = "", real[100] = "";
	struct buf out;

	(void)state;
	buf_init(&out, LIMIT_SASL_BYTES);
	for (size_t i = 0; i < 6; i++) {
		struct auth_sasl *s = begin("SCRAM-SHA-256", true, "", "");
		const char *at;

		assert_int_equal(step_text(s, forms[i % 3], &out), AUTH_SASL_CHALLENGE);
		at = strstr(buf_cstr(&out), ",s=");
		assert_non_null(at);
		if (i == 0)
			(void)snprintf(salt, sizeof(salt), "%s", at);
		assert_string_equal(at, salt);
		auth_sasl_free(&s);
		if (i == 2) { /* as after a restart */
			teardown(NULL);
			make_lib("SCRAM-SHA-256");
		}
	}
	{
		struct auth_sasl *s = begin("SCRAM-SHA-256", true, "", "");

		assert_int_equal(step_text(s, "n,,n=ann,r=abcdefgh", &out), AUTH_SASL_CHALLENGE);
		(void)snprintf(real, sizeof(real), "%s", strstr(buf_cstr(&out), ",s="));
		auth_sasl_free(&s);
	}
	assert_int_equal(strlen(real), strlen(salt));
	assert_string_not_equal(real, salt);
	assert_string_equal(strstr(real, ",i="), strstr(salt, ",i="));
	buf_clear(&out);
}

/* local parts that are not letters: in every mechanism, quoted where the grammar of addresses wants it, bare, and with + for the @ */
static void test_names(void **state)
{
	static const struct { const char *account, *quoted; } names[] = {
		{"o'brien@example.org", NULL}, {"a+b@example.org", NULL}, {"a&b@example.org", NULL}, {"a=b@example.org", NULL}, {"j\xc3\xb6rg@example.org", NULL},
		{"\xe7\x94\xb0\xe4\xb8\xad@example.org", NULL}, {"john doe@example.org", "\"john doe\"@example.org"}, {"a,b@example.org", "\"a,b\"@example.org"},
		{"a@b@example.org", "\"a@b\"@example.org"}, {"q\"q@example.org", "\"q\\\"q\"@example.org"}, {"b\\s@example.org", "\"b\\\\s\"@example.org"},
		{"!#$%&'*-/?^_`{|}~@example.org", NULL},
	};
	static const char *const mechanisms[] = {"PLAIN", "LOGIN", "SCRAM-SHA-256"};

	(void)state;
	cred_stub_reset();
	for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++)
		cred_stub_add(names[n].account, "it's \"100%\" <&>", true, true);
	for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
		char bare[64], plus[80];
		size_t local = (size_t)(strrchr(names[n].account, '@') - names[n].account);

		(void)snprintf(bare, sizeof(bare), "%.*s", (int)local, names[n].account);
		(void)snprintf(plus, sizeof(plus), "%s+example.org", bare);
		for (size_t i = 0; i < 4 * 3; i++) {
			const char *forms[] = {names[n].account, names[n].quoted ? names[n].quoted : names[n].account, strchr(bare, '@') ? names[n].account : bare,
				strchr(bare, '@') ? names[n].account : plus};
			struct client c = {.authid = forms[i / 3], .password = "it's \"100%\" <&>"};
			struct outcome o = run(mechanisms[i % 3], &c, true, "", "");

			if (o.state != AUTH_SASL_OK || o.account != (int64_t)n + 1)
				fail_msg("%s as %s: account %d, cause %s", mechanisms[i % 3], c.authid, (int)o.account, cause_slug(o.cause));
			c.password = "it's";
			assert_int_equal(run(mechanisms[i % 3], &c, true, "", "").cause, CAUSE_AUTH_WRONG_PASSWORD);
		}
	}
}

static void test_garbage(void **state)
{
	/* each row: responses, the last of which must fail */
	static const struct { const char *mechanism; struct span steps[3]; unsigned count; enum cause_id cause; } cases[] = {
		{"PLAIN", {SPAN_LIT("")}, 1, CAUSE_AUTH_SYNTAX},
		{"PLAIN", {SPAN_LIT("ann")}, 1, CAUSE_AUTH_SYNTAX},
		{"PLAIN", {SPAN_LIT("\0ann")}, 1, CAUSE_AUTH_SYNTAX},
		{"PLAIN", {SPAN_LIT("\0ann\0tea\0cake")}, 1, CAUSE_AUTH_SYNTAX},
		{"PLAIN", {SPAN_LIT("\0ann\0")}, 1, CAUSE_AUTH_WRONG_PASSWORD},
		{"PLAIN", {SPAN_LIT("\0a\x01nn\0tea & cake")}, 1, CAUSE_AUTH_LOGIN_FORM},
		{"PLAIN", {SPAN_LIT("\0\xff\xfe\0tea & cake")}, 1, CAUSE_AUTH_LOGIN_FORM},
		{"LOGIN", {SPAN_LIT("")}, 1, CAUSE_AUTH_SYNTAX},
		{"LOGIN", {SPAN_LIT("an\0n")}, 1, CAUSE_AUTH_SYNTAX},
		{"LOGIN", {SPAN_LIT("ann"), SPAN_LIT("")}, 2, CAUSE_AUTH_SYNTAX},
		{"LOGIN", {SPAN_LIT("ann"), SPAN_LIT("tea\0cake")}, 2, CAUSE_AUTH_SYNTAX},
		{"SCRAM-SHA-256", {SPAN_LIT("")}, 1, CAUSE_AUTH_SYNTAX},
		{"SCRAM-SHA-256", {SPAN_LIT("n")}, 1, CAUSE_AUTH_SYNTAX},
		{"SCRAM-SHA-256", {SPAN_LIT("n,,")}, 1, CAUSE_AUTH_SYNTAX},
		{"SCRAM-SHA-256", {SPAN_LIT(",,,,,,,,,,,,,,,")}, 1, CAUSE_AUTH_SYNTAX},
		{"SCRAM-SHA-256", {SPAN_LIT("n,,n=,r=abcdefgh")}, 1, CAUSE_AUTH_SYNTAX},
		{"SCRAM-SHA-256", {SPAN_LIT("n,,m=ext,n=ann,r=abcdefgh")}, 1, CAUSE_AUTH_SYNTAX}, /* mandatory extension: RFC 5802 5.1 */
		{"SCRAM-SHA-256", {SPAN_LIT("n,,n=ann\0,r=abcdefgh")}, 1, CAUSE_AUTH_SYNTAX},
		{"SCRAM-SHA-256", {SPAN_LIT("n,,n=ann,r=abcdefgh"), SPAN_LIT("")}, 2, CAUSE_AUTH_SYNTAX},
		{"SCRAM-SHA-256", {SPAN_LIT("n,,n=ann,r=abcdefgh"), SPAN_LIT("c=biws")}, 2, CAUSE_AUTH_SYNTAX},
		{"SCRAM-SHA-256", {SPAN_LIT("n,,n=ann,r=abcdefgh"), SPAN_LIT("c=!!!!,r=abcdefgh,p=AAAA")}, 2, CAUSE_AUTH_SYNTAX},
		{"SCRAM-SHA-256", {SPAN_LIT("n,,n=ann,r=abcdefgh"), SPAN_LIT("c=biws,r=abcdefgh,p=AAAA")}, 2, CAUSE_AUTH_WRONG_PASSWORD},
		{"SCRAM-SHA-256", {SPAN_LIT("n,,n=ann,r=abcdefgh"), SPAN_LIT("c=eSws,r=abcdefgh,p=AAAA")}, 2, CAUSE_AUTH_CHANNEL_BINDING},
	};
	struct buf out;

	(void)state;
	buf_init(&out, LIMIT_SASL_BYTES);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct auth_sasl *s = begin(cases[i].mechanism, true, "", "");
		enum auth_sasl_state now = AUTH_SASL_CHALLENGE;

		for (unsigned k = 0; k < cases[i].count; k++) {
			assert_int_equal(now, AUTH_SASL_CHALLENGE);
			buf_reset(&out);
			now = auth_sasl_step(s, true, cases[i].steps[k], &out);
		}
		if (now != AUTH_SASL_FAILED || auth_sasl_cause(s) != cases[i].cause)
			fail_msg("case %zu: state %d, cause %d (%s)", i, (int)now, (int)auth_sasl_cause(s), auth_sasl_note(s));
		/* and it stays failed, whatever comes */
		assert_int_equal(auth_sasl_step(s, true, SPAN_LIT("\0ann\0tea & cake"), &out), AUTH_SASL_FAILED);
		auth_sasl_free(&s);
	}
	buf_clear(&out);
}

/* a right PLAIN message and SCRAM first message, cut at every point */
static void test_truncated(void **state)
{
	static const struct span plain = SPAN_LIT("ann\0ann\0tea & cake"), scram = SPAN_LIT("n,,n=ann@example.org,r=abcdefgh");
	struct buf out;

	(void)state;
	buf_init(&out, LIMIT_SASL_BYTES);
	for (size_t n = 0; n <= plain.len; n++) {
		struct auth_sasl *s = begin("PLAIN", true, "", "");

		buf_reset(&out);
		assert_int_equal(auth_sasl_step(s, true, span_head(plain, n), &out), n == plain.len ? AUTH_SASL_OK : AUTH_SASL_FAILED);
		auth_sasl_free(&s);
	}
	for (size_t n = 0; n < scram.len; n++) {
		struct auth_sasl *s = begin("SCRAM-SHA-256", true, "", "");

		buf_reset(&out);
		if (auth_sasl_step(s, true, span_head(scram, n), &out) == AUTH_SASL_CHALLENGE)
			assert_true(n > 23); /* a shorter nonce is still one */
		auth_sasl_free(&s);
	}
	buf_clear(&out);
}

static void test_limits(void **state)
{
	char *big = malloc(LIMIT_SASL_BYTES + 10);
	struct auth_sasl *s;
	struct buf out;

	(void)state;
	assert_non_null(big);
	buf_init(&out, LIMIT_SASL_BYTES);
	memset(big, 'a', LIMIT_SASL_BYTES + 10);
	memcpy(big, "\0ann", 5);
	s = begin("PLAIN", true, "", "");
	assert_int_equal(auth_sasl_step(s, true, span_of(big, LIMIT_SASL_BYTES + 1), &out), AUTH_SASL_FAILED);
	assert_int_equal(auth_sasl_cause(s), CAUSE_AUTH_SYNTAX);
	auth_sasl_free(&s);
	/* a password over its limit is just wrong, and costs what a wrong one costs */
	s = begin("PLAIN", true, "", "");
	assert_int_equal(auth_sasl_step(s, true, span_of(big, LIMIT_SASL_BYTES), &out), AUTH_SASL_FAILED);
	assert_int_equal(auth_sasl_cause(s), CAUSE_AUTH_WRONG_PASSWORD);
	assert_int_equal(door.checks, 1);
	auth_sasl_free(&s);
	/* a login name over its limit */
	s = begin("LOGIN", true, "", "");
	assert_int_equal(auth_sasl_step(s, true, span_of(big + 10, 4000), &out), AUTH_SASL_CHALLENGE);
	assert_int_equal(auth_sasl_step(s, true, SPAN_LIT("x"), &out), AUTH_SASL_FAILED);
	assert_int_equal(auth_sasl_cause(s), CAUSE_AUTH_LOGIN_FORM);
	assert_true(auth_sasl_name(s).len <= LIMIT_LOGIN_BYTES);
	auth_sasl_free(&s);
	buf_clear(&out);
	free(big);
}

static void test_mechanisms(void **state)
{
	static const struct { const char *name; bool tls, ok; } cases[] = {
		{"PLAIN", true, true}, {"plain", true, true}, {"PLAIN", false, true}, {"SCRAM-SHA-256", false, true}, {"SCRAM-SHA-256-PLUS", true, true},
		{"SCRAM-SHA-256-PLUS", false, false}, {"", true, false}, {"CRAM-MD5", true, false}, {"NTLM", true, false}, {"SCRAM-SHA-1", true, false},
		{"EXTERNAL", true, false}, {"ANONYMOUS", true, false}, {"PLAIN ", true, false}, {"PLAINX", true, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum cause_id cause = CAUSE_NONE;
		struct auth_sasl *s = auth_sasl_new(lib, &(struct auth_sasl_start){.mechanism = span_str(cases[i].name), .tls = cases[i].tls}, NULL, &cause);

		assert_int_equal(s != NULL, cases[i].ok);
		assert_int_equal(cause, cases[i].ok ? CAUSE_NONE : CAUSE_AUTH_MECHANISM_UNKNOWN);
		auth_sasl_free(&s);
	}
	make_lib("SCRAM-SHA-256");
	assert_null(begin("PLAIN", true, "", "")); /* switched off by the configuration */
	assert_null(begin("SCRAM-SHA-256-PLUS", true, "e", ""));
}

/* LOGIN: prompts that old clients know; name together with the command; what costs a hash */
static void test_login_prompts(void **state)
{
	struct auth_sasl *s = begin("LOGIN", true, "", "");
	struct buf out;

	(void)state;
	buf_init(&out, LIMIT_SASL_BYTES);
	assert_false(auth_sasl_is_costly(s, false, SPAN_NONE));
	assert_int_equal(auth_sasl_step(s, false, SPAN_NONE, &out), AUTH_SASL_CHALLENGE);
	assert_string_equal(buf_cstr(&out), "Username:");
	assert_false(auth_sasl_is_costly(s, true, SPAN_LIT("ann")));
	assert_int_equal(step_text(s, "ann", &out), AUTH_SASL_CHALLENGE);
	assert_string_equal(buf_cstr(&out), "Password:");
	assert_true(auth_sasl_is_costly(s, true, SPAN_LIT("x")));
	assert_int_equal(step_text(s, "tea & cake", &out), AUTH_SASL_OK);
	assert_int_equal(out.len, 0);
	auth_sasl_free(&s);
	s = begin("login", true, "", "");
	assert_int_equal(step_text(s, "ann", &out), AUTH_SASL_CHALLENGE);
	assert_string_equal(buf_cstr(&out), "Password:");
	assert_int_equal(step_text(s, "tea & cake", &out), AUTH_SASL_OK);
	auth_sasl_free(&s);
	s = begin("PLAIN", true, "", "");
	assert_true(auth_sasl_is_costly(s, true, SPAN_LIT("x")));
	assert_int_equal(auth_sasl_step(s, false, SPAN_NONE, &out), AUTH_SASL_CHALLENGE);
	auth_sasl_free(&s);
	s = begin("SCRAM-SHA-256", true, "", "");
	assert_false(auth_sasl_is_costly(s, true, SPAN_LIT("x")));
	auth_sasl_free(&s);
	buf_clear(&out);
}

int test_auth_sasl(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_right, setup, teardown), cmocka_unit_test_setup_teardown(test_plus, setup, teardown),
		cmocka_unit_test_setup_teardown(test_binding_flags, setup, teardown), cmocka_unit_test_setup_teardown(test_wrong, setup, teardown),
		cmocka_unit_test_setup_teardown(test_authzid, setup, teardown), cmocka_unit_test_setup_teardown(test_throttled, setup, teardown),
		cmocka_unit_test_setup_teardown(test_database_gone, setup, teardown), cmocka_unit_test_setup_teardown(test_fake_salt, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_garbage, setup, teardown), cmocka_unit_test_setup_teardown(test_truncated, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limits, setup, teardown), cmocka_unit_test_setup_teardown(test_mechanisms, setup, teardown),
		cmocka_unit_test_setup_teardown(test_login_prompts, setup, teardown),
	};

	return cmocka_run_group_tests_name("auth_sasl", tests, NULL, NULL);
}
