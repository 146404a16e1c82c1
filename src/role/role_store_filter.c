/* The store role: the scripts of the accounts that a recipient leads to. */
#include "role/role_store.h"
#include "store/store_filter.h"

enum { STORE_ROLE_FILTER_BYTES = 16 << 20 }; /* of the scripts behind one recipient: a channel holds more */

struct store_filter_said {
	struct store_peer *peer;
	uint32_t ask;
	size_t bytes;
};

static enum rc store_role_filter_one(void *arg, int64_t account, struct span address, struct span script)
{
	struct store_filter_said *said = arg;
	struct msg_filter_is m = {.ask = said->ask, .account = (uint64_t)account, .address = address};

	said->bytes += script.len;
	if (said->bytes <= STORE_ROLE_FILTER_BYTES)
		m.script = script;
	chan_send(said->peer->chan, MSG_FILTER_IS, &m);
	return RC_OK;
}

enum rc store_role_filter_get(struct store_peer *p, const union msg_any *msg)
{
	const struct msg_filter_get *m = &msg->filter_get;
	struct store_filter_said said = {.peer = p, .ask = m->ask};
	struct msg_filter_is last = {.ask = m->ask, .last = true};
	struct err err = {""};
	enum rc rc = store_filter_each(p->role->store, m->tag, store_role_filter_one, &said, &last.others, &err);

	last.cause = (uint16_t)(rc == RC_OK ? CAUSE_NONE : store_role_judge(p->role, rc, "filter", &err));
	chan_send(p->chan, MSG_FILTER_IS, &last);
	return RC_OK;
}
