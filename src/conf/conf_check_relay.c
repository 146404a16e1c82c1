/* What would let people send without signing in: has to name networks that exist, and none so large that everybody is in it. */
#include "conf/conf_internal.h"

/* An open relay is impossible by configuration: all networks together may hold this much of the public Internet. A provider's customers fit, the world does not. */
enum {
	CONF_V4_SHARE_BITS = 8,   /* 2^-8 of the IPv4 space: a /8 */
	CONF_V6_SHARE_BITS = 20,  /* a /20 */
	CONF_V4_BALANCER_BITS = 24,
	CONF_V6_BALANCER_BITS = 64,
	CONF_V4_BITS = 96,        /* an IPv4 prefix begins here, see net.h */
};

static bool conf_prefix_is_v4(const struct net_prefix *p)
{
	return net_is_v4(&p->base) && p->bits >= CONF_V4_BITS;
}

/* nobody in the Internet has such an address */
static bool conf_prefix_is_private(const struct net_prefix *p)
{
	struct net_address last = p->base;

	for (unsigned bit = p->bits; bit < 128; bit++)
		last.raw[bit / 8] |= (uint8_t)(0x80U >> bit % 8);
	return net_is_private(&p->base) && net_is_private(&last);
}

static enum rc conf_network_fail(const struct conf_draft *d, size_t i, const char *setting, struct err *err, const char *words)
{
	const struct conf_setting *s = conf_setting_find(CONF_SECTION_NETWORK, setting);
	struct conf_place at = d->networks[i].at[s - conf_settings];

	return conf_draft_fail(d, at.line ? at : d->networks[i].section, RC_BAD, err, "network \"%s\": %s: %s", d->conf->networks[i].name, setting, words);
}

static enum rc conf_network_open(const struct conf_draft *d, size_t i, const struct net_prefix *p, struct err *err)
{
	struct buf words;
	enum rc rc;

	buf_init(&words, 512);
	buf_add_str(&words, "with ");
	net_prefix_write(&words, p);
	buf_add_str(&words, " so much of the Internet could send through this server that it would be an open relay; the addresses of your own machines or customers would be "
		"right, at most a /8 (IPv6: a /20) over all networks");
	rc = conf_network_fail(d, i, "addresses", err, buf_cstr(&words));
	buf_clear(&words);
	return rc;
}

static enum rc conf_networks_check(struct conf_draft *d, struct err *err)
{
	struct conf *c = d->conf;
	uint64_t v4 = 0, v6 = 0; /* in 2^-32 of the address space */

	for (size_t i = 0; i < c->network_count; i++) {
		struct conf_network *n = &c->networks[i];

		n->line = d->networks[i].section.line;
		if (n->addresses.count == 0)
			return conf_network_fail(d, i, "addresses", err, "not given; one such as 192.0.2.0/24 would be right");
		for (size_t k = 0; k < n->addresses.count; k++) {
			const struct net_prefix *p = &n->addresses.at[k];
			bool is_v4 = conf_prefix_is_v4(p);
			unsigned bits = is_v4 ? p->bits - CONF_V4_BITS : p->bits;
			uint64_t *share = is_v4 ? &v4 : &v6;

			if (conf_prefix_is_private(p))
				continue;
			*share += 1ULL << (bits < 32 ? 32 - bits : 0);
			if (*share > 1ULL << (32 - (is_v4 ? CONF_V4_SHARE_BITS : CONF_V6_SHARE_BITS)))
				return conf_network_open(d, i, p, err);
		}
	}
	return RC_OK;
}

/* ---- what a listener says of it */

static enum rc conf_relay_fail(struct conf_draft *d, size_t listener, const char *setting, struct err *err, const char *words)
{
	const struct conf_setting *s = conf_setting_find(CONF_SECTION_LISTENER, setting);
	struct conf_places *places = &d->listeners[listener];
	struct conf_place at = places->at[s - conf_settings];

	return conf_draft_fail(d, at.line ? at : places->section, RC_BAD, err, "listener \"%s\": %s: %s", d->conf->listeners[listener].name, setting, words);
}

static const struct conf_network *conf_network_find(const struct conf *c, struct span name)
{
	for (size_t i = 0; i < c->network_count; i++)
		if (span_eq(name, span_str(c->networks[i].name)))
			return &c->networks[i];
	return NULL;
}

static enum rc conf_relay_networks(struct conf_draft *d, size_t listener, struct err *err)
{
	struct conf_listener *l = &d->conf->listeners[listener];
	const char *rest = l->relay_networks;
	struct span name;
	char words[128];

	l->networks = arena_zalloc(d->mem, (d->conf->network_count + 1) * sizeof(*l->networks));
	l->network_count = 0;
	while (l->networks && conf_list_next(&rest, &name)) {
		const struct conf_network *n = conf_network_find(d->conf, name);
		bool twice = false;

		for (size_t i = 0; i < l->network_count; i++)
			twice |= l->networks[i] == n;
		if (!n || twice) {
			(void)snprintf(words, sizeof(words), n ? "\"%.*s\" is there twice; once would be right" : "there is no network \"%.*s\"; a section network %.*s { } would be right",
				SPAN_FMT(name), SPAN_FMT(name));
			return conf_relay_fail(d, listener, "relay-networks", err, words);
		}
		l->networks[l->network_count++] = n;
	}
	return RC_OK;
}

static enum rc conf_balancers(struct conf_draft *d, size_t listener, struct err *err)
{
	const struct conf_listener *l = &d->conf->listeners[listener];

	for (size_t i = 0; i < l->proxy_from.count; i++) {
		const struct net_prefix *p = &l->proxy_from.at[i];
		unsigned least = conf_prefix_is_v4(p) ? CONF_V4_BITS + CONF_V4_BALANCER_BITS : CONF_V6_BALANCER_BITS;

		if (p->bits < least && !conf_prefix_is_private(p))
			return conf_relay_fail(d, listener, "proxy-from", err,
				"whoever connects from there is believed to be any client he names, also one in relay-networks; the addresses of your balancers would be right");
	}
	return RC_OK;
}

enum rc conf_relay_check(struct conf_draft *d, struct err *err)
{
	struct conf *c = d->conf;
	enum rc rc = conf_networks_check(d, err);

	for (size_t i = 0; i < c->listener_count && rc == RC_OK; i++) {
		struct conf_listener *l = &c->listeners[i];

		if (l->kind == CONF_POP3 && l->relay_networks[0])
			return conf_relay_fail(d, i, "relay-networks", err, "nobody sends mail on a pop3 listener; leave it out, or kind = submission would be right");
		if (l->kind != CONF_MX && l->deny.count)
			return conf_relay_fail(d, i, "deny", err, "is for mx listeners; leave it out here");
		rc = conf_relay_networks(d, i, err);
		if (rc == RC_OK)
			rc = conf_balancers(d, i, err);
	}
	return rc;
}
