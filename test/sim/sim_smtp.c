/* SMTP clients as real mail servers are: they repeat what was not acknowledged, from the same address, until every recipient has an answer for good. They
 * send commands one by one or in bulk, DATA or BDAT, cut themselves off, lose patience. Every reply is held against the grammar of RFC 5321 4.2. */
#include <stdarg.h>
#include <stdio.h>

#include "base/limits.h"
#include "sim.h"

enum { TALK_EXPECT_MAX = 32, TALK_MAILS_MAX = 5, TALK_PATIENCE_S = 200 };
enum talk_said { SAID_NOTHING, SAID_EHLO, SAID_MAIL, SAID_RCPT, SAID_DATA, SAID_TEXT, SAID_CHUNK, SAID_RSET, SAID_QUIT };

struct talk {
	unsigned sender;
	struct sim_conn *conn;
	struct sim_mail *mail;       /* NULL: none in hand */
	struct buf in;
	struct {
		enum talk_said said;
		unsigned rcpt;
	} expect[TALK_EXPECT_MAX];
	unsigned expect_at, expect_count, mails_left, code_before, next_rcpt;
	unsigned accepted;           /* bits of mail->rcpts */
	bool pipelining, chunking;   /* offered */
	bool mail_ok, bulk, bdat, cut, closing, over, chunk_failed, rset_due;
	uint64_t progress, progress_seen;
};

static struct {
	struct talk *talks[16];
	unsigned count;
} senders;

static void talk_next(struct talk *t);

bool sim_line_take(struct buf *in, char *line_out, size_t line_size)
{
	struct span all = buf_span(in);
	size_t end = span_find(all, '\n');

	if (end >= all.len) {
		if (all.len >= line_size)
			sim_fail("a reply line of more than %zu bytes", all.len);
		return false;
	}
	if (end == 0 || all.ptr[end - 1] != '\r' || end + 1 > line_size) {
		sim_fail("a reply line of %zu bytes that does not end with CRLF", end);
		return false;
	}
	memcpy(line_out, all.ptr, end - 1);
	line_out[end - 1] = '\0';
	buf_drop(in, end + 1);
	return true;
}

/* ---- saying */

static void talk_expect(struct talk *t, enum talk_said said, unsigned rcpt)
{
	unsigned at = (t->expect_at + t->expect_count) % TALK_EXPECT_MAX;

	t->expect[at].said = said;
	t->expect[at].rcpt = rcpt;
	t->expect_count++;
}

static void talk_say(struct talk *t, enum talk_said said, unsigned rcpt, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static void talk_say(struct talk *t, enum talk_said said, unsigned rcpt, const char *fmt, ...)
{
	char line[400];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	sim_trace("s%u: C: %.*s", t->sender, n - 2, line);
	talk_expect(t, said, rcpt);
	sim_conn_send(t->conn, span_of(line, (size_t)n));
}

/* ---- the end of a mail's attempt, of a talk */

static void talk_mail_over(struct talk *t)
{
	struct sim_mail *m = t->mail;

	if (!m)
		return;
	m->busy = false;
	m->next_try_us = sim.now_us + sim_between(200 * SIM_MS, (sim.healed ? 5 : 30) * (uint64_t)SIM_SECOND);
	t->mail = NULL;
}

static void talk_end(struct talk *t, const char *why)
{
	if (t->over)
		return;
	sim_trace("s%u: over: %s", t->sender, why);
	t->over = true;
	talk_mail_over(t);
	buf_clear(&t->in);
	senders.talks[t->sender] = NULL;
}

static void talk_leave(struct talk *t, const char *why)
{
	if (!sim.healed && sim_chance(sim.plan.vanish))
		sim_conn_vanish(t->conn);
	else
		sim_conn_reset(t->conn);
	talk_end(t, why);
}

static void talk_cut_off(struct talk *t)
{
	if (sim_chance(400)) {
		sim_trace("s%u: half closes inside its mail", t->sender);
		t->closing = true;
		talk_mail_over(t);
		sim_conn_shutdown(t->conn);
		return;
	}
	talk_leave(t, "cut itself off");
}

/* ---- the text */

static void talk_mark_sent(struct talk *t, unsigned rcpts)
{
	for (unsigned i = 0; i < t->mail->rcpt_count; i++)
		if (rcpts & 1u << i)
			sim_mail_sent(t->mail, i);
}

/* recipients of this attempt that were accepted or not answered yet */
static unsigned talk_hopeful(const struct talk *t)
{
	unsigned bits = t->accepted;

	for (unsigned i = 0; i < t->expect_count; i++) {
		unsigned at = (t->expect_at + i) % TALK_EXPECT_MAX;

		if (t->expect[at].said == SAID_RCPT)
			bits |= 1u << t->expect[at].rcpt;
	}
	return bits;
}

static void talk_stuff(struct buf *out, struct span text)
{
	bool line_start = true;

	for (size_t i = 0; i < text.len; i++) {
		if (line_start && text.ptr[i] == '.')
			buf_add_byte(out, '.');
		buf_add_byte(out, text.ptr[i]);
		line_start = text.ptr[i] == '\n';
	}
}

static void talk_text(struct talk *t)
{
	struct buf out;

	buf_init(&out, 1 << 20);
	talk_stuff(&out, t->mail->text);
	if (t->cut) {
		sim_conn_send(t->conn, span_head(buf_span(&out), sim_below(out.len)));
		buf_clear(&out);
		talk_cut_off(t);
		return;
	}
	buf_add_str(&out, ".\r\n");
	talk_mark_sent(t, talk_hopeful(t));
	talk_expect(t, SAID_TEXT, 0);
	sim_trace("s%u: C: %zu bytes of mail %u", t->sender, out.len, t->mail->number);
	sim_conn_send(t->conn, buf_span(&out));
	buf_clear(&out);
}

static void talk_chunks(struct talk *t)
{
	struct span rest = t->mail->text;

	while (!t->over && !t->closing) {
		size_t n = sim_chance(500) ? rest.len : sim_below(rest.len + 1);
		bool last = n == rest.len;

		if (t->expect_count + 4 > TALK_EXPECT_MAX) {
			n = rest.len;
			last = true;
		}
		if (last && !t->cut)
			talk_mark_sent(t, talk_hopeful(t));
		talk_say(t, last ? SAID_TEXT : SAID_CHUNK, 0, last ? "BDAT %zu LAST\r\n" : "BDAT %zu\r\n", n);
		if (t->cut && (last || sim_chance(300))) {
			sim_conn_send(t->conn, span_head(rest, n ? sim_below(n) : 0));
			if (n == 0 && last) /* that was all of it */
				talk_mark_sent(t, talk_hopeful(t));
			talk_cut_off(t);
			return;
		}
		sim_conn_send(t->conn, span_head(rest, n));
		rest = span_from(rest, n);
		if (last)
			return;
	}
}

/* ---- a transaction */

static void talk_say_rcpt(struct talk *t)
{
	unsigned i = t->next_rcpt++;

	talk_say(t, SAID_RCPT, i, "RCPT TO:<%s>\r\n", sim_addresses[t->mail->rcpts[i]].text);
}

static bool talk_more_rcpts(struct talk *t)
{
	while (t->next_rcpt < t->mail->rcpt_count && t->mail->state[t->next_rcpt] != SIM_RCPT_PENDING)
		t->next_rcpt++;
	return t->next_rcpt < t->mail->rcpt_count;
}

static void talk_say_body(struct talk *t)
{
	if (t->bdat)
		talk_chunks(t);
	else
		talk_say(t, SAID_DATA, 0, "DATA\r\n");
}

static void talk_begin(struct talk *t, struct sim_mail *m)
{
	t->mail = m;
	m->busy = true;
	t->accepted = t->next_rcpt = 0;
	t->mail_ok = t->chunk_failed = false;
	t->bulk = t->pipelining && sim_chance(600);
	t->bdat = t->chunking && sim_chance(400);
	t->cut = !sim.healed && sim_chance(sim.plan.cut);
	t->mails_left--;
	talk_say(t, SAID_MAIL, 0, sim_chance(500) ? "MAIL FROM:<s%u@elsewhere.example> SIZE=%zu\r\n" : "MAIL FROM:<s%u@elsewhere.example>\r\n", t->sender,
		m->text.len);
	if (!t->bulk)
		return;
	while (talk_more_rcpts(t))
		talk_say_rcpt(t);
	talk_say_body(t);
}

/* nothing of this transaction is under way any more */
static void talk_next(struct talk *t)
{
	struct sim_mail *m;

	if (t->over || t->closing || t->expect_count)
		return;
	if (t->rset_due) {
		t->rset_due = false;
		talk_say(t, SAID_RSET, 0, "RSET\r\n");
		return;
	}
	m = t->mails_left ? sim_mail_of(t->sender, true) : NULL;
	if (m)
		talk_begin(t, m);
	else
		talk_say(t, SAID_QUIT, 0, "QUIT\r\n");
}

static void talk_give_up_mail(struct talk *t)
{
	talk_mail_over(t);
	t->rset_due = true;
	talk_next(t);
}

/* ---- hearing */

static void talk_on_rcpt(struct talk *t, unsigned rcpt, unsigned code, const char *line)
{
	bool exists;

	if (!t->mail)
		return;
	exists = sim_addresses[t->mail->rcpts[rcpt]].boxes != 0;
	if (code / 100 == 2) {
		if (!exists)
			sim_fail("a recipient that does not exist is taken: %s", line);
		t->accepted |= 1u << rcpt;
	} else if (code / 100 == 5 && t->mail_ok) {
		if (exists)
			sim_fail("s%u: a recipient that exists is refused for good: %s", t->sender, line);
		t->mail->state[rcpt] = SIM_RCPT_BOUNCED;
	}
	if (t->bulk)
		return;
	if (talk_more_rcpts(t))
		talk_say_rcpt(t);
	else if (t->accepted)
		talk_say_body(t);
	else
		talk_give_up_mail(t);
}

static void talk_on_mail(struct talk *t, unsigned code, const char *line)
{
	t->mail_ok = code / 100 == 2;
	if (code / 100 == 5)
		sim_fail("s%u: MAIL is refused for good: %s", t->sender, line);
	if (t->bulk)
		return;
	if (t->mail_ok && talk_more_rcpts(t))
		talk_say_rcpt(t);
	else
		talk_give_up_mail(t);
}

static void talk_on_data(struct talk *t, unsigned code, const char *line)
{
	if (code == 354 && t->accepted) {
		talk_text(t);
	} else if (code == 354) {
		sim_fail("s%u: DATA without a recipient is welcome: %s", t->sender, line);
	} else {
		if (code / 100 == 5 && t->accepted)
			sim_fail("s%u: DATA is refused for good: %s", t->sender, line);
		talk_give_up_mail(t);
	}
}

static void talk_on_text(struct talk *t, unsigned code, const char *line)
{
	if (code / 100 == 2 && !t->accepted)
		sim_fail("s%u: a text without a recipient is taken: %s", t->sender, line);
	if (code / 100 == 5 && t->accepted && !t->chunk_failed)
		sim_fail("s%u: a mail is refused for good: %s", t->sender, line);
	for (unsigned i = 0; code / 100 == 2 && i < t->mail->rcpt_count; i++)
		if (t->accepted & 1u << i)
			sim_mail_acked(t->mail, i);
	t->rset_due = code / 100 != 2;
	talk_mail_over(t);
	talk_next(t);
}

static void talk_on_ehlo(struct talk *t, unsigned code)
{
	if (code / 100 == 2)
		talk_next(t);
	else
		talk_leave(t, "EHLO was refused");
}

static void talk_on_reply(struct talk *t, unsigned code, const char *line)
{
	unsigned rcpt = t->expect[t->expect_at].rcpt;
	enum talk_said said = t->expect[t->expect_at].said;

	t->progress++;
	if (code == 421) { /* may come at any time */
		t->closing = true;
		return;
	}
	if (!t->expect_count) {
		sim_fail("s%u: a reply to nothing: %s", t->sender, line);
		return;
	}
	t->expect_at = (t->expect_at + 1) % TALK_EXPECT_MAX;
	t->expect_count--;
	switch (said) {
	case SAID_NOTHING:
		if (code == 220)
			talk_say(t, SAID_EHLO, 0, "EHLO s%u.elsewhere.example\r\n", t->sender);
		else
			sim_fail("s%u: a greeting that is none: %s", t->sender, line);
		break;
	case SAID_EHLO:
		talk_on_ehlo(t, code);
		break;
	case SAID_MAIL:
		talk_on_mail(t, code, line);
		break;
	case SAID_RCPT:
		talk_on_rcpt(t, rcpt, code, line);
		break;
	case SAID_DATA:
		talk_on_data(t, code, line);
		break;
	case SAID_TEXT:
		talk_on_text(t, code, line);
		break;
	case SAID_CHUNK:
		t->chunk_failed |= code / 100 != 2;
		if (code / 100 == 5 && t->accepted && t->mail_ok)
			sim_fail("s%u: a chunk is refused for good: %s", t->sender, line);
		break;
	case SAID_RSET:
		if (code != 250)
			sim_fail("s%u: RSET is refused: %s", t->sender, line);
		talk_next(t);
		break;
	case SAID_QUIT:
		t->closing = true;
		break;
	}
}

/* "250-text" or "250 text"; all lines of one reply have one code */
static void talk_on_line(struct talk *t, const char *line)
{
	struct span s = span_str(line);
	unsigned code = 0;
	bool last;

	for (size_t i = 0; i < 3 && i < s.len && byte_is_digit(s.ptr[i]); i++)
		code = code * 10 + (unsigned)(s.ptr[i] - '0');
	last = s.len == 3 || (s.len > 3 && s.ptr[3] == ' ');
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] < 0x20 || s.ptr[i] > 0x7e)
			code = 0;
	if (code < 200 || code > 599 || (!last && (s.len < 4 || s.ptr[3] != '-')) || (t->code_before && t->code_before != code)) {
		sim_fail("s%u: not a reply: %s", t->sender, line);
		return;
	}
	sim_trace("s%u: S: %s", t->sender, line);
	t->code_before = last ? 0 : code;
	if (t->expect_count && t->expect[t->expect_at].said == SAID_EHLO && s.len > 4) {
		t->pipelining |= span_eq(span_from(s, 4), SPAN_LIT("PIPELINING"));
		t->chunking |= span_eq(span_from(s, 4), SPAN_LIT("CHUNKING"));
	}
	if (last)
		talk_on_reply(t, code, line);
}

static void talk_on_bytes(void *arg, struct span bytes)
{
	struct talk *t = arg;
	char line[LIMIT_SMTP_REPLY_LINE_BYTES];

	if (t->over)
		return;
	buf_add(&t->in, bytes);
	while (!t->over && !sim.failed && sim_line_take(&t->in, line, sizeof(line)))
		talk_on_line(t, line);
}

static void talk_on_closed(void *arg, bool reset)
{
	talk_end(arg, reset ? "reset" : "closed");
}

static void talk_on_patience(void *arg)
{
	struct talk *t = arg;
	uint64_t wait = TALK_PATIENCE_S * (uint64_t)SIM_SECOND;

	if (t->over)
		return;
	if (t->progress == t->progress_seen) {
		talk_leave(t, "no patience left");
		return;
	}
	t->progress_seen = t->progress;
	if (!sim.healed && sim_chance(sim.plan.impatient))
		wait = sim_below(10 * SIM_SECOND);
	sim_at(sim.now_us + wait, talk_on_patience, t);
}

/* ---- senders */

static void sender_wake(void *arg)
{
	static const struct sim_client_ops ops = {.on_bytes = talk_on_bytes, .on_closed = talk_on_closed};
	unsigned sender = *(const unsigned *)arg;
	char peer[24];
	struct talk *t;

	sim_at(sim.now_us + sim_between(100 * SIM_MS, 2 * SIM_SECOND), sender_wake, arg);
	if (senders.talks[sender] || !sim_mail_of(sender, true))
		return;
	t = sim_zalloc(sizeof(*t));
	*t = (struct talk){.sender = sender, .mails_left = 1 + (unsigned)sim_below(TALK_MAILS_MAX), .progress = 1};
	buf_init(&t->in, 16 << 10);
	senders.talks[sender] = t;
	(void)snprintf(peer, sizeof(peer), "192.0.2.%u", sender + 1);
	talk_expect(t, SAID_NOTHING, 0);
	t->conn = sim_connect(ROLE_MX, 0, peer, sender + 1, &ops, t);
	sim_trace("s%u: connects", sender);
	talk_on_patience(t);
}

bool sim_smtp_idle(void)
{
	for (unsigned i = 0; i < senders.count; i++)
		if (senders.talks[i])
			return false;
	return true;
}

void sim_smtp_begin(void)
{
	senders.count = sim.plan.senders;
	for (unsigned i = 0; i < senders.count; i++) {
		unsigned *number = sim_zalloc(sizeof(*number));

		*number = i;
		senders.talks[i] = NULL;
		sim_at(sim.now_us + sim_below(SIM_SECOND), sender_wake, number);
	}
	for (unsigned i = 0; i < sim.plan.mails; i++)
		(void)sim_mail_new((unsigned)sim_below(senders.count), sim.now_us + sim_below(sim.plan.active_us));
}

void sim_smtp_end(void)
{
	for (unsigned i = 0; i < senders.count; i++)
		if (senders.talks[i])
			buf_clear(&senders.talks[i]->in);
}
