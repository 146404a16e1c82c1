/* cli_queue - what the commands about the outgoing queue share: which rows are meant, and in words why a row waits */
#ifndef MAILROOM_CLI_CLI_QUEUE_H
#define MAILROOM_CLI_CLI_QUEUE_H

#include "cli/cli.h"
#include "store/store_queue.h"

/* "greylisted: 451 4.7.1 "come back later"", "not tried yet", "held by an administrator" */
void cli_queue_reason(struct buf *out, const struct store_queue_listed *l);
/* when it is tried next; 0: not by itself */
int64_t cli_queue_next(const struct store_queue_listed *l);
/* from the options and, where the command takes one, the queue id in its first word; false: said */
bool cli_queue_filter(const struct cli *cli, struct store_queue_filter *out);

#endif
