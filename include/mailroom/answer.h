/* libmailroom-answer - says why mail was refused: a reply of any mail server, a bounce, the protocol of a conversation, the log of a
 * server, the error window of a mail program; what usually stands behind it, what to do about it, and how sure that is.
 *
 * Texts go in as they are (ASCII or UTF-8, any bytes are taken) and are never executed, stored or sent anywhere. What comes out is ASCII or
 * UTF-8 that is safe to show: no control characters, and passwords in it are replaced by "****". Strings that depend on a handle live as
 * long as it does, all others for ever. Index arguments past the end give NULL or 0; a NULL handle does too. Any number of threads may ask
 * at once, each with handles of its own; what is shared is constant. Needs nothing but the C library. Where memory is gone the process ends
 * (a few hundred KiB are used, 5 MiB for a log).
 *
 * The interface is stable: functions are added, none is changed or taken away, while MAILROOM_ANSWER_ABI stays the same. Enumerations may
 * grow.
 *
 *     struct mailroom_answer *a = mailroom_answer_text("554 5.7.1 Relay access denied", 29);
 *     if (mailroom_answer_count(a) && !mailroom_answer_is_undecided(a))
 *             puts(mailroom_answer_meaning(a, 0));
 *     mailroom_answer_free(a);
 */
#ifndef MAILROOM_ANSWER_H
#define MAILROOM_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MAILROOM_ANSWER_ABI 1

/* the version of the library, "0.1.0", and its ABI as built */
const char *mailroom_answer_version(void);
int mailroom_answer_abi(void);

/* --- one text --- */

struct mailroom_answer;

enum mailroom_answer_form {
	MAILROOM_ANSWER_REPLY, /* a reply, a dialog, a code, the name of a cause */
	MAILROOM_ANSWER_BOUNCE,
	MAILROOM_ANSWER_TRANSCRIPT,
	MAILROOM_ANSWER_LOG, /* the causes are those of its refusals, the most frequent first; mailroom_answer_log_feed tells whom they hit */
};

/* What is beyond MAILROOM_ANSWER_BYTES is not looked at. Never NULL; free it. */
#define MAILROOM_ANSWER_BYTES (1U << 20)
struct mailroom_answer *mailroom_answer_text(const void *text, size_t bytes);
void mailroom_answer_free(struct mailroom_answer *answer);

enum mailroom_answer_form mailroom_answer_form(const struct mailroom_answer *answer);
/* causes found, best first; 0: nothing known fits */
size_t mailroom_answer_count(const struct mailroom_answer *answer);
/* not 0: the words fit several causes, which are given ranked; mailroom_answer_ask says what to fetch next */
int mailroom_answer_is_undecided(const struct mailroom_answer *answer);
/* the first cause's slug, or "insufficient-text" where undecided or nothing fits */
const char *mailroom_answer_verdict(const struct mailroom_answer *answer);
const char *mailroom_answer_ask(const struct mailroom_answer *answer);
/* the line that shows it, masked */
const char *mailroom_answer_evidence(const struct mailroom_answer *answer);
/* who said it: "postfix", "gmail"; "mailroom"; "unknown" */
const char *mailroom_answer_emitter(const struct mailroom_answer *answer);
const char *mailroom_answer_emitter_name(const struct mailroom_answer *answer);
/* which side spoke: server, program, middlebox, filter, remote, dns-list, dns, mailroom, unknown */
const char *mailroom_answer_speaker(const struct mailroom_answer *answer);
/* the first refusal's codes: 550, "5.7.1"; 0 and "" where there are none */
unsigned mailroom_answer_code(const struct mailroom_answer *answer);
const char *mailroom_answer_enhanced(const struct mailroom_answer *answer);
/* what led to it, the first thing that went wrong first */
size_t mailroom_answer_step_count(const struct mailroom_answer *answer);
const char *mailroom_answer_step(const struct mailroom_answer *answer, size_t step);
/* of a bounce: those to whom the message did not come, each with a cause of its own ("insufficient-text": not decided); at most 16 */
size_t mailroom_answer_recipient_count(const struct mailroom_answer *answer);
const char *mailroom_answer_recipient(const struct mailroom_answer *answer, size_t recipient);
const char *mailroom_answer_recipient_slug(const struct mailroom_answer *answer, size_t recipient);
double mailroom_answer_recipient_confidence(const struct mailroom_answer *answer, size_t recipient);
const char *mailroom_answer_recipient_evidence(const struct mailroom_answer *answer, size_t recipient);
/* further recipients, conversations or refusals in the same text; the causes above are not theirs */
size_t mailroom_answer_more(const struct mailroom_answer *answer);
int mailroom_answer_is_cut(const struct mailroom_answer *answer);

/* of one cause: 0 is the best */
const char *mailroom_answer_slug(const struct mailroom_answer *answer, size_t cause);
double mailroom_answer_confidence(const struct mailroom_answer *answer, size_t cause); /* 0 to 1 */
const char *mailroom_answer_why(const struct mailroom_answer *answer, size_t cause);   /* what in the text speaks for it */
const char *mailroom_answer_against(const struct mailroom_answer *answer,
				    size_t cause); /* what in the text, or in what happened before, speaks against it; "" mostly */
const char *mailroom_answer_note(const struct mailroom_answer *answer, size_t cause);  /* what else to know about these words; "" mostly */
const char *mailroom_answer_known_from(const struct mailroom_answer *answer,
				       size_t cause); /* where these words can be looked up; "" where only codes spoke */

/* --- the catalogue, by slug; NULL or 0 where there is no such --- */

const char *mailroom_cause_meaning(const char *slug);
const char *mailroom_cause_likely(const char *slug, size_t index); /* reasons, the likeliest first */
/* who: sender, client, admin, remote-admin, nobody */
const char *mailroom_cause_fix_who(const char *slug, size_t index);
const char *mailroom_cause_fix_what(const char *slug, size_t index);
const char *mailroom_cause_retry(const char *slug); /* no, later, after-fix */
const char *mailroom_cause_source(const char *slug);
int mailroom_cause_is_permanent(const char *slug);	/* it stays until somebody changes something */
int mailroom_cause_code_is_permanent(const char *slug); /* what its reply code says; the two differ */
static inline const char *mailroom_answer_meaning(const struct mailroom_answer *answer, size_t cause)
{
	return mailroom_cause_meaning(mailroom_answer_slug(answer, cause));
}

/* --- a log of any length, in constant memory --- */

struct mailroom_answer_log;
int mailroom_answer_is_log(const void *head, size_t bytes); /* do the first lines look like a log? */
struct mailroom_answer_log *mailroom_answer_log_new(void);
void mailroom_answer_log_feed(struct mailroom_answer_log *log, const void *bytes, size_t count); /* any chunking */
void mailroom_answer_log_end(struct mailroom_answer_log *log);					 /* then ask */
void mailroom_answer_log_free(struct mailroom_answer_log *log);
enum mailroom_answer_log_count {
	MAILROOM_ANSWER_LOG_LINES,
	MAILROOM_ANSWER_LOG_KNOWN, /* lines of servers that are known */
	MAILROOM_ANSWER_LOG_REFUSALS,
	MAILROOM_ANSWER_LOG_CONSEQUENCES, /* refusals that only followed from one before, not in the table */
	MAILROOM_ANSWER_LOG_CUT,	  /* lines too long to be looked at whole */
	MAILROOM_ANSWER_LOG_FORGOTTEN,	  /* messages whose sender made room for another's */
	MAILROOM_ANSWER_LOG_BYTES,
};
uint64_t mailroom_answer_log_count(const struct mailroom_answer_log *log, enum mailroom_answer_log_count what);
/* the table, the most frequent cause first; slug NULL: no more */
const char *mailroom_answer_log_slug(const struct mailroom_answer_log *log, size_t row);
uint64_t mailroom_answer_log_hits(const struct mailroom_answer_log *log, size_t row);
double mailroom_answer_log_confidence(const struct mailroom_answer_log *log, size_t row);
const char *mailroom_answer_log_first(const struct mailroom_answer_log *log, size_t row); /* time stamps as they stand in the log */
const char *mailroom_answer_log_last(const struct mailroom_answer_log *log, size_t row);
const char *mailroom_answer_log_example(const struct mailroom_answer_log *log, size_t row);
const char *mailroom_answer_log_name(const struct mailroom_answer_log *log, size_t row, size_t index); /* accounts or senders that it hit */
uint64_t mailroom_answer_log_name_hits(const struct mailroom_answer_log *log, size_t row, size_t index);
uint64_t mailroom_answer_log_others(const struct mailroom_answer_log *log, size_t row); /* hits of others, or of nobody named */

/* --- mail programs --- */

const char *mailroom_program_slug(size_t program); /* NULL: no more */
const char *mailroom_program_name(size_t program);
const char *mailroom_program_step(size_t program, size_t step); /* how to set it up; {smtp-host} and the like stand for the values */
/* "outgoing-auth" and where it is set, in the program's own words */
const char *mailroom_program_setting(size_t program, size_t setting);
const char *mailroom_program_setting_where(size_t program, size_t setting);

#ifdef __cplusplus
}
#endif

#endif
