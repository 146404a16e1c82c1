#include "role/relay_sign.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "mail/address.h"
#include "mail/dkim.h"
#include "mail/header.h"
#include "mail/header_field.h"

enum {
	RELAY_SIGN_AT_ONCE = 8,         /* messages; the keys role has handshakes to sign, too */
	RELAY_SIGN_DOMAINS_MAX = 10000, /* whose keys are remembered */
	RELAY_SIGN_KEYS = 8,            /* messages.def */
	RELAY_SIGN_PARENTS = 4,         /* d= may be a parent of the author's domain: RFC 6376 3.10, 7489 3.1.1 */
	RELAY_SIGN_SCRATCH_BYTES = 64 << 10,
};

/* the keys of a domain, as the keys role said */
struct sign_domain {
	char *name;
	bool known;
	bool unread;                    /* it has keys, but the keys role could not read them */
	bool again;                     /* to be asked for anew: they were of no use */
	uint32_t ask;
	size_t count;
	struct {
		uint16_t key;
		enum dkim_algorithm algorithm;
		char selector[DKIM_SELECTOR_BYTES + 1];
	} keys[RELAY_SIGN_KEYS];
};

struct sign_wish {
	struct sign_wish *next;
	void (*done)(void *arg, const struct relay_failure *why);
	void *arg;
};

struct relay_sign {
	struct relay_signer *signer;
	struct relay_text *text;        /* held by the reader */
	struct relay_reader *reader;
	struct sign_wish *wishes;
	struct relay_sign *next, **prev; /* waiting, or under way */
	uint64_t head_bytes;
	struct buf head, field;
	struct dkim_body *body;
	uint8_t hash[DKIM_DIGEST_BYTES], digest[DKIM_DIGEST_BYTES];
	char *domain;                   /* of the author; then a parent */
	unsigned parents;
	struct sign_domain *found;      /* whose keys sign */
	size_t key;                     /* the one whose signature is made */
	uint32_t ask;
	enum { SIGN_HEAD, SIGN_KEYS, SIGN_BODY, SIGN_SIGNING } stage; /* who wrote it; whose keys; the body, which is not read where nobody signs; signatures */
	bool hashed;                    /* the body */
	bool failed;                    /* a key could not be used */
};

struct relay_signer {
	struct relay *relay;
	struct map domains;             /* hash of the name -> struct sign_domain */
	struct relay_sign *waiting, **waiting_end, *under_way;
	size_t under_way_count;
	struct loop_hook more;
};

static void sign_ask_domain(struct relay_sign *g);
static void sign_read_on(void *arg);

/* ---- lists */

static void sign_link(struct relay_sign **list, struct relay_sign *g)
{
	while (*list)
		list = &(*list)->next;
	g->next = NULL;
	g->prev = list;
	*list = g;
}

static void sign_unlink(struct relay_sign *g)
{
	if (g->signer->waiting_end == &g->next)
		g->signer->waiting_end = g->prev;
	*g->prev = g->next;
	if (g->next)
		g->next->prev = g->prev;
}

static void sign_free(struct relay_sign *g)
{
	sign_unlink(g);
	for (struct sign_wish *w; (w = g->wishes) != NULL;) {
		g->wishes = w->next;
		free(w);
	}
	if (g->text->sign == g)
		g->text->sign = NULL;
	dkim_body_free(&g->body);
	buf_clear(&g->head);
	buf_clear(&g->field);
	free(g->domain);
	relay_reader_free(&g->reader);
	free(g);
}

/* whoever waits goes on; why: no */
static void sign_end(struct relay_sign *g, const struct relay_failure *why)
{
	struct relay_signer *s = g->signer;
	struct sign_wish *wishes = g->wishes, *w;

	g->wishes = NULL;
	g->text->sign = NULL;
	g->text->signed_up = why == NULL;
	s->under_way_count--;
	g->text->refs++; /* those who go on may be the last to hold it */
	while ((w = wishes) != NULL) {
		wishes = w->next;
		w->done(w->arg, why);
		free(w);
	}
	relay_text_put(&(struct relay_text *){g->text});
	sign_free(g);
	if (s->waiting)
		loop_soon(s->relay->loop, &s->more);
}

/* what could be signed is, or there is nothing to be signed */
static void sign_finish(struct relay_sign *g)
{
	sign_end(g, NULL);
}

/* of_domain: the words end with its name */
static void sign_wait(struct relay_sign *g, enum cause_id cause, bool of_domain, const char *words)
{
	struct relay_failure why = {.outcome = DELIVERY_LATER, .cause = cause, .sure = 90, .pace = PACE_REFUSED};

	(void)snprintf(why.words, sizeof(why.words), "%s%s%s", words, of_domain ? " " : "", of_domain ? g->domain : "");
	sign_end(g, &why);
}

/* ---- signatures, one key after the other */

static void sign_ask(struct relay_sign *g)
{
	const struct sign_domain *d = g->found;

	if (g->signer->relay->keys)
		chan_send(g->signer->relay->keys, MSG_DKIM_SIGN, &(struct msg_dkim_sign){.ask = g->ask, .key = d->keys[g->key].key, .domain = span_str(d->name),
			.digest = span_of(g->digest, sizeof(g->digest))});
}

static void sign_key_failed(struct relay_sign *g)
{
	g->failed = true;
	g->found->again = true;
	log_msg(LOG_LEVEL_WARN, "dkim", "no signature with key %s of %s", g->found->keys[g->key].selector, g->found->name);
}

static void sign_next_key(struct relay_sign *g)
{
	for (; g->key < g->found->count; g->key++) {
		struct dkim_sign what = {.domain = span_str(g->found->name), .selector = span_str(g->found->keys[g->key].selector),
			.algorithm = g->found->keys[g->key].algorithm, .body_hash = g->hash, .at_s = clock_wall_ms() / 1000};

		enum rc rc;

		buf_reset(&g->field);
		rc = dkim_field(&what, buf_span(&g->head), &g->field, g->digest);
		if (rc == RC_OK) {
			g->ask = relay_ask(g->signer->relay);
			sign_ask(g);
			return;
		}
		if (rc == RC_IO)
			sign_key_failed(g);
	}
	if (g->failed && g->text->front.len == 0)
		sign_wait(g, CAUSE_SERVER_TEMP_ERROR, true, "this server could not use the DKIM key of");
	else
		sign_finish(g);
}

enum rc relay_sign_on_signed(struct relay_signer *s, const struct msg_dkim_signed *m)
{
	for (struct relay_sign *g = s->under_way; g; g = g->next) {
		if (g->ask != m->ask || !g->ask)
			continue;
		g->ask = 0;
		if (m->ok) {
			dkim_field_end(&g->field, m->signature);
			buf_add(&g->text->front, buf_span(&g->field));
		} else {
			sign_key_failed(g);
		}
		g->key++;
		sign_next_key(g);
		return RC_OK;
	}
	return RC_OK; /* its message is gone */
}

/* ---- whose keys */

static bool sign_domain_used(const struct relay_signer *s, const struct sign_domain *d)
{
	bool used = !d->known;

	for (const struct relay_sign *g = s->under_way; g && !used; g = g->next)
		used = g->found == d;
	return used;
}

static void sign_domains_forget(struct relay_signer *s)
{
	uint64_t key;
	void *value;

	for (size_t at = 0; map_next(&s->domains, &at, &key, &value);) {
		struct sign_domain *d = value;

		if (sign_domain_used(s, d))
			continue;
		(void)map_take(&s->domains, key);
		free(d->name);
		free(d);
	}
}

static struct sign_domain *sign_domain_get(struct relay_signer *s, const char *name)
{
	uint64_t hash = map_hash(name, strlen(name));
	struct sign_domain *d = map_get(&s->domains, hash);

	if (d)
		return strcmp(d->name, name) == 0 ? d : NULL; /* two names with one hash, which another relay will not see */
	if (s->domains.count >= RELAY_SIGN_DOMAINS_MAX)
		sign_domains_forget(s);
	d = mem_zalloc(sizeof(*d));
	d->name = mem_str(name);
	(void)map_put(&s->domains, hash, d);
	return d;
}

static void sign_domain_send(struct relay_signer *s, struct sign_domain *d)
{
	if (!d->ask)
		d->ask = relay_ask(s->relay);
	if (s->relay->keys)
		chan_send(s->relay->keys, MSG_DKIM_KEYS_GET, &(struct msg_dkim_keys_get){.ask = d->ask, .domain = span_str(d->name)});
}

static void sign_domain_unknown(struct sign_domain *d)
{
	d->known = d->unread = d->again = false;
	d->count = 0;
	d->ask = 0;
}

/* the keys of its domain are known */
static void sign_on_domain(struct relay_sign *g, struct sign_domain *d)
{
	const char *dot = strchr(g->domain, '.');
	char *parent;

	if (d->count) {
		g->found = d;
		g->stage = g->hashed ? SIGN_SIGNING : SIGN_BODY;
		if (g->hashed) {
			sign_next_key(g);
			return;
		}
		if (!g->body)
			g->body = dkim_body_new();
		sign_read_on(g);
		return;
	}
	if (d->unread) {
		sign_wait(g, CAUSE_SERVER_TEMP_ERROR, true, "this server could not read the DKIM key of");
		return;
	}
	if (!dot || !strchr(dot + 1, '.') || ++g->parents > RELAY_SIGN_PARENTS) {
		sign_finish(g);
		return;
	}
	parent = mem_str(dot + 1);
	free(g->domain);
	g->domain = parent;
	sign_ask_domain(g);
}

static void sign_ask_domain(struct relay_sign *g)
{
	struct sign_domain *d = sign_domain_get(g->signer, g->domain);

	if (d && d->again && !sign_domain_used(g->signer, d))
		sign_domain_unknown(d);
	if (!d)
		sign_wait(g, CAUSE_SERVER_TEMP_ERROR, true, "this server could not look up the DKIM key of");
	else if (d->known)
		sign_on_domain(g, d);
	else if (!d->ask)
		sign_domain_send(g->signer, d);
}

enum rc relay_sign_on_keys(struct relay_signer *s, const struct msg_dkim_keys *m)
{
	struct sign_domain *d = NULL;
	struct span cursor = m->keys.raw;
	struct rec_dkim_key k;
	uint64_t key;
	void *value;

	for (size_t at = 0; !d && map_next(&s->domains, &at, &key, &value);)
		d = ((struct sign_domain *)value)->ask == m->ask && m->ask ? value : NULL;
	if (!d)
		return RC_OK;
	while (d->count < RELAY_SIGN_KEYS && rec_dkim_key_next(&cursor, &k)) {
		if (!dkim_selector_ok(k.selector) || k.algorithm < DKIM_RSA_SHA256 || k.algorithm > DKIM_ED25519_SHA256)
			return RC_BAD;
		d->keys[d->count].key = k.key;
		d->keys[d->count].algorithm = (enum dkim_algorithm)k.algorithm;
		relay_copy(d->keys[d->count].selector, sizeof(d->keys[d->count].selector), k.selector);
		d->count++;
	}
	d->known = true;
	d->unread = d->again = m->unread;
	d->ask = 0;
	for (struct relay_sign *g = s->under_way, *next; g; g = next) {
		next = g->next;
		if (g->stage == SIGN_KEYS && strcmp(g->domain, d->name) == 0)
			sign_on_domain(g, d);
	}
	return RC_OK;
}

/* ---- reading */

/* the domain of the one author, A-labels (RFC 8616 2) in lower case; false: none that can be signed for */
static bool sign_author(struct relay_sign *g)
{
	uint8_t room[LIMIT_DOMAIN_BYTES];
	struct span rest = buf_span(&g->head), box = SPAN_NONE;
	struct header_field f;
	struct arena mem;
	unsigned n = 0;
	size_t at;
	bool ok;

	arena_init(&mem, RELAY_SIGN_SCRATCH_BYTES);
	while (n == 0 && header_field_next(&rest, &f))
		if (header_field_is(&f, "from"))
			n = header_mailboxes(f.value, &mem, &box, 1);
	for (at = box.len; at > 0 && box.ptr[at - 1] != '@'; at--)
		continue;
	box = address_domain_key(at ? span_from(box, at) : SPAN_NONE, room);
	ok = n > 0 && box.len > 0 && span_is_vchar(box);
	if (ok)
		g->domain = mem_str_span(box);
	arena_clear(&mem);
	return ok;
}

static void sign_on_head(struct relay_sign *g)
{
	g->stage = SIGN_KEYS;
	if (sign_author(g))
		sign_ask_domain(g);
	else
		sign_finish(g);
}

static void sign_on_body(struct relay_sign *g)
{
	g->stage = SIGN_SIGNING;
	g->hashed = true;
	if (dkim_body_end(&g->body, g->hash) == RC_OK)
		sign_next_key(g);
	else
		sign_wait(g, CAUSE_SERVER_TEMP_ERROR, false, "this server could not make a DKIM signature");
}

static void sign_read_on(void *arg)
{
	struct relay_sign *g = arg;
	struct span bytes;

	while (g->stage == SIGN_HEAD && g->head.len < g->head_bytes && !g->head.overflow && (bytes = relay_reader_peek(g->reader)).len) {
		bytes = span_head(bytes, (size_t)(g->head_bytes - g->head.len));
		buf_add(&g->head, bytes);
		relay_reader_take(g->reader, bytes.len);
	}
	while (g->stage == SIGN_BODY && (bytes = relay_reader_peek(g->reader)).len) {
		dkim_body_add(g->body, bytes);
		relay_reader_take(g->reader, bytes.len);
	}
	if (g->reader->cause != CAUSE_NONE)
		sign_wait(g, g->reader->cause, false, "this server could not read the message");
	else if (g->head.overflow)
		sign_finish(g);
	else if (g->stage == SIGN_HEAD && g->head.len == g->head_bytes)
		sign_on_head(g);
	else if (g->stage == SIGN_BODY && relay_reader_ended(g->reader))
		sign_on_body(g);
}

static void sign_begin(struct relay_sign *g)
{
	sign_link(&g->signer->under_way, g);
	g->signer->under_way_count++;
	g->reader = relay_reader_new(g->text, sign_read_on, g);
	relay_text_put(&(struct relay_text *){g->text}); /* the reader holds it now */
	sign_read_on(g);
}

static void signer_more(void *arg)
{
	struct relay_signer *s = arg;

	while (s->waiting && s->under_way_count < RELAY_SIGN_AT_ONCE) {
		struct relay_sign *g = s->waiting;

		sign_unlink(g);
		sign_begin(g);
	}
}

/* ---- for others */

void relay_sign(struct relay_signer *s, struct relay_text *t, uint64_t head_bytes, void (*done)(void *arg, const struct relay_failure *why), void *arg)
{
	struct sign_wish *w;

	if (t->signed_up) {
		done(arg, NULL);
		return;
	}
	w = mem_zalloc(sizeof(*w));
	*w = (struct sign_wish){.done = done, .arg = arg};
	if (t->sign) {
		w->next = t->sign->wishes;
		t->sign->wishes = w;
		return;
	}
	t->sign = mem_zalloc(sizeof(*t->sign));
	*t->sign = (struct relay_sign){.signer = s, .text = t, .wishes = w, .head_bytes = head_bytes};
	buf_init(&t->sign->head, LIMIT_TRACE_BYTES + LIMIT_HEADER_BYTES);
	buf_init(&t->sign->field, DKIM_FIELD_BYTES);
	t->refs++;
	t->sign->prev = s->waiting_end;
	*s->waiting_end = t->sign;
	s->waiting_end = &t->sign->next;
	loop_soon(s->relay->loop, &s->more);
}

void relay_sign_cancel(struct relay_text *t, const void *arg)
{
	struct sign_wish **place = t->sign ? &t->sign->wishes : NULL;

	while (place && *place) {
		struct sign_wish *w = *place;

		if (w->arg == arg) {
			*place = w->next;
			free(w);
		} else {
			place = &w->next;
		}
	}
}

struct relay_signer *relay_signer_new(struct relay *r)
{
	struct relay_signer *s = mem_zalloc(sizeof(*s));

	s->relay = r;
	s->waiting_end = &s->waiting;
	map_init(&s->domains);
	s->more = (struct loop_hook){.fn = signer_more, .arg = s};
	return s;
}

void relay_signer_keys(struct relay_signer *s)
{
	uint64_t key;
	void *value;

	/* It may be another role, which has read other keys and numbers them anew. Where a message has some of its signatures all are made again. */
	for (size_t at = 0; map_next(&s->domains, &at, &key, &value);)
		sign_domain_unknown(value);
	for (struct relay_sign *g = s->under_way, *next; g; g = next) {
		next = g->next;
		if (g->stage == SIGN_HEAD)
			continue;
		buf_reset(&g->text->front);
		g->stage = SIGN_KEYS;
		g->found = NULL;
		g->key = 0;
		g->ask = 0;
		g->failed = false;
		sign_ask_domain(g);
	}
}

void relay_signer_free(struct relay_signer **place)
{
	struct relay_signer *s = *place;
	uint64_t key;
	void *value;

	*place = NULL;
	if (!s)
		return;
	loop_hook_remove(s->relay->loop, &s->more);
	while (s->waiting) {
		struct relay_text *t = s->waiting->text;

		sign_free(s->waiting);
		relay_text_put(&t);
	}
	while (s->under_way)
		sign_free(s->under_way);
	for (size_t at = 0; map_next(&s->domains, &at, &key, &value);) {
		free(((struct sign_domain *)value)->name);
		free(value);
	}
	map_clear(&s->domains);
	free(s);
}
