#include "answer/journal.h"

#include "answer/journal_line.h"
#include "answer/mask.h"
#include "base/mem.h"

enum {
	NAMES_KEPT = 512,      /* of a cause; the most frequent of them are told */
	LINE_BYTES = 16 << 10, /* of a line; the rest is not looked at */
	SENDERS = 1 << 15,     /* messages whose sender is remembered */
	SESSIONS = 1 << 15,
	ANSWERS = 1 << 13, /* wordings whose cause is remembered */
	NAME_BYTES = 96,
	TIME_BYTES = 32,
	EXAMPLE_BYTES = 400,
	WORDS_BYTES = 400, /* of a reply: what makes it the same wording */
	CODES_BYTES = 14,  /* its codes stand there */
	HEAD_LINES = 60,   /* that are looked at to tell a log from something else */
};

struct name {
	uint8_t len;
	char text[NAME_BYTES];
};

struct sender {
	uint64_t key;
	struct name name;
};

struct session {
	uint64_t key;
	bool refused;
};

struct answer {
	uint64_t key;
	float confidence;
	uint16_t cause;
	int16_t emitter;
};

struct row {
	uint64_t count, name_counts[NAMES_KEPT];
	double confidence;
	uint64_t name_keys[NAMES_KEPT];
	struct name names[NAMES_KEPT];
	size_t name_count;
	uint8_t first_len, last_len;
	char first[TIME_BYTES], last[TIME_BYTES];
	struct buf example;
	int emitter;
};

struct journal {
	struct sender senders[SENDERS];
	struct session sessions[SESSIONS];
	struct answer answers[ANSWERS];
	struct row rows[CAUSE_COUNT];
	uint16_t order[CAUSE_COUNT];
	size_t row_count;
	struct journal_counts counts;
	struct buf tail; /* a line whose end has not come yet */
	bool skip;	 /* ... of which no more is kept */
};

static uint64_t journal_hash(struct span s, uint64_t seed)
{
	uint64_t hash = 14695981039346656037ULL ^ seed;

	for (size_t i = 0; i < s.len; i++)
		hash = (hash ^ s.ptr[i]) * 1099511628211ULL;
	return hash ? hash : 1;
}

/* The same for replies that differ only in addresses, hosts and numbers. */
static uint64_t journal_wording(struct span s, unsigned stage)
{
	uint64_t hash = 14695981039346656037ULL ^ stage;

	s = span_head(s, WORDS_BYTES);
	for (size_t at = 0; at < s.len;) {
		uint64_t word = 0;
		bool varies = false;
		size_t begin = at;

		for (; at < s.len && s.ptr[at] != ' '; at++) {
			uint8_t c = s.ptr[at];

			varies = varies || byte_is_digit(c) || c == '@' || c == '<' || c == '[' || c == '/' || c == '=';
			word = (word ^ c) * 1099511628211ULL;
		}
		if (!varies || begin < CODES_BYTES)
			hash = (hash ^ word) * 1099511628211ULL;
		at++;
	}
	return hash ? hash : 1;
}

struct journal *journal_new(void)
{
	struct journal *j = mem_zalloc(sizeof(*j));

	buf_init(&j->tail, LINE_BYTES);
	for (size_t i = 0; i < CAUSE_COUNT; i++)
		buf_init(&j->rows[i].example, 4 * EXAMPLE_BYTES + 16);
	return j;
}

void journal_free(struct journal **journal)
{
	struct journal *j = *journal;

	if (!j)
		return;
	for (size_t i = 0; i < CAUSE_COUNT; i++)
		buf_clear(&j->rows[i].example);
	buf_clear(&j->tail);
	free(j);
	*journal = NULL;
}

static uint8_t journal_copy(char *to, size_t size, struct span from)
{
	from = span_head(from, size);
	if (from.len)
		memcpy(to, from.ptr, from.len);
	return (uint8_t)from.len;
}

static void journal_keep_sender(struct journal *j, const struct journal_line *line)
{
	uint64_t key = journal_hash(line->id, 0);
	struct sender *s = &j->senders[key % SENDERS];

	if (s->key && s->key != key)
		j->counts.forgotten++;
	s->key = key;
	s->name.len = journal_copy(s->name.text, sizeof(s->name.text), line->name);
}

static void journal_drop_sender(struct journal *j, const struct journal_line *line)
{
	uint64_t key = journal_hash(line->id, 0);
	struct sender *s = &j->senders[key % SENDERS];

	if (s->key == key)
		s->key = 0;
}

static struct span journal_name(const struct journal *j, const struct journal_line *line)
{
	uint64_t key = line->id.len ? journal_hash(line->id, 0) : 0;
	const struct sender *s = &j->senders[key % SENDERS];

	if (!line->name.len && key && s->key == key)
		return span_of(s->name.text, s->name.len);
	return line->name;
}

/* Who is hit often stays, however many there are (Misra and Gries): where there is no room all lose one, and who has none left goes. */
static void journal_count_name(struct row *row, struct span name)
{
	uint64_t key = journal_hash(name, 2);

	name = span_head(name, NAME_BYTES);
	for (size_t i = 0; i < row->name_count; i++) {
		if (row->name_keys[i] == key) {
			row->name_counts[i]++;
			return;
		}
	}
	if (!name.len)
		return;
	if (row->name_count == NAMES_KEPT) {
		size_t kept = 0;

		for (size_t i = 0; i < NAMES_KEPT; i++) {
			if (--row->name_counts[i] == 0)
				continue;
			row->name_counts[kept] = row->name_counts[i];
			row->name_keys[kept] = row->name_keys[i];
			row->names[kept++] = row->names[i];
		}
		row->name_count = kept;
		return;
	}
	row->name_keys[row->name_count] = key;
	row->names[row->name_count].len = journal_copy(row->names[row->name_count].text, NAME_BYTES, name);
	row->name_counts[row->name_count++] = 1;
}

static struct answer journal_answer(struct journal *j, const struct journal_line *line)
{
	uint64_t key;
	struct answer *a;
	struct explanation e;
	const struct explain_context context = {line->stage, EXPLAIN_NO_EMITTER};

	if (line->cause)
		return (struct answer){.confidence = 0.95F, .cause = (uint16_t)line->cause, .emitter = EXPLAIN_NO_EMITTER};
	key = journal_wording(line->reply, line->stage);
	a = &j->answers[key % ANSWERS];
	if (a->key == key)
		return *a;
	explain_text_in(span_head(line->reply, 2048), &context, &e);
	*a = (struct answer){.key = key, .emitter = (int16_t)e.emitter, .cause = CAUSE_INSUFFICIENT_TEXT};
	if (e.count && !e.undecided) {
		a->cause = (uint16_t)e.found[0].cause;
		a->confidence = (float)e.found[0].confidence;
	}
	return *a;
}

/* a refusal that only follows from one before in the same session: the first one says why */
static bool journal_is_consequence(struct journal *j, const struct journal_line *line, enum cause_id cause)
{
	struct session *s;
	uint64_t key;

	if (!line->session.len)
		return false;
	key = journal_hash(line->session, 1);
	s = &j->sessions[key % SESSIONS];
	if (cause_get(cause)->consequence && s->key == key && s->refused)
		return true;
	*s = (struct session){key, true};
	return false;
}

static void journal_refusal(struct journal *j, const struct journal_line *line, struct span whole)
{
	struct answer a = journal_answer(j, line);
	struct row *row = &j->rows[a.cause];

	if (journal_is_consequence(j, line, (enum cause_id)a.cause)) {
		j->counts.consequences++;
		return;
	}
	j->counts.refusals++;
	if (!row->count++) {
		row->first_len = journal_copy(row->first, sizeof(row->first), line->time);
		row->emitter = a.emitter;
		mask_line(&row->example, whole, EXAMPLE_BYTES);
	}
	row->last_len = journal_copy(row->last, sizeof(row->last), line->time);
	row->confidence += (double)a.confidence;
	journal_count_name(row, journal_name(j, line));
}

static void journal_one(struct journal *j, struct span whole)
{
	struct journal_line line;

	if (whole.len && whole.ptr[whole.len - 1] == '\r')
		whole.len--;
	j->counts.lines++;
	journal_line_read(whole, &line);
	if (line.what != JOURNAL_FOREIGN)
		j->counts.known++;
	if (line.what == JOURNAL_SENDER && line.id.len)
		journal_keep_sender(j, &line);
	else if (line.what == JOURNAL_DONE)
		journal_drop_sender(j, &line);
	else if (line.what == JOURNAL_REFUSAL)
		journal_refusal(j, &line, whole);
	else if (line.what == JOURNAL_BEGIN && line.session.len)
		j->sessions[journal_hash(line.session, 1) % SESSIONS] = (struct session){0, false};
}

static void journal_keep_tail(struct journal *j, struct span part)
{
	size_t room = LINE_BYTES - j->tail.len;

	if (part.len > room && !j->skip) {
		j->counts.cut++;
		j->skip = true;
	}
	buf_add(&j->tail, span_head(part, room));
}

void journal_feed(struct journal *j, struct span bytes)
{
	j->counts.bytes += bytes.len;
	while (bytes.len) {
		size_t end = span_find(bytes, '\n');
		struct span line = span_head(bytes, end);

		if (end == bytes.len) {
			journal_keep_tail(j, line);
			return;
		}
		bytes = span_from(bytes, end + 1);
		if (j->tail.len) {
			journal_keep_tail(j, line);
			journal_one(j, buf_span(&j->tail));
			buf_reset(&j->tail);
			j->skip = false;
		} else {
			j->counts.cut += line.len > LINE_BYTES;
			journal_one(j, span_head(line, LINE_BYTES));
		}
	}
}

void journal_end(struct journal *j)
{
	if (j->tail.len)
		journal_one(j, buf_span(&j->tail));
	buf_reset(&j->tail);
	for (size_t i = 0; i < CAUSE_COUNT; i++) {
		size_t at = j->row_count;

		if (!j->rows[i].count)
			continue;
		for (; at && j->rows[j->order[at - 1]].count < j->rows[i].count; at--)
			j->order[at] = j->order[at - 1];
		j->order[at] = (uint16_t)i;
		j->row_count++;
	}
}

/* into the list of the most frequent ones */
static void journal_rank(struct journal_row *out, struct span name, uint64_t count)
{
	size_t at = out->name_count;

	while (at && out->name_counts[at - 1] < count)
		at--;
	if (at == JOURNAL_NAMES)
		return;
	if (out->name_count < JOURNAL_NAMES)
		out->name_count++;
	for (size_t i = out->name_count - 1; i > at; i--) {
		out->names[i] = out->names[i - 1];
		out->name_counts[i] = out->name_counts[i - 1];
	}
	out->names[at] = name;
	out->name_counts[at] = count;
}

bool journal_row(const struct journal *j, size_t index, struct journal_row *out)
{
	const struct row *row;

	if (index >= j->row_count)
		return false;
	row = &j->rows[j->order[index]];
	*out = (struct journal_row){
		.cause = (enum cause_id)j->order[index],
		.count = row->count,
		.confidence = row->confidence / (double)row->count,
		.first = span_of(row->first, row->first_len),
		.last = span_of(row->last, row->last_len),
		.example = buf_span(&row->example),
		.others = row->count,
		.emitter = row->emitter,
	};
	for (size_t i = 0; i < row->name_count; i++)
		journal_rank(out, span_of(row->names[i].text, row->names[i].len), row->name_counts[i]);
	for (size_t i = 0; i < out->name_count; i++)
		out->others -= out->name_counts[i];
	return true;
}

struct journal_counts journal_counts(const struct journal *j)
{
	return j->counts;
}

bool journal_is_log(struct span head)
{
	size_t known = 0, lines = 0, talk = 0;

	while (head.len && lines < HEAD_LINES) {
		struct span text = span_cut(&head, '\n');
		struct journal_line line;

		if (!span_trim(text).len)
			continue;
		lines++;
		journal_line_read(text, &line);
		known += line.what != JOURNAL_FOREIGN;
		talk += span_find_span(text, SPAN_LIT("S: ")) < text.len || span_find_span(text, SPAN_LIT("C: ")) < text.len ||
			span_find_span(text, SPAN_LIT("<rx>")) < text.len;
	}
	return known > 0 && known * 3 >= lines && talk * 2 < lines;
}
