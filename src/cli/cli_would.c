/* mailroom would-accept: what the server would say to a message, by which rule, and what would change its mind. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/num.h"
#include "cli/cli_commands.h"
#include "cli/cli_db.h"
#include "cli/cli_print.h"
#include "cli/cli_relay.h"
#include "mail/address.h"
#include "role/role_store_rates.h"
#include "role/would.h"

enum { WOULD_BYTES = 8 << 20, WOULD_LINE_MOST = 64 << 10, WOULD_CHANGES = 8, WOULD_WHERE_BYTES = 1024 };

const struct cli_option cli_would_options[] = {
	{"from", "ADDRESS", "sender of the envelope; <> for bounces", false},
	{"to", "ADDRESS", "recipient", false},
	{"ip", "IP", "the client's address (127.0.0.1)", false},
	{"account", "ADDRESS", "signed in as that account", false},
	{"tls", NULL, "the connection is encrypted", false},
	{"size", "SIZE", "size that the client declares, such as 25MB", false},
	{"listener", "NAME", "the listener (with --account the first for submission, else the first for mx)", false},
	{"batch", "FILE", "one case a line, as a JSON object with the names of these options; answers the same way; - for standard input", false},
	{NULL, NULL, NULL, false},
};

/* ---- one case, as it was asked */

struct would_asked {
	const char *from, *to, *ip, *account, *size, *listener;
	bool tls;
};

static const struct conf_listener *would_listener(const struct conf *conf, const struct would_asked *a, struct err *err)
{
	for (size_t i = 0; i < conf->listener_count; i++) {
		const struct conf_listener *l = &conf->listeners[i];
		bool fits = a->account ? l->kind == CONF_SUBMISSION && l->auth : l->kind == CONF_MX;

		if (l->kind != CONF_POP3 && (a->listener ? strcmp(a->listener, l->name) == 0 : fits))
			return l;
	}
	if (a->listener)
		err_set(err, RC_NONE, "there is no listener \"%s\" that takes mail; see the configuration %s", a->listener, conf->file);
	else
		err_set(err, RC_NONE, "there is no listener for %s in %s; name one with --listener", a->account ? "submission" : "mx", conf->file);
	return NULL;
}

static bool would_is_null(const char *address)
{
	return !*address || strcmp(address, "<>") == 0;
}

/* the case as far as it can be told without the mail database; RC_OK, or words */
static enum rc would_read(const struct conf *conf, struct cred *cred, const struct would_asked *a, struct arena *mem, struct would_case *out, struct err *err)
{
	const char *ip = a->ip ? a->ip : "127.0.0.1";
	struct net_address address;
	uint64_t bytes = 0;

	*out = (struct would_case){.listener = would_listener(conf, a, err), .to = span_str(a->to), .peer = span_str(ip), .tls = a->tls};
	if (!out->listener)
		return RC_NONE;
	if (!a->from || !a->to)
		return err_set(err, RC_BAD, "--from and --to are needed");
	out->from = would_is_null(a->from) ? SPAN_NONE : span_str(a->from);
	if (net_parse(span_str(ip), &address) != RC_OK)
		return err_set(err, RC_BAD, "\"%s\" is not an IP address", ip);
	if (a->size && num_parse_size_bytes(span_str(a->size), &bytes) != RC_OK && num_parse(span_str(a->size), UINT64_MAX, &bytes) != RC_OK)
		return err_set(err, RC_BAD, "\"%s\" is not a size; one such as 25MB would be", a->size);
	out->message_bytes = bytes;
	out->tls |= out->listener->tls == CONF_TLS_IMPLICIT;
	out->account_address = a->account ? span_str(a->account) : SPAN_NONE;
	return a->account ? RC_OK : relay_address_look(conf, out->listener, cred, &address, clock_wall_ms(), mem, &out->relay, err);
}

/* ---- the answer in words */

/* where the rule that decided stands */
static void would_where(const struct conf *conf, const struct would_case *c, const struct would_answer *w, struct buf *out)
{
	static const struct { const char *rule, *section, *setting; } places[] = {
		{"tls-required", "listener", "tls-required"}, {"sign-in-required", "listener", "kind"}, {"sign-in-offered", "listener", "auth"}, {"sign-in-over-tls", "listener", "auth-without-tls"}, {"address-denied", "listener", "deny"},
		{"message-size", "limits", "message-size"}, {"own-mailbox-full", "relay", "full-mailbox-sends"}, {"network-senders", "network", "senders"},
		{"sending-limit", "rates", "account-messages"}, {"relay", "listener", "kind"}, {"relay-by-sign-in", "listener", "auth"},
		{"relay-by-window", "listener", "relay-window"}, {"relay-by-network", "network", "addresses"}, {"receiving-limit", "rates", "mailbox-messages"},
		{"protocol", "listener", "kind"},
	};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		const char *title = "";

		if (strcmp(places[i].rule, w->rule) != 0)
			continue;
		if (strcmp(places[i].section, "listener") == 0)
			title = c->listener->name;
		else if (strcmp(places[i].section, "network") == 0 && c->relay.by == POLICY_BY_NETWORK)
			title = conf->networks[c->relay.network].name;
		buf_printf(out, "%s %s%s%s: ", places[i].section, title, *title ? " " : "", places[i].setting);
		conf_where(conf, places[i].section, title, places[i].setting, out);
		return;
	}
	buf_add_str(out, strncmp(w->rule, "domain-", 7) == 0 ? "the domain's own rules: mailroom domain rule list, mailroom domain list" :
		strncmp(w->rule, "account-", 8) == 0 || strcmp(w->rule, "sender-identity") == 0 ? "the account: mailroom account show" : "the mailboxes: mailroom account list, mailroom alias list");
}

struct would_out {
	const struct conf *conf;
	const struct would_case *c;
	const struct would_answer *w;
	enum policy_change changes[WOULD_CHANGES];
	size_t change_count;
	bool helps;
};

/* The server asks the DNS besides, which this command does not: the domain that it asks for, in `room`; empty: it does not */
static struct span would_dns_domain(const struct would_out *o, uint8_t room[LIMIT_DOMAIN_BYTES])
{
	struct span to = o->c->to, domain = SPAN_NONE;

	for (struct span rest = to; rest.ptr;) {
		domain = rest;
		(void)span_cut(&rest, '@');
	}
	if (!o->w->accepted || !conf_dns_wanted(o->conf) || !o->conf->dns_check_recipients || !conf_listener_relays(o->c->listener) || domain.len == to.len)
		return SPAN_NONE;
	if ((o->w->decided.found.tag & STORE_TAG_MASK) != STORE_TAG_FOREIGN || o->conf->delivery_has_smarthost || conf_route_find(o->conf, domain))
		return SPAN_NONE;
	domain = address_domain_key(domain, room);
	return domain.len && span_is_vchar(domain) && domain.ptr[0] != '[' ? domain : SPAN_NONE;
}

static void would_ways(struct would_out *o)
{
	struct policy_facts after;

	if (!o->w->accepted)
		o->change_count = policy_way_out(&o->w->facts, o->changes, WOULD_CHANGES, &after, &o->helps);
}

static json_t *would_json(const struct would_out *o)
{
	const struct would_answer *w = o->w;
	json_t *j = json_object(), *ways = json_array();
	uint8_t room[LIMIT_DOMAIN_BYTES];
	struct buf where;

	buf_init(&where, WOULD_WHERE_BYTES);
	would_where(o->conf, o->c, w, &where);
	json_object_set_new(j, "accepted", json_boolean(w->accepted));
	json_object_set_new(j, "code", json_integer(w->code));
	json_object_set_new(j, "cause", w->cause == CAUSE_NONE ? json_null() : json_string(cause_slug(w->cause)));
	json_object_set_new(j, "command", cli_json_text(w->command));
	json_object_set_new(j, "rule", json_string(w->rule));
	json_object_set_new(j, "decided_by", cli_json_text(w->decided.rule.len ? w->decided.rule : SPAN_LIT("server")));
	json_object_set_new(j, "where", cli_json_text(buf_span(&where)));
	json_object_set_new(j, "listener", json_string(o->c->listener->name));
	json_object_set_new(j, "by", json_string(policy_by_name(o->c->account ? POLICY_BY_SIGN_IN : o->c->relay.by)));
	json_object_set_new(j, "relay_window", json_string(policy_window_name(o->c->relay.window)));
	json_object_set_new(j, "reply", cli_json_text(w->reply));
	for (size_t i = 0; i < o->change_count && o->helps; i++)
		json_array_append_new(ways, json_pack("{s:s, s:s}", "change", policy_change_name(o->changes[i]), "words", policy_change_words(o->changes[i])));
	json_object_set_new(j, "way_out", ways);
	if (would_dns_domain(o, room).len)
		json_object_set_new(j, "dns_asked_for", cli_json_text(would_dns_domain(o, room)));
	buf_clear(&where);
	return j;
}

static void would_print_reply(struct span reply)
{
	struct span rest = reply, line;
	struct buf safe;

	buf_init(&safe, 4096);
	while (rest.ptr && rest.len) {
		line = span_cut(&rest, '\n');
		if (line.len && line.ptr[line.len - 1] == '\r')
			line.len--;
		buf_reset(&safe);
		buf_add_safe(&safe, line, 1000);
		printf("    %s\n", buf_cstr(&safe));
	}
	buf_clear(&safe);
}

static void would_print(const struct would_out *o)
{
	const struct would_answer *w = o->w;
	uint8_t room[LIMIT_DOMAIN_BYTES];
	struct buf where;

	buf_init(&where, WOULD_WHERE_BYTES);
	would_where(o->conf, o->c, w, &where);
	printf("%s on listener \"%s\"\n", w->accepted ? "accepted" : "refused", o->c->listener->name);
	printf("  rule      %s\n  where     %s\n", w->rule, buf_cstr(&where));
	if (!w->accepted)
		printf("  cause     %s, at %.*s\n", cause_slug(w->cause), SPAN_FMT(w->command));
	if (o->c->relay.by != POLICY_BY_NOTHING)
		printf("  without sign-in, by its %s\n", policy_by_name(o->c->relay.by));
	printf("  the server says\n");
	would_print_reply(w->reply);
	if (would_dns_domain(o, room).len)
		printf("  unless the DNS says that this domain does not exist or takes no mail: mailroom dns %.*s\n", SPAN_FMT(would_dns_domain(o, room)));
	for (size_t i = 0; i < o->change_count && o->helps; i++)
		printf("%s%s\n", i == 0 ? "  it would be accepted, if you\n    " : "    and ", policy_change_words(o->changes[i]));
	if (!w->accepted && (!o->helps || !o->change_count))
		printf("  next      mailroom explain %s\n", cause_slug(w->cause));
	buf_clear(&where);
}

/* ---- asking */

struct would_run {
	struct cli *cli;
	struct conf *conf;
	struct store *store;
	struct role_rates *rates;
};

static enum rc would_account(const struct would_run *r, const struct would_asked *a, struct arena *mem, struct would_case *c, struct err *err)
{
	struct store_account account;
	enum rc rc;

	if (!a->account)
		return RC_OK;
	rc = store_account_get(r->store, span_str(a->account), mem, &account, err);
	if (rc == RC_NONE)
		return err_set(err, RC_NONE, "there is no account %s; mailroom account list shows them", a->account);
	if (rc == RC_OK) {
		c->account = account.id;
		c->account_address = account.address;
		c->account_disabled = !account.enabled;
	}
	return rc;
}

static enum rc would_one(const struct would_run *r, const struct would_asked *a, struct would_case *c, struct arena *mem, json_t **json_out, struct err *err)
{
	struct decide d = {.store = r->store, .conf = r->conf, .rates = r->rates, .wall_ms = clock_wall_ms()};
	struct would_answer answer;
	struct would_out o = {.conf = r->conf, .c = c, .w = &answer};
	enum rc rc = would_account(r, a, mem, c, err);

	if (rc == RC_OK)
		rc = would_accept(&d, c, mem, &answer, err);
	if (rc != RC_OK)
		return rc;
	would_ways(&o);
	if (json_out)
		*json_out = would_json(&o);
	else
		would_print(&o);
	return RC_OK;
}

/* ---- many cases: the credentials are asked first, then the mail database, as one home is opened one database at a time */

struct would_line {
	json_t *json;
	struct would_asked asked;
	struct would_case c;
	struct arena mem;
	struct err err;
	enum rc rc;
};

static const char *would_field(json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static void would_line_read(struct would_line *l, const char *text, size_t number)
{
	json_error_t error;

	arena_init(&l->mem, WOULD_BYTES);
	l->json = json_loads(text, 0, &error);
	if (!json_is_object(l->json)) {
		l->rc = err_set(&l->err, RC_BAD, "line %zu is no JSON object", number);
		return;
	}
	l->asked = (struct would_asked){.from = would_field(l->json, "from"), .to = would_field(l->json, "to"), .ip = would_field(l->json, "ip"),
		.account = would_field(l->json, "account"), .size = would_field(l->json, "size"), .listener = would_field(l->json, "listener"),
		.tls = json_is_true(json_object_get(l->json, "tls"))};
}

static struct would_line *would_lines_read(const char *file, size_t *count_out)
{
	FILE *in = strcmp(file, "-") == 0 ? stdin : fopen(file, "re");
	struct would_line *lines = NULL;
	size_t count = 0, size = 0, room = 0;
	char *text = NULL;

	if (!in) {
		cli_fail("%s: %s", file, "cannot be read");
		return NULL;
	}
	while (getline(&text, &room, in) > 0 && strlen(text) < WOULD_LINE_MOST) {
		if (count == size) {
			size = size ? size * 2 : 64;
			lines = mem_realloc(lines, size * sizeof(*lines));
		}
		lines[count] = (struct would_line){.rc = RC_OK};
		would_line_read(&lines[count], text, count + 1);
		count++;
	}
	free(text);
	if (in != stdin)
		(void)fclose(in);
	*count_out = count;
	return lines ? lines : mem_array(1, sizeof(*lines));
}

static void would_lines_answer(const struct would_run *r, struct would_line *l)
{
	json_t *answer = NULL;
	char *text;

	if (l->rc == RC_OK)
		l->rc = would_one(r, &l->asked, &l->c, &l->mem, &answer, &l->err);
	if (l->rc != RC_OK)
		answer = json_pack("{s:s}", "error", l->err.words);
	text = json_dumps(answer, JSON_COMPACT);
	puts(text ? text : "{}");
	free(text);
	json_decref(answer);
}

static enum rc would_databases(struct would_run *r, struct would_line *lines, size_t count)
{
	struct cred *cred = cli_cred_open(r->cli, false);
	struct err err = {""};

	if (!cred)
		return RC_IO;
	for (size_t i = 0; i < count; i++)
		if (lines[i].rc == RC_OK)
			lines[i].rc = would_read(r->conf, cred, &lines[i].asked, &lines[i].mem, &lines[i].c, &lines[i].err);
	cli_cred_close(&cred);
	r->rates = role_rates_new();
	r->store = cli_store_open(r->cli, STORE_READ_ONLY);
	if (!r->store)
		return RC_IO;
	if (role_rates_load(r->rates, r->store, &err) != RC_OK)
		cli_note("the counters cannot be read (%s): limits are taken as unused", err.words);
	return RC_OK;
}

int cli_would_accept(struct cli *cli)
{
	const char *batch = cli_get(cli, "batch");
	struct would_line one = {.asked = {.from = cli_get(cli, "from"), .to = cli_get(cli, "to"), .ip = cli_get(cli, "ip"), .account = cli_get(cli, "account"),
		.size = cli_get(cli, "size"), .listener = cli_get(cli, "listener"), .tls = cli_get(cli, "tls") != NULL}}, *lines = &one;
	struct would_run r = {.cli = cli};
	struct err err = {""};
	size_t count = 1;
	int status = CLI_OK;

	if (!batch && (!one.asked.from || !one.asked.to))
		return cli_usage(cli, "say --from and --to");
	if (conf_read(NULL, cli->home, &r.conf, &err) != RC_OK)
		return cli_fail("%s", err.words);
	arena_init(&one.mem, WOULD_BYTES);
	if (batch && !(lines = would_lines_read(batch, &count)))
		status = CLI_FAILED;
	if (status == CLI_OK && would_databases(&r, lines, count) != RC_OK)
		status = CLI_FAILED;
	for (size_t i = 0; i < count && status == CLI_OK && batch; i++)
		would_lines_answer(&r, &lines[i]);
	if (status == CLI_OK && !batch) {
		json_t *json = NULL;

		if (one.rc == RC_OK)
			one.rc = would_one(&r, &one.asked, &one.c, &one.mem, cli->json ? &json : NULL, &one.err);
		if (one.rc != RC_OK)
			status = cli_fail("%s", one.err.words);
		else if (json)
			cli_print_json(json);
	}
	cli_store_close(&r.store);
	role_rates_free(&r.rates);
	for (size_t i = 0; i < count && lines; i++) {
		json_decref(lines[i].json);
		arena_clear(&lines[i].mem);
	}
	if (lines != &one)
		free(lines);
	conf_free(&r.conf);
	return status;
}
