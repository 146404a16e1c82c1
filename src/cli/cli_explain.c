#include "cli/cli_explain.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "cli/cli_explain_print.h"

enum { EXIT_FOUND, EXIT_NOTHING, EXIT_USAGE };
enum { HEAD_BYTES = 64 << 10, CHUNK_BYTES = 256 << 10, BATCH_LINE_BYTES = 256 << 10, EXCERPT_LINES = 40 };

static const char explain_usage[] =
	"usage: mailroom explain [--json] [--why] [--program NAME] [TEXT ... | FILE | --file FILE]\n"
	"       mailroom explain [--json] --batch FILE\n"
	"TEXT is a reply line, an enhanced code (5.7.1), a reply code (503) or the name of a cause. A FILE, or standard\n"
	"input where nothing or - is given, may also be a bounce, the protocol of a conversation or the log of a mail server.\n"
	"With --batch each line is a text of its own (\\n in it is a line end), and each answer one line of JSON.\n"
	"--why says what speaks for the causes, --program how the settings are made in that mail program.\n";

struct explain_options {
	bool json, why, help;
	const char *file, *batch, *program;
};

/* up to `most` bytes; false: it cannot be read */
static bool explain_read(int fd, struct buf *text, size_t most)
{
	while (text->len < most) {
		size_t want = most - text->len < CHUNK_BYTES ? most - text->len : CHUNK_BYTES;
		uint8_t *to = buf_reserve(text, want);
		ssize_t n;

		if (!to)
			return true;
		n = read(fd, to, want);
		if (n > 0)
			text->len += (size_t)n;
		else if (n == 0)
			return true;
		else if (errno != EINTR)
			return false;
	}
	return true;
}

static int explain_one(struct span text, const struct explain_options *o)
{
	struct mailroom_answer *a = mailroom_answer_text(text.ptr, text.len);
	bool found = mailroom_answer_count(a) > 0;

	if (o->json)
		explain_print_json(a, 0);
	else
		explain_print(a, o->why);
	mailroom_answer_free(a);
	return found ? EXIT_FOUND : EXIT_NOTHING;
}

/* A few lines of a log that somebody copied are about one thing, which a table would hide: those with one refusal, and those in which no
 * line is one but whose words say something. */
static bool explain_is_excerpt(struct span text)
{
	struct mailroom_answer_log *log = mailroom_answer_log_new();
	struct mailroom_answer *a;
	uint64_t lines, refusals;
	bool is;

	mailroom_answer_log_feed(log, text.ptr, text.len);
	mailroom_answer_log_end(log);
	lines = mailroom_answer_log_count(log, MAILROOM_ANSWER_LOG_LINES);
	refusals = mailroom_answer_log_count(log, MAILROOM_ANSWER_LOG_REFUSALS);
	mailroom_answer_log_free(log);
	if (lines > EXCERPT_LINES || refusals > 1)
		return false;
	if (refusals)
		return true;
	a = mailroom_answer_text(text.ptr, text.len);
	is = mailroom_answer_count(a) > 0;
	mailroom_answer_free(a);
	return is;
}

static int explain_log(int fd, struct buf *head, const struct explain_options *o)
{
	struct mailroom_answer_log *log;
	bool ok = true, more = true, found;

	if (!o->json && head->len < HEAD_BYTES && explain_is_excerpt(buf_span(head)))
		return explain_one(buf_span(head), o);
	log = mailroom_answer_log_new();
	while (more) {
		mailroom_answer_log_feed(log, head->ptr, head->len);
		buf_reset(head);
		ok = explain_read(fd, head, CHUNK_BYTES);
		more = ok && head->len;
	}
	mailroom_answer_log_end(log);
	if (!ok)
		perror("mailroom explain");
	if (o->json)
		explain_print_log_json(log);
	else
		explain_print_log(log, o->why);
	found = mailroom_answer_log_slug(log, 0) != NULL;
	mailroom_answer_log_free(log);
	return !ok ? EXIT_USAGE : found ? EXIT_FOUND : EXIT_NOTHING;
}

static int explain_stream(int fd, const struct explain_options *o)
{
	struct buf text;
	bool ok;
	int rc;

	buf_init(&text, MAILROOM_ANSWER_BYTES + CHUNK_BYTES);
	ok = explain_read(fd, &text, HEAD_BYTES);
	if (ok && mailroom_answer_is_log(text.ptr, text.len)) {
		rc = explain_log(fd, &text, o);
	} else {
		ok = ok && explain_read(fd, &text, MAILROOM_ANSWER_BYTES + 1); /* more is not looked at */
		if (!ok)
			perror("mailroom explain");
		rc = ok ? explain_one(buf_span(&text), o) : EXIT_USAGE;
	}
	buf_clear(&text);
	return rc;
}

static int explain_file(const char *path, const struct explain_options *o)
{
	int fd, rc;

	if (strcmp(path, "-") == 0)
		return explain_stream(STDIN_FILENO, o);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0) {
		fprintf(stderr, "mailroom explain: %s: %s\n", path, strerror(errno));
		return EXIT_USAGE;
	}
	rc = explain_stream(fd, o);
	(void)close(fd);
	return rc;
}

/* "\n" as a line end */
static void explain_unescape(struct buf *out, struct span line)
{
	buf_reset(out);
	while (line.len) {
		bool end = line.len > 1 && line.ptr[0] == '\\' && line.ptr[1] == 'n',
		     skip = line.len > 1 && line.ptr[0] == '\\' && line.ptr[1] == 'r';

		if (!skip)
			buf_add_byte(out, end ? '\n' : line.ptr[0]);
		line = span_from(line, end || skip ? 2 : 1);
	}
}

/* without its end; of a line longer than the buffer the rest is dropped. false: no more */
static bool explain_next_line(FILE *in, struct buf *line)
{
	int c;

	buf_reset(line);
	while ((c = getc_unlocked(in)) != EOF && c != '\n')
		buf_add_byte(line, (uint8_t)c);
	line->overflow = false;
	return c != EOF || line->len;
}

static int explain_batch(const char *path)
{
	bool standard = strcmp(path, "-") == 0;
	FILE *in = standard ? stdin : fopen(path, "re");
	unsigned long number = 0;
	struct buf text;
	struct buf line;
	int rc = EXIT_FOUND;

	if (!in) {
		fprintf(stderr, "mailroom explain: %s: %s\n", path, strerror(errno));
		return EXIT_USAGE;
	}
	buf_init(&line, BATCH_LINE_BYTES);
	buf_init(&text, BATCH_LINE_BYTES);
	while (explain_next_line(in, &line)) {
		struct mailroom_answer *a;

		explain_unescape(&text, buf_span(&line));
		a = mailroom_answer_text(text.ptr, text.len);
		explain_print_json(a, ++number);
		mailroom_answer_free(a);
	}
	if (ferror(in))
		rc = EXIT_USAGE;
	buf_clear(&text);
	buf_clear(&line);
	if (!standard)
		(void)fclose(in);
	return rc;
}

/* Only words with two dashes are options: a text may well begin with "-ERR". Returns the first text; 0: an unknown option. */
static int explain_take_options(int argc, char **argv, struct explain_options *out)
{
	const struct {
		const char *name;
		bool *flag;
		const char **value;
	} table[] = {{"--json", &out->json, NULL}, {"--why", &out->why, NULL},	   {"--help", &out->help, NULL},
		     {"--file", NULL, &out->file}, {"--batch", NULL, &out->batch}, {"--program", NULL, &out->program}};
	int at = 1;

	for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
		bool known = false;

		if (!argv[at][2])
			return at + 1;
		for (size_t i = 0; i < sizeof(table) / sizeof(table[0]) && !known; i++) {
			known = strcmp(argv[at], table[i].name) == 0;
			if (known && table[i].flag)
				*table[i].flag = true;
			else if (known && ++at < argc)
				*table[i].value = argv[at];
			else if (known)
				return 0;
		}
		if (!known)
			return 0;
	}
	return at;
}

static int explain_words(int argc, char **argv, const struct explain_options *o)
{
	struct buf text;
	int rc;

	buf_init(&text, MAILROOM_ANSWER_BYTES);
	for (int i = 0; i < argc; i++) {
		if (i)
			buf_add_byte(&text, ' ');
		buf_add(&text, span_str(argv[i]));
	}
	text.overflow = false;
	rc = explain_one(buf_span(&text), o);
	buf_clear(&text);
	return rc;
}

/* a path of one word: the file it names, or one that is missing; "-" is standard input */
static bool explain_is_file(const char *path)
{
	struct stat st;

	if (strcmp(path, "-") == 0)
		return true;
	if (stat(path, &st) == 0)
		return strpbrk(path, "/.") && !S_ISDIR(st.st_mode);
	return strchr(path, '/') && !strpbrk(path, " :<>@\\\n") && (path[0] < '0' || path[0] > '9');
}

int cli_explain(int argc, char **argv)
{
	struct explain_options o = {0};
	int at = explain_take_options(argc, argv, &o), rc;

	if (at == 0 || o.help) {
		fputs(explain_usage, at ? stdout : stderr);
		return at ? EXIT_FOUND : EXIT_USAGE;
	}
	if (o.batch)
		return explain_batch(o.batch);
	if (o.program && at == argc && !o.file && isatty(STDIN_FILENO))
		return explain_print_program(o.program) ? EXIT_FOUND : EXIT_USAGE;
	if (o.file)
		rc = explain_file(o.file, &o);
	else if (at == argc)
		rc = explain_stream(STDIN_FILENO, &o);
	else if (at + 1 == argc && explain_is_file(argv[at]))
		rc = explain_file(argv[at], &o);
	else
		rc = explain_words(argc - at, argv + at, &o);
	if (o.program && !o.json && rc != EXIT_USAGE && !explain_print_program(o.program))
		return EXIT_USAGE;
	return rc;
}
