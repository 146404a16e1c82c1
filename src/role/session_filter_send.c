/* what one account's filter sends: where the message is sent on to, and the answer that its sender gets. Here the message is read; the
 * store only takes what was decided, looks whether the account may, and writes. */
#include "role/session_filter_internal.h"

#include <openssl/evp.h>

#include "policy/vacation.h"
#include "store/store.h"

enum {
	FILTER_TO_BYTES = 320,
	FILTER_SUBJECT_BYTES = 512,
	FILTER_REFERENCES_BYTES = 2000,
	FILTER_TEXT_BYTES = 4096,
	FILTER_ANSWER_BYTES = 8192
};

size_t filter_write_sent_on(struct filter_run *r, const struct filter_account *a, const struct sieve_message *m,
			    const struct sieve_result *result, struct span added)
{
	size_t n = 0;

	if (vacation_was_here(m, span_str(a->address))) {
		filter_log(r, a, "redirect", 0, "the message was here before (Delivered-To); it is not sent on once more");
		return 0;
	}
	for (size_t i = 0; i < result->action_count; i++) {
		const struct sieve_action *act = &result->actions[i];

		if (act->act != SIEVE_REDIRECT)
			continue;
		if (act->text.len > FILTER_TO_BYTES) {
			filter_log(r, a, "redirect", act->line, "the address is too long");
			continue;
		}
		rec_filed_add(&r->filed,
			      &(struct rec_filed){.account = a->account, .how = STORE_FILED_SENT_ON, .added = added, .to = act->text});
		r->filed_count++;
		n++;
	}
	return n;
}

/* ---- answers */

/* RFC 5230 4.2: by its handle, else by what it says */
static bool answer_handle(const struct sieve_action *act, uint8_t out[32])
{
	const struct sieve_vacation *v = act->vacation;
	struct span parts[] = {v->handle, v->subject, v->from, act->text};
	size_t count = v->handle.len ? 1 : 4;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint8_t kind = v->handle.len ? 2 : v->mime;
	bool ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 && EVP_DigestUpdate(md, &kind, 1) == 1;

	for (size_t i = 0; i < count && ok; i++) {
		uint64_t len = parts[i].len;

		ok = EVP_DigestUpdate(md, &len, sizeof(len)) == 1 &&
		     EVP_DigestUpdate(md, parts[i].len ? (const void *)parts[i].ptr : "", parts[i].len) == 1;
	}
	ok = ok && EVP_DigestFinal_ex(md, out, NULL) == 1;
	EVP_MD_CTX_free(md);
	return ok;
}

/* The address that the sender wrote is the account's where it leads to nobody else: an alias of it, or its domain's catch-all. */
static bool answer_is_alone(const struct filter_run *r, const struct filter_account *a)
{
	size_t n = r->tags[a->tag].others;

	for (size_t i = 0; i < r->link_count && n < 2; i++)
		n += r->links[i].tag == a->tag;
	return n == 1;
}

static struct span answer_references(const struct sieve_message *m)
{
	struct sieve_field f;

	if (m->ops->field(m->owner, 0, SPAN_LIT("References"), 0, &f) || m->ops->field(m->owner, 0, SPAN_LIT("In-Reply-To"), 0, &f))
		return f.raw;
	return SPAN_NONE;
}

/* Of a long list the end says more. */
static struct span answer_tail(struct span s)
{
	return s.len > FILTER_REFERENCES_BYTES ? span_from(s, s.len - FILTER_REFERENCES_BYTES) : s;
}

static void answer_add(struct filter_run *r, const struct filter_account *a, const struct sieve_message *m, const struct sieve_action *act)
{
	const struct sieve_vacation *v = act->vacation;
	struct rec_answer answer = {.account = a->account,
				    .seconds = v->seconds,
				    .mime = v->mime,
				    .from = v->from,
				    .text = act->text,
				    .references = answer_tail(answer_references(m))};
	struct buf subject;
	uint8_t handle[32];

	if (!r->answers.max_bytes)
		buf_init(&r->answers, (size_t)LIMIT_SIEVE_ANSWERS * FILTER_ANSWER_BYTES);
	buf_init(&subject, FILTER_SUBJECT_BYTES);
	vacation_write_subject(m, v, &subject);
	answer.subject = buf_span(&subject);
	answer.handle = span_of(handle, sizeof(handle));
	if (v->from.len > FILTER_TO_BYTES || act->text.len > FILTER_TEXT_BYTES) {
		filter_log(r, a, "vacation", act->line, "the answer is too long; none is sent");
	} else if (r->answer_count == LIMIT_SIEVE_ANSWERS) {
		filter_log(r, a, "vacation", act->line, "too many accounts answer one message; this one does not");
	} else if (answer_handle(act, handle)) {
		rec_answer_add(&r->answers, &answer);
		r->answer_count++;
	}
	buf_clear(&subject);
}

void filter_write_answer(struct filter_run *r, const struct filter_account *a, const struct sieve_message *m,
			 const struct sieve_result *result)
{
	const struct sieve_action *act = result->actions;
	struct span own[2] = {span_str(a->address), m->to};
	enum vacation_why why;
	struct buf words;

	while (act->act != SIEVE_VACATION)
		act++;
	why = vacation_judge(m, act->vacation, own, answer_is_alone(r, a) ? 2 : 1);
	if (why == VACATION_ANSWER) {
		answer_add(r, a, m, act);
		return;
	}
	buf_init(&words, 256);
	buf_printf(&words, "no answer: %s", vacation_why_words(why));
	filter_log_usual(r, a, "vacation", act->line, buf_cstr(&words));
	buf_clear(&words);
}
