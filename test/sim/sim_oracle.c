/* The ledger: what clients sent and were told, against what the store holds. */
#include <stdio.h>
#include <stdlib.h>

#include "base/num.h"
#include "sim.h"
#include "store/store.h"

enum { SIM_ITEMS_MAX = 4096, SIM_TEXT_MAX = 256 << 10 };

const char *const sim_mailboxes[SIM_MAILBOXES] = {"anna@sim.example", "bert@sim.example", "carl@sim.example", "dora@sim.example"};
const struct sim_address sim_addresses[SIM_ADDRESSES] = {{"anna@sim.example", 1}, {"bert@sim.example", 2}, {"carl@sim.example", 4},
	{"dora@sim.example", 8}, {"both@sim.example", 3}, {"carl+news@sim.example", 4}, {"nobody@sim.example", 0}, {"DORA@SIM.example", 8}};

static struct {
	struct sim_mail *mails[SIM_MAILS_MAX];
	unsigned count;
	struct buf text;
} ledger = {.text = {.max_bytes = SIM_TEXT_MAX}};

/* ---- mails */

static void sim_mail_line(struct buf *b)
{
	size_t n = sim_below(sim_chance(50) ? 900 : 76);

	if (sim_chance(80))
		buf_add_byte(b, '.');
	for (size_t i = 0; i < n; i++)
		buf_add_byte(b, (uint8_t)sim_between(0x20, 0x7e));
	buf_add_str(b, "\r\n");
}

static void sim_mail_write(struct sim_mail *m)
{
	size_t lines = sim_below(sim_chance(60) ? 600 : 12);
	struct buf *b = &ledger.text;
	uint8_t *copy;

	buf_reset(b);
	if (sim_chance(300))
		buf_printf(b, "Subject: nothing\r\n");
	buf_printf(b, "Message-ID: <%u.%llu@sim.example>\r\nFrom: s%u <s%u@elsewhere.example>\r\n", m->number, (unsigned long long)sim.seed, m->sender, m->sender);
	if (sim_chance(800))
		buf_printf(b, "Date: Fri, 21 Nov 2025 17:00:%02u +0000\r\n", (unsigned)sim_below(60));
	buf_add_str(b, "\r\n");
	for (size_t i = 0; i < lines; i++)
		sim_mail_line(b);
	copy = sim_zalloc(b->len);
	memcpy(copy, b->ptr, b->len);
	m->text = span_of(copy, b->len);
}

/* any distinct addresses, also such as lead to one mailbox: whatever attempts they are taken in, it gets one copy */
static void sim_mail_address(struct sim_mail *m)
{
	unsigned want = 1 + (unsigned)sim_below(SIM_RCPTS_MAX), seen = 0;

	while (m->rcpt_count < want) {
		unsigned a = (unsigned)sim_below(SIM_ADDRESSES);

		if (seen & 1u << a || (sim_addresses[a].boxes == 0 && !sim_chance(300)))
			continue;
		seen |= 1u << a;
		m->rcpts[m->rcpt_count++] = a;
	}
}

struct sim_mail *sim_mail_new(unsigned sender, uint64_t at_us)
{
	struct sim_mail *m;

	if (ledger.count == SIM_MAILS_MAX)
		return NULL;
	m = sim_zalloc(sizeof(*m));
	*m = (struct sim_mail){.number = ledger.count, .sender = sender, .next_try_us = at_us};
	ledger.mails[ledger.count++] = m;
	sim_mail_address(m);
	sim_mail_write(m);
	return m;
}

struct sim_mail *sim_mail_number(unsigned number)
{
	return number < ledger.count ? ledger.mails[number] : NULL;
}

static bool sim_mail_done(const struct sim_mail *m)
{
	for (unsigned i = 0; i < m->rcpt_count; i++)
		if (m->state[i] == SIM_RCPT_PENDING)
			return false;
	return true;
}

struct sim_mail *sim_mail_of(unsigned sender, bool due_only)
{
	for (unsigned i = 0; i < ledger.count; i++) {
		struct sim_mail *m = ledger.mails[i];

		if (m->sender == sender && !m->busy && !sim_mail_done(m) && (!due_only || m->next_try_us <= sim.now_us))
			return m;
	}
	return NULL;
}

bool sim_mail_all_done(void)
{
	for (unsigned i = 0; i < ledger.count; i++)
		if (!sim_mail_done(ledger.mails[i]))
			return false;
	return true;
}

unsigned sim_oracle_acked(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < ledger.count; i++)
		for (unsigned b = 0; b < SIM_MAILBOXES; b++)
			if (ledger.mails[i]->box[b].acked) {
				n++;
				break;
			}
	return n;
}

void sim_mail_sent(struct sim_mail *m, unsigned rcpt)
{
	for (unsigned b = 0; b < SIM_MAILBOXES; b++)
		if (sim_addresses[m->rcpts[rcpt]].boxes & 1u << b)
			m->box[b].may = true;
}

void sim_mail_acked(struct sim_mail *m, unsigned rcpt)
{
	sim_trace("mail %u is acknowledged for %s", m->number, sim_addresses[m->rcpts[rcpt]].text);
	m->state[rcpt] = SIM_RCPT_ACKED;
	for (unsigned b = 0; b < SIM_MAILBOXES; b++)
		if (sim_addresses[m->rcpts[rcpt]].boxes & 1u << b) {
			m->box[b].acked = true;
			m->box[b].acked_us = sim.now_us;
		}
}

/* ---- what is held */

static bool sim_top_line(struct span line, const struct sim_mail *m, unsigned box, unsigned at)
{
	char want[100];

	if (at == 0)
		(void)snprintf(want, sizeof(want), "Return-Path: <s%u@elsewhere.example>", m->sender);
	else if (at == 1)
		(void)snprintf(want, sizeof(want), "Delivered-To: %s", sim_mailboxes[box]);
	else if (at == 2)
		return span_starts(line, SPAN_LIT("Received: from "));
	else
		return line.len > 1 && line.ptr[0] == '\t';
	return span_eq(line, span_str(want));
}

/* the added lines: Return-Path, Delivered-To, Received and its continuations */
static bool sim_top_right(struct span top, const struct sim_mail *m, unsigned box)
{
	unsigned at = 0;

	while (top.len) {
		size_t end = span_find(top, '\n');

		if (end >= top.len || end == 0 || top.ptr[end - 1] != '\r' || !sim_top_line(span_head(top, end - 1), m, box, at++))
			return false;
		top = span_from(top, end + 1);
	}
	return at >= 3;
}

/* the number behind "Message-ID: <" */
static struct sim_mail *sim_mail_find(struct span text)
{
	static const char mark[] = "Message-ID: <";
	size_t len = sizeof(mark) - 1;

	for (size_t i = 0; i + len < text.len; i++) {
		struct span rest;
		uint64_t number;

		if (memcmp(text.ptr + i, mark, len) != 0)
			continue;
		rest = span_from(text, i + len);
		if (num_parse(span_cut(&rest, '.'), SIM_MAILS_MAX, &number) == RC_OK)
			return sim_mail_number((unsigned)number);
		return NULL;
	}
	return NULL;
}

struct sim_mail *sim_mail_read(unsigned box, struct span text)
{
	struct sim_mail *m = sim_mail_find(text);

	if (!m || text.len < m->text.len) {
		sim_fail("%s holds what nobody sent: %.*s", sim_mailboxes[box], (int)(text.len < 300 ? text.len : 300), (const char *)text.ptr);
		return NULL;
	}
	if (!span_eq(span_from(text, text.len - m->text.len), m->text)) {
		sim_fail("mail %u in %s is not what was sent", m->number, sim_mailboxes[box]);
		return NULL;
	}
	if (!sim_top_right(span_head(text, text.len - m->text.len), m, box)) {
		sim_fail("mail %u in %s: the lines on top are wrong: %.*s", m->number, sim_mailboxes[box], (int)(text.len - m->text.len), (const char *)text.ptr);
		return NULL;
	}
	if (!m->box[box].may) {
		sim_fail("%s holds mail %u, which was never sent to it whole", sim_mailboxes[box], m->number);
		return NULL;
	}
	return m;
}

static void sim_oracle_box(struct store *s, unsigned box, unsigned *held, const char *when)
{
	static struct store_item items[SIM_ITEMS_MAX];
	struct err err = {""};
	size_t count = 0;
	enum rc rc = store_mailbox_items(s, (int64_t)box + 1, 0, items, SIM_ITEMS_MAX, &count, &err);

	for (size_t i = 0; i < count && rc == RC_OK && !sim.failed; i++) {
		struct sim_mail *m;
		bool last = false;

		buf_reset(&ledger.text);
		rc = store_mail_read(s, (int64_t)box + 1, items[i].uid, 0, SIM_TEXT_MAX, &ledger.text, &last, &err);
		if (rc != RC_OK)
			break;
		if (!last || ledger.text.len != items[i].bytes)
			sim_fail("%s: uid %lld has %zu bytes, not %llu", sim_mailboxes[box], (long long)items[i].uid, ledger.text.len,
				(unsigned long long)items[i].bytes);
		m = sim_mail_read(box, buf_span(&ledger.text));
		if (m)
			held[m->number]++;
	}
	if (rc != RC_OK)
		sim_fail("at %s %s cannot be read: %s", when, sim_mailboxes[box], err.words);
}

void sim_oracle_check(const char *when)
{
	struct store *s = sim_store();
	unsigned held[SIM_MAILS_MAX];

	for (unsigned box = 0; s && box < SIM_MAILBOXES && !sim.failed; box++) {
		memset(held, 0, sizeof(held));
		sim_oracle_box(s, box, held, when);
		for (unsigned i = 0; i < ledger.count && !sim.failed; i++) {
			const struct sim_mail *m = ledger.mails[i];

			if (held[i] > 1)
				sim_fail("at %s %s holds mail %u %u times", when, sim_mailboxes[box], i, held[i]);
			else if (held[i] == 0 && m->box[box].acked && !m->box[box].deleted && !m->box[box].doubt)
				sim_fail("at %s %s does not hold mail %u, which was acknowledged", when, sim_mailboxes[box], i);
			else if (held[i] > 0 && m->box[box].deleted)
				sim_fail("at %s %s holds mail %u, whose deletion was confirmed", when, sim_mailboxes[box], i);
		}
	}
}

void sim_oracle_prepare(const char *dir)
{
	struct store *s = NULL;
	struct err err = {""};
	int64_t id = 0;
	enum rc rc = store_open(dir, STORE_CREATE, &s, &err);

	if (rc == RC_OK)
		rc = store_domain_add(s, SPAN_LIT("sim.example"), &err);
	for (unsigned i = 0; i < SIM_MAILBOXES && rc == RC_OK; i++) {
		rc = store_account_add(s, span_str(sim_mailboxes[i]), 0, clock_wall_ms(), &id, &err);
		if (rc == RC_OK && id != (int64_t)i + 1)
			rc = err_set(&err, RC_BAD, "accounts are not numbered from 1");
	}
	for (unsigned i = 0; i < 2 && rc == RC_OK; i++)
		rc = store_alias_add(s, SPAN_LIT("both@sim.example"), span_str(sim_mailboxes[i]), &err);
	if (rc != RC_OK) {
		(void)fprintf(stderr, "sim: the store to begin with: %s\n", err.words);
		exit(2);
	}
	store_close(&s);
}

void sim_oracle_begin(void)
{
	ledger.count = 0;
}

void sim_oracle_end(void)
{
	ledger.count = 0;
	buf_clear(&ledger.text);
}
