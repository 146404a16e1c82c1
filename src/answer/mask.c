#include "answer/mask.h"

#include "base/b64.h"

#define STARS "****"
enum { TOKEN_MAX_BYTES = 4096, SIGN_IN_BYTES = 8 };

static bool mask_is_b64(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!byte_is_alnum(s.ptr[i]) && !strchr("+/=-_", s.ptr[i]))
			return false;
	return s.len > 0;
}

/* user NUL password, or the name=value lists of XOAUTH2 and SCRAM */
static bool mask_is_sign_in(struct span token)
{
	struct buf plain;
	bool found = false;

	if (token.len < SIGN_IN_BYTES || token.len > TOKEN_MAX_BYTES || !mask_is_b64(token))
		return false;
	buf_init_secret(&plain, TOKEN_MAX_BYTES);
	if (b64_decode(&plain, token) == RC_OK && plain.len) {
		struct span text = buf_span(&plain);

		found = memchr(text.ptr, '\0', text.len) || span_find_span(text, SPAN_LIT("auth=Bearer")) < text.len ||
			span_find_span(text, SPAN_LIT(",n=")) < text.len || span_find_span(text, SPAN_LIT(",p=")) < text.len;
	}
	buf_clear(&plain);
	return found;
}

static struct span mask_token(struct span *rest)
{
	size_t len = 0;
	struct span token;

	while (len < rest->len && rest->ptr[len] > ' ')
		len++;
	token = span_head(*rest, len);
	*rest = span_from(*rest, len);
	return token;
}

/* length of the well-formed character at the front that may be shown, 0: none */
static size_t mask_shown(struct span s)
{
	size_t len = s.ptr[0] < 0x80 ? 1 : s.ptr[0] >= 0xf0 ? 4 : s.ptr[0] >= 0xe0 ? 3 : 2;

	if (len == 1)
		return s.ptr[0] >= ' ' && s.ptr[0] != 0x7f;
	if (s.len < len || !span_is_utf8(span_head(s, len)))
		return 0;
	if (len == 2 && s.ptr[0] == 0xc2 && s.ptr[1] < 0xa0) /* C1 controls */
		return 0;
	if (len == 2 && s.ptr[0] == 0xd8 && s.ptr[1] == 0x9c) /* direction mark */
		return 0;
	if (len == 3 && s.ptr[0] == 0xe2 &&
	    ((s.ptr[1] == 0x80 && (s.ptr[2] >= 0xa8 || s.ptr[2] <= 0x8f)) || (s.ptr[1] == 0x81 && s.ptr[2] >= 0xa0 && s.ptr[2] <= 0xaf)))
		return s.ptr[1] == 0x80 && s.ptr[2] >= 0xaf ? len : 0; /* line ends, direction marks, invisible ones */
	if (len == 3 && s.ptr[0] == 0xef && s.ptr[1] == 0xbb && s.ptr[2] == 0xbf)
		return 0;
	return len;
}

static void mask_show(struct buf *out, struct span text)
{
	while (text.len) {
		size_t len = mask_shown(text);

		if (len)
			buf_add(out, span_head(text, len));
		else if (text.ptr[0] == '\t' || text.ptr[0] == '\n' || text.ptr[0] == '\r')
			buf_add_byte(out, ' ');
		else
			buf_printf(out, "\\x%02x", text.ptr[0]);
		text = span_from(text, len ? len : 1);
	}
}

static struct span mask_unquote(struct span s)
{
	while (s.len && strchr("\"'`,;(){}[]", s.ptr[0]))
		s = span_from(s, 1);
	while (s.len && strchr("\"'`,;(){}[]", s.ptr[s.len - 1]))
		s.len--;
	return s;
}

/* is it the name of a secret? At its end: "smtp_password" is one, too */
static bool mask_is_name(struct span word)
{
	static const char *const names[] = {"password", "passwd", "passphrase", "pass", "pwd", "secret", "token", "accesstoken"};

	word = mask_unquote(word);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct span name = span_str(names[i]);

		if (word.len >= name.len && span_eq_nocase(span_from(word, word.len - name.len), name))
			return true;
	}
	return false;
}

/* "password=x", "pass:x", "\"pass\":\"x\"" and the URL's "user:x@": shows what stands before the secret, says whether there is one */
static bool mask_named(struct buf *out, struct span token)
{
	size_t at, slashes = span_find_span(token, SPAN_LIT("://")), sign;

	for (at = 0; at + 1 < token.len; at++) {
		if ((token.ptr[at] != '=' && token.ptr[at] != ':') || (token.ptr[at] == '=' && token.ptr[at + 1] == '>') ||
		    !mask_is_name(span_head(token, at)))
			continue;
		mask_show(out, span_head(token, at + 1));
		buf_add_str(out, STARS);
		return true;
	}
	if (slashes == token.len)
		return false;
	sign = slashes + 3 + span_find(span_from(token, slashes + 3), '@');
	at = slashes + 3 + span_find(span_from(token, slashes + 3), ':');
	if (sign >= token.len || at >= sign)
		return false;
	mask_show(out, span_head(token, at + 1));
	buf_add_str(out, STARS);
	mask_show(out, span_from(token, sign));
	return true;
}

static bool mask_is_mechanism(struct span word)
{
	static const char *const names[] = {"PLAIN",	   "LOGIN", "CRAM-MD5", "DIGEST-MD5", "XOAUTH2",
					    "OAUTHBEARER", "NTLM",  "GSSAPI",	"EXTERNAL",   "APOP"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (span_eq_nocase(word, span_str(names[i])))
			return true;
	return span_starts_nocase(word, SPAN_LIT("SCRAM-"));
}

/* options of swaks, curl, msmtp and others behind which the secret stands */
static bool mask_is_option(struct span word)
{
	static const char *const options[] = {"-ap", "--auth-password", "--password", "--user", "-u", "--pass", "--oauth2-bearer", "-xp"};

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (span_eq(word, span_str(options[i])))
			return true;
	return false;
}

/* the words of a line before the one at hand: the last one, the one before it, ... */
struct mask_before {
	struct span word[3];
	size_t count; /* all of them */
};

/* "LOGIN name secret" as a command: behind nothing, a mark ("C:", ">") or a tag ("A1", "a"); not what a log calls a mechanism */
static bool mask_is_login(const struct mask_before *b)
{
	struct span word = b->word[1], tag = b->word[2];
	bool digits = tag.len <= 1, code = tag.len == 3 && tag.ptr[0] >= '2' && tag.ptr[0] <= '5';

	if (!span_eq_nocase(word, SPAN_LIT("LOGIN")) && !span_eq_nocase(word, SPAN_LIT("APOP")))
		return false;
	if (!tag.len || tag.ptr[tag.len - 1] == ':' || tag.ptr[tag.len - 1] == '>')
		return true;
	for (size_t i = 0; i < tag.len; i++) {
		if (!byte_is_alnum(tag.ptr[i]))
			return false;
		digits = digits || byte_is_digit(tag.ptr[i]);
		code = code && byte_is_digit(tag.ptr[i]);
	}
	return digits && !code; /* "535 Login failed": a reply */
}

/* what the words before make of the next one */
static bool mask_follows(const struct mask_before *b, struct span token, bool reply)
{
	struct span before = b->word[0], second = b->word[1], name = before;

	if (reply || !b->count)
		return false;
	if (span_eq_nocase(second, SPAN_LIT("AUTH")) || span_eq_nocase(second, SPAN_LIT("AUTHENTICATE")))
		return mask_is_mechanism(before) && !mask_is_mechanism(token) && mask_is_b64(token);
	if (mask_is_login(b) || mask_is_option(before))
		return true;
	if (span_eq(before, SPAN_LIT("=>")) || span_eq(before, SPAN_LIT("=")) || span_eq(before, SPAN_LIT(":")))
		return mask_is_name(second);
	if (span_eq(before, SPAN_LIT("PASS")) || span_eq(before, SPAN_LIT("pass")))
		return true;
	if (before.len && (before.ptr[before.len - 1] == ':' || before.ptr[before.len - 1] == '='))
		return mask_is_name(span_head(name, name.len - 1));
	return b->count == 1 &&
	       (span_eq(before, SPAN_LIT("password")) || span_eq(before, SPAN_LIT("passwd"))); /* "password x" of a configuration */
}

void mask_line(struct buf *out, struct span text, size_t max_bytes)
{
	struct span rest = span_head(text, max_bytes);
	struct mask_before b = {.count = 0};
	bool reply = rest.len > 3 && byte_is_digit(rest.ptr[0]) && byte_is_digit(rest.ptr[1]) && byte_is_digit(rest.ptr[2]);

	while (rest.len && max_bytes) {
		struct span token;

		if (rest.ptr[0] <= ' ') {
			mask_show(out, span_head(rest, 1));
			rest = span_from(rest, 1);
			continue;
		}
		token = mask_token(&rest);
		if (mask_follows(&b, token, reply) || mask_is_sign_in(token))
			buf_add_str(out, STARS);
		else if (!mask_named(out, token))
			mask_show(out, token);
		b.word[2] = b.word[1];
		b.word[1] = b.word[0];
		b.word[0] = token;
		b.count++;
	}
	if (text.len > max_bytes)
		buf_add_str(out, "...");
}
