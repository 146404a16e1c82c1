/* bounce - a non-delivery report: the machine-readable part of RFC 3464 where there is one, else the free forms of qmail, Exim, Exchange,
 * Postfix, sendmail, Gmail, Courier and others. The words that it quotes are explained like a reply; what it says about itself is only the
 * frame. */
#include "answer/finding.h"
#include "answer/mask.h"

enum {
	VALUE_BYTES = 4096, /* of an unfolded field */
	FREE_BYTES = 6144,  /* of the words of a free form */
	FREE_LINES = 60,
};

struct bounce {
	struct buf diagnostic, words;
	struct span status, remote, recipient, action;
	size_t recipients;
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

static void bounce_take_field(struct bounce *b, struct span line, struct span rest)
{
	struct span value;

	if (bounce_field(line, "Final-Recipient", &value)) {
		b->recipients++;
		b->report = true;
		if (b->recipients == 1)
			b->recipient = bounce_typed(value);
	} else if (bounce_field(line, "Action", &value) && !b->action.len) {
		b->action = value;
	} else if (bounce_field(line, "Status", &value) && !b->status.len && value.len && byte_is_digit(value.ptr[0])) {
		b->status = value;
		b->report = true;
	} else if (bounce_field(line, "Remote-MTA", &value) && !b->remote.len) {
		b->remote = bounce_typed(value);
	} else if (bounce_field(line, "Diagnostic-Code", &value) && !b->diagnostic.len) {
		bounce_unfold(&b->diagnostic, value, rest);
		b->report = true;
	} else if (bounce_field(line, "X-Failed-Recipients", &value) && !b->recipient.len) {
		b->recipient = value;
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

/* Who wrote the words: Remote-MTA and "said" mean the next server; the report's own server writes the rest. */
static void bounce_speaker(const struct bounce *b, struct finding *out)
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
	if (b->remote.len || bounce_line_has(buf_span(&out->evidence), quoted, sizeof(quoted) / sizeof(quoted[0])))
		out->speaker = SPEAKER_REMOTE;
	else if (out->speaker == SPEAKER_UNKNOWN)
		out->speaker = SPEAKER_SERVER;
}

static void bounce_judge(struct bounce *b, struct finding *out)
{
	struct explanation free_words;
	struct explain_context context = {0, EXPLAIN_NO_EMITTER};

	out->form = FORM_BOUNCE;
	if (b->diagnostic.len) {
		explain_text_in(buf_span(&b->diagnostic), &context, &out->e);
		finding_evidence(out, buf_span(&b->diagnostic));
	}
	if (b->words.len && (!out->e.count || out->e.undecided || out->e.found[0].confidence < 0.6)) {
		explain_text_in(buf_span(&b->words), &context, &free_words);
		if (!out->e.count ||
		    (free_words.count && !free_words.undecided && free_words.found[0].confidence > out->e.found[0].confidence)) {
			out->e = free_words;
			finding_evidence(out, bounce_said(buf_span(&b->words)));
		}
	}
	if (!out->e.count && b->status.len) {
		explain_text_in(b->status, &context, &out->e);
		finding_evidence(out, b->status);
	}
	if (b->words.len && out->e.emitter < 0) { /* who wrote the report, where the quoted words do not say who they are from */
		explain_text_in(buf_span(&b->words), &context, &free_words);
		out->e.emitter = free_words.emitter;
	}
	out->more = b->recipients > 1 ? b->recipients - 1 : 0;
	if (b->recipient.len) {
		struct buf shown;

		buf_init(&shown, 1024);
		mask_line(&shown, b->recipient, 200);
		finding_step(out,
			     span_starts_nocase(b->action, SPAN_LIT("delayed")) ? "The mail to %s waits; it is tried again."
										: "The mail to %s came back.",
			     buf_cstr(&shown));
		buf_clear(&shown);
	}
	bounce_speaker(b, out);
}

bool bounce_read(struct span text, struct finding *out)
{
	struct bounce b = {.header = false};
	bool is;

	if (text.len < 60 || span_find(text, '\n') + 1 >= text.len)
		return false;
	buf_init(&b.diagnostic, VALUE_BYTES);
	buf_init(&b.words, FREE_BYTES + 16);
	bounce_scan(&b, text);
	is = b.report || b.header || b.words.len > 40;
	if (is)
		bounce_judge(&b, out);
	buf_clear(&b.diagnostic);
	buf_clear(&b.words);
	return is;
}
