/* mailroom dns: asks for a name as the running server would, with its configuration, and says what came and how far it can be trusted. */
#include <arpa/inet.h>
#include <stdio.h>

#include "base/net.h"
#include "cli/cli_commands.h"
#include "cli/cli_print.h"
#include "loop/loop.h"
#include "mail/address.h"
#include "role/dns_resolver.h"

enum { CLI_DNS_TYPES = 7, CLI_DNS_TEXT_BYTES = 4 * DNS_DATA_BYTES, CLI_DNS_ROW_BYTES = 8 * DNS_DATA_BYTES };

struct cli_dns {
	struct cli *cli;
	struct conf *conf;
	struct loop *loop;
	struct dns_resolver *resolver;
	char name[DNS_NAME_BYTES + 1];
	enum name_type types[CLI_DNS_TYPES];
	size_t type_count, at; /* at: the one that is asked for now */
	struct loop_timer timer;
	json_t *answers;
	unsigned found;
};

/* 192.0.2.1 is 1.2.0.192.in-addr.arpa (RFC 1035 3.5), IPv6 by its nibbles (RFC 3596 2.5) */
static void cli_dns_reverse(const struct net_address *a, struct buf *out)
{
	bool v4 = net_is_v4(a);

	for (int i = 15; i >= (v4 ? 12 : 0); i--) {
		if (v4)
			buf_printf(out, "%u.", a->raw[i]);
		else
			buf_printf(out, "%x.%x.", a->raw[i] & 0xfU, a->raw[i] >> 4);
	}
	buf_add_str(out, v4 ? "in-addr.arpa" : "ip6.arpa");
}

/* ---- one record */

static void cli_dns_hex(struct span data, struct buf *out)
{
	for (size_t i = 0; i < data.len; i++)
		buf_printf(out, "%02x", data.ptr[i]);
}

static void cli_dns_text(enum name_type type, const struct rec_name_rr *rr, struct buf *out)
{
	char address[INET6_ADDRSTRLEN];

	if (type == NAME_A || type == NAME_AAAA) {
		if (inet_ntop(type == NAME_A ? AF_INET : AF_INET6, rr->data.ptr, address, sizeof(address)))
			buf_add_str(out, address);
	} else if (type == NAME_TLSA) {
		buf_printf(out, "%u %u %u ", rr->data.ptr[0], rr->data.ptr[1], rr->data.ptr[2]);
		cli_dns_hex(span_from(rr->data, 3), out);
	} else {
		if (type == NAME_MX)
			buf_printf(out, "%u ", rr->preference);
		if (type == NAME_MX && !rr->data.len)
			buf_add_str(out, ". (null MX: this domain takes no mail)");
		buf_add_str(out, type == NAME_TXT ? "\"" : "");
		buf_add_safe(out, rr->data, DNS_DATA_BYTES);
		buf_add_str(out, type == NAME_TXT ? "\"" : "");
	}
}

static json_t *cli_dns_record(enum name_type type, const struct rec_name_rr *rr)
{
	json_t *j = NULL;
	struct buf text;

	if (type == NAME_MX)
		return json_pack("{s:i, s:o}", "preference", (int)rr->preference, "host", cli_json_text(rr->data));
	if (type == NAME_TXT || type == NAME_PTR || type == NAME_CNAME)
		return cli_json_text(rr->data);
	buf_init(&text, CLI_DNS_TEXT_BYTES);
	if (type == NAME_TLSA)
		cli_dns_hex(span_from(rr->data, 3), &text);
	else
		cli_dns_text(type, rr, &text);
	if (type == NAME_TLSA)
		j = json_pack("{s:i, s:i, s:i, s:o}", "usage", (int)rr->data.ptr[0], "selector", (int)rr->data.ptr[1], "matching", (int)rr->data.ptr[2], "data",
			cli_json_text(buf_span(&text)));
	else
		j = cli_json_text(buf_span(&text));
	buf_clear(&text);
	return j;
}

/* ---- one answer */

static const char *cli_dns_security(const struct cli_dns *d, const struct msg_name_is *m)
{
	if (m->status == NAME_BOGUS)
		return "bogus";
	if (m->status == NAME_FAILED)
		return "unknown";
	return !d->conf->dns_dnssec ? "not checked" : m->security == NAME_SECURE ? "secure" : "insecure";
}

static void cli_dns_json(struct cli_dns *d, enum name_type type, const struct msg_name_is *m)
{
	json_t *j = json_object(), *records = json_array();
	struct span cursor = m->rrs.raw;
	struct rec_name_rr rr;

	json_object_set_new(j, "name", json_string(d->name));
	json_object_set_new(j, "type", json_string(dns_type_name(type)));
	json_object_set_new(j, "status", json_string(dns_status_name((enum name_status)m->status)));
	json_object_set_new(j, "dnssec", json_string(cli_dns_security(d, m)));
	json_object_set_new(j, "canonical", cli_json_text(m->canonical));
	json_object_set_new(j, "ttl", json_integer(m->ttl_s));
	json_object_set_new(j, "cut", json_boolean(m->cut));
	json_object_set_new(j, "words", cli_json_text(m->words));
	while (rec_name_rr_next(&cursor, &rr))
		json_array_append_new(records, cli_dns_record(type, &rr));
	json_object_set_new(j, "records", records);
	json_array_append_new(d->answers, j);
}

static void cli_dns_say(const struct cli_dns *d, enum name_type type, const struct msg_name_is *m)
{
	static const char *const words[] = {[NAME_FOUND] = "found", [NAME_NOTHING] = "the name is there, but has no such record", [NAME_UNKNOWN] = "there is no such name",
		[NAME_FAILED] = "cannot be found out", [NAME_BOGUS] = "cannot be trusted"};
	struct span cursor = m->rrs.raw;
	struct rec_name_rr rr;
	struct buf row;

	printf("%s %s: %s%s%.*s\n", d->name, dns_type_name(type), words[m->status], m->words.len ? ": " : "", SPAN_FMT(m->words));
	buf_init(&row, CLI_DNS_ROW_BYTES);
	while (rec_name_rr_next(&cursor, &rr)) {
		buf_reset(&row);
		cli_dns_text(type, &rr, &row);
		printf("    %s\n", buf_cstr(&row));
	}
	buf_clear(&row);
	if (m->cut)
		printf("    and more, which are not used\n");
	if (m->canonical.len && !span_eq(m->canonical, span_str(d->name)))
		printf("  alias of  %.*s\n", SPAN_FMT(m->canonical));
	if (m->status != NAME_FAILED)
		printf("  DNSSEC    %s\n", cli_dns_security(d, m));
	if (m->status != NAME_FAILED && m->status != NAME_BOGUS)
		printf("  kept      %u s at most\n", m->ttl_s);
}

static void cli_dns_next(struct cli_dns *d);

static void cli_dns_take(struct cli_dns *d, const struct msg_name_is *m)
{
	d->found += m->status == NAME_FOUND;
	if (d->cli->json)
		cli_dns_json(d, d->types[d->at], m);
	else
		cli_dns_say(d, d->types[d->at], m);
	d->at++;
	cli_dns_next(d);
}

static void cli_dns_on_answer(void *arg, struct dns_answer *answer)
{
	struct cli_dns *d = arg;

	if (d->at < d->type_count) /* else it comes when all is over */
		cli_dns_take(d, &answer->is);
}

/* one that comes late is taken for the next: so the first that misses its time ends it */
static void cli_dns_on_time(void *arg, mono_ms now)
{
	struct cli_dns *d = arg;
	struct msg_name_is m = {.status = NAME_FAILED, .words = SPAN_LIT("no answer in time")};

	(void)now;
	d->type_count = d->at + 1;
	cli_dns_take(d, &m);
}

static void cli_dns_next(struct cli_dns *d)
{
	if (d->at == d->type_count) {
		loop_stop(d->loop, 0);
		return;
	}
	loop_timer_at(&d->timer, clock_mono_ms() + d->conf->dns_timeout_ms);
	dns_resolver_ask(d->resolver, d->types[d->at], d->name, cli_dns_on_answer, d);
}

/* ---- the command */

static bool cli_dns_read(struct cli_dns *d)
{
	static const enum name_type usual[] = {NAME_MX, NAME_A, NAME_AAAA};
	const char *type = d->cli->arg_count > 1 ? d->cli->args[1] : NULL;
	struct span text = span_str(d->cli->args[0]);
	uint8_t room[LIMIT_DOMAIN_BYTES];
	struct net_address address;
	struct buf reverse;
	bool good = true;

	buf_init(&reverse, DNS_NAME_BYTES);
	if (net_parse(text, &address) == RC_OK) {
		cli_dns_reverse(&address, &reverse);
		text = buf_span(&reverse);
		d->types[d->type_count++] = NAME_PTR;
	}
	good = dns_name_clean(address_domain_key(text, room), d->name);
	buf_clear(&reverse);
	if (!good)
		return cli_fail("%s cannot be a name in the DNS", d->cli->args[0]), false;
	if (type) {
		d->type_count = 1;
		d->types[0] = dns_type_find(span_str(type));
		if (!dns_type_known((unsigned)d->types[0]))
			return cli_usage(d->cli, "%s is no type of record that mail needs: MX, A, AAAA, CNAME, TXT, PTR or TLSA", type), false;
	}
	for (size_t i = 0, reverse_only = d->type_count; !reverse_only && i < sizeof(usual) / sizeof(usual[0]); i++)
		d->types[d->type_count++] = usual[i];
	return true;
}

static void cli_dns_end(struct cli_dns *d)
{
	bool wanted = conf_dns_wanted(d->conf);

	if (d->cli->json) {
		cli_print_json(json_pack("{s:s, s:s, s:b, s:o}", "asked", dns_resolver_servers(d->resolver), "trust_anchor", dns_resolver_anchor(d->resolver), "server_asks", wanted,
			"answers", d->answers));
		return;
	}
	printf("asked: %s; trust anchor: %s\n", dns_resolver_servers(d->resolver), dns_resolver_anchor(d->resolver));
	if (!wanted)
		cli_note("the server itself asks for no names while workers relay is 0 and dns resolvers is empty");
}

int cli_dns(struct cli *cli)
{
	struct cli_dns d = {.cli = cli};
	struct err err = {""};
	int status = CLI_USAGE;

	if (!cli_dns_read(&d))
		return CLI_USAGE;
	if (conf_read(NULL, cli->home, &d.conf, &err) != RC_OK)
		return cli_fail("%s", err.words);
	d.loop = loop_new();
	loop_timer_init(d.loop, &d.timer, cli_dns_on_time, &d);
	if (dns_resolver_new(d.conf, loop_base(d.loop), NULL, NULL, &d.resolver, &err) == RC_OK) {
		d.answers = json_array();
		cli_dns_next(&d);
		if (d.at < d.type_count)
			(void)loop_run(d.loop);
		cli_dns_end(&d);
		if (!cli->json)
			json_decref(d.answers);
		status = d.found ? CLI_OK : CLI_FAILED;
	} else {
		status = cli_fail("%s", err.words);
	}
	dns_resolver_free(&d.resolver);
	loop_timer_clear(&d.timer);
	loop_free(&d.loop);
	conf_free(&d.conf);
	return status;
}
