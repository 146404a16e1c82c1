/* talk - follows one or more conversations in a protocol log. The rules of order are those of the server's engine (smtp_in.h); it cannot be
 * run here, since what it would answer is not what was answered: here the replies are given, and the question is which of them came first.
 */
#include "answer/talk.h"

#include "answer/mask.h"
#include "answer/talk_line.h"

enum {
	LINES_AT_LEAST = 2,
	SESSIONS_MAX = 16, /* conversations in one log that are told apart */
};

static void talk_push(struct talk *t, unsigned stage, struct span line)
{
	if (t->pending_count == PENDING_MAX)
		return;
	t->pending[(t->pending_at + t->pending_count++) % PENDING_MAX] = (struct command){stage, line};
}

static struct command talk_pop(struct talk *t)
{
	struct command c = {0, SPAN_NONE};

	if (!t->pending_count)
		return c;
	c = t->pending[t->pending_at];
	t->pending_at = (t->pending_at + 1) % PENDING_MAX;
	t->pending_count--;
	return c;
}

bool talk_got_over(const struct talk *t, size_t i)
{
	const struct event *e = &t->events[i];

	if (e->stage == REPLY_AT_HELO)
		return t->helo || t->ehlo;
	if (e->stage == REPLY_AT_AUTH)
		return t->facts & FACT_AUTH_OK;
	if (e->stage == REPLY_AT_QUEUE)
		return t->refused_all > 1 || t->accepted;
	return false;
}

static bool talk_failed(const struct talk *t)
{
	for (size_t i = 0; i < t->event_count; i++)
		if (!talk_got_over(t, i))
			return true;
	return false;
}

/* a new connection: the state begins anew; the first conversation in which something was refused is the one that is told */
static void talk_begin(struct talk *t, struct span banner)
{
	t->conversations++;
	t->banner_seen = true;
	t->pending_count = 0;
	t->in_auth = t->in_data = false;
	t->later = talk_failed(t);
	if (t->later)
		return;
	while (t->event_count)
		buf_clear(&t->events[--t->event_count].text);
	t->refused_all = 0;
	t->accepted = false;
	buf_reset(&t->banner);
	buf_add(&t->banner, span_head(banner, 1024));
	t->ehlo = t->helo = t->auth_ever_offered = t->starttls_ever_offered = false;
	t->facts = FACT_CONNECTED;
	t->rcpt_ok = t->rcpt_bad = 0;
	t->hidden = span_starts(banner, SPAN_LIT("220 ***")) || span_starts(banner, SPAN_LIT("220-***"));
}

static void talk_client(struct talk *t, struct span line)
{
	unsigned stage = talk_line_stage(line);

	t->client_lines++;
	if (t->later)
		return;
	if (t->in_data) {
		if (line.len == 1 && line.ptr[0] == '.') {
			t->in_data = false;
			talk_push(t, REPLY_AT_END, SPAN_LIT("the message"));
		}
		return;
	}
	if (t->in_auth) {
		t->in_auth = false;
		talk_push(t, REPLY_AT_AUTH, SPAN_LIT("AUTH"));
		return;
	}
	if (span_starts_nocase(line, SPAN_LIT("XXX")))
		t->hidden = true;
	if (stage)
		talk_push(t, stage, line);
}

static void talk_offer(struct talk *t, struct span reply)
{
	while (reply.len) {
		struct span line = span_cut(&reply, '\n'), word = span_trim(span_from(line, 4));

		if (span_starts_nocase(word, SPAN_LIT("AUTH")) || span_find_span(line, SPAN_LIT(" AUTH=")) < line.len)
			t->facts |= FACT_AUTH_OFFERED;
		if (span_starts_nocase(word, SPAN_LIT("STARTTLS")))
			t->facts |= FACT_TLS_OFFERED;
		if (span_find_span(word, SPAN_LIT("XXXXXXX")) < word.len)
			t->hidden = true;
	}
	t->auth_ever_offered = t->auth_ever_offered || t->facts & FACT_AUTH_OFFERED;
	t->starttls_ever_offered = t->starttls_ever_offered || t->facts & FACT_TLS_OFFERED;
}

static void talk_refused(struct talk *t, const struct command *c, unsigned code)
{
	struct event *e = &t->events[t->event_count];

	t->refused_all++;
	if (c->stage == REPLY_AT_RCPT)
		t->rcpt_bad++;
	if (t->event_count == EVENTS_MAX)
		return;
	t->event_count++;
	*e = (struct event){.stage = c->stage, .code = code, .facts = t->facts, .command = c->line, .sender = t->sender, .rcpt = t->rcpt};
	buf_init(&e->text, REPLY_BYTES);
	buf_add(&e->text, buf_span(&t->reply));
}

/* what a good reply changes; one setter for the state of the conversation */
static void talk_taken(struct talk *t, const struct command *c, unsigned code)
{
	if (c->stage == REPLY_AT_HELO) {
		t->ehlo = !span_starts_nocase(c->line, SPAN_LIT("HELO"));
		t->helo = !t->ehlo;
		t->facts |= FACT_GREETED;
		talk_offer(t, buf_span(&t->reply));
	} else if (c->stage == REPLY_AT_STARTTLS) {
		t->facts = FACT_CONNECTED | FACT_TLS;
		t->ehlo = t->helo = false;
	} else if (c->stage == REPLY_AT_AUTH) {
		t->in_auth = code / 100 == 3;
		t->facts |= code / 100 == 2 ? FACT_AUTH_OK : 0U;
	} else if (c->stage == REPLY_AT_MAIL) {
		t->facts = (t->facts & ~(unsigned)(FACT_RCPT_OK | FACT_RCPT_NAMED | FACT_CONTENT)) | FACT_SENDER_OK;
		t->sender = c->line;
	} else if (c->stage == REPLY_AT_RCPT) {
		t->rcpt_ok++;
		t->facts |= FACT_RCPT_OK;
	} else if (c->stage == REPLY_AT_DATA) {
		t->in_data = code == 354;
		t->facts |= t->in_data ? FACT_CONTENT : 0U;
	} else if (c->stage == REPLY_AT_END) {
		t->accepted = true;
	}
}

static void talk_reply(struct talk *t)
{
	struct span text = buf_span(&t->reply);
	bool no = span_starts(text, SPAN_LIT("-ERR")) || talk_line_imap_no(text).len,
	     ok = span_starts(text, SPAN_LIT("+OK")) || talk_line_imap_ok(text);
	unsigned code = no ? 599 : ok ? 250 : talk_line_code(text);
	struct command c;

	if (!t->pending_count && code / 100 == 2 && (code == 220 || !t->banner_seen)) {
		talk_begin(t, text);
		return;
	}
	if (t->later)
		return;
	c = talk_pop(t);
	if (!c.stage)
		c.stage = t->banner_seen ? 0 : REPLY_AT_CONNECT | REPLY_AT_BANNER;
	t->banner_seen = true;
	if (c.stage == REPLY_AT_AUTH)
		t->facts |= FACT_AUTH_TRIED;
	if (c.stage == REPLY_AT_RCPT) {
		t->facts |= FACT_RCPT_NAMED;
		t->rcpt = c.line;
	}
	if (code >= 400)
		talk_refused(t, &c, code);
	else
		talk_taken(t, &c, code);
}

static void talk_server(struct talk *t, struct span line)
{
	unsigned code = talk_line_code(line);
	bool pop3 = span_starts(line, SPAN_LIT("-ERR")) || span_starts(line, SPAN_LIT("+OK")) || talk_line_imap_no(line).len ||
		    talk_line_imap_ok(line);

	if (!code && !pop3) {
		if (line.len > 2 && line.ptr[0] == '*' && line.ptr[1] == ' ') { /* IMAP, untagged: a greeting, an offer */
			t->server_lines++;
			t->banner_seen = true;
			talk_offer(t, line);
			return;
		}
		if (t->reply.len) {
			buf_add(&t->reply, line);
			buf_add_byte(&t->reply, '\n');
		}
		return;
	}
	t->server_lines++;
	if (t->reply.len && talk_line_code(buf_span(&t->reply)) != code) /* the last line of the reply before is missing */
		buf_reset(&t->reply);
	buf_add(&t->reply, span_head(line, 1024));
	buf_add_byte(&t->reply, '\n');
	t->reply.overflow = false;
	if (code && line.len > 3 && line.ptr[3] == '-')
		return;
	talk_reply(t);
	buf_reset(&t->reply);
}

/* session: only these lines, and those without any; empty: all */
static void talk_follow(struct talk *t, struct span text, struct span session)
{
	bool marked = false;

	while (text.len) {
		struct talk_line line = talk_line_read(span_cut(&text, '\n'));

		if (session.len && line.session.len && !span_eq(session, line.session))
			continue;
		marked = marked || line.marked;
		if (t->in_data && !line.marked && !marked) /* the message itself */
			line.who = TALK_CLIENT;
		else if (t->in_auth && !line.marked && line.who == TALK_NOTE && line.text.len)
			line.who = TALK_CLIENT;
		if (line.who == TALK_CLIENT) {
			talk_client(t, line.text);
		} else if (line.who == TALK_SERVER) {
			talk_server(t, line.text);
		} else if (line.text.len && t->notes.len + line.text.len + 1 < NOTES_BYTES) {
			buf_add(&t->notes, line.text);
			buf_add_byte(&t->notes, '\n');
		}
	}
}

static void talk_clear(struct talk *t)
{
	for (size_t i = 0; i < t->event_count; i++)
		buf_clear(&t->events[i].text);
	buf_clear(&t->reply);
	buf_clear(&t->notes);
	buf_clear(&t->banner);
}

static void talk_run(struct talk *t, struct span text, struct span session)
{
	*t = (struct talk){.facts = 0};
	buf_init(&t->reply, REPLY_BYTES);
	buf_init(&t->notes, NOTES_BYTES);
	buf_init(&t->banner, 1024);
	talk_follow(t, text, session);
}

static bool talk_is_one(const struct talk *t)
{
	return t->client_lines > 0 && t->server_lines > 0 && t->client_lines + t->server_lines > LINES_AT_LEAST;
}

/* the names of the conversations that are written into one log, in order of their beginning */
static size_t talk_sessions(struct span text, struct span *sessions_out)
{
	size_t count = 0, at;

	while (text.len && count < SESSIONS_MAX) {
		struct talk_line line = talk_line_read(span_cut(&text, '\n'));

		if (!line.session.len || line.who == TALK_NOTE)
			continue;
		for (at = 0; at < count && !span_eq(sessions_out[at], line.session);)
			at++;
		if (at == count)
			sessions_out[count++] = line.session;
	}
	return count;
}

/* of several the first in which something was refused */
static bool talk_read_sessions(struct talk *t, struct span text, const struct span *sessions, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		talk_run(t, text, sessions[i]);
		if (talk_is_one(t) && talk_failed(t)) {
			t->conversations += count - 1;
			return true;
		}
		talk_clear(t);
	}
	return false;
}

bool talk_read(struct span text, struct finding *out)
{
	struct span sessions[SESSIONS_MAX];
	size_t count = talk_sessions(text, sessions);
	struct talk t;
	bool is = count > 1 && talk_read_sessions(&t, text, sessions, count);

	if (!is) {
		talk_run(&t, text, SPAN_NONE);
		is = talk_is_one(&t);
	}
	if (is)
		talk_judge(&t, out);
	talk_clear(&t);
	return is;
}
