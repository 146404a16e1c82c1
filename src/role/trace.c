#include "role/trace.h"

#include "base/num.h"

enum { TRACE_TEXT_BYTES = 255 };

/* no control characters, and none of the characters that open or close comments or angle brackets */
static void trace_add_word(struct buf *out, struct span s, bool utf8)
{
	for (size_t i = 0; i < s.len && i < TRACE_TEXT_BYTES; i++) {
		uint8_t c = s.ptr[i];
		bool fine = (c > 0x20 && c < 0x7f && c != '(' && c != ')' && c != '<' && c != '>' && c != '\\' && c != ';') || (c >= 0x80 && utf8);

		buf_add_byte(out, fine ? c : '?');
	}
}

void trace_write_received(struct buf *out, const struct trace_facts *f)
{
	bool tls = f->tls_version.len > 0;

	buf_add_str(out, "Received: from ");
	trace_add_word(out, f->helo.len ? f->helo : SPAN_LIT("unknown"), f->utf8);
	buf_add_str(out, address_is_ip(f->peer) && span_find(f->peer, ':') < f->peer.len ? " ([IPv6:" : " ([");
	trace_add_word(out, f->peer, false);
	buf_add_str(out, "])\r\n");
	if (tls) {
		buf_add_str(out, "\t(using ");
		trace_add_word(out, f->tls_version, false);
		buf_add_str(out, " with cipher ");
		trace_add_word(out, f->tls_cipher, false);
		buf_add_str(out, ")\r\n");
	}
	if (f->relay_by.len) { /* whoever asks later why this was relayed finds it here */
		buf_add_str(out, "\t(");
		buf_add_str(out, f->relay_account.len ? "relay window of " : "authorised network");
		trace_add_word(out, f->relay_account, f->utf8);
		buf_add_str(out, ")\r\n");
	}
	buf_add_str(out, "\tby ");
	buf_add(out, f->hostname);
	/* RFC 3848, and RFC 6531 3.7.3 for the UTF8 forms */
	buf_add_str(out, " (mailroom) with ");
	buf_add_str(out, f->utf8 ? "UTF8SMTP" : f->esmtp ? "ESMTP" : "SMTP");
	if (f->esmtp || f->utf8) {
		buf_add_str(out, tls ? "S" : "");
		buf_add_str(out, f->authenticated ? "A" : "");
	}
	buf_add_str(out, " id ");
	buf_add(out, f->id);
	if (f->only_rcpt.len) {
		buf_add_str(out, "\r\n\tfor <");
		trace_add_word(out, f->only_rcpt, f->utf8);
		buf_add_str(out, ">");
	}
	buf_add_str(out, ";\r\n\t");
	header_write_date(out, f->wall_ms);
	buf_add_str(out, "\r\n");
}

unsigned trace_complete_header(struct buf *out, const struct header_facts *h, struct span hostname, uint64_t unique, int64_t wall_ms)
{
	unsigned added = 0;
	char id[14];

	if (!h->date_count) {
		buf_add_str(out, "Date: ");
		header_write_date(out, wall_ms);
		buf_add_str(out, "\r\n");
		added++;
	}
	if (!h->message_id_count) {
		buf_add_str(out, "Message-ID: <");
		buf_add_str(out, num_base32(unique, 13, id));
		buf_add_byte(out, '.');
		buf_add_str(out, num_base32((uint64_t)wall_ms, 9, id));
		buf_add_byte(out, '@');
		buf_add(out, hostname);
		buf_add_str(out, ">\r\n");
		added++;
	}
	return added;
}
