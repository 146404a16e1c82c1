#include "cli/cli_why.h"

enum { WHY_NAME_SHOWN = 200 };

static bool why_failed(const struct history_event *e)
{
	return e->kind == HISTORY_SIGNIN_FAILED || e->kind == HISTORY_REFUSED;
}

static bool why_is_mail(const struct history_event *e)
{
	return e->kind == HISTORY_ACCEPTED || e->kind == HISTORY_QUEUED;
}

/* what speaks for the person whose account it is, and not for mail that is meant for it */
static bool why_by_subject(const struct why *w, const struct history_event *e)
{
	struct history_event of = {.account = e->account, .login = e->login, .sender = e->sender};
	const struct history_filter only = {.addresses = w->addresses, .address_count = w->filter.address_count};

	return w->is_account && history_matches(&only, &of);
}

/* The first thing that went wrong is the reason; what follows from it in the same session speaks only where nothing else does. */
static void why_judge_session(const struct why *w, struct why_session *s)
{
	const struct history_event *consequence = NULL;

	s->first_ms = s->last_ms = s->events ? s->events->e.at_ms : 0;
	for (const struct why_event *v = s->events; v; v = v->next) {
		const struct cause *c = cause_get(cause_by_slug(v->e.cause));

		s->last_ms = v->e.at_ms;
		s->outgoing |= why_by_subject(w, &v->e);
		s->signed_in |= v->e.kind == HISTORY_SIGNIN_OK || (v->e.account.len > 0 && v->e.kind != HISTORY_SIGNIN_FAILED);
		s->pop3 |= span_eq(v->e.service, SPAN_LIT("pop3"));
		if (why_is_mail(&v->e) && !s->sent)
			s->sent = &v->e;
		if (!why_failed(&v->e))
			continue;
		if (c && c->consequence)
			consequence = consequence ? consequence : &v->e;
		else if (!s->lead)
			s->lead = &v->e;
	}
	if (!s->lead)
		s->lead = consequence;
}

void why_judge(struct why *w)
{
	for (struct why_session *s = w->newest; s; s = s->next)
		why_judge_session(w, s);
}

/* The trouble that there is now: sessions that failed, newest first, until one that went well. Who fetches mail well may still not be able to send, so the two
 * are looked at apart. Mail that came from elsewhere in somebody's name is not theirs. */
static bool why_went_well(const struct why_session *s)
{
	return s->signed_in && s->id && (s->sent || !s->lead);
}

const struct history_event *why_first_failure(const struct why *w, bool pop3)
{
	const struct history_event *first = NULL;

	for (const struct why_session *s = w->newest; s; s = s->next) {
		if (!s->outgoing || s->pop3 != pop3)
			continue;
		if (why_went_well(s))
			break;
		if (s->lead)
			first = s->lead;
	}
	return first;
}

bool why_is_success_of(const struct why *w, const struct history_event *e)
{
	return (e->kind == HISTORY_SIGNIN_OK || (why_is_mail(e) && e->account.len)) && why_by_subject(w, e);
}

/* ---- counting causes */

struct why_count {
	struct span cause;
	size_t times;
	const struct why_session *newest;
};
struct why_tally {
	struct why_count causes[WHY_CAUSES];
	size_t count, sessions, others; /* others: causes beyond those */
};

static void why_tally_add(struct why_tally *t, const struct why_session *s)
{
	size_t i = 0;

	t->sessions++;
	while (i < t->count && !span_eq(t->causes[i].cause, s->lead->cause))
		i++;
	if (i == WHY_CAUSES) {
		t->others++;
		return;
	}
	if (i == t->count)
		t->causes[t->count++] = (struct why_count){.cause = s->lead->cause, .newest = s};
	t->causes[i].times++;
}

static void why_tally_sort(struct why_tally *t)
{
	for (size_t i = 1; i < t->count; i++)
		for (size_t k = i; k > 0 && t->causes[k].times > t->causes[k - 1].times; k--) {
			struct why_count swap = t->causes[k];

			t->causes[k] = t->causes[k - 1];
			t->causes[k - 1] = swap;
		}
}

static void why_add_times(struct buf *out, size_t n)
{
	if (n == 1)
		buf_add_str(out, "once ");
	else
		buf_printf(out, "%zu times ", n);
}

/* "14 times auth-wrong-password from 192.0.2.7 (laptop.local), once tls-required" */
static void why_add_tally(struct buf *out, const struct why_tally *t)
{
	for (size_t i = 0; i < t->count; i++) {
		const struct why_session *s = t->causes[i].newest;

		buf_add_str(out, i ? ", " : "");
		why_add_times(out, t->causes[i].times);
		buf_add_safe(out, t->causes[i].cause, WHY_NAME_SHOWN);
		if (i == 0 && why_peer(s).len) {
			buf_add_str(out, t->causes[i].times > 1 ? ", last from " : " from ");
			buf_add_safe(out, why_peer(s), WHY_NAME_SHOWN);
			if (why_helo(s).len) {
				buf_add_str(out, " (");
				buf_add_safe(out, why_helo(s), WHY_NAME_SHOWN);
				buf_add_byte(out, ')');
			}
		}
	}
	if (t->others)
		buf_printf(out, ", %zu times something else", t->others);
}

/* ---- sentences */

static void why_add_subject(const struct why *w, struct buf *out)
{
	buf_add_safe(out, w->subject, WHY_NAME_SHOWN);
}

static void why_say_last_ok(const struct why *w, bool pop3, struct buf *out)
{
	const struct history_event *e = &w->last_ok[pop3];

	if (e->kind == HISTORY_NONE) {
		buf_add_str(out, " No success before that is in the history");
		if (w->extent.blocks) {
			buf_add_str(out, ", which goes back to ");
			why_write_time(out, w->extent.first_ms, true);
		}
		buf_add_byte(out, '.');
		return;
	}
	buf_add_str(out, e->kind == HISTORY_SIGNIN_OK ? " Last successful sign-in: " : " Last success: ");
	why_write_time(out, e->at_ms, true);
	if (e->peer.len) {
		buf_add_str(out, " from ");
		buf_add_safe(out, e->peer, WHY_NAME_SHOWN);
	}
	buf_add_byte(out, '.');
}

/* the person's own sessions; fills in what is wrong now */
static void why_say_outgoing(const struct why *w, bool pop3, struct why_tally *t, struct buf *out)
{
	const struct history_event *first = why_first_failure(w, pop3);
	const struct why_session *well = NULL;

	for (const struct why_session *s = w->newest; s && !well; s = s->next) {
		if (!s->outgoing || s->pop3 != pop3)
			continue;
		if (why_went_well(s))
			well = s;
		else if (s->lead)
			why_tally_add(t, s);
	}
	why_tally_sort(t);
	if (!first && !well)
		return;
	why_add_subject(w, out);
	if (first) {
		buf_add_str(out, pop3 ? " could not fetch mail since " : " could not send since ");
		why_write_time(out, first->at_ms, true);
		buf_add_str(out, ": ");
		why_add_tally(out, t);
		buf_add_byte(out, '.');
		why_say_last_ok(w, pop3, out);
	} else {
		buf_add_str(out, well->sent ? " last sent mail " : pop3 ? " last fetched mail " : " last signed in to send ");
		why_write_time(out, well->last_ms, true);
		if (why_peer(well).len) {
			buf_add_str(out, " from ");
			buf_add_safe(out, why_peer(well), WHY_NAME_SHOWN);
		}
		buf_add_str(out, well->lead ? ", though not all went well." : ", and nothing was refused since.");
	}
	buf_add_byte(out, '\n');
}

/* mail that others sent it, and, where no account is asked about, everything */
static void why_say_rest(const struct why *w, struct why_tally *t, struct buf *out)
{
	struct why_tally refused = {0};
	size_t sessions = 0, accepted = 0;
	int64_t last_ms = 0;

	for (const struct why_session *s = w->newest; s; s = s->next) {
		if (s->outgoing)
			continue;
		sessions += s->id != 0;
		if (s->sent) {
			last_ms = last_ms ? last_ms : s->last_ms;
			accepted++;
		} else if (s->lead) {
			why_tally_add(&refused, s);
		}
	}
	if (!sessions)
		return;
	why_tally_sort(&refused);
	if (w->is_account)
		buf_add_str(out, "Mail for ");
	why_add_subject(w, out);
	buf_add_str(out, w->subject.len ? ": " : "");
	buf_printf(out, "%zu session%s, %zu with mail that was accepted", sessions, sessions == 1 ? "" : "s", accepted);
	if (accepted) {
		buf_add_str(out, " (last ");
		why_write_time(out, last_ms, true);
		buf_add_byte(out, ')');
	}
	if (refused.sessions) {
		buf_printf(out, ", %zu refused: ", refused.sessions);
		why_add_tally(out, &refused);
	}
	buf_add_str(out, ".\n");
	if (t->sessions == 0)
		*t = refused;
}

static void why_say_account_now(const struct why *w, struct buf *out)
{
	const struct why_account *a = &w->account;

	if (!a->asked || (!a->found && !a->hosted))
		return;
	if (!a->found) {
		why_add_subject(w, out);
		buf_add_str(out, " is no account or alias here.\n");
	} else if (!a->enabled) {
		buf_add_str(out, "The account is disabled now; mailroom account enable ");
		why_add_subject(w, out);
		buf_add_str(out, " undoes that.\n");
	} else if (a->full) {
		buf_add_str(out, "Its mailbox is full now.\n");
	}
}

static void why_say_next(const struct why_tally *t, struct buf *out)
{
	static const struct {
		const char *who, *title;
	} roles[] = {{"admin", "Administrator: "}, {"client", "Mail program: "}, {"sender", "Sender: "}, {"remote-admin", "The other server's administrator: "},
		{"nobody", ""}};
	const struct cause *c = t->count ? cause_get(cause_by_slug(t->causes[0].cause)) : NULL;

	if (!c)
		return;
	buf_printf(out, "\n%s: %s\n", c->slug, c->meaning);
	for (size_t r = 0; r < sizeof(roles) / sizeof(roles[0]); r++)
		for (const struct cause_advice *a = c->fixes; a->who; a++)
			if (strcmp(a->who, roles[r].who) == 0)
				buf_printf(out, "  %s%s\n", roles[r].title, a->what);
}

void why_say(const struct why *w, struct buf *out)
{
	struct why_tally t = {0}, fetching = {0};

	why_say_outgoing(w, false, &t, out);
	why_say_outgoing(w, true, &fetching, out);
	if (t.sessions == 0)
		t = fetching;
	why_say_rest(w, &t, out);
	why_say_account_now(w, out);
	if (w->damaged)
		buf_printf(out, "%zu parts of the history cannot be read and are left out.\n", w->damaged);
	why_say_next(&t, out);
}
