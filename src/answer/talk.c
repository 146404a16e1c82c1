/* talk - follows one or more conversations in a protocol log. The rules of order are those of the server's engine (smtp_in.h); it cannot be
 * run here, since what it would answer is not what was answered: here the replies are given, and the question is which of them came first.
 */
#include "answer/finding.h"
#include "answer/mask.h"
#include "answer/talk_line.h"

enum {
	PENDING_MAX = 64,   /* commands that wait for their reply */
	EVENTS_MAX = 24,    /* refusals of one conversation that are kept */
	REPLY_BYTES = 8192, /* of one reply */
	NOTES_BYTES = 4096,
	LINES_AT_LEAST = 2,
	SHOWN_BYTES = 200, /* of a line in a step */
};

struct command {
	unsigned stage;
	struct span line;
};

struct event {
	unsigned stage, code;
	struct span command;
	struct buf text;
};

struct talk {
	struct command pending[PENDING_MAX];
	size_t pending_at, pending_count;
	struct event events[EVENTS_MAX];
	size_t event_count;
	struct buf reply, notes, banner;
	bool banner_seen, ehlo, helo, ehlo_refused, auth_offered, auth_ever_offered, starttls_offered, starttls_ever_offered, tls,
		auth_tried, auth_ok, quit, accepted;
	bool in_auth, in_data, hidden; /* hidden: a firewall overwrote the banner or commands */
	size_t client_lines, server_lines, rcpt_ok, rcpt_bad, conversations, refused_all;
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

/* a new connection: the state begins anew; the first conversation in which something was refused is the one that is told */
static void talk_begin(struct talk *t, struct span banner)
{
	t->conversations++;
	t->banner_seen = true;
	t->pending_count = 0;
	t->in_auth = t->in_data = false;
	if (t->event_count)
		return;
	buf_reset(&t->banner);
	buf_add(&t->banner, span_head(banner, 1024));
	t->ehlo = t->helo = t->auth_offered = t->auth_ever_offered = t->starttls_offered = t->starttls_ever_offered = t->tls =
		t->auth_tried = t->auth_ok = false;
	t->rcpt_ok = t->rcpt_bad = 0;
	t->hidden = span_starts(banner, SPAN_LIT("220 ***")) || span_starts(banner, SPAN_LIT("220-***"));
}

static void talk_client(struct talk *t, struct span line)
{
	unsigned stage = talk_line_stage(line);

	t->client_lines++;
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

		if (span_starts_nocase(word, SPAN_LIT("AUTH")))
			t->auth_offered = t->auth_ever_offered = true;
		if (span_starts_nocase(word, SPAN_LIT("STARTTLS")))
			t->starttls_offered = t->starttls_ever_offered = true;
		if (span_find_span(word, SPAN_LIT("XXXXXXX")) < word.len)
			t->hidden = true;
	}
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
	*e = (struct event){.stage = c->stage, .code = code, .command = c->line};
	buf_init(&e->text, REPLY_BYTES);
	buf_add(&e->text, buf_span(&t->reply));
}

/* what a good reply changes; one setter for the state of the conversation */
static void talk_taken(struct talk *t, const struct command *c, unsigned code)
{
	if (c->stage == REPLY_AT_HELO) {
		t->ehlo = span_starts_nocase(c->line, SPAN_LIT("EHLO")) || span_starts_nocase(c->line, SPAN_LIT("LHLO"));
		t->helo = !t->ehlo;
		talk_offer(t, buf_span(&t->reply));
	} else if (c->stage == REPLY_AT_STARTTLS) {
		t->tls = true;
		t->ehlo = t->helo = t->auth_offered = t->starttls_offered = false;
	} else if (c->stage == REPLY_AT_AUTH) {
		t->in_auth = code / 100 == 3;
		t->auth_ok = t->auth_ok || code / 100 == 2;
	} else if (c->stage == REPLY_AT_RCPT) {
		t->rcpt_ok++;
	} else if (c->stage == REPLY_AT_DATA) {
		t->in_data = code == 354;
	} else if (c->stage == REPLY_AT_END) {
		t->accepted = true;
	}
}

static void talk_reply(struct talk *t)
{
	struct span text = buf_span(&t->reply);
	unsigned code = span_starts(text, SPAN_LIT("-ERR")) ? 599 : span_starts(text, SPAN_LIT("+OK")) ? 250 : talk_line_code(text);
	struct command c;

	if (!t->pending_count && code / 100 == 2 && (code == 220 || !t->banner_seen)) {
		talk_begin(t, text);
		return;
	}
	c = talk_pop(t);
	if (!c.stage)
		c.stage = t->banner_seen ? 0 : REPLY_AT_CONNECT | REPLY_AT_BANNER;
	t->banner_seen = true;
	if (c.stage == REPLY_AT_AUTH)
		t->auth_tried = true;
	if (code >= 400)
		talk_refused(t, &c, code);
	else
		talk_taken(t, &c, code);
}

static void talk_server(struct talk *t, struct span line)
{
	unsigned code = talk_line_code(line);
	bool pop3 = span_starts(line, SPAN_LIT("-ERR")) || span_starts(line, SPAN_LIT("+OK"));

	if (!code && !pop3) {
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

static void talk_follow(struct talk *t, struct span text)
{
	bool marked = false;

	while (text.len) {
		struct talk_line line = talk_line_read(span_cut(&text, '\n'));

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

/* a refusal that the conversation got over, or that the program caused on purpose */
static bool talk_got_over(const struct talk *t, size_t i)
{
	const struct event *e = &t->events[i];

	if (e->stage == REPLY_AT_HELO)
		return t->helo || t->ehlo;
	if (e->stage == REPLY_AT_AUTH)
		return t->auth_ok;
	if (e->stage == REPLY_AT_QUEUE)
		return t->refused_all > 1 || t->accepted;
	return false;
}

static const char *talk_show(struct buf *scratch, struct span line)
{
	line = span_head(line, span_find(line, '\n'));
	buf_reset(scratch);
	mask_line(scratch, line, SHOWN_BYTES);
	return buf_cstr(scratch);
}

static void talk_step(struct finding *f, const struct event *e, const char *why)
{
	struct buf command, reply;

	buf_init(&command, 2048);
	buf_init(&reply, 2048);
	finding_step(f, "%s was refused%s: %s", e->command.len ? talk_show(&command, e->command) : "The connection", why,
		     talk_show(&reply, buf_span(&e->text)));
	buf_clear(&command);
	buf_clear(&reply);
}

static bool talk_is_about_sign_in(const struct explanation *e)
{
	for (size_t i = 0; i < e->count && i < 2; i++)
		if (e->found[i].cause == CAUSE_RELAY_DENIED_UNAUTH || e->found[i].cause == CAUSE_AUTH_REQUIRED ||
		    e->found[i].cause == CAUSE_POP_BEFORE_SMTP)
			return true;
	return false;
}

/* Why was there no sign-in? What the server offered, and what the program made of it. Returns whether it could not sign in at all. */
static bool talk_why_no_sign_in(const struct talk *t, struct finding *f)
{
	if (t->hidden) {
		finding_step(f, "Something between the program and the server (a firewall's mail inspection, a virus scanner) overwrote "
				"what the server offers.");
		return true;
	}
	if (t->helo && !t->ehlo) {
		finding_step(f, "The program greeted with HELO, to which a server offers no sign-in; it has to be EHLO.");
		return true;
	}
	if (t->starttls_ever_offered && !t->tls) {
		finding_step(f, "STARTTLS was offered and the program did not use it; so the connection stayed open to all.");
		finding_step(f, "Without STARTTLS the server offered no AUTH.");
		return true;
	}
	if (t->tls && !t->ehlo) {
		finding_step(f, "After STARTTLS the program did not say EHLO again, so nothing was offered to it.");
		return true;
	}
	finding_step(f, "The server offered no AUTH on this connection; sign-in is on another port (587 or 465).");
	return false;
}

static void talk_judge_sign_in(const struct talk *t, const struct event *root, struct finding *f)
{
	bool offered = t->auth_ever_offered;

	if (root->stage == REPLY_AT_AUTH && !offered && (t->ehlo || t->helo || t->tls) &&
	    (root->code == 500 || root->code == 502 || root->code == 503 || root->code == 504)) {
		(void)talk_why_no_sign_in(t, f);
		finding_promote(f, CAUSE_AUTH_NOT_ADVERTISED, 0.9);
		return;
	}
	if (root->stage == REPLY_AT_AUTH || !talk_is_about_sign_in(&f->e) || t->auth_ok)
		return;
	if (!offered) {
		if (talk_why_no_sign_in(t, f))
			finding_promote(f, t->hidden ? CAUSE_TLS_NOT_OFFERED : CAUSE_AUTH_NOT_ADVERTISED, t->hidden ? 0.6 : 0.75);
		else if (f->e.found[0].cause == CAUSE_RCPT_NONE_ACCEPTED)
			finding_promote(f, CAUSE_AUTH_REQUIRED, 0.7);
	} else if (!t->auth_tried) {
		finding_step(f, "The server offered AUTH, and the program did not sign in.");
		if (f->e.undecided || f->e.found[0].confidence < 0.85)
			finding_promote(f,
					f->e.found[0].cause == CAUSE_RELAY_DENIED_UNAUTH ? CAUSE_RELAY_DENIED_UNAUTH : CAUSE_AUTH_REQUIRED,
					0.88);
	}
}

static void talk_judge_notes(struct talk *t, struct finding *f)
{
	if (t->notes.len) {
		explain_text(buf_span(&t->notes), &f->e);
		finding_evidence(f, span_head(buf_span(&t->notes), span_find(buf_span(&t->notes), '\n')));
		f->speaker = SPEAKER_PROGRAM;
	}
	if (!f->e.count && t->pending_count && !t->quit) {
		struct command last = t->pending[(t->pending_at + t->pending_count - 1) % PENDING_MAX];
		struct buf shown;

		buf_init(&shown, 2048);
		finding_step(f, "No reply came to %s.", talk_show(&shown, last.line));
		buf_clear(&shown);
		finding_promote(f, CAUSE_TIMEOUT, 0.5);
	}
}

static void talk_judge(struct talk *t, struct finding *f)
{
	struct explain_context context = {0, EXPLAIN_NO_EMITTER};
	struct explanation banner;
	size_t i = 0;

	f->form = FORM_TRANSCRIPT;
	explain_text(buf_span(&t->banner), &banner);
	if (banner.emitter >= 0)
		context.emitter = banner.emitter;
	while (i < t->event_count && talk_got_over(t, i))
		i++;
	if (i == t->event_count) {
		talk_judge_notes(t, f);
		return;
	}
	context.stage = t->events[i].stage;
	explain_text_in(buf_span(&t->events[i].text), &context, &f->e);
	finding_evidence(f, span_head(buf_span(&t->events[i].text), span_find(buf_span(&t->events[i].text), '\n')));
	finding_speaker(f);
	if (t->hidden)
		f->speaker = SPEAKER_MIDDLEBOX;
	for (size_t k = 0; k < i; k++)
		talk_step(f, &t->events[k], ", which the program got over");
	talk_judge_sign_in(t, &t->events[i], f);
	talk_step(f, &t->events[i], "");
	for (i++; i < t->event_count; i++)
		if (!talk_got_over(t, i))
			talk_step(f, &t->events[i],
				  t->events[i].stage == REPLY_AT_DATA && !t->rcpt_ok ? ", since no recipient was accepted" : " too");
	f->more = t->conversations > 1 ? t->conversations - 1 : 0;
}

bool talk_read(struct span text, struct finding *out)
{
	struct talk t = {0};
	bool is;

	buf_init(&t.reply, REPLY_BYTES);
	buf_init(&t.notes, NOTES_BYTES);
	buf_init(&t.banner, 1024);
	talk_follow(&t, text);
	is = t.client_lines > 0 && t.server_lines > 0 && t.client_lines + t.server_lines > LINES_AT_LEAST;
	if (is)
		talk_judge(&t, out);
	for (size_t i = 0; i < t.event_count; i++)
		buf_clear(&t.events[i].text);
	buf_clear(&t.reply);
	buf_clear(&t.notes);
	buf_clear(&t.banner);
	return is;
}
