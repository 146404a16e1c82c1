#include <string.h>

#include "fixture.h"

int main(void)
{
	struct CMUnitTest tests[128];
	const struct { const struct CMUnitTest *tests; size_t count; } groups[] = {
		{settings_tests, settings_count}, {resolve_tests, resolve_count}, {accept_tests, accept_count},
		{mailbox_tests, mailbox_count}, {disk_tests, disk_count}, {cred_tests, cred_count}, {counter_tests, counter_count},
	};
	size_t n = 0;

	for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++) {
		memcpy(tests + n, groups[g].tests, groups[g].count * sizeof(*tests));
		n += groups[g].count;
	}
	return _cmocka_run_group_tests("store", tests, n, NULL, NULL);
}
