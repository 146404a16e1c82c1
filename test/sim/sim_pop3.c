/* POP3 clients, one a mailbox: read everything, check it, delete some, QUIT; or leave in the middle, and then nothing may be deleted. A deletion counts as
 * done when QUIT was answered with +OK, as in doubt from the moment QUIT was sent. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/num.h"
#include "sim.h"

enum { READER_PATIENCE_S = 200, READER_LINE_BYTES = 4096, READER_TEXT_BYTES = 256 << 10 };
enum reader_step { STEP_GREETING, STEP_USER, STEP_PASS, STEP_STAT, STEP_UIDL, STEP_RETR, STEP_DELE, STEP_QUIT };

struct reader {
	unsigned box;
	struct sim_conn *conn;
	struct buf in, text;
	enum reader_step step;
	bool multi, over, quitting;
	uint64_t signin_us, progress, progress_seen;
	unsigned count, at;          /* messages of this session, the one in hand (from 1) */
	unsigned lines;              /* of UIDL */
	struct sim_mail *mails[SIM_MAILS_MAX];
	bool dele[SIM_MAILS_MAX];
};

static struct {
	struct reader *now[SIM_MAILBOXES];
	unsigned boxes[SIM_MAILBOXES];
} readers;

static void reader_end(struct reader *r, const char *why)
{
	if (r->over)
		return;
	sim_trace("p%u: over: %s", r->box, why);
	r->over = true;
	buf_clear(&r->in);
	buf_clear(&r->text);
	readers.now[r->box] = NULL;
}

static void reader_leave(struct reader *r, const char *why)
{
	if (!sim.healed && sim_chance(sim.plan.vanish))
		sim_conn_vanish(r->conn);
	else
		sim_conn_reset(r->conn);
	reader_end(r, why);
}

static void reader_say(struct reader *r, enum reader_step step, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void reader_say(struct reader *r, enum reader_step step, const char *fmt, ...)
{
	char line[200];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	sim_trace("p%u: C: %.*s", r->box, n - 2, line);
	r->step = step;
	sim_conn_send(r->conn, span_of(line, (size_t)n));
}

/* ---- what a session does, step after step */

static void reader_quit(struct reader *r)
{
	for (unsigned i = 1; i <= r->count && sim_conn_open(r->conn); i++)
		if (r->dele[i])
			r->mails[i]->box[r->box].doubt = true;
	reader_say(r, STEP_QUIT, "QUIT\r\n");
}

static void reader_dele(struct reader *r)
{
	while (++r->at <= r->count)
		if (sim_chance(300)) {
			reader_say(r, STEP_DELE, "DELE %u\r\n", r->at);
			return;
		}
	if (!sim.healed && sim_chance(100))
		reader_leave(r, "leaves without QUIT");
	else
		reader_quit(r);
}

/* everything is read: what was acknowledged before the sign-in has to be among it, and nothing twice */
static void reader_check(struct reader *r)
{
	bool seen[SIM_MAILS_MAX] = {false};
	struct sim_mail *m;

	for (unsigned i = 1; i <= r->count; i++) {
		if (seen[r->mails[i]->number])
			sim_fail("p%u: mail %u is there twice", r->box, r->mails[i]->number);
		seen[r->mails[i]->number] = true;
	}
	for (unsigned n = 0; (m = sim_mail_number(n)); n++) {
		bool due = m->box[r->box].acked && m->box[r->box].acked_us < r->signin_us && !m->box[r->box].doubt && !m->box[r->box].deleted;

		if (due && !seen[n])
			sim_fail("p%u: mail %u was acknowledged and is not shown", r->box, n);
	}
}

static void reader_retr(struct reader *r)
{
	if (++r->at <= r->count) {
		buf_reset(&r->text);
		reader_say(r, STEP_RETR, "RETR %u\r\n", r->at);
		return;
	}
	reader_check(r);
	r->at = 0;
	reader_dele(r);
}

static void reader_on_ok(struct reader *r, struct span rest)
{
	uint64_t n = 0;

	switch (r->step) {
	case STEP_GREETING:
		reader_say(r, STEP_USER, "USER %s\r\n", sim_mailboxes[r->box]);
		break;
	case STEP_USER:
		r->signin_us = sim.now_us;
		reader_say(r, STEP_PASS, "PASS secret\r\n");
		break;
	case STEP_PASS:
		reader_say(r, STEP_STAT, "STAT\r\n");
		break;
	case STEP_STAT:
		if (num_parse(span_cut(&rest, ' '), SIM_MAILS_MAX - 1, &n) != RC_OK)
			sim_fail("p%u: an answer to STAT without a number", r->box);
		r->count = (unsigned)n;
		reader_say(r, STEP_UIDL, "UIDL\r\n");
		break;
	case STEP_UIDL:
	case STEP_RETR:
		r->multi = true;
		break;
	case STEP_DELE:
		r->dele[r->at] = true;
		reader_dele(r);
		break;
	case STEP_QUIT:
		for (unsigned i = 1; i <= r->count; i++)
			if (r->dele[i]) {
				r->mails[i]->box[r->box].doubt = false;
				r->mails[i]->box[r->box].deleted = true;
			}
		r->quitting = true;
		break;
	}
}

static void reader_on_err(struct reader *r)
{
	/* the server may say so at any time: the store went away. Some other time, then; nothing was deleted that is not in doubt */
	if (r->step == STEP_QUIT || r->step == STEP_GREETING)
		r->quitting = true;
	else
		reader_say(r, STEP_QUIT, "QUIT\r\n");
}

static void reader_on_text(struct reader *r, const char *line)
{
	struct span s = span_str(line);

	if (span_eq(s, SPAN_LIT("."))) {
		r->multi = false;
		if (r->step == STEP_UIDL) {
			if (r->lines != r->count)
				sim_fail("p%u: UIDL has %u lines, STAT said %u", r->box, r->lines, r->count);
			reader_retr(r);
			return;
		}
		r->mails[r->at] = sim_mail_read(r->box, buf_span(&r->text));
		if (r->mails[r->at])
			reader_retr(r);
		return;
	}
	r->lines += r->step == STEP_UIDL;
	if (r->step != STEP_RETR)
		return;
	buf_add(&r->text, s.len && s.ptr[0] == '.' ? span_from(s, 1) : s);
	buf_add_str(&r->text, "\r\n");
}

static void reader_on_line(struct reader *r, const char *line)
{
	struct span s = span_str(line);

	if (r->multi) {
		reader_on_text(r, line);
		return;
	}
	r->progress++;
	sim_trace("p%u: S: %s", r->box, line);
	if (s.len > 510)
		sim_fail("p%u: a reply of %zu bytes", r->box, s.len);
	if (r->quitting)
		sim_fail("p%u: a reply to nothing: %s", r->box, line);
	else if (span_starts(s, SPAN_LIT("+OK")))
		reader_on_ok(r, span_from(s, 4));
	else if (span_starts(s, SPAN_LIT("-ERR")))
		reader_on_err(r);
	else
		sim_fail("p%u: not a reply: %s", r->box, line);
}

static void reader_on_bytes(void *arg, struct span bytes)
{
	struct reader *r = arg;
	char line[READER_LINE_BYTES];

	if (r->over)
		return;
	buf_add(&r->in, bytes);
	while (!r->over && !sim.failed && sim_line_take(&r->in, line, sizeof(line)))
		reader_on_line(r, line);
}

static void reader_on_closed(void *arg, bool reset)
{
	reader_end(arg, reset ? "reset" : "closed");
}

static void reader_on_patience(void *arg)
{
	struct reader *r = arg;
	uint64_t wait = READER_PATIENCE_S * (uint64_t)SIM_SECOND;

	if (r->over)
		return;
	if (r->progress == r->progress_seen) {
		reader_leave(r, "no patience left");
		return;
	}
	r->progress_seen = r->progress;
	if (!sim.healed && sim_chance(sim.plan.impatient))
		wait = sim_below(10 * SIM_SECOND);
	sim_at(sim.now_us + wait, reader_on_patience, r);
}

static void reader_wake(void *arg)
{
	static const struct sim_client_ops ops = {.on_bytes = reader_on_bytes, .on_closed = reader_on_closed};
	unsigned box = *(const unsigned *)arg;
	struct reader *r;

	if (sim.healed)
		return;
	sim_at(sim.now_us + sim_between(2 * SIM_SECOND, 40 * SIM_SECOND), reader_wake, arg);
	if (readers.now[box])
		return;
	r = sim_zalloc(sizeof(*r));
	*r = (struct reader){.box = box, .progress = 1};
	buf_init(&r->in, 256 << 10);
	buf_init(&r->text, READER_TEXT_BYTES);
	readers.now[box] = r;
	r->conn = sim_connect(ROLE_USER, 1, "198.51.100.7", 1000 + box, &ops, r);
	sim_trace("p%u: connects", box);
	reader_on_patience(r);
}

bool sim_pop3_idle(void)
{
	for (unsigned i = 0; i < SIM_MAILBOXES; i++)
		if (readers.now[i])
			return false;
	return true;
}

void sim_pop3_begin(void)
{
	for (unsigned i = 0; i < SIM_MAILBOXES; i++) {
		readers.now[i] = NULL;
		readers.boxes[i] = i;
		if (i < sim.plan.readers)
			sim_at(sim.now_us + sim_below(20 * SIM_SECOND), reader_wake, &readers.boxes[i]);
	}
}

void sim_pop3_end(void)
{
	for (unsigned i = 0; i < SIM_MAILBOXES; i++)
		if (readers.now[i])
			reader_end(readers.now[i], "the seed is over");
}
