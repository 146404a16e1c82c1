#include "cli/cli_why.h"

#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "base/num.h"
#include "cli/cli_commands.h"
#include "cli/cli_db.h"
#include "cli/cli_print.h"
#include "cli/cli_queue.h"
#include "mail/address.h"

enum { WHY_REF_DIGITS = 8, WHY_QUEUE_DIGITS = 6, WHY_DAY_S = 24 * 3600, WHY_LIMIT_MOST = 100000, WHY_OUT_BYTES = 256 << 20, WHY_ALIAS_DEPTH = 10,
	WHY_ADDRESS_BYTES = 1024 };

const struct cli_option cli_why_options[] = {
	{"account", "ADDRESS", "what happened to this account, this sender or recipient, or to whoever typed this login name", false},
	{"ip", "ADDRESS", "what came from this address, or from a network such as 192.0.2.0/24", false},
	{"session", "REF", "one session, as \"ref\" in a reply and session= in the log name it", false},
	{"queue", "ID", "one message, by the id that its sender was told", false},
	{"cause", "SLUG", "what was refused for this cause", false},
	{"since", "TIME", "not before: 2h, 3d, today, yesterday, 2026-11-20 or \"2026-11-20 17:00\"", false},
	{"until", "TIME", "not after, in the same forms", false},
	{"limit", "N", "show this many sessions (20)", false},
	{"all", NULL, "show all of them", false},
	{NULL, NULL, NULL, false},
};

/* ---- times */

static bool why_number(struct span s, size_t digits, int *out)
{
	uint64_t n;

	if (s.len != digits || num_parse(s, 9999, &n) != RC_OK)
		return false;
	*out = (int)n;
	return true;
}

/* "2026-11-20" or "2026-11-20 17:00", local time */
static bool why_parse_date(struct span text, bool end, int64_t *out_ms)
{
	struct span date = text, clock;
	struct tm tm = {.tm_isdst = -1};
	struct span year, month, day, hour;
	time_t t;

	clock = date;
	date = span_cut(&clock, span_find(text, 'T') < text.len ? 'T' : ' ');
	year = span_cut(&date, '-');
	month = span_cut(&date, '-');
	day = date;
	if (!why_number(year, 4, &tm.tm_year) || !why_number(month, 2, &tm.tm_mon) || !why_number(day, 2, &tm.tm_mday))
		return false;
	if (tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_year < 1970)
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	if (clock.len) {
		hour = span_cut(&clock, ':');
		if (!why_number(hour, 2, &tm.tm_hour) || !why_number(clock, 2, &tm.tm_min) || tm.tm_hour > 23 || tm.tm_min > 59)
			return false;
	} else if (end) {
		tm.tm_mday++;
	}
	t = mktime(&tm);
	*out_ms = (int64_t)t * 1000;
	return t != (time_t)-1;
}

static bool why_parse_time(const char *text, bool end, int64_t *out_ms)
{
	time_t now = time(NULL);
	struct tm tm;
	uint64_t ago;

	if (num_parse_duration_ms(span_str(text), &ago) == RC_OK) {
		*out_ms = ago < (uint64_t)now * 1000 ? (int64_t)now * 1000 - (int64_t)ago : 1;
		return true;
	}
	if (strcmp(text, "today") != 0 && strcmp(text, "yesterday") != 0)
		return why_parse_date(span_str(text), end, out_ms);
	if (!localtime_r(&now, &tm))
		return false;
	tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
	tm.tm_isdst = -1;
	tm.tm_mday += (end ? 1 : 0) - (text[0] == 'y' ? 1 : 0);
	*out_ms = (int64_t)mktime(&tm) * 1000;
	return true;
}

/* ---- what is asked for */

static int why_take_peer(struct why *w, const char *text)
{
	enum rc rc = net_prefix_parse(span_str(text), &w->peer);

	if (rc == RC_LIMIT)
		return cli_usage(w->cli, "%s: there are bits behind the prefix", text);
	if (rc != RC_OK)
		return cli_usage(w->cli, "%s is no IP address and no network", text);
	w->filter.peer = &w->peer;
	return CLI_OK;
}

static int why_take_account(struct why *w, const char *text)
{
	uint8_t room[WHY_ADDRESS_BYTES];
	struct span key = strchr(text, '@') ? address_text_key(span_str(text), room, sizeof(room)) : SPAN_NONE;

	w->addresses[0] = key.len ? arena_copy(&w->cli->mem, key) : span_str(text);
	w->filter.address_count = 1;
	w->is_account = true;
	return CLI_OK;
}

static int why_take_session(struct why *w, const char *text)
{
	if (num_parse_base32(span_str(text), &w->filter.session) != RC_OK || w->filter.session == 0)
		return cli_usage(w->cli, "\"%s\" is no session reference; they look like 8Q2K4M1T", text);
	return CLI_OK;
}

static int why_take_message(struct why *w, const char *text)
{
	int64_t id;

	if (store_queue_id_parse(span_str(text), &id) != RC_OK)
		return cli_usage(w->cli, "\"%s\" is no queue id; they look like 0000A3", text);
	w->filter.message = (uint64_t)id;
	return CLI_OK;
}

static int why_take_cause(struct why *w, const char *text)
{
	w->filter.cause = span_str(text);
	if (cause_by_slug(w->filter.cause) == CAUSE_NONE)
		cli_note("\"%s\" is no cause that this version knows; mailroom explain says which there are", text);
	return CLI_OK;
}

static bool why_is_capital(const char *text)
{
	for (; *text; text++)
		if (!byte_is_digit((uint8_t)*text) && (*text < 'A' || *text > 'Z'))
			return false;
	return true;
}

/* by its shape; names that people have are last */
static int why_take_any(struct why *w, const char *text)
{
	struct net_prefix p;
	uint64_t n;
	size_t len = strlen(text);

	if (strchr(text, '@'))
		return why_take_account(w, text);
	if (net_prefix_parse(span_str(text), &p) != RC_BAD)
		return why_take_peer(w, text);
	if (cause_by_slug(span_str(text)) != CAUSE_NONE)
		return why_take_cause(w, text);
	if (why_is_capital(text) && len >= WHY_QUEUE_DIGITS && num_parse_base32(span_str(text), &n) == RC_OK && n)
		return len == WHY_REF_DIGITS ? why_take_session(w, text) : why_take_message(w, text);
	return why_take_account(w, text);
}

static int why_take_options(struct why *w)
{
	static const struct {
		const char *name;
		int (*take)(struct why *w, const char *text);
	} table[] = {{"account", why_take_account}, {"ip", why_take_peer}, {"session", why_take_session}, {"queue", why_take_message}, {"cause", why_take_cause}};
	const struct cli *cli = w->cli;
	const char *text;
	int status = CLI_OK;

	if (cli->arg_count) {
		w->subject = span_str(cli->args[0]);
		status = why_take_any(w, cli->args[0]);
	}
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]) && status == CLI_OK; i++) {
		text = cli_get(cli, table[i].name);
		if (!text)
			continue;
		if (!w->subject.len)
			w->subject = span_str(text);
		status = table[i].take(w, text);
	}
	return status;
}

static int why_take_bounds(struct why *w)
{
	const char *since = cli_get(w->cli, "since"), *until = cli_get(w->cli, "until"), *limit = cli_get(w->cli, "limit");
	uint64_t n;

	tzset(); /* before the root of the file system is another one */
	w->shown = cli_get(w->cli, "all") ? SIZE_MAX : WHY_SHOWN;
	if (since && !why_parse_time(since, false, &w->filter.since_ms))
		return cli_usage(w->cli, "--since %s: 2h, 3d, today, yesterday, 2026-11-20 or \"2026-11-20 17:00\" would be right", since);
	if (until && !why_parse_time(until, true, &w->filter.until_ms))
		return cli_usage(w->cli, "--until %s: 2h, 3d, today, yesterday, 2026-11-20 or \"2026-11-20 17:00\" would be right", until);
	if (limit && (num_parse(span_str(limit), WHY_LIMIT_MOST, &n) != RC_OK || n == 0))
		return cli_usage(w->cli, "--limit %s: a number from 1 to %d would be right", limit, WHY_LIMIT_MOST);
	if (limit)
		w->shown = (size_t)n;
	return CLI_OK;
}

/* ---- what the mail database knows now */

/* aliases that lead to what is asked for, and aliases that lead to them: what is written to those is about it, too */
static enum rc why_alias(void *arg, const struct store_alias *a)
{
	struct why *w = arg;
	bool leads = false, known = false;

	for (size_t i = 0; i < w->filter.address_count; i++) {
		leads |= address_text_same(w->addresses[i], a->target);
		known |= address_text_same(w->addresses[i], a->address);
	}
	if (leads && !known && w->filter.address_count < WHY_ADDRESSES)
		w->addresses[w->filter.address_count++] = arena_copy(&w->cli->mem, a->address);
	w->account.found |= known;
	return RC_OK;
}

static enum rc why_look_up(struct why *w, struct store *s, struct err *err)
{
	struct span address = w->addresses[0];
	size_t at = span_find(address, '@'), before;
	struct store_account a;
	enum rc rc = store_account_get(s, address, &w->cli->mem, &a, err);

	w->account = (struct why_account){.asked = true};
	if (rc == RC_OK) {
		w->account = (struct why_account){.asked = true, .found = true, .enabled = a.enabled, .full = a.quota_bytes > 0 && a.used_bytes >= a.quota_bytes, .id = a.id};
		w->filter.mailbox = (uint64_t)a.id;
	} else if (rc == RC_NONE || rc == RC_BAD) {
		w->account.enabled = true;
		rc = store_domain_hosted(s, span_from(address, at + 1), &w->account.hosted, err);
		rc = rc == RC_BAD ? RC_OK : rc;
	}
	for (unsigned depth = 0; rc == RC_OK && depth < WHY_ALIAS_DEPTH; depth++) {
		before = w->filter.address_count;
		rc = store_alias_each(s, SPAN_NONE, why_alias, w, err);
		if (w->filter.address_count == before)
			break;
	}
	return rc;
}

struct why_queue {
	struct buf *out;
	size_t count;
};

static enum rc why_queue_row(void *arg, const struct store_queue_listed *l)
{
	struct why_queue *said = arg;
	int64_t next_ms = cli_queue_next(l);

	buf_add_str(said->out, said->count++ ? "" : "In the queue now:\n");
	buf_add_str(said->out, "  ");
	cli_write_address(said->out, l->q.rcpt, 320);
	buf_add_str(said->out, ": ");
	buf_add_safe(said->out, l->q.state, 100);
	buf_printf(said->out, ", %u tries", l->q.attempts);
	if (next_ms) {
		buf_add_str(said->out, ", next ");
		why_write_time(said->out, next_ms, true);
	}
	buf_add_str(said->out, "; ");
	cli_queue_reason(said->out, l);
	buf_add_byte(said->out, '\n');
	return RC_OK;
}

/* before the history is opened: one database at a time */
static int why_ask_store(struct why *w, struct buf *queue)
{
	struct why_queue said = {.out = queue};
	struct store *s;
	struct err err = {{0}};
	enum rc rc = RC_OK;

	w->filter.addresses = w->addresses;
	if (!w->filter.message && !(w->is_account && span_find(w->addresses[0], '@') < w->addresses[0].len))
		return CLI_OK;
	s = cli_store_open(w->cli, STORE_READ_ONLY);
	if (!s)
		return CLI_FAILED;
	if (w->is_account)
		rc = why_look_up(w, s, &err);
	if (rc == RC_OK && w->filter.message) {
		rc = store_queue_list(s, &(struct store_queue_filter){.message = (int64_t)w->filter.message, .state = -1}, why_queue_row, &said, &err);
		w->is_queued = said.count > 0;
		if (!w->is_queued)
			buf_add_str(queue, "It is not in the queue now.\n");
	}
	cli_store_close(&s);
	return rc == RC_OK || rc == RC_NONE ? CLI_OK : cli_store_failed(rc, &err, "why");
}

/* ---- gathering */

static struct why_session *why_session_of(struct why *w, uint64_t id)
{
	struct why_session *s = id ? map_get(&w->sessions, id) : NULL;

	if (s || w->session_count >= WHY_SESSIONS) {
		w->more |= !s;
		return s;
	}
	s = arena_zalloc(&w->cli->mem, sizeof(*s));
	if (!s)
		return NULL;
	s->id = id;
	*w->oldest = s;
	w->oldest = &s->next;
	w->session_count++;
	if (id)
		(void)map_put(&w->sessions, id, s);
	return s;
}

static struct history_event why_copy(struct arena *mem, const struct history_event *e)
{
	struct history_event c = *e;
	struct span *const texts[] = {&c.service, &c.listener, &c.peer, &c.tls, &c.account, &c.login, &c.mechanism, &c.helo, &c.command, &c.sender, &c.rcpt, &c.cause,
		&c.shown, &c.rule, &c.detail, &c.limit, &c.retry};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i]->len)
			*texts[i] = arena_copy(mem, *texts[i]);
	return c;
}

/* they come newest first, and those of one moment in any order */
static void why_keep(struct why *w, struct why_session *s, const struct history_event *e)
{
	struct why_event *v = arena_zalloc(&w->cli->mem, sizeof(*v)), **at = &s->events;

	if (v)
		v->e = why_copy(&w->cli->mem, e);
	if (!v || w->cli->mem.overflow) {
		w->more = true;
		return;
	}
	v->matches = history_matches(&w->filter, e);
	while (*at && (*at)->e.at_ms < e->at_ms)
		at = &(*at)->next;
	v->next = *at;
	*at = v;
	w->event_count++;
}

/* first: which sessions; what is of no session is kept at once */
static enum rc why_find_one(void *arg, const struct history_event *e, uint64_t at)
{
	struct why *w = arg;
	struct why_session *s = why_session_of(w, e->session);

	(void)at;
	if (!s)
		return w->cli->mem.overflow || w->session_count >= WHY_SESSIONS ? RC_EXISTS : RC_OK;
	if (!s->id)
		why_keep(w, s, e);
	return RC_OK;
}

/* then: all that happened in them */
static enum rc why_gather_one(void *arg, const struct history_event *e, uint64_t at)
{
	struct why *w = arg;
	struct why_session *s = map_get(&w->sessions, e->session);

	(void)at;
	if (s)
		why_keep(w, s, e);
	return w->cli->mem.overflow ? RC_EXISTS : RC_OK;
}

struct why_last {
	struct why *w;
	bool pop3;
};

static enum rc why_last_one(void *arg, const struct history_event *e, uint64_t at)
{
	struct why_last *last = arg;

	(void)at;
	if (span_eq(e->service, SPAN_LIT("pop3")) != last->pop3 || !why_is_success_of(last->w, e))
		return RC_OK;
	last->w->last_ok[last->pop3] = why_copy(&last->w->cli->mem, e);
	return RC_EXISTS;
}

static enum rc why_query(struct why *w, struct history *h, const struct history_filter *f,
	enum rc (*each)(void *arg, const struct history_event *e, uint64_t at), void *arg, struct err *err)
{
	enum rc rc = history_query(h, f, 0, each, arg, &w->damaged, err);

	return rc == RC_EXISTS ? RC_OK : rc;
}

static enum rc why_gather(struct why *w, struct history *h, struct err *err)
{
	struct history_filter in = {.sessions = &w->sessions, .since_ms = w->filter.since_ms > WHY_DAY_S * 1000LL ? w->filter.since_ms - WHY_DAY_S * 1000LL : 0,
		.until_ms = w->filter.until_ms ? w->filter.until_ms + WHY_DAY_S * 1000LL : 0};
	const struct history_event *first;
	enum rc rc = history_extent(h, &w->extent, err);

	if (rc == RC_OK)
		rc = why_query(w, h, &w->filter, why_find_one, w, err);
	if (rc == RC_OK && w->sessions.count)
		rc = why_query(w, h, &in, why_gather_one, w, err);
	why_judge(w);
	for (int pop3 = 0; pop3 < 2 && rc == RC_OK && w->is_account; pop3++) {
		first = why_first_failure(w, pop3);
		if (first)
			rc = why_query(w, h, &(struct history_filter){.until_ms = first->at_ms, .addresses = w->addresses, .address_count = w->filter.address_count},
				why_last_one, &(struct why_last){w, pop3}, err);
	}
	return rc;
}

/* ---- */

static void why_say_nothing(const struct why *w, struct buf *out)
{
	buf_add_str(out, "Nothing is known");
	if (w->subject.len) {
		buf_add_str(out, " about ");
		buf_add_safe(out, w->subject, 320);
	}
	if (w->filter.since_ms) {
		buf_add_str(out, " since ");
		why_write_time(out, w->filter.since_ms, true);
	}
	if (w->filter.until_ms) {
		buf_add_str(out, " until ");
		why_write_time(out, w->filter.until_ms, true);
	}
	buf_add_str(out, ".\n");
	if (w->extent.blocks) {
		buf_add_str(out, "The history goes back to ");
		why_write_time(out, w->extent.first_ms, true);
		buf_add_str(out, " (");
		cli_write_bytes(out, w->extent.bytes);
		buf_add_str(out, ").\n");
	} else {
		buf_add_str(out, "The history is empty: the server has not run since it was made, or history days is 0 in the configuration.\n");
	}
	if (w->account.asked && !w->account.found && w->account.hosted) {
		buf_add_safe(out, w->subject, 320);
		buf_add_str(out, " is no account or alias here.\n");
	}
	buf_add_str(out, "A connection that never reached this server leaves no trace here. What else to look at:\n"
		"  - is the name of the server in the mail program right, and does it lead to this machine?\n"
		"  - is the port? Mail programs send through 587 or 465; many networks block 25. mailroom check shows what listens where.\n"
		"  - does a firewall stand between? Ask again with --ip and the address from which it was tried.\n"
		"  - did they sign in with another name? mailroom why --since 1h shows everybody.\n");
}

static int why_run(struct why *w, struct history *h, const struct buf *queue)
{
	struct err err = {{0}};
	struct buf out;
	enum rc rc = RC_OK;
	int status;

	if (h)
		rc = why_gather(w, h, &err);
	cli_history_close(&h);
	if (rc != RC_OK)
		return cli_store_failed(rc, &err, "why");
	status = w->event_count || w->is_queued ? CLI_OK : CLI_FAILED;
	if (w->cli->json) {
		cli_print_json(why_json(w));
		return status;
	}
	buf_init(&out, WHY_OUT_BYTES);
	if (w->event_count == 0 && w->is_queued) {
		buf_add_str(&out, "The history has nothing of it, but it is in the queue.\n");
		buf_add(&out, buf_span(queue));
	} else if (w->event_count == 0) {
		why_say_nothing(w, &out);
		buf_add(&out, buf_span(queue));
	} else {
		why_say(w, &out);
		buf_add(&out, buf_span(queue));
		why_print_sessions(w, &out);
	}
	(void)fwrite(out.ptr, 1, out.len, stdout);
	buf_clear(&out);
	return status;
}

static int why_answer(struct cli *cli, int (*take)(struct why *w))
{
	struct why *w = arena_zalloc(&cli->mem, sizeof(*w));
	struct history *h = NULL;
	struct buf queue;
	int status;

	w->cli = cli;
	w->oldest = &w->newest;
	map_init(&w->sessions);
	buf_init(&queue, 1 << 20);
	status = take(w);
	if (status == CLI_OK)
		status = why_take_bounds(w);
	if (status == CLI_OK)
		status = why_ask_store(w, &queue);
	if (status == CLI_OK && cli_history_open(cli, &h))
		status = why_run(w, h, &queue);
	else if (status == CLI_OK)
		status = CLI_FAILED;
	buf_clear(&queue);
	map_clear(&w->sessions);
	return status;
}

int cli_why(struct cli *cli)
{
	return why_answer(cli, why_take_options);
}

static int why_take_queue_id(struct why *w)
{
	w->subject = span_str(w->cli->args[0]);
	return why_take_message(w, w->cli->args[0]);
}

int cli_queue_why(struct cli *cli)
{
	return why_answer(cli, why_take_queue_id);
}
