#include "policy/vacation.h"

#include "base/limits.h"
#include "mail/address.h"
#include "mail/words.h"

enum { VACATION_SCRATCH_BYTES = 1 << 20, VACATION_KEY_BYTES = 1024, VACATION_SUBJECT_BYTES = 400 };

/* ---- addresses */

/* the part in front of the last @ */
static struct span local_part(struct span address)
{
	size_t at = address.len;

	while (at > 0 && address.ptr[at - 1] != '@')
		at--;
	return at ? span_head(address, at - 1) : address;
}

static bool ends_nocase(struct span s, struct span end)
{
	return s.len >= end.len && span_eq_nocase(span_from(s, s.len - end.len), end);
}

static bool holds_nocase(struct span s, struct span part)
{
	for (size_t i = 0; i + part.len <= s.len; i++)
		if (span_eq_nocase(span_head(span_from(s, i), part.len), part))
			return true;
	return false;
}

bool vacation_is_robot(struct span address)
{
	static const char *const names[] = {"mailer-daemon", "listserv",  "listproc",	"majordomo", "sympa",  "mdaemon",
					    "nobody",	     "autoreply", "auto-reply", "bounce",    "bounces"};
	static const char *const begins[] = {"owner-", "bounce-", "bounces-", "bounce+", "bounces+"};
	static const char *const ends[] = {"-owner", "-request", "-bounce", "-bounces"};
	static const char *const inside[] = {
		"noreply",	"no-reply",	"no_reply",  "no.reply", "donotreply", "do-not-reply",
		"do_not_reply", "do.not.reply", "-bounces+", "-bounce+", "-return-" /* a recipient in it: VERP */};
	struct span local = local_part(address);

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (span_eq_nocase(local, span_str(names[i])))
			return true;
	for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]); i++)
		if (span_starts_nocase(local, span_str(begins[i])))
			return true;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (ends_nocase(local, span_str(ends[i])))
			return true;
	for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++)
		if (holds_nocase(local, span_str(inside[i])))
			return true;
	return false;
}

/* one form for one mailbox; empty: it is no address */
static struct span address_form(struct span text, struct arena *mem)
{
	struct address a;
	struct span out = SPAN_NONE;
	struct buf key;

	if (address_parse(text, ADDRESS_UTF8, mem, &a) != ADDRESS_OK)
		return SPAN_NONE;
	buf_init(&key, VACATION_KEY_BYTES);
	address_key(&key, &a);
	if (!key.overflow)
		out = arena_copy(mem, buf_span(&key));
	buf_clear(&key);
	return out;
}

/* the same mailbox; `own` is met with any +detail, too */
static bool same_mailbox(struct span other, struct span own)
{
	struct span local = local_part(own), domain = span_from(own, local.len);

	if (own.len == 0)
		return false;
	return span_eq(other, own) ||
	       (other.len > own.len && span_starts(other, local) && other.ptr[local.len] == '+' && ends_nocase(other, domain));
}

struct known { /* addresses of the account, as address_form writes them */
	struct arena mem;
	struct span *forms;
	size_t count;
};

static void known_init(struct known *k, const struct sieve_vacation *v, const struct span *own, size_t own_count)
{
	size_t all = own_count + v->address_count;

	*k = (struct known){.count = 0};
	arena_init(&k->mem, VACATION_SCRATCH_BYTES);
	k->forms = arena_zalloc(&k->mem, (all ? all : 1) * sizeof(*k->forms));
	for (size_t i = 0; k->forms && i < all; i++)
		k->forms[k->count++] = address_form(i < own_count ? own[i] : v->addresses[i - own_count], &k->mem);
}

static bool known_has(const struct known *k, struct span address, struct arena *mem)
{
	struct span form = address_form(address, mem);

	for (size_t i = 0; form.len && i < k->count; i++)
		if (same_mailbox(form, k->forms[i]))
			return true;
	return false;
}

/* ---- fields */

static bool field_get(const struct sieve_message *m, const char *name, unsigned nth, struct sieve_field *out)
{
	return m->ops->field(m->owner, 0, span_str(name), nth, out);
}

static bool field_is_there(const struct sieve_message *m, const char *const *names, size_t count)
{
	struct sieve_field f;

	for (size_t i = 0; i < count; i++)
		if (field_get(m, names[i], 0, &f))
			return true;
	return false;
}

/* the first word of a value: without parameters and comments */
static struct span first_word(struct span value)
{
	size_t n = 0;

	value = span_trim(value);
	while (n < value.len && value.ptr[n] != ';' && value.ptr[n] != ' ' && value.ptr[n] != '(' && value.ptr[n] != '\t')
		n++;
	return span_head(value, n);
}

static bool is_automatic(const struct sieve_message *m)
{
	static const char *const marks[] = {"X-Autoreply", "X-Autorespond", "X-AutoReply-From", "X-Mail-Autoreply"};
	struct sieve_field f;

	for (unsigned n = 0; field_get(m, "Auto-Submitted", n, &f); n++)
		if (!span_eq_nocase(first_word(f.raw), SPAN_LIT("no")))
			return true;
	for (unsigned n = 0; field_get(m, "Content-Type", n, &f); n++)
		if (span_eq_nocase(first_word(f.raw), SPAN_LIT("multipart/report")))
			return true;
	return field_is_there(m, marks, sizeof(marks) / sizeof(marks[0]));
}

static bool is_list(const struct sieve_message *m)
{
	/* RFC 2369, 2919, 8058 and what lists put there besides */
	static const char *const fields[] = {"List-Id",
					     "List-Post",
					     "List-Help",
					     "List-Owner",
					     "List-Subscribe",
					     "List-Unsubscribe",
					     "List-Unsubscribe-Post",
					     "List-Archive",
					     "List-Software",
					     "Mailing-List",
					     "X-Mailing-List",
					     "X-BeenThere",
					     "Feedback-ID"};

	return field_is_there(m, fields, sizeof(fields) / sizeof(fields[0]));
}

static bool is_bulk(const struct sieve_message *m)
{
	static const char *const kinds[] = {"bulk", "list", "junk", "auto_reply"};
	struct sieve_field f;

	for (unsigned n = 0; field_get(m, "Precedence", n, &f); n++)
		for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
			if (span_eq_nocase(first_word(f.raw), span_str(kinds[i])))
				return true;
	return false;
}

/* MS-OXCMAIL 2.2.3.2.14: a list of what is not wanted */
static bool is_unwanted(const struct sieve_message *m)
{
	struct sieve_field f;

	for (unsigned n = 0; field_get(m, "X-Auto-Response-Suppress", n, &f); n++)
		if (holds_nocase(f.raw, SPAN_LIT("all")) || holds_nocase(f.raw, SPAN_LIT("oof")) ||
		    holds_nocase(f.raw, SPAN_LIT("autoreply")))
			return true;
	return false;
}

static bool list_names(const struct known *k, struct span value)
{
	struct words_address a;
	struct words_list list;
	struct arena mem;
	bool found = false;

	arena_init(&mem, VACATION_SCRATCH_BYTES);
	words_list_init(&list, value);
	while (!found && words_list_next(&list, &mem, &a))
		found = a.kind == WORDS_MAILBOX && known_has(k, a.text, &mem);
	arena_clear(&mem);
	return found;
}

static bool is_to(const struct sieve_message *m, const struct known *k)
{
	static const char *const fields[] = {"To", "Cc", "Bcc", "Resent-To", "Resent-Cc", "Resent-Bcc"};
	struct sieve_field f;

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		for (unsigned n = 0; field_get(m, fields[i], n, &f); n++)
			if (list_names(k, f.raw))
				return true;
	return false;
}

/* ---- the whole */

static enum vacation_why judge(const struct sieve_message *m, const struct known *k, struct arena *mem)
{
	if (m->from.len == 0)
		return VACATION_NO_SENDER;
	if (vacation_is_robot(m->from))
		return VACATION_ROBOT;
	if (known_has(k, m->from, mem))
		return VACATION_SELF;
	if (is_automatic(m))
		return VACATION_AUTOMATIC;
	if (is_list(m))
		return VACATION_LIST;
	if (is_bulk(m))
		return VACATION_BULK;
	if (is_unwanted(m))
		return VACATION_UNWANTED;
	return is_to(m, k) ? VACATION_ANSWER : VACATION_NOT_TO_ME;
}

enum vacation_why vacation_judge(const struct sieve_message *m, const struct sieve_vacation *v, const struct span *own, size_t own_count)
{
	enum vacation_why why;
	struct known known;
	struct arena mem;

	known_init(&known, v, own, own_count);
	arena_init(&mem, VACATION_SCRATCH_BYTES);
	why = judge(m, &known, &mem);
	arena_clear(&mem);
	arena_clear(&known.mem);
	return why;
}

const char *vacation_why_words(enum vacation_why why)
{
	static const char *const words[] = {
		[VACATION_ANSWER] = "",
		[VACATION_NO_SENDER] = "it has no sender, as bounces and answers have none",
		[VACATION_ROBOT] = "its sender is a program",
		[VACATION_SELF] = "it comes from the account itself",
		[VACATION_AUTOMATIC] = "a program sent it",
		[VACATION_LIST] = "it comes from a mailing list",
		[VACATION_BULK] = "it is bulk mail",
		[VACATION_UNWANTED] = "its sender wants no automatic answers",
		[VACATION_NOT_TO_ME] = "no address of the account stands in To or Cc",
	};

	return words[why];
}

void vacation_write_subject(const struct sieve_message *m, const struct sieve_vacation *v, struct buf *out)
{
	struct span text = v->subject;
	struct sieve_field f;
	size_t len;

	if (text.len == 0) {
		buf_add_str(out, "Auto: ");
		text = field_get(m, "Subject", 0, &f) ? f.decoded : SPAN_NONE;
	}
	len = text.len < VACATION_SUBJECT_BYTES ? text.len : VACATION_SUBJECT_BYTES;
	while (len < text.len && len > 0 && (text.ptr[len] & 0xc0) == 0x80)
		len--;
	for (size_t i = 0; i < len; i++)
		buf_add_byte(out, text.ptr[i] < ' ' || text.ptr[i] == 0x7f ? ' ' : text.ptr[i]);
}

bool vacation_was_here(const struct sieve_message *m, struct span address)
{
	struct sieve_field f;
	struct arena mem;
	struct span own;
	bool found = false;

	arena_init(&mem, VACATION_SCRATCH_BYTES);
	own = address_form(address, &mem);
	for (unsigned n = 0; !found && n < LIMIT_SIEVE_FIELDS && field_get(m, "Delivered-To", n, &f); n++) {
		struct arena one;

		arena_init(&one, VACATION_KEY_BYTES * 8);
		found = own.len && span_eq(address_form(span_trim(f.raw), &one), own);
		arena_clear(&one);
	}
	arena_clear(&mem);
	return found;
}
