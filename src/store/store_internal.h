/* store_internal - what the files of the store share; nobody outside includes it. */
#ifndef MAILROOM_STORE_STORE_INTERNAL_H
#define MAILROOM_STORE_STORE_INTERNAL_H

#include <openssl/evp.h>

#include "base/map.h"
#include "base/limits.h"
#include "store/store.h"
#include "store/store_sql.h"

enum store_statement {
#define S(name, text) STORE_SQL_##name,
#include "store/store_statements.def"
#undef S
	STORE_SQL_COUNT
};
extern const struct sql_schema store_schema;

/* ids come from the table `counter` (never used twice, whatever is deleted); read once a transaction, written back at its end */
enum store_counter { STORE_COUNT_DOMAIN, STORE_COUNT_ACCOUNT, STORE_COUNT_ALIAS, STORE_COUNT_MESSAGE, STORE_COUNT_QUEUE, STORE_COUNT_VALIDITY, STORE_COUNTERS };

enum { STORE_ADDRESS_BYTES = 1024, STORE_PAGE_ROWS = 200, STORE_SCRATCH_BYTES = 64 << 20, STORE_ADDED_BYTES = 4096, STORE_FLAGS_BYTES = 512 };
enum { STORE_ALIAS_DEPTH = 10, STORE_ALIAS_TARGETS = 1000, STORE_PLAN_TARGETS = 100000 };
enum { STORE_SEND_AS_MAX = 1000 /* an account */, STORE_DOMAIN_RULES_MAX = 1000 /* a domain */, STORE_RULE_BYTES = 256, STORE_RATES_BYTES = 256 };
enum { STORE_FLAG_SMTPUTF8 = 1, STORE_FLAG_8BIT = 2, STORE_FLAG_BINARY = 4, STORE_FLAG_REQUIRETLS = 8, STORE_FLAG_HEADERS_ASCII = 16 }; /* message.flags */
enum { STORE_REPEAT_MS = 24 * 3600 * 1000, STORE_REPEAT_KEY_BYTES = 16 };
#define STORE_MAX_MS (INT64_MAX / 4) /* any time, size or count in the database; sums cannot overflow */
enum store_account_state { STORE_ACCOUNT_DISABLED, STORE_ACCOUNT_ENABLED, STORE_ACCOUNT_GONE /* being emptied by store_tidy */ };

struct store_spool {
	uint64_t id;
	int fd;
	char name[20]; /* below spool/ */
};

struct store {
	struct sql sql;
	int dir_fd, bodies_fd, spool_fd;
	unsigned flags;
	struct map spools;
	EVP_MD *sha256;
	EVP_MD_CTX *digest;
	int64_t next[STORE_COUNTERS]; /* 0: not read in this transaction */
	bool next_changed[STORE_COUNTERS];
	int64_t *bodies; /* body files named in this transaction; taken back at a rollback */
	size_t body_count, body_size;
	struct store_notes {          /* store_repeat.c: what was accepted lately, the oldest first */
		struct store_note *at;
		size_t first, count, size, committed; /* count and committed: from `first` on */
		uint64_t before;      /* so many have been dropped in front of at[0] */
		struct map keys;      /* the first bytes of a key -> 1 + its number, counted with those that were dropped */
		bool read;
	} notes;
	bool queue_stirred;           /* a destination has become due earlier, see store_queue_stirred */
	bool srs_known;
	uint8_t srs_key[32];          /* SRS_KEY_BYTES */
};

/* a number nobody had before */
enum rc store_number(struct store *s, enum store_counter c, int64_t least, int64_t *out, struct err *err) RC_WARN;
/* a call that writes runs in the caller's transaction, or in one of its own: begin sets *own, end commits or takes back */
enum rc store_write_begin(struct store *s, bool *own, struct err *err) RC_WARN;
enum rc store_write_end(struct store *s, bool own, enum rc rc, struct err *err) RC_WARN;

/* an address taken apart for look-ups; spans live in the arena */
struct store_name {
	struct span text;   /* as address_write spells it */
	struct span local;  /* the part of text before the last @ */
	struct span lower;  /* text in lower case: how our own addresses are shown */
	struct span key;    /* as address_key spells it */
	struct span domain; /* the part of key behind the last @: A-labels, see address_domain_key */
};
enum rc store_name_parse(struct span address, struct arena *mem, struct store_name *out, struct err *err) RC_WARN; /* RC_BAD */
enum rc store_domain_id(struct store *s, struct span name, int64_t *id_out, int64_t *catch_all_out, struct err *err) RC_WARN; /* RC_NONE */

struct store_found {
	enum store_found_kind { STORE_FOUND_NOBODY, STORE_FOUND_FOREIGN, STORE_FOUND_ALIAS, STORE_FOUND_ACCOUNT,
		STORE_FOUND_SRS /* made here for mail that was forwarded, as far as its form says */ } kind;
	int64_t id;
	bool enabled;
	int64_t quota_bytes, used_bytes;
};
/* who answers to this address, by the order that store.h gives */
enum rc store_find(struct store *s, const struct store_name *name, struct store_found *out, struct err *err) RC_WARN;
enum rc store_find_account(struct store *s, int64_t id, struct store_found *out, struct err *err) RC_WARN; /* RC_NONE */

/* every account and foreign address behind an alias, each alias visited once (so loops end) */
struct store_walk {
	struct store *s;
	struct map seen; /* alias ids */
	bool seen_ready;
	unsigned depth, targets;
	bool over; /* more targets or a deeper chain than the limits allow: some were left out */
	bool loop; /* an alias came back */
	enum rc (*found)(void *arg, const struct store_found *what, const struct store_name *name, struct err *err); /* RC_EXISTS: stop, that is enough */
	void *arg;
};
void store_walk_init(struct store_walk *w, struct store *s, enum rc (*found)(void *, const struct store_found *, const struct store_name *, struct err *), void *arg);
enum rc store_walk_alias(struct store_walk *w, int64_t alias, struct err *err) RC_WARN;
void store_walk_clear(struct store_walk *w);
/* looks the domain up, for a change; *name_out as it is kept, in mem. RC_BAD, RC_NONE with words */
enum rc store_domain_need(struct store *s, struct span name, struct arena *mem, struct span *name_out, int64_t *id_out, struct err *err) RC_WARN;
/* a host name as it is kept and looked up (address_domain_key); checked by the one address parser. RC_BAD */
enum rc store_domain_name(struct span name, struct arena *mem, struct span *out, struct err *err) RC_WARN;
/* an account is going: what it was allowed and what it had set up; and nobody may send as it any more, whoever gets the address next */
enum rc store_policy_forget_account(struct store *s, int64_t account, struct span key, struct err *err) RC_WARN;
/* the same for an alias that is going, and for a domain with its rules */
enum rc store_policy_forget_alias(struct store *s, struct span key, struct err *err) RC_WARN;
enum rc store_policy_forget_domain(struct store *s, int64_t domain, struct span name, struct err *err) RC_WARN;
/* an account is going: alias rows that name it go too, and aliases that led nowhere else */
enum rc store_alias_forget(struct store *s, struct span key, struct err *err) RC_WARN;

/* the folder of that name, made where there is none; inside a transaction. RC_LIMIT: too many */
enum rc store_folder_make(struct store *s, int64_t account, struct span name, int64_t *id_out, struct err *err) RC_WARN;

struct store_spool *store_spool_get(struct store *s, uint64_t spool);
/* is it as long as the peer said? RC_BAD */
enum rc store_spool_check(const struct store_spool *p, uint64_t bytes, struct err *err) RC_WARN;
/* synced, named bodies/xx/ID, that directory synced; taken back with the transaction */
enum rc store_spool_keep(struct store *s, struct store_spool *p, int64_t message, struct err *err) RC_WARN;
/* the same body for another message: a second name of its file; taken back with the transaction */
enum rc store_body_link(struct store *s, int64_t from, int64_t message, struct err *err) RC_WARN;
enum rc store_body_read(struct store *s, int64_t message, uint64_t offset, size_t bytes, struct buf *out, struct err *err) RC_WARN;
void store_body_remove(struct store *s, int64_t message);
void store_bodies_settle(struct store *s, bool committed);
enum rc store_spool_open_dirs(struct store *s, const char *dir, struct err *err) RC_WARN;
enum rc store_spool_clean(struct store *s, struct err *err) RC_WARN;
void store_spool_close_all(struct store *s);

/* the lines on top of every mail as it is read (RFC 5321 4.4: final delivery adds Return-Path) */
void store_mail_top(struct buf *out, struct span sender, struct span account_address);
enum rc store_mail_remove_all(struct store *s, int64_t account, size_t max, bool *more_out, struct err *err) RC_WARN;

/* ---- store_repeat.c: repeats, known by client, sender, Message-ID and text, for each place that the message went to. So a repeat with other recipients (some
 * were put off the first time) goes to those who have not got it, and to nobody twice. */
bool store_repeats_known(const struct store_message *m); /* false: this one could not be recognised */
/* account 0: the place is the foreign address */
enum rc store_repeat_key(struct store *s, const struct store_message *m, int64_t account, struct span foreign, uint8_t out[STORE_REPEAT_KEY_BYTES], struct err *err);
/* RC_NONE: it is new. *first: the message that it repeats, where none was named before */
enum rc store_repeat_find(struct store *s, const struct store_message *m, const uint8_t key[STORE_REPEAT_KEY_BYTES], int64_t *first, struct err *err);
enum rc store_repeat_write(struct store *s, const struct store_message *m, int64_t id, const uint8_t key[STORE_REPEAT_KEY_BYTES], struct err *err);
void store_repeats_settle(struct store *s, bool committed); /* with the transaction */
/* drops what is older than a day, from the future, or too much; a step of it: *more */
enum rc store_repeats_tidy(struct store *s, int64_t now_ms, bool *more, struct err *err) RC_WARN;
void store_repeats_init(struct store *s);
void store_repeats_free(struct store *s);

/* what one page of a listing may hold */
enum { STORE_PAGE_BYTES = 4 << 20 };
/* all domains for `each` to choose from; RC_NONE where `only` is given and not hosted */
enum rc store_domain_each_if_hosted(struct store *s, struct span only_or_empty, enum rc (*each)(void *arg, const struct store_domain *), void *arg, struct err *err) RC_WARN;

#endif
