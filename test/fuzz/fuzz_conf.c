/* fuzz_conf - any text: conf_parse takes or refuses it, and what it takes reads back the same from conf_write */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "conf/conf.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf *a = NULL, *b = NULL;
	struct err err = {{0}};
	struct buf first, second;

	if (conf_parse(span_of(data, size), "fuzz", "/home", &a, &err) != RC_OK) {
		if (!err.words[0] || a)
			abort(); /* refused without a word */
		return 0;
	}
	buf_init(&first, 8 << 20);
	buf_init(&second, 8 << 20);
	conf_write(a, &first);
	if (first.overflow || conf_parse(buf_span(&first), "again", NULL, &b, &err) != RC_OK)
		abort();
	conf_write(b, &second);
	if (!span_eq(buf_span(&first), buf_span(&second)))
		abort();
	conf_free(&a);
	conf_free(&b);
	buf_clear(&first);
	buf_clear(&second);
	return 0;
}
