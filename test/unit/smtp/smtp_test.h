/* what the SMTP tests share: dialogues as one string in, one string out */
#ifndef MAILROOM_TEST_SMTP_TEST_H
#define MAILROOM_TEST_SMTP_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fake_smtp.h"

#define HELLO "EHLO client.example\r\n"
#define FROM "MAIL FROM:<a@sender.example>\r\n"
#define TO_ALICE "RCPT TO:<alice@mailroom.test>\r\n"
#define TO_BOB "RCPT TO:<bob@mailroom.test>\r\n"
#define TO_NOBODY "RCPT TO:<nobody@mailroom.test>\r\n"
#define TO_FOREIGN "RCPT TO:<carol@foreign.example>\r\n"
#define BEGIN HELLO FROM TO_ALICE "DATA\r\n"

static inline const char *said(struct fake_smtp *f)
{
	return buf_cstr(&f->out);
}

static inline void forget(struct fake_smtp *f)
{
	buf_reset(&f->out);
}

static inline void say(struct fake_smtp *f, const char *text)
{
	fake_smtp_feed(f, span_str(text));
}

/* says `text`; the replies must hold `wanted` */
static inline void expect(struct fake_smtp *f, const char *text, const char *wanted)
{
	forget(f);
	say(f, text);
	if (!strstr(said(f), wanted))
		fail_msg("said:\n%s\nwanted: %s\ngot:\n%s", text, wanted, said(f));
}

/* start of the last line of what came */
static inline const char *last_line(struct fake_smtp *f)
{
	const char *text = said(f), *at = text;

	for (const char *p = text; *p; p++)
		if (p[0] == '\n' && p[1])
			at = p + 1;
	return at;
}

/* one 3-letter code for each reply, in order, blanks between */
static inline void codes(struct fake_smtp *f, char *out, size_t size)
{
	struct span rest = buf_span(&f->out);
	size_t len = 0;

	while (rest.len) {
		struct span line = span_cut(&rest, '\n');

		if (line.len > 3 && line.ptr[3] == ' ' && len + 5 < size) {
			if (len)
				out[len++] = ' ';
			memcpy(out + len, line.ptr, 3);
			len += 3;
		}
	}
	out[len] = '\0';
}

static inline void open_session(struct fake_smtp *f, enum smtp_kind kind)
{
	fake_smtp_init(f, kind);
	fake_smtp_start(f);
	if (kind == SMTP_KIND_SUBMISSION)
		fake_smtp_tls(f);
}

#endif
