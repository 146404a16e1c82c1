/* err - how calls fail. enum rc says what kind; words for a person travel in a struct err that the caller owns and the
 * place that knows the facts fills. Nothing here logs. */
#ifndef MAILROOM_BASE_ERR_H
#define MAILROOM_BASE_ERR_H

enum rc {
	RC_OK = 0,
	RC_AGAIN,    /* not now: would block, or more input is needed */
	RC_LIMIT,    /* a named limit was reached */
	RC_BAD,      /* the input is wrong */
	RC_NONE,     /* there is no such thing */
	RC_EXISTS,   /* there is one already */
	RC_BUSY,     /* held by somebody else */
	RC_FULL,     /* the disk (or a quota) is full; nothing was changed */
	RC_IO,       /* the system or the disk failed */
	RC_DENIED,   /* not permitted */
};

#define RC_WARN __attribute__((warn_unused_result))

/* short-lived: on the stack of whoever asks */
struct err {
	char words[512];
};

/* always returns `rc`, so that a place can say: return err_set(err, RC_BAD, "..."); err may be NULL */
enum rc err_set(struct err *err, enum rc rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* the same, with ": strerror(errno)" behind it */
enum rc err_errno(struct err *err, enum rc rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
const char *rc_name(enum rc rc);

#endif
