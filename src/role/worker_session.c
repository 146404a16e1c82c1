#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/rng.h"
#include "role/session_history.h"
#include "role/worker_abuse.h"

enum { SESSION_LINGER_MS = 10000 };

struct span session_ref(const struct session *s)
{
	return span_str(s->ref);
}

static void session_log_fields(struct session *s)
{
	log_str("session", s->ref);
	log_str("listener", s->listener->name);
	log_span("peer", s->peer);
}

static void session_count_address(struct session *s, int by)
{
	struct map *m = &s->worker->addresses;
	uintptr_t n = (uintptr_t)map_get(m, s->address_key) + (uintptr_t)(intptr_t)by;

	if (n)
		(void)map_put(m, s->address_key, (void *)n);
	else
		(void)map_take(m, s->address_key);
}

static void session_free(struct session *s)
{
	struct worker *w = s->worker;

	session_history_end(s, s->ops->helo ? s->ops->helo(s) : SPAN_NONE);
	if (s->ops == &session_smtp_ops && !s->mailed)
		worker_abuse_idle_end(s);
	session_auth_cancel(s);
	worker_questions_drop(s);
	session_relay_end(s);
	if (s->told_store && w->store)
		chan_send(w->store, MSG_SESSION_END, &(struct msg_session_end){.session = s->id});
	if (log_begin(LOG_LEVEL_INFO, "session-end")) {
		session_log_fields(s);
		log_str("tls", stream_tls_version(s->stream));
		s->ops->log_end(s);
		log_num("ms", loop_now(w->loop) - s->started_ms);
		log_end();
	}
	s->ops->end(s);
	loop_timer_clear(&s->timer);
	stream_free(&s->stream);
	session_count_address(s, -1);
	w->listeners[s->listener_index].connections--;
	(void)map_take(&w->by_id, s->id);
	*s->prev = s->next;
	if (s->next)
		s->next->prev = s->prev;
	w->session_count--;
	free(s);
	if (w->draining && !w->session_count)
		role_done(w->role);
}

void session_close(struct session *s)
{
	if (s->closing != SESSION_OPEN)
		return;
	s->closing = SESSION_CLOSING;
	stream_close(s->stream, SESSION_LINGER_MS);
}

void session_step(struct session *s)
{
	mono_ms at;

	if (s->depth)
		return; /* whoever is inside does it on the way out */
	s->depth++;
	if (s->closing != SESSION_DEAD) {
		s->ops->pump(s);
		if (s->closing != SESSION_DEAD)
			stream_kick(s->stream);
	}
	if (s->closing != SESSION_DEAD)
		s->ops->pump(s); /* what was sent may have made room for more */
	s->depth--;
	if (s->closing == SESSION_DEAD) {
		session_free(s);
		return;
	}
	at = s->closing == SESSION_OPEN ? s->ops->deadline(s) : MONO_NEVER;
	loop_timer_at(&s->timer, at < s->tls_by_ms ? at : s->tls_by_ms);
}

static size_t session_on_bytes(void *owner, struct span bytes)
{
	struct session *s = owner;
	size_t took = 0;

	if (s->closing != SESSION_OPEN)
		return bytes.len; /* nothing it says counts any more */
	s->depth++;
	/* the engine stops where it needs an answer or room; go on as long as pumping helps */
	for (;;) {
		size_t n = s->ops->feed(s, span_from(bytes, took), loop_now(s->worker->loop));

		took += n;
		s->ops->pump(s);
		if (s->closing != SESSION_OPEN || n == 0 || took == bytes.len)
			break;
	}
	s->depth--;
	if (s->closing != SESSION_OPEN)
		took = bytes.len;
	session_step(s);
	return took;
}

static struct span session_out(void *owner)
{
	struct session *s = owner;

	return s->closing == SESSION_DEAD ? SPAN_NONE : s->ops->out(s);
}

static void session_on_sent(void *owner, size_t n)
{
	struct session *s = owner;

	s->ops->sent(s, n);
	s->depth++;
	s->ops->pump(s);
	s->depth--;
	if (!s->depth)
		session_step(s);
}

static void session_on_tls(void *owner, bool ok, const char *why)
{
	struct session *s = owner;

	s->tls_by_ms = MONO_NEVER;
	if (!ok) {
		if (log_begin(LOG_LEVEL_INFO, "tls-failed")) {
			session_log_fields(s);
			log_str("cause", cause_slug(CAUSE_TLS_HANDSHAKE_FAILED));
			log_str("why", why);
			log_end();
		}
		session_history_tls_failed(s, why);
		s->closing = SESSION_DEAD;
	} else {
		s->ops->tls_done(s, loop_now(s->worker->loop));
	}
	session_step(s);
}

static void session_on_closed(void *owner, const char *why)
{
	struct session *s = owner;

	(void)why;
	s->depth++;
	if (s->closing == SESSION_OPEN) {
		s->ops->eof(s);
		s->ops->pump(s);
	}
	s->depth--;
	s->closing = SESSION_DEAD;
	session_step(s);
}

static void session_on_timer(void *arg, mono_ms now)
{
	struct session *s = arg;

	if (now >= s->tls_by_ms) {
		session_on_tls(s, false, "took too long");
		return;
	}
	if (s->closing == SESSION_OPEN)
		s->ops->tick(s, now);
	session_step(s);
}

void session_want_tls(struct session *s)
{
	struct tls_server *tls = s->worker->tls;

	if (stream_tls(s->stream, tls_server_ctx(tls, s->listener->certificate_index)) != RC_OK)
		s->ops->tls_injected(s);
	else
		s->tls_by_ms = loop_now(s->worker->loop) + s->worker->conf->tls_handshake_ms;
}

/* Who sends before there was anything to answer follows no dialogue: a spam program, or a browser that was talked into it (RFC 5321 4.3.1) */
static void session_check_early(struct session *s, int fd, mono_ms now)
{
	uint8_t first;

	if (s->listener->kind == CONF_MX && s->listener->tls != CONF_TLS_IMPLICIT && recv(fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) == 1)
		(void)s->ops->feed(s, span_of(&first, 1), now);
}

struct session *session_new(struct worker_listener *l, int fd, const char *peer_text, uint64_t address_key, enum cause_id refuse)
{
	static const struct stream_ops stream_ops = {
		.on_bytes = session_on_bytes, .out = session_out, .on_sent = session_on_sent, .on_tls = session_on_tls, .on_closed = session_on_closed};
	struct worker *w = l->worker;
	struct session *s = mem_zalloc(sizeof(*s));
	mono_ms now = loop_now(w->loop);

	*s = (struct session){.worker = w, .listener = l->conf, .listener_index = l->index, .address_key = address_key, .started_ms = now, .tls_by_ms = MONO_NEVER,
		.ops = l->conf->kind == CONF_POP3 ? &session_pop3_ops : &session_smtp_ops, .next = w->sessions, .prev = &w->sessions};
	do
		s->id = rng_u64() >> 24; /* 40 bits: eight letters to people */
	while (map_get(&w->by_id, s->id));
	(void)num_base32(s->id, 8, s->ref);
	(void)snprintf(s->peer_text, sizeof(s->peer_text), "%s", peer_text);
	s->peer = span_str(s->peer_text);
	if (s->next)
		s->next->prev = &s->next;
	w->sessions = s;
	w->session_count++;
	l->connections++;
	(void)map_put(&w->by_id, s->id, s);
	session_count_address(s, 1);
	loop_timer_init(w->loop, &s->timer, session_on_timer, s);
	s->stream = stream_new(w->loop, fd, &stream_ops, s);
	s->depth++;
	s->ops->begin(s, refuse, now);
	session_check_early(s, fd, now);
	if (l->conf->tls == CONF_TLS_IMPLICIT)
		session_want_tls(s);
	stream_start(s->stream);
	s->depth--;
	session_step(s);
	return s;
}
