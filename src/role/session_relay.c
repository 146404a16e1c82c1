/* Sending without sign-in: before MAIL is answered the auth role is asked what the client's address gives, where the listener has networks or heeds relay
 * windows. Asked at every MAIL: a window closes in the middle of a session, too. */
#include <stdlib.h>

#include "base/mem.h"
#include "role/worker.h"

static void session_relay_clear(struct session *s)
{
	free(s->who.account);
	s->who = (struct session_who){.by = POLICY_BY_NOTHING, .answer = s->who.answer};
}

void session_relay_end(struct session *s)
{
	free(s->who.account);
	s->who.account = NULL;
}

void session_relay_signed_in(struct session *s)
{
	session_relay_clear(s);
}

static void session_relay_is(struct session *s, uint32_t engine_ask, enum msg_type type, const union msg_any *msg)
{
	const struct msg_relay_is *m = msg && type == MSG_RELAY_IS ? &msg->relay_is : NULL;

	session_relay_clear(s);
	if (!m || m->by > POLICY_BY_NETWORK || m->window > POLICY_WINDOW_PRIVATE) {
		s->who.trouble = CAUSE_SERVER_TEMP_ERROR;
	} else {
		s->who.trouble = m->cause < CAUSE_COUNT ? (enum cause_id)m->cause : CAUSE_SERVER_TEMP_ERROR;
		s->who.by = (enum policy_by)m->by;
		s->who.window = (enum policy_window)m->window;
		s->who.window_ms = (int64_t)m->window_ms;
		if (m->address.len)
			s->who.account = mem_str_span(m->address);
	}
	s->who.answer(s, engine_ask);
}

bool session_relay_ask(struct session *s, uint32_t engine_ask, void (*answer)(struct session *s, uint32_t engine_ask))
{
	const struct conf_listener *l = s->listener;
	struct worker *w = s->worker;
	struct msg_relay_ask m = {.session = s->id, .listener = (uint16_t)s->listener_index, .peer = s->peer, .conn = stream_fd(s->stream)};

	if (s->granted || (l->network_count == 0 && !l->relay_window))
		return false;
	if (!w->auth) {
		session_relay_clear(s);
		s->who.trouble = CAUSE_SERVER_TEMP_ERROR;
		return false;
	}
	s->who.answer = answer;
	m.ask = worker_ask(s, ROLE_AUTH, engine_ask, session_relay_is);
	s->told_store = true; /* by auth, perhaps */
	chan_send(w->auth, MSG_RELAY_ASK, &m);
	return true;
}
