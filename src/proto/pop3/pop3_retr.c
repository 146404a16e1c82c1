#include "proto/pop3/pop3_internal.h"

#include "base/num.h"

/* A message passes through in chunks: dots are doubled at the start of lines, TOP counts lines, and both know where they are
 * across chunk borders. Lines are what CRLF ends, nothing else: so a lone CR or LF in a stored message does not change where the
 * message ends. Only a dot behind a lone LF (BINARYMIME alone brings those) is doubled for the sake of clients that are less strict. */

static void pop3_retr_begin(struct pop3_in *p, enum pop3_job_kind kind, uint32_t at, uint64_t lines)
{
	p->job = (struct pop3_job){.kind = kind, .at = at, .lines_left = lines};
	p->streaming = true;
	pop3_retr_ask(p);
}

void pop3_cmd_retr(struct pop3_in *p, const struct pop3_args *a)
{
	uint32_t at;

	if (pop3_message_find(p, a, &at))
		pop3_retr_begin(p, POP3_JOB_RETR, at, 0);
}

void pop3_cmd_top(struct pop3_in *p, const struct pop3_args *a)
{
	uint64_t lines = UINT64_MAX; /* a number past that means all */
	uint32_t at;

	if (num_parse(a->word[1], UINT64_MAX, &lines) == RC_BAD)
		pop3_refuse_usage(p, a);
	else if (pop3_message_find(p, a, &at))
		pop3_retr_begin(p, POP3_JOB_TOP, at, lines);
}

void pop3_retr_ask(struct pop3_in *p)
{
	if (p->want != POP3_WANT_NOTHING || p->open != POP3_WANT_NOTHING || pop3_pending_bytes(p) > POP3_FETCH_ROOM_BYTES)
		return;
	p->fetch_max = p->job.kind == POP3_JOB_TOP && p->job.lines_left < UINT32_MAX && p->job.offset == 0 ? POP3_FETCH_TOP_BYTES : POP3_FETCH_BYTES;
	p->want = POP3_WANT_FETCH;
}

/* a whole line has passed */
static void pop3_retr_line(struct pop3_job *job)
{
	bool empty = job->line_bytes == 2;

	job->line_bytes = 0;
	job->line_open = false;
	if (job->kind != POP3_JOB_TOP)
		return;
	if (job->in_body)
		job->lines_left--;
	else
		job->in_body = empty; /* RFC 1939 7: headers, the empty line, then n lines */
	job->done = job->in_body && job->lines_left == 0;
}

static void pop3_retr_write(struct pop3_in *p, struct span s)
{
	struct pop3_job *job = &p->job;

	while (s.len && !job->done) {
		size_t at = span_find(s, '\n');
		bool newline = at < s.len;
		struct span part = span_head(s, newline ? at + 1 : s.len);
		bool crlf = newline && (at ? s.ptr[at - 1] == '\r' : job->prev_cr);

		/* RFC 1939 3; and behind a lone LF, as most clients take that for a line end and would read on in the text of the message as if it were replies */
		if ((!job->line_open || job->prev_lf) && part.ptr[0] == '.')
			buf_add_byte(&p->out, '.');
		buf_add(&p->out, part);
		job->prev_cr = part.ptr[part.len - 1] == '\r';
		job->prev_lf = newline;
		job->line_bytes += part.len;
		job->line_open = true;
		if (crlf)
			pop3_retr_line(job);
		s = span_from(s, part.len);
	}
}

static void pop3_retr_finish(struct pop3_in *p)
{
	if (p->job.line_open)
		buf_add_str(&p->out, "\r\n");
	buf_add_str(&p->out, ".\r\n");
	if (p->job.kind == POP3_JOB_RETR) {
		p->tally.retrieved++;
		p->tally.retrieved_bytes += p->job.offset;
	}
	p->job.kind = POP3_JOB_NONE;
	p->verb = NULL;
	pop3_settle(p);
}

/* RFC 2449 8: before the first byte a refusal, later the connection ends without the closing dot, so that no client takes a part for the whole */
static void pop3_retr_fail(struct pop3_in *p, enum cause_id cause)
{
	if (p->job.begun) {
		pop3_event_add(p, cause, SPAN_NONE);
		pop3_end(p);
		return;
	}
	p->job.kind = POP3_JOB_NONE;
	pop3_refuse(p, cause, NULL);
	p->verb = NULL;
	pop3_settle(p);
}

void pop3_in_bytes(struct pop3_in *p, struct span bytes, bool last, enum cause_id cause)
{
	struct pop3_job *job = &p->job;

	if (p->open != POP3_WANT_FETCH)
		return;
	p->open = POP3_WANT_NOTHING;
	/* more than was asked for, or nothing without an end: the store is not well */
	if (cause == CAUSE_NONE && (bytes.len > p->fetch_max || (bytes.len == 0 && !last)))
		cause = CAUSE_SERVER_TEMP_ERROR;
	if (cause != CAUSE_NONE) {
		pop3_retr_fail(p, cause);
		return;
	}
	pop3_out_compact(p);
	if (!job->begun) {
		buf_printf(&p->out, "+OK %llu octets\r\n", (unsigned long long)pop3_item_bytes(&p->items[job->at]));
		job->begun = true;
	}
	pop3_retr_write(p, bytes);
	job->offset += bytes.len;
	if (last || job->done)
		pop3_retr_finish(p);
	else
		pop3_retr_ask(p);
}
