#include "cli/cli_commands.h"
#include "cli/cli_print.h"
#include "cli/cli_tls.h"

#include <stdlib.h>

#include "base/mem.h"
#include "conf/conf.h"

const struct cli_option cli_check_options[] = {
	{"config", "FILE", "the configuration (default: mailroom.conf in the home directory)", false},
	{"print-sample", NULL, "print a configuration with every setting and its default instead", false},
	{"print-man", NULL, "print the settings as a part of a manual page (mdoc) instead", false},
	{NULL, NULL, NULL, false},
};

enum { CLI_SOON_DAYS = 30 };
static const char *const cli_kinds[] = {[CONF_MX] = "mx", [CONF_SUBMISSION] = "submission", [CONF_POP3] = "pop3"};
static const char *const cli_tls_words[] = {[CONF_TLS_NONE] = "none", [CONF_TLS_STARTTLS] = "starttls", [CONF_TLS_IMPLICIT] = "implicit"};

static int cli_print_made(void (*write)(struct buf *))
{
	struct buf text;

	buf_init(&text, 4 << 20);
	write(&text);
	(void)fwrite(text.ptr, 1, text.len, stdout);
	buf_clear(&text);
	return CLI_OK;
}

/* a certificate can be well named and still be of no use */
static int cli_check_certificates(const struct conf *c, json_t *list)
{
	struct cli_tls_facts facts;
	struct err err = {{0}};
	struct buf until;

	for (size_t i = 0; i < c->certificate_count; i++) {
		const struct conf_certificate *t = &c->certificates[i];
		bool used = t->line != 0;
		int64_t left;

		for (size_t k = 0; k < c->listener_count; k++)
			used |= c->listeners[k].certificate_index == i && c->listeners[k].tls != CONF_TLS_NONE;
		if (!used)
			continue;
		if (cli_tls_look(t->chain, t->key, &facts, &err) != RC_OK)
			return cli_fail("certificate \"%s\": %s", t->name, err.words);
		buf_init(&until, 64);
		cli_write_time(&until, facts.not_after_ms);
		left = (facts.not_after_ms - clock_wall_ms()) / 86400000;
		if (facts.not_after_ms <= clock_wall_ms())
			cli_note("note: certificate \"%s\" ended on %s; mail programs will refuse it", t->name, buf_cstr(&until));
		else if (left < CLI_SOON_DAYS)
			cli_note("note: certificate \"%s\" ends on %s", t->name, buf_cstr(&until));
		if (!facts.key_seen)
			cli_note("note: %s may not be read by this user; whether it belongs to the certificate was not checked", t->key);
		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:b}", "name", t->name, "chain", t->chain, "not_after", buf_cstr(&until), "self_signed",
			facts.self_signed));
		buf_clear(&until);
	}
	return CLI_OK;
}

static struct cli_list *cli_check_listeners(const struct conf *c, bool json, json_t *array)
{
	static const struct cli_column columns[] = {{"LISTENER", "name", CLI_TEXT}, {"KIND", "kind", CLI_TEXT}, {"ADDRESS", "address", CLI_TEXT},
		{"PORT", "port", CLI_NUMBER}, {"TLS", "tls", CLI_TEXT}, {"CERTIFICATE", "certificate", CLI_TEXT}};
	struct cli_list *list = json ? NULL : cli_list_new(columns, 6, false);

	for (size_t i = 0; i < c->listener_count; i++) {
		const struct conf_listener *l = &c->listeners[i];
		const char *certificate = l->tls == CONF_TLS_NONE ? "" : l->certificate;

		if (json)
			json_array_append_new(array, json_pack("{s:s, s:s, s:s, s:i, s:s, s:s, s:b, s:b}", "name", l->name, "kind", cli_kinds[l->kind], "address",
				l->address, "port", (int)l->port, "tls", cli_tls_words[l->tls], "certificate", certificate, "tls_required", l->tls_required,
				"auth_without_tls", l->auth_without_tls));
		else
			cli_list_add(list, (struct cli_cell[]){{.text = span_str(l->name)}, {.text = span_str(cli_kinds[l->kind])}, {.text = span_str(l->address)},
				{.number = l->port}, {.text = span_str(cli_tls_words[l->tls])}, {.text = span_str(certificate)}});
	}
	return list;
}

/* right, but surely not all that is wanted, where somebody is setting a server up */
static bool cli_check_loopback_only(const struct conf *c)
{
	for (size_t i = 0; i < c->listener_count; i++)
		if (strncmp(c->listeners[i].address, "127.", 4) != 0 && strcmp(c->listeners[i].address, "::1") != 0)
			return false;
	return true;
}

int cli_check(struct cli *cli)
{
	struct conf *c = NULL;
	struct err err = {{0}};
	json_t *certificates, *listeners;
	struct cli_list *list;
	int status;
	enum rc rc;

	if (cli_get(cli, "print-sample"))
		return cli_print_made(conf_write_sample);
	if (cli_get(cli, "print-man"))
		return cli_print_made(conf_write_man);
	rc = conf_load(cli_get(cli, "config"), cli->home, &c, &err);
	if (rc == RC_NONE)
		return cli_fail("%s; make one with: mailroom init --home %s", err.words, cli->home);
	if (rc != RC_OK)
		return cli_fail("%s", err.words);
	certificates = json_array();
	listeners = json_array();
	status = cli_check_certificates(c, certificates);
	list = cli_check_listeners(c, cli->json, listeners);
	if (status == CLI_OK && cli->json) {
		cli_print_json(json_pack("{s:b, s:s, s:s, s:O, s:O}", "ok", true, "file", c->file, "hostname", c->hostname, "listeners", listeners, "certificates",
			certificates));
	} else if (status == CLI_OK) {
		printf("%s is right; this server is %s\n", c->file, c->hostname);
		cli_list_print(&list, "");
		if (cli_check_loopback_only(c))
			puts("only this machine can reach it; the file says, at listener, how a public server listens");
	}
	cli_list_free(&list);
	json_decref(certificates);
	json_decref(listeners);
	conf_free(&c);
	return status;
}
