#include "cli/cli_db.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

/* where to come back to */
static int cli_old_root = -1, cli_old_cwd = -1;

static int cli_no_home(const char *home, const char *name)
{
	if (errno == EACCES)
		return cli_fail("%s/%s belongs to somebody else; run this as root, or as the user who made it", home, name);
	return cli_fail("there is no mail system in %s (%s/%s: %s); make one with: mailroom init --home %s", home, home, name, strerror(errno), home);
}

static void cli_leave(void)
{
	if (cli_old_root < 0)
		return;
	if (seteuid(0) != 0 || setegid(0) != 0 || fchdir(cli_old_root) != 0 || chroot(".") != 0 || fchdir(cli_old_cwd) != 0) {
		cli_fail("cannot come back from a role's directory: %s", strerror(errno));
		_exit(CLI_FAILED);
	}
	close(cli_old_root);
	close(cli_old_cwd);
	cli_old_root = cli_old_cwd = -1;
}

/* Returns how the directory is called from now on (to be freed), NULL when it cannot be entered. */
static char *cli_enter(const char *home, const char *name)
{
	char *path = mem_printf("%s/%s", home, name);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0) {
		cli_no_home(home, name);
		if (fd >= 0)
			close(fd);
		free(path);
		return NULL;
	}
	if (geteuid() != 0) {
		close(fd);
		return path;
	}
	free(path);
	/* OpenSSL reads its configuration, which can name libraries to load, when it is first used: that must not be in there */
	(void)OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, NULL);
	cli_old_root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cli_old_cwd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cli_old_cwd < 0) /* it was removed meanwhile */
		cli_old_cwd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cli_old_root < 0 || cli_old_cwd < 0 || fchdir(fd) != 0 || chroot(".") != 0 || setegid(st.st_gid) != 0 || seteuid(st.st_uid) != 0) {
		cli_fail("%s/%s: cannot work there with the rights of its owner: %s", home, name, strerror(errno));
		close(fd);
		cli_leave();
		return NULL;
	}
	close(fd);
	return mem_str("/");
}

static void cli_open_failed(enum rc rc, const struct cli *cli, const char *name, const struct err *err)
{
	if (rc == RC_NONE)
		cli_fail("%s/%s: %s; make the databases with: mailroom init --home %s", cli->home, name, err->words, cli->home);
	else
		cli_fail("%s/%s: %s", cli->home, name, err->words);
	cli_leave();
}

struct store *cli_store_open(const struct cli *cli, unsigned flags)
{
	char *dir = cli_enter(cli->home, "store");
	struct store *s = NULL;
	struct err err = {{0}};
	enum rc rc;

	if (!dir)
		return NULL;
	rc = store_open(dir, flags, &s, &err);
	if (rc != RC_OK)
		cli_open_failed(rc, cli, "store", &err);
	free(dir);
	return s;
}

struct store *cli_store_open_domain(struct cli *cli, unsigned flags, struct span *domain_out)
{
	*domain_out = SPAN_NONE;
	if (cli->arg_count && !cli_domain_name(cli, cli->args[0], domain_out))
		return NULL;
	return cli_store_open(cli, flags);
}

struct store *cli_store_open_address(struct cli *cli, unsigned flags, struct span *address_out)
{
	return cli_address(cli, cli->args[0], address_out) ? cli_store_open(cli, flags) : NULL;
}

void cli_store_close(struct store **s)
{
	if (!*s)
		return;
	store_close(s);
	cli_leave();
}

struct cred *cli_cred_open(const struct cli *cli, bool create)
{
	char *dir = cli_enter(cli->home, "auth");
	struct cred *c = NULL;
	struct err err = {{0}};
	enum rc rc;

	if (!dir)
		return NULL;
	rc = cred_open(dir, create, &c, &err);
	if (rc != RC_OK)
		cli_open_failed(rc, cli, "auth", &err);
	free(dir);
	return c;
}

void cli_cred_close(struct cred **c)
{
	if (!*c)
		return;
	cred_close(c);
	cli_leave();
}

bool cli_history_open(const struct cli *cli, struct history **out)
{
	char *dir = cli_enter(cli->home, "store");
	struct err err = {{0}};
	enum rc rc;

	*out = NULL;
	if (!dir)
		return false;
	rc = history_open(dir, HISTORY_READ_ONLY, out, &err);
	if (rc == RC_NONE)
		cli_leave();
	else if (rc != RC_OK)
		cli_open_failed(rc, cli, "store", &err);
	free(dir);
	return rc == RC_OK || rc == RC_NONE;
}

void cli_history_close(struct history **h)
{
	if (!*h)
		return;
	history_close(h);
	cli_leave();
}

int cli_store_failed(enum rc rc, const struct err *err, const char *doing)
{
	const char *next = "";

	if (rc == RC_BUSY && !strstr(err->words, "account") && !strstr(err->words, "alias"))
		next = "; try again in a moment";
	else if (rc == RC_FULL)
		next = "; make room on the disk, nothing was changed";
	return cli_fail("%s: %s%s", doing, err->words, next);
}

int cli_domain_status(enum rc rc, struct span domain, const struct err *err, const char *doing)
{
	if (rc == RC_NONE)
		return cli_fail("domain %.*s is not hosted here; mailroom domain list shows those that are", SPAN_FMT(domain));
	return rc == RC_OK ? CLI_OK : cli_store_failed(rc, err, doing);
}

int cli_account_status(enum rc rc, struct span address, const struct err *err, const char *doing)
{
	if (rc == RC_NONE)
		return cli_no_account(address);
	return rc == RC_OK ? CLI_OK : cli_store_failed(rc, err, doing);
}

int cli_no_account(struct span address)
{
	return cli_fail("there is no account %.*s; mailroom account list shows all", SPAN_FMT(address));
}

int cli_no_domain_for(struct span address)
{
	struct span domain = address;

	while (span_find(domain, '@') < domain.len)
		domain = span_from(domain, span_find(domain, '@') + 1);
	return cli_fail("domain %.*s is not hosted here; add it with: mailroom domain add %.*s", SPAN_FMT(domain), SPAN_FMT(domain));
}
