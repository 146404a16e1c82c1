/* The commands and tests of the language: a row each. */
#include "policy/sieve_tree.h"

#include "policy/sieve_compile.h"
#include "policy/sieve_exec.h"

#define T(id) SIEVE_TAG(id)
#define E(id) SIEVE_EXT(id)

const struct sieve_tag_row sieve_tags[SIEVE_TAGS] = {
#define TAG(id, name, param, group, ext) {name, param, SIEVE_GROUP_##group, ext},
#include "policy/sieve_words.def"
};

const char *const sieve_ext_names[SIEVE_EXT_COUNT] = {
#define EXT(id, name) name,
#include "policy/sieve_words.def"
};

enum {
	TEST = SIEVE_VERB_TEST,
	ONE = SIEVE_VERB_TAKES_TEST,
	MANY = SIEVE_VERB_TAKES_TESTS,
	BLOCK = SIEVE_VERB_BLOCK,
};

#define MATCH (T(COMPARATOR) | T(IS) | T(CONTAINS) | T(MATCHES) | T(COUNT) | T(VALUE))
#define ADDRESS (T(ALL) | T(LOCALPART) | T(DOMAIN) | T(USER) | T(DETAIL))
#define INDEX (T(INDEX) | T(INDEX_LAST))
#define PARTS (T(MIME) | T(ANYCHILD))

static const struct sieve_verb verbs[] = {
	/* RFC 5228 3, 4 */
	{"require", 0, 0, "l", SIEVE_VERB_FIRST, 0, "require \"extension\";", sieve_check_require, {.command = NULL}},
	{"if", 0, 0, "", ONE | BLOCK | SIEVE_VERB_IF, 0, "if TEST { ... }", NULL, {.command = sieve_do_if}},
	{"elsif", 0, 0, "", ONE | BLOCK | SIEVE_VERB_IF | SIEVE_VERB_AFTER_IF, 0, "elsif TEST { ... }", NULL, {.command = sieve_do_if}},
	{"else", 0, 0, "", BLOCK | SIEVE_VERB_AFTER_IF, 0, "else { ... }", NULL, {.command = sieve_do_if}},
	{"stop", 0, 0, "", 0, 0, "stop;", NULL, {.command = sieve_do_stop}},
	{"keep", 0, T(FLAGS), "", 0, 0, "keep;", sieve_check_flags, {.command = sieve_do_keep}},
	{"discard", 0, 0, "", 0, 0, "discard;", NULL, {.command = sieve_do_discard}},
	{"redirect", 0, T(COPY), "s", 0, SIEVE_NEEDS_REDIRECT | SIEVE_NEEDS_HEADER, "redirect \"name@example.org\";", sieve_check_redirect,
		{.command = sieve_do_redirect}},
	{"fileinto", E(FILEINTO), T(COPY) | T(FLAGS), "s", 0, SIEVE_NEEDS_FILE, "fileinto \"Folder\";", sieve_check_fileinto,
		{.command = sieve_do_fileinto}},
	{"reject", E(REJECT), 0, "s", 0, SIEVE_NEEDS_REJECT, "reject \"reason\";", sieve_check_reason, {.command = sieve_do_reject}},
	{"ereject", E(EREJECT), 0, "s", 0, SIEVE_NEEDS_REJECT, "ereject \"reason\";", sieve_check_reason, {.command = sieve_do_ereject}},
	{"set", E(VARIABLES), T(LOWER) | T(UPPER) | T(LOWERFIRST) | T(UPPERFIRST) | T(QUOTEWILDCARD) | T(LENGTH), "ss", 0, 0,
		"set \"name\" \"value\";", sieve_check_set, {.command = sieve_do_set}},
	{"setflag", E(IMAP4FLAGS), 0, "?sl", 0, SIEVE_NEEDS_FLAGS, "setflag \"flag\";", sieve_check_flags, {.command = sieve_do_setflag}},
	{"addflag", E(IMAP4FLAGS), 0, "?sl", 0, SIEVE_NEEDS_FLAGS, "addflag \"flag\";", sieve_check_flags, {.command = sieve_do_addflag}},
	{"removeflag", E(IMAP4FLAGS), 0, "?sl", 0, SIEVE_NEEDS_FLAGS, "removeflag \"flag\";", sieve_check_flags,
		{.command = sieve_do_removeflag}},
	{"foreverypart", E(FOREVERYPART), T(LOOP_NAME), "", BLOCK | SIEVE_VERB_LOOP, SIEVE_NEEDS_PARTS, "foreverypart { ... }",
		sieve_check_loop, {.command = sieve_do_foreverypart}},
	{"break", E(FOREVERYPART), T(LOOP_NAME), "", 0, 0, "break;", sieve_check_break, {.command = sieve_do_break}},
	{"addheader", E(EDITHEADER), T(ADD_LAST), "ss", 0, SIEVE_NEEDS_ADDHEADER, "addheader \"X-Name\" \"value\";", sieve_check_addheader,
		{.command = sieve_do_addheader}},
	{"vacation", E(VACATION), T(DAYS) | T(SECONDS) | T(SUBJECT) | T(FROM) | T(ADDRESSES) | T(VACATION_MIME) | T(HANDLE), "s", 0,
		SIEVE_NEEDS_VACATION | SIEVE_NEEDS_HEADER, "vacation \"text\";", sieve_check_vacation, {.command = sieve_do_vacation}},
	/* RFC 5228 5 */
	{"address", 0, MATCH | ADDRESS | PARTS | INDEX, "ll", TEST, SIEVE_NEEDS_HEADER, "address \"from\" \"name@example.org\"",
		sieve_check_address, {.test = sieve_test_address}},
	{"allof", 0, 0, "", TEST | MANY, 0, "allof (TEST, TEST)", NULL, {.test = sieve_test_allof}},
	{"anyof", 0, 0, "", TEST | MANY, 0, "anyof (TEST, TEST)", NULL, {.test = sieve_test_anyof}},
	{"not", 0, 0, "", TEST | ONE, 0, "not TEST", NULL, {.test = sieve_test_not}},
	{"true", 0, 0, "", TEST, 0, "true", NULL, {.test = sieve_test_true}},
	{"false", 0, 0, "", TEST, 0, "false", NULL, {.test = sieve_test_false}},
	{"exists", 0, PARTS, "l", TEST, SIEVE_NEEDS_HEADER, "exists \"Field\"", sieve_check_fields, {.test = sieve_test_exists}},
	{"header", 0, MATCH | PARTS | T(TYPE) | T(SUBTYPE) | T(CONTENTTYPE) | T(PARAM) | INDEX, "ll", TEST, SIEVE_NEEDS_HEADER,
		"header :contains \"Subject\" \"text\"", sieve_check_fields, {.test = sieve_test_header}},
	{"size", 0, T(OVER) | T(UNDER), "n", TEST, 0, "size :over 10M", sieve_check_size, {.test = sieve_test_size}},
	{"envelope", E(ENVELOPE), MATCH | ADDRESS, "ll", TEST, SIEVE_NEEDS_ENVELOPE, "envelope \"from\" \"name@example.org\"",
		sieve_check_envelope, {.test = sieve_test_envelope}},
	/* extensions */
	{"body", E(BODY), MATCH | T(BODY_RAW) | T(BODY_CONTENT) | T(BODY_TEXT), "l", TEST, SIEVE_NEEDS_BODY, "body :contains \"text\"",
		sieve_check_body, {.test = sieve_test_body}},
	{"string", E(VARIABLES), MATCH, "ll", TEST, 0, "string \"${name}\" \"value\"", sieve_check_match, {.test = sieve_test_string}},
	{"hasflag", E(IMAP4FLAGS), MATCH, "?ll", TEST, 0, "hasflag \"flag\"", sieve_check_flags, {.test = sieve_test_hasflag}},
	{"date", E(DATE), MATCH | T(ZONE) | T(ORIGINALZONE) | INDEX, "ssl", TEST, SIEVE_NEEDS_HEADER,
		"date \"date\" \"hour\" \"09\"", sieve_check_date, {.test = sieve_test_date}},
	{"currentdate", E(DATE), MATCH | T(ZONE), "sl", TEST, SIEVE_NEEDS_TIME, "currentdate \"weekday\" [\"0\", \"6\"]", sieve_check_date,
		{.test = sieve_test_currentdate}},
	{"attachment", E(ATTACHMENT), MATCH | T(FILE_NAME) | T(FILE_TYPE) | T(FILE_CONTENT) | T(FILE_INSIDE) | T(UNREADABLE) | T(ENCRYPTED), "?l",
		TEST, SIEVE_NEEDS_ATTACHMENTS, "attachment :matches :name \"*.zip\"", sieve_check_attachment, {.test = sieve_test_attachment}},
};

enum { VERBS = sizeof(verbs) / sizeof(*verbs) };

const struct sieve_verb *sieve_verb_get(size_t at)
{
	return at < VERBS ? &verbs[at] : NULL;
}

static bool verb_is(const struct sieve_verb *v, bool test)
{
	return ((v->flags & SIEVE_VERB_TEST) != 0) == test;
}

const struct sieve_verb *sieve_verb_find(struct span name, bool test)
{
	for (size_t i = 0; i < VERBS; i++)
		if (verb_is(&verbs[i], test) && span_eq_nocase(name, span_str(verbs[i].name)))
			return &verbs[i];
	return NULL;
}

unsigned sieve_verb_arg_count(const struct sieve_verb *verb)
{
	unsigned n = 0;

	for (const char *a = verb->args; *a; a++)
		n += *a != '?';
	return n;
}

const struct sieve_value *sieve_node_param(const struct sieve_node *n, enum sieve_tag tag)
{
	const struct sieve_value *v = n->params;

	if (!sieve_node_has(n, tag))
		return NULL;
	for (unsigned t = 0; t < tag; t++)
		if (n->tags >> t & 1 && sieve_tags[t].param)
			v++;
	return v;
}

int sieve_script_variable(const struct sieve_script *s, struct span name)
{
	for (unsigned i = 0; i < s->variable_count; i++)
		if (span_eq_nocase(s->variables[i], name))
			return (int)i;
	return -1;
}

enum { WORD_BYTES = 40 };

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

unsigned sieve_word_distance(struct span a, struct span b, unsigned most)
{
	unsigned rows[3][WORD_BYTES + 1];

	if (a.len > WORD_BYTES || b.len > WORD_BYTES)
		return most + 1;
	for (unsigned j = 0; j <= b.len; j++)
		rows[0][j] = j;
	for (unsigned i = 1; i <= a.len; i++) {
		unsigned *now = rows[i % 3], *up = rows[(i + 2) % 3], *up2 = rows[(i + 1) % 3];

		now[0] = i;
		for (unsigned j = 1; j <= b.len; j++) {
			bool same = byte_lower(a.ptr[i - 1]) == byte_lower(b.ptr[j - 1]);

			now[j] = least(least(now[j - 1], up[j]) + 1, up[j - 1] + (same ? 0 : 1));
			if (i > 1 && j > 1 && byte_lower(a.ptr[i - 1]) == byte_lower(b.ptr[j - 2]) &&
			    byte_lower(a.ptr[i - 2]) == byte_lower(b.ptr[j - 1]))
				now[j] = least(now[j], up2[j - 2] + 1);
		}
	}
	return least(rows[a.len % 3][b.len], most + 1);
}

/* keeps the nearer of two; a word of three letters may differ in one, others in two */
static void nearer(struct span name, const char *word, const char **best, unsigned *distance)
{
	unsigned most = name.len <= 3 ? 1 : 2, d = sieve_word_distance(name, span_str(word), most);

	if (d <= most && d < *distance) {
		*best = word;
		*distance = d;
	}
}

const char *sieve_verb_near(struct span name, bool test)
{
	const char *best = NULL;
	unsigned distance = 9;

	for (size_t i = 0; i < VERBS; i++)
		if (verb_is(&verbs[i], test))
			nearer(name, verbs[i].name, &best, &distance);
	return best;
}

const char *sieve_ext_near(struct span name)
{
	const char *best = NULL;
	unsigned distance = 9;

	for (size_t i = 0; i < SIEVE_EXT_COUNT; i++)
		nearer(name, sieve_ext_names[i], &best, &distance);
	return best;
}

const char *sieve_tag_near(struct span name, uint64_t among)
{
	const char *best = NULL;
	unsigned distance = 9;

	for (unsigned t = 0; t < SIEVE_TAGS; t++)
		if (among >> t & 1)
			nearer(name, sieve_tags[t].name, &best, &distance);
	return best;
}
