/* relay_report - what became of leased rows: one line in the log each, and to the store in one frame a turn. Frames are kept until the store has committed
 * them (DELIVERIES_KEPT): a store that dies in between is told again by way of the next one, or it would send delivered mail a second time. */
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "role/relay.h"

enum {
	REPORT_FRAME_ROWS = 1000, /* messages.def */
	REPORT_HELD_ROWS = 4096,
};

struct relay_frame {
	struct relay_frame *next;
	struct buf rows;
	uint32_t count;
	bool sent; /* to the store that is there now */
};

struct relay_report {
	struct relay *relay;
	struct relay_frame *frames, **tail; /* the last one may be growing */
	struct relay_frame *open;           /* that one; NULL: none is */
	struct loop_hook flush;
	bool confirmed;                     /* this store says what it has kept */
};

static void relay_report_flush(void *arg);

struct relay_report *relay_report_new(struct relay *r)
{
	struct relay_report *p = mem_zalloc(sizeof(*p));

	*p = (struct relay_report){.relay = r, .tail = &p->frames};
	p->flush = (struct loop_hook){.fn = relay_report_flush, .arg = p, .once = true};
	return p;
}

static void relay_frame_drop(struct relay_report *p)
{
	struct relay_frame *f = p->frames;

	p->frames = f->next;
	if (!p->frames)
		p->tail = &p->frames;
	buf_clear(&f->rows);
	free(f);
}

void relay_report_free(struct relay_report **place)
{
	struct relay_report *p = *place;

	*place = NULL;
	if (!p)
		return;
	loop_hook_remove(p->relay->loop, &p->flush);
	while (p->frames)
		relay_frame_drop(p);
	free(p);
}

static void relay_frame_send(struct relay_report *p, struct relay_frame *f)
{
	struct msg_deliveries m = {.results = {.raw = buf_span(&f->rows), .count = f->count}};

	if (!p->relay->store)
		return;
	chan_send(p->relay->store, MSG_DELIVERIES, &m);
	f->sent = true;
}

static void relay_report_flush(void *arg)
{
	struct relay_report *p = arg;

	if (p->open)
		relay_frame_send(p, p->open);
	p->open = NULL;
	relay_maybe_done(p->relay);
}

static struct relay_frame *relay_report_open(struct relay_report *p)
{
	if (p->open && p->open->count == REPORT_FRAME_ROWS)
		relay_report_flush(p);
	if (!p->open) {
		p->open = mem_zalloc(sizeof(*p->open));
		buf_init(&p->open->rows, LIMIT_FRAME_BYTES);
		*p->tail = p->open;
		p->tail = &p->open->next;
		loop_hook_add(p->relay->loop, LOOP_COMMIT, &p->flush);
	}
	return p->open;
}

/* ---- one row */

static void relay_report_log(const struct relay_job *j, const struct relay_rcpt *rcpt, const struct relay_outcome *o, uint64_t ms)
{
	static const char *const outcomes[] = {[DELIVERY_SENT] = "sent", [DELIVERY_LATER] = "later", [DELIVERY_REFUSED] = "refused"};
	char id[14];

	if (o->outcome == DELIVERY_NOT_TRIED || !log_begin(LOG_LEVEL_INFO, "delivery"))
		return;
	log_str("queue_id", num_base32(j->message, 6, id));
	log_span("rcpt", rcpt->address);
	log_str("outcome", outcomes[o->outcome]);
	log_str("cause", o->cause == CAUSE_NONE ? NULL : cause_slug(o->cause));
	log_span("host", o->host);
	log_span("address", o->address);
	log_span("tls", o->tls);
	if (o->code)
		log_num("code", o->code);
	log_span("enhanced", o->enhanced);
	log_span("words", o->words);
	log_num("attempt", rcpt->attempts + 1);
	log_num("ms", ms);
	log_end();
}

void relay_report_row(struct relay_job *j, struct relay_rcpt *rcpt, const struct relay_outcome *o, uint64_t ms)
{
	struct relay_report *p = j->relay->report;
	struct relay_frame *f = relay_report_open(p);

	rec_delivery_add(&f->rows, &(struct rec_delivery){.row = rcpt->row, .lease = j->lease, .outcome = (uint8_t)o->outcome, .cause = (uint16_t)o->cause,
		.code = (uint16_t)o->code, .sure = (uint8_t)o->sure, .dsn_passed = o->dsn_passed, .enhanced = span_head(o->enhanced, 12), .host = span_head(o->host, 255),
		.address = span_head(o->address, 64), .tls = span_head(o->tls, 128), .words = span_head(o->words, 512), .again_ms = o->again_ms,
		.ms = ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX});
	f->count++;
	relay_report_log(j, rcpt, o, ms);
	rcpt->done = true;
	j->left--;
	relay_domain_rows(j->domain, -1);
}

/* ---- destinations */

void relay_report_dest(struct relay_domain *m, uint64_t blocked_ms, const struct relay_failure *why)
{
	struct relay *r = m->dest->relay;
	struct msg_dest_state state = {.window = m->window, .blocked_ms = blocked_ms, .dest = span_str(m->name)};

	if (why) {
		state.cause = (uint16_t)why->cause;
		state.host = span_str(why->host);
		state.words = span_str(why->words);
	}
	/* at once, and so before the rows that come back: they are not leased anew in between */
	if (r->store)
		chan_send(r->store, MSG_DEST_STATE, &state);
}

/* ---- a new store */

struct relay_held {
	struct relay *relay;
	struct buf rows;
	uint32_t count;
};

static void relay_held_send(struct relay_held *h, bool last)
{
	chan_send(h->relay->store, MSG_LEASES_HELD, &(struct msg_leases_held){.last = last, .rows = {.raw = buf_span(&h->rows), .count = h->count}});
	buf_reset(&h->rows);
	h->count = 0;
}

static void relay_held_add(struct relay_held *h, uint64_t row, uint64_t lease)
{
	if (h->count == REPORT_HELD_ROWS)
		relay_held_send(h, false);
	rec_lease_held_add(&h->rows, &(struct rec_lease_held){.row = row, .lease = lease});
	h->count++;
}

static void relay_report_domains(struct relay *r)
{
	mono_ms now = loop_now(r->loop);

	for (struct relay_domain *m = r->oldest; m; m = m->newer) {
		uint64_t ms = m->blocked && m->dest->down_until > now ? m->dest->down_until - now : 0;

		m->blocked = ms > 0;
		m->window = m->rows || ms ? pace_window(&m->dest->pace) : 0;
		if (m->window)
			relay_report_dest(m, ms, ms ? m->dest->why : NULL);
	}
}

void relay_report_store(struct relay *r)
{
	struct relay_report *p = r->report;
	struct relay_held held = {.relay = r};
	struct rec_delivery d;

	p->open = NULL;
	p->confirmed = false;
	buf_init(&held.rows, LIMIT_FRAME_BYTES);
	for (const struct relay_job *j = r->jobs; j; j = j->next_all)
		for (size_t i = 0; i < j->count; i++)
			if (!j->rcpts[i].done)
				relay_held_add(&held, j->rcpts[i].row, j->lease);
	for (const struct relay_frame *f = p->frames; f; f = f->next) {
		struct span cursor = buf_span(&f->rows);

		while (rec_delivery_next(&cursor, &d))
			relay_held_add(&held, d.row, d.lease);
	}
	relay_held_send(&held, true);
	buf_clear(&held.rows);
	for (struct relay_frame *f = p->frames; f; f = f->next)
		relay_frame_send(p, f);
	relay_report_domains(r);
}

enum rc relay_report_kept(struct relay *r, uint32_t frames)
{
	struct relay_report *p = r->report;

	p->confirmed = true;
	while (frames--) {
		if (!p->frames || !p->frames->sent || p->frames == p->open)
			return RC_BAD;
		relay_frame_drop(p);
	}
	relay_maybe_done(r);
	return RC_OK;
}

bool relay_report_told(const struct relay *r)
{
	const struct relay_report *p = r->report;

	if (!p->frames)
		return true;
	if (!r->store || p->confirmed)
		return false;
	for (const struct relay_frame *f = p->frames; f; f = f->next)
		if (!f->sent)
			return false;
	return chan_unsent_bytes(r->store) == 0;
}
