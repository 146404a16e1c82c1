#include "role/auth_history.h"

#include <stdlib.h>

#include "base/mem.h"
#include "ipc/chan.h"
#include "role/auth_signin.h"
#include "role/history_rate.h"
#include "store/history.h"

enum { REPORT_SERVICE_BYTES = 16, REPORT_MECHANISM_BYTES = 32, REPORT_PEER_BYTES = 64, REPORT_ADDRESS_BYTES = 320, REPORT_DETAIL_BYTES = 256 };

struct auth_seen {
	mono_ms told_ms;
	uint64_t more; /* since then */
};

struct auth_history {
	struct auth *auth;
	struct history_rate *rate;
	struct map seen; /* hash of account, address and service -> struct auth_seen */
};

static void auth_history_send(struct auth_history *h, const struct msg_history *m)
{
	if (h->auth->store)
		chan_send(h->auth->store, MSG_HISTORY, m);
}

static void auth_history_rest(void *arg, const struct history_rest *rest)
{
	auth_history_send(arg, &(struct msg_history){.kind = HISTORY_MORE, .peer = rest->peer, .more = rest->more, .cause = (uint16_t)rest->mostly});
}

struct auth_history *auth_history_new(struct auth *a)
{
	struct auth_history *h;

	if (!a->role->conf->history_days)
		return NULL;
	h = mem_zalloc(sizeof(*h));
	h->auth = a;
	h->rate = history_rate_new(a->role->loop, auth_history_rest, h);
	map_init(&h->seen);
	return h;
}

static uint64_t auth_history_key(const char *what, struct span account, struct span peer)
{
	struct buf text;
	uint64_t key;

	buf_init(&text, 2 * LIMIT_LOGIN_BYTES);
	buf_printf(&text, "%s|", what);
	buf_add(&text, peer);
	buf_add_byte(&text, '|');
	buf_add(&text, span_head(account, LIMIT_LOGIN_BYTES));
	key = map_hash(text.ptr, text.len);
	buf_clear(&text);
	return key;
}

static void auth_history_forget(struct auth_history *h)
{
	uint64_t key;
	void *seen;

	for (size_t at = 0; map_next(&h->seen, &at, &key, &seen);)
		free(seen);
	map_clear(&h->seen);
	map_init(&h->seen);
}

/* false: a repeat of one that was told, counted; else *more_out is how many such there were since */
static bool auth_history_is_news(struct auth_history *h, uint64_t key, uint64_t *more_out)
{
	mono_ms now = clock_mono_ms();
	struct auth_seen *seen = map_get(&h->seen, key);

	*more_out = 0;
	if (seen && now - seen->told_ms < AUTH_HISTORY_SAME_MS) {
		seen->more++;
		return false;
	}
	if (seen)
		*more_out = seen->more;
	else if (h->seen.count >= AUTH_HISTORY_SEEN)
		auth_history_forget(h);
	if (!seen) {
		seen = mem_zalloc(sizeof(*seen));
		(void)map_put(&h->seen, key, seen);
	}
	*seen = (struct auth_seen){.told_ms = now};
	return true;
}

void auth_history_signin(struct auth_history *h, const struct auth_record *r)
{
	struct msg_history m;
	struct auth_seen *seen;
	uint64_t key;
	bool tell;

	if (!h)
		return;
	m = (struct msg_history){.kind = r->cause == CAUSE_NONE ? HISTORY_SIGNIN_OK : HISTORY_SIGNIN_FAILED, .at_ms = r->at_ms, .session = r->session, .cause = (uint16_t)r->cause,
		.ms = r->ms, .service = span_head(span_str(r->service), REPORT_SERVICE_BYTES), .peer = span_head(span_str(r->peer), REPORT_PEER_BYTES),
		.tls = r->tls ? SPAN_LIT("yes") : SPAN_LIT("no"), .account = span_head(span_str(r->account), REPORT_ADDRESS_BYTES),
		.login = span_head(span_str(r->name), REPORT_ADDRESS_BYTES), .mechanism = span_head(span_str(r->mechanism), REPORT_MECHANISM_BYTES),
		.detail = span_head(span_str(r->note), REPORT_DETAIL_BYTES)};
	key = auth_history_key(r->service, m.account, m.peer);
	if (r->cause != CAUSE_NONE)
		tell = history_rate_take(h->rate, m.peer, r->cause);
	else
		tell = span_eq(m.service, SPAN_LIT("smtp")) || auth_history_is_news(h, key, &m.more);
	if (tell)
		auth_history_send(h, &m);
	if (r->cause == CAUSE_NONE)
		return;
	seen = map_take(&h->seen, key); /* that it works again is news */
	if (seen && seen->more)
		auth_history_send(h, &(struct msg_history){.kind = HISTORY_SIGNIN_OK, .peer = m.peer, .service = m.service, .account = m.account, .more = seen->more});
	free(seen);
}

void auth_history_window(struct auth_history *h, bool open, struct span peer, struct span account, struct span service)
{
	struct msg_history m = {.kind = open ? HISTORY_WINDOW_OPENED : HISTORY_WINDOW_CLOSED, .at_ms = clock_mono_ms(), .peer = span_head(peer, REPORT_PEER_BYTES),
		.service = span_head(service, REPORT_SERVICE_BYTES), .account = span_head(account, REPORT_ADDRESS_BYTES),
		.detail = open ? SPAN_NONE : SPAN_LIT("two accounts signed in from there")};

	if (h && auth_history_is_news(h, auth_history_key(open ? "window" : "shared", account, peer), &m.more))
		auth_history_send(h, &m);
}
