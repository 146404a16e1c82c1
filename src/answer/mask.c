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

/* "password=x", "pass:x" and the URL's "user:x@": shows what stands before the secret, says whether there is one */
static bool mask_named(struct buf *out, struct span token)
{
	static const char *const names[] = {"password", "passwd", "passphrase", "pass", "pwd", "secret", "token", "accesstoken"};
	size_t at = 0, slashes = span_find_span(token, SPAN_LIT("://")), sign;

	while (at < token.len && token.ptr[at] != '=' && token.ptr[at] != ':')
		at++;
	for (size_t i = 0; at + 1 < token.len && i < sizeof(names) / sizeof(names[0]); i++) {
		struct span name = span_str(names[i]);

		if (at < name.len || !span_eq_nocase(span_of(token.ptr + at - name.len, name.len), name))
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

/* what the words before make of the next one; `before` is the last, `second` the one before that */
static bool mask_follows(struct span second, struct span before, struct span token, bool reply)
{
	if (reply)
		return false;
	if (span_eq_nocase(second, SPAN_LIT("AUTH")) || span_eq_nocase(second, SPAN_LIT("AUTHENTICATE")))
		return mask_is_mechanism(before) && !mask_is_mechanism(token) && mask_is_b64(token);
	if (span_eq(second, SPAN_LIT("LOGIN")) || span_eq(second, SPAN_LIT("login")) || span_eq(second, SPAN_LIT("APOP")))
		return true;
	return span_eq(before, SPAN_LIT("PASS")) || span_eq(before, SPAN_LIT("pass")) || span_eq_nocase(before, SPAN_LIT("password:")) ||
	       span_eq_nocase(before, SPAN_LIT("pass:")) || span_eq_nocase(before, SPAN_LIT("password="));
}

void mask_line(struct buf *out, struct span text, size_t max_bytes)
{
	struct span rest = span_head(text, max_bytes), before = SPAN_NONE, second = SPAN_NONE;
	bool reply = rest.len > 3 && byte_is_digit(rest.ptr[0]) && byte_is_digit(rest.ptr[1]) && byte_is_digit(rest.ptr[2]);

	while (rest.len && max_bytes) {
		struct span token;

		if (rest.ptr[0] <= ' ') {
			mask_show(out, span_head(rest, 1));
			rest = span_from(rest, 1);
			continue;
		}
		token = mask_token(&rest);
		if (mask_follows(second, before, token, reply) || mask_is_sign_in(token))
			buf_add_str(out, STARS);
		else if (!mask_named(out, token))
			mask_show(out, token);
		second = before;
		before = token;
	}
	if (text.len > max_bytes)
		buf_add_str(out, "...");
}
