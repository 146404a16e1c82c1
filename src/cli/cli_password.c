#include "cli/cli_password.h"

#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/rng.h"

enum { CLI_PASSWORD_SHORT = 8, CLI_PASSWORD_MAX = CRYPT_MAX_PASSPHRASE_SIZE - 1 /* crypt(3) takes no more */ };

/* the terminal whose echo is off, for the signal handler */
static int cli_terminal = -1;
static struct termios cli_terminal_old;

static void cli_terminal_restore(int sig)
{
	(void)tcsetattr(cli_terminal, TCSAFLUSH, &cli_terminal_old);
	if (sig) {
		(void)signal(sig, SIG_DFL);
		(void)raise(sig);
	}
}

/* one line without its end; false: end of file before anything, or too long */
static bool cli_read_line(int fd, struct buf *out)
{
	uint8_t c;
	ssize_t n;

	while ((n = read(fd, &c, 1)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		if (c == '\n')
			break;
		buf_add_byte(out, c);
	}
	if (out->len && out->ptr[out->len - 1] == '\r')
		out->len--;
	return !out->overflow && (n > 0 || out->len);
}

static bool cli_ask(const char *prompt, const char *whose, struct buf *out)
{
	bool ok;

	dprintf(cli_terminal, "%s for %s: ", prompt, whose);
	ok = cli_read_line(cli_terminal, out);
	(void)!write(cli_terminal, "\n", 1);
	return ok;
}

static int cli_ask_twice(const char *whose, struct buf *out)
{
	static const int deadly[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	struct termios quiet;
	struct buf again;
	int status = CLI_OK;

	cli_terminal = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (cli_terminal < 0 || tcgetattr(cli_terminal, &cli_terminal_old) != 0) {
		if (cli_terminal >= 0)
			close(cli_terminal);
		cli_note("there is no terminal to ask for the password; use --password-stdin or --generate");
		return CLI_USAGE;
	}
	for (size_t i = 0; i < 4; i++)
		(void)signal(deadly[i], cli_terminal_restore);
	quiet = cli_terminal_old;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	(void)tcsetattr(cli_terminal, TCSAFLUSH, &quiet);
	buf_init(&again, LIMIT_PASSWORD_BYTES);
	if (!cli_ask("New password", whose, out) || !cli_ask("The same again", whose, &again))
		status = cli_fail("no password was given; nothing was changed");
	else if (!span_eq(buf_span(out), buf_span(&again)))
		status = cli_fail("the two are not the same; nothing was changed");
	cli_terminal_restore(0);
	for (size_t i = 0; i < 4; i++)
		(void)signal(deadly[i], SIG_DFL);
	close(cli_terminal);
	cli_password_clear(&again);
	return status;
}

void cli_password_make(struct buf *out)
{
	static const char alphabet[] = "abcdefghijkmnpqrstuvwxyz23456789"; /* 32, without l and o, 0 and 1 */
	uint8_t chance[20];

	rng_fill(chance, sizeof(chance));
	for (size_t i = 0; i < sizeof(chance); i++) {
		if (i && i % 5 == 0)
			buf_add_byte(out, '-');
		buf_add_byte(out, (uint8_t)alphabet[chance[i] & 31]);
	}
	explicit_bzero(chance, sizeof(chance));
}

int cli_password_check(struct span password)
{
	if (password.len == 0)
		return cli_fail("the password is empty; nothing was changed");
	if (password.len > CLI_PASSWORD_MAX)
		return cli_fail("the password is longer than %d bytes; nothing was changed", CLI_PASSWORD_MAX);
	if (!span_is_utf8(password))
		return cli_fail("the password is not UTF-8 text; nothing was changed");
	/* SASLprep forbids them (RFC 4013 2.3), and some mail program would lose them */
	for (size_t i = 0; i < password.len; i++)
		if (password.ptr[i] < 0x20 || password.ptr[i] == 0x7f)
			return cli_fail("the password has a control character in it; nothing was changed");
	if (password.len < CLI_PASSWORD_SHORT)
		cli_note("note: a password of %zu characters is soon guessed; --generate makes a good one", password.len);
	return CLI_OK;
}

int cli_password_get(const struct cli *cli, const char *whose, struct buf *out, bool *generated_out)
{
	int status;

	(void)buf_reserve(out, LIMIT_PASSWORD_BYTES); /* so that it never moves and leaves a copy behind */
	*generated_out = cli_get(cli, "generate") != NULL;
	if (*generated_out && cli_get(cli, "password-stdin"))
		return cli_usage(cli, "--generate and --password-stdin: one of them");
	if (*generated_out) {
		cli_password_make(out);
		return CLI_OK;
	}
	if (cli_get(cli, "password-stdin")) {
		if (!cli_read_line(STDIN_FILENO, out) && out->overflow)
			return cli_fail("the password is longer than %d bytes; nothing was changed", CLI_PASSWORD_MAX);
	} else {
		status = cli_ask_twice(whose, out);
		if (status != CLI_OK)
			return status;
	}
	return cli_password_check(buf_span(out));
}

void cli_password_clear(struct buf *password)
{
	if (password->ptr)
		explicit_bzero(password->ptr, password->size);
	buf_clear(password);
}
