#include "test_mail.h"

#include "base/buf.h"

void test_span_eq(struct span got, struct span want, const char *what)
{
	struct buf g, w;

	if (span_eq(got, want))
		return;
	buf_init(&g, 8192);
	buf_init(&w, 8192);
	buf_add_safe(&g, got, 1000);
	buf_add_safe(&w, want, 1000);
	fail_msg("%s: got '%s', want '%s'", what, buf_cstr(&g), buf_cstr(&w));
}

int main(void)
{
	return (test_address() + test_header() + test_from() + test_field() + test_mime() + test_mime_value() + test_mime_reader() + test_mime_wide() + test_words() +
		       test_attach() + test_mta_sts() + test_srs() + test_dkim() + test_dsn() + test_autoreply()) != 0;
}
