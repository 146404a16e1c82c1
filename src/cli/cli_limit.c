/* how much of which limit is used up, limits of one account, and forgiving */
#include <stdlib.h>

#include "base/net.h"
#include "base/num.h"
#include "cli/cli_account.h"
#include "cli/cli_commands.h"
#include "cli/cli_db.h"
#include "cli/cli_print.h"
#include "conf/conf.h"
#include "role/auth_throttle.h"
#include "role/rate_kind.h"
#include "store/cred_throttle.h"
#include "store/store_policy.h"
#include "store/store_rate.h"

const struct cli_option cli_limit_list_options[] = {
	{"account", "ADDRESS", "of this account: what it sends, gets, and its failed sign-ins", false},
	{"address", "IP", "of this client address", false},
	{"mailbox", "ADDRESS", "what this account or alias gets", false},
	{"network", "NAME", "of this network of the configuration", false},
	{"near", "PERCENT", "only where at least so much of a limit is used", false},
	{NULL, NULL, NULL, false},
};
const struct cli_option cli_limit_set_options[] = {
	{"messages", "RATES", "such as \"100/min 2000/day\"; none for no limit, default for the configuration's", false},
	{"recipients", "RATES", "likewise", false},
	{NULL, NULL, NULL, false},
};

static const struct cli_column cli_limit_columns[] = {{"OF", "whose", CLI_TEXT}, {"NAME", "name", CLI_TEXT}, {"WHAT", "what", CLI_TEXT}, {"IN", "window", CLI_TEXT},
	{"USED", "used", CLI_NUMBER}, {"LIMIT", "", CLI_TEXT}, {"FULL", "", CLI_TEXT}, {"AGAIN IN", "", CLI_TEXT}, {"SETTING", "setting", CLI_TEXT}, {"WHERE", "where", CLI_TEXT}};
/* numbers where the table has words; limit 0: none */
static const struct cli_column cli_limit_json[] = {{"", "whose", CLI_TEXT}, {"", "name", CLI_TEXT}, {"", "what", CLI_TEXT}, {"", "window", CLI_TEXT},
	{"", "used", CLI_NUMBER}, {"", "limit", CLI_NUMBER}, {"", "percent", CLI_NUMBER}, {"", "retry_ms", CLI_NUMBER}, {"", "setting", CLI_TEXT}, {"", "where", CLI_TEXT}};
enum { CLI_LIMIT_COLUMNS = sizeof(cli_limit_columns) / sizeof(cli_limit_columns[0]), CLI_LIMIT_WANTED = 4, CLI_LIMIT_NAME_BYTES = 256 };

/* one key that the options ask for; of any kind that fits */
struct cli_limit_key {
	enum rate_whose whose;
	struct rate_key key;
	bool seen[RATE_KIND_END]; /* a row was there */
};

struct cli_limits {
	struct cli *cli;
	const struct conf *conf;
	struct store *store;
	struct rate_table *table;     /* of one entry */
	struct cli_list *list;
	struct cli_limit_key wanted[CLI_LIMIT_WANTED];
	size_t wanted_count;          /* 0: everything */
	uint64_t near_percent;
	struct err err;
};

/* ---- rows */

struct cli_limit_row {
	const char *whose, *what, *window, *setting, *where;
	struct span name;
	uint64_t used, retry_ms;
	uint32_t most;                /* 0: none */
};

static void cli_limit_add(struct cli_limits *l, const struct cli_limit_row *r)
{
	char percent[24] = "", retry[32] = "", limit[16] = "";
	uint64_t full = r->most ? r->used * 100 / r->most : 0;

	if (full < l->near_percent)
		return;
	if (r->most) {
		(void)snprintf(percent, sizeof(percent), "%llu %%", (unsigned long long)full);
		(void)snprintf(limit, sizeof(limit), "%u", r->most);
	}
	if (r->retry_ms)
		rate_write_wait(retry, sizeof(retry), r->retry_ms);
	cli_list_add(l->list, (const struct cli_cell[CLI_LIMIT_COLUMNS]){{.text = span_str(r->whose)}, {.text = r->name}, {.text = span_str(r->what)},
		{.text = span_str(r->window)}, {.number = (int64_t)r->used}, {.text = span_str(limit), .number = r->most}, {.text = span_str(percent), .number = (int64_t)full},
		{.text = span_str(retry), .number = (int64_t)r->retry_ms}, {.text = span_str(r->setting)}, {.text = span_str(r->where)}});
}

/* which limits hold, and what says so */
static struct conf_rates cli_limit_limits(struct cli_limits *l, const struct rate_kind *k, struct span key, const char **setting, struct buf *where)
{
	const struct conf_network *network = NULL;
	struct store_account_policy account = {0};
	struct conf_rates limits;
	uint64_t id;

	for (size_t i = 0; i < l->conf->network_count; i++)
		if (k->whose == RATE_OF_NETWORK && span_eq(span_str(l->conf->networks[i].name), key))
			network = &l->conf->networks[i];
	limits = *rate_kind_limits(k, l->conf, network);
	*setting = k->setting;
	if (k->whose == RATE_OF_ACCOUNT && num_parse(key, INT64_MAX, &id) == RC_OK && store_account_policy(l->store, (int64_t)id, &l->cli->mem, &account, &l->err) == RC_OK) {
		struct span own = k->id == RATE_ACCOUNT_RCPTS ? account.rcpt_rates : account.message_rates;

		if (own.len) {
			buf_add_str(where, "limit set");
			return rate_kind_own_limits(own, &limits);
		}
	}
	if (k->limits != SIZE_MAX && (k->whose != RATE_OF_NETWORK || network))
		conf_where(l->conf, k->section, network ? network->name : "", k->setting, where);
	return limits;
}

static struct span cli_limit_name(struct cli_limits *l, const struct rate_kind *k, struct span key)
{
	struct store_account account;
	struct span name = key;
	uint64_t n;

	if (k->whose == RATE_OF_ACCOUNT && num_parse(key, INT64_MAX, &n) == RC_OK && store_account_by_id(l->store, (int64_t)n, &l->cli->mem, &account, &l->err) == RC_OK)
		name = account.address;
	else if (k->whose == RATE_OF_MAILBOX && num_parse(key, INT64_MAX, &n) == RC_OK)
		(void)!store_rate_tag_name(l->store, n, &l->cli->mem, &name, &l->err);
	return name;
}

/* what the table knows of this key, one line for each window that has a limit; without any: the day */
static void cli_limit_show(struct cli_limits *l, const struct rate_kind *k, const struct rate_key *key, const char *worker)
{
	uint64_t used[RATE_WINDOWS] = {0};
	mono_ms now = clock_mono_ms();
	struct cli_limit_row row = {.whose = rate_whose_name(k->whose), .name = cli_limit_name(l, k, rate_key_span(key))};
	char what[CLI_LIMIT_NAME_BYTES];
	struct conf_rates limits;
	struct buf where;
	bool any = false;

	buf_init(&where, CLI_LIMIT_NAME_BYTES * 16);
	limits = cli_limit_limits(l, k, rate_key_span(key), &row.setting, &where);
	row.where = buf_cstr(&where);
	(void)snprintf(what, sizeof(what), "%s%s%s%s", k->things, *worker ? " (" : "", worker, *worker ? ")" : "");
	row.what = what;
	(void)rate_used(l->table, key, now, used);
	for (int w = 0; w < RATE_WINDOWS; w++) {
		uint32_t one[RATE_WINDOWS] = {0};
		struct rate_hit hit = {0};

		any |= limits.most[w] > 0;
		if (!limits.most[w] && (any || w < RATE_DAY))
			continue;
		one[w] = limits.most[w];
		(void)rate_check(l->table, key, one, 1, now, &hit);
		row.window = rate_window_words(w);
		row.used = used[w];
		row.most = limits.most[w];
		row.retry_ms = hit.retry_ms;
		cli_limit_add(l, &row);
	}
	buf_clear(&where);
}

static bool cli_limit_is_wanted(struct cli_limits *l, const struct rate_kind *k, struct span key)
{
	for (size_t i = 0; i < l->wanted_count; i++)
		if (l->wanted[i].whose == k->whose && span_eq(rate_key_span(&l->wanted[i].key), key))
			return l->wanted[i].seen[k->id] = true;
	return l->wanted_count == 0;
}

static enum rc cli_limit_row(void *arg, const struct store_rate *r)
{
	struct cli_limits *l = arg;
	const struct rate_kind *k = rate_kind_get(r->kind);
	struct span key = r->key, worker = SPAN_NONE;
	char place[RATE_KEY_BYTES + 1];
	struct rate_key parsed;

	if (!k)
		return RC_OK;
	if (k->id >= RATE_ABUSE_FIRST) /* "mx/0 192.0.2.7" */
		worker = span_head(span_cut(&key, ' '), RATE_KEY_BYTES);
	if (!cli_limit_is_wanted(l, k, key) || rate_key_make((uint8_t)k->id, key, &parsed) != RC_OK)
		return RC_OK;
	(void)snprintf(place, sizeof(place), "%.*s", SPAN_FMT(worker));
	if (rate_load(l->table, &parsed, r->counts, clock_wall_ms() - r->saved_ms, clock_mono_ms()) == RC_OK || l->wanted_count)
		cli_limit_show(l, k, &parsed, place);
	rate_forget(l->table, &parsed);
	return RC_OK;
}

/* somebody asked for it by name: what has not been counted is 0 of its limit */
static void cli_limit_unseen(struct cli_limits *l)
{
	for (size_t i = 0; i < l->wanted_count; i++)
		for (const struct rate_kind *k = NULL; (k = rate_kind_next(k));)
			if (k->whose == l->wanted[i].whose && !l->wanted[i].seen[k->id] && k->limits != SIZE_MAX) {
				struct rate_key key = rate_key_text(k->id, rate_key_span(&l->wanted[i].key));

				cli_limit_show(l, k, &key, "");
			}
}

/* failed sign-ins are kept under hashes, so only for a name that was given */
static int cli_limit_failures(struct cli_limits *l, const char *peer, struct span account)
{
	uint32_t limit = peer ? l->conf->auth_failures_per_address : l->conf->auth_failures_per_account;
	struct cli_limit_row r = {.whose = peer ? "address" : "account", .what = "failed sign-ins", .setting = peer ? "failures-per-address" : "failures-per-account",
		.name = peer ? span_str(peer) : account, .most = limit};
	struct cred *c = cli_cred_open(l->cli, false);
	uint8_t secret[CRED_THROTTLE_SECRET_BYTES];
	struct cred_throttle kept = {0};
	struct auth_throttle_row row = {0};
	int64_t wall_ms = clock_wall_ms();
	char window[32], in[48];
	struct buf where;
	enum rc rc;

	if (!c)
		return CLI_FAILED;
	rc = cred_throttle_secret(c, secret, &l->err);
	if (rc == RC_OK) {
		row.key = auth_throttle_key(secret, span_str(peer), cli_login_name(l->cli, account));
		rc = cred_throttle_get(c, CRED_THROTTLE_FAILURES, row.key, &kept, &l->err);
	}
	cli_cred_close(&c);
	if (rc != RC_OK && rc != RC_NONE)
		return cli_store_failed(rc, &l->err, "the credentials database");
	row.spent = kept.spent;
	row.ago_ms = wall_ms > kept.at_ms ? (uint64_t)(wall_ms - kept.at_ms) : 0;
	r.used = auth_throttle_row_open(&row, limit, l->conf->auth_failure_window_ms, &r.retry_ms);
	rate_write_wait(window, sizeof(window), l->conf->auth_failure_window_ms);
	(void)snprintf(in, sizeof(in), "in %s", window);
	r.window = in;
	buf_init(&where, CLI_LIMIT_NAME_BYTES * 16);
	conf_where(l->conf, "auth", "", r.setting, &where);
	r.where = buf_cstr(&where);
	cli_limit_add(l, &r);
	buf_clear(&where);
	return CLI_OK;
}

/* ---- what is asked for */

static void cli_limit_want(struct cli_limits *l, enum rate_whose whose, struct rate_key key)
{
	if (l->wanted_count < CLI_LIMIT_WANTED)
		l->wanted[l->wanted_count++] = (struct cli_limit_key){.whose = whose, .key = key};
}

/* the tag of a mailbox, as counters are kept; false: said */
static bool cli_limit_tag(struct cli_limits *l, const char *text, uint64_t *out)
{
	struct store_resolved found = {0};
	struct span address;
	enum rc rc;

	if (!cli_address(l->cli, text, &address))
		return false;
	rc = store_resolve(l->store, address, 0, &l->cli->mem, &found, &l->err);
	if (rc != RC_OK)
		return cli_store_failed(rc, &l->err, "looking for the mailbox"), false;
	if (!found.tag || found.tag == STORE_TAG_FOREIGN)
		return cli_fail("nobody gets mail for %s here; mailroom account list and alias list show who does", text), false;
	*out = found.tag;
	return true;
}

static bool cli_limit_account(struct cli_limits *l, const char *text, struct store_account *out)
{
	struct span address;
	enum rc rc;

	if (!cli_address(l->cli, text, &address))
		return false;
	rc = store_account_get(l->store, address, &l->cli->mem, out, &l->err);
	return cli_account_status(rc, span_str(text), &l->err, "looking for the account") == CLI_OK;
}

static bool cli_limit_ip(const char *text)
{
	struct net_address a;

	return net_parse(span_str(text), &a) == RC_OK;
}

static bool cli_limit_is_network(const struct cli_limits *l, const char *name)
{
	for (size_t i = 0; i < l->conf->network_count; i++)
		if (strcmp(l->conf->networks[i].name, name) == 0)
			return true;
	return false;
}

static bool cli_limit_options(struct cli_limits *l, struct store_account *account_out)
{
	const char *account = cli_get(l->cli, "account"), *address = cli_get(l->cli, "address"), *mailbox = cli_get(l->cli, "mailbox"),
		   *network = cli_get(l->cli, "network"), *near = cli_get(l->cli, "near");
	uint64_t tag;

	if (near && num_parse(span_str(near), 1000, &l->near_percent) != RC_OK)
		return cli_fail("--near %s: a number of percent, such as 80, would be right", near), false;
	if (account) {
		if (!cli_limit_account(l, account, account_out))
			return false;
		cli_limit_want(l, RATE_OF_ACCOUNT, rate_key_number(RATE_ACCOUNT_MESSAGES, (uint64_t)account_out->id));
		mailbox = mailbox ? mailbox : account;
	}
	if (mailbox) {
		if (!cli_limit_tag(l, mailbox, &tag))
			return false;
		cli_limit_want(l, RATE_OF_MAILBOX, rate_key_number(RATE_MAILBOX_MESSAGES, tag));
	}
	if (address && !cli_limit_ip(address))
		return cli_fail("--address %s: an IP address would be right", address), false;
	if (address)
		cli_limit_want(l, RATE_OF_ADDRESS, rate_key_address(RATE_ADDRESS_MESSAGES, span_str(address)));
	if (network && !cli_limit_is_network(l, network))
		return cli_fail("the configuration has no network %s", network), false;
	if (network)
		cli_limit_want(l, RATE_OF_NETWORK, rate_key_text(RATE_NETWORK_MESSAGES, span_str(network)));
	return true;
}

static int cli_limit_begin(struct cli *cli, struct cli_limits *l, struct conf **conf, unsigned flags)
{
	enum rc rc = conf_read(NULL, cli->home, conf, &l->err);

	if (rc != RC_OK)
		return cli_fail("%s", l->err.words);
	l->cli = cli;
	l->conf = *conf;
	l->table = rate_table_new(1, rate_boot());
	l->store = cli_store_open(cli, flags);
	return l->store ? CLI_OK : CLI_FAILED;
}

static void cli_limit_end(struct cli_limits *l, struct conf **conf)
{
	cli_store_close(&l->store);
	rate_table_free(&l->table);
	conf_free(conf);
}

int cli_limit_list(struct cli *cli)
{
	struct store_account account = {0};
	struct conf *conf = NULL;
	struct cli_limits l = {0};
	int status = cli_limit_begin(cli, &l, &conf, STORE_READ_ONLY);
	enum rc rc;

	if (status == CLI_OK && !cli_limit_options(&l, &account))
		status = CLI_FAILED;
	if (status == CLI_OK) {
		l.list = cli_list_new(cli->json ? cli_limit_json : cli_limit_columns, CLI_LIMIT_COLUMNS, cli->json);
		rc = store_rate_each(l.store, 0, SPAN_NONE, cli_limit_row, &l, &l.err);
		if (rc != RC_OK)
			status = cli_store_failed(rc, &l.err, "limit list");
		cli_limit_unseen(&l);
		cli_store_close(&l.store);
		if (account.id && status == CLI_OK)
			status = cli_limit_failures(&l, NULL, account.address);
		if (cli_get(cli, "address") && status == CLI_OK)
			status = cli_limit_failures(&l, cli_get(cli, "address"), SPAN_NONE);
		cli_list_print(&l.list, "nothing has been counted, or no limit is so far used up");
	}
	cli_limit_end(&l, &conf);
	return status;
}

/* ---- set */

/* "none", "default", or rates in their usual spelling; false: said */
static bool cli_limit_rates(struct cli *cli, const char *given, struct span before, struct span *out)
{
	struct conf_rates rates;
	struct err err = {{0}};
	struct buf text;

	*out = before;
	if (!given)
		return true;
	if (strcmp(given, "none") == 0 || strcmp(given, "default") == 0) {
		*out = *given == 'n' ? SPAN_LIT("none") : SPAN_NONE;
		return true;
	}
	if (conf_rates_parse(span_str(given), &rates, &err) != RC_OK)
		return cli_fail("%s; none or default would be right, too", err.words), false;
	buf_init(&text, CLI_LIMIT_NAME_BYTES);
	conf_rates_write(&rates, &text);
	*out = text.len ? arena_copy(&cli->mem, buf_span(&text)) : SPAN_LIT("none");
	buf_clear(&text);
	return true;
}

int cli_limit_set(struct cli *cli)
{
	const char *messages = cli_get(cli, "messages"), *recipients = cli_get(cli, "recipients");
	struct store_account_policy now = {0};
	struct store_account account;
	struct conf *conf = NULL;
	struct cli_limits l = {0};
	struct span m, r;
	int status;
	enum rc rc = RC_OK;

	if (!messages && !recipients)
		return cli_usage(cli, "--messages or --recipients has to be given");
	status = cli_limit_begin(cli, &l, &conf, 0);
	if (status == CLI_OK && !cli_limit_account(&l, cli->args[0], &account))
		status = CLI_FAILED;
	if (status == CLI_OK) {
		rc = store_account_policy(l.store, account.id, &cli->mem, &now, &l.err);
		if (rc == RC_OK && (!cli_limit_rates(cli, messages, now.message_rates, &m) || !cli_limit_rates(cli, recipients, now.rcpt_rates, &r)))
			status = CLI_FAILED;
		else if (rc == RC_OK)
			rc = store_account_set_rates(l.store, account.address, m, r, &l.err);
		if (rc != RC_OK)
			status = cli_store_failed(rc, &l.err, "limit set");
	}
	cli_limit_end(&l, &conf);
	return status;
}

/* ---- reset */

struct cli_resetting {
	struct span key;
	struct arena *mem;
	struct span rows[64];
	int kinds[64];
	size_t count;
};

/* rows of workers: "mx/0 KEY" */
static enum rc cli_reset_row(void *arg, const struct store_rate *r)
{
	struct cli_resetting *x = arg;
	struct span key = r->key;

	if (r->kind < RATE_ABUSE_FIRST || r->kind == RATE_SIGN_INS)
		return RC_OK;
	(void)span_cut(&key, ' ');
	if (!span_eq(key, x->key) || x->count == sizeof(x->rows) / sizeof(x->rows[0]))
		return RC_OK;
	x->rows[x->count] = arena_copy(x->mem, r->key);
	x->kinds[x->count++] = r->kind;
	return RC_OK;
}

static enum rc cli_reset_address(struct cli_limits *l, const struct rate_key *key)
{
	struct cli_resetting x = {.key = rate_key_span(key), .mem = &l->cli->mem};
	enum rc rc = store_rate_each(l->store, 0, SPAN_NONE, cli_reset_row, &x, &l->err);

	for (size_t i = 0; i < x.count && rc == RC_OK; i++)
		rc = store_rate_remove(l->store, x.kinds[i], x.rows[i], &l->err);
	return rc == RC_OK ? store_rate_reset(l->store, RATE_ABUSE_FIRST, x.key, &l->err) : rc;
}

static enum rc cli_reset_wanted(struct cli_limits *l)
{
	enum rc rc = store_begin(l->store, &l->err);

	for (size_t i = 0; i < l->wanted_count && rc == RC_OK; i++) {
		const struct cli_limit_key *w = &l->wanted[i];

		for (const struct rate_kind *k = NULL; rc == RC_OK && (k = rate_kind_next(k));)
			if (k->whose == w->whose && k->id < RATE_ABUSE_FIRST)
				rc = store_rate_reset(l->store, (int)k->id, rate_key_span(&w->key), &l->err);
		if (rc == RC_OK && w->whose == RATE_OF_ADDRESS)
			rc = cli_reset_address(l, &w->key);
	}
	if (rc == RC_OK)
		return store_commit(l->store, &l->err);
	store_rollback(l->store);
	return rc;
}

static enum rc cli_reset_failures(struct cli_limits *l, const char *peer, struct span account)
{
	struct cred *c = cli_cred_open(l->cli, false);
	uint8_t secret[CRED_THROTTLE_SECRET_BYTES];
	enum rc rc;

	if (!c)
		return err_set(&l->err, RC_IO, "it could not be opened");
	rc = cred_throttle_secret(c, secret, &l->err);
	if (rc == RC_OK)
		rc = cred_throttle_reset(c, auth_throttle_key(secret, span_str(peer), cli_login_name(l->cli, account)), &l->err);
	cli_cred_close(&c);
	return rc;
}

int cli_limit_reset(struct cli *cli)
{
	const char *what = cli->args[0], *peer = NULL;
	struct store_account account = {0};
	struct conf *conf = NULL;
	struct cli_limits l = {0};
	uint64_t tag = 0;
	int status = cli_limit_begin(cli, &l, &conf, 0);
	enum rc rc;

	if (status == CLI_OK && cli_limit_ip(what)) {
		peer = what;
		cli_limit_want(&l, RATE_OF_ADDRESS, rate_key_address(RATE_ADDRESS_MESSAGES, span_str(what)));
	} else if (status == CLI_OK && strchr(what, '@')) {
		if (!cli_limit_tag(&l, what, &tag))
			status = CLI_FAILED;
		else
			cli_limit_want(&l, RATE_OF_MAILBOX, rate_key_number(RATE_MAILBOX_MESSAGES, tag));
		if (status == CLI_OK && (tag & 7) == STORE_TAG_ACCOUNT && store_account_by_id(l.store, (int64_t)(tag >> 3), &cli->mem, &account, &l.err) == RC_OK)
			cli_limit_want(&l, RATE_OF_ACCOUNT, rate_key_number(RATE_ACCOUNT_MESSAGES, (uint64_t)account.id));
	} else if (status == CLI_OK && cli_limit_is_network(&l, what)) {
		cli_limit_want(&l, RATE_OF_NETWORK, rate_key_text(RATE_NETWORK_MESSAGES, span_str(what)));
	} else if (status == CLI_OK) {
		status = cli_fail("%s is no IP address, no mail address and no network of the configuration", what);
	}
	if (status == CLI_OK) {
		rc = cli_reset_wanted(&l);
		cli_store_close(&l.store);
		if (rc == RC_OK && (peer || account.id))
			rc = cli_reset_failures(&l, peer, account.address);
		if (rc != RC_OK)
			status = cli_store_failed(rc, &l.err, "limit reset");
	}
	cli_limit_end(&l, &conf);
	return status;
}
