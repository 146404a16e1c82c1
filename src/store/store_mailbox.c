#include "store/store_internal.h"
#include "store/store_queue.h"

static enum rc store_mailbox_page(struct store *s, enum store_statement page, int64_t account, int64_t after, struct store_item *items, size_t max,
	size_t *count_out, struct err *err)
{
	struct sql_row row;
	size_t n = 0;
	enum rc rc;

	if (max == 0) {
		*count_out = 0;
		return RC_OK;
	}
	rc = sql_first(&s->sql, &row, page, SQL_ARGS(SQL_N(account), SQL_N(after), SQL_N(max)), err);
	for (; rc == RC_OK && n < max; rc = sql_next(&row, err)) {
		items[n].uid = sql_number(&row, 0, 1, STORE_MAX_MS);
		items[n].bytes = (uint64_t)sql_number(&row, 1, 0, STORE_MAX_MS);
		rc = sql_checked(&row, err);
		if (rc != RC_OK)
			break;
		n++;
	}
	sql_end(&row);
	if (rc != RC_OK && rc != RC_NONE)
		return rc;
	*count_out = n;
	return RC_OK;
}

enum rc store_mailbox_items(struct store *s, int64_t account, int64_t after, struct store_item *items, size_t max, size_t *count_out, struct err *err)
{
	return store_mailbox_page(s, STORE_SQL_ITEM_PAGE, account, after, items, max, count_out, err);
}

enum rc store_mailbox_validity(struct store *s, int64_t account, uint32_t *out, struct err *err)
{
	struct sql_row row;
	int64_t validity = 0;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_ACCOUNT_VALIDITY, SQL_ARGS(SQL_N(account)), err);

	if (rc == RC_OK) {
		validity = sql_number(&row, 0, 1, UINT32_MAX);
		rc = sql_checked(&row, err);
	}
	sql_end(&row);
	if (rc == RC_OK)
		*out = (uint32_t)validity;
	return rc;
}

void store_mail_top(struct buf *out, struct span sender, struct span account_address)
{
	buf_add_str(out, "Return-Path: <");
	buf_add(out, sender);
	buf_add_str(out, ">\r\nDelivered-To: ");
	buf_add(out, account_address);
	buf_add_str(out, "\r\n");
}

/* one message as it is read: top, head (trace and header block), body */
struct store_mail {
	int64_t message;
	uint64_t head_bytes, body_bytes;
	bool in_file;
	struct buf top;
};

static enum rc store_mail_find(struct store *s, int64_t account, int64_t uid, struct store_mail *mail, struct err *err)
{
	struct sql_row row;
	struct span sender, address, added;
	int64_t bytes;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_ITEM_READ, SQL_ARGS(SQL_N(account), SQL_N(uid)), err);

	if (rc != RC_OK)
		return rc;
	mail->message = sql_number(&row, 0, 1, STORE_MAX_MS);
	bytes = sql_number(&row, 1, 0, STORE_MAX_MS);
	sender = sql_text(&row, 2, STORE_ADDRESS_BYTES);
	address = sql_text(&row, 3, STORE_ADDRESS_BYTES);
	mail->head_bytes = (uint64_t)sql_number(&row, 4, 0, LIMIT_TRACE_BYTES + LIMIT_HEADER_BYTES);
	mail->body_bytes = (uint64_t)sql_number(&row, 5, 0, STORE_MAX_MS);
	mail->in_file = sql_number(&row, 6, 0, 1) == 1;
	added = sql_lines(&row, 7, STORE_ADDED_BYTES);
	rc = sql_checked(&row, err);
	if (rc == RC_OK) {
		store_mail_top(&mail->top, sender, address);
		buf_add(&mail->top, added);
	}
	sql_end(&row);
	if (rc == RC_OK && mail->top.len + mail->head_bytes + mail->body_bytes != (uint64_t)bytes)
		rc = err_set(err, RC_BAD, "%s: the size of a message does not fit its parts", s->sql.path);
	return rc;
}

/* the part of `from` that lies in [*offset, ...), at most *room bytes; moves both on */
static void store_mail_slice(struct span from, uint64_t *offset, size_t *room, struct buf *out)
{
	struct span part;

	if (*offset >= from.len) {
		*offset -= from.len;
		return;
	}
	part = span_head(span_from(from, (size_t)*offset), *room);
	buf_add(out, part);
	*room -= part.len;
	*offset = 0;
}

static enum rc store_mail_rows(struct store *s, const struct store_mail *mail, uint64_t *offset, size_t *room, struct buf *out, struct err *err)
{
	struct sql_row row;
	struct span head, body;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_CONTENT_READ, SQL_ARGS(SQL_N(mail->message)), err);

	if (rc != RC_OK)
		return rc;
	head = sql_bytes(&row, 0, LIMIT_TRACE_BYTES + LIMIT_HEADER_BYTES);
	row.bad |= head.len != mail->head_bytes;
	if (!row.bad)
		store_mail_slice(head, offset, room, out);
	if (!mail->in_file && *room > 0) {
		body = sql_bytes(&row, 1, LIMIT_BODY_ROW_BYTES);
		row.bad |= body.len != mail->body_bytes;
		if (!row.bad)
			store_mail_slice(body, offset, room, out);
	}
	rc = sql_checked(&row, err);
	sql_end(&row);
	return rc;
}

static enum rc store_mail_text(struct store *s, const struct store_mail *mail, uint64_t offset, size_t max, struct buf *out, bool *last_out, struct err *err)
{
	uint64_t all = mail->top.len + mail->head_bytes + mail->body_bytes, left = offset < all ? all - offset : 0, file_left;
	size_t room = left < max ? (size_t)left : max, before = out->len;
	enum rc rc = RC_OK;

	*last_out = room == left;
	if (room == 0)
		return RC_OK;
	if (!buf_reserve(out, room))
		return err_set(err, RC_LIMIT, "the caller's buffer is too small");
	store_mail_slice(buf_span(&mail->top), &offset, &room, out);
	if (room > 0 && (!mail->in_file || offset < mail->head_bytes))
		rc = store_mail_rows(s, mail, &offset, &room, out, err);
	else if (room > 0)
		offset -= mail->head_bytes;
	if (rc == RC_OK && room > 0 && mail->in_file) {
		file_left = mail->body_bytes - offset;
		rc = store_body_read(s, mail->message, offset, room < file_left ? room : (size_t)file_left, out, err);
	}
	if (rc != RC_OK)
		out->len = before;
	return rc;
}

enum rc store_mail_read(struct store *s, int64_t account, int64_t uid, uint64_t offset, size_t max, struct buf *out, bool *last_out, struct err *err)
{
	struct store_mail mail = {0};
	enum rc rc;

	buf_init(&mail.top, 4 * STORE_ADDRESS_BYTES + STORE_ADDED_BYTES);
	rc = store_mail_find(s, account, uid, &mail, err);
	if (rc == RC_OK)
		rc = store_mail_text(s, &mail, offset, max, out, last_out, err);
	buf_clear(&mail.top);
	return rc;
}

/* ---- a message as it leaves: without what is put on top for its reader */

static enum rc store_message_find(struct store *s, int64_t message, struct store_mail *mail, struct err *err)
{
	struct sql_row row;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_MESSAGE_OUT, SQL_ARGS(SQL_N(message)), err);

	if (rc != RC_OK)
		return rc;
	mail->message = message;
	mail->head_bytes = (uint64_t)sql_number(&row, 6, 0, LIMIT_TRACE_BYTES + LIMIT_HEADER_BYTES);
	mail->body_bytes = (uint64_t)sql_number(&row, 7, 0, STORE_MAX_MS);
	mail->in_file = sql_number(&row, 8, 0, 1) == 1;
	rc = sql_checked(&row, err);
	sql_end(&row);
	return rc;
}

enum rc store_message_read(struct store *s, int64_t message, uint64_t offset, size_t max, struct buf *out, bool *last_out, struct err *err)
{
	struct store_mail mail = {0};
	enum rc rc = store_message_find(s, message, &mail, err);

	return rc == RC_OK ? store_mail_text(s, &mail, offset, max, out, last_out, err) : rc;
}

/* ---- removing */

static enum rc store_mail_take(struct store *s, int64_t account, int64_t uid, int64_t *bytes, int64_t *count, struct err *err)
{
	struct sql_row row;
	int64_t message, size;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_ITEM_TAKE, SQL_ARGS(SQL_N(account), SQL_N(uid)), err);

	if (rc != RC_OK)
		return rc == RC_NONE ? RC_OK : rc;
	message = sql_number(&row, 0, 1, STORE_MAX_MS);
	size = sql_number(&row, 1, 0, STORE_MAX_MS);
	rc = sql_checked(&row, err);
	if (rc == RC_OK)
		rc = sql_next(&row, err); /* to the end: the deletion is complete only then */
	sql_end(&row);
	if (rc != RC_NONE)
		return rc;
	*bytes += size;
	*count += 1;
	return sql_run(&s->sql, STORE_SQL_MESSAGE_RELEASE, SQL_ARGS(SQL_N(message)), err);
}

/* Only the rows of the mailbox go here; the text of messages that nobody holds any more is freed by store_tidy. */
enum rc store_mail_remove(struct store *s, int64_t account, const int64_t *uids, size_t count, struct err *err)
{
	int64_t bytes = 0, taken = 0;
	bool own;
	enum rc rc = store_write_begin(s, &own, err);

	if (rc != RC_OK)
		return rc;
	for (size_t i = 0; i < count && rc == RC_OK; i++)
		rc = store_mail_take(s, account, uids[i], &bytes, &taken, err);
	if (rc == RC_OK && taken > 0)
		rc = sql_run(&s->sql, STORE_SQL_ACCOUNT_TAKE, SQL_ARGS(SQL_N(account), SQL_N(bytes), SQL_N(taken)), err);
	if (rc != RC_OK) /* half done: nothing of this transaction may stay */
		store_rollback(s);
	return store_write_end(s, own, rc, err);
}

enum rc store_mail_remove_all(struct store *s, int64_t account, size_t max, bool *more_out, struct err *err)
{
	struct store_item items[STORE_PAGE_ROWS];
	int64_t uids[STORE_PAGE_ROWS];
	size_t n = STORE_PAGE_ROWS, done = 0;
	enum rc rc = RC_OK;

	while (rc == RC_OK && n == STORE_PAGE_ROWS && done < max) {
		rc = store_mailbox_page(s, STORE_SQL_ITEM_PAGE_ALL, account, 0, items, STORE_PAGE_ROWS, &n, err);
		for (size_t i = 0; rc == RC_OK && i < n; i++)
			uids[i] = items[i].uid;
		if (rc == RC_OK)
			rc = store_mail_remove(s, account, uids, n, err);
		done += n;
	}
	*more_out = n == STORE_PAGE_ROWS;
	return rc;
}
