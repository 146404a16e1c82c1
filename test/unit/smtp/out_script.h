/* what the tests of the SMTP client share: dialogues as one string. Lines:
 *     S: what the server says (CRLF is added)      s: the same without CRLF      \r \n \0 \e \\ in both
 *     C: what the client must have said since      (CRLF is added; several lines: all of it, in order)
 *     -          the read ends here
 *     EOF        the server closes                 WAIT ms   time passes
 * Server lines that stand together come in one read, in two that are split anywhere, or byte by byte: what becomes of it must be the same. */
#ifndef MAILROOM_TEST_OUT_SCRIPT_H
#define MAILROOM_TEST_OUT_SCRIPT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/num.h"
#include "fake_out.h"

enum { SCRIPT_WHOLE = -1, SCRIPT_BYTES = -2 };

#define EHLO_MIN "S: 220 mx.test ESMTP\nC: EHLO client.test\nS: 250 mx.test\n"
#define EHLO_PIPE "S: 220 mx.test ESMTP\nC: EHLO client.test\nS: 250-mx.test\nS: 250 PIPELINING\n"
#define EHLO_WITH(caps) "S: 220 mx.test ESMTP\nC: EHLO client.test\nS: 250-mx.test\n" caps
#define FROM_ME "C: MAIL FROM:<me@client.test>\n"
#define TO_ALICE "C: RCPT TO:<alice@mailroom.test>\n"
#define TO_BOB "C: RCPT TO:<bob@mailroom.test>\n"
#define DATA "C: DATA\n"
#define HELLO_TEXT "C: Subject: x\nC: \nC: hello\nC: .\n"
#define QUIT "C: QUIT\nS: 221 bye\n"
#define UP_TO_DATA FROM_ME "S: 250 ok\n" TO_ALICE "S: 250 ok\n" DATA
#define TAKEN "S: 250 2.0.0 taken\n"
#define READY_DONE "ready, done sent@end 250 2.0.0, ready, close"

/* how a row differs from the plain case: one message to alice, TLS where it is offered */
struct out_row {
	const char *name, *script, *wanted; /* wanted: the log of fake_out */
	void (*with)(struct fake_out *f);
};

static inline void script_line(struct buf *out, const char *line, size_t len, bool crlf)
{
	static const char from[] = "rn0e\\", to[] = "\r\n\0\033\\";

	for (size_t i = 0; i < len; i++) {
		const char *at = line[i] == '\\' && i + 1 < len ? strchr(from, line[i + 1]) : NULL;

		buf_add_byte(out, (uint8_t)(at ? to[at - from] : line[i]));
		i += at != NULL;
	}
	if (crlf)
		buf_add_str(out, "\r\n");
}

static inline void script_turn(struct fake_out *f, struct buf *turn, long *split)
{
	const long len = (long)turn->len;

	if (!len)
		return;
	if (*split == SCRIPT_BYTES) {
		for (long i = 0; i < len; i++)
			smtp_out_feed(f->s, span_of(turn->ptr + i, 1), f->now);
	} else if (*split >= 0 && *split < len) {
		smtp_out_feed(f->s, span_of(turn->ptr, (size_t)*split), f->now);
		smtp_out_feed(f->s, span_of(turn->ptr + *split, (size_t)(len - *split)), f->now);
		*split = SCRIPT_WHOLE;
	} else {
		smtp_out_feed(f->s, buf_span(turn), f->now);
		*split = *split >= 0 ? *split - len : *split;
	}
	buf_reset(turn);
	fake_out_pump(f);
}

/* what the client said must be these lines */
static inline const char *script_said(struct fake_out *f, const char *name, const char *script, bool check)
{
	struct buf wanted;

	buf_init(&wanted, 1 << 20);
	while (strncmp(script, "C: ", 3) == 0 || strncmp(script, "c: ", 3) == 0) {
		size_t len = strcspn(script, "\n");

		script_line(&wanted, script + 3, len - 3, script[0] == 'C');
		script += len + (script[len] == '\n');
	}
	if (check && !span_eq(buf_span(&wanted), buf_span(&f->sent)))
		fail_msg("%s: said\n%s\nwanted\n%s\n(%s)", name, buf_cstr(&f->sent), buf_cstr(&wanted), buf_cstr(&f->log));
	buf_reset(&f->sent);
	buf_clear(&wanted);
	return script;
}

/* split: SCRIPT_WHOLE, SCRIPT_BYTES, or after how many bytes of all that the server says one read ends. false: there are not so many */
static inline bool script_run(struct fake_out *f, const char *name, const char *script, long split, bool check)
{
	struct buf turn;
	bool counted = split >= 0;
	uint64_t ms;

	buf_init(&turn, 64 << 20);
	fake_out_pump(f);
	while (*script) {
		size_t len = strcspn(script, "\n");

		if (script[0] == 'S' || script[0] == 's') {
			script_line(&turn, script + 3, len - 3, script[0] == 'S');
		} else {
			script_turn(f, &turn, &split);
			if (script[0] == 'C' || script[0] == 'c') {
				script = script_said(f, name, script, check);
				continue;
			}
			if (script[0] == 'E')
				fake_out_eof(f);
			else if (script[0] == 'W' && num_parse(span_of(script + 5, len - 5), 1ull << 40, &ms) == RC_OK)
				fake_out_tick(f, ms);
			else if (script[0] != '-')
				fail_msg("%s: what is '%s'?", name, script);
		}
		script += len + (script[len] == '\n');
	}
	script_turn(f, &turn, &split);
	buf_clear(&turn);
	return !counted || split == SCRIPT_WHOLE;
}

static inline bool script_try(const struct out_row *row, long split, bool check)
{
	struct fake_out f;
	bool more;

	fake_out_init(&f);
	if (row->with)
		row->with(&f);
	fake_out_start(&f);
	more = script_run(&f, row->name, row->script, split, check);
	if (strcmp(buf_cstr(&f.log), row->wanted) != 0)
		fail_msg("%s (split %ld):\ngot    %s\nwanted %s\nwords %s", row->name, split, buf_cstr(&f.log), row->wanted, buf_cstr(&f.words));
	fake_out_clear(&f);
	return more;
}

static inline void script_rows(const struct out_row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		long split = 1;

		(void)script_try(&rows[i], SCRIPT_WHOLE, true);
		(void)script_try(&rows[i], SCRIPT_BYTES, true);
		while (script_try(&rows[i], split, true))
			split++;
	}
}

#endif
