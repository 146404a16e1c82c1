/* cli_explain_print - writes what libmailroom-answer found, for people and as JSON. Only for cli_explain. */
#ifndef MAILROOM_CLI_CLI_EXPLAIN_PRINT_H
#define MAILROOM_CLI_CLI_EXPLAIN_PRINT_H

#include <mailroom/answer.h>
#include <stdbool.h>

void explain_print(const struct mailroom_answer *a, bool why);
/* line: its number in a batch, on one line; 0: alone, indented */
void explain_print_json(const struct mailroom_answer *a, unsigned long line);
void explain_print_log(const struct mailroom_answer_log *log, bool why);
void explain_print_log_json(const struct mailroom_answer_log *log);
/* false: there is no such; all names are said on standard error */
bool explain_print_program(const char *name);

#endif
