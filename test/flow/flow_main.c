/* flow DIR|FILE...: runs dialogue scripts against the engines in memory */
#include "flow.h"

#include <dirent.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/num.h"

static const struct flow_driver *const drivers[] = {
	&flow_driver_smtp,
#ifdef FLOW_POP3
	&flow_driver_pop3,
#endif
};

struct run {
	const char *file;
	unsigned line;
	const struct flow_driver *driver;
	void *session;
	struct flow_peer peer;
	bool pop3;
	struct buf sending; /* C+ lines wait for the next C */
	char *words;        /* why it failed */
};

static bool run_fail(struct run *r, const char *what, struct span wanted, struct span got)
{
	struct buf words;

	buf_init(&words, 8192);
	buf_printf(&words, "%s:%u: %s: ", r->file, r->line, what);
	buf_add(&words, span_head(wanted, 300));
	buf_add_str(&words, "\n    got: ");
	buf_add_safe(&words, got, 300);
	free(r->words);
	r->words = mem_str(buf_cstr(&words));
	buf_clear(&words);
	return false;
}

/* the next line the peer can read, without CR LF; false: there is none */
static bool run_peek(struct run *r, struct span *line_out)
{
	struct span out = buf_span(r->peer.out);
	size_t at = span_find_span(out, SPAN_LIT("\r\n"));

	*line_out = span_head(out, at);
	return at < out.len;
}

static void run_take(struct run *r, struct span line)
{
	buf_drop(r->peer.out, line.len + 2);
}

static bool run_match(struct run *r, struct span regex, struct span line)
{
	char *pattern = mem_printf("^(%.*s)$", SPAN_FMT(regex)), *text = mem_str_span(line);
	regex_t re;
	bool hit = false;

	if (regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB) != 0) {
		(void)run_fail(r, "bad pattern", regex, SPAN_NONE);
	} else {
		hit = regexec(&re, text, 0, NULL, 0) == 0;
		regfree(&re);
	}
	free(pattern);
	free(text);
	return hit;
}

static bool run_expect(struct run *r, struct span regex)
{
	struct span line;

	if (!run_peek(r, &line))
		return run_fail(r, "no reply, wanted", regex, SPAN_NONE);
	if (!run_match(r, regex, line))
		return run_fail(r, "wanted", regex, line);
	run_take(r, line);
	return true;
}

static bool run_expect_any(struct run *r, struct span regex)
{
	struct span line;

	while (run_peek(r, &line) && run_match(r, regex, line))
		run_take(r, line);
	return true;
}

/* the last line of a reply: "250 ..." after "250-...", or the "." of POP3 */
static bool run_expect_last(struct run *r, struct span regex)
{
	struct span line;

	while (run_peek(r, &line)) {
		bool last = r->pop3 ? span_eq(line, SPAN_LIT(".")) || span_starts(line, SPAN_LIT("-ERR")) : line.len < 4 || line.ptr[3] == ' ';

		if (last)
			return run_expect(r, regex);
		run_take(r, line);
	}
	return run_fail(r, "the reply has no end, wanted", regex, SPAN_NONE);
}

static bool run_send(struct run *r, struct span text)
{
	buf_add(&r->sending, text);
	buf_add_str(&r->sending, "\r\n");
	r->driver->feed(r->session, buf_span(&r->sending));
	buf_reset(&r->sending);
	return true;
}

static bool run_send_later(struct run *r, struct span text)
{
	buf_add(&r->sending, text);
	buf_add_str(&r->sending, "\r\n");
	return true;
}

static int run_hex(uint8_t c)
{
	return byte_is_digit(c) ? c - '0' : byte_lower(c) >= 'a' && byte_lower(c) <= 'f' ? byte_lower(c) - 'a' + 10 : -1;
}

static bool run_send_raw(struct run *r, struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.ptr[i], next = i + 1 < text.len ? text.ptr[i + 1] : 0;

		if (c != '\\') {
			buf_add_byte(&r->sending, c);
			continue;
		}
		i++;
		if (next == 'x' && i + 2 < text.len && run_hex(text.ptr[i + 1]) >= 0 && run_hex(text.ptr[i + 2]) >= 0) {
			buf_add_byte(&r->sending, (uint8_t)(run_hex(text.ptr[i + 1]) * 16 + run_hex(text.ptr[i + 2])));
			i += 2;
		} else if (next == 'r' || next == 'n' || next == '\\') {
			buf_add_byte(&r->sending, next == 'r' ? '\r' : next == 'n' ? '\n' : '\\');
		} else {
			return run_fail(r, "bad escape", text, SPAN_NONE);
		}
	}
	r->driver->feed(r->session, buf_span(&r->sending));
	buf_reset(&r->sending);
	return true;
}

static bool run_time(struct run *r, struct span text)
{
	uint64_t ms;

	if (num_parse_duration_ms(text, &ms) != RC_OK)
		return run_fail(r, "not a duration", text, SPAN_NONE);
	r->driver->tick(r->session, ms);
	return true;
}

static bool run_tls(struct run *r, struct span text)
{
	return r->driver->tls_done(r->session) || run_fail(r, "the server expects no handshake", text, SPAN_NONE);
}

static bool run_close(struct run *r, struct span text)
{
	struct span line;

	if (run_peek(r, &line))
		return run_fail(r, "a line too many before the end", text, line);
	return *r->peer.closed || run_fail(r, "the server did not close", text, SPAN_NONE);
}

static bool run_listener(struct run *r, struct span text)
{
	char *name = mem_str_span(text);

	for (size_t i = 0; !r->session && i < sizeof(drivers) / sizeof(drivers[0]); i++) {
		r->driver = drivers[i];
		r->session = r->driver->start(name, &r->peer);
	}
	r->pop3 = strncmp(name, "pop3", 4) == 0;
	free(name);
	return r->session || run_fail(r, "no such listener", text, SPAN_NONE);
}

static const struct {
	const char *word;
	bool (*run)(struct run *r, struct span text);
} steps[] = {
	{"S:", run_expect}, {"S*:", run_expect_any}, {"S...:", run_expect_last}, {"C:", run_send}, {"C+:", run_send_later}, {"C!:", run_send_raw},
	{"T:", run_time}, {"TLS:", run_tls}, {"CLOSE:", run_close}, {"listener:", run_listener},
};

static bool run_step(struct run *r, struct span line)
{
	if (line.len == 0 || line.ptr[0] == '#')
		return true;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct span word = span_str(steps[i].word), rest;

		if (!span_starts(line, word))
			continue;
		rest = span_from(line, word.len);
		if (rest.len && rest.ptr[0] == ' ')
			rest = span_from(rest, 1);
		if (!r->session && steps[i].run != run_listener)
			return run_fail(r, "no listener: line yet", line, SPAN_NONE);
		return steps[i].run(r, rest);
	}
	return run_fail(r, "not a step", line, SPAN_NONE);
}

static bool run_text(struct run *r, struct span text)
{
	struct span line;
	bool ok = true;

	buf_init(&r->sending, 1 << 20);
	while (ok && text.len) {
		line = span_cut(&text, '\n');
		r->line++;
		ok = run_step(r, line);
	}
	if (ok && r->session && run_peek(r, &line))
		ok = run_fail(r, "a line nobody waited for", SPAN_NONE, line);
	if (ok && !r->session)
		ok = run_fail(r, "nothing in it", SPAN_NONE, SPAN_NONE);
	if (r->session)
		r->driver->stop(r->session);
	buf_clear(&r->sending);
	return ok;
}

static bool run_file(const char *file)
{
	struct run r = {.file = file};
	struct buf text;
	char chunk[4096];
	size_t n;
	FILE *in = fopen(file, "r");
	bool ok;

	if (!in) {
		printf("FAIL %s: cannot be opened\n", file);
		return false;
	}
	buf_init(&text, 1 << 20);
	while ((n = fread(chunk, 1, sizeof(chunk), in)) > 0)
		buf_add(&text, span_of(chunk, n));
	(void)fclose(in);
	ok = run_text(&r, buf_span(&text));
	if (!ok)
		printf("FAIL %s\n", r.words);
	free(r.words);
	buf_clear(&text);
	return ok;
}

static int is_flow(const struct dirent *d)
{
	const char *dot = strrchr(d->d_name, '.');

	return dot && strcmp(dot, ".flow") == 0;
}

static void run_path(const char *path, unsigned *passed, unsigned *failed)
{
	struct dirent **names;
	int n = scandir(path, &names, is_flow, alphasort);

	if (n < 0) {
		++*(run_file(path) ? passed : failed);
		return;
	}
	for (int i = 0; i < n; i++) {
		char *file = mem_printf("%s/%s", path, names[i]->d_name);

		++*(run_file(file) ? passed : failed);
		free(file);
		free(names[i]);
	}
	free(names);
}

int main(int argc, char **argv)
{
	unsigned passed = 0, failed = 0;

	for (int i = 1; i < argc; i++)
		run_path(argv[i], &passed, &failed);
	printf("%u passed, %u failed\n", passed, failed);
	return failed || !passed;
}
