/* what one account's filter decided: records for the store, the reason of a refusal, lines for the log */
#include "role/session_filter_internal.h"

#include "base/b64.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/store.h"

enum { FILTER_ADDED_BYTES = 1024, FILTER_FLAGS_BYTES = 512, FILTER_WORD_BYTES = 42 };

static void filter_log_at(enum log_level level, const struct filter_run *r, const struct filter_account *a, const char *action, unsigned line, const char *why)
{
	if (!log_begin(level, "filter"))
		return;
	log_str("session", r->session->ref);
	if (a->address && a->address[0])
		log_str("account", a->address);
	else
		log_num("account_id", a->account);
	log_str("action", action);
	if (line)
		log_num("line", line);
	log_str("why", why);
	log_end();
}

void filter_log(const struct filter_run *r, const struct filter_account *a, const char *action, unsigned line, const char *why)
{
	filter_log_at(why ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, r, a, action, line, why);
}

void filter_log_usual(const struct filter_run *r, const struct filter_account *a, const char *action, unsigned line, const char *why)
{
	filter_log_at(LOG_LEVEL_INFO, r, a, action, line, why);
}

/* RFC 2047 for what is not ASCII; the engine has made one line of it */
static void filter_write_value(struct buf *out, struct span value)
{
	if (span_is_ascii(value)) {
		buf_add(out, value);
		return;
	}
	while (value.len) {
		size_t n = value.len < FILTER_WORD_BYTES ? value.len : FILTER_WORD_BYTES;

		while (n < value.len && n > 1 && (value.ptr[n] & 0xc0) == 0x80) /* a character stays in one word */
			n--;
		buf_add_str(out, "=?utf-8?B?");
		b64_encode(out, span_head(value, n));
		buf_add_str(out, "?=");
		value = span_from(value, n);
		if (value.len)
			buf_add_byte(out, ' ');
	}
}

/* false: more than a line, or all of them, may have: left out */
static bool filter_write_line(struct buf *out, const struct sieve_action *act)
{
	size_t before = out->len;

	buf_add(out, act->text);
	buf_add_str(out, ": ");
	filter_write_value(out, act->value);
	buf_add_str(out, "\r\n");
	if (!out->overflow && out->len - before <= LIMIT_TEXT_LINE_BYTES)
		return true;
	out->len = before;
	out->overflow = false;
	return false;
}

/* RFC 5293 4: each stands above those before it, with :last below. All of them are above what the sender wrote: that is not touched. */
static void filter_write_added(const struct filter_run *r, const struct filter_account *a, const struct sieve_result *result, struct buf *out)
{
	for (int pass = 0; pass < 2; pass++)
		for (size_t n = 0; n < result->action_count; n++) {
			const struct sieve_action *act = &result->actions[pass ? n : result->action_count - 1 - n];

			if (act->act == SIEVE_ADDHEADER && act->last == (pass == 1) && !filter_write_line(out, act))
				filter_log(r, a, "addheader", act->line, "the lines to add are too long together; this one was left out");
		}
}

static void filter_write_flags(const struct sieve_action *act, struct buf *out)
{
	buf_reset(out);
	for (size_t i = 0; i < act->flag_count && out->len + 1 + act->flags[i].len <= FILTER_FLAGS_BYTES; i++) {
		buf_add_str(out, out->len ? " " : "");
		buf_add(out, act->flags[i]);
	}
}

static bool filter_is_copy(const struct sieve_action *act)
{
	return act->act == SIEVE_KEEP || act->act == SIEVE_FILEINTO;
}

static void filter_write_copy(struct filter_run *r, const struct filter_account *a, const struct sieve_action *act, struct span added)
{
	struct rec_filed f = {.account = a->account, .how = STORE_FILED_INBOX, .added = added};
	struct buf flags;

	buf_init(&flags, FILTER_FLAGS_BYTES);
	filter_write_flags(act, &flags);
	f.flags = buf_span(&flags);
	if (act->act == SIEVE_FILEINTO && !span_eq_nocase(act->text, SPAN_LIT("INBOX"))) {
		f.how = STORE_FILED_FOLDER;
		f.folder = act->text;
	}
	rec_filed_add(&r->filed, &f);
	r->filed_count++;
	buf_clear(&flags);
}

static bool filter_has(const struct sieve_result *result, enum sieve_act act)
{
	for (size_t i = 0; i < result->action_count; i++)
		if (result->actions[i].act == act)
			return true;
	return false;
}

static void filter_write_copies(struct filter_run *r, const struct filter_account *a, const struct sieve_message *m, const struct sieve_result *result)
{
	static const struct sieve_action inbox = {.act = SIEVE_KEEP};
	size_t left = r->count - r->at, copies = 0, redirects = 0;
	bool full;
	struct buf added;

	for (size_t i = 0; i < result->action_count; i++)
		copies += filter_is_copy(&result->actions[i]);
	for (size_t i = 0; i < result->action_count; i++)
		redirects += result->actions[i].act == SIEVE_REDIRECT;
	full = r->filed_count + copies + redirects + 1 + left > FILTER_FILED;
	buf_init(&added, FILTER_ADDED_BYTES);
	filter_write_added(r, a, result, &added);
	if (!full && redirects)
		redirects = filter_write_sent_on(r, a, m, result, buf_span(&added));
	if (full) {
		filter_log(r, a, "keep", 0, "the filters make too many copies of one message; the mail was kept");
		filter_write_copy(r, a, &inbox, buf_span(&added));
	} else if (copies == 0 && redirects == 0 && filter_has(result, SIEVE_REDIRECT)) {
		filter_write_copy(r, a, &inbox, buf_span(&added)); /* it has come back: somebody has to have it */
	} else if (copies == 0 && redirects == 0) {
		rec_filed_add(&r->filed, &(struct rec_filed){.account = a->account, .how = STORE_FILED_NOWHERE});
		r->filed_count++;
	} else {
		for (size_t i = 0; i < result->action_count; i++)
			if (filter_is_copy(&result->actions[i]))
				filter_write_copy(r, a, &result->actions[i], buf_span(&added));
	}
	buf_clear(&added);
}

/* the first line of it that says something: a reply is short */
static char *filter_reason(struct span text)
{
	struct span line = SPAN_NONE;

	while (text.ptr && line.len == 0) {
		line = span_cut(&text, '\n');
		if (line.len && line.ptr[line.len - 1] == '\r')
			line.len--;
		line = span_trim(line);
	}
	if (line.len > FILTER_REASON_BYTES) {
		line.len = FILTER_REASON_BYTES;
		while (line.len && (line.ptr[line.len] & 0xc0) == 0x80)
			line.len--;
	}
	return mem_str_span(line);
}

void filter_write_result(struct filter_run *r, struct filter_account *a, const struct sieve_message *m, const struct sieve_result *result)
{
	if (!r->filed.max_bytes)
		buf_init(&r->filed, (size_t)FILTER_FILED * (FILTER_ADDED_BYTES + FILTER_FLAGS_BYTES + LIMIT_FOLDER_BYTES + 400));
	for (size_t i = 0; i < result->action_count; i++) {
		const struct sieve_action *act = &result->actions[i];

		if ((act->act == SIEVE_REJECT || act->act == SIEVE_EREJECT) && !a->reason)
			a->reason = filter_reason(act->text);
		if (act->line)
			filter_log(r, a, sieve_act_name(act->act), act->line, NULL);
	}
	if (result->end != SIEVE_DONE)
		filter_log(r, a, "keep", result->fault.line, result->fault.why.words);
	filter_write_copies(r, a, m, result);
	if (!a->reason && filter_has(result, SIEVE_VACATION))
		filter_write_answer(r, a, m, result);
}
