/* relay_auth - signing in at a smarthost, with GNU SASL. The password comes from the keys role for each sign-in and is forgotten after it; it never goes out in
 * the clear unless the smarthost's section says so. RFC 4954, 4616, 5802, 7677. */
#include <gsasl.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "role/relay.h"

static Gsasl *relay_gsasl;

/* best first; "*-PLUS" is left out, as its channel binding is one more thing that can be wrong on the way, and the certificate was checked */
static const char *const relay_auth_mechanisms[] = {"SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN"};

struct relay_auth {
	struct relay_conn *conn;
	const char *mechanism;
	Gsasl_session *session;
	uint32_t ask; /* for the password; 0: it is there */
};

enum rc relay_auth_open(struct err *err)
{
	int rc = gsasl_init(&relay_gsasl);

	return rc == GSASL_OK ? RC_OK : err_set(err, RC_IO, "GNU SASL: %s", gsasl_strerror(rc));
}

void relay_auth_free(struct relay_auth **place)
{
	struct relay_auth *a = *place;

	*place = NULL;
	if (!a)
		return;
	if (a->ask)
		(void)map_take(&a->conn->relay->secrets, a->ask);
	if (a->session)
		gsasl_finish(a->session);
	free(a);
}

static void relay_auth_fail(struct relay_conn *c, const char *words)
{
	c->why = (struct relay_failure){.outcome = DELIVERY_LATER, .cause = CAUSE_SMARTHOST_AUTH_FAILED, .sure = 95, .pace = PACE_TROUBLE};
	relay_copy(c->why.host, sizeof(c->why.host), relay_conn_host(c));
	relay_copy(c->why.address, sizeof(c->why.address), span_str(c->address));
	relay_copy(c->why.tls, sizeof(c->why.tls), span_str(c->tls_words));
	relay_copy(c->why.words, sizeof(c->why.words), span_str(words));
	relay_conn_failed(c);
}

static bool relay_auth_offered(struct span offer, const char *mechanism)
{
	while (offer.ptr)
		if (span_eq_nocase(span_cut(&offer, ' '), span_str(mechanism)))
			return true;
	return false;
}

static void relay_auth_ask(struct relay_auth *a)
{
	struct relay *r = a->conn->relay;

	if (r->keys)
		chan_send(r->keys, MSG_SECRET_GET, &(struct msg_secret_get){.ask = a->ask, .smarthost = a->conn->dest->way.smarthost_index});
}

void relay_auth_begin(struct relay_conn *c)
{
	const struct conf_smarthost *s = c->dest->way.smarthost;
	struct relay *r = c->relay;
	struct relay_auth *a;

	if (!stream_is_tls(c->stream) && !s->auth_without_tls) {
		relay_auth_fail(c, "the connection is not encrypted, and the password is not sent in the clear");
		return;
	}
	a = mem_zalloc(sizeof(*a));
	a->conn = c;
	relay_auth_free(&c->auth);
	c->auth = a;
	for (size_t i = 0; i < sizeof(relay_auth_mechanisms) / sizeof(relay_auth_mechanisms[0]) && !a->mechanism; i++)
		if (relay_auth_offered(smtp_out_mechanisms(c->smtp), relay_auth_mechanisms[i]))
			a->mechanism = relay_auth_mechanisms[i];
	if (!a->mechanism) {
		relay_auth_fail(c, "the server offers no way to sign in that is known here");
		return;
	}
	do
		a->ask = ++r->next_ask;
	while (a->ask == 0 || map_get(&r->secrets, a->ask));
	(void)map_put(&r->secrets, a->ask, a);
	c->deadline = loop_now(r->loop) + r->conf->delivery_command_ms;
	relay_auth_ask(a);
}

void relay_auth_keys(struct relay *r)
{
	uint64_t key;
	void *value;

	for (size_t at = 0; map_next(&r->secrets, &at, &key, &value);)
		relay_auth_ask(value);
}

/* one step; *out is the caller's to free */
static int relay_auth_next(struct relay_auth *a, struct span challenge, char **out, size_t *len)
{
	return gsasl_step(a->session, (const char *)challenge.ptr, challenge.len, out, len);
}

static void relay_auth_wipe(char *text, size_t len)
{
	if (text)
		explicit_bzero(text, len);
	gsasl_free(text);
}

static void relay_auth_property(struct relay_auth *a, Gsasl_property property, struct span value)
{
	(void)gsasl_property_set_raw(a->session, property, (const char *)value.ptr, value.len);
}

static void relay_auth_start(struct relay_auth *a, struct span login, struct span password)
{
	struct relay_conn *c = a->conn;
	bool initial = strcmp(a->mechanism, "LOGIN") != 0;
	size_t len = 0;
	char *first = NULL;
	int rc = gsasl_client_start(relay_gsasl, a->mechanism, &a->session);

	if (rc == GSASL_OK) {
		relay_auth_property(a, GSASL_AUTHID, login);
		relay_auth_property(a, GSASL_PASSWORD, password);
		if (initial)
			rc = relay_auth_next(a, SPAN_NONE, &first, &len);
	}
	if (rc != GSASL_OK && rc != GSASL_NEEDS_MORE) {
		relay_auth_wipe(first, len);
		relay_auth_fail(c, "the login or password cannot be used with what the server offers");
		return;
	}
	c->deadline = MONO_NEVER;
	smtp_out_auth(c->smtp, span_str(a->mechanism), initial, span_of(first, len), loop_now(c->relay->loop));
	relay_auth_wipe(first, len);
	relay_conn_step(c);
}

enum rc relay_auth_on_secret(struct relay *r, const struct msg_secret *m)
{
	struct relay_auth *a = map_take(&r->secrets, m->ask);

	if (!a)
		return RC_OK; /* its connection is gone */
	a->ask = 0;
	if (m->ok)
		relay_auth_start(a, m->login, m->password);
	else
		relay_auth_fail(a->conn, "there is no password for this smarthost");
	return RC_OK;
}

void relay_auth_step(struct relay_conn *c)
{
	mono_ms now = loop_now(c->relay->loop);
	size_t len = 0;
	char *text = NULL;
	int rc = relay_auth_next(c->auth, smtp_out_challenge(c->smtp), &text, &len);

	if (rc == GSASL_OK || rc == GSASL_NEEDS_MORE)
		smtp_out_auth_answer(c->smtp, span_of(text, len), now);
	else
		smtp_out_auth_cancel(c->smtp, now);
	relay_auth_wipe(text, len);
}
