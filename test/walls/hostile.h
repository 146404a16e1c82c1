/* hostile - what the parts of the program share: hostile.c (acts of workers, seeds), hostile_relay.c (acts of a relay, and the relay that was not taken over). */
#ifndef MAILROOM_TEST_WALLS_HOSTILE_H
#define MAILROOM_TEST_WALLS_HOSTILE_H

#include "forge.h"
#include "rig.h"

enum {
	HOSTILE_WORKERS = 2,    /* taken over at the same time in one seed */
	HOSTILE_ACTS_MIN = 15,
	HOSTILE_ACTS_MAX = 80,
	HOSTILE_GRANTS = 8,
	HOSTILE_TRIED = 2 * HOSTILE_ACTS_MAX,
	HOSTILE_RECORDED = 64,  /* frames kept for repeating */
	HOSTILE_RECORDED_BYTES = 4096,
	HOSTILE_DROP_MS = 10000,
	HOSTILE_FLOOD_FRAMES = 3000,
	HOSTILE_UIDS = 40,
	HOSTILE_GUESSES = 60,   /* more than anybody may have wrong */
	HOSTILE_CROWD = 300,    /* more than may wait for a hash */
	HOSTILE_SIGNINS = 9000, /* more than the auth role has in hand */
	HOSTILE_LINGER_MS = 600,
	HOSTILE_HONEST_ROWS = 64,
};

struct worker {
	enum role_id self;
	uint32_t number;
	struct wire store, keys, auth;
	uint64_t granted[HOSTILE_GRANTS];
	size_t granted_count;
	/* Sessions in whose name it gave its own password: it may have a grant of which it has not heard yet, as the answer of auth and those of the store
	 * come over two channels. Nothing but what was asked under one of these may be answered. */
	uint64_t tried[HOSTILE_TRIED];
	size_t tried_count;
	uint64_t spool;    /* last one lent, 0: none */
	int spool_fd;
	uint32_t ask;
	uint64_t ended;    /* of which auth heard that it is over */
	bool ended_known;  /* the store refused it since */
	bool leased;         /* it was given mail as a relay */
	bool asked_rightly;  /* to sign, with a key and its domain */
};

/* a relay as it should be; holds all that was in the queue at the start */
struct honest {
	struct wire store;
	struct {
		uint64_t row, lease, message;
	} rows[HOSTILE_HONEST_ROWS];
	size_t count;
	uint32_t kept;
};

struct hostile {
	struct rig rig;
	struct forge forge;
	struct worker workers[HOSTILE_WORKERS];
	const char *log_path;
	long log_at;
	char wrong[200];   /* first thing that went wrong in this seed; "": nothing */
	struct {
		enum role_id peer;
		struct buf frame;
	} recorded[HOSTILE_RECORDED];
	size_t recorded_count, frames, drops, bytes;
	struct honest honest;
};

void hostile_wrong(struct hostile *h, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void hostile_must_drop(struct hostile *h, struct wire *to, const char *what, enum msg_type type);
bool worker_granted(const struct worker *w, uint64_t session);
void worker_drain(struct hostile *h, struct worker *w, struct wire *from);
/* makes the channel to one of the rig's roles where there is none, or has been one; false: it cannot be had */
bool worker_join(struct hostile *h, struct worker *w, struct wire *wire, int role);

/* ---- hostile_relay.c */
void relay_take(struct hostile *h, struct worker *w, enum msg_type type, const union msg_any *msg);
void act_relay_frames(struct hostile *h, struct worker *w);
void act_others_mail(struct hostile *h, struct worker *w);
void act_dest_flood(struct hostile *h, struct worker *w);
void act_sts_flood(struct hostile *h, struct worker *w);
void act_dkim(struct hostile *h, struct worker *w);
void act_secret(struct hostile *h, struct worker *w);
/* false: the queue was empty, or the store gives nothing out */
bool honest_relay_begin(struct hostile *h);
void honest_relay_turn(struct hostile *h);
/* false: h->wrong; what it holds was not its own any more */
bool honest_relay_end(struct hostile *h);

#endif
