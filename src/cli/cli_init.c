#include "cli/cli_account.h"
#include "cli/cli_commands.h"
#include "cli/cli_dev.h"
#include "cli/cli_home.h"
#include "cli/cli_tls.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "role/role.h"

const struct cli_option cli_init_options[] = {
	{"hostname", "NAME", "the name of this server (default: what the system says)", false},
	{"domain", "NAME", "host this domain; the first one is for bare login names", true},
	{"dev", NULL, "for trying out: domain mailroom.test, accounts alice and bob with printed passwords", false},
	{NULL, NULL, NULL, false},
};

enum { CLI_DOMAINS = 64 };

struct cli_new_home {
	struct cli *cli;
	const char *domains[CLI_DOMAINS];
	size_t domain_count;
	struct conf *conf;
	bool was_there; /* its configuration, and so most likely the rest */
};

static bool cli_init_there(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static int cli_init_failed(const struct err *err)
{
	return cli_fail("init: %s", err->words);
}

static int cli_init_domains(struct cli_new_home *n)
{
	struct cli *cli = n->cli;
	struct span name;

	for (size_t i = 0; i < cli->given_count; i++) {
		if (strcmp(cli->given[i].option->name, "domain") != 0)
			continue;
		if (n->domain_count == CLI_DOMAINS - 1)
			return cli_fail("init: at most %d domains at a time; mailroom domain add takes further ones", CLI_DOMAINS - 1);
		if (!cli_domain_name(cli, cli->given[i].value, &name))
			return CLI_FAILED;
		n->domains[n->domain_count++] = arena_str(&cli->mem, name);
	}
	if (cli_get(cli, "dev"))
		n->domains[n->domain_count++] = CLI_DEV_DOMAIN;
	return CLI_OK;
}

/* mailroom.conf, unless there is one; then it is read back, as what it says decides the rest */
static int cli_init_conf(struct cli_new_home *n)
{
	const char *hostname = cli_get(n->cli, "hostname");
	char *path = mem_printf("%s/mailroom.conf", n->cli->home);
	struct buf text;
	struct err err = {{0}};
	bool there = cli_init_there(path);
	enum rc rc = RC_OK;

	buf_init(&text, 1 << 20);
	if (!there) {
		conf_write_sample_for(&text, hostname ? hostname : cli_get(n->cli, "dev") ? CLI_DEV_HOSTNAME : NULL, n->domain_count ? n->domains[0] : NULL);
		if (cli_get(n->cli, "dev"))
			buf_add_str(&text, "\n# a development home: nothing leaves this machine\nworkers {\n\trelay = 0\n}\n");
		rc = conf_parse(buf_span(&text), "init", n->cli->home, &n->conf, &err); /* a bad --hostname never gets into a file */
		if (rc == RC_OK)
			rc = cli_home_file(n->cli->home, "mailroom.conf", buf_span(&text), 0644, 0, false, &err);
		conf_free(&n->conf);
	}
	n->was_there = there;
	if (rc == RC_OK)
		rc = conf_read(NULL, n->cli->home, &n->conf, &err);
	if (rc == RC_OK && there && hostname && strcmp(hostname, n->conf->hostname) != 0)
		cli_note("note: %s is there already and says hostname = %s; it was left as it is", path, n->conf->hostname);
	free(path);
	buf_clear(&text);
	return rc == RC_OK ? CLI_OK : cli_init_failed(&err);
}

static int cli_init_dirs(const struct cli_new_home *n)
{
	const struct { const char *name; mode_t mode; uid_t owner; } dirs[] = {
		{"store", 0700, role_uid(n->conf, ROLE_STORE)}, {"auth", 0700, role_uid(n->conf, ROLE_AUTH)}, {"keys", 0700, role_uid(n->conf, ROLE_KEYS)},
		{"tls", 0755, 0}, {"empty", 0555, 0}};
	struct err err = {{0}};

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		if (cli_home_dir(n->cli->home, dirs[i].name, dirs[i].mode, dirs[i].owner, &err) != RC_OK)
			return cli_init_failed(&err);
	return CLI_OK;
}

/* the key first: a certificate without its key would look finished */
static int cli_init_write_pair(const struct cli_new_home *n, struct span key, struct span certificate)
{
	struct err err = {{0}};
	enum rc rc = cli_home_file(n->cli->home, "keys/default.key", key, 0600, role_uid(n->conf, ROLE_KEYS), true, &err);

	if (rc == RC_OK)
		rc = cli_home_file(n->cli->home, "tls/default.crt", certificate, 0644, 0, true, &err);
	return rc == RC_OK ? CLI_OK : cli_init_failed(&err);
}

static int cli_init_certificate(const struct cli_new_home *n)
{
	const char *names[CLI_DOMAINS + 1] = {n->conf->hostname};
	char *crt = mem_printf("%s/tls/default.crt", n->cli->home), *key_path = mem_printf("%s/keys/default.key", n->cli->home);
	bool crt_there = cli_init_there(crt), key_there = cli_init_there(key_path);
	struct buf certificate, key;
	struct err err = {{0}};
	int status = CLI_OK;

	if (crt_there && !key_there) {
		status = cli_fail("init: %s is there, but its key %s is not; put it there, or remove the certificate", crt, key_path);
	} else if (!crt_there && key_there && geteuid() != 0 && errno == EACCES) {
		status = cli_fail("init: %s is not yours", key_path);
	} else if (!crt_there) {
		for (size_t i = 0; i < n->domain_count; i++)
			names[i + 1] = n->domains[i];
		buf_init(&certificate, 64 << 10);
		buf_init(&key, 64 << 10);
		if (cli_tls_make(names, n->domain_count + 1, &certificate, &key, &err) != RC_OK)
			status = cli_init_failed(&err);
		else
			status = cli_init_write_pair(n, buf_span(&key), buf_span(&certificate));
		if (key.ptr)
			explicit_bzero(key.ptr, key.size);
		buf_clear(&certificate);
		buf_clear(&key);
	}
	free(crt);
	free(key_path);
	return status;
}

static int cli_init_databases(const struct cli_new_home *n)
{
	struct store *s = cli_store_open(n->cli, STORE_CREATE);
	struct cred *c;
	struct err err = {{0}};
	enum rc rc = RC_OK;

	if (!s)
		return CLI_FAILED;
	for (size_t i = 0; i < n->domain_count && rc == RC_OK; i++) {
		rc = store_domain_add(s, span_str(n->domains[i]), &err);
		rc = rc == RC_EXISTS ? RC_OK : rc;
	}
	cli_store_close(&s);
	if (rc != RC_OK)
		return cli_store_failed(rc, &err, "init");
	c = cli_cred_open(n->cli, true);
	if (!c)
		return CLI_FAILED;
	cli_cred_close(&c);
	return CLI_OK;
}

static void cli_init_next(const struct cli_new_home *n)
{
	const char *home = n->cli->home, *domain = n->domain_count ? n->domains[0] : "example.org";

	if (n->was_there && !cli_get(n->cli, "dev"))
		printf("the mail system in %s is complete; what was there already was left as it is\n", home);
	else
		printf("a mail system is ready in %s; its name is %s\n", home, n->conf->hostname);
	if (n->was_there || cli_get(n->cli, "dev"))
		return;
	puts("next:");
	if (!n->domain_count)
		printf("  mailroom domain add %s --home %s\n", domain, home);
	printf("  mailroom account add NAME@%s --home %s\n  mailroom check --home %s\n  mailroom serve --home %s\n", domain, home, home, home);
}

int cli_init(struct cli *cli)
{
	struct cli_new_home n = {.cli = cli};
	struct err err = {{0}};
	int status = cli_init_domains(&n);

	if (status == CLI_OK && cli_home_make(cli->home, &err) != RC_OK)
		status = cli_init_failed(&err);
	if (status == CLI_OK)
		status = cli_init_conf(&n);
	if (status == CLI_OK)
		status = cli_init_dirs(&n);
	if (status == CLI_OK)
		status = cli_init_certificate(&n);
	if (status == CLI_OK)
		status = cli_init_databases(&n);
	if (status == CLI_OK)
		cli_init_next(&n);
	if (status == CLI_OK && cli_get(cli, "dev"))
		status = cli_dev_accounts(cli);
	conf_free(&n.conf);
	return status;
}
