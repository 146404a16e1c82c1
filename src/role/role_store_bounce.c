#include "role/role_store_bounce.h"

#include "base/log.h"
#include "base/rng.h"
#include "mail/dsn.h"
#include "mail/header_field.h"
#include "policy/bounce.h"
#include "role/role_store.h"
#include "store/store_queue.h"

enum {
	BOUNCES_SOON_MS = 200,
	BOUNCES_AGAIN_MS = 1000,        /* after a failure, and after some were made: their commit may fail, as on a full disk */
	BOUNCES_LOOK_MS = 30000,        /* without anybody having said so */
	BOUNCES_PATIENCE_MS = 60000,    /* a recipient that is still under way is not waited for any longer */
	BOUNCES_AT_ONCE = 16,           /* messages in one turn */
	BOUNCES_MEM_BYTES = 32 << 20,
	BOUNCES_WHOLE_BYTES = 50 << 10, /* messages up to this size are returned whole where nothing was said (RET) */
	BOUNCES_WHOLE_ASKED_BYTES = 1 << 20, /* ... and where RET=FULL was said */
	BOUNCES_SHARE_ROWS = 10000,     /* recipients in one report */
};

struct store_bouncer {
	struct store_role *role;
	struct loop_timer timer;
};

/* what one message's rows lead to */
struct bounce_job {
	struct store_role *s;
	const struct store_bounce *b;
	struct arena *mem;
	int64_t now_ms;
	struct buf text;       /* of the original, as far as it is returned */
	struct dsn_rcpt *rcpts;
	size_t count;
};

/* ---- words */

/* The knowledge speaks of the server that refused ("admin") and of the one at the other end ("remote-admin"). What the remote said is its refusal; what was found
 * out here, though the remote may have said something meanwhile, is ours. */
static bool bounce_is_ours(const struct store_failed *f)
{
	switch ((int)f->cause) {
	case CAUSE_TLS_REMOTE_MISSING:
	case CAUSE_TLS_REMOTE_FAILED:
	case CAUSE_TLS_DANE_LOOKUP:
	case CAUSE_TLS_DANE_MISMATCH:
	case CAUSE_TLS_STS_MISMATCH:
	case CAUSE_REMOTE_UNREACHABLE:
	case CAUSE_REMOTE_GARBLED:
	case CAUSE_REMOTE_IN_DOUBT:
	case CAUSE_REMOTE_LOST:
	case CAUSE_SMARTHOST_AUTH_FAILED:
		return true;
	default:
		return f->code == 0;
	}
}

static const char *bounce_advice_of(const struct cause *c, const char *who)
{
	for (const struct cause_advice *a = c->fixes; a->who; a++)
		if (strcmp(a->who, who) == 0)
			return a->what;
	return NULL;
}

static void bounce_step(struct dsn_rcpt *r, size_t *n, enum dsn_whose whose, const char *what)
{
	if (what && *n < DSN_STEPS)
		r->steps[(*n)++] = (struct dsn_step){whose, what};
}

/* what the reader can do, then who else can; of a delay, that it comes right by itself */
static void bounce_advice(const struct cause *c, const struct store_failed *f, struct dsn_rcpt *r)
{
	bool ours = bounce_is_ours(f);
	const char *here = bounce_advice_of(c, ours ? "admin" : "remote-admin"), *there = bounce_advice_of(c, ours ? "remote-admin" : "admin");
	size_t n = 0;

	if (r->action == DSN_DELAYED)
		return;
	if (!ours && there && strstr(there, "mailroom")) /* of our own commands, which another server does not have */
		there = NULL;
	bounce_step(r, &n, DSN_SENDER, bounce_advice_of(c, "sender"));
	bounce_step(r, &n, DSN_HERE, here);
	bounce_step(r, &n, DSN_THERE, there);
}

static struct span bounce_words(struct bounce_job *j, const struct store_failed *f)
{
	struct buf all;
	struct span words;

	if (!f->code)
		return f->words;
	buf_init(&all, 2048);
	buf_printf(&all, "%u ", f->code);
	if (f->enhanced.len) {
		buf_add(&all, f->enhanced);
		buf_add_byte(&all, ' ');
	}
	buf_add(&all, f->words);
	words = arena_copy(j->mem, buf_span(&all));
	buf_clear(&all);
	return words;
}

static void bounce_describe(struct bounce_job *j, const struct store_failed *f, struct dsn_rcpt *r)
{
	static const enum dsn_action actions[] = {[STORE_NOTICE_FAILED] = DSN_FAILED, [STORE_NOTICE_DELAYED] = DSN_DELAYED, [STORE_NOTICE_SENT] = DSN_RELAYED};
	const struct cause *c = f->notice == STORE_NOTICE_SENT ? NULL : cause_get(f->cause);
	bool known = c && f->cause != CAUSE_INSUFFICIENT_TEXT; /* words that fit several causes: the reader is better off with the words */

	*r = (struct dsn_rcpt){.action = actions[f->notice], .address = f->rcpt, .orcpt = f->orcpt, .status = f->enhanced, .host = f->host, .ip = f->address,
		.words = bounce_words(j, f), .remote_said = f->code != 0 && f->host.len + f->address.len > 0, .last_try_ms = f->last_try_ms, .attempts = f->attempts, .expired = f->expired,
		.slug = c ? c->slug : "", .meaning = known ? c->meaning : "", .likely = known && c->likely[0] ? c->likely[0] : ""};
	if (known)
		bounce_advice(c, f, r);
	if (!r->status.len && f->expired)
		r->status = SPAN_LIT("5.4.7");
	else if (!r->status.len && known && c->forms[CAUSE_SMTP].enhanced) /* found out here, or the server gave a bare code */
		r->status = span_str(c->forms[CAUSE_SMTP].enhanced);
	if (r->action == DSN_DELAYED)
		r->given_up_ms = j->b->received_ms + (int64_t)j->s->conf->conf->delivery_expire_ms;
	/* its first digit is what the report says, whatever the server's did (RFC 3463 2) */
	if (r->status.len) {
		uint8_t *status = arena_alloc(j->mem, r->status.len);

		if (status) {
			memcpy(status, r->status.ptr, r->status.len);
			status[0] = r->action == DSN_FAILED ? '5' : r->action == DSN_DELAYED ? '4' : '2';
			r->status = span_of(status, r->status.len);
		}
	}
}

/* ---- to whom */

static bool bounce_is_wanted(unsigned notify, enum store_notice notice)
{
	/* NOTIFY: 1 never, 2 success, 4 failure, 8 delay (smtp_in.h); nothing said: failures and delays (RFC 3461 4.1) */
	unsigned bit = notice == STORE_NOTICE_SENT ? 2 : notice == STORE_NOTICE_FAILED ? 4 : 8;

	return notify ? (notify & bit) != 0 : notice != STORE_NOTICE_SENT;
}

static enum bounce_to bounce_row_to(const struct store_bounce *b, const struct store_failed *f)
{
	return bounce_decide(&(struct bounce_facts){.sender_is_null = b->sender.len == 0, .from_here = b->origin != STORE_ORIGIN_STRANGER,
		.failed = f->notice == STORE_NOTICE_FAILED, .asked_never = !bounce_is_wanted(f->notify, f->notice), .cause = f->cause});
}

static void bounce_log(const struct bounce_job *j, const char *event, struct span to, const char *why)
{
	struct buf id;

	if (!log_begin(LOG_LEVEL_INFO, event))
		return;
	buf_init(&id, 32);
	store_queue_id_write(&id, j->b->message);
	log_span("queue_id", buf_span(&id));
	log_span("to", to);
	log_num("recipients", j->count);
	if (why)
		log_str("why", why);
	log_end();
	buf_clear(&id);
}

/* ---- writing */

/* last: where it does not arrive, nobody is told (NOTIFY=NEVER) */
static enum rc bounce_accept(struct bounce_job *j, struct span to, struct span head, struct span body, bool is_8bit, bool last, enum cause_id *cause_out, struct err *err)
{
	struct store_resolved found = {.cause = CAUSE_NONE};
	struct store_rcpt rcpt = {.address = to, .notify = last ? 1 : 0};
	struct store_message m = {.head = head, .body = body, .rcpts = &rcpt, .rcpt_count = 1, .received_ms = j->now_ms, .origin = STORE_ORIGIN_SERVER, .client = SPAN_LIT(""),
		.body_8bit = is_8bit, .smtputf8 = j->b->smtputf8 && !span_is_ascii(to), .requiretls = j->b->requiretls};
	bool repeat;
	int64_t id;
	enum rc rc = store_resolve(j->s->store, to, head.len + body.len, j->mem, &found, err);

	*cause_out = found.cause;
	if (rc != RC_OK || found.cause != CAUSE_NONE)
		return rc;
	rcpt.tag = found.tag;
	return store_accept(j->s->store, &m, &id, &repeat, cause_out, err);
}

static enum rc bounce_send(struct bounce_job *j, struct span to, struct span from, bool last, enum cause_id *cause_out, struct err *err)
{
	struct span hostname = span_str(j->s->conf->conf->hostname);
	struct buf head, body, id;
	bool is_8bit = false, whole = j->text.len == j->b->bytes;
	enum rc rc;

	buf_init(&head, 64 << 10);
	buf_init(&body, DSN_OUT_BYTES);
	buf_init(&id, 32);
	store_queue_id_write(&id, j->b->message);
	dsn_write(&(struct dsn){.hostname = hostname, .from = from, .to = to, .envid = j->b->envid, .queue_id = buf_span(&id),
		.head = span_head(buf_span(&j->text), (size_t)j->b->head_bytes), .text = whole ? buf_span(&j->text) : SPAN_NONE, .arrived_ms = j->b->received_ms,
		.now_ms = j->now_ms, .unique = rng_u64(), .utf8 = j->b->smtputf8, .rcpts = j->rcpts, .rcpt_count = j->count}, &head, &body, &is_8bit);
	if (head.overflow || body.overflow)
		rc = err_set(err, RC_LIMIT, "the report of %zu recipients is too long", j->count);
	else
		rc = bounce_accept(j, to, buf_span(&head), buf_span(&body), is_8bit, last, cause_out, err);
	buf_clear(&head);
	buf_clear(&body);
	buf_clear(&id);
	return rc;
}

/* whole: small enough, and given up; of a delay the header says enough, and of a message that was to travel encrypted (RFC 8689 5) */
static enum rc bounce_read(struct bounce_job *j, bool failed, struct err *err)
{
	uint64_t most = j->b->ret == 2 ? BOUNCES_WHOLE_ASKED_BYTES : BOUNCES_WHOLE_BYTES;
	uint64_t want = failed && j->b->ret != 1 && !j->b->requiretls && j->b->bytes <= most ? j->b->bytes : j->b->head_bytes;
	bool last = false;
	enum rc rc = RC_OK;

	buf_reset(&j->text);
	while (rc == RC_OK && !last && j->text.len < want)
		rc = store_message_read(j->s->store, j->b->message, j->text.len, (size_t)want - j->text.len, &j->text, &last, err);
	return rc;
}

/* the rows of one kind whose report goes to the same place */
static enum rc bounce_group(struct bounce_job *j, enum store_notice notice, enum bounce_to to, struct err *err)
{
	const struct store_bounce *b = j->b;
	const struct conf *conf = j->s->conf->conf;
	struct span postmaster = SPAN_LIT("postmaster"), address;
	enum cause_id cause = CAUSE_NONE;
	bool last = to != BOUNCE_TO_SENDER || b->origin == STORE_ORIGIN_STRANGER || notice != STORE_NOTICE_FAILED;
	struct buf from;
	enum rc rc;

	j->count = 0;
	for (size_t i = 0; i < b->row_count && j->count < BOUNCES_SHARE_ROWS; i++)
		if (b->rows[i].notice == notice && bounce_row_to(b, &b->rows[i]) == to)
			bounce_describe(j, &b->rows[i], &j->rcpts[j->count++]);
	if (j->count == 0)
		return RC_OK;
	if (to == BOUNCE_TO_NOBODY) {
		bounce_log(j, "bounce-none", b->sender, b->sender.len == 0 ? "null sender" : b->origin == STORE_ORIGIN_STRANGER ? "may be forged" : "not wanted");
		return RC_OK;
	}
	address = to == BOUNCE_TO_SENDER ? b->sender : postmaster;
	buf_init(&from, 512);
	buf_printf(&from, "postmaster@%s", conf->default_domain[0] ? conf->default_domain : conf->hostname); /* one that takes mail, where there is one */
	rc = bounce_read(j, notice == STORE_NOTICE_FAILED, err);
	if (rc == RC_OK)
		rc = bounce_send(j, address, buf_span(&from), last, &cause, err);
	if (rc == RC_OK && cause != CAUSE_NONE && j->text.len > b->head_bytes) { /* what is short finds room where the whole message does not */
		j->text.len = (size_t)b->head_bytes;
		rc = bounce_send(j, address, buf_span(&from), last, &cause, err);
	}
	if (rc == RC_OK && cause != CAUSE_NONE && !last) { /* the sender cannot be reached, so somebody else has to know */
		address = postmaster;
		rc = bounce_send(j, postmaster, buf_span(&from), true, &cause, err);
	}
	if (rc == RC_OK)
		bounce_log(j, cause == CAUSE_NONE ? "bounce" : "bounce-lost", address, cause == CAUSE_NONE ? NULL : cause_slug(cause));
	buf_clear(&from);
	return rc;
}

static enum rc bounce_message(struct store_role *s, int64_t message, int64_t now_ms, struct err *err)
{
	struct store_bounce b = {0};
	struct bounce_job j = {.s = s, .b = &b, .now_ms = now_ms};
	struct arena mem;
	int64_t *rows = NULL;
	enum rc rc;

	arena_init(&mem, BOUNCES_MEM_BYTES);
	buf_init(&j.text, BOUNCES_WHOLE_ASKED_BYTES);
	j.mem = &mem;
	rc = store_queue_bounce_get(s->store, message, &mem, &b, err);
	j.rcpts = mem_array(b.row_count ? b.row_count : 1, sizeof(*j.rcpts));
	for (int notice = STORE_NOTICE_FAILED; notice <= STORE_NOTICE_SENT; notice++)
		for (int to = BOUNCE_TO_SENDER; to <= BOUNCE_TO_NOBODY && rc == RC_OK; to++)
			rc = bounce_group(&j, (enum store_notice)notice, (enum bounce_to)to, err);
	rows = mem_array(b.row_count ? b.row_count : 1, sizeof(*rows));
	for (size_t i = 0; i < b.row_count; i++)
		rows[i] = b.rows[i].row;
	if (rc == RC_OK && b.row_count)
		rc = store_queue_bounced(s->store, rows, b.row_count, err);
	free(rows);
	free(j.rcpts);
	buf_clear(&j.text);
	arena_clear(&mem);
	return rc == RC_NONE ? RC_OK : rc;
}

/* ---- the clock */

/* these messages in one transaction; where it fails nothing of it stays: no report without its rows taken, nor the other way round */
static enum rc bounces_make(struct store_role *s, const int64_t *messages, size_t count, int64_t now_ms, struct err *err)
{
	enum rc rc = store_begin(s->store, err);

	for (size_t i = 0; i < count && rc == RC_OK; i++)
		rc = bounce_message(s, messages[i], now_ms, err);
	if (rc != RC_OK && rc != RC_IO)
		store_rollback(s->store);
	return rc;
}

static void bounces_on_timer(void *arg, mono_ms now)
{
	struct store_bouncer *b = arg;
	struct store_role *s = b->role;
	int64_t messages[BOUNCES_AT_ONCE], wall = clock_wall_ms();
	struct err err = {""};
	size_t count = 0;
	enum rc rc;

	if (!s->store)
		return;
	store_role_turn(s); /* nobody else's mail is in the transaction that may be taken back */
	rc = store_queue_bounceable(s->store, wall, BOUNCES_PATIENCE_MS, messages, BOUNCES_AT_ONCE, &count, &err);
	if (rc == RC_OK)
		rc = bounces_make(s, messages, count, wall, &err);
	(void)store_role_judge(s, rc, "bounce", &err);
	for (size_t i = 0; i < count && (rc == RC_BAD || rc == RC_LIMIT); i++) { /* one that is damaged does not hold up the others */
		enum rc alone = bounces_make(s, &messages[i], 1, wall, &err);

		(void)store_role_judge(s, alone, "bounce", &err);
		store_role_turn(s);
	}
	loop_timer_at(&b->timer, now + (rc == RC_OK && count == BOUNCES_AT_ONCE ? 1 : rc != RC_OK || count ? BOUNCES_AGAIN_MS : BOUNCES_LOOK_MS));
}

void store_bounces_open(struct store_role *s)
{
	s->bounces = mem_zalloc(sizeof(*s->bounces));
	s->bounces->role = s;
	loop_timer_init(s->role->loop, &s->bounces->timer, bounces_on_timer, s->bounces);
	loop_timer_at(&s->bounces->timer, clock_mono_ms() + BOUNCES_SOON_MS);
}

void store_bounces_close(struct store_role *s)
{
	if (!s->bounces)
		return;
	loop_timer_clear(&s->bounces->timer);
	free(s->bounces);
	s->bounces = NULL;
}

void store_bounces_soon(struct store_role *s)
{
	mono_ms at = loop_now(s->role->loop) + BOUNCES_SOON_MS;

	if (s->bounces && s->bounces->timer.at > at)
		loop_timer_at(&s->bounces->timer, at);
}
