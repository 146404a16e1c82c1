#include "role/relay_address.h"

#include "store/cred_window.h"

enum { RELAY_ADDRESS_BITS = 128, RELAY_NAME_BYTES = 64 };

void relay_address_name(const struct conf *conf, const struct net_address *a, struct buf *out)
{
	unsigned bits = net_is_v4(a) ? RELAY_ADDRESS_BITS : conf->relay_window_v6_bits;

	net_prefix_write(out, &(struct net_prefix){.base = net_cut(a, bits), .bits = (uint8_t)bits});
}

bool relay_address_may(const struct conf *conf, const struct net_address *a)
{
	return !net_is_private(a) || net_list_has(&conf->relay_window_networks, a);
}

static bool relay_network(const struct conf *conf, const struct conf_listener *l, const struct net_address *a, struct relay_address *out)
{
	for (size_t i = 0; i < l->network_count; i++)
		if (net_list_has(&l->networks[i]->addresses, a)) {
			out->by = POLICY_BY_NETWORK;
			out->network = (uint16_t)(l->networks[i] - conf->networks);
			return true;
		}
	return false;
}

static enum policy_window relay_window_state(const struct cred_window *w, int64_t now_ms)
{
	if (cred_window_is_open(w, now_ms))
		return POLICY_WINDOW_OPEN;
	switch (w->reason) {
	case CRED_WINDOW_REVOKED:
		return POLICY_WINDOW_REVOKED;
	case CRED_WINDOW_ACCOUNT:
		return POLICY_WINDOW_ENDED;
	case CRED_WINDOW_SHARED:
		return now_ms < w->until_ms ? POLICY_WINDOW_SHARED : POLICY_WINDOW_NEVER;
	case CRED_WINDOW_OPEN:
		break;
	}
	return POLICY_WINDOW_EXPIRED;
}

static enum rc relay_window(const struct conf *conf, struct cred *cred, const struct net_address *a, int64_t wall_ms, struct arena *mem, struct relay_address *out,
	struct err *err)
{
	struct cred_window w;
	struct buf name;
	enum rc rc;

	buf_init(&name, RELAY_NAME_BYTES);
	relay_address_name(conf, a, &name);
	rc = cred_window_get(cred, buf_span(&name), mem, &w, err);
	buf_clear(&name);
	out->window = POLICY_WINDOW_NEVER;
	if (rc != RC_OK)
		return rc == RC_NONE ? RC_OK : rc;
	out->window = relay_window_state(&w, wall_ms);
	out->window_ms = w.closed_ms ? w.closed_ms : w.until_ms;
	if (out->window != POLICY_WINDOW_OPEN)
		return RC_OK;
	rc = cred_get(cred, w.address, mem, &out->row, err);
	if (rc == RC_OK && out->row.account == w.account && out->row.enabled && out->row.generation == w.generation) {
		out->by = POLICY_BY_WINDOW;
		return RC_OK;
	}
	out->window = POLICY_WINDOW_ENDED; /* changed a moment ago: nobody has written it down yet */
	out->window_ms = wall_ms;
	return rc == RC_NONE ? RC_OK : rc;
}

enum rc relay_address_look(const struct conf *conf, const struct conf_listener *l, struct cred *cred, const struct net_address *a, int64_t wall_ms, struct arena *mem,
	struct relay_address *out, struct err *err)
{
	*out = (struct relay_address){.by = POLICY_BY_NOTHING, .window = POLICY_WINDOW_OFF};
	if (relay_network(conf, l, a, out) || !l->relay_window)
		return RC_OK;
	out->window = POLICY_WINDOW_PRIVATE;
	return relay_address_may(conf, a) ? relay_window(conf, cred, a, wall_ms, mem, out, err) : RC_OK;
}
