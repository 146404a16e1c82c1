/* bounce - a non-delivery report: the machine-readable part of RFC 3464 where there is one, else the free forms of qmail, Exim, Exchange,
 * Postfix, sendmail, Gmail, Courier and others. The words that it quotes are explained like a reply; what it says about itself is only the
 * frame. */
#include "answer/bounce_mime.h"
#include "answer/finding.h"
#include "answer/mask.h"

enum {
	VALUE_BYTES = 4096, /* of an unfolded field */
	FREE_BYTES = 6144,  /* of the words of a free form */
	FREE_LINES = 60,
	FLAT_BYTES = 256 << 10, /* of the readable parts of a mail */
};

/* what the report says of one recipient */
struct group {
	struct span address, status, action, remote;
	struct span reason; /* of a free form, in `words` */
	struct buf diagnostic;
	bool any;
};

struct bounce {
	struct buf words;
	struct group groups[FINDING_RECIPIENTS + 1]; /* one at least, of which nothing may be known */
	size_t count;				     /* the last is open */
	size_t recipients;			     /* all that are named */
	struct span failed;			     /* X-Failed-Recipients */
	bool report, header, begun, over;
};

/* what a report of no machine-readable form begins with, in lower case; the words follow */
static const char *const openings[] = {
	"hi. this is the",
	"this message was created automatically by mail delivery software",
	"this is the mail system at host",
	"this is the postfix program",
	"a message that you sent could not be delivered",
	"a message that you sent has not yet been delivered",
	"----- the following addresses had permanent fatal errors",
	"----- transcript of session follows",
	"the following addresses had permanent",
	"the following address(es) failed",
	"delivery has failed to these recipients",
	"your message did not reach some or all of the intended recipients",
	"your message wasn't delivered",
	"delivery to the following recipient",
	"address not found",
	"message not delivered",
	"message blocked",
	"the response from the remote server was",
	"the response was:",
	"undeliverable:",
	"mail delivery failed",
	"could not be delivered",
	"this is a delivery status notification",
	"i'm sorry to have to inform you",
	"i wasn't able to deliver your message",
	"i'm afraid i wasn't able to deliver",
	"delivery status notification (failure)",
	"returned mail",
	"diagnostic information for administrators",
	"sorry, we were unable to deliver your message",
	"the original message was received at",
	"undelivered mail returned to sender",
	"this is an automatically generated delivery status",
};

/* where the sender's own message begins */
static const char *const endings[] = {
	"--- below this line is a copy",
	"------ this is a copy of",
	"----- original message",
	"----- unsent message",
	"original message headers:",
	"original message details",
	"content-type: message/rfc822",
	"content-type: text/rfc822-headers",
	"----- message header follows",
	"--- returned message",
	"received: from",
	"return-path: <",
	"------- original message",
	"message header:",
};

static bool bounce_line_has(struct span line, const char *const *words, size_t count)
{
	uint8_t lower[160];
	size_t len = line.len < sizeof(lower) ? line.len : sizeof(lower);

	for (size_t i = 0; i < len; i++)
		lower[i] = byte_lower(line.ptr[i]);
	for (size_t i = 0; i < count; i++)
		if (span_find_span(span_of(lower, len), span_str(words[i])) < len)
			return true;
	return false;
}

#define LINE_HAS(line, table) bounce_line_has(line, table, sizeof(table) / sizeof((table)[0]))

static bool bounce_field(struct span line, const char *name, struct span *value_out)
{
	struct span key = span_str(name);

	if (!span_starts_nocase(line, key) || line.len <= key.len || line.ptr[key.len] != ':')
		return false;
	*value_out = span_trim(span_from(line, key.len + 1));
	return true;
}

/* "rfc822; user@host" without its type */
static struct span bounce_typed(struct span value)
{
	size_t at = span_find(value, ';');

	return at < value.len && at < 16 ? span_trim(span_from(value, at + 1)) : value;
}

/* a field that goes on in the next lines, as it was before somebody folded it */
static void bounce_unfold(struct buf *out, struct span value, struct span rest)
{
	buf_reset(out);
	buf_add(out, value);
	while (rest.len && (rest.ptr[0] == ' ' || rest.ptr[0] == '\t')) {
		struct span line = span_trim(span_cut(&rest, '\n'));

		while (line.len && line.ptr[line.len - 1] <= ' ')
			line.len--;
		if (!line.len)
			break;
		buf_add_byte(out, ' ');
		buf_add(out, line);
	}
}

static struct group *bounce_group(struct bounce *b)
{
	return &b->groups[b->count - 1];
}

/* an empty line ends what is said of one recipient */
static void bounce_next_group(struct bounce *b)
{
	struct group *g = bounce_group(b);

	if (!g->any)
		return;
	if (!g->address.len && !g->diagnostic.len && !g->status.len) { /* of the message as a whole */
		g->any = false;
		return;
	}
	if (b->count <= FINDING_RECIPIENTS) {
		b->groups[b->count] = (struct group){.any = false};
		buf_init(&b->groups[b->count++].diagnostic, VALUE_BYTES);
	}
}

static void bounce_take_field(struct bounce *b, struct span line, struct span rest)
{
	struct group *g = bounce_group(b);
	struct span value;

	if (bounce_field(line, "Final-Recipient", &value)) {
		if (g->address.len) {
			bounce_next_group(b);
			g = bounce_group(b);
		}
		b->recipients++;
		b->report = g->any = true;
		g->address = bounce_typed(value);
	} else if (bounce_field(line, "Action", &value) && !g->action.len) {
		g->action = value;
		g->any = true;
	} else if (bounce_field(line, "Status", &value) && !g->status.len && value.len && byte_is_digit(value.ptr[0])) {
		g->status = value;
		b->report = g->any = true;
	} else if (bounce_field(line, "Remote-MTA", &value) && !g->remote.len) {
		g->remote = bounce_typed(value);
		g->any = true;
	} else if (bounce_field(line, "Diagnostic-Code", &value) && !g->diagnostic.len) {
		bounce_unfold(&g->diagnostic, value, rest);
		b->report = g->any = true;
	} else if (bounce_field(line, "X-Failed-Recipients", &value) && !b->failed.len) {
		b->failed = value;
		b->header = true;
	}
}

/* quoted-printable, as far as it hides words: "=3D" and a line that goes on */
static void bounce_add_words(struct buf *out, struct span line)
{
	bool soft = line.len && line.ptr[line.len - 1] == '=';

	if (soft)
		line.len--;
	for (size_t i = 0; i < line.len; i++) {
		if (line.ptr[i] == '=' && i + 2 < line.len && line.ptr[i + 1] == '3' && line.ptr[i + 2] == 'D') {
			buf_add_byte(out, '=');
			i += 2;
		} else {
			buf_add_byte(out, line.ptr[i]);
		}
	}
	if (!soft)
		buf_add_byte(out, '\n');
}

static void bounce_scan(struct bounce *b, struct span text)
{
	size_t lines = 0;

	while (text.len) {
		struct span line = span_cut(&text, '\n');
		bool opens = false;

		while (line.len && line.ptr[line.len - 1] <= ' ')
			line.len--;
		if (!line.len)
			bounce_next_group(b);
		bounce_take_field(b, line, text);
		if (!b->over)
			opens = LINE_HAS(line, openings);
		if (b->begun && !b->over && LINE_HAS(line, endings))
			b->over = true;
		if (opens && !b->begun && (!span_starts_nocase(line, SPAN_LIT("subject:")))) {
			b->begun = true;
			lines = 0;
		}
		if (b->begun && !b->over && lines++ < FREE_LINES && b->words.len + line.len + 2 < FREE_BYTES &&
		    !span_starts(line, SPAN_LIT("--")) && !span_starts_nocase(line, SPAN_LIT("content-")))
			bounce_add_words(&b->words, line);
	}
}

/* the line of the free words that a server said: it has a code, or a "said:" */
static struct span bounce_said(struct span words)
{
	struct span first = SPAN_NONE;

	while (words.len) {
		struct span line = span_trim(span_cut(&words, '\n'));

		for (size_t i = 0; i + 3 < line.len; i++) {
			bool starts = i == 0 || !byte_is_alnum(line.ptr[i - 1]);

			if (starts && (line.ptr[i] == '5' || line.ptr[i] == '4') && byte_is_digit(line.ptr[i + 1]) &&
			    byte_is_digit(line.ptr[i + 2]) && (line.ptr[i + 3] == ' ' || line.ptr[i + 3] == '-') &&
			    (i == 0 || line.ptr[i - 1] != '.'))
				return line;
		}
		if (!first.len && line.len && span_find(line, '@') == line.len && !LINE_HAS(line, openings))
			first = line;
	}
	return first;
}

/* "<a@b>:" of Postfix and qmail, and a line that is nothing but an address, as Exim has it: what follows is about that one */
static struct span bounce_opener(struct span line)
{
	struct span s = span_trim(line);
	size_t close = span_find(s, '>');

	if (s.len > 4 && s.ptr[0] == '<' && close + 1 < s.len && s.ptr[close + 1] == ':' && span_find(s, '@') < close)
		return span_of(s.ptr + 1, close - 1);
	if (s.len > 4 && span_find(s, '@') < s.len && span_find(s, ' ') == s.len && byte_is_alnum(s.ptr[0]) &&
	    byte_is_alnum(s.ptr[s.len - 1]) && span_find(s, ':') == s.len && line.len > s.len)
		return s;
	return SPAN_NONE;
}

static struct group *bounce_find_group(struct bounce *b, struct span address)
{
	for (size_t i = 0; i < b->count; i++)
		if (span_eq_nocase(b->groups[i].address, address))
			return &b->groups[i];
	if (!b->report && b->count <= FINDING_RECIPIENTS) {
		struct group *g = bounce_group(b);

		g->address = address;
		g->any = true;
		b->recipients++;
		bounce_next_group(b);
		return g;
	}
	return NULL;
}

/* what a free form says of each recipient, where it names several */
static void bounce_split(struct bounce *b)
{
	struct span rest = buf_span(&b->words);
	struct group *open = NULL;

	while (rest.len) {
		struct span whole = rest, line = span_cut(&rest, '\n'), address = bounce_opener(line);

		if (address.len) {
			open = bounce_find_group(b, address);
			if (open && !open->reason.len)
				open->reason = whole;
			else
				open = NULL;
		}
		if (open)
			open->reason.len = (size_t)((rest.ptr ? rest.ptr : whole.ptr + whole.len) - open->reason.ptr);
		if (open && !span_trim(line).len && open->reason.len > address.len + 8)
			open = NULL;
	}
}

/* Who wrote the words: Remote-MTA and "said" mean the next server; the report's own server writes the rest. */
static void bounce_speaker(const struct group *g, struct finding *out)
{
	static const char *const quoted[] = {"said:",
					     "said ",
					     "smtp error from remote",
					     "the response from the remote server",
					     "remote server returned",
					     "<<< ",
					     "while talking to",
					     "remote host said",
					     "responded:"};

	finding_speaker(out);
	if (out->speaker == SPEAKER_DNS_LIST || out->speaker == SPEAKER_DNS || out->speaker == SPEAKER_OURS)
		return;
	if (g->remote.len || bounce_line_has(buf_span(&out->evidence), quoted, sizeof(quoted) / sizeof(quoted[0])))
		out->speaker = SPEAKER_REMOTE;
	else if (out->speaker == SPEAKER_UNKNOWN)
		out->speaker = SPEAKER_SERVER;
}

static bool bounce_is_better(const struct explanation *e, const struct explanation *than)
{
	return !than->count || (e->count && !e->undecided && (than->undecided || e->found[0].confidence > than->found[0].confidence));
}

/* the causes of one recipient: what the server said for machines, else for people, else the bare status. `words`: of the whole report */
static struct span bounce_explain(const struct group *g, struct span words, struct explanation *out)
{
	struct span evidence = SPAN_NONE, reason = g->reason.len ? g->reason : words;
	struct explanation other;

	*out = (struct explanation){.emitter = EXPLAIN_NO_EMITTER, .program = EXPLAIN_NO_EMITTER};
	if (g->diagnostic.len) {
		explain_text(buf_span(&g->diagnostic), out);
		evidence = buf_span(&g->diagnostic);
	}
	if (reason.len && (!out->count || out->undecided || out->found[0].confidence < 0.6)) {
		explain_text(reason, &other);
		if (bounce_is_better(&other, out)) {
			*out = other;
			evidence = bounce_said(reason);
		}
	}
	if (!out->count && g->status.len) {
		explain_text(g->status, out);
		evidence = g->status;
	}
	return evidence;
}

static void bounce_tell(struct finding *out, const struct group *g, const struct explanation *e, struct span evidence, bool several)
{
	bool waits = span_starts_nocase(g->action, SPAN_LIT("delayed"));
	struct finding_recipient *r;
	struct buf shown;

	if (!g->address.len)
		return;
	buf_init(&shown, 1024);
	mask_line(&shown, g->address, 200);
	if (several)
		finding_step(out, "The mail to %s %s (%s).", buf_cstr(&shown), waits ? "waits and is tried again" : "came back",
			     cause_slug(e->count && !e->undecided ? e->found[0].cause : CAUSE_INSUFFICIENT_TEXT));
	else
		finding_step(out, waits ? "The mail to %s waits; it is tried again." : "The mail to %s came back.", buf_cstr(&shown));
	if (out->recipient_count < FINDING_RECIPIENTS) {
		r = &out->recipients[out->recipient_count++];
		buf_init(&r->address, 1024);
		buf_init(&r->evidence, 4 * FINDING_LINE_BYTES + 16);
		buf_add(&r->address, buf_span(&shown));
		mask_line(&r->evidence, span_trim(evidence), FINDING_LINE_BYTES);
		r->cause = e->count && !e->undecided ? e->found[0].cause : CAUSE_INSUFFICIENT_TEXT;
		r->confidence = e->count ? e->found[0].confidence : 0;
	}
	buf_clear(&shown);
}

static void bounce_judge(struct bounce *b, struct finding *out)
{
	struct explanation e;
	bool several = b->count > 1;
	size_t told = 0;

	out->form = FORM_BOUNCE;
	for (size_t i = 0; i < b->count; i++) {
		struct group *g = &b->groups[i];
		struct span evidence, said;

		if (several && (span_starts_nocase(g->action, SPAN_LIT("deliv")) || span_starts_nocase(g->action, SPAN_LIT("relay"))))
			continue;
		evidence = said = bounce_explain(g, several ? SPAN_NONE : buf_span(&b->words), &e);
		if (!told++) {
			out->e = e;
			finding_evidence(out, said);
			bounce_speaker(g, out);
		}
		bounce_tell(out, g, &e, evidence, several);
	}
	if (b->words.len && out->e.emitter < 0) { /* who wrote the report, where the quoted words do not say who they are from */
		explain_text(buf_span(&b->words), &e);
		out->e.emitter = e.emitter;
		bounce_speaker(&b->groups[0], out);
	}
	out->more = b->recipients > 1 ? b->recipients - 1 : 0;
}

/* of the groups those of which something is known; at least one */
static void bounce_close(struct bounce *b)
{
	if (b->count > 1 && !bounce_group(b)->any)
		buf_clear(&b->groups[--b->count].diagnostic);
	bounce_split(b);
	if (b->count > 1 && !bounce_group(b)->any)
		buf_clear(&b->groups[--b->count].diagnostic);
	if (!b->groups[0].address.len && b->count == 1)
		b->groups[0].address = b->failed;
}

static bool bounce_read_text(struct span text, struct finding *out)
{
	struct bounce b = {.count = 1};
	bool is;

	buf_init(&b.groups[0].diagnostic, VALUE_BYTES);
	buf_init(&b.words, FREE_BYTES + 16);
	bounce_scan(&b, text);
	is = b.report || b.header || b.words.len > 40;
	if (is) {
		bounce_close(&b);
		bounce_judge(&b, out);
	}
	for (size_t i = 0; i < b.count; i++)
		buf_clear(&b.groups[i].diagnostic);
	buf_clear(&b.words);
	return is;
}

bool bounce_read(struct span text, struct finding *out)
{
	struct buf flat;
	bool is;

	if (text.len < 60 || span_find(text, '\n') + 1 >= text.len)
		return false;
	buf_init(&flat, FLAT_BYTES);
	is = bounce_flatten(text, &flat) && bounce_read_text(buf_span(&flat), out);
	buf_clear(&flat);
	return is || bounce_read_text(text, out);
}
