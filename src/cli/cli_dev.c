#include "cli/cli_dev.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "cli/cli_account.h"
#include "cli/cli_home.h"
#include "cli/cli_password.h"

enum { CLI_DEV_FILE_BYTES = 64 << 10 };
static const char *const cli_dev_people[] = {"alice@" CLI_DEV_DOMAIN, "bob@" CLI_DEV_DOMAIN};

/* "ADDRESS PASSWORD" lines */
static enum rc cli_dev_read(const char *home, struct buf *text, struct err *err)
{
	char *path = mem_printf("%s/dev-passwords", home);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	uint8_t *to;
	ssize_t n = 0;
	enum rc rc = RC_OK;

	if (fd < 0 && errno != ENOENT)
		rc = err_errno(err, RC_IO, "%s", path);
	while (fd >= 0 && (to = buf_reserve(text, 512)) != NULL && (n = read(fd, to, 512)) > 0)
		text->len += (size_t)n;
	if (n < 0)
		rc = err_errno(err, RC_IO, "%s", path);
	if (fd >= 0)
		close(fd);
	free(path);
	return rc;
}

static struct span cli_dev_find(struct span text, const char *address)
{
	while (text.ptr) {
		struct span line = span_cut(&text, '\n'), name = span_cut(&line, ' ');

		if (span_eq(name, span_str(address)) && line.len)
			return line;
	}
	return SPAN_NONE;
}

/* the account with this password, made where it is missing */
static int cli_dev_ensure(struct cli *cli, const char *address, struct span password, bool fresh)
{
	struct store_account a;
	enum rc rc = cli_account_find(cli, span_str(address), &a);

	if (rc == RC_NONE)
		return cli_account_make(cli, span_str(address), password, 0);
	if (rc != RC_OK)
		return CLI_FAILED;
	/* it was there, but its password is not known here */
	return fresh ? cli_account_set_password(cli, span_str(address), password) : CLI_OK;
}

int cli_dev_accounts(struct cli *cli)
{
	struct buf text, made;
	struct span password;
	struct err err = {{0}};
	enum rc rc;
	int status = CLI_OK;

	buf_init(&text, CLI_DEV_FILE_BYTES);
	rc = cli_dev_read(cli->home, &text, &err);
	for (size_t i = 0; i < 2 && rc == RC_OK && status == CLI_OK; i++) {
		bool fresh = cli_dev_find(buf_span(&text), cli_dev_people[i]).len == 0;

		if (fresh) {
			buf_init(&made, LIMIT_PASSWORD_BYTES);
			cli_password_make(&made);
			buf_printf(&text, "%s ", cli_dev_people[i]);
			buf_add(&text, buf_span(&made));
			buf_add_byte(&text, '\n');
			cli_password_clear(&made);
			/* noted before it is used: a password that is lost helps nobody */
			rc = cli_home_file(cli->home, "dev-passwords", buf_span(&text), 0600, geteuid(), true, &err);
		}
		password = cli_dev_find(buf_span(&text), cli_dev_people[i]);
		if (rc == RC_OK)
			status = cli_dev_ensure(cli, cli_dev_people[i], password, fresh);
		if (rc == RC_OK && status == CLI_OK)
			printf("%s  password %.*s\n", cli_dev_people[i], SPAN_FMT(password));
	}
	buf_clear(&text);
	return rc == RC_OK ? status : cli_fail("init --dev: %s", err.words);
}
