#include "test_base.h"

void test_span_eq(struct span got, struct span want, const char *what)
{
	if (!span_eq(got, want))
		fail_msg("%s: got '%.*s', want '%.*s'", what, SPAN_FMT(got), SPAN_FMT(want));
}

int main(void)
{
	return (test_bytes() + test_num() + test_map() + test_net() + test_log() + test_library()) != 0;
}
