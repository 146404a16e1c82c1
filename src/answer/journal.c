#include "answer/journal.h"

#include "answer/journal_line.h"
#include "answer/journal_shape.h"
#include "answer/mask.h"
#include "base/mem.h"

enum {
	NAME_WAYS = 8,	       /* places where a name may stand */
	NAME_SETS = 64,	       /* of a cause; the most frequent names are told */
	LINE_BYTES = 16 << 10, /* of a line; the rest is not looked at */
	SENDERS = 1 << 15,     /* messages whose sender is remembered */
	SESSIONS = 1 << 15,
	ANSWERS = 1 << 14, /* shapes of replies whose cause is remembered */
	NAME_BYTES = 96,
	TIME_BYTES = 32,
	EXAMPLE_BYTES = 400,
	REPLY_BYTES = 2048, /* of a reply that is weighed */
	HEAD_LINES = 60,    /* that are looked at to tell a log from something else */
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

struct name_set {
	uint64_t keys[NAME_WAYS], counts[NAME_WAYS]; /* key 0: free */
	struct name names[NAME_WAYS];
};

struct row {
	uint64_t count;
	double confidence;
	struct name_set sets[NAME_SETS];
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
	char scratch[JOURNAL_SCRATCH];
	struct explanation first; /* of the first refusal, until there is one of the first note */
	struct buf first_line;
	bool noted;
};

static uint64_t journal_hash(struct span s, uint64_t seed)
{
	uint64_t hash = 14695981039346656037ULL ^ seed;

	for (size_t i = 0; i < s.len; i++)
		hash = (hash ^ s.ptr[i]) * 1099511628211ULL;
	return hash ? hash : 1;
}

struct journal *journal_new(void)
{
	struct journal *j = mem_zalloc(sizeof(*j));

	buf_init(&j->tail, LINE_BYTES);
	buf_init(&j->first_line, 4 * EXAMPLE_BYTES + 16);
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
	buf_clear(&j->first_line);
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

/* Who is hit often stays, however many there are: where its places are taken a name costs the rarest there one, and takes its place when
 * nothing is left of it. */
static void journal_count_name(struct row *row, struct span name)
{
	uint64_t key = journal_hash(name, 2);
	struct name_set *set = &row->sets[(key >> 17) % NAME_SETS];
	size_t at = 0;

	if (!name.len)
		return;
	for (size_t i = 0; i < NAME_WAYS; i++) {
		if (set->keys[i] == key) {
			set->counts[i]++;
			return;
		}
		if (set->counts[i] < set->counts[at])
			at = i;
	}
	if (set->counts[at] && --set->counts[at])
		return;
	set->keys[at] = key;
	set->counts[at] = 1;
	set->names[at].len = journal_copy(set->names[at].text, NAME_BYTES, name);
}

static int journal_emitter(const char *slug)
{
	for (size_t i = 0; slug && i < reply_emitter_count; i++)
		if (strcmp(reply_text(reply_emitters[i].slug), slug) == 0)
			return (int)i;
	return EXPLAIN_NO_EMITTER;
}

static struct answer journal_answer(struct journal *j, const struct journal_line *line)
{
	struct explain_context context = {line->stage, EXPLAIN_NO_EMITTER};
	struct explanation e;
	struct answer *a;
	uint64_t key;

	if (line->cause)
		return (struct answer){.confidence = 0.95F, .cause = (uint16_t)line->cause, .emitter = EXPLAIN_NO_EMITTER};
	key = shape_of(line->reply, line->stage);
	if (line->emitter)
		key ^= (uint64_t)(uint8_t)line->emitter[0] << 56 | (uint64_t)(uint8_t)line->emitter[1] << 48;
	a = &j->answers[key % ANSWERS];
	if (a->key == key)
		return *a;
	context.emitter = journal_emitter(line->emitter);
	explain_text_in(span_head(line->reply, REPLY_BYTES), &context, &e);
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

static void journal_keep_first(struct journal *j, const struct journal_line *line, struct span whole)
{
	const struct explain_context context = {line->stage, journal_emitter(line->emitter)};

	buf_reset(&j->first_line);
	mask_line(&j->first_line, whole, EXAMPLE_BYTES);
	explain_text_in(span_head(line->reply, REPLY_BYTES), &context, &j->first);
	if (!line->cause)
		return;
	j->first.found[0] = (struct explain_candidate){.cause = line->cause, .confidence = 0.95, .by = EXPLAIN_BY_LOG, .reply = -1};
	j->first.count = 1;
	j->first.undecided = false;
}

/* counts for nothing, and is told where nothing else is */
static void journal_note(struct journal *j, const struct journal_line *line, struct span whole)
{
	if (j->noted || j->counts.refusals)
		return;
	j->noted = true;
	journal_keep_first(j, line, whole);
}

static void journal_refusal(struct journal *j, const struct journal_line *line, struct span whole)
{
	struct answer a = journal_answer(j, line);
	struct row *row = &j->rows[a.cause];

	if (journal_is_consequence(j, line, (enum cause_id)a.cause)) {
		j->counts.consequences++;
		return;
	}
	if (!j->counts.refusals++)
		journal_keep_first(j, line, whole);
	if (!row->count++) {
		row->first_len = journal_copy(row->first, sizeof(row->first), line->time);
		row->emitter = a.emitter;
		mask_line(&row->example, whole, EXAMPLE_BYTES);
	}
	row->last_len = journal_copy(row->last, sizeof(row->last), line->time);
	row->confidence += (double)a.confidence;
	journal_count_name(row, journal_name(j, line));
}

static bool journal_was_refused(const struct journal *j, struct span session)
{
	uint64_t key = journal_hash(session, 1);

	return j->sessions[key % SESSIONS].key == key && j->sessions[key % SESSIONS].refused;
}

static void journal_one(struct journal *j, struct span whole)
{
	struct journal_line line;

	if (whole.len && whole.ptr[whole.len - 1] == '\r')
		whole.len--;
	j->counts.lines++;
	journal_line_read(whole, j->scratch, &line);
	if (line.what != JOURNAL_FOREIGN)
		j->counts.known++;
	if (line.what == JOURNAL_SENDER && line.id.len)
		journal_keep_sender(j, &line);
	else if (line.what == JOURNAL_DONE)
		journal_drop_sender(j, &line);
	else if (line.what == JOURNAL_REFUSAL || (line.what == JOURNAL_LAST && !journal_was_refused(j, line.session)))
		journal_refusal(j, &line, whole);
	else if (line.what == JOURNAL_NOTE)
		journal_note(j, &line, whole);
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
	for (size_t i = 0; i < NAME_SETS; i++)
		for (size_t k = 0; k < NAME_WAYS; k++)
			if (row->sets[i].counts[k])
				journal_rank(out, span_of(row->sets[i].names[k].text, row->sets[i].names[k].len), row->sets[i].counts[k]);
	for (size_t i = 0; i < out->name_count; i++)
		out->others -= out->name_counts[i];
	return true;
}

bool journal_first(const struct journal *j, struct explanation *out, struct span *line_out)
{
	if (!j->counts.refusals && !j->noted)
		return false;
	*out = j->first;
	*line_out = buf_span(&j->first_line);
	return true;
}

struct journal_counts journal_counts(const struct journal *j)
{
	return j->counts;
}

bool journal_is_log(struct span head)
{
	size_t known = 0, lines = 0, talk = 0;
	char scratch[JOURNAL_SCRATCH];

	while (head.len && lines < HEAD_LINES) {
		struct span text = span_cut(&head, '\n');
		struct journal_line line;

		if (!span_trim(text).len)
			continue;
		lines++;
		journal_line_read(text, scratch, &line);
		known += line.what != JOURNAL_FOREIGN;
		talk += span_find_span(text, SPAN_LIT("S: ")) < text.len || span_find_span(text, SPAN_LIT("C: ")) < text.len ||
			span_find_span(text, SPAN_LIT("<rx>")) < text.len;
	}
	return known > 0 && known * 3 >= lines && talk * 2 < lines;
}
