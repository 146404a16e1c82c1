/* MAIL and RCPT: order, syntax, the questions to the owner, and the replies in command order */
#include <stdlib.h>

#include "base/mem.h"
#include "proto/smtp/smtp_internal.h"

enum { RCPTS_FIRST = 4 };

void smtp_transaction_clear(struct smtp_in *s)
{
	if (s->message.given)
		s->due_discard = true;
	if (s->in_mail)
		s->due_reset = true;
	s->in_mail = false;
	s->data_refused = false;
	s->mail = (struct smtp_mail){0};
	s->message = (struct smtp_message){0};
	s->refusals = NULL;
	arena_clear(&s->envelope);
	free(s->rcpts);
	s->rcpts = NULL;
	s->rcpt_count = s->rcpt_size = 0;
	if (s->domains.count)
		map_clear(&s->domains);
	s->slots = NULL;
	s->slots_end = &s->slots;
	s->slots_open = 0;
	arena_clear(&s->scratch);
}

/* what stands between the client and any transaction; CAUSE_NONE: nothing */
static enum cause_id smtp_envelope_gate(const struct smtp_in *s)
{
	if (s->helo.len == 0)
		return CAUSE_SEQ_NO_HELO;
	if (s->rules->tls_required && !s->tls)
		return CAUSE_TLS_REQUIRED;
	if (s->rules->kind == SMTP_KIND_SUBMISSION && s->account.len == 0 && !s->rules->auth_by_owner)
		return CAUSE_AUTH_REQUIRED; /* RFC 6409 4.3 */
	return CAUSE_NONE;
}

/* The path as it was written, without brackets: for facts and logs, whatever it holds */
static struct span smtp_envelope_text(struct span path)
{
	if (path.len && path.ptr[0] == '<') {
		path = span_from(path, 1);
		return span_head(path, span_find(path, '>') < SMTP_SHOWN_BYTES ? span_find(path, '>') : SMTP_SHOWN_BYTES);
	}
	return span_head(path, span_find(path, ' ') < SMTP_SHOWN_BYTES ? span_find(path, ' ') : SMTP_SHOWN_BYTES);
}

/* "FROM:" or "TO:" and what follows; blanks behind the colon are tolerated */
static bool smtp_envelope_path(struct span arg, struct span keyword, struct span *path_out)
{
	if (!span_starts_nocase(arg, keyword))
		return false;
	*path_out = span_trim(span_from(arg, keyword.len));
	return true;
}

/* 8-bit bytes that SMTPUTF8 would have allowed are another fault than bytes that are wrong in any case */
static enum cause_id smtp_envelope_fault(enum address_fault fault, bool utf8_said, struct span shown, enum cause_id syntax)
{
	if (!utf8_said && !span_is_ascii(shown) && (fault == ADDRESS_OK || fault == ADDRESS_BAD_UTF8 || fault == ADDRESS_NEEDS_SMTPUTF8))
		return CAUSE_SMTPUTF8_REQUIRED; /* RFC 6531 3.7.4.2: 553 5.6.7 */
	return fault == ADDRESS_OK ? CAUSE_NONE : syntax;
}

static enum cause_id smtp_mail_parse(struct smtp_in *s, struct span arg, struct cause_facts *facts, char limit_text[32])
{
	struct span path, rest = SPAN_NONE;
	enum address_fault fault;
	enum cause_id cause;
	bool utf8_said;

	if (!smtp_envelope_path(arg, SPAN_LIT("FROM:"), &path)) {
		facts->detail = SPAN_LIT("FROM:<address> has to follow");
		return CAUSE_COMMAND_SYNTAX;
	}
	facts->sender = smtp_envelope_text(path);
	fault = address_parse_path(path, ADDRESS_UTF8 | ADDRESS_NULL_OK, &s->envelope, &s->mail.from, &rest);
	if (fault == ADDRESS_OK) {
		cause = smtp_params_parse(s, rest, &s->envelope, &s->mail, NULL, facts, limit_text);
		if (cause != CAUSE_NONE)
			return cause;
	}
	utf8_said = fault == ADDRESS_OK ? s->mail.smtputf8 : span_find_span(path, SPAN_LIT(" SMTPUTF8")) < path.len;
	cause = smtp_envelope_fault(fault, utf8_said, facts->sender, CAUSE_SENDER_SYNTAX);
	if (cause == CAUSE_SENDER_SYNTAX)
		facts->detail = span_str(address_fault_name(fault));
	return cause;
}

/* A refused MAIL leaves nothing but the memory of it. */
static void smtp_mail_refused(struct smtp_in *s, enum cause_id cause, const struct cause_facts *facts, bool bad)
{
	struct cause_facts filled = *facts;

	filled.command = SPAN_LIT("MAIL");
	if (bad)
		smtp_refuse_bad(s, cause, &filled);
	else
		smtp_refuse_verdict(s, cause, &filled);
	if (s->state != SMTP_STATE_CLOSED)
		smtp_refusals_mail(s, cause, &filled);
	s->mail = (struct smtp_mail){0};
}

void smtp_mail_run(struct smtp_in *s, struct span arg)
{
	struct cause_facts facts = {0};
	char limit_text[32];
	enum cause_id cause = smtp_envelope_gate(s);
	struct span path;

	if (s->in_mail) { /* RFC 5321 4.1.4 */
		smtp_refuse_bad(s, CAUSE_SEQ_NESTED_MAIL, NULL);
		return;
	}
	smtp_transaction_clear(s);
	if (++s->transactions > s->rules->transaction_max) {
		facts.limit = smtp_write_count(limit_text, s->rules->transaction_max, "messages");
		smtp_close(s, CAUSE_TOO_MANY_TRANSACTIONS, &facts);
		return;
	}
	if (cause == CAUSE_NONE)
		cause = smtp_mail_parse(s, arg, &facts, limit_text);
	else if (smtp_envelope_path(arg, SPAN_LIT("FROM:"), &path))
		facts.sender = smtp_envelope_text(path);
	if (cause != CAUSE_NONE) {
		facts.missing = SPAN_LIT("EHLO");
		smtp_mail_refused(s, cause, &facts, cause != CAUSE_MESSAGE_TOO_BIG);
		return;
	}
	s->in_mail = true;
	s->wait = SMTP_WAIT_MAIL;
	s->wait_asked = false;
}

void smtp_mail_answered(struct smtp_in *s, const struct verdict *v)
{
	struct cause_facts facts = v->facts;
	struct buf sender;

	s->wait = SMTP_WAIT_NONE;
	s->verb = SPAN_LIT("MAIL");
	if (v->cause == CAUSE_NONE) {
		s->unauth_commands = 0; /* whoever may send without sign-in has nothing to catch up on */
		smtp_reply(s, "250 2.1.0 Sender ok\r\n");
		return;
	}
	buf_init(&sender, LIMIT_LOCAL_PART_BYTES * 2 + LIMIT_DOMAIN_BYTES + 8);
	if (facts.sender.len == 0) {
		address_write(&sender, &s->mail.from);
		facts.sender = buf_span(&sender);
	}
	s->in_mail = false;
	s->due_reset = true;
	smtp_mail_refused(s, v->cause, &facts, false);
	buf_clear(&sender);
}

/* Where the recipients in question could use up a limit, the next one waits for their answers: so the same one is refused however the bytes came */
bool smtp_rcpt_must_wait(const struct smtp_in *s)
{
	const struct smtp_rules *r = s->rules;

	return s->slots_open && (s->slots_open >= r->rcpt_open_max || s->rcpt_count + s->slots_open >= r->rcpt_max ||
				 (r->domain_max && s->domains.count + s->slots_open >= r->domain_max) || s->scratch.used_bytes >= SMTP_SCRATCH_PAUSE_BYTES);
}

static uint64_t smtp_domain_key(struct span domain)
{
	uint8_t lower[LIMIT_DOMAIN_BYTES];

	domain = span_head(domain, sizeof(lower));
	for (size_t i = 0; i < domain.len; i++)
		lower[i] = byte_lower(domain.ptr[i]);
	return map_hash(lower, domain.len);
}

/* would this recipient bring in a domain too many? One without a domain (postmaster) is ours and brings none */
static bool smtp_rcpt_domain_over(const struct smtp_in *s, const struct smtp_rcpt *rcpt)
{
	return s->rules->domain_max && rcpt->to.domain.len && s->domains.count >= s->rules->domain_max &&
	       !map_get(&s->domains, smtp_domain_key(rcpt->to.domain));
}

static enum cause_id smtp_rcpt_domain_refusal(const struct smtp_in *s, struct cause_facts *facts, char limit_text[32])
{
	if (s->rules->domain_max == 1)
		return CAUSE_ONE_DOMAIN_PER_MESSAGE;
	facts->limit = smtp_write_count(limit_text, s->rules->domain_max, "domains");
	return CAUSE_TOO_MANY_DOMAINS;
}

static enum cause_id smtp_rcpt_parse(struct smtp_in *s, struct span arg, struct smtp_rcpt *rcpt, struct cause_facts *facts, char limit_text[32])
{
	struct span path, rest = SPAN_NONE;
	enum address_fault fault;
	enum cause_id cause;

	if (!smtp_envelope_path(arg, SPAN_LIT("TO:"), &path)) {
		facts->detail = SPAN_LIT("TO:<address> has to follow");
		return CAUSE_COMMAND_SYNTAX;
	}
	facts->rcpt = smtp_envelope_text(path);
	if (s->rcpt_count >= s->rules->rcpt_max) { /* RFC 5321 4.5.3.1.10: 452 */
		facts->limit = smtp_write_count(limit_text, s->rules->rcpt_max, "recipients");
		return CAUSE_TOO_MANY_RECIPIENTS;
	}
	fault = address_parse_path(path, ADDRESS_UTF8 | ADDRESS_POSTMASTER_OK, &s->scratch, &rcpt->to, &rest);
	cause = smtp_envelope_fault(fault, s->mail.smtputf8, facts->rcpt, CAUSE_RCPT_SYNTAX);
	if (cause == CAUSE_RCPT_SYNTAX)
		facts->detail = span_str(address_fault_name(fault));
	if (cause == CAUSE_NONE)
		cause = smtp_params_parse(s, rest, &s->scratch, &s->mail, rcpt, facts, limit_text);
	return cause == CAUSE_NONE && smtp_rcpt_domain_over(s, rcpt) ? smtp_rcpt_domain_refusal(s, facts, limit_text) : cause;
}

/* the fault of a program, not of a list that is longer than one message may be */
static bool smtp_rcpt_is_bad(enum cause_id cause)
{
	return cause != CAUSE_NONE && cause != CAUSE_TOO_MANY_RECIPIENTS && cause != CAUSE_TOO_MANY_DOMAINS && cause != CAUSE_ONE_DOMAIN_PER_MESSAGE;
}

/* facts that outlive the call; a fact that does not fit is left out */
static void smtp_slot_keep_facts(struct smtp_in *s, struct smtp_slot *slot, const struct cause_facts *facts)
{
	struct span *to[] = {&slot->facts.rcpt, &slot->facts.sender, &slot->facts.limit, &slot->facts.detail, &slot->facts.account, &slot->facts.retry,
		&slot->facts.rule};
	const struct span *from[] = {&facts->rcpt, &facts->sender, &facts->limit, &facts->detail, &facts->account, &facts->retry,
		&facts->rule};

	for (size_t i = 0; i < sizeof(to) / sizeof(to[0]); i++)
		*to[i] = from[i]->len ? arena_copy(&s->scratch, span_head(*from[i], SMTP_SHOWN_BYTES)) : SPAN_NONE;
}

static void smtp_rcpt_refuse(struct smtp_in *s, enum cause_id cause, struct cause_facts *facts, struct span text)
{
	facts->command = SPAN_LIT("RCPT");
	if (facts->rcpt.len == 0)
		facts->rcpt = text;
	smtp_refuse_verdict(s, cause, facts);
	if (s->state != SMTP_STATE_CLOSED)
		smtp_refusals_rcpt(s, cause, facts);
}

/* The strings of an accepted recipient move from the scratch arena to the envelope, the struct into an array that doubles. */
static enum cause_id smtp_rcpt_keep(struct smtp_in *s, const struct smtp_rcpt *rcpt)
{
	struct smtp_rcpt kept = *rcpt;
	struct span *parts[] = {&kept.to.local, &kept.to.domain, &kept.orcpt};
	size_t bytes = rcpt->to.local.len + rcpt->to.domain.len + rcpt->orcpt.len + 1;
	uint8_t *text = NULL;

	if (s->envelope.used_bytes + bytes + SMTP_ENVELOPE_KEEP_BYTES <= s->envelope.max_bytes)
		text = arena_alloc(&s->envelope, bytes);
	if (!text)
		return CAUSE_ENVELOPE_TOO_BIG;
	for (size_t i = 0; i < 3; i++) {
		if (parts[i]->len)
			memcpy(text, parts[i]->ptr, parts[i]->len);
		parts[i]->ptr = text;
		text += parts[i]->len;
	}
	if (s->rcpt_count == s->rcpt_size) {
		s->rcpt_size = s->rcpt_size ? s->rcpt_size * 2 : RCPTS_FIRST;
		s->rcpts = mem_realloc(s->rcpts, (size_t)s->rcpt_size * sizeof(*s->rcpts));
	}
	s->rcpts[s->rcpt_count++] = kept;
	if (s->rules->domain_max && kept.to.domain.len)
		(void)map_put(&s->domains, smtp_domain_key(kept.to.domain), s);
	return CAUSE_NONE;
}

static bool smtp_rcpt_is_guess(enum cause_id cause)
{
	return cause != CAUSE_NONE && cause_code(cause, CAUSE_SMTP) >= 500;
}

/* Answers that are next in command order leave. `facts`: of the first slot, where it was answered just now. */
static void smtp_slots_flush(struct smtp_in *s, const struct cause_facts *facts)
{
	while (s->slots && s->slots->answered) {
		struct smtp_slot *slot = s->slots;
		struct cause_facts said = facts ? *facts : slot->facts;
		enum cause_id cause = slot->cause;

		facts = NULL;
		if (cause == CAUSE_NONE)
			cause = smtp_rcpt_keep(s, &slot->rcpt);
		if (cause == CAUSE_NONE)
			smtp_reply(s, "250 2.1.5 Recipient ok\r\n");
		else
			smtp_rcpt_refuse(s, cause, &said, slot->text);
		if (s->state == SMTP_STATE_CLOSED)
			return;
		s->slots = slot->next;
		s->slots_open--;
		/* counted here, where the reply has its turn. As many unknown recipients as a message may have known ones: somebody is guessing */
		if ((slot->bad && ++s->bad_commands >= s->rules->bad_command_max) ||
			(smtp_rcpt_is_guess(cause) && ++s->rcpts_refused > s->rules->rcpt_max)) {
			s->verb = SPAN_LIT("RCPT");
			smtp_close(s, CAUSE_TOO_MANY_BAD_COMMANDS, NULL);
			return;
		}
	}
	if (!s->slots) {
		s->slots_end = &s->slots;
		arena_clear(&s->scratch);
	}
}

void smtp_slot_answered(struct smtp_in *s, uint32_t id, const struct verdict *v)
{
	for (struct smtp_slot *at = s->slots; at; at = at->next) {
		if (!at->asked || at->answered || at->id != id)
			continue;
		at->answered = true;
		at->cause = v->cause;
		at->rcpt.tag = v->tag;
		if (at == s->slots) {
			smtp_slots_flush(s, &v->facts);
		} else if (v->cause != CAUSE_NONE) {
			smtp_slot_keep_facts(s, at, &v->facts);
		}
		return;
	}
}

/* RCPT where there is no transaction */
static void smtp_rcpt_misplaced(struct smtp_in *s, struct span arg)
{
	enum cause_id gate = smtp_envelope_gate(s);
	struct cause_facts facts = {.missing = SPAN_LIT("MAIL")};
	struct span path;

	if (smtp_envelope_path(arg, SPAN_LIT("TO:"), &path))
		facts.rcpt = smtp_envelope_text(path);
	if (gate != CAUSE_NONE) {
		smtp_refuse_bad(s, gate, &facts);
		if (s->state != SMTP_STATE_CLOSED && s->refusals)
			smtp_refusals_rcpt(s, gate, &facts);
	} else if (s->refusals && s->refusals->has_mail) {
		smtp_refusals_explain(s, CAUSE_SEQ_MAIL_REFUSED);
	} else {
		smtp_refuse_bad(s, CAUSE_SEQ_NO_MAIL, &facts);
	}
}

void smtp_rcpt_run(struct smtp_in *s, struct span arg)
{
	struct cause_facts facts = {0};
	char limit_text[32];
	struct smtp_slot *slot;
	enum cause_id cause;

	if (!s->in_mail) {
		smtp_rcpt_misplaced(s, arg);
		return;
	}
	if (s->message.bdat) { /* RFC 3030 2: no envelope commands between chunks */
		smtp_refuse_bad(s, CAUSE_SEQ_BDAT_DATA_MIXED, NULL);
		return;
	}
	slot = arena_zalloc(&s->scratch, sizeof(*slot));
	if (!slot) { /* cannot be: feed pauses long before; but a reply must not get lost */
		smtp_close(s, CAUSE_SERVER_TEMP_ERROR, NULL);
		return;
	}
	cause = smtp_rcpt_parse(s, arg, &slot->rcpt, &facts, limit_text);
	slot->text = arena_copy(&s->scratch, facts.rcpt);
	slot->bad = smtp_rcpt_is_bad(cause);
	if (cause != CAUSE_NONE) {
		slot->answered = true;
		slot->cause = cause;
		smtp_slot_keep_facts(s, slot, &facts);
	}
	*s->slots_end = slot;
	s->slots_end = &slot->next;
	s->slots_open++;
	smtp_slots_flush(s, NULL);
}
