#include "store/store_internal.h"

static void store_digest_span(struct store *s, struct span part)
{
	uint64_t len = part.len;

	(void)EVP_DigestUpdate(s->digest, &len, sizeof(len));
	(void)EVP_DigestUpdate(s->digest, part.len ? (const void *)part.ptr : "", part.len);
}

enum rc store_repeat_key(struct store *s, const struct store_message *m, int64_t account, struct span foreign, uint8_t out[STORE_REPEAT_KEY_BYTES],
	struct err *err)
{
	uint8_t key[32];
	unsigned len = sizeof(key);
	bool ok = EVP_DigestInit_ex2(s->digest, s->sha256, NULL) == 1;

	store_digest_span(s, m->client);
	store_digest_span(s, m->sender);
	store_digest_span(s, m->message_id);
	store_digest_span(s, m->digest);
	(void)EVP_DigestUpdate(s->digest, &account, sizeof(account));
	store_digest_span(s, foreign);
	if (!ok || EVP_DigestFinal_ex(s->digest, key, &len) != 1)
		return err_set(err, RC_IO, "SHA-256 failed");
	memcpy(out, key, STORE_REPEAT_KEY_BYTES);
	return RC_OK;
}

/* within a day either way: after the clock was set back, what came "later" is still known */
enum rc store_repeat_find(struct store *s, const struct store_message *m, const uint8_t key[STORE_REPEAT_KEY_BYTES], int64_t *first, struct err *err)
{
	int64_t now = m->received_ms, id, at;
	struct sql_row row;
	enum rc rc = sql_first(&s->sql, &row, STORE_SQL_DUPLICATE_GET, SQL_ARGS(SQL_B(span_of(key, STORE_REPEAT_KEY_BYTES))), err);

	if (rc != RC_OK)
		return rc;
	id = sql_number(&row, 0, 1, STORE_MAX_MS);
	at = sql_number(&row, 1, 0, STORE_MAX_MS);
	rc = sql_checked(&row, err);
	sql_end(&row);
	if (rc != RC_OK)
		return rc;
	if (at > now + STORE_REPEAT_MS || at < now - STORE_REPEAT_MS)
		return RC_NONE;
	if (!*first)
		*first = id;
	return RC_OK;
}

bool store_repeats_known(const struct store_message *m)
{
	return m->message_id.len && m->digest.len;
}

enum rc store_repeat_write(struct store *s, const struct store_message *m, int64_t id, const uint8_t key[STORE_REPEAT_KEY_BYTES], struct err *err)
{
	if (!store_repeats_known(m))
		return RC_OK;
	return sql_run(&s->sql, STORE_SQL_DUPLICATE_PUT, SQL_ARGS(SQL_B(span_of(key, STORE_REPEAT_KEY_BYTES)), SQL_N(id), SQL_N(m->received_ms)), err);
}
