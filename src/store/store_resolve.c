#include "store/store_internal.h"

#include "base/clock.h"
#include "mail/address.h"
#include "store/store_srs.h"

/* ---- what an alias leads to */

void store_walk_init(struct store_walk *w, struct store *s, enum rc (*found)(void *, const struct store_found *, const struct store_name *, struct err *), void *arg)
{
	*w = (struct store_walk){.s = s, .found = found, .arg = arg};
}

void store_walk_clear(struct store_walk *w)
{
	if (w->seen_ready)
		map_clear(&w->seen);
}

/* values of `seen`: an alias that is being walked, and one that is done (reaching that one again is no loop) */
static uint8_t store_walk_open, store_walk_done;

static enum rc store_walk_target(struct store_walk *w, const struct store_name *name, struct err *err)
{
	struct store_found what;
	enum rc rc = store_find(w->s, name, &what, err);

	if (rc != RC_OK)
		return rc;
	if (what.kind == STORE_FOUND_ALIAS)
		return store_walk_alias(w, what.id, err);
	return w->found ? w->found(w->arg, &what, name, err) : RC_OK;
}

struct store_walk_page {
	struct store_name names[STORE_PAGE_ROWS];
	struct span last;
	size_t count;
};

static enum rc store_walk_read(struct store_walk *w, int64_t alias, struct span after, struct arena *mem, struct store_walk_page *page, struct err *err)
{
	struct span keys[STORE_PAGE_ROWS], targets[STORE_PAGE_ROWS];
	struct sql_row row;
	size_t n = 0;
	enum rc rc = sql_first(&w->s->sql, &row, STORE_SQL_ALIAS_TARGET_PAGE, SQL_ARGS(SQL_N(alias), SQL_T(after), SQL_N(STORE_PAGE_ROWS)), err);

	for (; rc == RC_OK; rc = sql_next(&row, err)) {
		keys[n] = arena_copy(mem, sql_text(&row, 0, STORE_ADDRESS_BYTES));
		targets[n] = arena_copy(mem, sql_text(&row, 1, STORE_ADDRESS_BYTES));
		rc = sql_checked(&row, err);
		if (rc != RC_OK)
			break;
		n++;
	}
	sql_end(&row);
	if (rc == RC_NONE)
		rc = RC_OK;
	for (size_t i = 0; i < n && rc == RC_OK; i++)
		rc = store_name_parse(targets[i], mem, &page->names[i], err);
	page->count = n;
	page->last = n ? keys[n - 1] : SPAN_NONE;
	return rc;
}

enum rc store_walk_alias(struct store_walk *w, int64_t alias, struct err *err)
{
	struct store_walk_page page = {.count = STORE_PAGE_ROWS};
	struct arena mem, next;
	enum rc rc = RC_OK;
	void *before;

	if (!w->seen_ready) /* most messages meet no alias */
		map_init(&w->seen);
	w->seen_ready = true;
	before = map_get(&w->seen, (uint64_t)alias);
	if (before) {
		w->loop |= before == &store_walk_open;
		return RC_OK;
	}
	if (w->depth >= STORE_ALIAS_DEPTH) {
		w->over = true;
		return RC_OK;
	}
	(void)map_put(&w->seen, (uint64_t)alias, &store_walk_open);
	w->depth++;
	arena_init(&mem, 4 << 20);
	while (rc == RC_OK && page.count == STORE_PAGE_ROWS && !w->over) {
		arena_init(&next, 4 << 20);
		rc = store_walk_read(w, alias, page.last, &next, &page, err);
		for (size_t i = 0; i < page.count && rc == RC_OK && !w->over; i++) {
			w->over = ++w->targets > STORE_ALIAS_TARGETS;
			if (!w->over)
				rc = store_walk_target(w, &page.names[i], err);
		}
		arena_clear(&mem);
		mem = next;
	}
	arena_clear(&mem);
	w->depth--;
	(void)map_put(&w->seen, (uint64_t)alias, &store_walk_done);
	return rc;
}

/* ---- the answer to RCPT */

struct store_judged {
	uint64_t message_bytes;
	enum cause_id cause;  /* of the worst luck so far: what is said when nobody takes it */
	int64_t quota_bytes;
	bool taken;
};

static void store_judge_account(struct store_judged *j, const struct store_found *a)
{
	bool told = j->cause == CAUSE_RCPT_MAILBOX_FULL || j->cause == CAUSE_RCPT_OVER_QUOTA;

	if (!a->enabled) {
		j->cause = told ? j->cause : CAUSE_RCPT_DISABLED;
	} else if (a->quota_bytes > 0 && j->message_bytes > (uint64_t)a->quota_bytes) { /* it will not fit tomorrow either */
		j->quota_bytes = told ? j->quota_bytes : a->quota_bytes;
		j->cause = told ? j->cause : CAUSE_RCPT_OVER_QUOTA;
	} else if (a->quota_bytes > 0 && (a->used_bytes >= a->quota_bytes || j->message_bytes > (uint64_t)(a->quota_bytes - a->used_bytes))) {
		j->cause = CAUSE_RCPT_MAILBOX_FULL; /* the one that passes: it wins over the others */
		j->quota_bytes = a->quota_bytes;
	} else {
		j->taken = true;
	}
}

static enum rc store_judge_found(void *arg, const struct store_found *what, const struct store_name *name, struct err *err)
{
	struct store_judged *j = arg;

	(void)name;
	(void)err;
	if (what->kind == STORE_FOUND_FOREIGN)
		j->taken = true;
	else if (what->kind == STORE_FOUND_ACCOUNT)
		store_judge_account(j, what);
	return j->taken ? RC_EXISTS : RC_OK; /* one is enough */
}

static enum rc store_judge_alias(struct store *s, int64_t alias, struct store_judged *j, struct err *err)
{
	struct store_walk w;
	enum rc rc;

	store_walk_init(&w, s, store_judge_found, j);
	rc = store_walk_alias(&w, alias, err);
	if (w.loop && j->cause == CAUSE_RCPT_UNKNOWN)
		j->cause = CAUSE_RCPT_ALIAS_LOOP;
	store_walk_clear(&w);
	return rc == RC_EXISTS ? RC_OK : rc;
}

/* "25 MiB", as a person would say it */
static struct span store_size_text(int64_t bytes, struct arena *mem)
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
	struct buf text;
	struct span out;
	size_t unit = 0;
	int64_t n = bytes;

	while (unit + 1 < sizeof(units) / sizeof(units[0]) && n >= 1024 && (n % 1024 == 0 || n >= 10 * 1024)) {
		n /= 1024;
		unit++;
	}
	buf_init(&text, 64);
	buf_printf(&text, "%lld %s", (long long)n, units[unit]);
	out = arena_copy(mem, buf_span(&text));
	buf_clear(&text);
	return out;
}

static uint64_t store_tag(const struct store_found *f)
{
	switch (f->kind) {
	case STORE_FOUND_FOREIGN:
		return STORE_TAG_FOREIGN;
	case STORE_FOUND_ALIAS:
		return (uint64_t)f->id << STORE_TAG_BITS | STORE_TAG_ALIAS;
	case STORE_FOUND_ACCOUNT:
		return (uint64_t)f->id << STORE_TAG_BITS | STORE_TAG_ACCOUNT;
	case STORE_FOUND_SRS:
		return STORE_TAG_SRS;
	case STORE_FOUND_NOBODY:
		break;
	}
	return 0;
}

/* a bounce of mail that was forwarded, on its way back */
static enum rc store_resolve_srs(struct store *s, const struct store_name *name, struct store_resolved *out, struct err *err)
{
	enum srs_back how = SRS_BACK_NOT;
	struct buf back;
	enum rc rc;

	buf_init(&back, STORE_ADDRESS_BYTES);
	rc = store_srs_reverse(s, name->local, clock_wall_ms(), &back, &how, err);
	buf_clear(&back);
	if (rc == RC_OK && how != SRS_BACK_OK)
		*out = (struct store_resolved){.cause = CAUSE_SRS_INVALID};
	return rc;
}

static enum rc store_resolve_found(struct store *s, const struct store_found *f, const struct store_name *name, uint64_t message_bytes, struct arena *mem,
	struct store_resolved *out, struct err *err)
{
	struct store_judged j = {.message_bytes = message_bytes, .cause = CAUSE_RCPT_UNKNOWN};
	enum rc rc = RC_OK;

	*out = (struct store_resolved){.cause = CAUSE_NONE, .tag = store_tag(f)};
	switch (f->kind) {
	case STORE_FOUND_FOREIGN:
		return RC_OK;
	case STORE_FOUND_ACCOUNT:
		store_judge_account(&j, f);
		break;
	case STORE_FOUND_ALIAS:
		rc = store_judge_alias(s, f->id, &j, err);
		break;
	case STORE_FOUND_SRS:
		return store_resolve_srs(s, name, out, err);
	case STORE_FOUND_NOBODY:
		break;
	}
	if (rc != RC_OK || j.taken)
		return rc;
	*out = (struct store_resolved){.cause = j.cause};
	if (j.cause == CAUSE_RCPT_MAILBOX_FULL || j.cause == CAUSE_RCPT_OVER_QUOTA)
		out->limit = store_size_text(j.quota_bytes, mem);
	return RC_OK;
}

enum rc store_resolve(struct store *s, struct span address, uint64_t message_bytes, struct arena *mem, struct store_resolved *out,
	struct err *err)
{
	struct store_name name;
	struct store_found found;
	struct arena scratch;
	enum rc rc;

	arena_init(&scratch, 16 * STORE_ADDRESS_BYTES);
	rc = store_name_parse(address, &scratch, &name, err);
	if (rc == RC_BAD) {
		*out = (struct store_resolved){.cause = CAUSE_RCPT_SYNTAX};
		rc = RC_OK;
		goto out;
	}
	if (rc == RC_OK)
		rc = store_find(s, &name, &found, err);
	if (rc == RC_OK)
		rc = store_resolve_found(s, &found, &name, message_bytes, mem, out, err);
out:
	arena_clear(&scratch);
	return rc;
}
