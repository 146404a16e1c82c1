#include "cli/cli_print.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "mail/address.h"

enum { CLI_CELL_SHOWN = 200, CLI_LIST_ROWS = 1000 /* that are kept to find how wide columns are; a longer list is printed so many at a time */ };

struct cli_list {
	const struct cli_column *columns;
	size_t count, rows, size;
	bool json, begun;   /* begun: something was printed */
	json_t *array;      /* JSON */
	char **cells;       /* table: rows * count texts */
	size_t *widths;
};

struct cli_list *cli_list_new(const struct cli_column *columns, size_t count, bool json)
{
	struct cli_list *l = mem_zalloc(sizeof(*l));

	l->columns = columns;
	l->count = count;
	l->json = json;
	l->widths = mem_array(count, sizeof(*l->widths));
	for (size_t i = 0; i < count; i++)
		l->widths[i] = columns[i].kind == CLI_HIDDEN ? 0 : strlen(columns[i].title);
	if (json)
		l->array = json_array();
	return l;
}

void cli_list_free(struct cli_list **list)
{
	struct cli_list *l = *list;

	if (!l)
		return;
	for (size_t i = 0; l->cells && i < l->rows * l->count; i++)
		free(l->cells[i]);
	free(l->cells);
	free(l->widths);
	json_decref(l->array);
	free(l);
	*list = NULL;
}

json_t *cli_json_text(struct span text)
{
	json_t *j = json_stringn((const char *)text.ptr, text.len);
	struct buf safe;

	if (j)
		return j;
	buf_init(&safe, 4 * text.len + 16);
	buf_add_safe(&safe, text, text.len);
	j = json_string(buf_cstr(&safe));
	buf_clear(&safe);
	return j;
}

void cli_write_address(struct buf *out, struct span address, size_t max)
{
	uint8_t room[LIMIT_DOMAIN_BYTES];
	size_t at = address.len;

	while (at > 0 && address.ptr[at - 1] != '@')
		at--;
	if (at == 0 || at >= max || span_is_ascii(span_from(address, at))) {
		buf_add_safe(out, address, max);
		return;
	}
	buf_add_safe(out, span_head(address, at), max);
	buf_add_safe(out, address_domain_key(span_from(address, at), room), max - at);
}

void cli_write_bytes(struct buf *out, uint64_t bytes)
{
	static const char *const units[] = {"B", "KB", "MB", "GB", "TB", "PB"};
	uint64_t scaled = bytes;
	unsigned unit = 0;

	while (scaled >= 1024 && unit < 5) {
		scaled /= 1024;
		unit++;
	}
	if (unit == 0)
		buf_printf(out, "%" PRIu64 " B", bytes);
	else if (scaled >= 100)
		buf_printf(out, "%" PRIu64 " %s", scaled, units[unit]);
	else
		buf_printf(out, "%.1f %s", (double)bytes / (double)(1ULL << (10 * unit)), units[unit]);
}

void cli_write_time(struct buf *out, int64_t wall_ms)
{
	time_t t = (time_t)(wall_ms / 1000);
	struct tm tm;
	char text[40];

	if (gmtime_r(&t, &tm) && strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%SZ", &tm) > 0)
		buf_add_str(out, text);
	else
		buf_add_str(out, "?");
}

static json_t *cli_cell_json(const struct cli_column *c, const struct cli_cell *cell)
{
	struct buf time;
	json_t *j;

	switch (c->kind) {
	case CLI_TEXT: case CLI_ADDRESS: case CLI_HIDDEN:
		return cli_json_text(cell->text);
	case CLI_NUMBER: case CLI_BYTES:
		return json_integer(cell->number);
	case CLI_YES:
		return json_boolean(cell->number != 0);
	case CLI_TIME_MS:
		if (!cell->number)
			return json_null();
		buf_init(&time, 64);
		cli_write_time(&time, cell->number);
		j = json_string(buf_cstr(&time));
		buf_clear(&time);
		return j;
	}
	return json_null();
}

static char *cli_cell_text(const struct cli_column *c, const struct cli_cell *cell)
{
	struct buf text;
	char *copy;

	buf_init(&text, 4096);
	if (c->kind == CLI_TEXT && cell->text.len)
		buf_add_safe(&text, cell->text, CLI_CELL_SHOWN);
	else if (c->kind == CLI_ADDRESS && cell->text.len)
		cli_write_address(&text, cell->text, CLI_CELL_SHOWN);
	else if (c->kind == CLI_NUMBER)
		buf_printf(&text, "%" PRId64, cell->number);
	else if (c->kind == CLI_BYTES && !(cell->none && cell->number == 0))
		cli_write_bytes(&text, (uint64_t)cell->number);
	else if (c->kind == CLI_TIME_MS && cell->number)
		cli_write_time(&text, cell->number);
	else if (c->kind == CLI_YES)
		buf_add_str(&text, cell->number ? "yes" : "no");
	else if (c->kind != CLI_HIDDEN)
		buf_add_byte(&text, '-');
	copy = mem_str_span(buf_span(&text));
	buf_clear(&text);
	return copy;
}

static void cli_list_flush(struct cli_list *l);

void cli_list_add(struct cli_list *l, const struct cli_cell *cells)
{
	json_t *row;

	if (l->rows == CLI_LIST_ROWS)
		cli_list_flush(l);
	l->rows++;
	if (l->json) {
		row = json_object();
		for (size_t i = 0; i < l->count; i++)
			json_object_set_new(row, l->columns[i].key, cli_cell_json(&l->columns[i], &cells[i]));
		json_array_append_new(l->array, row);
		return;
	}
	if (l->rows > l->size) {
		l->size = l->size ? 2 * l->size : 64;
		l->cells = mem_realloc(l->cells, l->size * l->count * sizeof(*l->cells));
	}
	for (size_t i = 0; i < l->count; i++) {
		char *text = cli_cell_text(&l->columns[i], &cells[i]);
		size_t width = strlen(text);

		l->cells[(l->rows - 1) * l->count + i] = text;
		if (width > l->widths[i])
			l->widths[i] = width;
	}
}

/* numbers stand right, the last column is not padded */
static void cli_print_row(const struct cli_list *l, char *const *cells)
{
	size_t last = l->count;
	bool first = true;

	while (last > 0 && l->columns[last - 1].kind == CLI_HIDDEN)
		last--;
	for (size_t i = 0; i < last; i++) {
		const char *text = cells ? cells[i] : l->columns[i].title;
		bool right = l->columns[i].kind == CLI_NUMBER || l->columns[i].kind == CLI_BYTES;

		if (l->columns[i].kind == CLI_HIDDEN)
			continue;
		if (right)
			printf("%s%*s", first ? "" : "  ", (int)l->widths[i], text);
		else
			printf("%s%-*s", first ? "" : "  ", i + 1 == last ? 0 : (int)l->widths[i], text);
		first = false;
	}
	putchar('\n');
}

void cli_print_json(json_t *value)
{
	(void)json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
	putchar('\n');
	json_decref(value);
}

/* the rows that are there; of a JSON array all but the brackets around it */
static void cli_list_flush_json(struct cli_list *l)
{
	char *text = json_dumps(l->array, JSON_INDENT(2) | JSON_ENSURE_ASCII);
	struct span inner = text ? span_str(text) : SPAN_NONE;

	if (inner.len > 3) { /* "[", "\n]" */
		(void)fputs(l->begun ? "," : "[", stdout);
		(void)fwrite(inner.ptr + 1, 1, inner.len - 3, stdout);
	}
	free(text);
	json_array_clear(l->array);
}

static void cli_list_flush(struct cli_list *l)
{
	if (l->json) {
		cli_list_flush_json(l);
	} else {
		if (!l->begun)
			cli_print_row(l, NULL);
		for (size_t r = 0; r < l->rows; r++)
			cli_print_row(l, l->cells + r * l->count);
		for (size_t i = 0; i < l->rows * l->count; i++)
			free(l->cells[i]);
	}
	l->begun = true;
	l->rows = 0;
}

void cli_list_print(struct cli_list **list, const char *nothing)
{
	struct cli_list *l = *list;

	if (l->rows)
		cli_list_flush(l);
	if (l->json)
		(void)puts(l->begun ? "\n]" : "[]");
	else if (!l->begun && isatty(STDERR_FILENO))
		fprintf(stderr, "%s\n", nothing);
	cli_list_free(list);
}
