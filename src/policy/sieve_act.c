/* The actions: each becomes a row of the result. */
#include "policy/sieve_compile.h"
#include "policy/sieve_exec.h"

static bool refuses(enum sieve_act act)
{
	return act == SIEVE_REJECT || act == SIEVE_EREJECT;
}

/* RFC 5429 2.4: a message is refused or delivered, never both */
static bool exclude(enum sieve_act a, enum sieve_act b)
{
	bool other = a == SIEVE_DISCARD || a == SIEVE_ADDHEADER || b == SIEVE_DISCARD || b == SIEVE_ADDHEADER;

	return !other && (refuses(a) || refuses(b));
}

/* What was there before and means the same: the message is kept, filed and sent there only once (RFC 5228 2.10.3) */
static struct sieve_action *action_same(struct sieve_run *r, enum sieve_act act, struct span text)
{
	for (unsigned i = 0; i < r->action_count; i++) {
		struct sieve_action *a = &r->actions[i];

		if (a->act == act && act != SIEVE_ADDHEADER && act != SIEVE_VACATION && !refuses(act) && span_eq(a->text, text))
			return a;
	}
	return NULL;
}

/* NULL: the run has ended. `text` is copied. */
static struct sieve_action *action_add(struct sieve_run *r, const struct sieve_node *n, enum sieve_act act, struct span text)
{
	struct sieve_action *a;

	if (r->ended)
		return NULL;
	for (unsigned i = 0; i < r->action_count; i++) {
		a = &r->actions[i];
		if (exclude(a->act, act)) {
			(void)sieve_run_end(r, SIEVE_FAULT, n, "\"%s\" at line %u and \"%s\" at line %u exclude each other; the mail was kept",
				sieve_act_name(a->act), a->line, sieve_act_name(act), n->line);
			return NULL;
		}
		if (a->act == act && act == SIEVE_VACATION) {
			(void)sieve_run_end(r, SIEVE_FAULT, n, "\"vacation\" at line %u and again at line %u; the mail was kept", a->line, n->line);
			return NULL;
		}
	}
	a = action_same(r, act, text);
	if (a)
		return a;
	if (r->action_count == LIMIT_SIEVE_ACTIONS) {
		(void)sieve_run_end(r, SIEVE_OVER, n, "more than %d actions for one message; the mail was kept", LIMIT_SIEVE_ACTIONS);
		return NULL;
	}
	text = arena_copy(r->mem, text);
	if (!text.ptr) {
		(void)sieve_run_full(r, n);
		return NULL;
	}
	a = &r->actions[r->action_count++];
	*a = (struct sieve_action){.act = act, .line = n->line, .text = text, .copy = sieve_node_has(n, SIEVE_TAG_COPY)};
	return a;
}

/* RFC 3894: without :copy the action takes the place of the implicit keep */
static void cancel_keep(struct sieve_run *r, const struct sieve_node *n, struct sieve_action *a)
{
	if (!sieve_node_has(n, SIEVE_TAG_COPY)) {
		a->copy = false;
		r->implicit_keep = false;
	}
}

static enum sieve_flow keep_going(const struct sieve_run *r)
{
	return r->ended ? SIEVE_FLOW_STOP : SIEVE_FLOW_NEXT;
}

/* "what: text: why" as the fault of the run */
static enum sieve_flow bad_text(struct sieve_run *r, const struct sieve_node *n, struct span text, const char *why)
{
	struct buf shown;

	buf_init(&shown, 512);
	(void)sieve_run_end(r, SIEVE_FAULT, n, "%s \"%s\": %s; the mail was kept", n->verb->name, sieve_show(text, &shown), why);
	buf_clear(&shown);
	return SIEVE_FLOW_STOP;
}

enum sieve_flow sieve_do_keep(struct sieve_run *r, const struct sieve_node *n)
{
	struct sieve_action *a = action_add(r, n, SIEVE_KEEP, SPAN_LIT(""));

	if (a && sieve_flags_take(r, n, sieve_node_param(n, SIEVE_TAG_FLAGS), a))
		r->implicit_keep = false;
	return keep_going(r);
}

enum sieve_flow sieve_do_discard(struct sieve_run *r, const struct sieve_node *n)
{
	if (action_add(r, n, SIEVE_DISCARD, SPAN_LIT("")))
		r->implicit_keep = false;
	return keep_going(r);
}

enum sieve_flow sieve_do_fileinto(struct sieve_run *r, const struct sieve_node *n)
{
	struct span folder = sieve_expand(r, n, n->args[0].strings);
	const char *fault = sieve_folder_fault(folder);
	struct sieve_action *a;

	if (fault && !r->ended)
		return bad_text(r, n, folder, fault);
	a = action_add(r, n, SIEVE_FILEINTO, folder);
	if (a && sieve_flags_take(r, n, sieve_node_param(n, SIEVE_TAG_FLAGS), a))
		cancel_keep(r, n, a);
	return keep_going(r);
}

enum sieve_flow sieve_do_redirect(struct sieve_run *r, const struct sieve_node *n)
{
	struct span address = sieve_expand(r, n, n->args[0].strings);
	const char *fault = sieve_redirect_fault(address);
	unsigned before = r->action_count;
	struct sieve_action *a;

	if (fault && !r->ended)
		return bad_text(r, n, address, fault);
	a = action_add(r, n, SIEVE_REDIRECT, address);
	if (!a)
		return SIEVE_FLOW_STOP;
	r->redirects += r->action_count - before;
	if (r->redirects > LIMIT_SIEVE_REDIRECTS)
		(void)sieve_run_end(r, SIEVE_OVER, n, "more than %d redirects for one message; the mail was kept", LIMIT_SIEVE_REDIRECTS);
	else
		cancel_keep(r, n, a);
	return keep_going(r);
}

static enum sieve_flow do_refuse(struct sieve_run *r, const struct sieve_node *n, enum sieve_act act)
{
	if (action_add(r, n, act, sieve_expand(r, n, n->args[0].strings)))
		r->implicit_keep = false;
	return keep_going(r);
}

enum sieve_flow sieve_do_reject(struct sieve_run *r, const struct sieve_node *n)
{
	return do_refuse(r, n, SIEVE_REJECT);
}

enum sieve_flow sieve_do_ereject(struct sieve_run *r, const struct sieve_node *n)
{
	return do_refuse(r, n, SIEVE_EREJECT);
}

/* One line: what could begin another header field becomes a blank (RFC 5293 4, 8) */
static struct span one_line(struct sieve_run *r, const struct sieve_node *n, struct span value)
{
	struct span copy = arena_copy(r->mem, value);
	uint8_t *at = (uint8_t *)(uintptr_t)copy.ptr; /* our own copy */

	if (!at)
		(void)sieve_run_full(r, n);
	for (size_t i = 0; i < copy.len; i++)
		if (at[i] < 0x20 || at[i] == 0x7f)
			at[i] = ' ';
	return span_trim(copy);
}

enum sieve_flow sieve_do_addheader(struct sieve_run *r, const struct sieve_node *n)
{
	struct span name = sieve_expand(r, n, n->args[0].strings), value = sieve_expand(r, n, n->args[1].strings);
	const char *fault = sieve_addheader_fault(name);
	struct sieve_action *a;

	if (r->ended)
		return SIEVE_FLOW_STOP;
	if (fault)
		return bad_text(r, n, name, fault);
	if (!span_is_utf8(value))
		return bad_text(r, n, value, "the value is no UTF-8");
	value = one_line(r, n, value);
	a = action_add(r, n, SIEVE_ADDHEADER, name);
	if (a) {
		a->value = value;
		a->last = sieve_node_has(n, SIEVE_TAG_ADD_LAST);
	}
	return keep_going(r);
}

/* an optional string argument, in memory that lasts */
static struct span param_copy(struct sieve_run *r, const struct sieve_node *n, enum sieve_tag tag)
{
	const struct sieve_value *v = sieve_node_param(n, tag);
	struct span s = v ? sieve_expand(r, n, v->strings) : SPAN_NONE;

	if (!v)
		return s;
	s = arena_copy(r->mem, s);
	if (!s.ptr)
		(void)sieve_run_full(r, n);
	return s;
}

static bool vacation_addresses(struct sieve_run *r, const struct sieve_node *n, struct sieve_vacation *v)
{
	const struct sieve_value *list = sieve_node_param(n, SIEVE_TAG_ADDRESSES);
	struct span *to;

	if (!list)
		return true;
	to = arena_zalloc(r->mem, list->count * sizeof(*to));
	if (!to)
		return sieve_run_full(r, n);
	for (unsigned i = 0; i < list->count; i++) {
		to[i] = arena_copy(r->mem, sieve_expand(r, n, &list->strings[i]));
		if (!to[i].ptr)
			return sieve_run_full(r, n);
	}
	v->addresses = to;
	v->address_count = list->count;
	return true;
}

enum { VACATION_DAYS_USUAL = 7, VACATION_DAY_SECONDS = 86400 };

/* RFC 5230 4.1, 6131 2: what is out of bounds is taken for the nearest */
static unsigned vacation_seconds(const struct sieve_node *n)
{
	const struct sieve_value *days = sieve_node_param(n, SIEVE_TAG_DAYS), *seconds = sieve_node_param(n, SIEVE_TAG_SECONDS);
	uint64_t most = LIMIT_SIEVE_VACATION_DAYS, least = 1, wanted = days ? days->number : VACATION_DAYS_USUAL, unit = VACATION_DAY_SECONDS;

	if (seconds) {
		most = (uint64_t)LIMIT_SIEVE_VACATION_DAYS * VACATION_DAY_SECONDS;
		least = LIMIT_SIEVE_VACATION_SECONDS;
		wanted = seconds->number;
		unit = 1;
	}
	return (unsigned)((wanted < least ? least : wanted > most ? most : wanted) * unit);
}

enum sieve_flow sieve_do_vacation(struct sieve_run *r, const struct sieve_node *n)
{
	struct sieve_action *a = action_add(r, n, SIEVE_VACATION, sieve_expand(r, n, n->args[0].strings));
	struct sieve_vacation *v = a ? arena_zalloc(r->mem, sizeof(*v)) : NULL;

	if (!a)
		return SIEVE_FLOW_STOP;
	if (!v) {
		(void)sieve_run_full(r, n);
		return SIEVE_FLOW_STOP;
	}
	v->seconds = vacation_seconds(n);
	v->subject = param_copy(r, n, SIEVE_TAG_SUBJECT);
	v->from = param_copy(r, n, SIEVE_TAG_FROM);
	v->handle = param_copy(r, n, SIEVE_TAG_HANDLE);
	v->mime = sieve_node_has(n, SIEVE_TAG_VACATION_MIME);
	if (vacation_addresses(r, n, v))
		a->vacation = v;
	return keep_going(r);
}
