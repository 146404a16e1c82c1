/* codec - frames to bytes and back, by the tables of messages.def. Included by ipc_messages.h; include that one.
 * Decoding is strict: every limit, full consumption, bool 0 or 1, exactly the descriptors named. Owns no descriptor. */
#ifndef MAILROOM_IPC_CODEC_H
#define MAILROOM_IPC_CODEC_H

extern const char *const role_names[ROLE_COUNT];
extern const struct msg_info msg_infos[MSG_COUNT];

const char *role_name(enum role_id role);  /* "mx"; "?" where there is none */
const char *msg_name(enum msg_type type);  /* "RCPT_CHECK"; "?" where there is none */
bool msg_known(enum msg_type type);
bool msg_allowed(enum msg_type type, enum role_id from, enum role_id to);
bool msg_needs_grant(enum msg_type type);
bool msg_is_secret(enum msg_type type);    /* holds passwords or what comes near them: wipe the bytes after use */
size_t msg_fd_count(enum msg_type type);
size_t msg_payload_max_bytes(enum msg_type type);

/* header and fields of `msg` (the struct of that type); its descriptors travel beside. A field over its limit sets out->overflow. */
void msg_encode(struct buf *out, enum msg_type type, const void *msg);
/* spans in *out borrow from payload, descriptors are those given (still the caller's); RC_BAD: not such a message, *out untouched */
enum rc msg_decode(enum msg_type type, struct span payload, const int *fds, size_t fd_count, union msg_any *out) RC_WARN;
/* the i-th descriptor of msg, i < msg_fd_count; -1: none */
int msg_fd(enum msg_type type, const void *msg, size_t i);
/* its session number; 0: a message without one */
uint64_t msg_session(enum msg_type type, const union msg_any *msg);

/* used by the generated rec_NAME_next and rec_NAME_add */
bool codec_record_next(const struct msg_layout *layout, struct span *cursor, void *out);
void codec_record_add(const struct msg_layout *layout, struct buf *out, const void *record);

#endif
