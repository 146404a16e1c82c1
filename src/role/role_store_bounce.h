/* role_store_bounce - tells senders what became of their mail: bounces, delay notices, confirmations that were asked for. Each is written and accepted in the
 * transaction that takes the rows it speaks of out of the queue, so none is lost and none is sent twice. Works on the clock of the store role. */
#ifndef MAILROOM_ROLE_ROLE_STORE_BOUNCE_H
#define MAILROOM_ROLE_ROLE_STORE_BOUNCE_H

struct store_role;
struct store_bouncer;

void store_bounces_open(struct store_role *s);
void store_bounces_close(struct store_role *s);
/* rows have failed, or a sender is to be told something: looks into the queue a moment later, so that recipients of one message share a report */
void store_bounces_soon(struct store_role *s);

#endif
