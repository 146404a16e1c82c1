/* talk_judge - what went wrong first in a conversation, what followed from it, and what speaks against a cause. */
#include "answer/mask.h"
#include "answer/talk.h"

enum { SHOWN_BYTES = 200 }; /* of a line in a step */

static const char *talk_show(struct buf *scratch, struct span line)
{
	line = span_head(line, span_find(line, '\n'));
	buf_reset(scratch);
	mask_line(scratch, line, SHOWN_BYTES);
	return buf_cstr(scratch);
}

static void talk_step(struct finding *f, const struct event *e, const char *why)
{
	struct buf command, reply;

	buf_init(&command, 2048);
	buf_init(&reply, 2048);
	finding_step(f, "%s was refused%s: %s", e->command.len ? talk_show(&command, e->command) : "The connection", why,
		     talk_show(&reply, buf_span(&e->text)));
	buf_clear(&command);
	buf_clear(&reply);
}

/* would a sign-in have helped? The first cause says so, or a near second where the first is no better known */
static bool talk_is_about_sign_in(const struct explanation *e)
{
	for (size_t i = 0; i < e->count && i < (e->undecided ? 2U : 1U); i++)
		if (e->found[i].cause == CAUSE_RELAY_DENIED_UNAUTH || e->found[i].cause == CAUSE_AUTH_REQUIRED ||
		    e->found[i].cause == CAUSE_POP_BEFORE_SMTP)
			return true;
	return false;
}

/* the domain behind the last "@" of an address, without what closes it */
static struct span talk_domain(struct span line)
{
	size_t at = line.len;

	while (at && line.ptr[at - 1] != '@')
		at--;
	line = at ? span_from(line, at) : SPAN_NONE;
	for (at = 0; at < line.len && (byte_is_alnum(line.ptr[at]) || line.ptr[at] == '.' || line.ptr[at] == '-');)
		at++;
	return span_head(line, at);
}

/* is the domain of that command's address the server's, by the name with which it greets? "mail.example.org" is of example.org */
static bool talk_is_local(const struct talk *t, struct span command)
{
	struct span banner = span_from(buf_span(&t->banner), 4), name = span_head(banner, span_find(banner, ' ')), domain;

	domain = talk_domain(span_head(command, span_find(command, '>')));
	name = span_head(name, span_find(name, '\n'));
	if (domain.len < 4 || name.len < domain.len || span_find(domain, '.') == domain.len)
		return false;
	if (!span_eq_nocase(span_from(name, name.len - domain.len), domain))
		return false;
	return name.len == domain.len || name.ptr[name.len - domain.len - 1] == '.';
}

/* what was known when it was refused, for facts.h */
static struct facts talk_facts(const struct talk *t, const struct event *root)
{
	struct facts facts = {0, root->facts};

	facts.known = FACT_TLS | FACT_AUTH_OK | FACT_AUTH_TRIED | FACT_RCPT_NAMED | FACT_RCPT_OK | FACT_CONTENT;
	if (t->banner_seen)
		facts.known |= FACT_CONNECTED | FACT_GREETED | FACT_SENDER_OK;
	if (t->ehlo || t->helo || root->facts & FACT_GREETED)
		facts.known |= FACT_AUTH_OFFERED | FACT_TLS_OFFERED;
	if (root->rcpt.len && t->banner.len && root->stage == REPLY_AT_RCPT) {
		facts.known |= FACT_RCPT_LOCAL | FACT_RCPT_AWAY;
		if (talk_is_local(t, root->rcpt))
			facts.are |= FACT_RCPT_LOCAL;
		else if (talk_is_local(t, root->sender))
			facts.are |= FACT_RCPT_AWAY;
	}
	if (root->stage == REPLY_AT_AUTH)
		facts.are |= FACT_AUTH_TRIED;
	if (!t->banner_seen) /* a piece out of the middle: what was before is not known */
		facts.known &= ~(unsigned)(FACT_TLS | FACT_AUTH_OK | FACT_AUTH_TRIED) | root->facts;
	return facts;
}

/* Why was there no sign-in? What the server offered, and what the program made of it. Returns whether it could not sign in at all. */
static bool talk_why_no_sign_in(const struct talk *t, struct finding *f)
{
	if (t->hidden) {
		finding_step(f, "Something between the program and the server (a firewall's mail inspection, a virus scanner) overwrote "
				"what the server offers.");
		return true;
	}
	if (t->helo && !t->ehlo) {
		finding_step(f, "The program greeted with HELO, to which a server offers no sign-in; it has to be EHLO.");
		return true;
	}
	if (t->starttls_ever_offered && !(t->facts & FACT_TLS)) {
		finding_step(f, "STARTTLS was offered and the program did not use it; so the connection stayed open to all.");
		finding_step(f, "Without STARTTLS the server offered no AUTH.");
		return true;
	}
	if (t->facts & FACT_TLS && !t->ehlo) {
		finding_step(f, "After STARTTLS the program did not say EHLO again, so nothing was offered to it.");
		return true;
	}
	finding_step(f, "The server offered no AUTH on this connection; sign-in is on another port (587 or 465).");
	return false;
}

static void talk_judge_sign_in(const struct talk *t, const struct event *root, struct finding *f)
{
	bool offered = t->auth_ever_offered;

	if (root->stage == REPLY_AT_AUTH && !offered && (t->ehlo || t->helo || t->facts & FACT_TLS) &&
	    (root->code == 500 || root->code == 502 || root->code == 503 || root->code == 504)) {
		(void)talk_why_no_sign_in(t, f);
		finding_promote(f, CAUSE_AUTH_NOT_ADVERTISED, 0.9);
		return;
	}
	if (root->stage == REPLY_AT_AUTH || !talk_is_about_sign_in(&f->e) || root->facts & FACT_AUTH_OK || !(t->ehlo || t->helo))
		return;
	if (!offered) {
		if (talk_why_no_sign_in(t, f))
			finding_promote(f, t->hidden ? CAUSE_TLS_NOT_OFFERED : CAUSE_AUTH_NOT_ADVERTISED, t->hidden ? 0.6 : 0.75);
		else if (f->e.found[0].cause == CAUSE_RCPT_NONE_ACCEPTED)
			finding_promote(f, CAUSE_AUTH_REQUIRED, 0.7);
	} else if (!(root->facts & FACT_AUTH_TRIED)) {
		finding_step(f, "The server offered AUTH, and the program did not sign in.");
		if (f->e.undecided || f->e.found[0].confidence < 0.85)
			finding_promote(f,
					f->e.found[0].cause == CAUSE_RELAY_DENIED_UNAUTH ? CAUSE_RELAY_DENIED_UNAUTH : CAUSE_AUTH_REQUIRED,
					0.88);
	}
}

static void talk_judge_notes(struct talk *t, struct finding *f)
{
	if (t->notes.len) {
		explain_text(buf_span(&t->notes), &f->e);
		finding_evidence(f, span_head(buf_span(&t->notes), span_find(buf_span(&t->notes), '\n')));
		f->speaker = SPEAKER_PROGRAM;
	}
	if (!f->e.count && t->pending_count && !t->quit) {
		struct command last = t->pending[(t->pending_at + t->pending_count - 1) % PENDING_MAX];
		struct buf shown;

		buf_init(&shown, 2048);
		finding_step(f, "No reply came to %s.", talk_show(&shown, last.line));
		buf_clear(&shown);
		finding_promote(f, CAUSE_TIMEOUT, 0.5);
	}
}

void talk_judge(struct talk *t, struct finding *f)
{
	struct explain_context context = {0, EXPLAIN_NO_EMITTER};
	struct explanation banner;
	size_t i = 0;

	f->form = FORM_TRANSCRIPT;
	explain_text(buf_span(&t->banner), &banner);
	if (banner.emitter >= 0)
		context.emitter = banner.emitter;
	while (i < t->event_count && talk_got_over(t, i))
		i++;
	if (i == t->event_count) {
		talk_judge_notes(t, f);
		return;
	}
	context.stage = t->events[i].stage;
	explain_text_in(buf_span(&t->events[i].text), &context, &f->e);
	finding_evidence(f, span_head(buf_span(&t->events[i].text), span_find(buf_span(&t->events[i].text), '\n')));
	finding_speaker(f);
	if (t->hidden)
		f->speaker = SPEAKER_MIDDLEBOX;
	f->facts = talk_facts(t, &t->events[i]);
	facts_weigh(&f->facts, &f->e);
	for (size_t k = 0; k < i; k++)
		talk_step(f, &t->events[k], ", which the program got over");
	talk_judge_sign_in(t, &t->events[i], f);
	talk_step(f, &t->events[i], "");
	for (i++; i < t->event_count; i++)
		if (!talk_got_over(t, i))
			talk_step(f, &t->events[i],
				  t->events[i].stage == REPLY_AT_DATA && !t->rcpt_ok ? ", since no recipient was accepted" : " too");
	f->more = t->conversations > 1 ? t->conversations - 1 : 0;
}
