#include "cli/cli_account.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/num.h"
#include "cli/cli_commands.h"
#include "cli/cli_password.h"
#include "cli/cli_print.h"
#include "conf/conf.h"
#include "mail/address.h"
#include "store/store_policy.h"

const struct cli_option cli_account_add_options[] = {
	CLI_PASSWORD_OPTIONS,
	{"quota", "SIZE", "how much mail it may hold, such as 500MB; none for no limit (default: default-quota of the configuration)", false},
	{NULL, NULL, NULL, false},
};
const struct cli_option cli_account_passwd_options[] = {CLI_PASSWORD_OPTIONS, {NULL, NULL, NULL, false}};
const struct cli_option cli_account_remove_options[] = {{"yes", NULL, "remove its mail too, without asking", false}, {NULL, NULL, NULL, false}};

struct span cli_login_name(struct cli *cli, struct span address)
{
	struct address a;
	struct buf key;
	struct span copy = address;

	if (address_parse(address, ADDRESS_UTF8, &cli->mem, &a) != ADDRESS_OK)
		return address;
	buf_init(&key, 1024);
	address_key(&key, &a);
	copy = arena_copy(&cli->mem, buf_span(&key));
	buf_clear(&key);
	return copy;
}

enum rc cli_account_find(struct cli *cli, struct span address, struct store_account *out)
{
	struct store *s = cli_store_open(cli, STORE_READ_ONLY);
	struct err err = {{0}};
	enum rc rc;

	if (!s)
		return RC_IO;
	rc = store_account_get(s, address, &cli->mem, out, &err);
	cli_store_close(&s);
	if (rc != RC_OK && rc != RC_NONE)
		cli_store_failed(rc, &err, "looking for the account");
	return rc;
}

/* ---- credentials */

/* The row of this account with a new password. What else is kept of the login stays; the old hash is kept so that its use can be told from a guess. */
static int cli_cred_write(struct cli *cli, struct span address, int64_t id, bool enabled, struct span password)
{
	struct cred *c = cli_cred_open(cli, false);
	struct cred_row row = {.account = id, .address = cli_login_name(cli, address), .enabled = enabled}, before;
	struct err err = {{0}};
	enum rc rc;

	if (!c)
		return CLI_FAILED;
	rc = cred_get(c, row.address, &cli->mem, &before, &err);
	if (rc == RC_OK && before.account == id) {
		row.demand = before.demand;
		row.signed_in_ms = before.signed_in_ms;
		row.old_hash = before.hash;
		row.old_ended_ms = clock_wall_ms();
	}
	if (rc == RC_OK || rc == RC_NONE)
		rc = cred_set_password(&row, password, &cli->mem, &err);
	if (rc == RC_OK)
		rc = cred_put(c, &row, &err);
	cli_cred_close(&c);
	return rc == RC_OK ? CLI_OK : cli_store_failed(rc, &err, "the credentials database");
}

int cli_account_set_password(struct cli *cli, struct span address, struct span password)
{
	struct store_account a;
	enum rc rc = cli_account_find(cli, address, &a);

	if (rc == RC_NONE)
		return cli_no_account(address);
	return rc == RC_OK ? cli_cred_write(cli, a.address, a.id, a.enabled, password) : CLI_FAILED;
}

/* ---- add */

int cli_account_make(struct cli *cli, struct span address, struct span password, int64_t quota_bytes)
{
	struct store *s = cli_store_open(cli, 0);
	struct err err = {{0}};
	int64_t id = 0;
	int status;
	enum rc rc;

	if (!s)
		return CLI_FAILED;
	rc = store_account_add(s, address, quota_bytes, clock_wall_ms(), &id, &err);
	cli_store_close(&s);
	if (rc == RC_NONE)
		return cli_no_domain_for(address);
	if (rc != RC_OK)
		return cli_store_failed(rc, &err, "account add");
	status = cli_cred_write(cli, address, id, true, password);
	if (status == CLI_OK)
		return CLI_OK;
	s = cli_store_open(cli, 0);
	rc = s ? store_account_remove(s, address, &err) : RC_IO;
	cli_store_close(&s);
	if (rc != RC_OK)
		return cli_fail("%.*s is there now, but nobody can sign in to it; try: mailroom account remove %.*s", SPAN_FMT(address), SPAN_FMT(address));
	return cli_fail("the account was not made");
}

/* --quota, or an argument: "none", or a size; false: said */
static bool cli_quota(const char *text, int64_t *out)
{
	uint64_t bytes;

	if (strcmp(text, "none") == 0)
		bytes = 0;
	else if (num_parse_size_bytes(span_str(text), &bytes) != RC_OK || bytes > INT64_MAX / 8)
		return cli_fail("\"%s\" is no quota; a size such as 500MB, or none, would be right", text), false;
	*out = (int64_t)bytes;
	return true;
}

static bool cli_default_quota(const struct cli *cli, int64_t *out)
{
	struct conf *conf = NULL;
	struct err err = {{0}};
	enum rc rc = conf_read(NULL, cli->home, &conf, &err);

	if (rc != RC_OK && rc != RC_NONE)
		return cli_fail("%s (needed for default-quota; --quota goes without it)", err.words), false;
	*out = rc == RC_OK ? (int64_t)conf->default_quota_bytes : 0;
	conf_free(&conf);
	return true;
}

static int cli_with_password(struct cli *cli, struct span address, int (*then)(struct cli *, struct span, struct span, int64_t), int64_t arg)
{
	struct buf password;
	bool generated = false;
	int status;

	buf_init(&password, LIMIT_PASSWORD_BYTES + 1);
	status = cli_password_get(cli, cli->args[0], &password, &generated);
	if (status == CLI_OK)
		status = then(cli, address, buf_span(&password), arg);
	if (status == CLI_OK && generated && cli->json)
		cli_print_json(json_pack("{s:o, s:o}", "address", cli_json_text(address), "password", cli_json_text(buf_span(&password))));
	else if (status == CLI_OK && generated)
		printf("password for %.*s: %.*s\n", SPAN_FMT(address), SPAN_FMT(buf_span(&password)));
	cli_password_clear(&password);
	return status;
}

int cli_account_add(struct cli *cli)
{
	const char *given = cli_get(cli, "quota");
	struct span address;
	struct store_account there;
	int64_t quota = 0;
	enum rc rc;

	if (!cli_address(cli, cli->args[0], &address) || !(given ? cli_quota(given, &quota) : cli_default_quota(cli, &quota)))
		return CLI_FAILED;
	rc = cli_account_find(cli, address, &there); /* before anybody is asked for a password */
	if (rc == RC_OK)
		return cli_fail("there is an account %.*s already; mailroom account passwd gives it a new password", SPAN_FMT(address));
	return rc == RC_NONE ? cli_with_password(cli, address, cli_account_make, quota) : CLI_FAILED;
}

/* ---- list */

struct cli_account_listing {
	struct cli_list *list;
	struct store *s;
	struct err *err;
};

static enum rc cli_account_row(void *arg, const struct store_account *a)
{
	struct cli_account_listing *l = arg;
	struct store_account_policy p = {0};
	struct arena mem;
	enum rc rc;

	arena_init(&mem, 8 << 10);
	rc = store_account_policy(l->s, a->id, &mem, &p, l->err);
	arena_clear(&mem);
	const struct cli_cell cells[] = {{.text = a->address}, {.text = a->enabled ? SPAN_LIT("enabled") : SPAN_LIT("disabled")}, {.number = a->messages},
		{.number = a->used_bytes}, {.number = a->quota_bytes, .none = true}, {.number = a->created_ms}, {.number = p.sending}};

	if (rc == RC_OK)
		cli_list_add(l->list, cells);
	return rc;
}

int cli_account_list(struct cli *cli)
{
	static const struct cli_column columns[] = {{"ACCOUNT", "address", CLI_ADDRESS}, {"STATE", "state", CLI_TEXT}, {"MESSAGES", "messages", CLI_NUMBER},
		{"USED", "used_bytes", CLI_BYTES}, {"QUOTA", "quota_bytes", CLI_BYTES}, {"SINCE", "created", CLI_TIME_MS}, {"SENDS", "sending", CLI_YES}};
	struct span domain;
	struct err err = {{0}};
	struct cli_account_listing l = {.s = cli_store_open_domain(cli, STORE_READ_ONLY, &domain), .err = &err};
	enum rc rc;

	if (!l.s)
		return CLI_FAILED;
	l.list = cli_list_new(columns, 7, cli->json);
	rc = store_account_each(l.s, domain, cli_account_row, &l, &err);
	cli_store_close(&l.s);
	cli_list_print(&l.list, "there is no account; add one with: mailroom account add alice@example.org");
	return rc == RC_OK ? CLI_OK : cli_store_failed(rc, &err, "account list");
}

/* ---- passwd */

static int cli_then_set(struct cli *cli, struct span address, struct span password, int64_t arg)
{
	(void)arg;
	return cli_account_set_password(cli, address, password);
}

int cli_account_passwd(struct cli *cli)
{
	struct span address;
	struct store_account there;
	enum rc rc;

	if (!cli_address(cli, cli->args[0], &address))
		return CLI_FAILED;
	rc = cli_account_find(cli, address, &there);
	if (rc == RC_NONE)
		return cli_no_account(address);
	return rc == RC_OK ? cli_with_password(cli, address, cli_then_set, 0) : CLI_FAILED;
}

/* ---- enable, disable */

static enum rc cli_store_enable(struct cli *cli, struct span address, bool on, struct err *err)
{
	struct store *s = cli_store_open(cli, 0);
	enum rc rc;

	if (!s)
		return err_set(err, RC_IO, "the store could not be opened");
	rc = store_account_enable(s, address, on, err);
	cli_store_close(&s);
	return rc;
}

static int cli_account_switch(struct cli *cli, bool on)
{
	struct span address;
	struct store_account before;
	struct cred *c;
	struct err err = {{0}};
	enum rc rc;

	if (!cli_address(cli, cli->args[0], &address))
		return CLI_FAILED;
	rc = cli_account_find(cli, address, &before);
	if (rc == RC_NONE)
		return cli_no_account(address);
	if (rc != RC_OK)
		return CLI_FAILED;
	rc = cli_store_enable(cli, address, on, &err);
	if (rc != RC_OK)
		return cli_store_failed(rc, &err, on ? "account enable" : "account disable");
	c = cli_cred_open(cli, false);
	rc = c ? cred_enable(c, cli_login_name(cli, address), on, &err) : RC_IO;
	cli_cred_close(&c);
	if (rc == RC_NONE) {
		cli_note("note: %.*s has no password yet; give it one with: mailroom account passwd %.*s", SPAN_FMT(address), SPAN_FMT(address));
	} else if (rc != RC_OK) {
		cli_store_failed(rc, &err, "the credentials database");
		if (cli_store_enable(cli, address, before.enabled, &err) != RC_OK)
			return cli_fail("only half of it was done: %s; do it again", err.words);
		return cli_fail("nothing was changed");
	}
	return CLI_OK;
}

int cli_account_disable(struct cli *cli)
{
	return cli_account_switch(cli, false);
}

int cli_account_enable(struct cli *cli)
{
	return cli_account_switch(cli, true);
}

/* ---- quota, remove */

int cli_account_quota(struct cli *cli)
{
	struct span address;
	struct store *s;
	struct err err = {{0}};
	int64_t quota;
	enum rc rc;

	if (!cli_address(cli, cli->args[0], &address) || !cli_quota(cli->args[1], &quota))
		return CLI_FAILED;
	s = cli_store_open(cli, 0);
	if (!s)
		return CLI_FAILED;
	rc = store_account_quota(s, address, quota, &err);
	cli_store_close(&s);
	return cli_account_status(rc, address, &err, "account quota");
}

static bool cli_sure(const struct cli *cli, const struct store_account *a)
{
	char answer[8] = "";

	if (cli_get(cli, "yes") || a->messages == 0)
		return true;
	if (!isatty(STDIN_FILENO))
		return cli_fail("%.*s holds %lld messages; --yes removes them too", SPAN_FMT(a->address), (long long)a->messages), false;
	printf("%.*s holds %lld messages. Remove them too? [yes/no] ", SPAN_FMT(a->address), (long long)a->messages);
	fflush(stdout);
	if (!fgets(answer, sizeof(answer), stdin) || strcmp(answer, "yes\n") != 0)
		return cli_fail("nothing was changed"), false;
	return true;
}

/* switches the sign-in of an account that is going, or that stays after all; RC_NONE: it has none */
static enum rc cli_cred_enable(struct cli *cli, struct span address, bool on, struct err *err)
{
	struct cred *c = cli_cred_open(cli, false);
	enum rc rc = c ? cred_enable(c, address, on, err) : err_set(err, RC_IO, "the credentials database could not be opened");

	cli_cred_close(&c);
	return rc;
}

/* sign-in ends first, so that nobody is let in to an account that is going; put back where the rest fails */
int cli_account_remove(struct cli *cli)
{
	struct span address, login;
	struct store_account a;
	struct cred *c;
	struct store *s;
	struct err err = {{0}}, again;
	enum rc had, rc;

	if (!cli_address(cli, cli->args[0], &address))
		return CLI_FAILED;
	rc = cli_account_find(cli, address, &a);
	if (rc == RC_NONE)
		return cli_no_account(address);
	if (rc != RC_OK || !cli_sure(cli, &a))
		return CLI_FAILED;
	login = cli_login_name(cli, address);
	had = cli_cred_enable(cli, login, false, &err);
	if (had != RC_OK && had != RC_NONE)
		return cli_store_failed(had, &err, "the credentials database");
	s = cli_store_open(cli, 0);
	rc = s ? store_account_remove(s, address, &err) : RC_IO;
	cli_store_close(&s);
	if (rc != RC_OK) {
		if (had == RC_OK && a.enabled && cli_cred_enable(cli, login, true, &again) != RC_OK)
			cli_note("%.*s cannot sign in any more: %s", SPAN_FMT(address), again.words);
		return cli_store_failed(rc, &err, "account remove");
	}
	c = had == RC_OK ? cli_cred_open(cli, false) : NULL;
	rc = c ? cred_remove(c, login, &err) : had == RC_OK ? RC_IO : RC_OK;
	cli_cred_close(&c);
	if (rc == RC_IO && !err.words[0])
		return CLI_FAILED; /* said */
	return rc == RC_OK ? CLI_OK : cli_store_failed(rc, &err, "the account is gone; its login, switched off, is not");
}
