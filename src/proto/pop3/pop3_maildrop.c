#include "proto/pop3/pop3_internal.h"

#include <stdlib.h>

#include "base/num.h"

enum { POP3_ITEMS_FIRST = 64 };

/* ---- the listing at sign-in */

/* Sized by the mailbox, so it fails soft. */
static bool pop3_items_resize(struct pop3_in *p, uint32_t room)
{
	struct pop3_item *items = realloc(p->items, (size_t)room * sizeof(*items));

	if (!items)
		return false;
	p->items = items;
	p->item_room = room;
	return true;
}

enum rc pop3_in_mailbox_add(struct pop3_in *p, uint64_t uid, uint64_t bytes)
{
	if (p->open != POP3_WANT_OPEN)
		return RC_OK; /* the session ended meanwhile */
	if (p->item_count >= LIMIT_POP3_MESSAGES || bytes > POP3_ITEM_BYTES_MAX)
		return RC_LIMIT;
	if (p->item_count == p->item_room && !pop3_items_resize(p, p->item_room ? p->item_room * 2 : POP3_ITEMS_FIRST))
		return RC_LIMIT;
	p->items[p->item_count++] = (struct pop3_item){.uid = uid, .round_bytes = bytes};
	p->all_bytes += bytes;
	return RC_OK;
}

void pop3_in_mailbox_done(struct pop3_in *p, enum cause_id cause, const struct cause_facts *facts, uint32_t uidvalidity)
{
	if (p->open != POP3_WANT_OPEN)
		return;
	p->open = POP3_WANT_NOTHING;
	pop3_out_compact(p);
	if (cause != CAUSE_NONE) { /* RFC 1939 4: the session stays where it is */
		free(p->items);
		p->items = NULL;
		p->item_count = p->item_room = 0;
		p->all_bytes = 0;
		free(p->account);
		p->account = NULL;
		pop3_refuse(p, cause, facts);
	} else {
		if (p->item_count && p->item_count < p->item_room)
			(void)pop3_items_resize(p, p->item_count); /* gives back what doubling took too much */
		p->uidvalidity = uidvalidity;
		p->live_count = p->tally.messages = p->item_count;
		p->live_bytes = p->all_bytes;
		p->state = POP3_TRANSACTION;
		buf_printf(&p->out, "+OK %u messages (%llu octets)\r\n", p->live_count, (unsigned long long)p->live_bytes);
	}
	p->verb = NULL;
	pop3_settle(p);
}

/* ---- RFC 1939 5, 7 */

bool pop3_message_find(struct pop3_in *p, const struct pop3_args *a, uint32_t *at_out)
{
	struct cause_facts facts = {.detail = a->word[0]};
	uint64_t n = 0;
	enum rc rc = num_parse(a->word[0], UINT32_MAX, &n);

	if (rc == RC_BAD) {
		pop3_refuse_usage(p, a);
		return false;
	}
	if (rc != RC_OK || n == 0 || n > p->item_count) {
		pop3_refuse(p, CAUSE_MESSAGE_UNKNOWN, &facts);
		return false;
	}
	if (pop3_item_deleted(p, &p->items[n - 1])) {
		pop3_refuse(p, CAUSE_MESSAGE_DELETED, &facts);
		return false;
	}
	*at_out = (uint32_t)n - 1;
	return true;
}

void pop3_cmd_stat(struct pop3_in *p, const struct pop3_args *a)
{
	(void)a;
	buf_printf(&p->out, "+OK %u %llu\r\n", p->live_count, (unsigned long long)p->live_bytes);
}

static void pop3_list_row(struct pop3_in *p, enum pop3_job_kind kind, uint32_t at)
{
	const struct pop3_item *i = &p->items[at];

	buf_add_u64(&p->out, (uint64_t)at + 1);
	if (kind == POP3_JOB_LIST) {
		buf_add_byte(&p->out, ' ');
		buf_add_u64(&p->out, pop3_item_bytes(i));
		buf_add_str(&p->out, "\r\n");
	} else {
		buf_printf(&p->out, " %08x%08llx\r\n", p->uidvalidity, (unsigned long long)i->uid);
	}
}

void pop3_list_fill(struct pop3_in *p)
{
	struct pop3_job *job = &p->job;

	if (pop3_pending_bytes(p) >= POP3_LIST_FILL_BYTES / 2)
		return;
	pop3_out_compact(p);
	while (job->at < p->item_count && p->out.len < POP3_LIST_FILL_BYTES) {
		if (!pop3_item_deleted(p, &p->items[job->at]))
			pop3_list_row(p, job->kind, job->at);
		job->at++;
	}
	if (job->at < p->item_count)
		return;
	buf_add_str(&p->out, ".\r\n");
	*job = (struct pop3_job){.kind = POP3_JOB_NONE};
	p->verb = NULL;
	pop3_settle(p);
}

static void pop3_list(struct pop3_in *p, const struct pop3_args *a, enum pop3_job_kind kind)
{
	uint32_t at;

	if (a->count == 0) {
		buf_printf(&p->out, "+OK %u messages (%llu octets)\r\n", p->live_count, (unsigned long long)p->live_bytes);
		p->job = (struct pop3_job){.kind = kind};
		p->streaming = true;
		pop3_list_fill(p);
	} else if (pop3_message_find(p, a, &at)) {
		buf_add_str(&p->out, "+OK ");
		pop3_list_row(p, kind, at);
	}
}

void pop3_cmd_list(struct pop3_in *p, const struct pop3_args *a)
{
	pop3_list(p, a, POP3_JOB_LIST);
}

void pop3_cmd_uidl(struct pop3_in *p, const struct pop3_args *a)
{
	pop3_list(p, a, POP3_JOB_UIDL);
}

void pop3_cmd_dele(struct pop3_in *p, const struct pop3_args *a)
{
	uint32_t at;

	if (!pop3_message_find(p, a, &at))
		return;
	p->live_count--;
	p->live_bytes -= pop3_item_bytes(&p->items[at]);
	p->items[at].round_bytes = (uint64_t)p->round << 40 | pop3_item_bytes(&p->items[at]);
	buf_printf(&p->out, "+OK Message %u will be deleted at QUIT\r\n", at + 1);
}

void pop3_cmd_rset(struct pop3_in *p, const struct pop3_args *a)
{
	(void)a;
	if (p->live_count < p->item_count && p->round++ == POP3_ROUND_MAX) {
		for (uint32_t i = 0; i < p->item_count; i++)
			p->items[i].round_bytes &= POP3_ITEM_BYTES_MAX;
		p->round = 1;
	}
	p->live_count = p->item_count;
	p->live_bytes = p->all_bytes;
	buf_printf(&p->out, "+OK %u messages (%llu octets)\r\n", p->live_count, (unsigned long long)p->live_bytes);
}

void pop3_cmd_noop(struct pop3_in *p, const struct pop3_args *a)
{
	(void)a;
	buf_add_str(&p->out, "+OK\r\n");
}

/* RFC 1939 6: only here, and only after sign-in, are messages removed */
void pop3_cmd_quit(struct pop3_in *p, const struct pop3_args *a)
{
	uint64_t *uids = (uint64_t *)p->items;
	uint32_t count = 0;

	(void)a;
	if (p->state != POP3_TRANSACTION || p->live_count == p->item_count) {
		buf_add_str(&p->out, "+OK Bye\r\n");
		pop3_end(p);
		return;
	}
	p->state = POP3_UPDATE;
	/* packed in place: the list is not needed any more, and uid k never lies behind item k */
	for (uint32_t i = 0; i < p->item_count; i++)
		if (pop3_item_deleted(p, &p->items[i]))
			uids[count++] = p->items[i].uid;
	p->want = POP3_WANT_COMMIT;
}

void pop3_in_committed(struct pop3_in *p, enum cause_id cause)
{
	uint32_t count = p->item_count - p->live_count;

	if (!p->committing)
		return;
	p->committing = false;
	if (cause == CAUSE_NONE)
		p->tally.deleted = count;
	if (p->state == POP3_CLOSED)
		return;
	p->open = POP3_WANT_NOTHING;
	pop3_out_compact(p);
	if (cause == CAUSE_NONE)
		buf_printf(&p->out, "+OK Bye, %u messages deleted\r\n", count);
	else
		pop3_refuse(p, cause, NULL);
	p->verb = NULL;
	pop3_end(p);
}
