/* The SMTP client engine with a hostile server. First byte: what the client wants; second: which message it has; third: how the server's bytes are cut. Then
 * the server: \1 ends what comes in one go, \2 lets time pass. Holds: the same bytes in other pieces make no difference; what is said is lines that end CR LF
 * and hold nothing else of the kind; a message that was sent to its end is the one that was given, as the server engine reads it; what is kept of the
 * server's words is printable and bounded, and nothing grows. */
#include "../flow/fake_out.c"
#include "../flow/fake_smtp.c"
#include "proto/smtp/smtp_out_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct { struct span text; bool binary; } bodies[] = {
	{SPAN_LIT("Subject: x\r\n\r\nhello\r\n"), false},
	{SPAN_LIT(".\r\n..\r\n.x\r\n\r\n."), false},
	{SPAN_LIT(""), false},
	{SPAN_LIT("a\r\n.b\nc\rd\0\r\n.\r\n"), true},
	{SPAN_LIT("Subject: x\r\n\r\nlo\nne\r\n"), false},
	{SPAN_LIT("a\r\n.\r"), false},
};

static void fuzz_init(struct fake_out *f, uint8_t how, uint8_t what)
{
	fake_out_init(f);
	f->tls = how & 1 ? SMTP_OUT_TLS_MAY : how & 2 ? SMTP_OUT_TLS_MUST : SMTP_OUT_TLS_NEVER;
	f->want_auth = (how & 4) != 0;
	f->auth_initial = (how & 8) != 0;
	f->mechanism = how & 16 ? "LOGIN" : "PLAIN";
	f->auth_cancel = (how & 32) != 0;
	f->mail.smtputf8 = (how & 64) != 0;
	f->mail.requiretls = (how & 128) != 0;
	f->body = bodies[what % 6].text;
	f->mail.body_binary = bodies[what % 6].binary;
	f->mail.bytes = f->body.len + 1;
	f->piece = what & 64 ? 1 : 0;
	f->empty_last = (what & 128) != 0;
	f->rcpts[1].address = SPAN_LIT("bob@mailroom.test");
	f->rcpts[1].notify = 6;
	f->rcpts[2].address = SPAN_LIT("b\xc3\xb6@mailroom.test");
	f->mail.rcpt_count = 3;
	f->mail.envid = SPAN_LIT("a b");
	fake_out_start(f);
}

static void fuzz_run(struct fake_out *f, const uint8_t head[2], uint8_t cut, struct span text)
{
	uint32_t seed = cut * 2654435761u + 1;

	fuzz_init(f, head[0], head[1]);
	while (text.len && !f->closed && !f->failed) {
		size_t len = 0;

		while (len < text.len && text.ptr[len] > 2)
			len++;
		for (size_t at = 0, n; at < len; at += n) {
			seed = seed * 1664525u + 1013904223u;
			n = cut ? (seed >> 16) % 9 + 1 : len;
			smtp_out_feed(f->s, span_head(span_from(text, at), n < len - at ? n : len - at), f->now);
		}
		fake_out_pump(f);
		if (len < text.len && text.ptr[len] == 2)
			fake_out_tick(f, 130000);
		text = span_from(text, len + 1);
		if (smtp_out_out(f->s).len > 128 << 10 || f->s->mem.used_bytes > 16 << 10)
			abort();
	}
	if (!f->closed && !f->failed)
		fake_out_eof(f);
}

/* open: the last line may lack its end */
static void fuzz_check_lines(struct span said, bool open)
{
	while (said.len) {
		size_t at = span_find(said, '\n');

		if (at == said.len && open && !memchr(said.ptr, '\r', at - 1) && !memchr(said.ptr, '\0', at))
			return;
		if (at == said.len || at == 0 || at > 1024 || said.ptr[at - 1] != '\r' || memchr(said.ptr, '\r', at - 1) || memchr(said.ptr, '\0', at))
			abort();
		said = span_from(said, at + 1);
	}
}

static void fuzz_check_words(struct span words)
{
	size_t line = 0;

	if (!span_is_utf8(words))
		abort();
	for (size_t i = 0; i < words.len; i++) {
		line = words.ptr[i] == '\n' ? 0 : line + 1;
		if ((words.ptr[i] < 0x20 && words.ptr[i] != '\n') || words.ptr[i] == 0x7f || line > SMTP_OUT_WORDS_BYTES)
			abort();
	}
}

/* the server engine reads the message that was sent */
static void fuzz_check_message(const struct fake_out *f)
{
	static struct fake_smtp server;
	struct span sent = span_from(buf_span(&f->sent), f->body_at), kept;

	fake_smtp_init(&server, SMTP_KIND_MX);
	server.rules.noop_max = 100000;
	fake_smtp_start(&server);
	fake_smtp_feed(&server, f->mail.body_binary ? SPAN_LIT("EHLO x.test\r\nMAIL FROM:<> BODY=BINARYMIME\r\nRCPT TO:<alice@mailroom.test>\r\n")
						    : SPAN_LIT("EHLO x.test\r\nMAIL FROM:<>\r\nRCPT TO:<alice@mailroom.test>\r\nDATA\r\n"));
	fake_smtp_feed(&server, sent);
	kept = buf_span(&server.kept);
	if (server.accepted != 1)
		abort();
	if (!f->mail.body_binary && f->body.len && f->body.ptr[f->body.len - 1] != '\n' && kept.len >= 2) /* its last line got an end */
		kept.len -= 2;
	if (!span_eq(kept, f->body))
		abort();
	fake_smtp_clear(&server);
}

static void fuzz_check(const struct fake_out *f)
{
	fuzz_check_words(buf_span(&f->words));
	if (f->ended)
		fuzz_check_message(f);
	if (f->mail.body_binary && f->body_at)
		fuzz_check_lines(span_head(buf_span(&f->sent), f->body_at), false);
	else
		fuzz_check_lines(buf_span(&f->sent), f->body_at && !f->ended);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fake_out whole, cut;

	if (size < 3 || size > 65536)
		return 0;
	fuzz_run(&whole, data, 0, span_of(data + 3, size - 3));
	fuzz_check(&whole);
	fuzz_run(&cut, data, data[2] ? data[2] : 1, span_of(data + 3, size - 3));
	if (!span_eq(buf_span(&whole.log), buf_span(&cut.log)) || !span_eq(buf_span(&whole.words), buf_span(&cut.words)) ||
		!span_eq(buf_span(&whole.sent), buf_span(&cut.sent)))
		abort();
	fake_out_clear(&whole);
	fake_out_clear(&cut);
	return 0;
}
