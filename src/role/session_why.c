#include "role/session_why.h"

#include "base/limits.h"
#include "role/session_smtp.h"

static void session_why_answered(struct session *s, uint32_t engine_ask, enum msg_type type, const union msg_any *msg)
{
	const struct msg_why_is *m = msg && type == MSG_WHY_IS ? &msg->why_is : NULL;
	struct span cursor = m ? m->events.raw : SPAN_NONE;
	struct smtp_why events[LIMIT_WHY_EVENTS];
	struct rec_why_event r;
	size_t count = 0;

	while (count < LIMIT_WHY_EVENTS && rec_why_event_next(&cursor, &r))
		events[count++] = (struct smtp_why){.at_ms = (int64_t)r.at_ms,
						    .session = r.session,
						    .code = r.code,
						    .slug = r.slug,
						    .command = r.command,
						    .limit = r.limit,
						    .retry = r.retry,
						    .detail = r.detail};
	smtp_in_why(s->smtp->in, engine_ask, m && m->cause < CAUSE_COUNT ? (enum cause_id)m->cause : CAUSE_SERVER_TEMP_ERROR, events,
		    count);
}

void session_why_ask(struct session *s, const struct smtp_ask *ask)
{
	struct msg_why m = {.session = s->id, .max = (uint8_t)ask->why_max, .peer = s->peer};

	if (!s->worker->store) {
		smtp_in_why(s->smtp->in, ask->id, CAUSE_SERVER_TEMP_ERROR, NULL, 0);
		return;
	}
	m.ask = worker_ask(s, ROLE_STORE, ask->id, session_why_answered);
	chan_send(s->worker->store, MSG_WHY, &m);
}
