/* Signing what leaves, without channels: the store's and the keys role's answers are given by hand. What leaves unsigned has no key; what cannot be signed now waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "mail/dkim.h"
#include "role/relay_sign.h"

/* ---- what the relay's other parts do */

uint32_t relay_ask(struct relay *r)
{
	return ++r->next_ask;
}

void relay_copy(char *to, size_t size, struct span text)
{
	size_t n = text.len < size ? text.len : size - 1;

	memcpy(to, text.ptr, n);
	to[n] = '\0';
}

/* ---- OpenSSL without memory */

static bool no_digest;
enum rc __real_dkim_field(const struct dkim_sign *s, struct span head, struct buf *field_out, uint8_t digest_out[DKIM_DIGEST_BYTES]);
enum rc __wrap_dkim_field(const struct dkim_sign *s, struct span head, struct buf *field_out, uint8_t digest_out[DKIM_DIGEST_BYTES]);
enum rc __wrap_dkim_field(const struct dkim_sign *s, struct span head, struct buf *field_out, uint8_t digest_out[DKIM_DIGEST_BYTES])
{
	return no_digest ? RC_IO : __real_dkim_field(s, head, field_out, digest_out);
}

static bool no_body;
enum rc __real_dkim_body_end(struct dkim_body **b, uint8_t out[DKIM_DIGEST_BYTES]);
enum rc __wrap_dkim_body_end(struct dkim_body **b, uint8_t out[DKIM_DIGEST_BYTES]);
enum rc __wrap_dkim_body_end(struct dkim_body **b, uint8_t out[DKIM_DIGEST_BYTES])
{
	enum rc rc = __real_dkim_body_end(b, out);

	return no_body ? RC_IO : rc;
}

/* ---- one message */

#define HEAD "From: Anna <anna@mail.example.org>\r\nSubject: t\r\n\r\n"
#define BODY "text\r\n"

static struct {
	struct relay relay;
	struct relay_text *text;
	unsigned done;
	enum cause_id waits; /* CAUSE_NONE: it may leave */
	char words[512];
} t;

static void on_done(void *arg, const struct relay_failure *why)
{
	assert_ptr_equal(&t, arg);
	t.done++;
	t.waits = why ? why->cause : CAUSE_NONE;
	if (why) {
		assert_int_equal(DELIVERY_LATER, why->outcome);
		(void)snprintf(t.words, sizeof(t.words), "%s", why->words);
	}
}

static void on_time(void *arg, mono_ms now)
{
	(void)now;
	loop_stop(arg, 0);
}

/* the loop's hooks get their turn */
static void turn(void)
{
	struct loop_timer timer;

	loop_timer_init(t.relay.loop, &timer, on_time, t.relay.loop);
	loop_timer_at(&timer, clock_mono_ms() + 2);
	assert_int_equal(0, loop_run(t.relay.loop));
	loop_timer_clear(&timer);
}

static int setup(void **state)
{
	(void)state;
	log_open(2, "test", LOG_LEVEL_ERROR);
	memset(&t, 0, sizeof(t));
	no_digest = no_body = false;
	t.relay.loop = loop_new();
	t.relay.text_waiting_tail = &t.relay.text_waiting;
	map_init(&t.relay.texts);
	map_init(&t.relay.asks);
	t.relay.signer = relay_signer_new(&t.relay);
	return 0;
}

static int teardown(void **state)
{
	uint64_t key;
	void *value;

	(void)state;
	relay_text_put(&t.text);
	relay_signer_free(&t.relay.signer);
	for (size_t at = 0; map_next(&t.relay.asks, &at, &key, &value);)
		free(value);
	map_clear(&t.relay.asks);
	map_clear(&t.relay.texts);
	loop_free(&t.relay.loop);
	return 0;
}

static uint32_t last_ask(void)
{
	return t.relay.next_ask;
}

static void text_comes(enum cause_id cause)
{
	struct msg_text_is m = {.ask = last_ask(), .cause = (uint16_t)cause, .last = true, .bytes = cause == CAUSE_NONE ? SPAN_LIT(HEAD BODY) : SPAN_NONE};

	assert_int_equal(RC_OK, relay_text_on_text(&t.relay, &m));
}

/* a message of the same author again: in another attempt, when nothing of the last is left */
static void sign(void)
{
	relay_text_put(&t.text);
	t.done = 0;
	t.waits = CAUSE_COUNT;
	t.text = relay_text_get(&t.relay, 7, sizeof(HEAD BODY) - 1);
	relay_sign(t.relay.signer, t.text, sizeof(HEAD) - 1, on_done, &t);
	turn();
}

static void signs(void)
{
	sign();
	text_comes(CAUSE_NONE);
}

/* selectors: one letter each */
static void keys_come(const char *selectors, bool unread)
{
	struct msg_dkim_keys m = {.ask = last_ask(), .unread = unread};
	struct buf list;

	buf_init(&list, 4096);
	for (size_t i = 0; selectors[i]; i++)
		rec_dkim_key_add(&list, &(struct rec_dkim_key){.key = (uint16_t)i, .algorithm = DKIM_ED25519_SHA256, .selector = span_of(selectors + i, 1)});
	m.keys = (struct msg_list){.raw = buf_span(&list), .count = (uint32_t)strlen(selectors)};
	assert_int_equal(RC_OK, relay_sign_on_keys(t.relay.signer, &m));
	buf_clear(&list);
}

static void signature_comes(bool ok)
{
	struct msg_dkim_signed m = {.ask = last_ask(), .ok = ok, .signature = ok ? SPAN_LIT("signature") : SPAN_NONE};

	assert_int_equal(RC_OK, relay_sign_on_signed(t.relay.signer, &m));
}

static unsigned signatures(void)
{
	struct span front = buf_span(&t.text->front), name = SPAN_LIT("DKIM-Signature:");
	unsigned n = 0;

	for (; front.len >= name.len; front = span_from(front, 1))
		n += span_eq(span_head(front, name.len), name);
	return n;
}

static void leaves(unsigned with)
{
	assert_int_equal(1, t.done);
	assert_int_equal(CAUSE_NONE, t.waits);
	assert_int_equal(with, signatures());
	assert_true(t.text->signed_up);
}

static void waits(const char *words)
{
	assert_int_equal(1, t.done);
	assert_int_equal(CAUSE_SERVER_TEMP_ERROR, t.waits);
	assert_string_equal(words, t.words);
	assert_int_equal(0, signatures());
	assert_false(t.text->signed_up);
}

static void signed_where_there_is_a_key(void **state)
{
	(void)state;
	signs();
	keys_come("ab", false);
	signature_comes(true);
	assert_int_equal(0, t.done);
	signature_comes(true);
	leaves(2);
	signs(); /* its keys are known now */
	signature_comes(true);
	signature_comes(true);
	leaves(2);
}

static void unsigned_where_there_is_none(void **state)
{
	(void)state;
	signs();
	keys_come("", false); /* mail.example.org */
	assert_int_equal(0, t.done);
	keys_come("", false); /* example.org */
	leaves(0);
}

static void what_could_not_be_read_waits(void **state)
{
	(void)state;
	signs();
	keys_come("", true);
	waits("this server could not read the DKIM key of mail.example.org");
	signs(); /* asked for anew, of its parent, too */
	keys_come("", false);
	keys_come("", true);
	waits("this server could not read the DKIM key of example.org");
	signs();
	keys_come("a", false);
	signature_comes(true);
	leaves(1);
}

static void a_key_that_fails_waits(void **state)
{
	(void)state;
	signs();
	keys_come("ab", false);
	signature_comes(false);
	assert_int_equal(0, t.done);
	signature_comes(false);
	waits("this server could not use the DKIM key of mail.example.org");
	signs(); /* perhaps there are other keys by now */
	keys_come("ab", false);
	signature_comes(false);
	signature_comes(true); /* one is enough */
	leaves(1);
}

static void without_memory_it_waits(void **state)
{
	(void)state;
	no_body = true;
	signs();
	keys_come("a", false);
	waits("this server could not make a DKIM signature");
	no_body = false;
	no_digest = true;
	signs();
	waits("this server could not use the DKIM key of mail.example.org");
	no_digest = false;
	signs();
	keys_come("a", false);
	signature_comes(true);
	leaves(1);
}

static void what_cannot_be_fetched_waits(void **state)
{
	(void)state;
	sign();
	text_comes(CAUSE_SERVER_TEMP_ERROR);
	waits("this server could not read the message");
}

/* it may number its keys in another way: everything is asked anew, and what one key had signed is signed again */
static void a_keys_role_that_is_replaced(void **state)
{
	uint32_t before;

	(void)state;
	signs();
	keys_come("ab", false);
	signature_comes(true);
	before = last_ask();
	relay_signer_keys(t.relay.signer);
	assert_int_equal(before + 1, last_ask());
	assert_int_equal(0, signatures());
	keys_come("c", false);
	signature_comes(true);
	leaves(1);
	assert_non_null(strstr(buf_cstr(&t.text->front), "s=c;"));
	relay_signer_keys(t.relay.signer);
	signs();
	keys_come("", false);
	keys_come("", false);
	leaves(0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(signed_where_there_is_a_key), T(unsigned_where_there_is_none), T(what_could_not_be_read_waits), T(a_key_that_fails_waits), T(without_memory_it_waits),
		T(what_cannot_be_fetched_waits), T(a_keys_role_that_is_replaced),
	};

	return cmocka_run_group_tests_name("relay: signing", tests, NULL, NULL);
}
