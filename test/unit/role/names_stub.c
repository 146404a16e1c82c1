#include "names_stub.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

enum { STUB_RECORDS = 64, STUB_QUESTIONS = 64 };

static struct {
	struct stub_record records[STUB_RECORDS];
	size_t count;
	struct { uint16_t type; unsigned times; } asked[STUB_QUESTIONS];
} stub;

struct stub_question {
	struct stub_question *next;
	uint32_t number;
	enum name_type type;
	char name[256];
	names_answer *answer;
	void *arg;
};

struct names {
	struct loop *loop;
	struct stub_question *open;
	struct loop_hook soon;
	uint32_t next;
};

void names_stub_clear(void)
{
	for (size_t i = 0; i < stub.count; i++)
		buf_clear(&stub.records[i].rrs);
	memset(&stub, 0, sizeof(stub));
}

static struct stub_record *stub_find(enum name_type type, const char *name)
{
	for (size_t i = 0; i < stub.count; i++)
		if (stub.records[i].type == type && span_eq_nocase(span_str(stub.records[i].name), span_str(name)))
			return &stub.records[i];
	return NULL;
}

struct stub_record *names_stub_fail(enum name_type type, const char *name, enum name_status status)
{
	struct stub_record *r = stub_find(type, name);

	if (!r) {
		r = &stub.records[stub.count++];
		r->type = type;
		(void)snprintf(r->name, sizeof(r->name), "%s", name);
		buf_init(&r->rrs, 1 << 20);
	}
	r->status = status;
	r->silent = false;
	buf_reset(&r->rrs);
	r->count = 0;
	return r;
}

struct stub_record *names_stub_add(enum name_type type, const char *name, enum name_security security, struct span data)
{
	struct stub_record *r = stub_find(type, name);

	if (!r || r->status != NAME_FOUND)
		r = names_stub_fail(type, name, NAME_FOUND);
	r->security = security;
	rec_name_rr_add(&r->rrs, &(struct rec_name_rr){.data = data});
	r->count++;
	return r;
}

unsigned names_stub_asked(enum name_type type)
{
	return (unsigned)type < STUB_QUESTIONS ? stub.asked[type].times : 0;
}

static void stub_answer(void *arg)
{
	struct names *n = arg;
	struct stub_question *list = n->open;

	n->open = NULL;
	while (list) {
		struct stub_question *q = list;
		struct stub_record *r = stub_find(q->type, q->name);
		struct msg_name_is is = {.ask = q->number, .status = NAME_UNKNOWN};

		list = q->next;
		if (r && r->silent) {
			q->next = n->open;
			n->open = q;
			continue;
		}
		if (r)
			is = (struct msg_name_is){.ask = q->number, .status = (uint8_t)r->status, .security = (uint8_t)r->security,
				.rrs = {.raw = buf_span(&r->rrs), .count = r->count}};
		q->answer(q->arg, &is);
		free(q);
	}
}

struct names *names_new(struct loop *loop, enum role_id self)
{
	struct names *n = mem_zalloc(sizeof(*n));

	(void)self;
	n->loop = loop;
	n->soon = (struct loop_hook){.fn = stub_answer, .arg = n, .once = true};
	return n;
}

void names_free(struct names **np)
{
	struct names *n = *np;

	*np = NULL;
	loop_hook_remove(n->loop, &n->soon);
	while (n->open) {
		struct stub_question *q = n->open;

		n->open = q->next;
		free(q);
	}
	free(n);
}

uint32_t names_ask(struct names *n, enum name_type type, struct span name, names_answer *answer, void *arg)
{
	struct stub_question *q = mem_zalloc(sizeof(*q));
	struct stub_record *r;

	*q = (struct stub_question){.next = n->open, .number = ++n->next, .type = type, .answer = answer, .arg = arg};
	(void)snprintf(q->name, sizeof(q->name), "%.*s", SPAN_FMT(name));
	n->open = q;
	if ((unsigned)type < STUB_QUESTIONS)
		stub.asked[type].times++;
	r = stub_find(type, q->name);
	if (r)
		r->asked++;
	loop_soon(n->loop, &n->soon);
	return q->number;
}

void names_cancel(struct names *n, uint32_t question)
{
	for (struct stub_question **q = &n->open; *q; q = &(*q)->next) {
		struct stub_question *old = *q;

		if (old->number != question)
			continue;
		*q = old->next;
		free(old);
		return;
	}
}
