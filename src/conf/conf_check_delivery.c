/* Mail that leaves: smarthosts and routes have to be whole and name each other rightly. */
#include "conf/conf_internal.h"
#include "mail/address.h"

enum { CONF_PORTS_OUT = 100 }; /* different ones: the walls of a relay list each */

struct conf_titled { /* a section that is checked */
	struct conf_draft *d;
	enum conf_section_id id;
	const char *name;
	const struct conf_places *places;
	struct err *err;
};

static bool conf_titled_set(const struct conf_titled *t, const char *setting)
{
	return t->places->at[conf_setting_find(t->id, setting) - conf_settings].line != 0;
}

static enum rc conf_titled_fail(const struct conf_titled *t, const char *setting, const char *words)
{
	struct conf_place at = t->places->at[conf_setting_find(t->id, setting) - conf_settings];

	if (t->id == CONF_SECTION_DELIVERY)
		return conf_draft_fail(t->d, at, RC_BAD, t->err, "delivery: %s: %s", setting, words);
	return conf_draft_fail(t->d, at.line ? at : t->places->section, RC_BAD, t->err, "%s \"%s\": %s: %s", conf_sections[t->id].name, t->name, setting, words);
}

static enum rc conf_smarthost_find(const struct conf_titled *t, const char *name, uint16_t *out)
{
	const struct conf *c = t->d->conf;
	const char *names[CONF_SMARTHOSTS], *near;
	char words[200];

	for (size_t i = 0; i < c->smarthost_count; i++) {
		names[i] = c->smarthosts[i].name;
		if (strcmp(names[i], name) == 0) {
			*out = (uint16_t)i;
			return RC_OK;
		}
	}
	near = conf_nearest(name, names, c->smarthost_count);
	(void)snprintf(words, sizeof(words), "there is no smarthost \"%s\"; %s%s%sa section smarthost %s { } would be right", name, near ? "\"" : "", near ? near : "",
		near ? "\", or " : "", name);
	return conf_titled_fail(t, "smarthost", words);
}

/* ---- smarthosts */

static enum rc conf_smarthost_check(const struct conf_titled *t, struct conf_smarthost *s)
{
	static const uint16_t usual[] = {[CONF_TLS_NONE] = 25, [CONF_TLS_STARTTLS] = 587, [CONF_TLS_IMPLICIT] = 465};

	s->line = t->places->section.line;
	if (!s->port)
		s->port = usual[s->tls];
	if (!s->host[0])
		return conf_titled_fail(t, "host", "not given; the name of the server would be right");
	if (s->login[0] && !s->password_file[0])
		return conf_titled_fail(t, "password-file", "not given; with a login, the name of the file that holds its password would be right");
	if (!s->login[0] && s->password_file[0])
		return conf_titled_fail(t, "login", "not given; with a password-file, the name to sign in with would be right");
	if (s->login[0] && s->tls == CONF_TLS_NONE && !s->auth_without_tls)
		return conf_titled_fail(t, "tls", "with none the password could be read on the way; starttls, implicit, or auth-without-tls = yes would be right");
	if (s->auth_without_tls && s->tls != CONF_TLS_NONE)
		return conf_titled_fail(t, "auth-without-tls", "has no meaning with TLS, which this smarthost always has; no would be right");
	return RC_OK;
}

/* ---- routes */

static enum rc conf_route_hops(const struct conf_titled *t, struct conf_route *r)
{
	const char *rest = r->to;
	struct span word;

	r->hops = arena_zalloc(t->d->mem, CONF_HOPS * sizeof(*r->hops));
	r->hop_count = 0;
	while (r->hops && conf_list_next(&rest, &word)) {
		struct conf_hop *h = &r->hops[r->hop_count];

		if (r->hop_count == CONF_HOPS)
			return conf_titled_fail(t, "to", "too many servers; at most 20 would be right");
		if (conf_hop_read(word, h, t->err) != RC_OK)
			return RC_BAD;
		if (!h->port)
			h->port = t->d->conf->delivery_port;
		r->hop_count++;
	}
	return RC_OK;
}

/* two routes for one pattern: only one could ever be used */
static enum rc conf_route_alone(const struct conf_titled *t, const struct conf_route *r)
{
	const struct conf *c = t->d->conf;
	const char *mine = r->domains, *theirs;
	struct span word, other;
	char words[400];

	while (conf_list_next(&mine, &word))
		for (const struct conf_route *o = c->routes; o < r; o++)
			for (theirs = o->domains; conf_list_next(&theirs, &other);)
				if (span_eq(word, other)) {
					(void)snprintf(words, sizeof(words), "route \"%s\" takes %.*s already; each domain in one route would be right", o->name,
						SPAN_FMT(span_head(word, 255)));
					return conf_titled_fail(t, "domains", words);
				}
	return RC_OK;
}

static enum rc conf_route_check(const struct conf_titled *t, struct conf_route *r)
{
	enum rc rc;

	r->line = t->places->section.line;
	if (!r->domains[0])
		return conf_titled_fail(t, "domains", "not given; one such as example.org would be right, or *");
	if (!r->to[0] == !r->smarthost[0])
		return conf_titled_fail(t, "to", r->to[0] ? "both to and smarthost are given; one of them would be right" :
			"neither to nor smarthost is given; one of them would be right");
	if (!conf_titled_set(t, "tls"))
		r->tls = t->d->conf->delivery_tls;
	rc = conf_route_hops(t, r);
	if (rc == RC_OK && r->smarthost[0]) {
		rc = conf_smarthost_find(t, r->smarthost, &r->smarthost_index);
		r->has_smarthost = rc == RC_OK;
	}
	return rc == RC_OK ? conf_route_alone(t, r) : rc;
}

/* ---- section delivery */

static enum rc conf_source_check(const struct conf_titled *t, const char *setting, const char *address, bool six)
{
	if (!address[0] || (strchr(address, ':') != NULL) == six)
		return RC_OK;
	return conf_titled_fail(t, setting, six ? "is no IPv6 address; one such as 2001:db8::1 would be right" :
		"is no IPv4 address; one such as 192.0.2.1 would be right");
}

static void conf_port_add(uint16_t *ports, size_t *count, uint16_t port)
{
	for (size_t i = 0; i < *count; i++)
		if (ports[i] == port)
			return;
	if (*count <= CONF_PORTS_OUT)
		ports[(*count)++] = port;
}

static enum rc conf_ports_check(const struct conf_titled *t)
{
	const struct conf *c = t->d->conf;
	uint16_t ports[CONF_PORTS_OUT + 1];
	size_t count = 0;

	conf_port_add(ports, &count, c->delivery_port);
	for (size_t i = 0; i < c->smarthost_count; i++)
		conf_port_add(ports, &count, c->smarthosts[i].port);
	for (size_t i = 0; i < c->route_count; i++)
		for (size_t k = 0; k < c->routes[i].hop_count; k++)
			conf_port_add(ports, &count, c->routes[i].hops[k].port);
	if (count <= CONF_PORTS_OUT)
		return RC_OK;
	return conf_draft_fail(t->d, (struct conf_place){0}, RC_BAD, t->err, "routes and smarthosts name too many different ports; at most %d would be right", CONF_PORTS_OUT);
}

static enum rc conf_section_check(const struct conf_titled *t)
{
	struct conf *c = t->d->conf;
	enum rc rc = RC_OK;

	if (c->delivery_smarthost[0])
		rc = conf_smarthost_find(t, c->delivery_smarthost, &c->delivery_smarthost_index);
	c->delivery_has_smarthost = c->delivery_smarthost[0] && rc == RC_OK;
	if (rc == RC_OK && c->delivery_retry_first_ms > c->delivery_retry_most_ms)
		return conf_titled_fail(t, conf_titled_set(t, "retry-first") ? "retry-first" : "retry-most", "the first wait is longer than the longest; retry-first up to retry-most would be right");
	if (rc == RC_OK)
		rc = conf_source_check(t, "ipv4-source", c->delivery_ipv4_source, false);
	if (rc == RC_OK)
		rc = conf_source_check(t, "ipv6-source", c->delivery_ipv6_source, true);
	return rc == RC_OK ? conf_ports_check(t) : rc;
}

enum rc conf_delivery_check(struct conf_draft *d, struct err *err)
{
	struct conf *c = d->conf;
	enum rc rc = RC_OK;

	for (size_t i = 0; i < c->smarthost_count && rc == RC_OK; i++) {
		struct conf_titled t = {d, CONF_SECTION_SMARTHOST, c->smarthosts[i].name, &d->smarthosts[i], err};

		rc = conf_smarthost_check(&t, &c->smarthosts[i]);
	}
	for (size_t i = 0; i < c->route_count && rc == RC_OK; i++) {
		struct conf_titled t = {d, CONF_SECTION_ROUTE, c->routes[i].name, &d->routes[i], err};

		rc = conf_route_check(&t, &c->routes[i]);
	}
	if (rc == RC_OK) {
		struct conf_titled t = {d, CONF_SECTION_DELIVERY, "", &d->top, err};

		rc = conf_section_check(&t);
	}
	return rc;
}

/* how well a pattern fits: 0 not at all, an exact name best, then the longest that begins with a dot, "*" last */
static size_t conf_pattern_fits(struct span pattern, struct span domain)
{
	if (span_eq(pattern, domain))
		return 1000;
	if (span_eq(pattern, SPAN_LIT("*")))
		return 1;
	if (pattern.ptr[0] == '.' && domain.len > pattern.len && span_eq(span_from(domain, domain.len - pattern.len), pattern))
		return 1 + pattern.len;
	return 0;
}

const struct conf_route *conf_route_find(const struct conf *c, struct span domain)
{
	uint8_t room[LIMIT_DOMAIN_BYTES];
	const struct conf_route *best = NULL;
	size_t most = 0;

	domain = address_domain_key(domain, room);

	for (size_t i = 0; i < c->route_count; i++) {
		const char *rest = c->routes[i].domains;
		struct span pattern;

		while (conf_list_next(&rest, &pattern)) {
			size_t fits = conf_pattern_fits(pattern, domain);

			if (fits > most) {
				most = fits;
				best = &c->routes[i];
			}
		}
	}
	return best;
}
