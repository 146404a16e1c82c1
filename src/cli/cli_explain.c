#include "cli/cli_explain.h"

#include <errno.h>
#include <jansson.h>
#include <unistd.h>

#include "answer/explain.h"

enum { EXIT_FOUND, EXIT_NOTHING, EXIT_USAGE };
enum { REASONS_SHOWN = 3, WHY_BYTES = 1024, WIDTH_COLUMNS = 100 };

static const char explain_usage[] = "usage: mailroom explain [--json] [--why] [TEXT ...]\n"
				    "TEXT is a reply line, an enhanced code (5.7.1), a reply code (503) or the name of a cause;\n"
				    "without TEXT it is read from standard input.\n";

/* "this" server would be wrong: the text is mostly another one's */
static const struct {
	const char *who, *title;
} explain_roles[] = {
	{"client", "Mail program: "},
	{"sender", "Sender: "},
	{"admin", "Administrator of the server that refused: "},
	{"remote-admin", "Administrator of the other server: "},
	{"nobody", ""},
};

static const char *explain_role_title(const char *who)
{
	for (size_t i = 0; i < sizeof(explain_roles) / sizeof(explain_roles[0]); i++)
		if (strcmp(explain_roles[i].who, who) == 0)
			return explain_roles[i].title;
	return "";
}

static const char *explain_retry_words(const char *retry)
{
	if (strcmp(retry, "later") == 0)
		return "after a while";
	return strcmp(retry, "after-fix") == 0 ? "when this has been put right" : "no, the answer would be the same";
}

/* words of the catalogue behind a title, broken between words; what follows the first line stands below its beginning */
static void explain_print_words(int indent, int hang, const char *title, const char *words)
{
	struct span left = span_str(words), line;
	size_t room;

	printf("%*s%s", indent, "", title);
	room = (size_t)(WIDTH_COLUMNS - indent) - strlen(title);
	indent += hang;
	while (left.len > room) {
		size_t cut = room;

		while (cut > 0 && left.ptr[cut] != ' ')
			cut--;
		if (cut == 0)
			break;
		line = span_head(left, cut);
		left = span_from(left, cut + 1);
		printf("%.*s\n%*s", SPAN_FMT(line), indent, "");
		room = (size_t)(WIDTH_COLUMNS - indent);
	}
	printf("%.*s\n", SPAN_FMT(left));
}

static json_t *explain_json_cause(const struct explain_candidate *c)
{
	const struct cause *e = cause_get(c->cause);
	json_t *likely = json_array(), *fix = json_array();
	struct buf why;
	json_t *out;

	buf_init(&why, WHY_BYTES);
	explain_why(&why, c);
	for (size_t i = 0; e->likely[i]; i++)
		json_array_append_new(likely, json_string(e->likely[i]));
	for (const struct cause_advice *a = e->fixes; a->who; a++)
		json_array_append_new(fix, json_pack("{s:s, s:s}", "who", a->who, "what", a->what));
	out = json_pack("{s:s, s:f, s:s, s:s, s:o, s:o, s:s, s:b, s:b, s:s}", "slug", e->slug, "confidence", c->confidence, "meaning", e->meaning,
		"why", buf_cstr(&why), "likely", likely, "fix", fix, "retry", e->retry, "code_permanent", e->code_permanent,
		"cause_permanent", e->cause_permanent, "source", e->source);
	buf_clear(&why);
	return out;
}

static void explain_print_json(const struct explanation *e)
{
	json_t *causes = json_array(), *out;

	for (size_t i = 0; i < e->count; i++)
		json_array_append_new(causes, explain_json_cause(&e->found[i]));
	out = json_pack("{s:o, s:b, s:s, s:b}", "causes", causes, "undecided", e->undecided, "emitter", e->own ? "mailroom" : "unknown", "cut",
		e->cut);
	if (e->count) /* one slug for scripts that want only one */
		json_object_set_new(out, "verdict", json_string(cause_slug(e->undecided ? CAUSE_INSUFFICIENT_TEXT : e->found[0].cause)));
	if (e->code)
		json_object_set_new(out, "code", json_integer(e->code));
	if (e->enhanced[0])
		json_object_set_new(out, "enhanced", json_string(e->enhanced));
	if (e->undecided)
		json_object_set_new(out, "decide", json_string(cause_get(CAUSE_INSUFFICIENT_TEXT)->fixes[0].what));
	json_dumpf(out, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(3));
	putchar('\n');
	json_decref(out);
}

static void explain_print_why(const struct explain_candidate *c)
{
	struct buf words;

	buf_init(&words, WHY_BYTES);
	explain_why(&words, c);
	printf("  Found by %s, %.0f %% sure.\n", buf_cstr(&words), c->confidence * 100);
	buf_clear(&words);
}

/* number 0: the only one */
static void explain_print_cause(const struct explain_candidate *c, size_t number, bool why, bool details)
{
	const struct cause *e = cause_get(c->cause);
	char title[24] = "";

	if (number)
		(void)snprintf(title, sizeof(title), "%zu. ", number);
	explain_print_words(0, number ? 3 : 0, title, e->meaning);
	printf("  Cause: %s\n", e->slug);
	if (why)
		explain_print_why(c);
	if (!details)
		return;
	puts("  Likely because");
	for (size_t i = 0; e->likely[i] && i < REASONS_SHOWN; i++)
		explain_print_words(4, 2, "- ", e->likely[i]);
	puts("  What to do");
	for (const struct cause_advice *a = e->fixes; a->who; a++)
		explain_print_words(4, 2, explain_role_title(a->who), a->what);
	printf("  Try again: %s\n", explain_retry_words(e->retry));
}

static void explain_print(const struct explanation *e, bool why)
{
	const struct cause *unsure = cause_get(CAUSE_INSUFFICIENT_TEXT);

	if (!e->count) {
		puts("No known cause fits this text. Give the whole reply of the server, with its number.");
		return;
	}
	if (e->undecided)
		printf("%s The likeliest is first.\n\n", unsure->meaning);
	for (size_t i = 0; i < e->count && (e->undecided || why || i == 0); i++) {
		explain_print_cause(&e->found[i], e->undecided || why ? i + 1 : 0, why, i == 0 || (e->undecided && i == 1));
		if (e->undecided)
			putchar('\n');
	}
	if (e->undecided) {
		printf("To find out which (%s)\n", unsure->slug);
		for (const struct cause_advice *a = unsure->fixes; a->who; a++)
			explain_print_words(4, 2, explain_role_title(a->who), a->what);
	}
	if (e->cut)
		printf("Only the first %d KiB were looked at.\n", EXPLAIN_INPUT_BYTES >> 10);
}

static bool explain_read_stdin(struct buf *text)
{
	ssize_t n;

	for (;;) {
		uint8_t *to = buf_reserve(text, 4096);

		if (!to) { /* more than is looked at: the rest stays unread */
			text->overflow = false;
			return true;
		}
		n = read(STDIN_FILENO, to, 4096);
		if (n > 0)
			text->len += (size_t)n;
		else if (n == 0)
			return true;
		else if (errno != EINTR)
			return false;
	}
}

static bool explain_gather(struct buf *text, int argc, char **argv)
{
	if (argc == 0)
		return explain_read_stdin(text);
	for (int i = 0; i < argc; i++) {
		if (i)
			buf_add_byte(text, ' ');
		buf_add(text, span_head(span_str(argv[i]), EXPLAIN_INPUT_BYTES + 1));
	}
	text->overflow = false;
	return true;
}

struct explain_options {
	bool json, why, help;
};

/* Only words with two dashes are options: a text may well begin with "-ERR". Returns the first text; 0: an unknown option. */
static int explain_take_options(int argc, char **argv, struct explain_options *out)
{
	const struct {
		const char *name;
		bool *flag;
	} table[] = {{"--json", &out->json}, {"--why", &out->why}, {"--help", &out->help}};
	int at = 1;

	for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
		bool known = false;

		if (!argv[at][2])
			return at + 1;
		for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
			if (strcmp(argv[at], table[i].name) == 0)
				known = *table[i].flag = true;
		}
		if (!known)
			return 0;
	}
	return at;
}

int cli_explain(int argc, char **argv)
{
	struct explain_options options = {0};
	struct explanation e;
	struct buf text;
	int at = explain_take_options(argc, argv, &options);

	if (at == 0 || options.help) {
		fputs(explain_usage, at ? stdout : stderr);
		return at ? EXIT_FOUND : EXIT_USAGE;
	}
	buf_init(&text, 2 * EXPLAIN_INPUT_BYTES);
	if (!explain_gather(&text, argc - at, argv + at)) {
		perror("mailroom explain: standard input");
		buf_clear(&text);
		return EXIT_USAGE;
	}
	explain_text(buf_span(&text), &e);
	if (options.json)
		explain_print_json(&e);
	else
		explain_print(&e, options.why);
	buf_clear(&text);
	return e.count ? EXIT_FOUND : EXIT_NOTHING;
}
