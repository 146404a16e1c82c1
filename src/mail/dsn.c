#include "mail/dsn.h"

#include <stdio.h>

#include "base/num.h"
#include "mail/header.h"
#include "mail/header_field.h"
#include "mail/words.h"

enum { DSN_WIDTH = 76, DSN_FIELD_BYTES = 900, DSN_SUBJECT_BYTES = 200 };

static const char *const dsn_actions[] = {[DSN_FAILED] = "failed", [DSN_DELAYED] = "delayed", [DSN_RELAYED] = "relayed", [DSN_DELIVERED] = "delivered",
	[DSN_EXPANDED] = "expanded"};

/* ---- words for people */

/* no control characters; what is no UTF-8 becomes "?"; never cut within a character */
static void dsn_add_clean(struct buf *out, struct span s, bool ascii)
{
	bool utf8 = !ascii && span_is_utf8(s);
	size_t len = s.len < DSN_FIELD_BYTES ? s.len : DSN_FIELD_BYTES;

	while (utf8 && len && len < s.len && (s.ptr[len] & 0xc0) == 0x80)
		len--;
	for (size_t i = 0; i < len; i++) {
		uint8_t c = s.ptr[i];

		buf_add_byte(out, c >= 0x80 ? (utf8 ? c : '?') : c < ' ' || c == 0x7f ? ' ' : c);
	}
}

/* one paragraph, each line begun with `indent` blanks, broken between words */
static void dsn_add_wrapped(struct buf *out, unsigned indent, struct span text)
{
	size_t line = 0;

	while (text.len) {
		struct span word = span_cut(&text, ' ');

		if (word.len == 0)
			continue;
		if (line && line + 1 + word.len > DSN_WIDTH) {
			buf_add_str(out, "\r\n");
			line = 0;
		}
		if (line == 0) {
			for (unsigned i = 0; i < indent; i++)
				buf_add_byte(out, ' ');
			line = indent;
		} else {
			buf_add_byte(out, ' ');
			line++;
		}
		buf_add(out, word);
		line += word.len;
	}
	buf_add_str(out, "\r\n");
}

static void dsn_paragraph(struct buf *out, unsigned indent, const char *title, struct span text)
{
	struct buf line;

	if (text.len == 0)
		return;
	buf_init(&line, 2 * DSN_FIELD_BYTES);
	buf_add_str(&line, title);
	dsn_add_clean(&line, text, false);
	dsn_add_wrapped(out, indent, buf_span(&line));
	buf_clear(&line);
}

/* appends the value of the first field of that name, decoded */
static void dsn_original_field(struct buf *out, struct span head, const char *name)
{
	struct header_field f;

	while (header_field_next(&head, &f))
		if (header_field_is(&f, name)) {
			(void)words_decode(out, span_head(span_trim(f.value), DSN_FIELD_BYTES));
			return;
		}
}

/* "your message", with its subject where it has one */
static void dsn_say_message(struct buf *out, const struct dsn *d, const char *begin)
{
	struct buf subject;
	struct span s;

	buf_init(&subject, 4 * DSN_FIELD_BYTES);
	dsn_original_field(&subject, d->head, "Subject");
	s = span_trim(buf_span(&subject));
	buf_add_str(out, begin);
	if (s.len && s.len <= DSN_SUBJECT_BYTES) {
		buf_add_str(out, " \"");
		dsn_add_clean(out, s, false);
		buf_add_byte(out, '"');
	}
	buf_clear(&subject);
}

static void dsn_say_duration(struct buf *out, int64_t ms)
{
	int64_t minutes = ms / 60000;

	if (minutes >= 2880)
		buf_printf(out, "%lld days", (long long)(minutes / 1440));
	else if (minutes >= 120)
		buf_printf(out, "%lld hours", (long long)(minutes / 60));
	else
		buf_printf(out, "%lld minute%s", (long long)(minutes > 1 ? minutes : 1), minutes > 1 ? "s" : "");
}

/* ends with the mark that a sentence has */
static void dsn_sentence(struct buf *out, const char *words)
{
	size_t len = strlen(words);

	buf_add_str(out, words);
	if (len && !strchr(".!?", words[len - 1]))
		buf_add_byte(out, '.');
}

/* ---- words for people: one reason, and the recipients that it holds back */

static void dsn_say_why(struct buf *out, const struct dsn *d, const struct dsn_rcpt *r, unsigned indent)
{
	struct buf why;

	buf_init(&why, 4 * DSN_FIELD_BYTES);
	buf_add_str(&why, "Why: ");
	if (r->expired) {
		buf_add_str(&why, "It was tried again and again for ");
		dsn_say_duration(&why, d->now_ms - d->arrived_ms);
		buf_add_str(&why, ", and has been given up. The last time this stood in the way: ");
	}
	if (r->meaning[0])
		dsn_sentence(&why, r->meaning);
	else if (r->remote_said)
		buf_printf(&why, "The recipient's mail server %s. What it said stands below.", r->action == DSN_DELAYED ? "does not take the message yet" : "refused the message");
	else
		buf_add_str(&why, r->words.len ? "What went wrong stands below." : "An administrator of this mail server ended the attempts.");
	dsn_paragraph(out, indent, "", buf_span(&why));
	buf_reset(&why);
	if (r->likely[0])
		dsn_sentence(&why, r->likely);
	dsn_paragraph(out, indent, "Usual reason: ", buf_span(&why));
	buf_clear(&why);
}

static const char *dsn_step_title(enum dsn_whose whose, bool is_first)
{
	static const char *const first[] = {
		[DSN_SENDER] = "What you can do: ",
		[DSN_HERE] = "What you can do: Send this report to the people who run your own mail server. They can put it right: ",
		[DSN_THERE] = "What you can do: Reach the recipient in another way, and pass this report on. The people who run the recipient's mail server can put it right: ",
	};
	static const char *const then[] = {
		[DSN_SENDER] = "What you can do: ",
		[DSN_HERE] = "What the people who run your own mail server can do: ",
		[DSN_THERE] = "What the people who run the recipient's mail server can do: ",
	};

	return is_first ? first[whose] : then[whose];
}

static void dsn_say_steps(struct buf *out, const struct dsn_rcpt *r, unsigned indent)
{
	for (size_t n = 0; n < DSN_STEPS; n++)
		if (r->steps[n].what)
			dsn_paragraph(out, indent, dsn_step_title(r->steps[n].whose, n == 0), span_str(r->steps[n].what));
	if (!r->steps[0].what && r->action == DSN_FAILED)
		dsn_paragraph(out, indent, "What you can do: ", SPAN_LIT("Reach the recipient in another way, and send this report to the people who run your mail server."));
}

static void dsn_say_words(struct buf *out, const struct dsn_rcpt *r, size_t others, unsigned indent)
{
	struct buf title;

	if (!r->words.len && !r->remote_said)
		return;
	buf_init(&title, 2 * DSN_FIELD_BYTES);
	buf_add_str(&title, r->remote_said ? "Answer of the mail server" : "In technical words");
	if (r->host.len || r->ip.len) {
		buf_add_str(&title, r->remote_said ? " " : ", at ");
		dsn_add_clean(&title, r->host.len ? r->host : r->ip, false);
	}
	buf_add_str(&title, others ? " (to the first of these):" : ":");
	buf_add_str(out, "\r\n");
	dsn_add_wrapped(out, indent, buf_span(&title));
	dsn_paragraph(out, indent + 2, "", r->words.len ? r->words : SPAN_LIT("(nothing)"));
	buf_clear(&title);
}

static void dsn_say_until(struct buf *out, const struct dsn_rcpt *r, unsigned indent)
{
	struct buf until;

	if (r->action != DSN_DELAYED || !r->given_up_ms)
		return;
	buf_init(&until, 256);
	header_write_date(&until, r->given_up_ms);
	buf_add_str(&until, ". If it has not been delivered by then, you get another report.");
	dsn_paragraph(out, indent, "It will be tried until ", buf_span(&until));
	buf_clear(&until);
}

static bool dsn_same(const struct dsn_rcpt *a, const struct dsn_rcpt *b)
{
	return a->action == b->action && a->expired == b->expired && a->remote_said == b->remote_said && a->slug[0] && strcmp(a->slug, b->slug) == 0;
}

/* is it the first with its reason? */
static bool dsn_is_first(const struct dsn *d, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (dsn_same(&d->rcpts[k], &d->rcpts[i]))
			return false;
	return true;
}

static void dsn_say_reason(struct buf *out, const struct dsn *d, size_t i, size_t *named)
{
	const struct dsn_rcpt *r = &d->rcpts[i];
	unsigned indent = d->rcpt_count == 1 ? 2 : 4;
	size_t others = 0, unnamed = 0;

	buf_add_str(out, "\r\n");
	for (size_t k = i; k < d->rcpt_count && d->rcpt_count > 1; k++) {
		if (k != i && !dsn_same(r, &d->rcpts[k]))
			continue;
		others += k != i;
		if (k != i && *named >= DSN_RCPTS_IN_WORDS) {
			unnamed++;
			continue;
		}
		dsn_paragraph(out, 2, "", d->rcpts[k].address);
		(*named)++;
	}
	if (unnamed)
		buf_printf(out, "  and %zu more, named in the second part of this report\r\n", unnamed);
	if (r->action == DSN_RELAYED) {
		dsn_paragraph(out, indent, "", SPAN_LIT("The next mail server took it. That server sends no such reports, so nothing more will be heard unless it fails there."));
		return;
	}
	if (r->action != DSN_FAILED && r->action != DSN_DELAYED)
		return;
	dsn_say_why(out, d, r, indent);
	dsn_say_steps(out, r, indent);
	dsn_say_until(out, r, indent);
	dsn_say_words(out, r, others, indent);
}

/* ---- words for people: the whole */

static void dsn_say_first(struct buf *out, const struct dsn *d)
{
	enum dsn_action a = d->rcpts[0].action;
	struct buf first, whom;

	buf_init(&first, 8 * DSN_FIELD_BYTES);
	buf_init(&whom, 2 * DSN_FIELD_BYTES);
	if (d->rcpt_count == 1)
		dsn_add_clean(&whom, d->rcpts[0].address, false);
	else
		buf_printf(&whom, "these %zu recipients", d->rcpt_count);
	if (a == DSN_FAILED) {
		dsn_say_message(&first, d, "Your message");
		buf_printf(&first, " was not delivered to %s, and will not be tried again%s.", buf_cstr(&whom), d->rcpt_count == 1 ? "" : " for them");
	} else if (a == DSN_DELAYED) {
		dsn_say_message(&first, d, "Your message");
		buf_printf(&first, " has not reached %s yet. You need not do anything: it waits here and is tried again by itself, so you need not send it again.", buf_cstr(&whom));
	} else {
		dsn_say_message(&first, d, "You asked to be told: your message");
		buf_printf(&first, " has been %s %s.", a == DSN_DELIVERED ? "delivered to" : "passed on to", buf_cstr(&whom));
	}
	dsn_add_wrapped(out, 0, buf_span(&first));
	buf_clear(&first);
	buf_clear(&whom);
}

static void dsn_say_original(struct buf *out, const struct dsn *d)
{
	static const char *const names[] = {"Subject", "Date"};

	buf_add_str(out, "\r\nThe message was:\r\n\r\n");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct buf value;
		char title[16];

		buf_init(&value, 4 * DSN_FIELD_BYTES);
		dsn_original_field(&value, d->head, names[i]);
		(void)snprintf(title, sizeof(title), "%s: ", names[i]);
		dsn_paragraph(out, 2, title, buf_span(&value));
		buf_clear(&value);
	}
}

static void dsn_say(struct buf *out, const struct dsn *d)
{
	struct buf last;
	size_t named = 0;

	dsn_say_first(out, d);
	for (size_t i = 0; i < d->rcpt_count; i++)
		if (dsn_is_first(d, i))
			dsn_say_reason(out, d, i, &named);
	dsn_say_original(out, d);
	buf_init(&last, 4 * DSN_FIELD_BYTES);
	buf_add_str(&last, "The mail server ");
	dsn_add_clean(&last, d->hostname, false);
	buf_add_str(&last, " wrote this report. Its administrator sees each attempt with: mailroom why ");
	dsn_add_clean(&last, d->queue_id, true);
	buf_add_str(out, "\r\n");
	dsn_add_wrapped(out, 0, buf_span(&last));
	buf_clear(&last);
}

/* ---- words for programs */

static void dsn_field(struct buf *out, const char *name, const char *type, struct span value, bool ascii)
{
	if (value.len == 0)
		return;
	buf_printf(out, "%s: %s", name, type);
	dsn_add_clean(out, value, ascii);
	buf_add_str(out, "\r\n");
}

static void dsn_date_field(struct buf *out, const char *name, int64_t at_ms)
{
	if (!at_ms)
		return;
	buf_printf(out, "%s: ", name);
	header_write_date(out, at_ms);
	buf_add_str(out, "\r\n");
}

/* "rfc822;xtext" becomes "rfc822; text"; a value of another shape, or one that decodes to what no field can hold, stays as it came */
static void dsn_original_rcpt(struct buf *out, struct span orcpt)
{
	size_t semi = span_find(orcpt, ';');
	struct span text = span_from(orcpt, semi + 1);

	if (semi == 0 || semi >= orcpt.len)
		return;
	buf_add_str(out, "Original-Recipient: ");
	dsn_add_clean(out, span_head(orcpt, semi), true);
	buf_add_str(out, "; ");
	for (size_t i = 0; i < text.len; i++) {
		int high = i + 2 < text.len ? words_hex_value(text.ptr[i + 1]) : -1, low = i + 2 < text.len ? words_hex_value(text.ptr[i + 2]) : -1;
		uint8_t c = text.ptr[i];

		if (c == '+' && high >= 0 && low >= 0 && high * 16 + low >= ' ' && high * 16 + low < 0x7f) {
			c = (uint8_t)(high * 16 + low);
			i += 2;
		}
		dsn_add_clean(out, span_of(&c, 1), true);
	}
	buf_add_str(out, "\r\n");
}

static const char *dsn_status_of(enum dsn_action a)
{
	return a == DSN_FAILED ? "5.0.0" : a == DSN_DELAYED ? "4.0.0" : "2.0.0";
}

static void dsn_write_rcpt(struct buf *out, const struct dsn *d, const struct dsn_rcpt *r)
{
	bool plain = span_is_ascii(r->address);

	buf_add_str(out, "\r\n");
	dsn_original_rcpt(out, r->orcpt);
	dsn_field(out, "Final-Recipient", plain || !d->utf8 ? "rfc822; " : "utf-8; ", r->address, !d->utf8);
	buf_printf(out, "Action: %s\r\nStatus: ", dsn_actions[r->action]);
	dsn_add_clean(out, r->status.len ? r->status : span_str(dsn_status_of(r->action)), true);
	buf_add_str(out, "\r\n");
	if (r->remote_said) {
		dsn_field(out, "Remote-MTA", "dns; ", r->host.len ? r->host : r->ip, true);
		dsn_field(out, "Diagnostic-Code", "smtp; ", r->words, true);
	} else {
		dsn_field(out, "Diagnostic-Code", "x-mailroom; ", r->words, true);
	}
	dsn_field(out, "X-Mailroom-Cause", "", span_str(r->slug), true);
	dsn_date_field(out, "Last-Attempt-Date", r->last_try_ms);
	if (r->action == DSN_DELAYED)
		dsn_date_field(out, "Will-Retry-Until", r->given_up_ms);
}

static void dsn_write_status(struct buf *out, const struct dsn *d)
{
	dsn_field(out, "Original-Envelope-Id", "", d->envid, true);
	dsn_field(out, "Reporting-MTA", "dns; ", d->hostname, true);
	dsn_field(out, "X-Mailroom-Queue-ID", "", d->queue_id, true);
	dsn_date_field(out, "Arrival-Date", d->arrived_ms);
	for (size_t i = 0; i < d->rcpt_count; i++)
		dsn_write_rcpt(out, d, &d->rcpts[i]);
}

/* ---- the whole */

/* The header without its empty line, whole fields up to a ceiling; lines that are no fields end it. */
static struct span dsn_head_part(struct span head)
{
	struct span rest = head;
	struct header_field f;
	size_t end = 0;

	while (header_field_next(&rest, &f)) {
		size_t at = head.len - rest.len;

		if (at > DSN_HEAD_BYTES)
			break;
		end = at;
	}
	return span_head(head, end);
}

static bool dsn_is_8bit(const struct buf *b, size_t from)
{
	return !span_is_ascii(span_from(buf_span(b), from));
}

/* the part's header, then what `write` writes; 8bit is said where it is so */
static bool dsn_part(struct buf *out, const char *boundary, const char *type, const char *utf8_type, const char *description, const struct buf *content)
{
	bool is_8bit = dsn_is_8bit(content, 0);

	buf_printf(out, "--%s\r\nContent-Description: %s\r\nContent-Type: %s\r\n", boundary, description, is_8bit ? utf8_type : type);
	if (is_8bit)
		buf_add_str(out, "Content-Transfer-Encoding: 8bit\r\n");
	buf_add_str(out, "\r\n");
	buf_add(out, buf_span(content));
	buf_add_str(out, "\r\n");
	return is_8bit;
}

static void dsn_write_head(const struct dsn *d, const char *boundary, struct buf *out)
{
	static const char *const subjects[] = {[DSN_FAILED] = "Not delivered", [DSN_DELAYED] = "Delayed, still trying", [DSN_RELAYED] = "Passed on",
		[DSN_DELIVERED] = "Delivered", [DSN_EXPANDED] = "Passed on"};
	struct header_field f;
	struct span rest = d->head, subject = SPAN_NONE;
	char id[14];

	while (subject.len == 0 && header_field_next(&rest, &f))
		if (header_field_is(&f, "subject"))
			subject = span_trim(f.value);
	/* as it stands, encoded words and all, where it is one line of ASCII; else without */
	if (subject.len > DSN_SUBJECT_BYTES || !span_is_ascii(subject) || span_find(subject, '\r') < subject.len || span_find(subject, '\n') < subject.len)
		subject = SPAN_NONE;
	buf_add_str(out, "From: Mail server at ");
	dsn_add_clean(out, d->hostname, true);
	buf_add_str(out, " <");
	dsn_add_clean(out, d->from, !d->utf8);
	buf_add_str(out, ">\r\nTo: <");
	dsn_add_clean(out, d->to, !d->utf8);
	buf_printf(out, ">\r\nSubject: %s%s", subjects[d->rcpts[0].action], subject.len ? ": " : "");
	dsn_add_clean(out, subject, true);
	buf_add_str(out, "\r\nDate: ");
	header_write_date(out, d->now_ms);
	buf_printf(out, "\r\nMessage-ID: <dsn.%s@", num_base32(d->unique, 13, id));
	dsn_add_clean(out, d->hostname, true);
	buf_add_str(out, ">\r\n");
	rest = d->head;
	while (header_field_next(&rest, &f))
		if (header_field_is(&f, "message-id") && f.value.len < DSN_FIELD_BYTES && span_is_vchar(span_trim(f.value))) {
			buf_add_str(out, "References: ");
			buf_add(out, span_trim(f.value));
			buf_add_str(out, "\r\n");
			break;
		}
	buf_printf(out, "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=%s;\r\n\tboundary=\"%s\"\r\n",
		d->utf8 ? "global-delivery-status" : "delivery-status", boundary);
}

void dsn_write(const struct dsn *d, struct buf *head_out, struct buf *body_out, bool *has_8bit_out)
{
	char boundary[32], id[14];
	struct buf part;
	bool is_8bit;

	(void)snprintf(boundary, sizeof(boundary), "report=_%s", num_base32(~d->unique, 13, id));
	buf_add_str(body_out, "This is a report of a mail server, in the format of RFC 3464.\r\n\r\n");
	buf_init(&part, DSN_OUT_BYTES);
	dsn_say(&part, d);
	is_8bit = dsn_part(body_out, boundary, "text/plain; charset=us-ascii", "text/plain; charset=utf-8", "What happened", &part);
	buf_reset(&part);
	dsn_write_status(&part, d);
	is_8bit |= dsn_part(body_out, boundary, d->utf8 ? "message/global-delivery-status" : "message/delivery-status", "message/global-delivery-status",
		"Delivery report", &part);
	buf_reset(&part);
	buf_add(&part, d->text.len ? d->text : dsn_head_part(d->head));
	is_8bit |= dsn_part(body_out, boundary, d->text.len ? "message/rfc822" : "text/rfc822-headers", d->text.len ? d->utf8 ? "message/global" : "message/rfc822" :
		d->utf8 ? "message/global-headers" : "text/rfc822-headers", d->text.len ? "The message" : "Header of the message", &part);
	buf_printf(body_out, "--%s--\r\n", boundary);
	buf_clear(&part);
	dsn_write_head(d, boundary, head_out);
	if (is_8bit)
		buf_add_str(head_out, "Content-Transfer-Encoding: 8bit\r\n");
	buf_add_str(head_out, "\r\n");
	*has_8bit_out = is_8bit || dsn_is_8bit(head_out, 0);
}
