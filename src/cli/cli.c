#include "cli/cli.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "conf/conf_setting.h"
#include "mail/address.h"

#define CLI_HOME "/var/lib/mailroom"
enum { CLI_MEMORY_BYTES = 64 << 20, CLI_ARGS = 4096, CLI_COMMANDS = 128, CLI_SAID_BYTES = 8192 };

static const struct cli_option cli_everywhere[] = {
	{"home", "DIR", "the directory of this mail system (default: $MAILROOM_HOME, else " CLI_HOME ")", false},
	{"help", NULL, "this text", false},
	{NULL, NULL, NULL, false},
};
static const struct cli_option cli_json_option = {"json", NULL, "print JSON instead of text", false};

/* ---- saying */

/* What was typed is repeated in many of these, and scripts pass on what strangers wrote: no control byte of it reaches the terminal. */
static void cli_say(const char *fmt, va_list ap)
{
	char text[CLI_SAID_BYTES];
	uint8_t before = 0;

	fflush(stdout);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	fputs("mailroom: ", stderr);
	for (const char *p = text; *p; p++) {
		uint8_t c = (uint8_t)*p;
		bool control = (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f || (before == 0xc2 && c >= 0x80 && c < 0xa0);

		if (control)
			fprintf(stderr, "\\x%02x", c);
		else
			fputc(c, stderr);
		before = c;
	}
	fputc('\n', stderr);
}

int cli_fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	cli_say(fmt, ap);
	va_end(ap);
	return CLI_FAILED;
}

void cli_note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	cli_say(fmt, ap);
	va_end(ap);
}

static void cli_print_option(FILE *to, const struct cli_option *o)
{
	char left[64];

	(void)snprintf(left, sizeof(left), "--%s%s%s", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
	fprintf(to, "  %-22s %s%s\n", left, o->help, o->many ? " (may be given several times)" : "");
}

static void cli_print_usage(FILE *to, const struct cli_command *c)
{
	fprintf(to, "usage: mailroom %s%s%s%s\n", c->name, c->options || c->json ? " [options]" : "", c->args[0] ? " " : "", c->args);
}

int cli_usage(const struct cli *cli, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	cli_say(fmt, ap);
	va_end(ap);
	cli_print_usage(stderr, cli->command);
	fprintf(stderr, "mailroom help %s says more\n", cli->command->name);
	return CLI_USAGE;
}

/* ---- help */

static void cli_help_command(const struct cli_command *c)
{
	cli_print_usage(stdout, c);
	printf("\n%s\n", c->summary);
	if (c->help[0])
		printf("%s\n", c->help);
	if (c->raw)
		return;
	puts("\noptions:");
	for (const struct cli_option *o = c->options; o && o->name; o++)
		cli_print_option(stdout, o);
	if (c->json)
		cli_print_option(stdout, &cli_json_option);
	for (const struct cli_option *o = cli_everywhere; o->name; o++)
		cli_print_option(stdout, o);
}

static void cli_help_all(const struct cli_command *commands, FILE *to)
{
	fputs("mailroom - a mail system that tells you why\n\nusage: mailroom COMMAND [options] [arguments]\n\n", to);
	for (const struct cli_command *c = commands; c->name; c++)
		if (c->summary)
			fprintf(to, "  %-28s %s\n", c->name, c->summary);
	fputs("\n`mailroom help COMMAND` says more about one. Exit status: 0 done, 1 refused or failed, 2 not understood.\n", to);
}

/* ---- finding the command */

/* how many words of argv name the command; 0: not this one */
static int cli_match(const struct cli_command *c, int argc, char **argv)
{
	struct span rest = span_str(c->name);
	int n = 0;

	while (rest.ptr) {
		struct span word = span_cut(&rest, ' ');

		if (n >= argc || !span_eq(word, span_str(argv[n])))
			return 0;
		n++;
	}
	return n;
}

static const struct cli_command *cli_find(const struct cli_command *commands, int argc, char **argv, int *words_out)
{
	for (const struct cli_command *c = commands; c->name; c++) {
		*words_out = cli_match(c, argc, argv);
		if (*words_out)
			return c;
	}
	return NULL;
}

/* commands that begin with this word, as a list (NULL: not printed); false: none */
static bool cli_list_beginning(const struct cli_command *commands, const char *word, FILE *to)
{
	size_t len = strlen(word);
	bool any = false;

	for (const struct cli_command *c = commands; c->name; c++)
		if (c->summary && strncmp(c->name, word, len) == 0 && c->name[len] == ' ') {
			if (to)
				fprintf(to, "  mailroom %s %s\n      %s\n", c->name, c->args, c->summary);
			any = true;
		}
	return any;
}

/* the command that these words are most like */
static const char *cli_nearest(const struct cli_command *commands, const char *words)
{
	const char *names[CLI_COMMANDS];
	size_t count = 0;

	for (const struct cli_command *c = commands; c->name && count < CLI_COMMANDS; c++)
		if (c->summary)
			names[count++] = c->name;
	return conf_nearest(words, names, count);
}

static int cli_unknown(const struct cli_command *commands, int argc, char **argv)
{
	const char *first, *both;
	struct buf shown;

	buf_init(&shown, 512);
	buf_add_safe(&shown, span_str(argv[0]), 40);
	first = cli_nearest(commands, buf_cstr(&shown));
	if (argc > 1) {
		buf_add_byte(&shown, ' ');
		buf_add_safe(&shown, span_str(argv[1]), 40);
	}
	both = cli_nearest(commands, buf_cstr(&shown));
	if (cli_list_beginning(commands, argv[0], NULL))
		cli_note("%s: %s; there are", argv[0], argc > 1 ? "no such command" : "of what kind?");
	else if (first || both)
		cli_note("there is no command \"%s\"; did you mean: mailroom %s", buf_cstr(&shown), both ? both : first);
	else
		cli_note("there is no command \"%s\"; mailroom help lists those that there are", buf_cstr(&shown));
	(void)cli_list_beginning(commands, argv[0], stderr);
	buf_clear(&shown);
	return CLI_USAGE;
}

static int cli_help(const struct cli_command *commands, int argc, char **argv)
{
	const struct cli_command *c;
	int words;

	if (argc == 0) {
		cli_help_all(commands, stdout);
		return CLI_OK;
	}
	c = cli_find(commands, argc, argv, &words);
	if (c && c->summary) {
		cli_help_command(c);
		return CLI_OK;
	}
	return cli_list_beginning(commands, argv[0], stdout) ? CLI_OK : cli_unknown(commands, argc, argv);
}

/* ---- parsing */

static const struct cli_option *cli_option_in(const struct cli_option *list, struct span name)
{
	for (; list && list->name; list++)
		if (span_eq(name, span_str(list->name)))
			return list;
	return NULL;
}

static const struct cli_option *cli_option_find(const struct cli_command *c, struct span name)
{
	const struct cli_option *o = cli_option_in(cli_everywhere, name);

	if (!o && c->json && span_eq(name, span_str(cli_json_option.name)))
		o = &cli_json_option;
	return o ? o : cli_option_in(c->options, name);
}

/* one "--name", "--name=value" or "--name value"; *at moves to its last word */
static int cli_parse_option(struct cli *cli, int argc, char **argv, int *at)
{
	struct span value = span_str(argv[*at] + 2), name = span_cut(&value, '=');
	const struct cli_option *o = cli_option_find(cli->command, name);
	struct cli_given *g = &cli->given[cli->given_count];

	if (!o)
		return cli_usage(cli, "%s: no such option here", argv[*at]);
	*g = (struct cli_given){o, NULL};
	if (!o->arg && value.ptr)
		return cli_usage(cli, "--%s takes no value", o->name);
	if (o->arg && value.ptr)
		g->value = (const char *)value.ptr;
	else if (o->arg && *at + 1 < argc)
		g->value = argv[++*at];
	else if (o->arg)
		return cli_usage(cli, "--%s: %s is missing", o->name, o->arg);
	for (size_t i = 0; i < cli->given_count; i++)
		if (cli->given[i].option == o && !o->many)
			return cli_usage(cli, "--%s: once is enough", o->name);
	cli->given_count++;
	return CLI_OK;
}

static int cli_parse(struct cli *cli, int argc, char **argv)
{
	bool options = true;

	for (int i = 0; i < argc; i++) {
		int status = CLI_OK;

		if (options && strcmp(argv[i], "--") == 0)
			options = false;
		else if (options && strncmp(argv[i], "--", 2) == 0)
			status = cli_parse_option(cli, argc, argv, &i);
		else if (options && argv[i][0] == '-' && argv[i][1])
			status = cli_usage(cli, "%s: options begin with two dashes here", argv[i]);
		else
			cli->args[cli->arg_count++] = argv[i];
		if (status != CLI_OK)
			return status;
	}
	return CLI_OK;
}

const char *cli_get(const struct cli *cli, const char *option)
{
	for (size_t i = 0; i < cli->given_count; i++)
		if (strcmp(cli->given[i].option->name, option) == 0)
			return cli->given[i].value ? cli->given[i].value : "";
	return NULL;
}

/* absolute, without links where it is there already */
static const char *cli_home(struct cli *cli)
{
	const char *given = cli_get(cli, "home"), *env = getenv("MAILROOM_HOME");
	const char *name = given ? given : env && env[0] ? env : CLI_HOME;
	char *real = name[0] ? realpath(name, NULL) : NULL, *cwd = NULL, *home = NULL;

	if (real)
		home = arena_str(&cli->mem, span_str(real));
	else if (name[0] == '/')
		home = arena_str(&cli->mem, span_str(name));
	else if (name[0] && (cwd = getcwd(NULL, 0)) != NULL) {
		char *joined = mem_printf("%s/%s", cwd, name);

		home = arena_str(&cli->mem, span_str(joined));
		free(joined);
	}
	free(real);
	free(cwd);
	for (size_t len = home ? strlen(home) : 0; len > 1 && home[len - 1] == '/'; len--)
		home[len - 1] = '\0';
	return home;
}

/* a pipe whose other end was closed: whoever read (head, less) has seen enough, and wants no words about that */
static bool cli_reader_gone(void)
{
	struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};

	return poll(&out, 1, 0) == 1 && (out.revents & POLLERR) != 0;
}

static int cli_start(struct cli *cli, int argc, char **argv)
{
	const struct cli_command *c = cli->command;
	int status = cli_parse(cli, argc, argv);

	if (status != CLI_OK)
		return status;
	if (cli_get(cli, "help")) {
		cli_help_command(c);
		return CLI_OK;
	}
	cli->json = cli_get(cli, "json") != NULL;
	if (cli->arg_count < c->least)
		return cli_usage(cli, "%s: %s", c->name, cli->arg_count ? "something is missing" : c->args[0] == '[' ? "nothing is given" : "what it is about is missing");
	if (cli->arg_count > c->most)
		return cli_usage(cli, "%s: \"%s\" is one word too many", c->name, cli->args[c->most]);
	cli->home = cli_home(cli);
	if (!cli->home)
		return cli_usage(cli, "--home: the name of a directory would be right");
	status = c->run(cli);
	if (fflush(stdout) != 0 || ferror(stdout))
		return cli_reader_gone() ? CLI_FAILED : cli_fail("standard output: %s", strerror(errno));
	return status;
}

/* for a command that parses for itself: --home is taken out, as every command may be given it */
static int cli_start_raw(const struct cli_command *c, int argc, char **argv)
{
	int kept = 0;

	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--home") == 0 && i + 1 < argc)
			i++;
		else if (strncmp(argv[i], "--home=", 7) != 0)
			argv[kept++] = argv[i];
	}
	argv[kept] = NULL;
	return c->raw(kept, argv);
}

/* `mailroom --home DIR COMMAND` is the same as `mailroom COMMAND --home DIR`: leading options move behind the command */
static void cli_rotate(int argc, char **argv, char **out)
{
	int lead = 0, n = 0;

	while (lead < argc && strncmp(argv[lead], "--", 2) == 0 && argv[lead][2]) {
		bool value = strcmp(argv[lead], "--home") == 0 && lead + 1 < argc;

		lead += value ? 2 : 1;
	}
	for (int i = lead; i < argc; i++) {
		/* the command's words first, then the moved options: a "--" among the arguments must stay behind them */
		if (strncmp(argv[i], "-", 1) == 0)
			break;
		out[n++] = argv[i];
	}
	for (int i = 0; i < lead; i++)
		out[n + i] = argv[i];
	for (int i = n + lead; i < argc; i++)
		out[i] = argv[i];
	out[argc] = NULL;
}

static int cli_dispatch(const struct cli_command *commands, int argc, char **argv)
{
	struct cli cli = {0};
	int words, status;

	cli.command = cli_find(commands, argc, argv, &words);
	if (!cli.command)
		return cli_unknown(commands, argc, argv);
	if (cli.command->raw)
		return cli_start_raw(cli.command, argc - words + 1, argv + words - 1);
	arena_init(&cli.mem, CLI_MEMORY_BYTES);
	cli.args = mem_array((size_t)argc, sizeof(*cli.args));
	cli.given = mem_array((size_t)argc, sizeof(*cli.given));
	status = cli_start(&cli, argc - words, argv + words);
	free(cli.args);
	free(cli.given);
	arena_clear(&cli.mem);
	return status;
}

int cli_run(const struct cli_command *commands, int argc, char **argv)
{
	char **turned;
	int status;

	if (argc < 2) {
		cli_help_all(commands, stderr);
		return CLI_USAGE;
	}
	if (argc > CLI_ARGS)
		return cli_note("more than %d words are too many", CLI_ARGS), CLI_USAGE;
	turned = mem_array((size_t)argc + 1, sizeof(*turned));
	cli_rotate(argc - 1, argv + 1, turned);
	if (strcmp(turned[0], "help") == 0 || strcmp(turned[0], "--help") == 0)
		status = cli_help(commands, argc - 2, turned + 1);
	else if (strcmp(turned[0], "--version") == 0)
		status = cli_dispatch(commands, 1, (char *[]){(char[]){"version"}, NULL});
	else if (strncmp(turned[0], "--", 2) == 0)
		status = (cli_note("a command is missing; mailroom help lists them"), CLI_USAGE);
	else
		status = cli_dispatch(commands, argc - 1, turned);
	free(turned);
	return status;
}

/* ---- addresses and domains */

bool cli_address(struct cli *cli, const char *text, struct span *out)
{
	struct span bare = span_str(text);
	struct address a;
	enum address_fault fault;
	struct buf shown;

	if (bare.len > 1 && bare.ptr[0] == '<' && bare.ptr[bare.len - 1] == '>')
		bare = span_of(bare.ptr + 1, bare.len - 2);
	fault = address_parse(bare, ADDRESS_UTF8, &cli->mem, &a);
	buf_init(&shown, 2048);
	if (fault != ADDRESS_OK) {
		buf_add_safe(&shown, span_str(text), 300);
		cli_fail("\"%s\" is no mail address: %s; one such as alice@example.org would be right", buf_cstr(&shown), address_fault_name(fault));
		buf_clear(&shown);
		return false;
	}
	address_write(&shown, &a);
	*out = arena_copy(&cli->mem, buf_span(&shown));
	buf_clear(&shown);
	return true;
}

bool cli_on_off(const struct cli *cli, const char *text, bool *out)
{
	bool on = strcmp(text, "on") == 0;

	if (!on && strcmp(text, "off") != 0)
		return cli_usage(cli, "\"%s\" is neither on nor off", text), false;
	*out = on;
	return true;
}

bool cli_domain_name(struct cli *cli, const char *text, struct span *out)
{
	char *whole = mem_printf("postmaster@%s", text);
	struct address a;
	enum address_fault fault = address_parse(span_str(whole), ADDRESS_UTF8, &cli->mem, &a);
	struct buf shown;

	free(whole);
	if (fault == ADDRESS_OK && !a.literal) {
		*out = arena_copy(&cli->mem, a.domain);
		return true;
	}
	buf_init(&shown, 2048);
	buf_add_safe(&shown, span_str(text), 300);
	cli_fail("\"%s\" is no domain name; one such as example.org would be right", buf_cstr(&shown));
	buf_clear(&shown);
	return false;
}
