/* The SMTP server engine with an owner whose answers hang on the addresses. First byte: listener and manner of answering; second: how the
 * rest is cut. Holds: the same replies and messages however the input is cut; reply lines of at most 512 octets that end CR LF; no
 * message with a lone CR or LF is ever accepted (but for BINARYMIME). */
#include "../flow/fake_smtp.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_check_lines(struct span out)
{
	while (out.len) {
		size_t at = span_find(out, '\n');

		if (at == out.len || at == 0 || out.ptr[at - 1] != '\r' || at + 1 > 512)
			abort();
		if (memchr(out.ptr, '\r', at - 1) || memchr(out.ptr, '\0', at))
			abort();
		out = span_from(out, at + 1);
	}
}

static void fuzz_check_message(struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		bool cr_before = i && text.ptr[i - 1] == '\r';

		if ((text.ptr[i] == '\n') != cr_before || text.ptr[i] == '\0')
			abort();
	}
	if (text.len && text.ptr[text.len - 1] == '\r')
		abort();
}

static void fuzz_settle(struct fake_smtp *f, uint8_t how)
{
	while (f->pending_count)
		(void)fake_smtp_answer(f, how & 8 ? f->pending_count - 1 : 0);
	if (f->want_tls && f->in.len == 0)
		fake_smtp_tls(f);
	if (f->accepted && !f->accepted_binary)
		fuzz_check_message(buf_span(&f->kept));
}

static void fuzz_run(struct fake_smtp *f, uint8_t how, uint8_t cut, struct span text)
{
	uint32_t seed = cut * 2654435761u + 1;

	fake_smtp_init(f, how & 1 ? SMTP_KIND_SUBMISSION : SMTP_KIND_MX);
	f->rules.tls_required = (how & 2) != 0;
	f->rules.auth_cleartext = true;
	f->rules.message_max_bytes = 4096;
	f->rules.rcpt_max = 8;
	f->rules.rcpt_open_max = 4;
	f->rules.domain_max = how & 32 ? 1 + (how & 1) : 0;
	f->rules.early_refused = (how & 64) != 0;
	f->rules.auth_by_owner = f->foreign_ok = (how & 128) != 0;
	f->delay = (how & 4) != 0;
	f->final_data = (how & 16) != 0;
	fake_smtp_start(f);
	while (text.len) {
		size_t len = text.len;

		if (cut) {
			seed = seed * 1664525u + 1013904223u;
			len = (seed >> 16) % (cut & 15u ? cut & 15u : 64u) + 1;
		}
		fake_smtp_feed(f, span_head(text, len));
		fuzz_settle(f, how);
		text = span_from(text, len);
	}
	smtp_in_eof(f->s);
	fake_smtp_pump(f);
	fuzz_settle(f, how);
	fuzz_check_lines(buf_span(&f->out));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fake_smtp whole, cut;
	struct span out;

	if (size < 2 || size > 65536)
		return 0;
	fuzz_run(&whole, data[0], 0, span_of(data + 2, size - 2));
	fuzz_run(&cut, data[0], data[1] ? data[1] : 1, span_of(data + 2, size - 2));
	out = buf_span(&whole.out);
	/* these three hang on what stood in one read, as they must */
	if (span_find_span(out, SPAN_LIT("(tls-injection;")) == out.len && span_find_span(out, SPAN_LIT("(seq-not-pipelined;")) == out.len &&
		span_find_span(out, SPAN_LIT("(protocol-violation;")) == out.len) {
		if (!span_eq(out, buf_span(&cut.out)) || whole.accepted != cut.accepted || !span_eq(buf_span(&whole.kept), buf_span(&cut.kept)))
			abort();
	}
	fake_smtp_clear(&whole);
	fake_smtp_clear(&cut);
	return 0;
}
