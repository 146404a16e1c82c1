/* `mailroom account show`: a line for each thing that is known of one account. One more: a row in cli_show_account or cli_show_login. */
#include "cli/cli_account.h"
#include "cli/cli_commands.h"
#include "cli/cli_print.h"
#include "mail/address.h"
#include "policy/policy.h"
#include "store/store_policy.h"

enum { SHOW_ALIASES = 4096, SHOW_TEXT_BYTES = 1 << 20, SHOW_CELL_BYTES = 1000 };

/* the lines, as text or as one JSON object */
struct cli_sheet {
	json_t *json; /* NULL: text */
	struct buf text;
};

static void sheet_line(struct cli_sheet *s, const char *title, struct span value)
{
	buf_printf(&s->text, "%-20s", title);
	if (value.len)
		cli_write_address(&s->text, value, SHOW_CELL_BYTES);
	else
		buf_add_byte(&s->text, '-');
	buf_add_byte(&s->text, '\n');
}

static void sheet_text(struct cli_sheet *s, const char *title, const char *key, struct span value)
{
	if (s->json)
		json_object_set_new(s->json, key, cli_json_text(value));
	else
		sheet_line(s, title, value);
}

static void sheet_number(struct cli_sheet *s, const char *title, const char *key, int64_t value)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%lld", (long long)value);
	if (s->json)
		json_object_set_new(s->json, key, json_integer(value));
	else
		sheet_line(s, title, span_str(text));
}

/* none: 0 means that there is none */
static void sheet_bytes(struct cli_sheet *s, const char *title, const char *key, int64_t value, bool none)
{
	struct buf text;

	buf_init(&text, 64);
	if (value || !none)
		cli_write_bytes(&text, (uint64_t)value);
	if (s->json)
		json_object_set_new(s->json, key, json_integer(value));
	else
		sheet_line(s, title, buf_span(&text));
	buf_clear(&text);
}

/* 0: never */
static void sheet_time(struct cli_sheet *s, const char *title, const char *key, int64_t wall_ms)
{
	struct buf text;

	buf_init(&text, 64);
	if (wall_ms)
		cli_write_time(&text, wall_ms);
	if (s->json)
		json_object_set_new(s->json, key, wall_ms ? cli_json_text(buf_span(&text)) : json_null());
	else
		sheet_line(s, title, buf_span(&text));
	buf_clear(&text);
}

static void sheet_list(struct cli_sheet *s, const char *title, const char *key, const struct span *values, size_t count)
{
	json_t *array = s->json ? json_array() : NULL;

	for (size_t i = 0; i < count; i++) {
		if (array)
			json_array_append_new(array, cli_json_text(values[i]));
		else
			sheet_line(s, i == 0 ? title : "", values[i]);
	}
	if (array)
		json_object_set_new(s->json, key, array);
	else if (count == 0)
		sheet_line(s, title, SPAN_NONE);
}

/* ---- what leads to it */

struct show_aliases {
	struct cli *cli;
	struct span key;                /* of the account, as sign-in looks for it */
	struct span found[SHOW_ALIASES];
	size_t count;
	struct span catch_all[SHOW_ALIASES];
	size_t catch_all_count;
};

static bool show_leads(struct show_aliases *a, struct span target)
{
	if (span_eq(target, a->key))
		return true;
	for (size_t i = 0; i < a->count; i++)
		if (address_text_same(target, a->found[i]))
			return true;
	return false;
}

static enum rc show_alias(void *arg, const struct store_alias *alias)
{
	struct show_aliases *a = arg;

	if (a->count == SHOW_ALIASES || show_leads(a, alias->address) || !show_leads(a, cli_login_name(a->cli, alias->target)))
		return RC_OK;
	a->found[a->count++] = arena_copy(&a->cli->mem, alias->address);
	return RC_OK;
}

static enum rc show_domain(void *arg, const struct store_domain *d)
{
	struct show_aliases *a = arg;

	if (a->catch_all_count < SHOW_ALIASES && d->catch_all.len && span_eq(cli_login_name(a->cli, d->catch_all), a->key))
		a->catch_all[a->catch_all_count++] = arena_copy(&a->cli->mem, d->name);
	return RC_OK;
}

/* aliases of aliases, too: looked through until nothing is found any more */
static enum rc show_find_aliases(struct store *s, struct show_aliases *a, struct err *err)
{
	size_t before;
	enum rc rc;

	do {
		before = a->count;
		rc = store_alias_each(s, SPAN_NONE, show_alias, a, err);
	} while (rc == RC_OK && a->count > before);
	return rc == RC_OK ? store_domain_each(s, show_domain, a, err) : rc;
}

/* ---- what it may send as */

struct show_senders {
	struct cli *cli;
	struct store_account_policy policy;
	struct span granted[SHOW_ALIASES];
	size_t count;
};

static enum rc show_sender(void *arg, struct span address)
{
	struct show_senders *g = arg;

	if (g->count < SHOW_ALIASES)
		g->granted[g->count++] = arena_copy(&g->cli->mem, address);
	return RC_OK;
}

/* ---- the account, the login */

static void cli_show_account(struct cli_sheet *s, const struct store_account *a, const struct show_aliases *aliases, const struct show_senders *senders)
{
	sheet_text(s, "address", "address", a->address);
	sheet_text(s, "state", "state", a->enabled ? SPAN_LIT("enabled") : SPAN_LIT("disabled"));
	sheet_time(s, "since", "created", a->created_ms);
	sheet_number(s, "messages", "messages", a->messages);
	sheet_bytes(s, "used", "used_bytes", a->used_bytes, false);
	sheet_bytes(s, "quota", "quota_bytes", a->quota_bytes, true);
	sheet_list(s, "aliases", "aliases", aliases->found, aliases->count);
	sheet_list(s, "catch-all of", "catch_all_of", aliases->catch_all, aliases->catch_all_count);
	sheet_text(s, "sending", "sending", senders->policy.sending ? SPAN_LIT("on") : SPAN_LIT("off"));
	sheet_text(s, "sender identity", "identity", span_str(policy_identity_name((enum policy_identity)senders->policy.identity)));
	sheet_list(s, "may send as", "send_as", senders->granted, senders->count);
}

struct show_apps {
	struct cli *cli;
	struct span names[CRED_APP_MOST];
	size_t count;
};

static enum rc show_app(void *arg, const struct cred_app *app)
{
	struct show_apps *apps = arg;

	if (apps->count < CRED_APP_MOST)
		apps->names[apps->count++] = arena_copy(&apps->cli->mem, app->name);
	return RC_OK;
}

static void cli_show_login(struct cli_sheet *s, const struct cred_row *row, const struct show_apps *apps)
{
	struct span set = row->scram_salt.len ? SPAN_LIT("set") : SPAN_LIT("set, SCRAM after the next sign-in");

	sheet_text(s, "password", "password", row->hash.len ? set : SPAN_LIT("none"));
	sheet_time(s, "password before", "old_password_until", row->old_hash.len ? row->old_ended_ms : 0);
	sheet_text(s, "demand", "demand", span_str(cli_demand_name(row->demand)));
	sheet_list(s, "app passwords", "app_passwords", apps->names, apps->count);
	sheet_time(s, "last sign-in", "last_sign_in", row->signed_in_ms);
}

static enum rc show_read_login(struct cli *cli, struct span login, struct cred_row *row, struct show_apps *apps, struct err *err)
{
	struct cred *c = cli_cred_open(cli, false);
	enum rc rc;

	if (!c)
		return err_set(err, RC_IO, "the credentials database could not be opened");
	rc = cred_get(c, login, &cli->mem, row, err);
	if (rc == RC_OK)
		rc = cred_app_each(c, login, show_app, apps, err);
	cli_cred_close(&c);
	return rc == RC_NONE ? RC_OK : rc;
}

int cli_account_show(struct cli *cli)
{
	struct show_aliases *aliases = arena_zalloc(&cli->mem, sizeof(*aliases));
	struct show_senders *senders = arena_zalloc(&cli->mem, sizeof(*senders));
	struct show_apps apps = {.cli = cli};
	struct cli_sheet sheet = {0};
	struct store_account a;
	struct cred_row row = {0};
	struct err err = {{0}};
	struct span address;
	struct store *s;
	enum rc rc;

	if (!cli_address(cli, cli->args[0], &address))
		return CLI_FAILED;
	s = cli_store_open(cli, STORE_READ_ONLY);
	if (!s)
		return CLI_FAILED;
	*aliases = (struct show_aliases){.cli = cli, .key = cli_login_name(cli, address)};
	rc = store_account_get(s, address, &cli->mem, &a, &err);
	if (rc == RC_OK)
		rc = show_find_aliases(s, aliases, &err);
	senders->cli = cli;
	if (rc == RC_OK)
		rc = store_account_policy(s, a.id, &cli->mem, &senders->policy, &err);
	if (rc == RC_OK)
		rc = store_send_as_each(s, a.address, show_sender, senders, &err);
	cli_store_close(&s);
	if (rc == RC_NONE)
		return cli_no_account(address);
	if (rc == RC_OK)
		rc = show_read_login(cli, aliases->key, &row, &apps, &err);
	if (rc != RC_OK)
		return cli_store_failed(rc, &err, "account show");
	sheet.json = cli->json ? json_object() : NULL;
	buf_init(&sheet.text, SHOW_TEXT_BYTES);
	cli_show_account(&sheet, &a, aliases, senders);
	cli_show_login(&sheet, &row, &apps);
	if (sheet.json)
		cli_print_json(sheet.json);
	else
		(void)fwrite(sheet.text.ptr, 1, sheet.text.len, stdout);
	buf_clear(&sheet.text);
	return CLI_OK;
}
