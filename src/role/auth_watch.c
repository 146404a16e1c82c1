#include "role/auth_watch.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"

enum { WATCH_ROW_BYTES = 8192 };
#define GENERATION_GONE UINT64_MAX

struct auth_watch {
	struct map accounts; /* account -> struct auth_watched */
	void (*revoke)(void *arg, int64_t account);
	void *arg;
	bool again; /* the last look did not get through */
};

struct auth_watch *auth_watch_new(void (*revoke)(void *arg, int64_t account), void *arg)
{
	struct auth_watch *w = mem_zalloc(sizeof(*w));

	map_init(&w->accounts);
	w->revoke = revoke;
	w->arg = arg;
	return w;
}

static void watched_free(struct auth_watched *account)
{
	free(account->address);
	free(account);
}

void auth_watch_free(struct auth_watch **w)
{
	size_t at = 0;
	uint64_t key;
	void *value;

	if (!*w)
		return;
	while (map_next(&(*w)->accounts, &at, &key, &value))
		watched_free(value);
	map_clear(&(*w)->accounts);
	free(*w);
	*w = NULL;
}

static struct auth_watched *watched_new(struct auth_watch *w, int64_t id, struct span address, uint64_t generation)
{
	struct auth_watched *account = mem_zalloc(sizeof(*account));

	*account = (struct auth_watched){.account = id, .generation = generation, .address = mem_str_span(address)};
	(void)map_put(&w->accounts, (uint64_t)id, account);
	return account;
}

struct auth_watched *auth_watch_enter(struct auth_watch *w, const struct cred_row *row)
{
	struct auth_watched *account = map_get(&w->accounts, (uint64_t)row->account);

	if (!account) {
		account = watched_new(w, row->account, row->address, row->generation);
	} else if (account->generation != row->generation) {
		w->revoke(w->arg, row->account);
		account->generation = row->generation;
	}
	account->sessions++;
	return account;
}

void auth_watch_leave(struct auth_watch *w, struct auth_watched *account)
{
	if (--account->sessions)
		return;
	(void)map_take(&w->accounts, (uint64_t)account->account);
	watched_free(account);
}

void auth_watch_inherit(struct auth_watch *w, int64_t account, struct span address, uint64_t generation)
{
	struct auth_watched *watched = map_get(&w->accounts, (uint64_t)account);

	if (!watched)
		watched = watched_new(w, account, address, generation);
	else if (watched->generation != generation)
		w->revoke(w->arg, account);
	if (watched->inherited)
		return;
	watched->inherited = true;
	watched->sessions++;
	w->again = true; /* the change may have been while nobody looked */
}

void auth_watch_moved(struct auth_watch *w, int64_t account, uint64_t from, uint64_t to)
{
	struct auth_watched *watched = map_get(&w->accounts, (uint64_t)account);

	if (watched && watched->generation == from)
		watched->generation = to;
}

enum rc auth_watch_look(struct auth_watch *w, struct cred *c, struct err *err)
{
	bool changed = false;
	struct arena mem;
	size_t at = 0;
	uint64_t key;
	void *value;
	enum rc rc = cred_changed(c, &changed, err);

	if (rc != RC_OK || (!changed && !w->again))
		return rc;
	w->again = true;
	arena_init(&mem, WATCH_ROW_BYTES);
	while (map_next(&w->accounts, &at, &key, &value)) {
		struct auth_watched *account = value;
		struct cred_row row;
		uint64_t now;

		rc = cred_get(c, span_str(account->address), &mem, &row, err);
		if (rc != RC_OK && rc != RC_NONE)
			break;
		now = rc == RC_OK && row.account == account->account && row.enabled ? row.generation : GENERATION_GONE;
		arena_clear(&mem);
		rc = RC_OK;
		if (now == account->generation)
			continue;
		account->generation = now;
		w->revoke(w->arg, account->account);
	}
	arena_clear(&mem);
	w->again = rc != RC_OK;
	return rc;
}
