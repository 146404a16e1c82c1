/* relay_text - the bytes of messages, fetched from the store. A small message is fetched whole, before its turn where there is room, and shared by all
 * transactions of that message; of a large one each transaction has a window of its own. Limits: LIMIT_RELAY_TEXT_BYTES in all for what is fetched ahead (what
 * a transaction needs now is fetched in any case: their number is limited), two chunks for each reader of a large one. */
#include <stdlib.h>

#include "base/mem.h"
#include "role/relay.h"

enum { TEXT_FRAME_BYTES = 262144 }; /* messages.def */

/* what waits under a number in relay.asks */
struct relay_text_ask {
	struct relay_text *text;     /* NULL: nobody wants it any more */
	struct relay_reader *reader; /* NULL: the whole text */
};

static bool relay_text_small(const struct relay_text *t)
{
	return t->bytes <= TEXT_FRAME_BYTES;
}

static void relay_text_send(struct relay *r, uint32_t ask, uint64_t message, uint64_t offset, size_t max)
{
	if (r->store)
		chan_send(r->store, MSG_TEXT_GET, &(struct msg_text_get){.ask = ask, .message = message, .offset = offset, .max = (uint32_t)max});
}

static uint32_t relay_text_ask(struct relay_text *t, struct relay_reader *reader)
{
	struct relay_text_ask *a = mem_alloc(sizeof(*a));
	uint32_t ask = relay_ask(t->relay);

	*a = (struct relay_text_ask){.text = t, .reader = reader};
	(void)map_put(&t->relay->asks, ask, a);
	if (reader)
		relay_text_send(t->relay, ask, t->message, reader->asked, LIMIT_RELAY_CHUNK_BYTES);
	else
		relay_text_send(t->relay, ask, t->message, 0, TEXT_FRAME_BYTES);
	return ask;
}

/* the answer is not wanted any more */
static void relay_text_unask(struct relay *r, uint32_t *ask)
{
	struct relay_text_ask *a = *ask ? map_get(&r->asks, *ask) : NULL;

	if (a) {
		a->text = NULL;
		a->reader = NULL;
	}
	*ask = 0;
}

/* ---- fetching ahead */

static void relay_text_unqueue(struct relay_text *t)
{
	struct relay *r = t->relay;
	struct relay_text **place = &r->text_waiting;

	if (!t->queued)
		return;
	while (*place != t)
		place = &(*place)->next_waiting;
	*place = t->next_waiting;
	if (r->text_waiting_tail == &t->next_waiting)
		r->text_waiting_tail = place;
	t->next_waiting = NULL;
	t->queued = false;
}

static void relay_text_fetch(struct relay_text *t)
{
	relay_text_unqueue(t);
	if (t->ready || t->ask || t->cause != CAUSE_NONE)
		return;
	t->relay->text_bytes += t->bytes;
	t->ask = relay_text_ask(t, NULL);
}

static void relay_text_ahead(struct relay *r)
{
	while (r->text_waiting && r->text_bytes + r->text_waiting->bytes <= LIMIT_RELAY_TEXT_BYTES)
		relay_text_fetch(r->text_waiting);
}

static void relay_text_forget(struct relay_text *t)
{
	if (t->ready || t->ask)
		t->relay->text_bytes -= t->bytes;
	relay_text_unask(t->relay, &t->ask);
	relay_text_unqueue(t);
	buf_clear(&t->whole);
	t->ready = false;
}

static void relay_text_queue(struct relay_text *t)
{
	t->queued = true;
	*t->relay->text_waiting_tail = t;
	t->relay->text_waiting_tail = &t->next_waiting;
}

/* nobody reads it now, and there is no room to keep it until somebody does */
static void relay_text_trim(struct relay_text *t)
{
	if (--t->readers || !relay_text_small(t) || !t->ready || t->relay->text_bytes <= LIMIT_RELAY_TEXT_BYTES)
		return;
	relay_text_forget(t);
	relay_text_queue(t);
}

struct relay_text *relay_text_get(struct relay *r, uint64_t message, uint64_t bytes)
{
	struct relay_text *t = map_get(&r->texts, message);

	if (t) {
		t->refs++;
		return t;
	}
	t = mem_zalloc(sizeof(*t));
	*t = (struct relay_text){.relay = r, .message = message, .bytes = bytes, .refs = 1};
	buf_init(&t->whole, TEXT_FRAME_BYTES);
	buf_init(&t->front, LIMIT_RELAY_FRONT_BYTES);
	(void)map_put(&r->texts, message, t);
	if (relay_text_small(t)) {
		relay_text_queue(t);
		relay_text_ahead(r);
	}
	return t;
}

void relay_text_put(struct relay_text **place)
{
	struct relay_text *t = *place;
	struct relay *r;

	*place = NULL;
	if (!t || --t->refs)
		return;
	r = t->relay;
	relay_text_forget(t);
	(void)map_take(&r->texts, t->message);
	buf_clear(&t->front);
	free(t);
	relay_text_ahead(r);
}

/* ---- readers */

struct relay_reader *relay_reader_new(struct relay_text *t, void (*ready)(void *arg), void *arg)
{
	struct relay_reader *r = mem_zalloc(sizeof(*r));

	*r = (struct relay_reader){.text = t, .ready = ready, .arg = arg};
	buf_init(&r->chunk, 2 * LIMIT_RELAY_CHUNK_BYTES);
	t->refs++;
	t->readers++;
	if (relay_text_small(t))
		relay_text_fetch(t);
	return r;
}

static void relay_reader_unwait(struct relay_reader *r)
{
	struct relay_reader **place = &r->text->waiting;

	while (*place && *place != r)
		place = &(*place)->next;
	if (*place)
		*place = r->next;
	r->next = NULL;
}

void relay_reader_free(struct relay_reader **place)
{
	struct relay_reader *r = *place;

	*place = NULL;
	if (!r)
		return;
	relay_reader_unwait(r);
	relay_text_unask(r->text->relay, &r->ask);
	buf_clear(&r->chunk);
	relay_text_trim(r->text);
	relay_text_put(&r->text);
	free(r);
}

static void relay_reader_more(struct relay_reader *r)
{
	if (!r->ask && r->asked < r->text->bytes && r->chunk.len <= LIMIT_RELAY_CHUNK_BYTES)
		r->ask = relay_text_ask(r->text, r);
}

struct span relay_reader_peek(struct relay_reader *r)
{
	struct relay_text *t = r->text;

	if (t->cause != CAUSE_NONE)
		r->cause = t->cause;
	if (r->cause != CAUSE_NONE)
		return SPAN_NONE;
	if (!relay_text_small(t)) {
		relay_reader_more(r);
		return buf_span(&r->chunk);
	}
	if (t->ready)
		return span_from(buf_span(&t->whole), r->at);
	relay_reader_unwait(r);
	r->next = t->waiting;
	t->waiting = r;
	return SPAN_NONE;
}

void relay_reader_take(struct relay_reader *r, size_t n)
{
	r->at += n;
	if (!relay_text_small(r->text))
		buf_drop(&r->chunk, n);
}

/* ---- answers */

static void relay_text_tell(struct relay_text *t)
{
	struct relay_reader *r;

	t->refs++; /* a reader that is told may be the last to hold it */
	while ((r = t->waiting) != NULL) {
		t->waiting = r->next;
		r->next = NULL;
		r->ready(r->arg);
	}
	relay_text_put(&t);
}

static void relay_text_got_whole(struct relay_text *t, const struct msg_text_is *m)
{
	t->ask = 0;
	if (m->cause != CAUSE_NONE || m->bytes.len > t->bytes || !m->last || m->bytes.len < t->bytes) {
		t->relay->text_bytes -= t->bytes;
		t->cause = m->cause != CAUSE_NONE && m->cause < CAUSE_COUNT ? (enum cause_id)m->cause : CAUSE_SERVER_TEMP_ERROR;
	} else {
		buf_add(&t->whole, m->bytes);
		t->ready = true;
	}
	relay_text_tell(t);
}

static void relay_text_got_chunk(struct relay_reader *r, const struct msg_text_is *m)
{
	r->ask = 0;
	r->asked += m->bytes.len;
	if (m->cause != CAUSE_NONE || m->bytes.len == 0 || r->asked > r->text->bytes || m->last != (r->asked == r->text->bytes)) {
		r->cause = m->cause != CAUSE_NONE && m->cause < CAUSE_COUNT ? (enum cause_id)m->cause : CAUSE_SERVER_TEMP_ERROR;
	} else {
		buf_add(&r->chunk, m->bytes);
		relay_reader_more(r);
	}
	r->ready(r->arg);
}

enum rc relay_text_on_text(struct relay *r, const struct msg_text_is *m)
{
	struct relay_text_ask *a = map_take(&r->asks, m->ask);
	struct relay_text *text;
	struct relay_reader *reader;

	if (!a)
		return RC_BAD;
	text = a->text;
	reader = a->reader;
	free(a);
	if (reader)
		relay_text_got_chunk(reader, m);
	else if (text)
		relay_text_got_whole(text, m);
	return RC_OK;
}

void relay_texts_again(struct relay *r)
{
	uint64_t key;
	void *value;

	for (size_t at = 0; map_next(&r->asks, &at, &key, &value);) {
		struct relay_text_ask *a = value;

		if (!a->text) {
			(void)map_take(&r->asks, key);
			free(a);
		} else if (a->reader) {
			relay_text_send(r, (uint32_t)key, a->text->message, a->reader->asked, LIMIT_RELAY_CHUNK_BYTES);
		} else {
			relay_text_send(r, (uint32_t)key, a->text->message, 0, TEXT_FRAME_BYTES);
		}
	}
}
