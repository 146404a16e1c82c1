/* One run: walks the tree, counts the work, collects actions. */
#include "policy/sieve_exec.h"

#include <stdarg.h>

#include "policy/sieve_compile.h"

bool sieve_run_end(struct sieve_run *r, enum sieve_end end, const struct sieve_node *at, const char *fmt, ...)
{
	struct sieve_result *result = r->result;
	va_list args;

	if (r->ended)
		return false;
	r->ended = true;
	result->end = end;
	result->fault.line = at ? at->line : 0;
	va_start(args, fmt);
	(void)vsnprintf(result->fault.why.words, sizeof(result->fault.why.words), fmt, args);
	va_end(args);
	return false;
}

bool sieve_run_spend(struct sieve_run *r, const struct sieve_node *at, uint64_t n)
{
	if (r->ended)
		return false;
	if (n > r->steps_left) {
		r->steps_left = 0;
		return sieve_run_end(r, SIEVE_OVER, at, "the script takes too long for this message; the mail was kept");
	}
	r->steps_left -= n;
	return true;
}

bool sieve_run_full(struct sieve_run *r, const struct sieve_node *at)
{
	return sieve_run_end(r, SIEVE_OVER, at, "the script needs too much memory for this message; the mail was kept");
}

bool sieve_run_test(struct sieve_run *r, const struct sieve_node *n)
{
	if (!sieve_run_spend(r, n, SIEVE_STEPS_NODE))
		return false;
	if (!n->tests)
		arena_clear(&r->scratch); /* nothing of the tests before is wanted any more */
	return n->verb->test(r, n) && !r->ended;
}

enum sieve_flow sieve_run_block(struct sieve_run *r, const struct sieve_node *first)
{
	bool taken = false; /* a branch of the if before */

	for (const struct sieve_node *n = first; n; n = n->next) {
		enum sieve_flow flow;

		if (!sieve_run_spend(r, n, SIEVE_STEPS_NODE))
			return SIEVE_FLOW_STOP;
		arena_clear(&r->scratch);
		if (n->verb->flags & SIEVE_VERB_AFTER_IF && taken)
			continue;
		taken = !n->tests || sieve_run_test(r, n->tests);
		flow = r->ended ? SIEVE_FLOW_STOP : taken ? n->verb->command(r, n) : SIEVE_FLOW_NEXT;
		if (flow != SIEVE_FLOW_NEXT)
			return flow;
	}
	return SIEVE_FLOW_NEXT;
}

enum sieve_flow sieve_do_if(struct sieve_run *r, const struct sieve_node *n)
{
	return sieve_run_block(r, n->block);
}

enum sieve_flow sieve_do_stop(struct sieve_run *r, const struct sieve_node *n)
{
	(void)r;
	(void)n;
	return SIEVE_FLOW_STOP;
}

enum sieve_flow sieve_do_break(struct sieve_run *r, const struct sieve_node *n)
{
	r->breaking = n->target;
	return SIEVE_FLOW_BREAK;
}

/* RFC 5703 3: all parts, depth first; inside another loop the parts below its part */
enum sieve_flow sieve_do_foreverypart(struct sieve_run *r, const struct sieve_node *n)
{
	unsigned outer = r->part, part = r->in_loop ? outer + 1 : 0;
	bool was_in = r->in_loop;
	enum sieve_flow flow = SIEVE_FLOW_NEXT;
	struct sieve_part whole, p;

	if (!r->m->ops->part(r->m->owner, outer, &whole))
		return SIEVE_FLOW_NEXT;
	r->in_loop = true;
	for (; part < whole.end && flow == SIEVE_FLOW_NEXT && r->m->ops->part(r->m->owner, part, &p); part++) {
		if (!sieve_run_spend(r, n, SIEVE_STEPS_NODE))
			return SIEVE_FLOW_STOP;
		r->part = part;
		flow = sieve_run_block(r, n->block);
		if (flow == SIEVE_FLOW_BREAK && r->breaking == n)
			break;
	}
	r->part = outer;
	r->in_loop = was_in;
	return flow == SIEVE_FLOW_BREAK && r->breaking == n ? SIEVE_FLOW_NEXT : flow;
}

/* --- logic --- */

bool sieve_test_allof(struct sieve_run *r, const struct sieve_node *n)
{
	for (const struct sieve_node *t = n->tests; t; t = t->next)
		if (!sieve_run_test(r, t))
			return false;
	return true;
}

bool sieve_test_anyof(struct sieve_run *r, const struct sieve_node *n)
{
	for (const struct sieve_node *t = n->tests; t && !r->ended; t = t->next)
		if (sieve_run_test(r, t))
			return true;
	return false;
}

bool sieve_test_not(struct sieve_run *r, const struct sieve_node *n)
{
	return !sieve_run_test(r, n->tests);
}

bool sieve_test_true(struct sieve_run *r, const struct sieve_node *n)
{
	(void)r;
	(void)n;
	return true;
}

bool sieve_test_false(struct sieve_run *r, const struct sieve_node *n)
{
	(void)r;
	(void)n;
	return false;
}

bool sieve_test_size(struct sieve_run *r, const struct sieve_node *n)
{
	uint64_t limit = n->args[0].number;

	return sieve_node_has(n, SIEVE_TAG_OVER) ? r->m->size_bytes > limit : r->m->size_bytes < limit;
}

/* --- the whole --- */

static const struct sieve_action sieve_keep_only = {.act = SIEVE_KEEP};

static bool run_init(struct sieve_run *r)
{
	unsigned count = r->script->variable_count;

	r->actions = arena_zalloc(r->mem, (LIMIT_SIEVE_ACTIONS + 1) * sizeof(*r->actions)); /* one more for the implicit keep */
	r->variables = arena_zalloc(r->mem, (count ? count : 1) * sizeof(*r->variables));
	return (r->actions && r->variables) || sieve_run_full(r, NULL);
}

/* RFC 5228 2.10.2; the flags set so far belong to it (RFC 5232 4) */
static void keep_implicitly(struct sieve_run *r)
{
	struct sieve_action *a = &r->actions[r->action_count];

	*a = (struct sieve_action){.act = SIEVE_KEEP};
	if (sieve_flags_take(r, NULL, NULL, a))
		r->action_count++;
}

enum sieve_end sieve_run(const struct sieve_script *script, const struct sieve_message *message, uint64_t steps, struct arena *mem,
	struct sieve_result *out)
{
	struct sieve_run r = {.script = script, .m = message, .mem = mem, .steps_left = steps, .result = out, .implicit_keep = true};

	*out = (struct sieve_result){.end = SIEVE_DONE};
	arena_init(&r.scratch, LIMIT_SIEVE_SCRATCH_BYTES);
	buf_init(&r.fold, LIMIT_SIEVE_BODY_BYTES);
	if (run_init(&r)) {
		(void)sieve_run_block(&r, script->first);
		if (r.implicit_keep && !r.ended)
			keep_implicitly(&r);
	}
	out->incomplete |= message->ops->incomplete && message->ops->incomplete(message->owner);
	out->actions = r.ended ? &sieve_keep_only : r.actions;
	out->action_count = r.ended ? 1 : r.action_count;
	out->steps = steps - r.steps_left;
	arena_clear(&r.scratch);
	buf_clear(&r.fold);
	return out->end;
}

static const char *const act_names[] = {
	[SIEVE_KEEP] = "keep",
	[SIEVE_FILEINTO] = "fileinto",
	[SIEVE_REJECT] = "reject",
	[SIEVE_EREJECT] = "ereject",
	[SIEVE_DISCARD] = "discard",
	[SIEVE_REDIRECT] = "redirect",
	[SIEVE_ADDHEADER] = "addheader",
	[SIEVE_VACATION] = "vacation",
};

const char *sieve_act_name(enum sieve_act act)
{
	return act_names[act];
}

void sieve_write_why(const struct sieve_action *action, struct buf *out)
{
	if (action->line == 0)
		buf_add_str(out, "no rule decided: ");
	else
		buf_printf(out, "rule at line %u: ", action->line);
	buf_add_str(out, act_names[action->act]);
	if (action->act == SIEVE_FILEINTO || action->act == SIEVE_REDIRECT || action->act == SIEVE_ADDHEADER) {
		buf_add_byte(out, ' ');
		buf_add_safe(out, action->text, 100);
	}
}
