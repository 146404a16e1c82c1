/* A relay that has been taken over, and frames of a relay from those who are none. Beside it an honest relay holds all the mail that was in the queue at the
 * start: its text must not come out, and its rows must be its own to the end. */
#include "hostile.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/limits.h"
#include "cause/cause.h"
#include "policy/retry.h"

enum { HONEST_ROOM = 20000, HONEST_MS = 15000, HONEST_SMARTHOSTS = 1, RELAY_FLOOD_FRAMES = 2000, RELAY_STS_BYTES = 60000, RELAY_STS_FRAMES = 60, RELAY_DIGEST_BYTES = 32 };

/* ---- what comes back to one that was taken over */

static bool honest_holds(const struct hostile *h, uint64_t message, uint64_t row)
{
	for (size_t i = 0; i < h->honest.count; i++)
		if (h->honest.rows[i].message == message || h->honest.rows[i].row == row)
			return true;
	return false;
}

static void relay_take_lease(struct hostile *h, struct worker *w, const struct msg_lease *m)
{
	struct span cursor = m->rcpts.raw;
	struct rec_lease_rcpt r;

	while (rec_lease_rcpt_next(&cursor, &r))
		if (honest_holds(h, m->message, r.row))
			hostile_wrong(h, "a row was leased that another relay holds");
	w->leased = true;
}

void relay_take(struct hostile *h, struct worker *w, enum msg_type type, const union msg_any *msg)
{
	switch ((int)type) {
	case MSG_LEASE:
		relay_take_lease(h, w, &msg->lease);
		break;
	case MSG_TEXT_IS:
		if ((msg->text_is.cause == CAUSE_NONE || msg->text_is.bytes.len) && !w->leased)
			hostile_wrong(h, "a text was given out without a lease");
		break;
	case MSG_DKIM_SIGNED:
		if ((msg->dkim_signed.ok || msg->dkim_signed.signature.len) && !w->asked_rightly)
			hostile_wrong(h, "signed for a domain that the key is not of");
		break;
	case MSG_SECRET:
		if (msg->secret.ok && !span_eq(msg->secret.login, SPAN_LIT("mailroom@smarthost.plant.test")))
			hostile_wrong(h, "a password of a smarthost that is not there");
		break;
	default:
		break;
	}
}

/* ---- acts */

/* mx and user ask for what is a relay's; the table of frames says no */
void act_relay_frames(struct hostile *h, struct worker *w)
{
	static const uint8_t digest[RELAY_DIGEST_BYTES];
	static const enum msg_type types[] = {MSG_DKIM_SIGN, MSG_DKIM_KEYS_GET, MSG_SECRET_GET, MSG_TEXT_GET, MSG_RELAY_ROOM, MSG_LEASES_HELD, MSG_STS_GET, MSG_DELIVERIES};
	enum msg_type type = types[forge_below(&h->forge, sizeof(types) / sizeof(types[0]))];
	bool keys = type == MSG_DKIM_SIGN || type == MSG_DKIM_KEYS_GET || type == MSG_SECRET_GET;
	struct wire *to = keys ? &w->keys : &w->store;
	union msg_any msg;

	if (w->self == ROLE_RELAY || !worker_join(h, w, to, keys ? RIG_KEYS : RIG_STORE))
		return;
	forge_message(&h->forge, type, false, &msg);
	if (type == MSG_DKIM_SIGN)
		msg.dkim_sign = (struct msg_dkim_sign){.ask = 1, .domain = SPAN_LIT("mailroom.test"), .digest = span_of(digest, sizeof(digest))};
	else if (type == MSG_SECRET_GET)
		msg.secret_get.smarthost = 0;
	else if (type == MSG_TEXT_GET && h->honest.count)
		msg.text_get.message = h->honest.rows[0].message;
	(void)wire_send(to, type, &msg);
	hostile_must_drop(h, to, "a frame that is a relay's", type);
}

static void relay_claim(struct hostile *h, struct worker *w)
{
	struct rec_lease_held held;
	struct buf rows;

	buf_init(&rows, LIMIT_FRAME_BYTES);
	for (size_t i = 0; i < h->honest.count; i++) {
		held = (struct rec_lease_held){.row = h->honest.rows[i].row, .lease = h->honest.rows[i].lease};
		rec_lease_held_add(&rows, &held);
	}
	/* and whatever else there may be */
	for (held = (struct rec_lease_held){.row = 0}; held.row < 200; held.row++)
		rec_lease_held_add(&rows, &held);
	held.row = UINT64_MAX;
	rec_lease_held_add(&rows, &held);
	(void)wire_send(&w->store, MSG_LEASES_HELD, &(struct msg_leases_held){.last = forge_below(&h->forge, 2),
		.rows = {.raw = buf_span(&rows), .count = (uint32_t)h->honest.count + 201}});
	buf_clear(&rows);
}

static void relay_settle_others(struct hostile *h, struct worker *w)
{
	struct buf results;

	buf_init(&results, LIMIT_FRAME_BYTES);
	for (size_t i = 0; i < h->honest.count; i++)
		rec_delivery_add(&results, &(struct rec_delivery){.row = h->honest.rows[i].row, .lease = h->honest.rows[i].lease,
			.outcome = (uint8_t)(DELIVERY_SENT + forge_below(&h->forge, 4)), .code = 550, .again_ms = forge_u64(&h->forge), .words = SPAN_LIT("settled\x1b[2J by another")});
	(void)wire_send(&w->store, MSG_DELIVERIES, &(struct msg_deliveries){.results = {.raw = buf_span(&results), .count = (uint32_t)h->honest.count}});
	buf_clear(&results);
}

/* mail that another relay holds: claimed, read, settled */
void act_others_mail(struct hostile *h, struct worker *w)
{
	if (w->self != ROLE_RELAY || !worker_join(h, w, &w->store, RIG_STORE))
		return;
	switch (forge_below(&h->forge, 5)) {
	case 0:
		relay_claim(h, w);
		break;
	case 1:
		relay_settle_others(h, w);
		break;
	case 2: /* to get mail of its own, too */
		(void)wire_send(&w->store, MSG_LEASES_HELD, &(struct msg_leases_held){.last = true});
		(void)wire_send(&w->store, MSG_RELAY_ROOM, &(struct msg_relay_room){.rows = forge_below(&h->forge, 2) ? UINT32_MAX : 1 + forge_below(&h->forge, 20)});
		break;
	default:
		for (size_t i = 0; i < h->honest.count; i++)
			(void)wire_send(&w->store, MSG_TEXT_GET, &(struct msg_text_get){.ask = ++w->ask, .message = h->honest.rows[i].message, .max = UINT32_MAX});
		for (uint64_t message = 1; message <= HOSTILE_UIDS; message++)
			(void)wire_send(&w->store, MSG_TEXT_GET, &(struct msg_text_get){.ask = ++w->ask, .message = message, .max = UINT32_MAX});
		break;
	}
}

/* each frame a destination of its own; what comes of it on the disk hostile.py looks at */
void act_dest_flood(struct hostile *h, struct worker *w)
{
	char dest[64];

	if (w->self != ROLE_RELAY || !worker_join(h, w, &w->store, RIG_STORE))
		return;
	for (uint32_t i = 0; i < RELAY_FLOOD_FRAMES; i++) {
		(void)snprintf(dest, sizeof(dest), "%u.flood%u.test", i, forge_below(&h->forge, 1000000));
		if (!wire_send(&w->store, MSG_DEST_STATE, &(struct msg_dest_state){.window = forge_below(&h->forge, 3) ? 10 : UINT32_MAX,
			.blocked_ms = i % 4 ? UINT64_MAX >> forge_below(&h->forge, 64) : 0, .cause = (uint16_t)forge_u64(&h->forge), .dest = span_str(dest), .words = SPAN_LIT("down")}))
			break;
		if (i % 100 == 0)
			(void)wire_send(&w->store, MSG_RELAY_ROOM, &(struct msg_relay_room){.rows = i % 200 ? UINT32_MAX : 0});
	}
}

void act_sts_flood(struct hostile *h, struct worker *w)
{
	static uint8_t text[RELAY_STS_BYTES];
	char domain[64];

	if (w->self != ROLE_RELAY || !worker_join(h, w, &w->store, RIG_STORE))
		return;
	memset(text, 'x', sizeof(text));
	for (uint32_t i = 0; i < RELAY_STS_FRAMES; i++) {
		(void)snprintf(domain, sizeof(domain), "%u.sts%u.test", i, forge_below(&h->forge, 1000000));
		if (!wire_send(&w->store, MSG_STS_PUT, &(struct msg_sts_put){.fetched_ms = 1700000000000, .domain = span_str(domain), .id = SPAN_LIT("1"),
			.text = span_of(text, sizeof(text))}))
			break;
	}
}

/* more than a relay ever has under way, in one go */
static void relay_sign_flood(struct hostile *h, struct worker *w, struct msg_dkim_sign *m)
{
	struct buf frames;

	buf_init(&frames, LIMIT_FRAME_BYTES);
	for (uint32_t i = 0; i < RELAY_FLOOD_FRAMES; i++) {
		m->ask = ++w->ask;
		msg_encode(&frames, MSG_DKIM_SIGN, m);
	}
	(void)wire_send_raw(&w->keys, buf_span(&frames), NULL, 0);
	buf_clear(&frames);
	hostile_must_drop(h, &w->keys, "more to sign than mail can leave", MSG_DKIM_SIGN);
}

/* a key that is of another domain, or that is not there, or what is no digest; and in between what a relay may, without end */
void act_dkim(struct hostile *h, struct worker *w)
{
	static const struct span domains[] = {SPAN_LIT("mailroom.tes"), SPAN_LIT("mailroom.testx"), SPAN_LIT("elsewhere.test"), SPAN_NONE};
	struct msg_dkim_sign m = {.key = (uint16_t)forge_below(&h->forge, 3), .domain = domains[forge_below(&h->forge, 4)]};
	uint32_t how = forge_below(&h->forge, 6);
	uint8_t digest[RELAY_DIGEST_BYTES];

	if (w->self != ROLE_RELAY || !worker_join(h, w, &w->keys, RIG_KEYS))
		return;
	for (size_t i = 0; i < sizeof(digest); i++)
		digest[i] = (uint8_t)forge_u64(&h->forge);
	m.digest = span_of(digest, how == 0 ? forge_below(&h->forge, RELAY_DIGEST_BYTES) : RELAY_DIGEST_BYTES);
	if (how == 1)
		m.key = (uint16_t)(2 + forge_below(&h->forge, 65534));
	if (how == 1 || how == 5)
		m.domain = SPAN_LIT("mailroom.test");
	if (how == 5) {
		w->asked_rightly = true;
		m.key = 0;
		relay_sign_flood(h, w, &m);
		return;
	}
	m.ask = ++w->ask;
	(void)wire_send(&w->keys, MSG_DKIM_SIGN, &m);
	if (how == 0)
		hostile_must_drop(h, &w->keys, "a digest that is none", MSG_DKIM_SIGN);
}

/* passwords of smarthosts that are not there: a relay knows which are */
void act_secret(struct hostile *h, struct worker *w)
{
	uint32_t guess = forge_below(&h->forge, 2) ? forge_below(&h->forge, 50) : forge_below(&h->forge, UINT16_MAX - HONEST_SMARTHOSTS);

	if (w->self != ROLE_RELAY || !worker_join(h, w, &w->keys, RIG_KEYS))
		return;
	(void)wire_send(&w->keys, MSG_SECRET_GET, &(struct msg_secret_get){.ask = ++w->ask, .smarthost = (uint16_t)(HONEST_SMARTHOSTS + guess)});
	hostile_must_drop(h, &w->keys, "a smarthost that is not there", MSG_SECRET_GET);
}

/* ---- the one that was not taken over */

static void honest_read(struct hostile *h)
{
	struct honest *k = &h->honest;
	struct rec_lease_rcpt r;
	union msg_any msg;
	enum msg_type type;

	while (wire_next(&k->store, &type, &msg)) {
		struct span cursor = msg.lease.rcpts.raw;

		if (type == MSG_DELIVERIES_KEPT)
			k->kept += msg.deliveries_kept.frames;
		if (type != MSG_LEASE)
			continue;
		while (rec_lease_rcpt_next(&cursor, &r) && k->count < HOSTILE_HONEST_ROWS) {
			k->rows[k->count].row = r.row;
			k->rows[k->count].lease = msg.lease.lease;
			k->rows[k->count++].message = msg.lease.message;
		}
	}
}

static void honest_room(struct hostile *h, uint32_t rows)
{
	(void)wire_send(&h->honest.store, MSG_RELAY_ROOM, &(struct msg_relay_room){.rows = rows});
}

bool honest_relay_begin(struct hostile *h)
{
	struct honest *k = &h->honest;
	mono_ms end = clock_mono_ms() + HONEST_MS;
	size_t before = 0;

	if (!rig_join(&h->rig, RIG_STORE, ROLE_RELAY, ++h->rig.next_worker, &k->store))
		return false;
	(void)wire_send(&k->store, MSG_LEASES_HELD, &(struct msg_leases_held){.last = true});
	honest_room(h, HONEST_ROOM);
	/* until a second brought nothing more */
	do {
		before = k->count;
		wire_wait(&k->store, 1000);
		honest_read(h);
	} while ((k->count == 0 || k->count != before) && !k->store.over && clock_mono_ms() < end);
	honest_room(h, 0); /* what workers put into the queue from now on is for the others */
	return k->count > 0;
}

void honest_relay_turn(struct hostile *h)
{
	honest_room(h, 0);
	honest_read(h);
	if (h->honest.store.over)
		hostile_wrong(h, "the honest relay was dropped");
}

bool honest_relay_end(struct hostile *h)
{
	struct honest *k = &h->honest;
	mono_ms end = clock_mono_ms() + HONEST_MS;
	struct buf results;

	h->wrong[0] = '\0';
	buf_init(&results, LIMIT_FRAME_BYTES);
	for (size_t i = 0; i < k->count; i++)
		rec_delivery_add(&results, &(struct rec_delivery){.row = k->rows[i].row, .lease = k->rows[i].lease, .outcome = DELIVERY_SENT, .code = 250});
	(void)wire_send(&k->store, MSG_DELIVERIES, &(struct msg_deliveries){.results = {.raw = buf_span(&results), .count = (uint32_t)k->count}});
	buf_clear(&results);
	while (!k->kept && !k->store.over && clock_mono_ms() < end) {
		wire_wait(&k->store, 100);
		honest_read(h);
	}
	if (!k->kept)
		hostile_wrong(h, "what it delivered was not written down");
	wire_close(&k->store);
	return k->kept > 0;
}
