#include "role/auth_truth.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"

struct auth_record *auth_record_new(void)
{
	struct auth_record *r = mem_zalloc(sizeof(*r));

	buf_init_secret(&r->password, LIMIT_PASSWORD_BYTES);
	return r;
}

void auth_record_free(struct auth_record **rp)
{
	struct auth_record *r = *rp;

	*rp = NULL;
	if (!r)
		return;
	buf_clear(&r->password);
	if (r->old_hash)
		explicit_bzero(r->old_hash, strlen(r->old_hash));
	free(r->old_hash);
	free(r->name);
	free(r->account);
	free(r->peer);
	free(r->service);
	free(r->mechanism);
	free(r->app);
	free(r->note);
	free(r);
}

/* one hash, whatever there is to compare with */
static void truth_of_password(struct auth_record *r)
{
	struct cred_row row = {.old_hash = span_str(r->old_hash), .old_ended_ms = r->old_ended_ms};
	struct err err = {""};
	int64_t now = clock_wall_ms();

	if (cred_check_old(&row, buf_span(&r->password), now, &err) != RC_OK || r->cause != CAUSE_AUTH_WRONG_PASSWORD)
		return;
	r->cause = CAUSE_AUTH_PASSWORD_OLD;
	free(r->note);
	r->note = mem_printf("the password until %lld h ago; one of several devices may still have it", (long long)((now - r->old_ended_ms) / 3600000));
}

static void truth_of_name(struct auth_truth *t, struct auth_record *r)
{
	enum cause_id cause = r->cause;
	struct err err = {""};
	struct buf words;

	if ((cause != CAUSE_AUTH_USER_UNKNOWN && cause != CAUSE_AUTH_LOGIN_FORM) || !r->name)
		return;
	buf_init(&words, AUTH_FORM_DETAIL_BYTES);
	if (auth_form_explain(t->cred, span_str(r->name), t->default_domain, &cause, &words, &err) == RC_OK && !words.overflow) {
		/* what is no login name at all stays that, whatever else is said of it */
		if (r->cause == CAUSE_AUTH_USER_UNKNOWN)
			r->cause = cause;
		if (cause == CAUSE_AUTH_LOGIN_FORM || r->cause != CAUSE_AUTH_LOGIN_FORM) {
			free(r->note);
			r->note = mem_str_span(buf_span(&words));
		}
	}
	buf_clear(&words);
}

static void truth_done(struct auth_truth *t, struct auth_record *r)
{
	truth_of_name(t, r);
	t->done(t->arg, r);
	auth_record_free(&r);
}

static struct auth_record *truth_take(struct auth_truth *t)
{
	struct auth_record *r = t->waiting[0];

	t->count--;
	memmove(&t->waiting[0], &t->waiting[1], t->count * sizeof(t->waiting[0]));
	return r;
}

void auth_truth_put(struct auth_truth *t, struct auth_record *r)
{
	if (!r->wrong || r->password.len == 0 || t->closing) {
		truth_done(t, r);
		return;
	}
	if (t->count == LIMIT_AUTH_QUEUE)
		truth_done(t, truth_take(t));
	t->waiting[t->count++] = r;
}

bool auth_truth_next(struct auth_truth *t)
{
	struct auth_record *r;

	if (t->count == 0)
		return false;
	r = truth_take(t);
	truth_of_password(r);
	truth_done(t, r);
	return true;
}

void auth_truth_flush(struct auth_truth *t)
{
	while (t->count)
		truth_done(t, truth_take(t));
}
