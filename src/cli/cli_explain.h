/* cli_explain - the command that says in plain words what a refusal means, and what each side does next. */
#ifndef MAILROOM_CLI_CLI_EXPLAIN_H
#define MAILROOM_CLI_CLI_EXPLAIN_H

/* argv[0] is "explain"; the text stands in the arguments, or on standard input. 0 a cause was found, 1 none, 2 wrong usage. */
int cli_explain(int argc, char **argv);

#endif
