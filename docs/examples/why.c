/* why - asks libmailroom-answer what stands behind the refusal given as argument.
 *
 *     cc why.c $(pkg-config --cflags --libs mailroom-answer) -o why
 *     ./why "554 5.7.1 Relay access denied" */
#include <mailroom/answer.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	struct mailroom_answer *a;

	if (argc != 2) {
		fputs("usage: why TEXT\n", stderr);
		return 2;
	}
	a = mailroom_answer_text(argv[1], strlen(argv[1]));
	printf("%s\n", mailroom_answer_verdict(a));
	for (size_t i = 0; i < mailroom_answer_count(a); i++) {
		const char *slug = mailroom_answer_slug(a, i);

		printf("%.2f %s: %s\n", mailroom_answer_confidence(a, i), slug, mailroom_answer_meaning(a, i));
		for (size_t k = 0; i == 0 && mailroom_cause_fix_who(slug, k); k++)
			printf("  %s: %s\n", mailroom_cause_fix_who(slug, k), mailroom_cause_fix_what(slug, k));
	}
	if (mailroom_answer_is_undecided(a))
		printf("To find out: %s\n", mailroom_answer_ask(a));
	mailroom_answer_free(a);
	return 0;
}
