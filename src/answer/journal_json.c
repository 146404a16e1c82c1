/* journal_json - a log line that is a JSON object (journalctl -o json, containers, zerolog and the like): its message as the line that a
 * text log would have. No more of JSON is understood than that: keys are found by their names, whatever object they stand in. Only for
 * journal_line.c. */
#include "answer/journal_line.h"

struct json_text {
	char *to;
	size_t len;
};

static void json_put(struct json_text *t, uint8_t c)
{
	if (t->len < JOURNAL_SCRATCH)
		t->to[t->len++] = (char)c;
}

/* the value of a key that is a string, or a bare word; empty: there is none */
static struct span json_value(struct span line, const char *key)
{
	struct span quoted, value, name = span_str(key);
	size_t at = 0;

	for (quoted = line; at < quoted.len; quoted = span_from(quoted, at + name.len)) {
		at = span_find_span(quoted, name);
		if (at >= quoted.len)
			return SPAN_NONE;
		value = span_from(quoted, at + name.len);
		if (at && quoted.ptr[at - 1] == '"' && value.len > 2 && value.ptr[0] == '"')
			break;
	}
	if (at >= quoted.len)
		return SPAN_NONE;
	value = span_trim(span_from(quoted, at + name.len + 1));
	if (!value.len || value.ptr[0] != ':')
		return SPAN_NONE;
	value = span_trim(span_from(value, 1));
	if (!value.len || value.ptr[0] != '"') {
		for (at = 0; at < value.len && !strchr(",}] \t\r\n", value.ptr[at]);)
			at++;
		return span_head(value, at);
	}
	for (at = 1; at < value.len && value.ptr[at] != '"';)
		at += value.ptr[at] == '\\' ? 2 : 1;
	return span_of(value.ptr + 1, at > value.len ? value.len - 1 : at - 1);
}

static unsigned json_hex(struct span s)
{
	unsigned n = 0;

	for (size_t i = 0; i < 4; i++) {
		uint8_t c = i < s.len ? byte_lower(s.ptr[i]) : 'x';

		if (!byte_is_digit(c) && (c < 'a' || c > 'f'))
			return '?';
		n = n << 4 | (unsigned)(byte_is_digit(c) ? c - '0' : c - 'a' + 10);
	}
	return n;
}

/* line ends and other controls become blanks, what is beyond ASCII a "?": nothing known has such */
static void json_unescape(struct json_text *t, struct span s)
{
	while (s.len) {
		uint8_t c = s.ptr[0];
		size_t used = 1;

		if (c == '\\' && s.len > 1) {
			c = s.ptr[1];
			used = 2;
			if (c == 'u') {
				unsigned n = json_hex(span_from(s, 2));

				c = n >= ' ' && n < 0x7f ? (uint8_t)n : n < ' ' ? ' ' : '?';
				used = 6;
			} else if (strchr("nrtbf", c)) {
				c = ' ';
			}
		}
		json_put(t, c);
		s = span_from(s, used);
	}
}

static struct span json_first(struct span line, const char *const *keys, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct span value = json_value(line, keys[i]);

		if (value.len)
			return value;
	}
	return SPAN_NONE;
}

#define JSON_FIRST(line, keys) json_first(line, keys, sizeof(keys) / sizeof((keys)[0]))

bool journal_json(struct span line, char scratch[JOURNAL_SCRATCH], struct span *time_out, struct span *text_out)
{
	static const char *const texts[] = {"MESSAGE", "message", "msg", "log", "error", "response"};
	static const char *const times[] = {"time", "timestamp", "@timestamp", "ts", "__REALTIME_TIMESTAMP"};
	static const char *const programs[] = {"SYSLOG_IDENTIFIER", "program", "ident", "appname", "syslog_identifier"};
	static const char *const processes[] = {"SYSLOG_PID", "_PID", "pid", "procid"};
	struct span text = JSON_FIRST(line, texts), program = JSON_FIRST(line, programs), process = JSON_FIRST(line, processes);
	struct json_text t = {scratch, 0};

	if (!text.len)
		return false;
	if (program.len) {
		json_unescape(&t, program);
		if (process.len && span_find(program, '[') == program.len) {
			json_put(&t, '[');
			json_unescape(&t, process);
			json_put(&t, ']');
		}
		json_put(&t, ':');
		json_put(&t, ' ');
	}
	json_unescape(&t, text);
	*time_out = JSON_FIRST(line, times);
	*text_out = span_of(scratch, t.len);
	return true;
}
