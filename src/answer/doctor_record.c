#include "answer/doctor_record.h"

enum { NAME_BYTES = 255, LABEL_BYTES = 63 };

const struct doctor_srv_name doctor_srv_names[] = {
	{"_submissions._tcp.", DOCTOR_SMTP, DOCTOR_TLS},
	{"_submission._tcp.", DOCTOR_SMTP, DOCTOR_STARTTLS},
	{"_imaps._tcp.", DOCTOR_IMAP, DOCTOR_TLS},
	{"_imap._tcp.", DOCTOR_IMAP, DOCTOR_STARTTLS},
	{"_pop3s._tcp.", DOCTOR_POP3, DOCTOR_TLS},
	{"_pop3._tcp.", DOCTOR_POP3, DOCTOR_STARTTLS},
	{NULL, DOCTOR_UNKNOWN, DOCTOR_ANY},
};

static uint16_t record_u16(struct span data, size_t at)
{
	return (uint16_t)(data.ptr[at] << 8 | data.ptr[at + 1]);
}

static bool record_label(struct buf *out, struct span label)
{
	if (out->len)
		buf_add_byte(out, '.');
	for (size_t i = 0; i < label.len; i++) {
		uint8_t c = label.ptr[i];

		if (!byte_is_alnum(c) && c != '-' && c != '_')
			return false;
		buf_add_byte(out, byte_lower(c));
	}
	return true;
}

/* the rest of the data must be one name */
static const char *record_name(struct span data, struct arena *mem)
{
	const char *name = NULL;
	bool fits = true;
	struct buf text;

	buf_init(&text, NAME_BYTES);
	while (fits && data.len && data.ptr[0]) {
		size_t len = data.ptr[0];

		fits = len <= LABEL_BYTES && len < data.len && record_label(&text, span_of(data.ptr + 1, len));
		data = span_from(data, len + 1);
	}
	if (fits && data.len == 1 && !text.overflow)
		name = arena_str(mem, buf_span(&text));
	buf_clear(&text);
	return name;
}

bool doctor_record_srv(struct span data, struct arena *mem, struct doctor_record *out)
{
	const char *target = data.len > 6 ? record_name(span_from(data, 6), mem) : NULL;

	if (!target)
		return false;
	*out = (struct doctor_record){record_u16(data, 0), record_u16(data, 2), record_u16(data, 4), target};
	return true;
}

bool doctor_record_mx(struct span data, struct arena *mem, struct doctor_record *out)
{
	const char *target = data.len > 2 ? record_name(span_from(data, 2), mem) : NULL;

	if (!target)
		return false;
	*out = (struct doctor_record){.priority = record_u16(data, 0), .target = target};
	return true;
}

static bool record_before(const struct doctor_record *a, const struct doctor_record *b)
{
	return a->priority != b->priority ? a->priority < b->priority : a->weight > b->weight;
}

void doctor_record_sort(struct doctor_record *records, size_t count)
{
	for (size_t i = 1; i < count; i++)
		for (size_t at = i; at && record_before(&records[at], &records[at - 1]); at--) {
			struct doctor_record kept = records[at];

			records[at] = records[at - 1];
			records[at - 1] = kept;
		}
}

bool doctor_is_below(const char *name, const char *domain)
{
	struct span n = span_str(name), d = span_str(domain);

	if (d.len && n.len > d.len && n.ptr[n.len - d.len - 1] == '.')
		n = span_from(n, n.len - d.len);
	return d.len && span_eq_nocase(n, d);
}

/* From the providers' own pages for mail programs; the MX tells that an own domain is kept there. */
static const struct {
	const char *mx, *smtp;
	uint16_t port;
	enum doctor_security security;
	const char *imap, *pop3;
} providers[] = {
	{"google.com", "smtp.gmail.com", 465, DOCTOR_TLS, "imap.gmail.com", "pop.gmail.com"},
	{"googlemail.com", "smtp.gmail.com", 465, DOCTOR_TLS, "imap.gmail.com", "pop.gmail.com"},
	{"protection.outlook.com", "smtp.office365.com", 587, DOCTOR_STARTTLS, "outlook.office365.com", "outlook.office365.com"},
	{"mx.microsoft", "smtp.office365.com", 587, DOCTOR_STARTTLS, "outlook.office365.com", "outlook.office365.com"},
	{"olc.protection.outlook.com", "smtp-mail.outlook.com", 587, DOCTOR_STARTTLS, "outlook.office365.com", "outlook.office365.com"},
	{"yahoodns.net", "smtp.mail.yahoo.com", 465, DOCTOR_TLS, "imap.mail.yahoo.com", "pop.mail.yahoo.com"},
	{"mail.icloud.com", "smtp.mail.me.com", 587, DOCTOR_STARTTLS, "imap.mail.me.com", NULL},
	{"zoho.com", "smtp.zoho.com", 465, DOCTOR_TLS, "imap.zoho.com", "pop.zoho.com"},
	{"zoho.eu", "smtp.zoho.eu", 465, DOCTOR_TLS, "imap.zoho.eu", "pop.zoho.eu"},
	{"messagingengine.com", "smtp.fastmail.com", 465, DOCTOR_TLS, "imap.fastmail.com", "pop.fastmail.com"},
	{"emailsrvr.com", "secure.emailsrvr.com", 465, DOCTOR_TLS, "secure.emailsrvr.com", "secure.emailsrvr.com"},
	{"mailbox.org", "smtp.mailbox.org", 465, DOCTOR_TLS, "imap.mailbox.org", "pop3.mailbox.org"},
	{"migadu.com", "smtp.migadu.com", 465, DOCTOR_TLS, "imap.migadu.com", "pop.migadu.com"},
	{"secureserver.net", "smtpout.secureserver.net", 465, DOCTOR_TLS, "imap.secureserver.net", "pop.secureserver.net"},
	{"gmx.net", "mail.gmx.net", 465, DOCTOR_TLS, "imap.gmx.net", "pop.gmx.net"},
	{"ovh.net", "ssl0.ovh.net", 465, DOCTOR_TLS, "ssl0.ovh.net", "ssl0.ovh.net"},
	{"yandex.net", "smtp.yandex.com", 465, DOCTOR_TLS, "imap.yandex.com", "pop.yandex.com"},
};

size_t doctor_provider_services(const char *mx, struct doctor_service *out, size_t max)
{
	size_t best = 0, best_len = 0, count = 0;

	for (size_t i = 0; i < sizeof(providers) / sizeof(providers[0]); i++)
		if (doctor_is_below(mx, providers[i].mx) && strlen(providers[i].mx) > best_len) {
			best = i;
			best_len = strlen(providers[i].mx);
		}
	if (!best_len)
		return 0;
	/* the table is ours, so whoever forged the MX gains nothing: secure */
	if (count < max)
		out[count++] = (struct doctor_service){
			DOCTOR_SMTP, providers[best].security, DOCTOR_PROVIDER, providers[best].port, true, providers[best].smtp, ""};
	if (count < max)
		out[count++] = (struct doctor_service){DOCTOR_IMAP, DOCTOR_TLS, DOCTOR_PROVIDER, 993, true, providers[best].imap, ""};
	if (count < max && providers[best].pop3)
		out[count++] = (struct doctor_service){DOCTOR_POP3, DOCTOR_TLS, DOCTOR_PROVIDER, 995, true, providers[best].pop3, ""};
	return count;
}
