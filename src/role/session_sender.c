#include "role/session_sender.h"

#include "base/limits.h"
#include "mail/header_field.h"
#include "role/session_smtp.h"

enum { SENDER_SCRATCH_BYTES = 2 * LIMIT_HEADER_BYTES, SENDER_LIST_BYTES = SESSION_SENDER_BOXES * 1100, SENDER_ADDRESS_BYTES = 1024 };

bool session_sender_stands(const struct session *s)
{
	return s->granted || s->who.by != POLICY_BY_NOTHING;
}

/* an account, and not only a network */
static bool sender_has_account(const struct session *s)
{
	return s->granted || s->who.by == POLICY_BY_WINDOW;
}

/* a message of somebody who writes it here: what it lacks is completed (RFC 6409 8) */
static bool sender_completes(const struct session *s)
{
	return s->listener->kind == CONF_SUBMISSION || session_sender_stands(s);
}

static struct span sender_account(const struct session_sender *x)
{
	return span_of(x->account, x->account_bytes);
}

void session_sender_forget(struct session *s)
{
	s->smtp->sender.then = NULL;
}

/* ---- asking */

static void sender_check(struct session *s, uint32_t engine_ask, uint8_t place, struct msg_list from,
	void (*answer)(struct session *s, uint32_t engine_ask, enum msg_type type, const union msg_any *msg))
{
	const struct smtp_mail *mail = s->smtp->sender.mail;
	struct msg_sender_check m = {.session = s->id, .listener = (uint16_t)s->listener_index, .tls = stream_is_tls(s->stream), .stands = session_sender_stands(s), .place = place,
		.window = (uint8_t)s->who.window, .window_ms = (uint64_t)s->who.window_ms, .message_bytes = mail->size_declared, .peer = s->peer, .from = from};
	struct buf sender;

	buf_init(&sender, SENDER_ADDRESS_BYTES);
	address_write(&sender, &mail->from);
	m.sender = buf_span(&sender);
	m.ask = worker_ask(s, ROLE_STORE, engine_ask, answer);
	chan_send(s->worker->store, MSG_SENDER_CHECK, &m);
	buf_clear(&sender);
}

static struct verdict sender_verdict(struct session *s, enum msg_type type, const union msg_any *msg, enum policy_identity_act *act_out)
{
	const struct msg_sender_result *m = msg && type == MSG_SENDER_RESULT && msg->sender_result.cause < CAUSE_COUNT ? &msg->sender_result : NULL;
	struct session_sender *x = &s->smtp->sender;

	if (!m)
		return (struct verdict){.cause = CAUSE_SERVER_TEMP_ERROR};
	if (m->account.len && m->account.len <= sizeof(x->account)) {
		memcpy(x->account, m->account.ptr, m->account.len);
		x->account_bytes = m->account.len;
	}
	*act_out = x->account_bytes && m->act <= POLICY_ACT_MARK ? (enum policy_identity_act)m->act : POLICY_ACT_NONE;
	return (struct verdict){.cause = (enum cause_id)m->cause, .facts = {.detail = m->detail, .limit = m->limit, .retry = m->retry, .rule = m->rule}};
}

static void sender_on_mail(struct session *s, uint32_t engine_ask, enum msg_type type, const union msg_any *msg)
{
	struct verdict v = sender_verdict(s, type, msg, &s->smtp->sender.envelope);

	smtp_in_answer(s->smtp->in, engine_ask, &v);
}

static void sender_ask_mail(struct session *s, uint32_t engine_ask)
{
	enum cause_id cause = s->who.trouble;
	bool asks = session_sender_stands(s) || s->listener->kind == CONF_SUBMISSION;

	if (cause == CAUSE_NONE && asks && !s->worker->store)
		cause = CAUSE_SERVER_TEMP_ERROR;
	if (cause == CAUSE_NONE && asks)
		sender_check(s, engine_ask, 0, (struct msg_list){0}, sender_on_mail);
	else
		smtp_in_answer(s->smtp->in, engine_ask, &(struct verdict){.cause = cause});
}

void session_sender_mail(struct session *s, const struct smtp_ask *ask)
{
	s->smtp->sender = (struct session_sender){.mail = ask->mail};
	if (!conf_listener_relays(s->listener))
		smtp_in_answer(s->smtp->in, ask->id, &(struct verdict){.cause = CAUSE_NONE});
	else if (!session_relay_ask(s, ask->id, sender_ask_mail))
		sender_ask_mail(s, ask->id);
}

/* ---- the From field */

static struct span sender_from_value(const struct header_facts *h, struct span head)
{
	return h->from_count >= 1 && h->from_at <= head.len && h->from_bytes <= head.len - h->from_at ? span_of(head.ptr + h->from_at, h->from_bytes) : SPAN_NONE;
}

/* RFC 6409 8.1: an address in From without a domain is completed with ours */
static bool sender_complete(const struct session *s, struct span value, struct buf *out)
{
	const char *domain = *s->worker->conf->default_domain ? s->worker->conf->default_domain : s->worker->conf->hostname;

	return header_complete_from(out, value, span_str(domain)) > 0;
}

/* from "a b@Example.org" to the form that the store reads: "a b"@example.org. The domain is behind the last @, whatever the local part holds. */
static void sender_box_write(struct buf *out, struct span box)
{
	size_t at = box.len;

	while (at > 0 && box.ptr[at - 1] != '@')
		at--;
	if (at <= 1)
		return;
	address_write(out, &(struct address){.local = span_head(box, at - 1), .domain = span_from(box, at)});
	for (size_t i = out->len; i > 0 && out->ptr[i - 1] != '@'; i--)
		out->ptr[i - 1] = byte_lower(out->ptr[i - 1]);
}

/* adds the mailboxes of one From value to the list; returns how many it has, one more than `most` where one of them cannot be read */
static size_t sender_boxes_add(struct span value, size_t most, struct buf *out)
{
	struct span boxes[SESSION_SENDER_BOXES];
	struct arena mem;
	struct buf text;
	size_t count, readable = 0;

	arena_init(&mem, SENDER_SCRATCH_BYTES);
	buf_init(&text, SENDER_ADDRESS_BYTES);
	count = header_mailboxes(value, &mem, boxes, (unsigned)most);
	for (size_t i = 0; i < count && i < most; i++) {
		buf_reset(&text);
		sender_box_write(&text, boxes[i]);
		if (text.len == 0 || text.overflow)
			continue;
		rec_address_add(out, &(struct rec_address){.text = buf_span(&text)});
		readable++;
	}
	buf_clear(&text);
	arena_clear(&mem);
	return readable == count ? count : most + 1;
}

static bool sender_has_blank(struct span head)
{
	struct header_field f;

	while (header_field_next(&head, &f))
		if (f.blank)
			return true;
	return false;
}

/* why nobody can say for sure whose name a program would show; NULL: it can be said. *value_out is the field's value, completed */
static const char *sender_unsure(const struct session *s, const struct header_facts *h, struct span head, struct buf *completed, struct span *value_out)
{
	struct span value = sender_from_value(h, head);

	if (h->too_long)
		return "its header is too long";
	if (h->from_count > 1)
		return "it has more than one From field";
	if (!header_is_plain(head))
		return "its header holds zero bytes or broken line ends";
	if (sender_has_blank(head))
		return "a field of its header has a blank before the colon";
	if (!header_mailboxes_are_plain(value))
		return "its From field shows one address and means another";
	*value_out = sender_complete(s, value, completed) ? buf_span(completed) : value;
	return completed->overflow ? "its From field is too long" : NULL;
}

/* the addresses in From, as records; 0 and x->why: they cannot be read */
static size_t sender_read(struct session *s, const struct smtp_ask *ask, struct buf *list)
{
	struct session_sender *x = &s->smtp->sender;
	struct span head = session_body_head(s->smtp->body, ask->header), value = SPAN_NONE, cursor;
	struct rec_address box;
	struct buf completed, said;
	size_t count = 0;

	buf_init(&completed, LIMIT_HEADER_BYTES);
	buf_init(&said, SENDER_LIST_BYTES);
	x->why = sender_unsure(s, ask->header, head, &completed, &value);
	if (!x->why)
		count = sender_boxes_add(value, SESSION_SENDER_BOXES, list);
	if (!x->why && (count == 0 || count > SESSION_SENDER_BOXES || list->overflow))
		x->why = "its From field cannot be read";
	cursor = buf_span(list);
	while (!x->why && rec_address_next(&cursor, &box)) {
		buf_add_str(&said, said.len ? ", " : "");
		buf_add(&said, box.text);
	}
	x->said_bytes = said.len < sizeof(x->said) ? said.len : sizeof(x->said);
	if (x->said_bytes)
		memcpy(x->said, said.ptr, x->said_bytes);
	buf_clear(&completed);
	buf_clear(&said);
	return x->why ? 0 : count;
}

static void sender_on_from(struct session *s, uint32_t engine_ask, enum msg_type type, const union msg_any *msg)
{
	struct session_sender *x = &s->smtp->sender;
	session_sender_then *then = x->then;
	struct verdict v;

	if (!then || x->ask.id != engine_ask) /* the message was given up meanwhile */
		return;
	x->then = NULL;
	v = sender_verdict(s, type, msg, &x->from);
	if (v.cause == CAUSE_SENDER_NOT_OWNED)
		v.facts.sender = span_of(x->said, x->said_bytes);
	if (v.cause == CAUSE_MESSAGE_MALFORMED && x->why)
		v.facts.detail = span_str(x->why);
	then(s, &x->ask, &v);
}

void session_sender_from(struct session *s, const struct smtp_ask *ask, session_sender_then *then)
{
	struct session_sender *x = &s->smtp->sender;
	struct verdict v = {.cause = CAUSE_NONE};
	struct buf list;
	size_t count;

	x->ask = *ask;
	if (!sender_has_account(s)) {
		if (ask->header->from_count > 1 && sender_completes(s))
			v = (struct verdict){.cause = CAUSE_MESSAGE_MALFORMED, .facts = {.detail = SPAN_LIT("it has more than one From field")}};
		then(s, ask, &v);
		return;
	}
	if (ask->header->from_count == 0 && !ask->header->too_long) { /* it gets one that belongs to the sender of the envelope */
		then(s, ask, &v);
		return;
	}
	if (!s->worker->store) {
		then(s, ask, &(struct verdict){.cause = CAUSE_SERVER_TEMP_ERROR});
		return;
	}
	buf_init(&list, SENDER_LIST_BYTES);
	count = sender_read(s, ask, &list);
	x->then = then;
	sender_check(s, ask->id, 1, (struct msg_list){.raw = count ? buf_span(&list) : SPAN_NONE, .count = (uint32_t)count}, sender_on_from);
	buf_clear(&list);
}

/* ---- what becomes of the message */

void session_sender_write(const struct session *s, const struct smtp_ask *ask, struct buf *out)
{
	const struct session_sender *x = &s->smtp->sender;

	if (x->envelope == POLICY_ACT_REWRITE)
		buf_add(out, sender_account(x));
	else
		address_write(out, &ask->mail->from);
}

void session_sender_trace(const struct session *s, const struct smtp_ask *ask, struct buf *out)
{
	const struct session_sender *x = &s->smtp->sender;
	bool marks = x->envelope == POLICY_ACT_MARK || x->from == POLICY_ACT_MARK;
	struct buf from;

	if (!sender_completes(s))
		return;
	buf_init(&from, SENDER_ADDRESS_BYTES);
	if (ask->header->from_count == 0)
		session_sender_write(s, ask, &from);
	if (ask->header->from_count == 0 && from.len == 0) /* <> */
		buf_add(&from, sender_account(x));
	if (from.len) {
		buf_add_str(out, "From: <");
		buf_add(out, buf_span(&from));
		buf_add_str(out, ">\r\n");
	}
	buf_clear(&from);
	if (!marks)
		return;
	if (ask->header->sender_count == 0) { /* RFC 5322 3.6.2: who really sent it */
		buf_add_str(out, "Sender: <");
		buf_add(out, sender_account(x));
		buf_add_str(out, ">\r\n");
	}
	buf_add_str(out, "X-Authenticated-Sender: ");
	buf_add(out, sender_account(x));
	buf_add_str(out, "\r\n");
}

static bool sender_has_field(struct span head, const char *name)
{
	struct header_field f;

	while (header_field_next(&head, &f))
		if (header_field_is(&f, name))
			return true;
	return false;
}

/* answers go where the writer wanted them, although From is another now */
static void sender_reply_to(struct span head, struct span value, struct buf *out)
{
	struct buf list;
	struct rec_address box;
	struct span cursor;
	bool first = true;

	if (sender_has_field(head, "Reply-To"))
		return;
	buf_init(&list, SENDER_LIST_BYTES);
	(void)sender_boxes_add(value, SESSION_SENDER_BOXES, &list);
	cursor = buf_span(&list);
	for (; rec_address_next(&cursor, &box); first = false) {
		buf_add_str(out, first ? "\r\nReply-To: <" : ",\r\n\t<");
		buf_add(out, box.text);
		buf_add_byte(out, '>');
	}
	buf_clear(&list);
}

bool session_sender_head(const struct session *s, const struct smtp_ask *ask, struct span head, struct buf *room, struct span *head_out)
{
	const struct session_sender *x = &s->smtp->sender;
	const struct header_facts *h = ask->header;
	struct span value = h->from_count == 1 ? sender_from_value(h, head) : SPAN_NONE;
	bool lacks_end = h->ended && !header_has_end(head), changed;
	struct buf completed;

	*head_out = head;
	if (!sender_completes(s))
		return true;
	buf_init(&completed, LIMIT_HEADER_BYTES);
	changed = value.len && sender_complete(s, value, &completed);
	if (changed || x->from == POLICY_ACT_REWRITE) {
		buf_add(room, span_head(head, (size_t)h->from_at));
		if (x->from == POLICY_ACT_REWRITE)
			(void)header_replace_mailboxes(room, changed ? buf_span(&completed) : value, sender_account(x));
		else
			buf_add(room, buf_span(&completed));
		if (x->from == POLICY_ACT_REWRITE)
			sender_reply_to(head, changed ? buf_span(&completed) : value, room);
		buf_add(room, span_from(head, (size_t)(h->from_at + h->from_bytes)));
		changed = true;
	} else if (lacks_end) {
		buf_add(room, head);
	}
	if (lacks_end) /* so that nobody reads on in the text as if it were header */
		buf_add_str(room, "\r\n");
	if (changed || lacks_end)
		*head_out = buf_span(room);
	changed = !room->overflow && !completed.overflow;
	buf_clear(&completed);
	return changed;
}

size_t session_sender_strangers(const struct session *s, const struct smtp_ask *ask, struct span head, struct buf *out)
{
	struct header_field f;
	struct span cursor = head;
	struct rec_address box;
	size_t count = 0;

	if (session_sender_stands(s) || ask->header->from_count == 0)
		return 0;
	if (ask->header->from_count == 1) {
		(void)sender_boxes_add(sender_from_value(ask->header, head), SESSION_SENDER_BOXES, out);
	} else {
		while (header_field_next(&cursor, &f)) /* several: any of them may be what a program shows */
			if (header_field_is(&f, "From"))
				(void)sender_boxes_add(f.value, SESSION_SENDER_BOXES, out);
	}
	cursor = buf_span(out);
	while (count < SESSION_SENDER_BOXES && rec_address_next(&cursor, &box))
		count++;
	out->len -= cursor.len;
	return count;
}
