/* wire - the end of a channel in the hands of the test: sends whatever it is told to, well formed or not, and looks at every byte that comes back. */
#ifndef MAILROOM_TEST_WALLS_WIRE_H
#define MAILROOM_TEST_WALLS_WIRE_H

#include "base/buf.h"
#include "ipc_messages.h"

enum { WIRE_NEEDLES_MAX = 128, WIRE_NEEDLE_BYTES = 128 };

/* what must never come out; read from a file of lines "NAME HEX" */
struct needle {
	char name[48];
	uint8_t bytes[WIRE_NEEDLE_BYTES];
	size_t len;
};

/* a question that was sent, and the session that it was sent under */
struct wire_asked {
	uint32_t ask;
	uint64_t session;
};

struct wire {
	int fd;              /* -1: over */
	enum role_id self, peer;
	struct buf in, out;  /* out: the frame at whose end what was sent has not come yet, as the peer sees it */
	size_t in_at;
	bool out_lost;       /* the peer cannot make a frame of it any more */
	struct wire_asked *asked; /* all since it was made */
	size_t asked_count, asked_size;
	bool over;           /* the peer has closed */
	bool deaf;           /* do not read: a flood whose answers pile up */
	bool bent;           /* half a frame was sent: what follows is taken for the rest of it */
	uint64_t bytes_in;
	int last_fd;         /* descriptor of the frame at hand, -1: none; whoever wants it takes it */
};

bool needles_read(const char *path);
/* NULL: none in there; else its name */
const char *needles_find(struct span bytes);
/* what a scan found anywhere since the start; NULL: nothing */
const char *needles_found(void);

void wire_init(struct wire *w, int fd, enum role_id self, enum role_id peer);
void wire_close(struct wire *w);
/* was a question with that number sent under that session? Read from the bytes that left, whoever forged them. */
bool wire_has_asked(const struct wire *w, uint32_t ask, uint64_t session);
/* false: the peer is gone, or does not take it within the time */
bool wire_send_raw(struct wire *w, struct span bytes, const int *fds, size_t fd_count);
bool wire_send(struct wire *w, enum msg_type type, const void *msg);
/* the next whole frame that has come; false: none now. Spans in *msg are good until the next call. Every byte is scanned. */
bool wire_next(struct wire *w, enum msg_type *type, union msg_any *msg);
/* waits up to ms for something to read (or the end) */
void wire_wait(struct wire *w, int ms);
/* true: the peer closed within ms; what it says until then is scanned */
bool wire_dropped(struct wire *w, int ms);

#endif
