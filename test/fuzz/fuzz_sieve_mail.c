/* Whatever a message is, filters over it end with a decision, and decide the same when its structure was found beforehand and when several scripts share what
 * was prepared. The scripts ask for everything that can be asked. */
#include "fuzz.h"

#include <stdlib.h>

#include "base/limits.h"
#include "mail/attach.h"
#include "policy/sieve_mail.h"

enum { MESSAGE_MAX_BYTES = 1 << 17, STEPS = 1 << 20, SCRIPTS = 4, RESULT_BYTES = 1 << 20 };

/* as in fuzz_attach.c */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1:max_allocation_size_mb=256";
}

static const char *const texts[SCRIPTS] = {
	"require [\"vnd.mailroom.attachment\", \"reject\", \"fileinto\", \"copy\"];"
	"if attachment :matches :name [\"*.zip\", \"*.exe*\"] { fileinto :copy \"Names\"; }"
	"if attachment :matches :inside \"*.exe\" { fileinto :copy \"Inside\"; }"
	"if attachment :type :content [\"application/zip\", \"image/png\"] { fileinto :copy \"Types\"; }"
	"if attachment :encrypted { fileinto :copy \"Encrypted\"; }"
	"if attachment :unreadable { reject \"unreadable\"; }",
	"require [\"body\", \"fileinto\", \"copy\", \"relational\", \"comparator-i;ascii-numeric\"];"
	"if body :contains \"hello\" { fileinto :copy \"Text\"; }"
	"if body :raw :contains \"=\" { fileinto :copy \"Raw\"; }"
	"if body :content \"text\" :matches \"*a*b*\" { fileinto :copy \"Content\"; }"
	"if size :over 100 { fileinto :copy \"Large\"; }",
	"require [\"mime\", \"foreverypart\", \"variables\", \"fileinto\", \"copy\", \"editheader\", \"envelope\", \"index\", \"date\", \"subaddress\"];"
	"foreverypart { if header :mime :param \"filename\" :matches \"Content-Disposition\" \"*\" { set \"n\" \"${0}\"; } }"
	"if header :matches [\"subject\", \"x-any\"] \"*\" { addheader \"X-Seen\" \"${0} ${n}\"; }"
	"if address :all :matches [\"from\", \"to\", \"cc\", \"sender\"] \"*@*\" { fileinto :copy \"${2}x\"; }"
	"if address :detail \"to\" \"list\" { fileinto :copy \"Detail\"; }"
	"if header :mime :anychild :contenttype \"Content-Type\" \"text/html\" { fileinto :copy \"Html\"; }"
	"if header :index 1 :last :contains \"received\" \"by\" { fileinto :copy \"Received\"; }"
	"if date :originalzone \"date\" \"year\" \"2024\" { fileinto :copy \"Year\"; }"
	"if exists [\"from\", \"date\"] { fileinto :copy \"Good\"; }",
	"require \"imap4flags\"; if size :under 50 { addflag \"small\"; } else { discard; }",
};

static struct arena scripts_mem;
static const struct sieve_script *scripts[SCRIPTS];
static unsigned needs;

static void must(bool holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct sieve_fault fault;

	(void)argc;
	(void)argv;
	must(attach_prepare(NULL) == RC_OK);
	arena_init(&scripts_mem, SCRIPTS * LIMIT_SIEVE_COMPILED_BYTES);
	for (unsigned i = 0; i < SCRIPTS; i++) {
		must(sieve_compile(span_str(texts[i]), NULL, &scripts_mem, &scripts[i], &fault) == RC_OK);
		needs |= sieve_script_needs(scripts[i]);
	}
	return 0;
}

/* all that a run decided, as text */
static void decide(struct sieve_mail *mail, unsigned i, struct buf *out)
{
	struct sieve_message m;
	struct sieve_result r;
	struct arena mem;

	arena_init(&mem, RESULT_BYTES);
	sieve_mail_message(mail, &m);
	m.from = SPAN_LIT("sender@client.example");
	m.to = SPAN_LIT("anna+list@example.org");
	(void)sieve_run(scripts[i], &m, STEPS, &mem, &r);
	must(r.action_count >= 1 && r.action_count <= LIMIT_SIEVE_ACTIONS + 1 && r.steps <= STEPS);
	must(r.end == SIEVE_DONE || (r.action_count == 1 && r.actions[0].act == SIEVE_KEEP));
	buf_printf(out, "%u %d %d:", i, (int)r.end, r.incomplete);
	for (size_t a = 0; a < r.action_count; a++) {
		const struct sieve_action *act = &r.actions[a];

		must(act->act != SIEVE_FILEINTO || span_is_utf8(act->text));
		must(act->act != SIEVE_ADDHEADER || span_is_utf8(act->value));
		buf_printf(out, " %s ", sieve_act_name(act->act));
		buf_add(out, act->text);
		buf_add(out, act->value);
	}
	buf_add_byte(out, '\n');
	arena_clear(&mem);
}

static struct sieve_mail *prepared(const struct mime_source *source, const struct mime *mime, unsigned what)
{
	struct sieve_mail *mail = sieve_mail_new(source, mime, what);

	while (sieve_mail_step(mail))
		;
	return mail;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = span_of(data, size);
	struct mime_source source = mime_source_memory(&text);
	struct sieve_mail *shared, *alone;
	struct mime_scan *scan;
	struct buf one, two;

	if (size > MESSAGE_MAX_BYTES)
		return 0;
	if (!scripts[0]) /* replay.c does not call it */
		(void)LLVMFuzzerInitialize(NULL, NULL);
	buf_init(&one, 4 << 20);
	buf_init(&two, 4 << 20);
	scan = mime_scan_new(0);
	shared = prepared(&source, mime_scan_source(scan, &source), needs);
	for (unsigned i = 0; i < SCRIPTS; i++) {
		decide(shared, i, &one);
		alone = prepared(&source, NULL, sieve_script_needs(scripts[i]));
		decide(alone, i, &two);
		sieve_mail_free(&alone);
	}
	must(!one.overflow && span_eq(buf_span(&one), buf_span(&two)));
	sieve_mail_free(&shared);
	mime_scan_free(&scan);
	buf_clear(&one);
	buf_clear(&two);
	return 0;
}
