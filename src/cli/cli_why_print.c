#include <time.h>

#include "base/num.h"
#include "cli/cli_print.h"
#include "cli/cli_why.h"
#include "store/store.h"

enum { WHY_TEXT_SHOWN = 200, WHY_RECIPIENTS_SHOWN = 10 };

void why_write_time(struct buf *out, int64_t wall_ms, bool date)
{
	time_t t = (time_t)(wall_ms / 1000), now = time(NULL);
	struct tm tm, today;
	char text[64];

	if (!localtime_r(&t, &tm) || !localtime_r(&now, &today)) {
		buf_add_byte(out, '?');
		return;
	}
	if (!date)
		(void)strftime(text, sizeof(text), "%H:%M:%S", &tm);
	else if (tm.tm_year == today.tm_year)
		(void)strftime(text, sizeof(text), "%a %-d %b %H:%M", &tm);
	else
		(void)strftime(text, sizeof(text), "%a %-d %b %Y %H:%M", &tm);
	buf_add_str(out, text);
}

void why_write_ref(struct buf *out, uint64_t session)
{
	char text[14];

	buf_add_str(out, num_base32(session, 8, text));
}

const struct history_event *why_find(const struct why_session *s, enum history_kind kind)
{
	for (const struct why_event *v = s->events; v; v = v->next)
		if (v->e.kind == kind)
			return &v->e;
	return NULL;
}

struct span why_helo(const struct why_session *s)
{
	for (const struct why_event *v = s->events; v; v = v->next)
		if (v->e.helo.len)
			return v->e.helo;
	return SPAN_NONE;
}

struct span why_peer(const struct why_session *s)
{
	for (const struct why_event *v = s->events; v; v = v->next)
		if (v->e.peer.len)
			return v->e.peer;
	return SPAN_NONE;
}

/* ---- lines */

/* BEFORE text AFTER, or nothing */
static void why_add(struct buf *out, const char *before, struct span text, const char *after)
{
	if (text.len == 0)
		return;
	buf_add_str(out, before);
	buf_add_safe(out, text, WHY_TEXT_SHOWN);
	buf_add_str(out, after);
}

static void why_add_duration(struct buf *out, uint64_t ms)
{
	if (ms < 10000)
		buf_printf(out, "%llu.%llu s", (unsigned long long)(ms / 1000), (unsigned long long)(ms % 1000 / 100));
	else if (ms < 600000)
		buf_printf(out, "%llu s", (unsigned long long)(ms / 1000));
	else
		buf_printf(out, "%llu min", (unsigned long long)(ms / 60000));
}

static bool why_is_consequence(const struct history_event *e)
{
	const struct cause *c = cause_get(cause_by_slug(e->cause));

	return c && c->consequence;
}

/* stands under the first thing that went wrong: follows from it, or says it again */
static bool why_is_under(const struct why_session *s, const struct history_event *e)
{
	if (!s->lead || s->lead == e || e->kind != HISTORY_REFUSED || e->at_ms < s->lead->at_ms)
		return false;
	return why_is_consequence(e) || s->lead->kind == HISTORY_SIGNIN_FAILED || span_eq(e->cause, s->lead->cause);
}

static void why_line_cause(struct buf *out, const struct history_event *e)
{
	if (e->code)
		buf_printf(out, "%llu ", (unsigned long long)e->code);
	buf_add_safe(out, e->cause, WHY_TEXT_SHOWN);
	why_add(out, " (the client was told ", e->shown, ")");
	if (!why_is_consequence(e)) /* what it follows from stands above */
		why_add(out, "; ", e->detail, "");
	why_add(out, "; limit: ", e->limit, "");
	why_add(out, "; again in ", e->retry, "");
	why_add(out, "; by the rule of ", e->rule, "");
}

static void why_line_refused(struct buf *out, const struct history_event *e)
{
	why_add(out, "", e->command.len ? e->command : SPAN_LIT("connection"), "");
	why_add(out, " ", e->rcpt.len ? e->rcpt : span_eq_nocase(e->command, SPAN_LIT("MAIL")) ? e->sender : SPAN_NONE, "");
	if (e->rcpt.len)
		why_add(out, " from ", e->sender, "");
	buf_add_str(out, ": ");
	why_line_cause(out, e);
}

static void why_line_signin(struct buf *out, const struct history_event *e)
{
	bool ok = e->kind == HISTORY_SIGNIN_OK;

	buf_add_str(out, ok ? "signed in" : "sign-in");
	why_add(out, " as \"", e->login.len ? e->login : e->account, "\"");
	if (e->account.len && e->login.len && !span_eq_nocase(e->account, e->login))
		why_add(out, ", which is ", e->account, "");
	why_add(out, " with ", e->mechanism, "");
	if (!ok) {
		buf_add_str(out, " failed: ");
		why_line_cause(out, e);
	} else {
		why_add(out, "; ", e->detail, "");
	}
	if (e->more)
		buf_printf(out, " (and %llu times more before that)", (unsigned long long)e->more);
}

static void why_line_mail(struct buf *out, const struct history_event *e)
{
	buf_add_str(out, "accepted ");
	store_queue_id_write(out, (int64_t)e->message);
	why_add(out, " from ", e->sender, "");
	why_add(out, " for ", e->rcpt, e->kind == HISTORY_QUEUED ? ", to be sent on" : "");
	if (e->bytes) {
		buf_add_str(out, " (");
		cli_write_bytes(out, e->bytes);
		buf_add_byte(out, ')');
	}
	why_add(out, "; ", e->detail, "");
}

static void why_line_session(struct buf *out, const struct why_session *s, const struct history_event *e)
{
	bool mail = span_eq(e->service, SPAN_LIT("mx"));

	buf_add_str(out, s->lead || s->signed_in || mail ? "ended" : "left without signing in");
	if (!s->lead && !s->signed_in && !mail && span_eq(e->tls, SPAN_LIT("no")))
		buf_add_str(out, ", and without TLS");
	buf_add_str(out, ", after ");
	why_add_duration(out, e->ms);
	if (e->more) {
		buf_printf(out, "; %llu more refusals", (unsigned long long)e->more);
		why_add(out, ", mostly ", e->cause, "");
	}
}

static void why_line_more(struct buf *out, const struct history_event *e)
{
	buf_printf(out, "%llu more events", (unsigned long long)e->more);
	why_add(out, " of ", e->peer, "");
	if (e->kind == HISTORY_LOST)
		buf_add_str(out, " came faster than they could be written down");
	else
		why_add(out, " in a minute, mostly ", e->cause, "");
}

/* an attempt: what came of it, at which host, in whose words, when the next one is */
static void why_line_sent(struct buf *out, const struct history_event *e)
{
	static const char *const what[HISTORY_KIND_COUNT] = {[HISTORY_DELIVERED] = "delivered ", [HISTORY_DEFERRED] = "put off ", [HISTORY_FAILED] = "given up ",
		[HISTORY_EXPIRED] = "given up for its age ", [HISTORY_HELD] = "held ", [HISTORY_RELEASED] = "released ", [HISTORY_RETRIED] = "to be tried now ",
		[HISTORY_REMOVED] = "removed "};

	buf_add_str(out, what[e->kind]);
	store_queue_id_write(out, (int64_t)e->message);
	why_add(out, " for ", e->rcpt, "");
	why_add(out, e->kind == HISTORY_DELIVERED ? " to " : " by ", e->helo, "");
	if (e->peer.len && !span_eq(e->peer, e->helo))
		why_add(out, e->helo.len ? " [" : " at ", e->peer, e->helo.len ? "]" : "");
	if (e->helo.len || e->peer.len) {
		if (e->tls.len)
			why_add(out, ", ", e->tls, "");
		else
			buf_add_str(out, ", no TLS");
	}
	if (e->cause.len || e->code || e->detail.len) {
		buf_add_str(out, ": ");
		if (e->code)
			buf_printf(out, "%llu ", (unsigned long long)e->code);
		buf_add_safe(out, e->cause, WHY_TEXT_SHOWN);
		why_add(out, e->cause.len ? " \"" : "\"", e->detail, "\"");
	}
	if (e->ms) {
		buf_add_str(out, ", after ");
		why_add_duration(out, e->ms);
	}
	if (e->next_ms) {
		buf_add_str(out, "; next try ");
		why_write_time(out, (int64_t)e->next_ms, true);
	}
}

static void why_line(struct buf *out, const struct why_session *s, const struct history_event *e)
{
	switch (e->kind) {
	case HISTORY_REFUSED:
		why_line_refused(out, e);
		break;
	case HISTORY_SIGNIN_OK:
	case HISTORY_SIGNIN_FAILED:
		why_line_signin(out, e);
		break;
	case HISTORY_ACCEPTED:
	case HISTORY_QUEUED:
		why_line_mail(out, e);
		break;
	case HISTORY_SESSION:
		why_line_session(out, s, e);
		break;
	case HISTORY_WINDOW_OPENED:
	case HISTORY_WINDOW_CLOSED:
		buf_add_str(out, e->kind == HISTORY_WINDOW_OPENED ? "relay window opened" : "relay window closed");
		why_add(out, " for ", e->peer, "");
		why_add(out, ", account ", e->account, "");
		why_add(out, ": ", e->detail, "");
		break;
	case HISTORY_MORE:
	case HISTORY_LOST:
		why_line_more(out, e);
		break;
	case HISTORY_DELIVERED:
	case HISTORY_DEFERRED:
	case HISTORY_FAILED:
	case HISTORY_EXPIRED:
	case HISTORY_HELD:
	case HISTORY_RELEASED:
	case HISTORY_RETRIED:
	case HISTORY_REMOVED:
		why_line_sent(out, e);
		break;
	case HISTORY_NONE:
	case HISTORY_KIND_COUNT:
		buf_add_str(out, "something that a newer mailroom wrote down");
		break;
	}
}

static void why_print_head(struct buf *out, const struct why_session *s)
{
	const struct history_event *with = NULL;

	for (const struct why_event *v = s->events; v; v = v->next)
		if (v->e.service.len && (!with || span_eq(with->service, SPAN_LIT("smtp")))) /* as auth calls it; the worker knows which listener it is */
			with = &v->e;
	why_write_time(out, s->first_ms, true);
	if (with)
		why_add(out, "  ", with->service, "");
	why_add(out, "  ", why_peer(s), "");
	why_add(out, " (", why_helo(s), ")");
	if (with && with->tls.len)
		buf_add_str(out, span_eq(with->tls, SPAN_LIT("no")) ? "  no TLS" : "  TLS");
	if (s->id) {
		buf_add_str(out, "  session ");
		why_write_ref(out, s->id);
	}
	buf_add_byte(out, '\n');
}

static void why_print_session(struct buf *out, const struct why_session *s)
{
	size_t recipients = 0, left = 0;
	uint64_t message = 0;

	if (s->id)
		why_print_head(out, s);
	for (const struct why_event *v = s->events; v; v = v->next) {
		bool follows = v->e.message && v->e.message == message;

		recipients = follows ? recipients + 1 : 0;
		message = v->e.message;
		if (recipients >= WHY_RECIPIENTS_SHOWN) {
			left++;
			continue;
		}
		if (left)
			buf_printf(out, "            and for %zu more\n", left);
		left = 0;
		buf_add_str(out, s->id ? "  " : "");
		why_write_time(out, v->e.at_ms, !s->id);
		buf_add_str(out, why_is_under(s, &v->e) ? "    so then " : "  ");
		if (follows)
			why_add(out, "  and for ", v->e.rcpt, v->e.kind == HISTORY_QUEUED ? ", to be sent on" : "");
		else
			why_line(out, s, &v->e);
		buf_add_byte(out, '\n');
	}
	if (left)
		buf_printf(out, "            and for %zu more\n", left);
}

void why_print_sessions(const struct why *w, struct buf *out)
{
	size_t n = 0;

	for (const struct why_session *s = w->newest; s && n < w->shown; s = s->next, n++) {
		buf_add_byte(out, '\n');
		why_print_session(out, s);
	}
	if (w->session_count > n || w->more)
		buf_printf(out, "\nand %zu%s older; --all shows them, --since and --until choose\n", w->session_count - n, w->more ? " or more" : "");
}

/* ---- JSON */

static json_t *why_json_event(const struct why_event *v)
{
	json_t *o = json_object();
	struct buf text;
	struct span value;
	uint64_t number;
	const char *name;
	bool is_text;

	buf_init(&text, 256);
	cli_write_time(&text, v->e.at_ms);
	json_object_set_new(o, "at", cli_json_text(buf_span(&text)));
	json_object_set_new(o, "at_ms", json_integer((json_int_t)v->e.at_ms));
	json_object_set_new(o, "kind", json_string(history_kind_name(v->e.kind)));
	json_object_set_new(o, "matches", json_boolean(v->matches));
	for (size_t i = 0; history_field(&v->e, i, &name, &value, &number, &is_text); i++) {
		buf_reset(&text);
		if (number && strcmp(name, "session") == 0)
			why_write_ref(&text, number);
		else if (number && strcmp(name, "message") == 0)
			store_queue_id_write(&text, (int64_t)number);
		if (text.len)
			json_object_set_new(o, strcmp(name, "message") == 0 ? "queue_id" : name, cli_json_text(buf_span(&text)));
		else if (is_text || strcmp(name, "session") == 0 || strcmp(name, "message") == 0)
			json_object_set_new(o, strcmp(name, "message") == 0 ? "queue_id" : name, cli_json_text(value));
		else
			json_object_set_new(o, name, json_integer((json_int_t)(number > INT64_MAX ? INT64_MAX : number)));
	}
	buf_clear(&text);
	return o;
}

json_t *why_json(const struct why *w)
{
	json_t *all = json_array(), *one;
	size_t n = 0;

	for (const struct why_session *s = w->newest; s && n < w->shown; s = s->next, n++) {
		one = json_array();
		for (const struct why_event *v = s->events; v; v = v->next)
			json_array_insert_new(one, 0, why_json_event(v));
		json_array_extend(all, one);
		json_decref(one);
	}
	return all;
}
