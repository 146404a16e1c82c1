/* Keys are hashes: in a table ordered by them each would be on a page of its own, and with every message a page would be written that nothing else changes, more of
 * them the larger the table. So the notes are kept in the order in which they came, and looked up in memory. */
#include <stdlib.h>

#include "base/mem.h"
#include "store/store_internal.h"

enum { STORE_NOTES_MAX = 500000, STORE_NOTES_STEP = 5000 };

struct store_note {
	int64_t id, message, at_ms;
	uint8_t key[STORE_REPEAT_KEY_BYTES];
};

/* ---- in memory */

static uint64_t store_note_hash(const uint8_t key[STORE_REPEAT_KEY_BYTES])
{
	uint64_t hash;

	memcpy(&hash, key, sizeof(hash));
	return hash;
}

static void *store_note_number(const struct store_notes *n, size_t place)
{
	return (void *)(uintptr_t)(1 + n->before + place);
}

static void store_note_add(struct store_notes *n, const struct store_note *note)
{
	size_t end = n->first + n->count;

	if (end == n->size && n->first > n->size / 2) {
		memmove(n->at, n->at + n->first, n->count * sizeof(*n->at));
		n->before += n->first;
		n->first = 0;
		end = n->count;
	} else if (end == n->size) {
		n->size = n->size ? n->size * 2 : 1024;
		n->at = mem_realloc(n->at, n->size * sizeof(*n->at));
	}
	n->at[end] = *note;
	n->count++;
	(void)map_put(&n->keys, store_note_hash(note->key), store_note_number(n, end));
}

static const struct store_note *store_note_find(const struct store_notes *n, const uint8_t key[STORE_REPEAT_KEY_BYTES])
{
	uintptr_t number = (uintptr_t)map_get(&n->keys, store_note_hash(key));
	const struct store_note *note = number ? &n->at[number - 1 - n->before] : NULL;

	return note && memcmp(note->key, key, sizeof(note->key)) == 0 ? note : NULL;
}

/* unless a later one has taken its place */
static void store_note_forget(struct store_notes *n, size_t place)
{
	uint64_t hash = store_note_hash(n->at[place].key);

	if (map_get(&n->keys, hash) == store_note_number(n, place))
		(void)map_take(&n->keys, hash);
}

void store_repeats_settle(struct store *s, bool committed)
{
	struct store_notes *n = &s->notes;

	while (!committed && n->count > n->committed)
		store_note_forget(n, n->first + --n->count);
	n->committed = n->count;
}

void store_repeats_init(struct store *s)
{
	map_init(&s->notes.keys);
}

void store_repeats_free(struct store *s)
{
	map_clear(&s->notes.keys);
	free(s->notes.at);
	s->notes = (struct store_notes){0};
}

/* ---- on the disk */

static enum rc store_notes_read(struct store *s, struct err *err)
{
	struct sql_row row;
	enum rc rc;

	if (s->notes.read)
		return RC_OK;
	for (rc = sql_first(&s->sql, &row, STORE_SQL_NOTES, NULL, 0, err); rc == RC_OK; rc = sql_next(&row, err)) {
		struct store_note note = {.id = sql_number(&row, 0, 1, STORE_MAX_MS), .message = sql_number(&row, 2, 1, STORE_MAX_MS),
			.at_ms = sql_number(&row, 3, 0, STORE_MAX_MS)};
		struct span key = sql_bytes(&row, 1, STORE_REPEAT_KEY_BYTES);

		rc = sql_checked(&row, err);
		if (rc != RC_OK)
			break;
		if (key.len)
			memcpy(note.key, key.ptr, key.len);
		store_note_add(&s->notes, &note);
	}
	sql_end(&row);
	s->notes.committed = rc == RC_NONE ? s->notes.count : 0;
	if (rc != RC_NONE) {
		store_repeats_settle(s, false);
		return rc;
	}
	s->notes.read = true;
	return RC_OK;
}

enum rc store_repeats_tidy(struct store *s, int64_t now_ms, bool *more, struct err *err)
{
	struct store_notes *n = &s->notes;
	size_t drop = 0;
	bool own;
	enum rc rc = store_notes_read(s, err);

	while (rc == RC_OK && drop < n->committed && drop < STORE_NOTES_STEP && (n->count - drop > STORE_NOTES_MAX ||
		n->at[n->first + drop].at_ms < now_ms - STORE_REPEAT_MS || n->at[n->first + drop].at_ms > now_ms + STORE_REPEAT_MS))
		drop++;
	if (rc != RC_OK || drop == 0 || s->sql.in_transaction)
		return rc;
	rc = store_write_begin(s, &own, err);
	if (rc != RC_OK)
		return rc;
	rc = sql_run(&s->sql, STORE_SQL_NOTES_DROP, SQL_ARGS(SQL_N(n->at[n->first + drop - 1].id)), err);
	rc = store_write_end(s, own, rc, err);
	for (size_t i = 0; i < drop && rc == RC_OK; i++) {
		store_note_forget(n, n->first++);
		n->count--;
	}
	n->committed = n->count;
	*more |= drop == STORE_NOTES_STEP;
	return rc;
}

/* ---- keys */

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
	const struct store_note *note;
	int64_t now = m->received_ms;
	enum rc rc = store_notes_read(s, err);

	if (rc != RC_OK)
		return rc;
	note = store_note_find(&s->notes, key);
	if (!note || note->at_ms > now + STORE_REPEAT_MS || note->at_ms < now - STORE_REPEAT_MS)
		return RC_NONE;
	if (!*first)
		*first = note->message;
	return RC_OK;
}

bool store_repeats_known(const struct store_message *m)
{
	return m->message_id.len && m->digest.len;
}

enum rc store_repeat_write(struct store *s, const struct store_message *m, int64_t id, const uint8_t key[STORE_REPEAT_KEY_BYTES], struct err *err)
{
	const struct store_notes *n = &s->notes;
	struct store_note note = {.message = id, .at_ms = m->received_ms};
	enum rc rc = store_repeats_known(m) ? store_notes_read(s, err) : RC_NONE;

	if (rc != RC_OK)
		return rc == RC_NONE ? RC_OK : rc;
	note.id = n->count ? n->at[n->first + n->count - 1].id + 1 : 1;
	memcpy(note.key, key, sizeof(note.key));
	rc = sql_run(&s->sql, STORE_SQL_NOTE_WRITE, SQL_ARGS(SQL_N(note.id), SQL_B(span_of(key, STORE_REPEAT_KEY_BYTES)), SQL_N(id), SQL_N(m->received_ms)), err);
	if (rc == RC_OK)
		store_note_add(&s->notes, &note);
	return rc;
}
