#include "store/store_srs.h"

#include "base/rng.h"
#include "mail/address.h"
#include "store/store_internal.h"

enum { STORE_SRS_DAY_MS = 24 * 3600 * 1000 };

/* RC_NONE: there is none yet */
static enum rc store_srs_key(struct store *s, struct err *err)
{
	struct sql_row row;
	struct span key;
	enum rc rc;

	if (s->srs_known)
		return RC_OK;
	rc = sql_first(&s->sql, &row, STORE_SQL_SECRET_GET, SQL_ARGS(SQL_T(SPAN_LIT("srs"))), err);
	if (rc != RC_OK)
		return rc;
	key = sql_bytes(&row, 0, SRS_KEY_BYTES);
	row.bad |= key.len != SRS_KEY_BYTES;
	rc = sql_checked(&row, err);
	if (rc == RC_OK)
		memcpy(s->srs_key, key.ptr, SRS_KEY_BYTES);
	sql_end(&row);
	s->srs_known = rc == RC_OK && !s->sql.in_transaction; /* in one it may still be taken back */
	return rc;
}

/* Its domain in the form that every next server can take. */
static struct span store_srs_sender(struct span sender, uint8_t room[STORE_ADDRESS_BYTES + LIMIT_DOMAIN_BYTES])
{
	struct span domain;
	size_t at = sender.len;

	while (at > 0 && sender.ptr[at - 1] != '@')
		at--;
	if (at == 0 || at > STORE_ADDRESS_BYTES || span_is_ascii(span_from(sender, at)))
		return sender;
	domain = address_domain_key(span_from(sender, at), room + at);
	memcpy(room, sender.ptr, at);
	return span_of(room, at + domain.len);
}

enum rc store_srs_forward(struct store *s, struct span sender, int64_t now_ms, struct buf *out, struct err *err)
{
	uint8_t room[STORE_ADDRESS_BYTES + LIMIT_DOMAIN_BYTES];
	enum rc rc = store_srs_key(s, err);

	if (rc == RC_NONE) {
		rng_fill(s->srs_key, SRS_KEY_BYTES);
		rc = sql_run(&s->sql, STORE_SQL_SECRET_ADD, SQL_ARGS(SQL_T(SPAN_LIT("srs")), SQL_B(span_of(s->srs_key, SRS_KEY_BYTES))), err);
	}
	if (rc == RC_OK)
		(void)srs_forward(out, s->srs_key, now_ms / STORE_SRS_DAY_MS, store_srs_sender(sender, room));
	return rc;
}

enum rc store_srs_reverse(struct store *s, struct span local, int64_t now_ms, struct buf *out, enum srs_back *how_out, struct err *err)
{
	enum rc rc = store_srs_key(s, err);

	if (rc == RC_NONE)
		*how_out = srs_is_rewritten(local) ? SRS_BACK_FORGED : SRS_BACK_NOT;
	else if (rc == RC_OK)
		*how_out = srs_reverse(out, s->srs_key, now_ms / STORE_SRS_DAY_MS, local);
	return rc == RC_NONE ? RC_OK : rc;
}
