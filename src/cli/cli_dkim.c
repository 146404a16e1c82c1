/* mailroom domain dkim ...: the keys that sign a domain's mail. A key lies in HOME/keys/dkim/DOMAIN as SELECTOR.key while it signs, as SELECTOR.key.new
 * before (its record has to be in the DNS first), as SELECTOR.key.old after (its record has to stay until the last mail signed with it has arrived). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/num.h"
#include "cli/cli_commands.h"
#include "cli/cli_db.h"
#include "cli/cli_home.h"
#include "cli/cli_print.h"
#include "cli/cli_reload.h"
#include "mail/address.h"
#include "mail/dkim.h"
#include "role/role.h"

enum { DKIM_RSA_BITS = 2048, DKIM_LIST_MAX = 256 /* keys of a domain */, DKIM_TXT_BYTES = 255 /* of one string of a TXT record */ };

const struct cli_option cli_dkim_add_options[] = {
	{"algorithm", "rsa|ed25519|both", "which key, or one of each (the default): old servers know rsa only", false},
	{"selector", "NAME", "the record's name before ._domainkey; chosen by month where it is not given. For ed25519 an e is added", false},
	{"bits", "N", "of an rsa key: 2048 to 4096; 2048 where it is not given", false},
	{"now", NULL, "sign with it at once, without waiting for its record in the DNS", false},
	{NULL, NULL, NULL, false},
};

enum dkim_state { DKIM_ACTIVE, DKIM_NEW, DKIM_OLD, DKIM_STATES };
static const char *const dkim_endings[] = {[DKIM_ACTIVE] = ".key", [DKIM_NEW] = ".key.new", [DKIM_OLD] = ".key.old"};
static const char *const dkim_state_names[] = {[DKIM_ACTIVE] = "signs", [DKIM_NEW] = "new", [DKIM_OLD] = "old"};

struct dkim_file {
	char selector[DKIM_SELECTOR_BYTES + 1];
	enum dkim_state state;
	enum dkim_algorithm algorithm;
	struct span record; /* in the command's arena */
};

struct dkim_files {
	struct dkim_file all[DKIM_LIST_MAX];
	size_t count;
};

/* ---- the directory */

static char *dkim_path(const struct cli *cli, struct span domain, const char *selector, enum dkim_state state)
{
	return mem_printf("%s/keys/dkim/%.*s/%s%s", cli->home, SPAN_FMT(domain), selector, dkim_endings[state]);
}

static bool dkim_name(const char *name, struct dkim_file *out)
{
	struct span s = span_str(name);

	for (int state = DKIM_STATES - 1; state >= 0; state--) { /* the longer endings first */
		struct span end = span_str(dkim_endings[state]);

		if (s.len <= end.len || !span_eq(span_from(s, s.len - end.len), end) || !dkim_selector_ok(span_head(s, s.len - end.len)))
			continue;
		memcpy(out->selector, s.ptr, s.len - end.len);
		out->selector[s.len - end.len] = '\0';
		out->state = (enum dkim_state)state;
		return true;
	}
	return false;
}

/* RSA: the whole SubjectPublicKeyInfo; Ed25519: the key alone (RFC 8463 4) */
static bool dkim_public(EVP_PKEY *key, enum dkim_algorithm *algorithm_out, struct buf *record_out)
{
	uint8_t raw[32], *der = NULL;
	size_t len = sizeof(raw);
	int n;

	*algorithm_out = EVP_PKEY_is_a(key, "ED25519") ? DKIM_ED25519_SHA256 : DKIM_RSA_SHA256;
	if (*algorithm_out == DKIM_ED25519_SHA256) {
		if (EVP_PKEY_get_raw_public_key(key, raw, &len) != 1)
			return false;
		dkim_record(record_out, *algorithm_out, span_of(raw, len));
		return true;
	}
	n = i2d_PUBKEY(key, &der);
	if (n > 0)
		dkim_record(record_out, *algorithm_out, span_of(der, (size_t)n));
	OPENSSL_free(der);
	return n > 0;
}

static bool dkim_read(struct cli *cli, struct span domain, struct dkim_file *f)
{
	char *path = dkim_path(cli, domain, f->selector, f->state);
	FILE *file = fopen(path, "re");
	EVP_PKEY *key = file ? PEM_read_PrivateKey(file, NULL, NULL, (void *)"") : NULL;
	struct buf record;
	bool ok;

	buf_init(&record, 4096);
	ok = key && dkim_public(key, &f->algorithm, &record);
	if (ok)
		f->record = arena_copy(&cli->mem, buf_span(&record));
	else
		cli_note("%s: %s", path, file ? "there is no private key in it" : strerror(errno));
	if (file)
		fclose(file);
	EVP_PKEY_free(key);
	ERR_clear_error();
	buf_clear(&record);
	free(path);
	return ok;
}

static int dkim_order(const void *a, const void *b)
{
	return strcmp(((const struct dkim_file *)a)->selector, ((const struct dkim_file *)b)->selector);
}

/* none: count 0 */
static void dkim_files_read(struct cli *cli, struct span domain, struct dkim_files *out)
{
	char *path = mem_printf("%s/keys/dkim/%.*s", cli->home, SPAN_FMT(domain));
	DIR *d = opendir(path);
	const struct dirent *entry;

	out->count = 0;
	while (d && out->count < DKIM_LIST_MAX && (entry = readdir(d)) != NULL)
		if (dkim_name(entry->d_name, &out->all[out->count]) && dkim_read(cli, domain, &out->all[out->count]))
			out->count++;
	if (d)
		closedir(d);
	else if (errno != ENOENT)
		cli_note("%s: %s", path, strerror(errno));
	qsort(out->all, out->count, sizeof(out->all[0]), dkim_order);
	free(path);
}

static struct dkim_file *dkim_find(struct dkim_files *files, const char *selector)
{
	for (size_t i = 0; i < files->count; i++)
		if (strcmp(files->all[i].selector, selector) == 0)
			return &files->all[i];
	return NULL;
}

static bool dkim_move(const struct cli *cli, struct span domain, const struct dkim_file *f, enum dkim_state to)
{
	char *from = dkim_path(cli, domain, f->selector, f->state), *there = dkim_path(cli, domain, f->selector, to);
	bool ok = rename(from, there) == 0;

	if (!ok)
		(void)cli_fail("%s: %s", there, strerror(errno));
	free(from);
	free(there);
	return ok;
}

static int dkim_changed(const struct cli *cli)
{
	struct err err = {{0}};
	enum rc rc = cli_reload_server(cli->home, &err);

	if (rc == RC_OK)
		puts("the running server has been told");
	return rc == RC_OK || rc == RC_NONE ? CLI_OK : cli_fail("the running server could not be told (%s); send it SIGHUP", err.words);
}

/* ---- showing */

/* as a line of a zone file; strings of a TXT record hold 255 bytes each */
static void dkim_print_record(const struct dkim_file *f, struct span domain)
{
	struct span rest = f->record;

	printf("%s._domainkey.%.*s. IN TXT (", f->selector, SPAN_FMT(domain));
	while (rest.len) {
		struct span piece = span_head(rest, DKIM_TXT_BYTES);

		printf(" \"%.*s\"", SPAN_FMT(piece));
		rest = span_from(rest, piece.len);
	}
	puts(" )");
}

/* *domain_out: by its A-labels, as signatures and records name it (RFC 8616) */
static bool dkim_hosted(struct cli *cli, const char *text, struct span *domain_out)
{
	uint8_t room[LIMIT_DOMAIN_BYTES];
	struct store *s;
	struct err err = {{0}};
	bool hosted = false;
	enum rc rc;

	if (!cli_domain_name(cli, text, domain_out))
		return false;
	*domain_out = arena_copy(&cli->mem, address_domain_key(*domain_out, room));
	s = cli_store_open(cli, STORE_READ_ONLY);
	if (!s)
		return false;
	rc = store_domain_hosted(s, *domain_out, &hosted, &err);
	cli_store_close(&s);
	if (rc != RC_OK)
		(void)cli_store_failed(rc, &err, "domain dkim");
	else if (!hosted)
		(void)cli_fail("domain %.*s is not hosted here; mailroom domain list shows those that are", SPAN_FMT(*domain_out));
	return rc == RC_OK && hosted;
}

struct dkim_listing {
	struct cli *cli;
	struct cli_list *list;
};

static void dkim_list_domain(struct dkim_listing *l, struct span domain)
{
	struct dkim_files *files = mem_zalloc(sizeof(*files));

	dkim_files_read(l->cli, domain, files);
	for (size_t i = 0; i < files->count; i++) {
		const struct dkim_file *f = &files->all[i];
		char *name = mem_printf("%s._domainkey.%.*s", f->selector, SPAN_FMT(domain));
		const struct cli_cell cells[] = {{.text = domain}, {.text = span_str(f->selector)}, {.text = span_str(dkim_algorithm_name(f->algorithm))},
			{.text = span_str(dkim_state_names[f->state])}, {.text = span_str(name)}, {.text = f->record}};

		cli_list_add(l->list, cells);
		free(name);
	}
	free(files);
}

static enum rc dkim_gather(void *arg, const struct store_domain *d)
{
	buf_add(arg, d->name);
	buf_add_byte(arg, '\n');
	return RC_OK;
}

int cli_dkim_list(struct cli *cli)
{
	static const struct cli_column columns[] = {{"DOMAIN", "domain", CLI_TEXT}, {"SELECTOR", "selector", CLI_TEXT}, {"ALGORITHM", "algorithm", CLI_TEXT},
		{"STATE", "state", CLI_TEXT}, {"RECORD AT", "name", CLI_TEXT}, {"", "record", CLI_HIDDEN}};
	struct dkim_listing l = {.cli = cli};
	struct buf names;
	struct span rest, domain;
	struct store *s;
	struct err err = {{0}};
	enum rc rc = RC_OK;

	buf_init(&names, 16 << 20);
	if (cli->arg_count) {
		if (!dkim_hosted(cli, cli->args[0], &domain))
			return CLI_FAILED;
		buf_add(&names, domain);
	} else {
		s = cli_store_open(cli, STORE_READ_ONLY);
		if (!s)
			return CLI_FAILED;
		rc = store_domain_each(s, dkim_gather, &names, &err);
		cli_store_close(&s);
	}
	l.list = cli_list_new(columns, sizeof(columns) / sizeof(columns[0]), cli->json);
	for (rest = buf_span(&names); rest.len;) {
		domain = span_cut(&rest, '\n');
		if (domain.len)
			dkim_list_domain(&l, domain);
	}
	buf_clear(&names);
	cli_list_print(&l.list, "no keys; make some with: mailroom domain dkim add DOMAIN");
	return rc == RC_OK ? CLI_OK : cli_store_failed(rc, &err, "domain dkim list");
}

int cli_dkim_record(struct cli *cli)
{
	struct dkim_files *files;
	struct span domain;
	size_t shown = 0;

	if (!dkim_hosted(cli, cli->args[0], &domain))
		return CLI_FAILED;
	files = mem_zalloc(sizeof(*files));
	dkim_files_read(cli, domain, files);
	for (size_t i = 0; i < files->count; i++)
		if (cli->arg_count < 2 || strcmp(files->all[i].selector, cli->args[1]) == 0) {
			dkim_print_record(&files->all[i], domain);
			shown++;
		}
	free(files);
	return shown ? CLI_OK : cli_fail("there is no such key; mailroom domain dkim list %.*s shows those that are", SPAN_FMT(domain));
}

/* ---- making */

static EVP_PKEY *dkim_generate(enum dkim_algorithm a, uint64_t bits)
{
	return a == DKIM_ED25519_SHA256 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519") : EVP_RSA_gen((unsigned)bits);
}

static enum rc dkim_write(const struct cli *cli, struct span domain, const struct dkim_file *f, EVP_PKEY *key, uid_t owner, struct err *err)
{
	char *name = mem_printf("keys/dkim/%.*s/%s%s", SPAN_FMT(domain), f->selector, dkim_endings[f->state]);
	BIO *bio = BIO_new(BIO_s_secmem());
	char *bytes = NULL;
	long len = 0;
	enum rc rc = RC_IO;

	if (bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1 && (len = BIO_get_mem_data(bio, &bytes)) > 0)
		rc = cli_home_file(cli->home, name, span_of(bytes, (size_t)len), 0600, owner, false, err);
	else
		rc = err_set(err, RC_IO, "no key can be made: %s", ERR_reason_error_string(ERR_peek_last_error()));
	BIO_free(bio);
	free(name);
	return rc;
}

static enum rc dkim_dirs(const struct cli *cli, struct span domain, uid_t owner, struct err *err)
{
	char *name = mem_printf("keys/dkim/%.*s", SPAN_FMT(domain));
	enum rc rc = cli_home_dir(cli->home, "keys/dkim", 0700, owner, err);

	if (rc == RC_OK)
		rc = cli_home_dir(cli->home, name, 0700, owner, err);
	free(name);
	return rc;
}

static int dkim_make(struct cli *cli, struct span domain, struct dkim_file *f, uint64_t bits, uid_t owner)
{
	EVP_PKEY *key = dkim_generate(f->algorithm, bits);
	struct err err = {{0}};
	struct buf record;
	enum rc rc = key ? dkim_write(cli, domain, f, key, owner, &err) : err_set(&err, RC_IO, "no key can be made");

	buf_init(&record, 4096);
	if (rc == RC_OK && dkim_public(key, &f->algorithm, &record)) {
		f->record = buf_span(&record);
		dkim_print_record(f, domain);
	}
	buf_clear(&record);
	EVP_PKEY_free(key);
	if (rc == RC_EXISTS)
		return cli_fail("there is a key %s of %.*s already; choose another --selector", f->selector, SPAN_FMT(domain));
	return rc == RC_OK ? CLI_OK : cli_fail("%s", err.words);
}

static bool dkim_selector(const struct cli *cli, enum dkim_algorithm a, char out[DKIM_SELECTOR_BYTES + 1])
{
	const char *given = cli_get(cli, "selector"), *end = a == DKIM_ED25519_SHA256 ? "e" : "";
	time_t now = time(NULL);
	struct tm tm;

	(void)gmtime_r(&now, &tm);
	if (given && strlen(given) < DKIM_SELECTOR_BYTES)
		(void)snprintf(out, DKIM_SELECTOR_BYTES + 1, "%s%s", given, end);
	else
		(void)snprintf(out, DKIM_SELECTOR_BYTES + 1, "mr%04d%02d%s", (tm.tm_year + 1900) % 10000, (tm.tm_mon + 1) % 100, end);
	return !given || (strlen(given) < DKIM_SELECTOR_BYTES && dkim_selector_ok(span_str(out)));
}

int cli_dkim_add(struct cli *cli)
{
	const char *which = cli_get(cli, "algorithm"), *bits_text = cli_get(cli, "bits");
	bool both = !which || strcmp(which, "both") == 0;
	struct conf *conf = NULL;
	struct err err = {{0}};
	struct span domain;
	uint64_t bits = DKIM_RSA_BITS;
	int status = CLI_OK;
	uid_t owner;

	if (!both && strcmp(which, "rsa") != 0 && strcmp(which, "ed25519") != 0)
		return cli_usage(cli, "domain dkim add: --algorithm is rsa, ed25519 or both");
	if (bits_text && (num_parse(span_str(bits_text), 4096, &bits) != RC_OK || bits < 2048 || bits % 8))
		return cli_usage(cli, "domain dkim add: --bits is 2048 to 4096, a multiple of 8");
	if (!dkim_hosted(cli, cli->args[0], &domain))
		return CLI_FAILED;
	if (conf_read(NULL, cli->home, &conf, &err) != RC_OK)
		return cli_fail("%s", err.words);
	owner = role_uid(conf, ROLE_KEYS);
	conf_free(&conf);
	if (dkim_dirs(cli, domain, owner, &err) != RC_OK)
		return cli_fail("%s", err.words);
	for (int a = DKIM_RSA_SHA256; a <= DKIM_ED25519_SHA256 && status == CLI_OK; a++) {
		struct dkim_file f = {.state = cli_get(cli, "now") ? DKIM_ACTIVE : DKIM_NEW, .algorithm = (enum dkim_algorithm)a};

		if (!both && strcmp(which, a == DKIM_RSA_SHA256 ? "rsa" : "ed25519") != 0)
			continue;
		if (!dkim_selector(cli, f.algorithm, f.selector))
			return cli_usage(cli, "domain dkim add: --selector takes letters, digits and hyphens, at most %d", DKIM_SELECTOR_BYTES - 1);
		status = dkim_make(cli, domain, &f, bits, owner);
	}
	if (status != CLI_OK)
		return status;
	if (cli_get(cli, "now"))
		return dkim_changed(cli);
	printf("; put these into the DNS of %.*s; once they can be seen there: mailroom domain dkim use %.*s\n", SPAN_FMT(domain), SPAN_FMT(domain));
	return CLI_OK;
}

/* ---- changing */

/* new keys begin to sign; those of the same algorithm that signed until now are old */
int cli_dkim_use(struct cli *cli)
{
	const char *selector = cli->arg_count > 1 ? cli->args[1] : NULL;
	struct dkim_files *files;
	struct span domain;
	bool ok = true, replaced[3] = {false};
	size_t used = 0;

	if (!dkim_hosted(cli, cli->args[0], &domain))
		return CLI_FAILED;
	files = mem_zalloc(sizeof(*files));
	dkim_files_read(cli, domain, files);
	for (size_t i = 0; i < files->count && ok; i++) {
		struct dkim_file *f = &files->all[i];

		if (selector ? strcmp(f->selector, selector) != 0 || f->state == DKIM_ACTIVE : f->state != DKIM_NEW)
			continue;
		ok = dkim_move(cli, domain, f, DKIM_ACTIVE);
		replaced[f->algorithm] |= ok;
		used += ok;
		if (ok)
			printf("%s signs now\n", f->selector);
		f->state = DKIM_STATES; /* not one of those that it replaces */
	}
	for (size_t i = 0; i < files->count && ok; i++) {
		struct dkim_file *f = &files->all[i];

		if (f->state == DKIM_ACTIVE && replaced[f->algorithm]) {
			ok = dkim_move(cli, domain, f, DKIM_OLD);
			printf("%s signs no more; leave its record in the DNS for a week, then: mailroom domain dkim remove %.*s %s\n", f->selector, SPAN_FMT(domain), f->selector);
		}
	}
	free(files);
	if (!ok)
		return CLI_FAILED;
	return used ? dkim_changed(cli) : cli_fail("there is no key to begin with; mailroom domain dkim list %.*s shows what is there", SPAN_FMT(domain));
}

int cli_dkim_remove(struct cli *cli)
{
	struct dkim_files *files;
	struct dkim_file *f;
	struct span domain;
	char *path;
	int status = CLI_OK;

	if (!dkim_hosted(cli, cli->args[0], &domain))
		return CLI_FAILED;
	files = mem_zalloc(sizeof(*files));
	dkim_files_read(cli, domain, files);
	f = dkim_find(files, cli->args[1]);
	if (!f) {
		free(files);
		return cli_fail("there is no key %s of %.*s; mailroom domain dkim list shows those that are", cli->args[1], SPAN_FMT(domain));
	}
	path = dkim_path(cli, domain, f->selector, f->state);
	if (unlink(path) != 0)
		status = cli_fail("%s: %s", path, strerror(errno));
	else
		printf("removed %s; its record at %s._domainkey.%.*s can go, too\n", f->selector, f->selector, SPAN_FMT(domain));
	if (status == CLI_OK && f->state == DKIM_ACTIVE)
		status = dkim_changed(cli);
	free(path);
	free(files);
	return status;
}
