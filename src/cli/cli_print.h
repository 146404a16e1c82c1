/* cli_print - listings: rows gathered as text cells, printed as an aligned table or as a JSON array of objects. What comes from outside is made safe
 * for a terminal in the table; JSON carries it as it is. */
#ifndef MAILROOM_CLI_CLI_PRINT_H
#define MAILROOM_CLI_CLI_PRINT_H

#include <jansson.h>

#include "base/buf.h"
#include "base/clock.h"

enum cli_kind { CLI_TEXT, CLI_ADDRESS /* cli_write_address */, CLI_NUMBER, CLI_BYTES, CLI_TIME_MS, CLI_YES, CLI_HIDDEN /* JSON only, text */ };

struct cli_column {
	const char *title; /* in the table */
	const char *key;   /* in JSON */
	enum cli_kind kind;
};

struct cli_cell {
	struct span text; /* TEXT, ADDRESS, HIDDEN; empty: "-" in the table */
	int64_t number;   /* the others; BYTES: 0 is "-" where `none` is set, TIME: 0 is "-" and null */
	bool none;
};

struct cli_list;
struct cli_list *cli_list_new(const struct cli_column *columns, size_t count, bool json);
/* one row, as many cells as columns; copied. Of a long list what came first is printed meanwhile. */
void cli_list_add(struct cli_list *l, const struct cli_cell *cells);
/* prints (the rest) on standard output; empty: nothing as text (`nothing` goes to standard error when that is a terminal), [] as JSON. Frees the list. */
void cli_list_print(struct cli_list **l, const char *nothing);
void cli_list_free(struct cli_list **l);
/* on standard output; takes the reference */
void cli_print_json(json_t *value);

/* a JSON string of any bytes: as they are where they are UTF-8, else made safe */
json_t *cli_json_text(struct span text);
/* a mail address made safe for a terminal, whatever letters that one has: a domain beyond ASCII by its A-labels; at most max bytes of it */
void cli_write_address(struct buf *out, struct span address, size_t max);
void cli_write_bytes(struct buf *out, uint64_t bytes); /* "12.3 MB" */
void cli_write_time(struct buf *out, int64_t wall_ms);  /* "2024-05-01 12:00:00Z" */

#endif
