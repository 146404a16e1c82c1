#include "conf/conf_internal.h"

#include <arpa/inet.h>
#include <sched.h>
#include <unistd.h>

const struct conf_listener conf_default_listeners[] = {
	{.name = "mx", .kind = CONF_MX, .port = 2525, .tls = CONF_TLS_STARTTLS},
	{.name = "submission", .kind = CONF_SUBMISSION, .port = 2587, .tls = CONF_TLS_STARTTLS, .tls_required = true},
	{.name = "submissions", .kind = CONF_SUBMISSION, .port = 2465, .tls = CONF_TLS_IMPLICIT},
	{.name = "pop3", .kind = CONF_POP3, .port = 2110, .tls = CONF_TLS_STARTTLS},
	{.name = "pop3s", .kind = CONF_POP3, .port = 2995, .tls = CONF_TLS_IMPLICIT},
};
const size_t conf_default_listener_count = sizeof(conf_default_listeners) / sizeof(conf_default_listeners[0]);
/* conf_take_titled leaves room for these at the end of a list */
_Static_assert(sizeof(conf_default_listeners) / sizeof(conf_default_listeners[0]) <= 8, "room for the default listeners");

static void conf_defaults(const struct conf_draft *d, enum conf_section_id id, void *base)
{
	for (size_t i = 0; i < conf_setting_count; i++)
		if (conf_settings[i].section == id && (conf_settings[i].def[0] || conf_settings[i].type == CONF_NAME || conf_settings[i].type >= CONF_NETWORKS))
			(void)!conf_setting_read(&conf_settings[i], span_str(conf_settings[i].def), d->conf->home, d->mem, base, NULL);
}

static enum rc conf_fill_lists(struct conf_draft *d, struct err *err)
{
	struct conf *c = d->conf;

	if (!c->listener_count) {
		d->listeners = arena_zalloc(d->mem, conf_default_listener_count * sizeof(*d->listeners));
		if (!d->listeners)
			return err_set(err, RC_LIMIT, "the configuration is too large");
		for (; c->listener_count < conf_default_listener_count; c->listener_count++) {
			const struct conf_listener *like = &conf_default_listeners[c->listener_count];
			struct conf_listener *l = &c->listeners[c->listener_count];

			conf_defaults(d, CONF_SECTION_LISTENER, l);
			l->name = like->name;
			l->kind = like->kind;
			l->port = like->port;
			l->tls = like->tls;
			l->tls_required = like->tls_required;
			l->auth = like->kind != CONF_MX;
		}
	}
	if (!c->certificate_count) {
		conf_defaults(d, CONF_SECTION_CERTIFICATE, &c->certificates[0]);
		c->certificates[0].name = "default";
		c->certificate_count = 1;
	}
	return RC_OK;
}

static uint32_t conf_processors(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return 1;
	return (uint32_t)(CPU_COUNT(&set) > 64 ? 64 : CPU_COUNT(&set));
}

static void conf_fill(struct conf_draft *d)
{
	struct conf *c = d->conf;
	char name[256] = "";

	if (!c->hostname[0]) {
		if (gethostname(name, sizeof(name) - 1) != 0 || !conf_host_ok(span_str(name)))
			(void)snprintf(name, sizeof(name), "localhost");
		for (char *p = name; *p; p++)
			*p = (char)byte_lower((uint8_t)*p);
		c->hostname = arena_str(d->mem, span_str(name));
	}
	if (!c->delivery_hostname[0])
		c->delivery_hostname = c->hostname;
	if (!c->workers_mx)
		c->workers_mx = conf_processors();
	if (!c->workers_user)
		c->workers_user = conf_processors();
}

/* ---- listeners */

struct conf_look { /* a listener that is checked */
	struct conf_draft *d;
	struct conf_listener *l;
	const struct conf_places *places;
	struct err *err;
};

/* where the setting stands, else where its section does */
static struct conf_place conf_look_place(const struct conf_look *k, const char *setting)
{
	const struct conf_setting *s = conf_setting_find(CONF_SECTION_LISTENER, setting);

	if (k->places->at[s - conf_settings].line)
		return k->places->at[s - conf_settings];
	return k->places->section;
}

static bool conf_look_set(const struct conf_look *k, const char *setting)
{
	const struct conf_setting *s = conf_setting_find(CONF_SECTION_LISTENER, setting);

	return k->places->at[s - conf_settings].line != 0;
}

static enum rc conf_look_fail(const struct conf_look *k, const char *setting, const char *words)
{
	return conf_draft_fail(k->d, conf_look_place(k, setting), RC_BAD, k->err, "listener \"%s\": %s: %s", k->l->name, setting, words);
}

static void conf_listener_fill(const struct conf_look *k)
{
	static const uint16_t usual[3][2] = {{25, 25}, {587, 465}, {110, 995}};
	struct conf_listener *l = k->l;

	l->line = k->places->section.line;
	if (!l->port)
		l->port = usual[l->kind][l->tls == CONF_TLS_IMPLICIT];
	if (!conf_look_set(k, "auth"))
		l->auth = l->kind != CONF_MX;
	if (!conf_look_set(k, "tls-required") && k->places->section.line)
		l->tls_required = l->kind == CONF_SUBMISSION && l->tls == CONF_TLS_STARTTLS && !l->auth_without_tls;
}

static enum rc conf_listener_sense(const struct conf_look *k)
{
	const struct conf_listener *l = k->l;

	if (k->places->section.line && !conf_look_set(k, "kind"))
		return conf_look_fail(k, "kind", "not given; mx, submission or pop3 would be right");
	if (l->kind == CONF_MX && l->auth_without_tls && !l->auth)
		return conf_look_fail(k, "auth-without-tls", "nobody signs in on an mx listener without auth = yes; leave it out, or kind = submission would be right");
	if (l->kind == CONF_POP3 && conf_look_set(k, "auth"))
		return conf_look_fail(k, "auth", "is for mx and submission; on a pop3 listener people always sign in");
	if (l->kind == CONF_SUBMISSION && !l->auth && !l->relay_networks[0] && !l->relay_window)
		return conf_look_fail(k, "auth", "with no nobody could send here; yes, or relay-networks, would be right");
	if (l->kind == CONF_POP3 && conf_look_set(k, "tls-required"))
		return conf_look_fail(k, "tls-required", "is for mx and submission; on a pop3 listener auth-without-tls = no has this effect");
	if (l->tls == CONF_TLS_IMPLICIT && l->auth_without_tls)
		return conf_look_fail(k, "auth-without-tls", "has no meaning with tls = implicit; no would be right");
	if (l->tls == CONF_TLS_NONE && l->tls_required)
		return conf_look_fail(k, "tls-required", "cannot be with tls = none; tls = starttls or implicit would be right");
	if (l->auth_without_tls && l->tls_required)
		return conf_look_fail(k, "auth-without-tls", "people could sign in, but not send, before TLS; tls-required = no or auth-without-tls = no would be right");
	if (l->auth && l->tls == CONF_TLS_NONE && !l->auth_without_tls)
		return conf_look_fail(k, "tls", "with none nobody could sign in; starttls, implicit, or auth-without-tls = yes would be right");
	if (l->tls == CONF_TLS_NONE && conf_look_set(k, "certificate"))
		return conf_look_fail(k, "certificate", "has no use with tls = none; leave it out, or tls = starttls would be right");
	if (l->connections_per_address_max > l->connections_max)
		return conf_look_fail(k, conf_look_set(k, "connections-per-address") ? "connections-per-address" : "connections",
			"one address cannot have more connections than the listener; connections-per-address up to connections would be right");
	return RC_OK;
}

static enum rc conf_listener_certificate(const struct conf_look *k)
{
	const struct conf *c = k->d->conf;
	const char *names[CONF_CERTIFICATES], *near;
	char words[200];

	for (size_t i = 0; i < c->certificate_count; i++) {
		names[i] = c->certificates[i].name;
		if (!k->l->certificate[0] || strcmp(k->l->certificate, names[i]) == 0) {
			k->l->certificate = names[i];
			k->l->certificate_index = (uint16_t)i;
			return RC_OK;
		}
	}
	near = conf_nearest(k->l->certificate, names, c->certificate_count);
	(void)snprintf(words, sizeof(words), "there is no certificate \"%s\"; \"%s\" would be right, or a section for it", k->l->certificate, near ? near : names[0]);
	return conf_look_fail(k, "certificate", words);
}

/* do two addresses (canonical) of one family overlap, because they are the same or one is all of them? */
static bool conf_address_overlap(const char *a, const char *b)
{
	bool six = strchr(a, ':') != NULL;
	const char *all = six ? "::" : "0.0.0.0";

	if (six != (strchr(b, ':') != NULL))
		return false;
	return strcmp(a, b) == 0 || strcmp(a, all) == 0 || strcmp(b, all) == 0;
}

static enum rc conf_listener_alone(const struct conf_look *k)
{
	const struct conf *c = k->d->conf;
	char words[200];

	for (const struct conf_listener *o = c->listeners; o < k->l; o++) {
		if (o->port != k->l->port || !conf_address_overlap(o->address, k->l->address))
			continue;
		(void)snprintf(words, sizeof(words), "%u on %s is taken by listener \"%s\" (%s); another port or address would be right", k->l->port, k->l->address,
			o->name, o->address);
		return conf_look_fail(k, "port", words);
	}
	return RC_OK;
}

static enum rc conf_certificate_check(const struct conf_draft *d, size_t i, struct err *err)
{
	struct conf_certificate *t = &d->conf->certificates[i];
	struct conf_place at = d->certificates ? d->certificates[i].section : (struct conf_place){0};

	t->line = at.line;
	if (!t->chain[0] || !t->key[0])
		return conf_draft_fail(d, at, RC_BAD, err, "certificate \"%s\": %s: empty; the name of a PEM file would be right", t->name, t->chain[0] ? "key" : "chain");
	return RC_OK;
}

/* ---- where settings stand */

static enum rc conf_places_keep(struct conf_draft *d)
{
	struct conf_draft *kept = arena_alloc(d->mem, sizeof(*kept));

	if (!kept)
		return RC_OK; /* the caller sees the overflow */
	*kept = *d;
	d->conf->places = kept;
	return RC_OK;
}

static const char *conf_title(const void *list, size_t bytes, size_t i)
{
	return *(const char *const *)((const char *)list + i * bytes); /* these structures begin with their title */
}

static const struct conf_places *conf_places_of(const struct conf_draft *d, enum conf_section_id id, const char *title)
{
	const struct conf *c = d->conf;
	const struct { enum conf_section_id id; const struct conf_places *places; const void *list; size_t bytes, count; } titled[] = {
		{CONF_SECTION_LISTENER, d->listeners, c->listeners, sizeof(*c->listeners), c->listener_count},
		{CONF_SECTION_CERTIFICATE, d->certificates, c->certificates, sizeof(*c->certificates), c->certificate_count},
		{CONF_SECTION_NETWORK, d->networks, c->networks, sizeof(*c->networks), c->network_count},
		{CONF_SECTION_SMARTHOST, d->smarthosts, c->smarthosts, sizeof(*c->smarthosts), c->smarthost_count},
		{CONF_SECTION_ROUTE, d->routes, c->routes, sizeof(*c->routes), c->route_count},
	};

	for (size_t k = 0; k < sizeof(titled) / sizeof(titled[0]); k++)
		for (size_t i = 0; titled[k].id == id && titled[k].places && i < titled[k].count; i++)
			if (strcmp(conf_title(titled[k].list, titled[k].bytes, i), title) == 0)
				return &titled[k].places[i];
	return conf_sections[id].titled ? NULL : &d->top;
}

void conf_where(const struct conf *c, const char *section, const char *title, const char *setting, struct buf *out)
{
	const struct conf_draft *d = c->places;
	struct conf_place at = {0};

	for (int id = 0; d && id < CONF_SECTION_COUNT; id++) {
		const struct conf_setting *s = conf_setting_find((enum conf_section_id)id, setting);
		const struct conf_places *p = strcmp(conf_sections[id].name, section) == 0 ? conf_places_of(d, (enum conf_section_id)id, title) : NULL;

		if (!p)
			continue;
		at = s && p->at[s - conf_settings].line ? p->at[s - conf_settings] : p->section;
	}
	buf_add_str(out, at.line ? d->files[at.file] : c->file);
	if (at.line)
		buf_printf(out, ":%u", at.line);
}

enum rc conf_draft_check(struct conf_draft *d, struct err *err)
{
	struct conf *c = d->conf;
	enum rc rc = conf_fill_lists(d, err);

	conf_fill(d);
	for (size_t i = 0; i < c->certificate_count && rc == RC_OK; i++)
		rc = conf_certificate_check(d, i, err);
	if (rc == RC_OK)
		rc = conf_draft_override(d, err);
	for (size_t i = 0; i < c->listener_count && rc == RC_OK; i++) {
		struct conf_look k = {d, &c->listeners[i], &d->listeners[i], err};

		conf_listener_fill(&k);
		rc = conf_listener_sense(&k);
		if (rc == RC_OK)
			rc = conf_listener_certificate(&k);
		if (rc == RC_OK)
			rc = conf_listener_alone(&k);
	}
	if (rc == RC_OK)
		rc = conf_relay_check(d, err);
	if (rc == RC_OK)
		rc = conf_delivery_check(d, err);
	if (rc == RC_OK)
		rc = conf_places_keep(d);
	if (rc == RC_OK && d->mem->overflow)
		rc = err_set(err, RC_BAD, "%s: the configuration is too large", d->files[0]);
	return rc;
}
