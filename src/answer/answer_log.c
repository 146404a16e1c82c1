/* answer_log - the library's door for logs and mail programs */
#include <mailroom/answer.h>

#include "answer/journal.h"
#include "answer/mask.h"
#include "base/mem.h"

enum { SHOWN_BYTES = 160 };

struct log_row {
	struct journal_row row;
	struct buf first, last, example, names[JOURNAL_NAMES];
};

struct mailroom_answer_log {
	struct journal *journal;
	struct log_row *rows;
	size_t count;
};

int mailroom_answer_is_log(const void *head, size_t bytes)
{
	return journal_is_log(span_of(head, head ? bytes : 0));
}

struct mailroom_answer_log *mailroom_answer_log_new(void)
{
	struct mailroom_answer_log *log = mem_zalloc(sizeof(*log));

	log->journal = journal_new();
	return log;
}

void mailroom_answer_log_feed(struct mailroom_answer_log *log, const void *bytes, size_t count)
{
	if (log && bytes)
		journal_feed(log->journal, span_of(bytes, count));
}

static void log_text(struct buf *out, struct span text)
{
	buf_init(out, 4 * SHOWN_BYTES + 16);
	mask_line(out, text, SHOWN_BYTES);
	(void)buf_cstr(out);
}

void mailroom_answer_log_end(struct mailroom_answer_log *log)
{
	struct journal_row row;

	if (!log || log->rows)
		return;
	journal_end(log->journal);
	log->rows = mem_array(CAUSE_COUNT, sizeof(*log->rows));
	for (; journal_row(log->journal, log->count, &row); log->count++) {
		struct log_row *r = &log->rows[log->count];

		r->row = row;
		log_text(&r->first, row.first);
		log_text(&r->last, row.last);
		buf_init(&r->example, row.example.len + 1);
		buf_add(&r->example, row.example);
		(void)buf_cstr(&r->example);
		for (size_t i = 0; i < row.name_count; i++)
			log_text(&r->names[i], row.names[i]);
	}
}

void mailroom_answer_log_free(struct mailroom_answer_log *log)
{
	if (!log)
		return;
	for (size_t i = 0; i < log->count; i++) {
		buf_clear(&log->rows[i].first);
		buf_clear(&log->rows[i].last);
		buf_clear(&log->rows[i].example);
		for (size_t k = 0; k < log->rows[i].row.name_count; k++)
			buf_clear(&log->rows[i].names[k]);
	}
	free(log->rows);
	journal_free(&log->journal);
	free(log);
}

uint64_t mailroom_answer_log_count(const struct mailroom_answer_log *log, enum mailroom_answer_log_count what)
{
	struct journal_counts c;

	if (!log)
		return 0;
	c = journal_counts(log->journal);
	switch (what) {
	case MAILROOM_ANSWER_LOG_LINES:
		return c.lines;
	case MAILROOM_ANSWER_LOG_KNOWN:
		return c.known;
	case MAILROOM_ANSWER_LOG_REFUSALS:
		return c.refusals;
	case MAILROOM_ANSWER_LOG_CONSEQUENCES:
		return c.consequences;
	case MAILROOM_ANSWER_LOG_CUT:
		return c.cut;
	case MAILROOM_ANSWER_LOG_FORGOTTEN:
		return c.forgotten;
	case MAILROOM_ANSWER_LOG_BYTES:
		return c.bytes;
	}
	return 0;
}

static const struct log_row *log_row(const struct mailroom_answer_log *log, size_t row)
{
	return log && row < log->count ? &log->rows[row] : NULL;
}

static const char *log_text_of(const struct buf *b)
{
	return b->ptr && !b->overflow ? (const char *)b->ptr : "";
}

const char *mailroom_answer_log_slug(const struct mailroom_answer_log *log, size_t row)
{
	const struct log_row *r = log_row(log, row);

	return r ? cause_slug(r->row.cause) : NULL;
}

uint64_t mailroom_answer_log_hits(const struct mailroom_answer_log *log, size_t row)
{
	const struct log_row *r = log_row(log, row);

	return r ? r->row.count : 0;
}

double mailroom_answer_log_confidence(const struct mailroom_answer_log *log, size_t row)
{
	const struct log_row *r = log_row(log, row);

	return r ? r->row.confidence : 0;
}

const char *mailroom_answer_log_first(const struct mailroom_answer_log *log, size_t row)
{
	const struct log_row *r = log_row(log, row);

	return r ? log_text_of(&r->first) : NULL;
}

const char *mailroom_answer_log_last(const struct mailroom_answer_log *log, size_t row)
{
	const struct log_row *r = log_row(log, row);

	return r ? log_text_of(&r->last) : NULL;
}

const char *mailroom_answer_log_example(const struct mailroom_answer_log *log, size_t row)
{
	const struct log_row *r = log_row(log, row);

	return r ? log_text_of(&r->example) : NULL;
}

const char *mailroom_answer_log_name(const struct mailroom_answer_log *log, size_t row, size_t index)
{
	const struct log_row *r = log_row(log, row);

	return r && index < r->row.name_count ? log_text_of(&r->names[index]) : NULL;
}

uint64_t mailroom_answer_log_name_hits(const struct mailroom_answer_log *log, size_t row, size_t index)
{
	const struct log_row *r = log_row(log, row);

	return r && index < r->row.name_count ? r->row.name_counts[index] : 0;
}

uint64_t mailroom_answer_log_others(const struct mailroom_answer_log *log, size_t row)
{
	const struct log_row *r = log_row(log, row);

	return r ? r->row.others : 0;
}

const char *mailroom_program_slug(size_t program)
{
	return program < client_program_count ? reply_text(reply_emitters[client_programs[program].emitter].slug) : NULL;
}

const char *mailroom_program_name(size_t program)
{
	return program < client_program_count ? reply_text(reply_emitters[client_programs[program].emitter].name) : NULL;
}

const char *mailroom_program_step(size_t program, size_t step)
{
	if (program >= client_program_count || step >= client_programs[program].step_count)
		return NULL;
	return reply_text(reply_words[client_programs[program].step_at + step]);
}

const char *mailroom_program_setting(size_t program, size_t setting)
{
	static const char *const names[] = {[CLIENT_ACCOUNT] = "account",
					    [CLIENT_ADDRESS] = "address",
					    [CLIENT_PASSWORD] = "password",
					    [CLIENT_USER_NAME] = "user-name",
					    [CLIENT_INCOMING_TYPE] = "incoming-type",
					    [CLIENT_INCOMING_SERVER] = "incoming-server",
					    [CLIENT_INCOMING_PORT] = "incoming-port",
					    [CLIENT_INCOMING_SECURITY] = "incoming-security",
					    [CLIENT_INCOMING_AUTH] = "incoming-auth",
					    [CLIENT_OUTGOING_SERVER] = "outgoing-server",
					    [CLIENT_OUTGOING_PORT] = "outgoing-port",
					    [CLIENT_OUTGOING_SECURITY] = "outgoing-security",
					    [CLIENT_OUTGOING_AUTH] = "outgoing-auth",
					    [CLIENT_OUTGOING_CHOOSE] = "outgoing-choose",
					    [CLIENT_LEAVE_COPY] = "leave-copy",
					    [CLIENT_IDENTITY] = "identity",
					    [CLIENT_PROTOCOL_LOG] = "protocol-log"};

	if (program >= client_program_count || setting >= client_programs[program].setting_count)
		return NULL;
	return names[client_settings[client_programs[program].setting_at + setting].what];
}

const char *mailroom_program_setting_where(size_t program, size_t setting)
{
	if (program >= client_program_count || setting >= client_programs[program].setting_count)
		return NULL;
	return reply_text(client_settings[client_programs[program].setting_at + setting].where);
}
