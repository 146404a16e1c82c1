/* chan - a channel to one other role: frames with descriptors over a Unix stream socket, gathered and sent once a loop turn.
 * Checks length, permission (messages.def), descriptors and full decoding before the owner sees a frame; whatever is wrong
 * drops the peer. Never blocks: past its ceiling the peer is dropped too. */
#ifndef MAILROOM_IPC_CHAN_H
#define MAILROOM_IPC_CHAN_H

#include "base/buf.h"
#include "base/err.h"
#include "ipc_messages.h" /* generated: enum msg_type, enum role_id, struct msg_*, msg_encode, msg_decode */
#include "loop/loop.h"

struct chan;

struct chan_ops {
	/* One frame, decoded: `msg` points to the struct msg_X of `type`, spans borrow from the channel until return. A descriptor in it is the
	 * owner's from now on (close it). Returns RC_OK, or anything else to drop the peer. */
	enum rc (*on_frame)(void *owner, struct chan *c, enum msg_type type, const union msg_any *msg);
	/* the peer is gone (why: words for the log: "closed", "bad frame: ..."); called once, outside chan_send; the owner frees the channel here or later */
	void (*on_gone)(void *owner, struct chan *c, const char *why);
};

/* takes the descriptor (non-blocking is set); self/peer: roles at the two ends; peer_worker: number of a worker behind it, else 0 */
struct chan *chan_new(struct loop *loop, int fd, enum role_id self, enum role_id peer, uint32_t peer_worker, const struct chan_ops *ops, void *owner);
/* unsent frames are lost; safe inside on_frame and on_gone; NULL is fine */
void chan_free(struct chan **c);
enum role_id chan_peer(const struct chan *c);
uint32_t chan_peer_worker(const struct chan *c);
void *chan_owner(const struct chan *c);
/* Queues a frame; it leaves at the end of the loop turn. Descriptors in msg are duplicated into the queue's care: the channel closes its own copy, the
 * caller keeps (and closes) its own. */
void chan_send(struct chan *c, enum msg_type type, const void *msg);
/* writes what is queued, as far as the socket takes it; the loop does this by itself at turn end */
void chan_flush(struct chan *c);
size_t chan_unsent_bytes(const struct chan *c);
/* stop / start reading frames (back-pressure); frames already read are still delivered */
void chan_pause(struct chan *c, bool paused);

/* For roles that must wait: sends everything queued and reads until a frame of `type` comes or timeout_ms passes; other frames that come first are
 * delivered as usual. on_reply: RC_OK ends the wait, RC_AGAIN (an answer to an older question) goes on waiting, anything else drops the peer; the
 * call returns what it said. RC_AGAIN: timed out; RC_IO: peer gone; RC_BUSY: called while a frame of this channel is being delivered. Used only by
 * the TLS signature call. */
enum rc chan_call(struct chan *c, enum msg_type send_type, const void *send_msg, enum msg_type type, uint64_t timeout_ms,
	enum rc (*on_reply)(void *arg, const union msg_any *msg), void *arg) RC_WARN;

#endif
