/* MTA-STS policies as they were fetched (RFC 8461 3.3: they outlive a restart) */
#include "store/store_queue_internal.h"

/* A policy has a few hundred bytes; RFC 8461 3.3 lets it have 64 KiB. Past either bound the oldest go, a part of them at once, so that the next ones find
 * room. */
enum {
	STORE_STS_MAX = 10000,
	STORE_STS_REMOVE = 500,
	STORE_STS_BYTES = 16 << 20,
	STORE_STS_BYTES_LEAVE = STORE_STS_BYTES - (1 << 20),
	STORE_STS_POLICY_BYTES = 65536,
	STORE_STS_ID_BYTES = 32,
};

enum rc store_sts_get(struct store *s, struct span domain, struct arena *mem, struct span *id_out, struct span *text_out, int64_t *fetched_ms_out, struct err *err)
{
	struct span name = store_destination_name(domain, mem), id, text;
	struct sql_row row;
	int64_t fetched;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_STS_GET, SQL_ARGS(SQL_T(name)), err);

	if (rc != RC_OK)
		return rc;
	id = arena_copy(mem, sql_text(&row, 0, STORE_STS_ID_BYTES));
	text = arena_copy(mem, sql_bytes(&row, 1, STORE_STS_POLICY_BYTES));
	fetched = sql_number(&row, 2, 0, STORE_MAX_MS);
	rc = sql_checked(&row, err);
	sql_end(&row);
	if (rc == RC_OK && mem->overflow)
		rc = err_set(err, RC_LIMIT, "no room for a policy");
	if (rc != RC_OK)
		return rc;
	*id_out = id;
	*text_out = text;
	*fetched_ms_out = fetched;
	return RC_OK;
}

/* for one more with that many bytes */
static enum rc store_sts_room(struct store *s, size_t bytes, struct err *err)
{
	struct sql_row row;
	int64_t n, sum;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_STS_COUNT, NULL, 0, err);

	if (rc != RC_OK)
		return rc;
	n = sql_number(&row, 0, 0, STORE_MAX_MS);
	sum = sql_number(&row, 1, 0, STORE_MAX_MS);
	rc = sql_checked(&row, err);
	sql_end(&row);
	if (rc == RC_OK && n >= STORE_STS_MAX)
		rc = sql_run(&s->sql, STORE_SQL_STS_REMOVE_OLD, SQL_ARGS(SQL_N(STORE_STS_REMOVE)), err);
	if (rc == RC_OK && sum + (int64_t)bytes > STORE_STS_BYTES)
		rc = sql_run(&s->sql, STORE_SQL_STS_REMOVE_BYTES, SQL_ARGS(SQL_N(STORE_STS_BYTES_LEAVE - (int64_t)bytes)), err);
	return rc;
}

enum rc store_sts_put(struct store *s, struct span domain, struct span id, struct span text, int64_t fetched_ms, struct err *err)
{
	uint8_t clean[STORE_STS_ID_BYTES];
	struct arena mem;
	bool own;
	enum rc rc;

	if (domain.len == 0 || domain.len > LIMIT_DOMAIN_BYTES || !span_is_vchar(domain) || text.len > STORE_STS_POLICY_BYTES || id.len > STORE_STS_ID_BYTES ||
		fetched_ms < 0 || fetched_ms >= STORE_MAX_MS)
		return err_set(err, RC_BAD, "no such policy");
	rc = store_write_begin(s, &own, err);
	if (rc != RC_OK)
		return rc;
	arena_init(&mem, 4096);
	rc = store_sts_room(s, text.len, err);
	if (rc == RC_OK)
		rc = sql_run(&s->sql, STORE_SQL_STS_PUT, SQL_ARGS(SQL_T(store_destination_name(domain, &mem)), SQL_T(store_queue_clean(id, sizeof(clean), clean)),
			SQL_N(fetched_ms), SQL_B(text)), err);
	arena_clear(&mem);
	return store_write_end(s, own, rc, err);
}
