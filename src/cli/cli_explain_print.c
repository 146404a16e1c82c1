#include "cli/cli_explain_print.h"

#include <inttypes.h>
#include <jansson.h>

#include "base/span.h"

enum { REASONS_SHOWN = 3, FIXES_SHOWN = 2, WIDTH_COLUMNS = 100, LIKELY_PERCENT = 60 };

#define AT_SENDING "Administrator of the sending server: "
#define AT_SERVER "Administrator of the server: "
#define AT_RECEIVING "Administrator of the recipient's server: "

/* who the two administrators of a cause are, by how its name begins; with others, one server refused what another one sent */
static const struct {
	const char *slug, *admin, *remote;
} explain_sides[] = {
	{"remote-", AT_SENDING, AT_RECEIVING},
	{"tls-remote-", AT_SENDING, AT_RECEIVING},
	{"tls-dane-", AT_SENDING, AT_RECEIVING},
	{"tls-sts-", AT_SENDING, AT_RECEIVING},
	{"queue-expired", AT_SENDING, AT_RECEIVING},
	{"dns-failure", AT_SENDING, "Administrator of that domain: "},
	{"rcpt-domain-not-", AT_SERVER, "Administrator of the recipient's domain: "},
	{"local-domain-", AT_SENDING, AT_RECEIVING},
	{"timeout", AT_SERVER, AT_SENDING},
	{"tls-", AT_SERVER, AT_SENDING},
	{"server-", AT_SERVER, AT_SENDING},
	{"port", AT_SERVER, AT_SENDING},
	{"", "Administrator of the server that refused: ", AT_SENDING},
};

static const struct {
	const char *speaker, *words;
} explain_speakers[] = {
	{"server", "the server"},
	{"program", "the mail program itself"},
	{"middlebox", "something in between (a firewall or virus scanner)"},
	{"filter", "a mail filter"},
	{"remote", "the next server, quoted"},
	{"dns-list", "a block list that the server asked"},
	{"dns", "the name service"},
	{"mailroom", "a mailroom server"},
};

static const char *explain_role_title(const char *slug, const char *who)
{
	size_t side = 0;

	if (strcmp(who, "client") == 0)
		return "Mail program: ";
	if (strcmp(who, "sender") == 0)
		return "Sender: ";
	while (!span_starts(span_str(slug), span_str(explain_sides[side].slug)))
		side++;
	return strcmp(who, "admin") == 0 ? explain_sides[side].admin : strcmp(who, "remote-admin") == 0 ? explain_sides[side].remote : "";
}

static const char *explain_retry_words(const char *retry)
{
	if (strcmp(retry, "later") == 0)
		return "after a while";
	return strcmp(retry, "after-fix") == 0 ? "when this has been put right" : "no, the answer would be the same";
}

static const char *explain_sure_words(double confidence)
{
	int percent = (int)(confidence * 100 + 0.5);

	return percent >= LIKELY_PERCENT ? "" : ": a guess";
}

/* words behind a title, broken between words; what follows the first line stands below its beginning */
static void explain_print_words(int indent, int hang, const char *title, const char *words)
{
	struct span left = span_str(words), line;
	size_t room = strlen(title) < WIDTH_COLUMNS / 2 ? (size_t)(WIDTH_COLUMNS - indent) - strlen(title) : WIDTH_COLUMNS / 2;

	printf("%*s%s", indent, "", title);
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

static json_t *explain_json_fixes(const char *slug)
{
	json_t *fix = json_array();

	for (size_t i = 0; mailroom_cause_fix_who(slug, i); i++)
		json_array_append_new(
			fix, json_pack("{s:s, s:s}", "who", mailroom_cause_fix_who(slug, i), "what", mailroom_cause_fix_what(slug, i)));
	return fix;
}

static json_t *explain_json_cause(const struct mailroom_answer *a, size_t i)
{
	const char *slug = mailroom_answer_slug(a, i);
	json_t *likely = json_array();

	for (size_t k = 0; mailroom_cause_likely(slug, k); k++)
		json_array_append_new(likely, json_string(mailroom_cause_likely(slug, k)));
	return json_pack("{s:s, s:f, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:s, s:b, s:b, s:s, s:s, s:s}", "slug", slug, "confidence",
			 mailroom_answer_confidence(a, i), "meaning", mailroom_cause_meaning(slug), "emitter", mailroom_answer_emitter(a),
			 "evidence", mailroom_answer_evidence(a), "why", mailroom_answer_why(a, i), "against",
			 mailroom_answer_against(a, i), "likely", likely, "fix", explain_json_fixes(slug), "retry",
			 mailroom_cause_retry(slug), "code_permanent", mailroom_cause_code_is_permanent(slug), "cause_permanent",
			 mailroom_cause_is_permanent(slug), "source", mailroom_cause_source(slug), "note", mailroom_answer_note(a, i),
			 "known_from", mailroom_answer_known_from(a, i));
}

/* where nothing fits, that is the answer */
static json_t *explain_json_nothing(const char *slug)
{
	return json_pack("{s:s, s:f, s:s, s:o, s:s}", "slug", slug, "confidence", 0.0, "meaning", mailroom_cause_meaning(slug), "fix",
			 explain_json_fixes(slug), "retry", mailroom_cause_retry(slug));
}

static json_t *explain_json_recipients(const struct mailroom_answer *a)
{
	json_t *recipients = json_array();

	for (size_t i = 0; i < mailroom_answer_recipient_count(a); i++)
		json_array_append_new(recipients, json_pack("{s:s, s:s, s:f, s:s}", "recipient", mailroom_answer_recipient(a, i), "slug",
							    mailroom_answer_recipient_slug(a, i), "confidence",
							    mailroom_answer_recipient_confidence(a, i), "evidence",
							    mailroom_answer_recipient_evidence(a, i)));
	return recipients;
}

void explain_print_json(const struct mailroom_answer *a, unsigned long line)
{
	static const char *const forms[] = {[MAILROOM_ANSWER_REPLY] = "reply",
					    [MAILROOM_ANSWER_BOUNCE] = "bounce",
					    [MAILROOM_ANSWER_TRANSCRIPT] = "transcript",
					    [MAILROOM_ANSWER_LOG] = "log"};
	const char *verdict = mailroom_answer_verdict(a), *best = mailroom_answer_count(a) ? mailroom_answer_slug(a, 0) : verdict;
	json_t *causes = json_array(), *chain = json_array(), *out;

	for (size_t i = 0; i < mailroom_answer_count(a); i++)
		json_array_append_new(causes, explain_json_cause(a, i));
	if (!mailroom_answer_count(a))
		json_array_append_new(causes, explain_json_nothing(verdict));
	for (size_t i = 0; i < mailroom_answer_step_count(a); i++)
		json_array_append_new(chain, json_string(mailroom_answer_step(a, i)));
	out = json_pack("{s:s, s:o, s:b, s:s, s:s, s:s, s:s, s:o, s:s, s:o, s:b}", "verdict", verdict, "causes", causes, "undecided",
			mailroom_answer_is_undecided(a), "form", forms[mailroom_answer_form(a)], "emitter", mailroom_answer_emitter(a),
			"speaker", mailroom_answer_speaker(a), "evidence", mailroom_answer_evidence(a), "fix", explain_json_fixes(best),
			"retry", mailroom_cause_retry(best), "chain", chain, "cut", mailroom_answer_is_cut(a));
	if (line)
		json_object_set_new(out, "line", json_integer((json_int_t)line));
	if (mailroom_answer_code(a))
		json_object_set_new(out, "code", json_integer(mailroom_answer_code(a)));
	if (mailroom_answer_enhanced(a)[0])
		json_object_set_new(out, "enhanced", json_string(mailroom_answer_enhanced(a)));
	if (mailroom_answer_is_undecided(a) || !mailroom_answer_count(a))
		json_object_set_new(out, "decide", json_string(mailroom_answer_ask(a)));
	if (mailroom_answer_recipient_count(a))
		json_object_set_new(out, "recipients", explain_json_recipients(a));
	if (mailroom_answer_more(a))
		json_object_set_new(out, "more", json_integer((json_int_t)mailroom_answer_more(a)));
	json_dumpf(out, stdout, (line ? JSON_COMPACT : JSON_INDENT(2)) | JSON_REAL_PRECISION(3));
	putchar('\n');
	json_decref(out);
}

static void explain_print_fixes(const char *slug, size_t most)
{
	puts("  What to do");
	for (size_t i = 0; i < most && mailroom_cause_fix_who(slug, i); i++)
		explain_print_words(4, 2, explain_role_title(slug, mailroom_cause_fix_who(slug, i)), mailroom_cause_fix_what(slug, i));
}

static void explain_print_why(const struct mailroom_answer *a, size_t i)
{
	const char *slug = mailroom_answer_slug(a, i);

	if (mailroom_answer_why(a, i)[0])
		explain_print_words(2, 2, "Speaks for it: ", mailroom_answer_why(a, i));
	if (mailroom_answer_against(a, i)[0])
		explain_print_words(2, 2, "Speaks against it: ", mailroom_answer_against(a, i));
	if (mailroom_answer_known_from(a, i)[0])
		explain_print_words(2, 2, "These words are known from: ", mailroom_answer_known_from(a, i));
	if (mailroom_cause_code_is_permanent(slug) && !mailroom_cause_is_permanent(slug))
		puts("  The code says for ever; this cause ends by itself.");
}

/* number 0: the only one */
static void explain_print_cause(const struct mailroom_answer *a, size_t i, size_t number, bool why, bool details)
{
	const char *slug = mailroom_answer_slug(a, i);
	double confidence = mailroom_answer_confidence(a, i);
	char title[24] = "";

	if (number)
		(void)snprintf(title, sizeof(title), "%zu. ", number);
	explain_print_words(0, number ? 3 : 0, title, mailroom_cause_meaning(slug));
	printf("  Cause: %s (%.0f %% sure%s)\n", slug, confidence * 100, explain_sure_words(confidence));
	if (why)
		explain_print_why(a, i);
	if (!details)
		return;
	if (why) {
		puts("  Likely because");
		for (size_t k = 0; mailroom_cause_likely(slug, k) && k < REASONS_SHOWN; k++)
			explain_print_words(4, 2, "- ", mailroom_cause_likely(slug, k));
	}
	explain_print_fixes(slug, why ? SIZE_MAX : FIXES_SHOWN);
	if (mailroom_answer_note(a, i)[0]) /* what holds for this server alone */
		explain_print_words(2, 2, "Note: ", mailroom_answer_note(a, i));
	printf("  Try again: %s\n", explain_retry_words(mailroom_cause_retry(slug)));
}

static void explain_print_who(const struct mailroom_answer *a)
{
	const char *name = mailroom_answer_emitter_name(a);

	for (size_t i = 0; i < sizeof(explain_speakers) / sizeof(explain_speakers[0]); i++) {
		if (strcmp(explain_speakers[i].speaker, mailroom_answer_speaker(a)) != 0)
			continue;
		printf("  Said by: %s%s%s\n", explain_speakers[i].words, name[0] ? "; in the words of: " : "", name);
		return;
	}
	if (name[0])
		printf("  Said by: %s\n", name);
}

static void explain_print_seen(const struct mailroom_answer *a, bool why)
{
	if (mailroom_answer_evidence(a)[0] && mailroom_answer_count(a))
		explain_print_words(2, 2, "Seen: ", mailroom_answer_evidence(a));
	if (why)
		explain_print_who(a);
	if (mailroom_answer_step_count(a) &&
	    (why || mailroom_answer_step_count(a) > 1 || mailroom_answer_form(a) == MAILROOM_ANSWER_TRANSCRIPT)) {
		puts("  What happened, the first thing first");
		for (size_t i = 0; i < mailroom_answer_step_count(a); i++)
			explain_print_words(4, 2, "- ", mailroom_answer_step(a, i));
	}
	if (mailroom_answer_more(a))
		printf("  There is more of it in this text: %zu further %s.\n", mailroom_answer_more(a),
		       mailroom_answer_form(a) == MAILROOM_ANSWER_BOUNCE ? "recipients"
		       : mailroom_answer_form(a) == MAILROOM_ANSWER_LOG	 ? "refusals"
									 : "conversations");
}

void explain_print(const struct mailroom_answer *a, bool why)
{
	const char *unsure = "insufficient-text";
	bool undecided = mailroom_answer_is_undecided(a);
	size_t count = mailroom_answer_count(a);

	if (!count) {
		puts(mailroom_answer_form(a) == MAILROOM_ANSWER_TRANSCRIPT ? "No refusal stands in this conversation, as far as it goes."
		     : mailroom_answer_form(a) == MAILROOM_ANSWER_LOG
			     ? "No refusal stands in these lines of a log."
			     : "No known cause fits this text. Give the whole reply of the server, with its number.");
		explain_print_seen(a, why);
		return;
	}
	if (undecided)
		printf("%s The likeliest is first.\n\n", mailroom_cause_meaning(unsure));
	for (size_t i = 0; i < count && (undecided ? why || i < 2 : why || i == 0); i++) {
		explain_print_cause(a, i, undecided || why ? i + 1 : 0, why, i == 0 || (undecided && i == 1));
		if (i == 0)
			explain_print_seen(a, why);
		if (undecided)
			putchar('\n');
	}
	if (undecided) {
		printf("To find out which (%s)\n", unsure);
		explain_print_words(4, 2, "", mailroom_answer_ask(a));
	}
	if (mailroom_answer_is_cut(a))
		puts("Only the beginning of it was looked at.");
}

static void explain_print_row(const struct mailroom_answer_log *log, size_t row, bool why)
{
	const char *slug = mailroom_answer_log_slug(log, row);

	printf("%10" PRIu64 "  %-28s", mailroom_answer_log_hits(log, row), slug);
	printf(*mailroom_answer_log_first(log, row) ? " %s .. %s\n" : "\n", mailroom_answer_log_first(log, row),
	       mailroom_answer_log_last(log, row));
	for (size_t i = 0; mailroom_answer_log_name(log, row, i); i++)
		printf("%s%s (%" PRIu64 ")", i ? ", " : "            hit: ", mailroom_answer_log_name(log, row, i),
		       mailroom_answer_log_name_hits(log, row, i));
	if (mailroom_answer_log_name(log, row, 0))
		printf(mailroom_answer_log_others(log, row) ? ", others or unnamed (%" PRIu64 ")\n" : "\n",
		       mailroom_answer_log_others(log, row));
	printf("            %s\n", mailroom_answer_log_example(log, row));
	if (why) {
		explain_print_words(12, 0, "", mailroom_cause_meaning(slug));
		for (size_t i = 0; mailroom_cause_fix_who(slug, i); i++)
			explain_print_words(12, 2, explain_role_title(slug, mailroom_cause_fix_who(slug, i)),
					    mailroom_cause_fix_what(slug, i));
	}
}

void explain_print_log(const struct mailroom_answer_log *log, bool why)
{
	uint64_t lines = mailroom_answer_log_count(log, MAILROOM_ANSWER_LOG_LINES);
	uint64_t refusals = mailroom_answer_log_count(log, MAILROOM_ANSWER_LOG_REFUSALS);
	uint64_t followed = mailroom_answer_log_count(log, MAILROOM_ANSWER_LOG_CONSEQUENCES);

	printf("%" PRIu64 " line%s, %" PRIu64 " refusal%s", lines, lines == 1 ? "" : "s", refusals, refusals == 1 ? "" : "s");
	if (followed)
		printf(", %" PRIu64 " more that only followed from these", followed);
	puts(".");
	if (mailroom_answer_log_slug(log, 0))
		puts("     count  cause                        first .. last");
	for (size_t row = 0; mailroom_answer_log_slug(log, row); row++)
		explain_print_row(log, row, why);
	if (mailroom_answer_log_count(log, MAILROOM_ANSWER_LOG_CUT))
		printf("Of %" PRIu64 " lines only the beginning was looked at.\n", mailroom_answer_log_count(log, MAILROOM_ANSWER_LOG_CUT));
	if (mailroom_answer_log_count(log, MAILROOM_ANSWER_LOG_FORGOTTEN))
		printf("Of %" PRIu64 " messages the sender was forgotten before the end, to keep within memory.\n",
		       mailroom_answer_log_count(log, MAILROOM_ANSWER_LOG_FORGOTTEN));
}

void explain_print_log_json(const struct mailroom_answer_log *log)
{
	json_t *causes = json_array(), *out;

	for (size_t row = 0; mailroom_answer_log_slug(log, row); row++) {
		const char *slug = mailroom_answer_log_slug(log, row);
		json_t *names = json_array();

		for (size_t i = 0; mailroom_answer_log_name(log, row, i); i++)
			json_array_append_new(names, json_pack("{s:s, s:I}", "name", mailroom_answer_log_name(log, row, i), "count",
							       (json_int_t)mailroom_answer_log_name_hits(log, row, i)));
		json_array_append_new(causes, json_pack("{s:s, s:f, s:I, s:s, s:s, s:o, s:I, s:s, s:o, s:s}", "slug", slug, "confidence",
							mailroom_answer_log_confidence(log, row), "count",
							(json_int_t)mailroom_answer_log_hits(log, row), "first",
							mailroom_answer_log_first(log, row), "last", mailroom_answer_log_last(log, row),
							"names", names, "others", (json_int_t)mailroom_answer_log_others(log, row),
							"evidence", mailroom_answer_log_example(log, row), "fix", explain_json_fixes(slug),
							"retry", mailroom_cause_retry(slug)));
	}
	out = json_pack("{s:s, s:o, s:I, s:I, s:I, s:I, s:I}", "form", "log", "causes", causes, "lines",
			(json_int_t)mailroom_answer_log_count(log, MAILROOM_ANSWER_LOG_LINES), "refusals",
			(json_int_t)mailroom_answer_log_count(log, MAILROOM_ANSWER_LOG_REFUSALS), "consequences",
			(json_int_t)mailroom_answer_log_count(log, MAILROOM_ANSWER_LOG_CONSEQUENCES), "cut",
			(json_int_t)mailroom_answer_log_count(log, MAILROOM_ANSWER_LOG_CUT), "forgotten",
			(json_int_t)mailroom_answer_log_count(log, MAILROOM_ANSWER_LOG_FORGOTTEN));
	json_dumpf(out, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(3));
	putchar('\n');
	json_decref(out);
}

bool explain_print_program(const char *name)
{
	size_t program = 0;

	while (mailroom_program_slug(program) && strcmp(mailroom_program_slug(program), name) != 0)
		program++;
	if (!mailroom_program_slug(program)) {
		fprintf(stderr, "mailroom explain: no mail program \"%s\"; known are", name);
		for (size_t i = 0; mailroom_program_slug(i); i++)
			fprintf(stderr, "%s %s", i ? "," : "", mailroom_program_slug(i));
		fputs("\n", stderr);
		return false;
	}
	printf("%s\n", mailroom_program_name(program));
	for (size_t i = 0; mailroom_program_step(program, i); i++) {
		char number[16];

		(void)snprintf(number, sizeof(number), "%zu. ", i + 1);
		explain_print_words(2, 3, number, mailroom_program_step(program, i));
	}
	puts("  Where the settings are");
	for (size_t i = 0; mailroom_program_setting(program, i); i++) {
		char title[40];

		(void)snprintf(title, sizeof(title), "%s: ", mailroom_program_setting(program, i));
		explain_print_words(4, 2, title, mailroom_program_setting_where(program, i));
	}
	return true;
}
