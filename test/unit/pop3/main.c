#include "test_pop3.h"

int main(void)
{
	int failed = test_pop3_dialog();

	failed += test_pop3_auth();
	failed += test_pop3_retr();
	failed += test_pop3_limits();
	return failed ? 1 : 0;
}
