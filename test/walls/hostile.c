/* hostile - a worker that has been taken over, against the real store, auth and keys: mx, user and relay.
 *
 *   hostile PROGRAM HOME NEEDLES LOG FIRST COUNT [--leak]
 *
 * Starts the role programs on HOME (rig.c), says "serving" on its output, and then plays one hostile worker after the other, each as its seed says, beside the
 * mx and the user worker that serve honest clients all the while (hostile.py is those). Per seed a line "seed N ok" or "seed N FAILED: why"; at the end
 * "N passed, N failed"; the roles go on until the input ends. NEEDLES: what must never come out, lines of "NAME HEX". LOG: where the roles log, from which session numbers of others are read.
 * --leak gives the hostile worker a grant for somebody else's mailbox: the scan must see it (exit 0 if it does). */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/num.h"
#include "cause/cause.h"
#include "hostile.h"

void hostile_wrong(struct hostile *h, const char *fmt, ...)
{
	va_list ap;

	if (h->wrong[0])
		return;
	va_start(ap, fmt);
	(void)vsnprintf(h->wrong, sizeof(h->wrong), fmt, ap);
	va_end(ap);
}

/* ---- what is known of others */

/* session numbers of honest clients, as the log shows them: a taken worker may well know or guess them */
static void hostile_learn(struct hostile *h)
{
	FILE *f = fopen(h->log_path, "r");
	char line[4096];

	if (!f)
		return;
	(void)fseek(f, h->log_at, SEEK_SET);
	while (fgets(line, sizeof(line), f)) {
		const char *at = strstr(line, " session=");
		uint64_t session;

		if (at && strlen(at) > 17 && num_parse_base32(span_of(at + 9, 8), &session) == RC_OK)
			forge_know_session(&h->forge, session);
	}
	h->log_at = ftell(f);
	(void)fclose(f);
}

/* ---- what comes back */

bool worker_granted(const struct worker *w, uint64_t session)
{
	for (size_t i = 0; i < w->granted_count; i++)
		if (w->granted[i] == session)
			return true;
	return false;
}

/* was this asked under a session that may have a grant? */
static bool worker_may(const struct worker *w, const struct wire *from, uint32_t ask)
{
	for (size_t i = 0; i < w->tried_count; i++)
		if (wire_has_asked(from, ask, w->tried[i]))
			return true;
	return false;
}

static void worker_tries(struct worker *w, uint64_t session)
{
	if (w->tried_count == HOSTILE_TRIED)
		abort();
	w->tried[w->tried_count++] = session;
}

static bool worker_tried(const struct worker *w, uint64_t session)
{
	for (size_t i = 0; i < w->tried_count; i++)
		if (w->tried[i] == session)
			return true;
	return false;
}

/* the file that the store lends holds nothing, wherever one looks */
static void worker_look_at_spool(struct hostile *h, int fd)
{
	uint8_t bytes[4096];
	ssize_t n = pread(fd, bytes, sizeof(bytes), 0);
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		hostile_wrong(h, "a lent spool is no file");
	else if (n > 0 || st.st_size != 0)
		hostile_wrong(h, "a lent spool was not empty");
	if (openat(fd, "..", O_RDONLY) >= 0)
		hostile_wrong(h, "a lent spool leads to a directory");
}

static void worker_take_spool(struct hostile *h, struct worker *w, struct wire *from, uint64_t spool)
{
	if (from->last_fd < 0)
		return;
	worker_look_at_spool(h, from->last_fd);
	if (w->spool_fd >= 0)
		(void)close(w->spool_fd);
	w->spool = spool;
	w->spool_fd = from->last_fd;
	from->last_fd = -1;
}

static void worker_take(struct hostile *h, struct worker *w, struct wire *from, enum msg_type type, const union msg_any *msg)
{
	switch ((int)type) {
	case MSG_AUTH_OK:
		if (!span_eq(msg->auth_ok.address, SPAN_LIT("mallory@mailroom.test")))
			hostile_wrong(h, "signed in as somebody else");
		if (!worker_tried(w, msg->auth_ok.session))
			hostile_wrong(h, "signed in without a password");
		if (w->granted_count < HOSTILE_GRANTS)
			w->granted[w->granted_count++] = msg->auth_ok.session;
		break;
	case MSG_MBOX_OPENED:
		if (msg->mbox_opened.cause == CAUSE_NONE && !worker_may(w, from, msg->mbox_opened.ask))
			hostile_wrong(h, "a mailbox was opened without a grant");
		if (msg->mbox_opened.cause == CAUSE_SERVER_TEMP_ERROR && w->ended && wire_has_asked(from, msg->mbox_opened.ask, w->ended))
			w->ended_known = true;
		break;
	case MSG_MBOX_ITEMS:
		if (!worker_may(w, from, msg->mbox_items.ask))
			hostile_wrong(h, "a mailbox was listed without a grant");
		break;
	case MSG_MAIL_BYTES:
		if ((msg->mail_bytes.cause == CAUSE_NONE || msg->mail_bytes.bytes.len) && !worker_may(w, from, msg->mail_bytes.ask))
			hostile_wrong(h, "mail was read without a grant");
		break;
	case MSG_MBOX_COMMITTED:
		if (msg->mbox_committed.cause == CAUSE_NONE && !worker_may(w, from, msg->mbox_committed.ask))
			hostile_wrong(h, "mail was deleted without a grant");
		break;
	case MSG_WHY_IS:
		if (msg->why_is.cause == CAUSE_NONE && !worker_may(w, from, msg->why_is.ask))
			hostile_wrong(h, "refusals were told without a grant");
		break;
	case MSG_SPOOL_LENT:
		worker_take_spool(h, w, from, msg->spool_lent.spool);
		break;
	default:
		relay_take(h, w, type, msg);
		break;
	}
}

void worker_drain(struct hostile *h, struct worker *w, struct wire *from)
{
	union msg_any msg;
	enum msg_type type;

	while (wire_next(from, &type, &msg))
		worker_take(h, w, from, type, &msg);
}

static void hostile_drain(struct hostile *h)
{
	for (size_t i = 0; i < HOSTILE_WORKERS; i++) {
		struct worker *w = &h->workers[i];

		worker_drain(h, w, &w->store);
		worker_drain(h, w, &w->keys);
		if (w->auth.fd >= 0)
			worker_drain(h, w, &w->auth);
	}
}

/* ---- channels */

bool worker_join(struct hostile *h, struct worker *w, struct wire *wire, int role)
{
	if (wire->fd >= 0 && !wire->over)
		return true;
	h->bytes += wire->bytes_in;
	wire_close(wire);
	/* as the parent does for a worker that lives and has lost its channel */
	return rig_join(&h->rig, role, w->self, w->number, wire);
}

static struct wire *worker_wire(struct hostile *h, struct worker *w)
{
	uint32_t n = forge_below(&h->forge, 10);

	if (w->self == ROLE_USER && n < 3)
		return worker_join(h, w, &w->auth, RIG_AUTH) ? &w->auth : NULL;
	if (n < 4)
		return worker_join(h, w, &w->keys, RIG_KEYS) ? &w->keys : NULL;
	return worker_join(h, w, &w->store, RIG_STORE) ? &w->store : NULL;
}

static void hostile_record(struct hostile *h, const struct wire *to, struct span frame)
{
	size_t at = h->recorded_count < HOSTILE_RECORDED ? h->recorded_count : forge_below(&h->forge, HOSTILE_RECORDED);

	if (frame.len > HOSTILE_RECORDED_BYTES)
		return;
	h->recorded_count += at == h->recorded_count;
	h->recorded[at].peer = to->peer;
	buf_clear(&h->recorded[at].frame);
	buf_init(&h->recorded[at].frame, HOSTILE_RECORDED_BYTES);
	buf_add(&h->recorded[at].frame, frame);
}

void hostile_must_drop(struct hostile *h, struct wire *to, const char *what, enum msg_type type)
{
	if (to->bent)
		wire_close(to);
	else if (wire_dropped(to, HOSTILE_DROP_MS))
		h->drops++;
	else
		hostile_wrong(h, "not dropped by %s after %s (%s)", role_name(to->peer), what, msg_name(type));
}

static void frame_of(struct buf *out, enum msg_type type, const void *msg)
{
	buf_init(out, LIMIT_FRAME_BYTES + 64);
	msg_encode(out, type, msg);
}

/* ---- acts */

static void act_valid(struct hostile *h, struct worker *w)
{
	struct wire *to = worker_wire(h, w);
	enum msg_type type = to ? forge_type(&h->forge, w->self, to->peer, true) : MSG_NONE;
	union msg_any msg;
	struct buf frame;

	if (type == MSG_NONE)
		return;
	forge_message(&h->forge, type, false, &msg);
	frame_of(&frame, type, &msg);
	if (!frame.overflow && wire_send_raw(to, buf_span(&frame), NULL, 0))
		hostile_record(h, to, buf_span(&frame));
	buf_clear(&frame);
}

/* GRANT, REVOKE, AUTH_OK, PEER, LISTEN ... : well formed, but not this worker's to say */
static void act_forbidden(struct hostile *h, struct worker *w)
{
	struct wire *to = worker_wire(h, w);
	enum msg_type type = to ? forge_type(&h->forge, w->self, to->peer, false) : MSG_NONE;
	union msg_any msg;

	if (type == MSG_NONE)
		return;
	forge_message(&h->forge, type, false, &msg);
	(void)wire_send(to, type, &msg);
	hostile_must_drop(h, to, "a frame that is not a worker's", type);
}

static void act_grant(struct hostile *h, struct worker *w)
{
	uint64_t session = forge_session(&h->forge);

	if (!worker_join(h, w, &w->store, RIG_STORE))
		return;
	(void)wire_send(&w->store, MSG_GRANT, &(struct msg_grant){.ask = 1, .worker = w->number, .session = session, .account = forge_below(&h->forge, 6), .by = 1});
	(void)wire_send(&w->store, MSG_MBOX_OPEN, &(struct msg_mbox_open){.session = session, .ask = ++w->ask});
	hostile_must_drop(h, &w->store, "a GRANT of its own", MSG_GRANT);
}

static void act_mutated(struct hostile *h, struct worker *w)
{
	struct wire *to = worker_wire(h, w);
	enum msg_type type = to ? forge_type(&h->forge, w->self, to->peer, true) : MSG_NONE;
	uint32_t flips = 1 + forge_below(&h->forge, 8);
	union msg_any msg;
	struct buf frame;

	if (type == MSG_NONE)
		return;
	forge_message(&h->forge, type, false, &msg);
	frame_of(&frame, type, &msg);
	for (uint32_t i = 0; i < flips && frame.len; i++) {
		size_t at = forge_below(&h->forge, 2) ? forge_below(&h->forge, FRAME_HEADER_BYTES) : forge_below(&h->forge, (uint32_t)frame.len);

		frame.ptr[at] = (uint8_t)forge_u64(&h->forge);
	}
	if (forge_below(&h->forge, 3) == 0)
		frame.len = forge_below(&h->forge, (uint32_t)frame.len + 1);
	(void)wire_send_raw(to, buf_span(&frame), NULL, 0);
	buf_clear(&frame);
	to->bent = true;
	if (forge_below(&h->forge, 2))
		wire_close(to); /* inside the frame, most of the time */
}

/* a socket, a directory, /dev/zero where nothing of the kind belongs */
static void act_descriptors(struct hostile *h, struct worker *w)
{
	static const size_t counts[] = {1, 2, 4, 5, 9};
	struct wire *to = worker_wire(h, w);
	enum msg_type type = to ? forge_type(&h->forge, w->self, to->peer, true) : MSG_NONE;
	int fds[9];
	union msg_any msg;
	struct buf frame;

	if (type == MSG_NONE)
		return;
	forge_message(&h->forge, type, false, &msg);
	frame_of(&frame, type, &msg);
	for (size_t i = 0; i < 9; i++)
		fds[i] = h->forge.junk[forge_below(&h->forge, 4)];
	if (forge_below(&h->forge, 2))
		frame.ptr[6] = (uint8_t)(1 + forge_below(&h->forge, 3)); /* and says so in its header */
	(void)wire_send_raw(to, buf_span(&frame), fds, counts[forge_below(&h->forge, 5)]);
	/* descriptors that came with a good frame are only seen to be too many when the next one comes, or at the end */
	(void)wire_send_raw(to, buf_span(&frame), NULL, 0);
	hostile_must_drop(h, to, "descriptors with a frame that has none", type);
	buf_clear(&frame);
}

static void act_replay(struct hostile *h, struct worker *w)
{
	struct wire *to = worker_wire(h, w);

	for (size_t i = 0; to && i < 5 && h->recorded_count; i++) {
		size_t at = forge_below(&h->forge, (uint32_t)h->recorded_count);

		if (h->recorded[at].peer == to->peer)
			(void)wire_send_raw(to, buf_span(&h->recorded[at].frame), NULL, 0);
	}
}

/* other people's sessions, without a grant for this worker */
static void act_steal(struct hostile *h, struct worker *w)
{
	struct rec_uid uid;
	struct buf uids;
	uint64_t session = forge_session(&h->forge);

	if (w->self != ROLE_USER || worker_granted(w, session) || !worker_join(h, w, &w->store, RIG_STORE))
		return;
	(void)wire_send(&w->store, MSG_MBOX_OPEN, &(struct msg_mbox_open){.session = session, .ask = ++w->ask});
	for (uid.uid = 1; uid.uid <= HOSTILE_UIDS; uid.uid++)
		(void)wire_send(&w->store, MSG_MAIL_FETCH, &(struct msg_mail_fetch){.session = session, .ask = ++w->ask, .uid = uid.uid, .max = UINT32_MAX});
	buf_init(&uids, LIMIT_FRAME_BYTES);
	for (uid.uid = 1; uid.uid <= HOSTILE_UIDS; uid.uid++)
		rec_uid_add(&uids, &uid);
	(void)wire_send(&w->store, MSG_MBOX_COMMIT, &(struct msg_mbox_commit){.session = session, .ask = ++w->ask,
		.uids = {.raw = buf_span(&uids), .count = HOSTILE_UIDS}});
	buf_clear(&uids);
}

static void auth_start(struct worker *w, uint64_t session, const char *mechanism, struct span initial, struct span peer)
{
	(void)wire_send(&w->auth, MSG_AUTH_START, &(struct msg_auth_start){.session = session, .ask = ++w->ask, .tls = true, .has_initial = initial.len > 0,
		.mechanism = span_str(mechanism), .peer = peer, .service = SPAN_LIT("pop3"), .initial = initial});
}

/* its own account, with the right password: what it gets then must not reach any further */
static void act_sign_in(struct hostile *h, struct worker *w)
{
	uint64_t session = forge_session(&h->forge);

	if (w->self != ROLE_USER || !worker_join(h, w, &w->auth, RIG_AUTH) || !worker_join(h, w, &w->store, RIG_STORE))
		return;
	worker_tries(w, session);
	auth_start(w, session, "PLAIN", SPAN_LIT("\0mallory@mailroom.test\0mallory-Pw 1"), SPAN_LIT("192.0.2.66"));
	for (int i = 0; i < 20 && !worker_granted(w, session); i++) {
		wire_wait(&w->auth, 50);
		worker_drain(h, w, &w->auth);
	}
	(void)wire_send(&w->store, MSG_MBOX_OPEN, &(struct msg_mbox_open){.session = session, .ask = ++w->ask});
	for (uint64_t uid = 1; uid <= HOSTILE_UIDS; uid++)
		(void)wire_send(&w->store, MSG_MAIL_FETCH, &(struct msg_mail_fetch){.session = session, .ask = ++w->ask, .uid = uid, .max = UINT32_MAX});
	forge_know_session(&h->forge, session);
}

/* guesses under every address, and exchanges left half done */
static void act_guess(struct hostile *h, struct worker *w)
{
	static const struct {
		const char *mechanism;
		struct span initial;
	} tries[] = {
		{"PLAIN", SPAN_LIT("\0victim@mailroom.test\0wrong")}, {"PLAIN", SPAN_LIT("\0alice@mailroom.test\0wrong")}, {"LOGIN", SPAN_NONE},
		{"PLAIN", SPAN_LIT("victim@mailroom.test\0mallory@mailroom.test\0mallory-Pw 1")}, {"PLAIN", SPAN_LIT("\0nobody@mailroom.test\0x")},
		{"SCRAM-SHA-256", SPAN_LIT("n,,n=victim@mailroom.test,r=fyko+d2lbbFgONRvPx4")},
		{"SCRAM-SHA-256", SPAN_LIT("n,a=victim@mailroom.test,n=mallory@mailroom.test,r=fyko")}, {"EXTERNAL", SPAN_LIT("victim@mailroom.test")},
	};
	char peer[32];
	uint32_t count = 1 + forge_below(&h->forge, 80);

	if (w->self != ROLE_USER || !worker_join(h, w, &w->auth, RIG_AUTH))
		return;
	for (uint32_t i = 0; i < count; i++) {
		size_t t = forge_below(&h->forge, sizeof(tries) / sizeof(tries[0]));

		if (forge_below(&h->forge, 4))
			(void)snprintf(peer, sizeof(peer), "198.51.%u.%u", forge_below(&h->forge, 100), forge_below(&h->forge, 256));
		else
			(void)snprintf(peer, sizeof(peer), "127.0.0.1");
		auth_start(w, forge_session(&h->forge), tries[t].mechanism, tries[t].initial, span_str(peer));
	}
	if (forge_below(&h->forge, 2))
		(void)wire_send(&w->auth, MSG_AUTH_STEP, &(struct msg_auth_step){.session = forge_session(&h->forge), .ask = w->ask,
			.response = forge_text(&h->forge, 9216)});
}

/* to keep others out: wrong passwords in the name of an address and an account that sign in all the time, or so many sign-ins at once that there is no room
 * for more, each from an address of its own */
static void act_lock_out(struct hostile *h, struct worker *w)
{
	static const struct span wrong_password = SPAN_LIT("\0alice@mailroom.test\0wrong"), nobody = SPAN_LIT("\0nobody@mailroom.test\0wrong");
	bool crowd = forge_below(&h->forge, 2), half_done = crowd && forge_below(&h->forge, 4) == 0;
	uint32_t count = half_done ? HOSTILE_SIGNINS : crowd ? HOSTILE_CROWD : HOSTILE_GUESSES;
	char peer[32] = "127.0.0.1";

	if (w->self != ROLE_USER || !worker_join(h, w, &w->auth, RIG_AUTH))
		return;
	for (uint32_t i = 0; i < count; i++) {
		if (crowd)
			(void)snprintf(peer, sizeof(peer), "203.0.%u.%u", i / 256 % 256, i % 256);
		if (half_done)
			auth_start(w, 1000 + i, "LOGIN", SPAN_NONE, span_str(peer));
		else
			auth_start(w, 1000 + i, "PLAIN", crowd ? nobody : wrong_password, span_str(peer));
	}
	for (mono_ms end = clock_mono_ms() + HOSTILE_LINGER_MS; clock_mono_ms() < end;) {
		wire_wait(&w->auth, 50);
		worker_drain(h, w, &w->auth);
	}
}

static void send_accept(struct hostile *h, struct worker *w, uint64_t spool, uint64_t bytes)
{
	struct rec_rcpt rcpt = {.tag = forge_below(&h->forge, 6) << 3 | 1, .address = SPAN_LIT("bob@mailroom.test")};
	struct msg_accept m = {.session = forge_session(&h->forge), .ask = ++w->ask, .received_ms = 1700000000000, .sender = SPAN_LIT("x@hostile.test"),
		.peer = SPAN_LIT("192.0.2.66"), .helo = SPAN_LIT("hostile"), .head = SPAN_LIT("Subject: hostile\r\n\r\n"), .spool = spool, .spool_bytes = bytes};
	struct buf rcpts;

	buf_init(&rcpts, 4096);
	rec_rcpt_add(&rcpts, &rcpt);
	m.rcpts = (struct msg_list){.raw = buf_span(&rcpts), .count = 1};
	(void)wire_send(&w->store, MSG_ACCEPT, &m);
	buf_clear(&rcpts);
}

/* its own lent file handled badly, and files that were lent to others or to nobody */
static void act_spool(struct hostile *h, struct worker *w)
{
	static const uint8_t bytes[8192];
	struct worker *other = &h->workers[forge_below(&h->forge, HOSTILE_WORKERS)];
	uint64_t size = forge_below(&h->forge, 3 << 20);

	if (w->self == ROLE_RELAY || !worker_join(h, w, &w->store, RIG_STORE))
		return;
	(void)wire_send(&w->store, MSG_SPOOL_OPEN, &(struct msg_spool_open){.session = forge_session(&h->forge), .ask = ++w->ask});
	for (int i = 0; i < 20 && w->spool_fd < 0; i++) {
		wire_wait(&w->store, 20);
		worker_drain(h, w, &w->store);
	}
	if (w->spool_fd >= 0) {
		(void)!pwrite(w->spool_fd, bytes, sizeof(bytes), 0);
		(void)!ftruncate(w->spool_fd, (off_t)size);
	}
	switch (forge_below(&h->forge, 6)) {
	case 0:
		send_accept(h, w, w->spool, size + 1);
		break;
	case 1:
		send_accept(h, w, other->spool, size);
		break;
	case 2:
		send_accept(h, w, forge_u64(&h->forge) >> 1, UINT64_MAX >> forge_below(&h->forge, 64));
		break;
	case 3:
		send_accept(h, w, w->spool, size);
		send_accept(h, w, w->spool, size); /* once more */
		break;
	case 4:
		(void)wire_send(&w->store, MSG_SPOOL_DROP, &(struct msg_spool_drop){.spool = other->spool});
		break;
	default:
		send_accept(h, w, w->spool, size);
		if (w->spool_fd >= 0)
			(void)!ftruncate(w->spool_fd, 10); /* while, or after, it is taken */
		break;
	}
	if (w->spool_fd >= 0)
		(void)close(w->spool_fd);
	w->spool_fd = -1;
}

static void act_sign(struct hostile *h, struct worker *w)
{
	struct msg_sign m = {.ask = ++w->ask, .scheme = KEY_SCHEME_ECDSA};
	uint32_t how = forge_below(&h->forge, 6);
	uint8_t digest[1024];

	if (!worker_join(h, w, &w->keys, RIG_KEYS))
		return;
	for (size_t i = 0; i < sizeof(digest); i++)
		digest[i] = (uint8_t)forge_u64(&h->forge);
	m.input = span_of(digest, 32);
	if (how == 0)
		m.key = (uint16_t)(1 + forge_below(&h->forge, 65535));
	else if (how == 1)
		m.scheme = (uint8_t)(forge_below(&h->forge, 2) ? 0 : 2 + forge_below(&h->forge, 250));
	else if (how == 2)
		m.input = span_of(digest, 1 + forge_below(&h->forge, 31));
	else if (how == 3)
		m.input = span_of(digest, 65 + forge_below(&h->forge, 900));
	for (uint32_t i = 0; i < (how < 4 ? 1 : how == 4 ? 20 : HOSTILE_FLOOD_FRAMES); i++)
		if (!wire_send(&w->keys, MSG_SIGN, &m))
			break;
	if (how < 4)
		hostile_must_drop(h, &w->keys, "a SIGN that no handshake makes", MSG_SIGN);
}

static void act_huge(struct hostile *h, struct worker *w)
{
	struct wire *to = worker_wire(h, w);
	enum msg_type type = to ? forge_type(&h->forge, w->self, to->peer, true) : MSG_NONE;
	union msg_any msg;

	if (type == MSG_NONE)
		return;
	forge_message(&h->forge, type, true, &msg);
	(void)wire_send(to, type, &msg);
}

/* asks and asks, and never reads an answer */
static void act_flood(struct hostile *h, struct worker *w)
{
	struct wire *to = worker_wire(h, w);
	enum msg_type type = to ? forge_type(&h->forge, w->self, to->peer, true) : MSG_NONE;
	union msg_any msg;
	struct buf frame;

	if (type == MSG_NONE)
		return;
	to->deaf = true;
	forge_message(&h->forge, type, false, &msg);
	frame_of(&frame, type, &msg);
	for (int i = 0; i < HOSTILE_FLOOD_FRAMES; i++)
		if (!wire_send_raw(to, buf_span(&frame), NULL, 0))
			break;
	buf_clear(&frame);
}

/* half of a frame, or one byte at a time */
static void act_broken_off(struct hostile *h, struct worker *w)
{
	struct wire *to = worker_wire(h, w);
	enum msg_type type = to ? forge_type(&h->forge, w->self, to->peer, true) : MSG_NONE;
	union msg_any msg;
	struct buf frame;

	if (type == MSG_NONE)
		return;
	forge_message(&h->forge, type, false, &msg);
	frame_of(&frame, type, &msg);
	if (forge_below(&h->forge, 2)) {
		(void)wire_send_raw(to, span_head(buf_span(&frame), forge_below(&h->forge, (uint32_t)frame.len)), NULL, 0);
		wire_close(to);
	} else {
		for (size_t i = 0; i < frame.len; i++)
			(void)wire_send_raw(to, span_of(frame.ptr + i, 1), NULL, 0);
	}
	buf_clear(&frame);
}

/* its own account again; then auth hears that the session is over, and the store does not: the store must know all the same */
static void act_half_end(struct hostile *h, struct worker *w)
{
	uint64_t session = (forge_u64(&h->forge) >> 24) | 1;
	mono_ms end = clock_mono_ms() + HOSTILE_DROP_MS;

	if (w->self != ROLE_USER || !worker_join(h, w, &w->auth, RIG_AUTH) || !worker_join(h, w, &w->store, RIG_STORE) || w->store.deaf || w->store.bent ||
	    w->auth.deaf || w->auth.bent || w->granted_count == HOSTILE_GRANTS)
		return;
	worker_tries(w, session);
	auth_start(w, session, "PLAIN", SPAN_LIT("\0mallory@mailroom.test\0mallory-Pw 1"), SPAN_LIT("192.0.2.66"));
	while (!worker_granted(w, session) && !w->auth.over && clock_mono_ms() < end) {
		wire_wait(&w->auth, 50);
		worker_drain(h, w, &w->auth);
	}
	if (!worker_granted(w, session))
		return;
	(void)wire_send(&w->auth, MSG_SESSION_END, &(struct msg_session_end){.session = session});
	w->ended = session;
	w->ended_known = false;
	do {
		(void)wire_send(&w->store, MSG_MBOX_OPEN, &(struct msg_mbox_open){.session = session, .ask = ++w->ask});
		wire_wait(&w->store, 50);
		worker_drain(h, w, &w->store);
	} while (!w->ended_known && !w->store.over && clock_mono_ms() < end);
	if (!w->ended_known && !w->store.over)
		hostile_wrong(h, "a grant outlived its session");
	w->tried_count--; /* it was the last: nothing comes under it any more */
	w->ended = 0;
}

/* what was refused to others, asked for under their sessions */
static void act_why(struct hostile *h, struct worker *w)
{
	uint64_t session = forge_session(&h->forge);

	if (w->self != ROLE_USER || worker_granted(w, session) || !worker_join(h, w, &w->store, RIG_STORE))
		return;
	for (uint32_t i = 0; i < 20; i++)
		(void)wire_send(&w->store, MSG_WHY, &(struct msg_why){.session = session + i * forge_below(&h->forge, 2), .ask = ++w->ask, .max = 50,
			.peer = SPAN_LIT("127.0.0.1")});
}

static const struct {
	void (*act)(struct hostile *h, struct worker *w);
	uint32_t weight;
} acts[] = {
	{act_valid, 30}, {act_forbidden, 4}, {act_grant, 3}, {act_mutated, 12}, {act_descriptors, 4}, {act_replay, 6}, {act_steal, 10}, {act_sign_in, 5}, {act_half_end, 3},
	{act_why, 3}, {act_relay_frames, 4}, {act_others_mail, 25}, {act_dest_flood, 4}, {act_sts_flood, 3}, {act_dkim, 10}, {act_secret, 5}, {act_guess, 4}, {act_lock_out, 1}, {act_spool, 8}, {act_sign, 5}, {act_huge, 2}, {act_flood, 2}, {act_broken_off, 5},
};

static void hostile_act(struct hostile *h, struct worker *w)
{
	uint32_t sum = 0, at;

	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++)
		sum += acts[i].weight;
	at = forge_below(&h->forge, sum);
	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
		if (at < acts[i].weight) {
			acts[i].act(h, w);
			h->frames++;
			return;
		}
		at -= acts[i].weight;
	}
}

/* ---- a seed */

static void worker_begin(struct hostile *h, struct worker *w)
{
	static const enum role_id roles[] = {ROLE_USER, ROLE_USER, ROLE_MX, ROLE_RELAY, ROLE_RELAY};

	*w = (struct worker){.self = roles[forge_below(&h->forge, 5)], .number = ++h->rig.next_worker, .spool_fd = -1};
	wire_init(&w->store, -1, w->self, ROLE_STORE);
	wire_init(&w->keys, -1, w->self, ROLE_KEYS);
	wire_init(&w->auth, -1, w->self, ROLE_AUTH);
}

static void worker_end(struct hostile *h, struct worker *w)
{
	/* what is still on its way counts, too */
	for (int i = 0; i < 3; i++) {
		struct wire *wire = i == 0 ? &w->store : i == 1 ? &w->keys : &w->auth;

		wire->deaf = false;
		wire_wait(wire, 20);
		if (wire->fd >= 0)
			worker_drain(h, w, wire);
		h->bytes += wire->bytes_in;
		wire_close(wire);
	}
	if (w->spool_fd >= 0)
		(void)close(w->spool_fd);
}

static bool hostile_seed(struct hostile *h, uint64_t seed)
{
	uint32_t count;

	forge_init(&h->forge, seed);
	h->wrong[0] = '\0';
	h->log_at = 0;
	hostile_learn(h);
	honest_relay_turn(h);
	for (size_t i = 0; i < HOSTILE_WORKERS; i++)
		worker_begin(h, &h->workers[i]);
	count = HOSTILE_ACTS_MIN + forge_below(&h->forge, HOSTILE_ACTS_MAX - HOSTILE_ACTS_MIN);
	for (uint32_t i = 0; i < count && !h->wrong[0]; i++) {
		hostile_act(h, &h->workers[forge_below(&h->forge, HOSTILE_WORKERS)]);
		hostile_drain(h);
	}
	for (size_t i = 0; i < HOSTILE_WORKERS; i++)
		worker_end(h, &h->workers[i]);
	if (needles_found())
		hostile_wrong(h, "a secret came out: %s", needles_found());
	if (!rig_well(&h->rig))
		hostile_wrong(h, "%s", h->rig.trouble);
	forge_clear(&h->forge);
	if (h->wrong[0])
		(void)printf("seed %llu FAILED: %s\n", (unsigned long long)seed, h->wrong);
	else
		(void)printf("seed %llu ok\n", (unsigned long long)seed);
	return !h->wrong[0];
}

/* the planted failure: a second "auth" that grants every account */
static int hostile_leak(struct hostile *h)
{
	struct wire auth;
	struct worker *w = &h->workers[0];
	bool found;

	forge_init(&h->forge, 1);
	worker_begin(h, w);
	w->self = ROLE_USER;
	w->store.self = ROLE_USER;
	if (!rig_join(&h->rig, RIG_STORE, ROLE_AUTH, 0, &auth) || !rig_join(&h->rig, RIG_STORE, ROLE_USER, w->number, &w->store))
		return 2;
	(void)usleep(200000);
	for (uint64_t account = 1; account <= 8; account++) {
		(void)wire_send(&auth, MSG_GRANT, &(struct msg_grant){.ask = 1, .worker = w->number, .session = account, .account = account, .by = 1 /* sign-in */});
		(void)usleep(50000);
		for (uint64_t uid = 1; uid <= 4; uid++)
			(void)wire_send(&w->store, MSG_MAIL_FETCH, &(struct msg_mail_fetch){.session = account, .ask = ++w->ask, .uid = uid, .max = UINT32_MAX});
	}
	for (int i = 0; i < 100 && !needles_found(); i++) {
		wire_wait(&w->store, 50);
		worker_drain(h, w, &w->store);
	}
	found = needles_found() != NULL && h->wrong[0];
	(void)printf("selftest: with a grant the scan %s; the rule \"no grant, no mail\" %s\n",
		needles_found() ? needles_found() : "found NOTHING", h->wrong[0] ? h->wrong : "saw NOTHING");
	wire_close(&auth);
	worker_end(h, w);
	forge_clear(&h->forge);
	return found ? 0 : 1;
}

int main(int argc, char **argv)
{
	static struct hostile hostile;
	struct hostile *h = &hostile;
	struct rlimit files = {(rlim_t)64 << 20, (rlim_t)64 << 20};
	uint64_t first, count, ok = 0;
	int status = 0;

	if (argc < 7 || num_parse(span_str(argv[5]), UINT32_MAX, &first) != RC_OK || num_parse(span_str(argv[6]), UINT32_MAX, &count) != RC_OK) {
		(void)fprintf(stderr, "usage: hostile PROGRAM HOME NEEDLES LOG FIRST COUNT [--leak]\n");
		return 2;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	h->log_path = argv[4];
	if (!needles_read(argv[3]) || !rig_start(&h->rig, argv[1], argv[2]))
		return 2;
	if (argc == 7 && !honest_relay_begin(h)) {
		(void)fprintf(stderr, "hostile: the store leased nothing\n");
		return 2;
	}
	(void)setrlimit(RLIMIT_FSIZE, &files); /* what a worker's own walls say about the files it is lent */
	(void)printf("serving\n");
	if (argc > 7 && strcmp(argv[7], "--leak") == 0) {
		status = hostile_leak(h);
	} else {
		for (uint64_t seed = first; seed < first + count; seed++)
			ok += hostile_seed(h, seed);
		(void)printf("%zu acts, %zu drops that had to be, %zu bytes received and scanned\n", h->frames, h->drops, h->bytes);
		if (!honest_relay_end(h)) {
			(void)printf("the honest relay: %s\n", h->wrong);
			ok -= ok > 0;
		}
		(void)printf("%llu passed, %llu failed\n", (unsigned long long)ok, (unsigned long long)(count - ok));
		status = ok == count ? 0 : 1;
		while (getchar() != EOF)
			; /* honest clients may still have something to say to the roles */
		if (!rig_well(&h->rig)) {
			(void)printf("afterwards: %s\n", h->rig.trouble);
			status = 1;
		}
	}
	rig_stop(&h->rig);
	return status;
}
