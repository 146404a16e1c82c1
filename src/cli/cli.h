/* cli - the command line: a table of commands, one parser for their words and options, help made from the table. Commands print what they have to say
 * on standard output, complaints go to standard error with the next step in them. */
#ifndef MAILROOM_CLI_CLI_H
#define MAILROOM_CLI_CLI_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 }; /* exit status */

struct cli;

struct cli_option {
	const char *name; /* without dashes */
	const char *arg;  /* what it takes, as in help; NULL: nothing */
	const char *help;
	bool many;        /* may be given several times */
};

struct cli_command {
	const char *name;              /* "account add" */
	const char *args;              /* "ADDRESS"; "" for none */
	int least, most;               /* how many of them */
	const struct cli_option *options; /* ends with name NULL; NULL: only --home */
	bool json;                     /* knows --json */
	int (*run)(struct cli *cli);
	int (*raw)(int argc, char **argv); /* instead of run: parses for itself */
	const char *summary;           /* one line */
	const char *help;              /* more, or "" */
};

extern const struct cli_command cli_commands[]; /* ends with name NULL; a NULL summary hides one from help */

struct cli_given {
	const struct cli_option *option;
	const char *value; /* NULL where it takes none */
};

struct cli {
	const struct cli_command *command;
	const char *home;   /* absolute */
	bool json;
	char **args;        /* words that are no options */
	int arg_count;
	struct cli_given *given;
	size_t given_count;
	struct arena mem;   /* lives as long as the command */
};

/* main() without the process: finds the command in `commands`, parses, runs; returns the exit status */
int cli_run(const struct cli_command *commands, int argc, char **argv);

/* value of an option, or NULL; "" for one that takes nothing and was given */
const char *cli_get(const struct cli *cli, const char *option);

/* "mailroom: words" on standard error; returns CLI_FAILED, so that a place can say: return cli_fail("..."); */
int cli_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* the same with how the command is used; returns CLI_USAGE */
int cli_usage(const struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* a remark that is no failure */
void cli_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* an address from the command line in its canonical form (in cli->mem); false: said on standard error */
bool cli_address(struct cli *cli, const char *text, struct span *out);
bool cli_domain_name(struct cli *cli, const char *text, struct span *out);
/* "on" or "off"; false: said, with how the command is used */
bool cli_on_off(const struct cli *cli, const char *text, bool *out);

#endif
