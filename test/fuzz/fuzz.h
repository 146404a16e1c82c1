/* fuzz - the one function that a target defines; libFuzzer and replay.c call it. */
#ifndef MAILROOM_TEST_FUZZ_H
#define MAILROOM_TEST_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
