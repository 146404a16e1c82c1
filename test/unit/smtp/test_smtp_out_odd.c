/* servers that do not do as they should: whatever cannot be understood puts mail off and never refuses it; nothing hostile comes out */
#include "out_script.h"

static void two(struct fake_out *f)
{
	f->rcpts[1].address = SPAN_LIT("bob@mailroom.test");
	f->mail.rcpt_count = 2;
}

static void four(struct fake_out *f)
{
	two(f);
	f->rcpts[2].address = SPAN_LIT("carol@mailroom.test");
	f->rcpts[3].address = SPAN_LIT("dave@mailroom.test");
	f->mail.rcpt_count = 4;
}

static void stay(struct fake_out *f)
{
	f->stay = true;
	f->mails = 0;
}

static void binary(struct fake_out *f)
{
	f->mail.body_binary = true;
}

static void tls_must(struct fake_out *f)
{
	f->tls = SMTP_OUT_TLS_MUST;
}

static void login(struct fake_out *f)
{
	f->want_auth = true;
}

static void later(struct fake_out *f)
{
	f->mails = 2;
}

#define TO_CAROL "C: RCPT TO:<carol@mailroom.test>\n"
#define TO_DAVE "C: RCPT TO:<dave@mailroom.test>\n"
#define GARBLED_GREETING "failed garbled@greeting"

static const struct out_row rows[] = {
	/* what is no reply */
	{"not SMTP", "S: HTTP/1.1 400 Bad Request\n", GARBLED_GREETING, NULL},
	{"not SMTP, IMAP", "S: * OK ready\n", GARBLED_GREETING, NULL},
	{"not SMTP, SSH", "S: SSH-2.0-OpenSSH_9.2\n", GARBLED_GREETING, NULL},
	{"code of two digits", "S: 22 mx.test\n", GARBLED_GREETING, NULL},
	{"code of four digits", "S: 2200 mx.test\n", GARBLED_GREETING, NULL},
	{"code of class 1", "S: 120 wait\n", GARBLED_GREETING, NULL},
	{"code of class 6", "S: 620 mx.test\n", GARBLED_GREETING, NULL},
	{"code of class 0", "S: 020 mx.test\n", GARBLED_GREETING, NULL},
	{"a NUL in the code", "S: 2\\00 mx.test\n", GARBLED_GREETING, NULL},
	{"a blank before the code", "S:  220 mx.test\n", GARBLED_GREETING, NULL},
	{"nothing behind the code but a letter", "S: 220mx.test\n", GARBLED_GREETING, NULL},
	{"greeting 354", "S: 354 go\n", GARBLED_GREETING, NULL},
	{"lines that contradict each other", "S: 220-mx.test\nS: 554 no\n", GARBLED_GREETING, NULL},
	{"lines that contradict each other within the class", "S: 220-mx.test\nS: 250 ok\n", GARBLED_GREETING, NULL},
	{"EHLO lines that contradict each other", "S: 220 mx.test\nC: EHLO client.test\nS: 250-mx.test\nS: 250-PIPELINING\nS: 550 no\n",
		"failed garbled@ehlo", NULL},
	{"354 to EHLO", "S: 220 mx.test\nC: EHLO client.test\nS: 354 go\n", "failed garbled@ehlo", NULL},
	{"354 to MAIL", EHLO_MIN FROM_ME "S: 354 go\n", "ready, done garbled@mail, failed garbled@mail", NULL},
	{"354 to RCPT", EHLO_PIPE FROM_ME TO_ALICE TO_BOB DATA "S: 250 ok\nS: 550 no\nS: 354 go\n",
		"ready, done refused@rcpt 550 / garbled@rcpt, failed garbled@rcpt", two},
	{"250 to DATA", EHLO_MIN UP_TO_DATA "S: 250 ok\n", "ready, done garbled@data, failed garbled@data", NULL},
	{"354 to the end of the message", EHLO_MIN UP_TO_DATA "S: 354 go\n" HELLO_TEXT "S: 354 go\n",
		"ready, done garbled@end doubt, failed garbled@end doubt", NULL},
	{"rubbish to the end of the message", EHLO_MIN UP_TO_DATA "S: 354 go\n" HELLO_TEXT "S: ?\n",
		"ready, done garbled@end doubt, failed garbled@end doubt", NULL},
	{"354 to STARTTLS", EHLO_WITH("S: 250 STARTTLS\n") "C: STARTTLS\nS: 354 go\n", "failed garbled@starttls", NULL},
	{"334 to MAIL", EHLO_MIN FROM_ME "S: 334 go\n", "ready, done garbled@mail, failed garbled@mail", NULL},
	{"replies in the wrong order", EHLO_PIPE FROM_ME TO_ALICE DATA "S: 354 go\nS: 250 ok\nS: 250 ok\n",
		"ready, done garbled@mail, failed garbled@mail", NULL},
	{"one reply too many", EHLO_PIPE FROM_ME TO_ALICE DATA "S: 250 ok\nS: 250 ok\nS: 354 go\nS: 250 taken\n",
		"ready, done garbled@body, failed garbled@body", NULL},
	{"one reply too many after the message", EHLO_MIN UP_TO_DATA "S: 354 go\n" HELLO_TEXT "S: 250 taken\nS: 250 taken\n",
		"ready, done sent@end 250, failed garbled@mail", NULL},
	{"greeting and EHLO's answer at once", "S: 220 mx.test\nS: 250 mx.test\n", "failed garbled@ehlo", NULL},
	{"a refusal that nobody asked for", "S: 220 mx.test\nS: 554 no\n", "failed garbled@ehlo", NULL},
	{"a word while nothing is asked", EHLO_MIN "-\nS: 250 still here\n", "ready, failed garbled@mail", stay},

	/* 421 */
	{"421 for a greeting", "S: 421 4.3.2 busy\n", "failed later@greeting 421 4.3.2 closing", NULL},
	{"421 behind the greeting", "S: 220 mx.test\nS: 421 busy\n", "failed later@ehlo 421 closing", NULL},
	{"421 to EHLO", "S: 220 mx.test\nC: EHLO client.test\nS: 421 busy\n", "failed later@ehlo 421 closing", NULL},
	{"421 to STARTTLS", EHLO_WITH("S: 250 STARTTLS\n") "C: STARTTLS\nS: 421 busy\n", "failed later@starttls 421 closing", tls_must},
	{"421 to AUTH", EHLO_WITH("S: 250 AUTH PLAIN\n") "C: AUTH PLAIN AGFsaWNlAHdvbmRlcmxhbmQ=\nS: 421 4.7.0 busy\n",
		"auth PLAIN, failed later@auth 421 4.7.0 closing", login},
	{"421 to MAIL", EHLO_PIPE FROM_ME TO_ALICE DATA "S: 421 4.7.0 busy\nEOF\n",
		"ready, done later@mail 421 4.7.0 closing, failed later@mail 421 4.7.0 closing", NULL},
	{"421 to a RCPT", EHLO_PIPE FROM_ME TO_ALICE TO_BOB TO_CAROL TO_DAVE DATA "S: 250 ok\nS: 250 ok\nS: 550 5.1.1 no\nS: 421 busy\n",
		"ready, done later@rcpt 421 closing / refused@rcpt 550 5.1.1 / later@rcpt 421 closing / later@rcpt 421 closing, "
		"failed later@rcpt 421 closing", four},
	{"421 to DATA", EHLO_MIN UP_TO_DATA "S: 421 busy\n", "ready, done later@data 421 closing, failed later@data 421 closing", NULL},
	{"421 to the end of the message", EHLO_MIN UP_TO_DATA "S: 354 go\n" HELLO_TEXT "S: 421 4.3.0 busy\n",
		"ready, done later@end 421 4.3.0 closing, failed later@end 421 4.3.0 closing", NULL},
	{"421 while nothing is asked", EHLO_MIN "-\nS: 421 4.4.2 idle too long\nEOF\n", "ready, failed later@mail 421 4.4.2 closing", stay},
	{"421 to QUIT", EHLO_MIN UP_TO_DATA "S: 354 go\n" HELLO_TEXT TAKEN "C: QUIT\nS: 421 bye\n", READY_DONE, NULL},
	{"rubbish to QUIT", EHLO_MIN UP_TO_DATA "S: 354 go\n" HELLO_TEXT TAKEN "C: QUIT\nS: whatever\n", READY_DONE, NULL},
	{"nothing to QUIT", EHLO_MIN UP_TO_DATA "S: 354 go\n" HELLO_TEXT TAKEN "C: QUIT\nEOF\n", READY_DONE, NULL},
	{"QUIT is not answered", EHLO_MIN UP_TO_DATA "S: 354 go\n" HELLO_TEXT TAKEN "C: QUIT\nWAIT 5000\n", READY_DONE, NULL},

	/* the connection ends */
	{"before the greeting", "EOF\n", "failed lost@greeting", NULL},
	{"in the greeting", "s: 220 mx.te\nEOF\n", "failed lost@greeting", NULL},
	{"after a refusal that lacks its end", EHLO_MIN FROM_ME "s: 550 5.7.1 no\nEOF\n", "ready, done lost@mail, failed lost@mail", NULL},
	{"after EHLO", "S: 220 mx.test\nC: EHLO client.test\nEOF\n", "failed lost@ehlo", NULL},
	{"after STARTTLS", EHLO_WITH("S: 250 STARTTLS\n") "C: STARTTLS\nEOF\n", "failed lost@starttls", NULL},
	{"while nothing is asked", EHLO_MIN "EOF\n", "ready, failed lost@mail", stay},
	{"right after MAIL was refused", EHLO_PIPE FROM_ME TO_ALICE DATA "S: 550 5.7.1 go away\nEOF\n",
		"ready, done refused@mail 550 5.7.1, failed lost@rcpt", NULL},
	{"right after MAIL was refused, step by step", EHLO_MIN FROM_ME "S: 550 5.7.1 go away\n" "C: QUIT\nEOF\n",
		"ready, done refused@mail 550 5.7.1, ready, close", NULL},
	{"after one RCPT", EHLO_PIPE FROM_ME TO_ALICE TO_BOB DATA "S: 250 ok\nS: 550 5.1.1 no\nEOF\n",
		"ready, done refused@rcpt 550 5.1.1 / lost@rcpt, failed lost@rcpt", two},
	{"after DATA", EHLO_MIN UP_TO_DATA "EOF\n", "ready, done lost@data, failed lost@data", NULL},
	{"after the dot", EHLO_MIN UP_TO_DATA "S: 354 go\n" HELLO_TEXT "EOF\n", "ready, done lost@end doubt, failed lost@end doubt", NULL},
	{"after the dot, in the answer", EHLO_MIN UP_TO_DATA "S: 354 go\n" HELLO_TEXT "s: 250 2.0.0 tak\nEOF\n",
		"ready, done lost@end doubt, failed lost@end doubt", NULL},
	{"after the dot, a refusal of which a line is missing", EHLO_MIN UP_TO_DATA "S: 354 go\n" HELLO_TEXT "S: 554-5.7.1 no\nEOF\n",
		"ready, done lost@end doubt, failed lost@end doubt", NULL},
	{"after the last chunk", EHLO_WITH("S: 250-BINARYMIME\nS: 250 CHUNKING\n") "C: MAIL FROM:<me@client.test> BODY=BINARYMIME\nS: 250 ok\n" TO_ALICE
		"S: 250 ok\nC: BDAT 21 LAST\nC: Subject: x\nC: \nC: hello\nEOF\n", "ready, done lost@end doubt, failed lost@end doubt", binary},
	{"after the empty message to nobody", EHLO_PIPE FROM_ME TO_ALICE DATA "S: 250 ok\nS: 550 no\nS: 354 go\nC: .\nEOF\n",
		"ready, done refused@rcpt 550, failed lost@end", NULL},

	/* too many recipients */
	{"452 4.5.3", EHLO_PIPE FROM_ME TO_ALICE TO_BOB TO_CAROL TO_DAVE DATA "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 452 4.5.3 too many\n"
		"S: 452 4.5.3 too many\nS: 354 go\n"
		HELLO_TEXT TAKEN QUIT, "ready, done sent@end 250 2.0.0 / sent@end 250 2.0.0 / left@rcpt 452 4.5.3 / left@rcpt 452 4.5.3, ready, close", four},
	{"452 and 552 alone", EHLO_PIPE FROM_ME TO_ALICE TO_BOB TO_CAROL TO_DAVE DATA "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 452 too many\n"
		"S: 552 too many\nS: 354 go\n"
		HELLO_TEXT TAKEN QUIT, "ready, done sent@end 250 2.0.0 / sent@end 250 2.0.0 / left@rcpt 452 / left@rcpt 552, ready, close", four},
	{"451 4.5.3, one domain a message", EHLO_PIPE FROM_ME TO_ALICE TO_BOB DATA "S: 250 ok\nS: 250 ok\nS: 451 4.5.3 one at a time\nS: 354 go\n"
		HELLO_TEXT TAKEN QUIT,
		"ready, done sent@end 250 2.0.0 / left@rcpt 451 4.5.3, ready, close", two},
	{"step by step the others are not asked about", EHLO_MIN FROM_ME "S: 250 ok\n" TO_ALICE "S: 250 ok\n" TO_BOB "S: 452 4.5.3 too many\n" DATA
		"S: 354 go\n" HELLO_TEXT TAKEN QUIT,
		"ready, done sent@end 250 2.0.0 / left@rcpt 452 4.5.3 / left@rcpt / left@rcpt, ready, close", four},
	{"not for the first", EHLO_MIN FROM_ME "S: 250 ok\n" TO_ALICE "S: 452 4.5.3 too many\n" TO_BOB "S: 452 4.5.3 too many\n" QUIT,
		"ready, done later@rcpt 452 4.5.3 / later@rcpt 452 4.5.3, ready, close", two},
	{"not a full mailbox", EHLO_PIPE FROM_ME TO_ALICE TO_BOB TO_CAROL TO_DAVE DATA
		"S: 250 ok\nS: 250 ok\nS: 452 4.2.2 full\nS: 552 5.2.2 full\nS: 452 4.3.1 no disk\nS: 354 go\n" HELLO_TEXT TAKEN QUIT,
		"ready, done sent@end 250 2.0.0 / later@rcpt 452 4.2.2 / refused@rcpt 552 5.2.2 / later@rcpt 452 4.3.1, ready, close", four},

	/* early words about the message */
	{"refused while it is still being sent", EHLO_MIN UP_TO_DATA "S: 354 go\nS: 552 5.3.4 too big\n",
		"ready, done refused@body 552 5.3.4, failed refused@body 552 5.3.4", NULL},
	{"taken before it was sent", EHLO_MIN UP_TO_DATA "S: 354 go\nS: 250 2.0.0 taken\n", "ready, done garbled@body, failed garbled@body", NULL},
	{"RSET refused", EHLO_MIN FROM_ME "S: 450 no\nC: RSET\nS: 500 what?\n",
		"ready, done later@mail 450, ready, done left@rset, failed refused@rset 500", later},

	/* what is bad style and harmless */
	{"LF alone", "s: 220 mx.test\\n\nC: EHLO client.test\ns: 250-mx.test\\n250 PIPELINING\\n\n" FROM_ME TO_ALICE DATA
		"s: 250 ok\\n250 ok\\n354 go\\n\n" HELLO_TEXT TAKEN QUIT,
		READY_DONE, NULL},
	{"CR CR LF", "s: 220 mx.test\\r\\r\\n\nC: EHLO client.test\nS: 250 mx.test\\r\n" FROM_ME "S: 250 ok\\r\n" TO_ALICE "S: 250\\r\n" DATA
		"S: 354\\r\n" HELLO_TEXT TAKEN QUIT, READY_DONE, NULL},
	{"codes without text", "S: 220\nC: EHLO client.test\nS: 250-\nS: 250-PIPELINING\nS: 250\n" FROM_ME TO_ALICE DATA "S: 250\nS: 250 \nS: 354\n"
		HELLO_TEXT "S: 250\n" QUIT,
		"ready, done sent@end 250, ready, close", NULL},
	{"codes with a tab", "S: 220\tmx.test\nC: EHLO client.test\nS: 250\tmx.test\n" FROM_ME "S: 250\tok\n" TO_ALICE "S: 250 ok\n" DATA
		"S: 354 go\n" HELLO_TEXT "S: 250\t2.0.0 taken\n" QUIT,
		READY_DONE, NULL},
	{"an empty line now and then", EHLO_MIN FROM_ME "S: 250 ok\nS: \n" TO_ALICE "S: \nS: 250 ok\n" DATA "S: 354 go\n" HELLO_TEXT TAKEN QUIT,
		READY_DONE, NULL},
	{"empty lines all the time", EHLO_MIN FROM_ME "S: \nS: \nS: \nS: \nS: \nS: \nS: \nS: \nS: \n", "ready, done garbled@mail, failed garbled@mail", NULL},
	{"lines without their code in between", "S: 220-mx.test\nS: welcome\nS: \nS:  everybody\nS: 220 mx.test\nC: EHLO client.test\n"
		"S: 250 mx.test\n" FROM_ME "S: 250 ok\n" TO_ALICE
		"S: 250 ok\n" DATA "S: 354 go\n" HELLO_TEXT TAKEN QUIT, READY_DONE, NULL},
	{"an enhanced code of another class says nothing", EHLO_MIN FROM_ME "S: 550 2.1.0 no\n" QUIT, "ready, done refused@mail 550, ready, close", NULL},
	{"... and no enhanced code", EHLO_MIN FROM_ME "S: 450 4.1\n" QUIT, "ready, done later@mail 450, ready, close", NULL},
	{"... nor these", EHLO_MIN FROM_ME "S: 450 4.1.1x\n" QUIT, "ready, done later@mail 450, ready, close", NULL},
	{"... nor these", EHLO_MIN FROM_ME "S: 450 4.1000.1 x\n" QUIT, "ready, done later@mail 450, ready, close", NULL},
	{"... in the second line", EHLO_MIN FROM_ME "S: 550-no\nS: 550 5.7.26 no\n" QUIT, "ready, done refused@mail 550 5.7.26, ready, close", NULL},
	{"blotted-out greeting: no pipelining, and the dot goes alone", "S: 220 ****************0*2******0***\nC: EHLO client.test\nS: 250-mx.test\n"
		"S: 250-PIPELINING\nS: 250 XXXXXXXA\n"
		FROM_ME "S: 250 ok\n" TO_ALICE "S: 250 ok\n" DATA "S: 354 go\n" HELLO_TEXT TAKEN QUIT, READY_DONE, NULL},

	/* time */
	{"no greeting", "WAIT 299999\nWAIT 1\n", "failed timed-out@greeting", NULL},
	{"a byte of greeting a minute", "s: 2\nWAIT 60000\ns: 2\nWAIT 60000\ns: 0\nWAIT 60000\ns:  \nWAIT 60000\ns: m\nWAIT 60000\n",
		"failed timed-out@greeting", NULL},
	{"a line of greeting a minute", "S: 220-a\nWAIT 60000\nS: 220-b\nWAIT 60000\nS: 220-c\nWAIT 60000\nS: 220-d\nWAIT 60000\n"
		"S: 220-e\nWAIT 60000\n", "failed timed-out@greeting", NULL},
	{"no answer to EHLO", "WAIT 299999\nS: 220 mx.test\nC: EHLO client.test\nWAIT 300999\nWAIT 1\n", "failed timed-out@ehlo", NULL},
	{"TLS that hangs", EHLO_WITH("S: 250 STARTTLS\n") "C: STARTTLS\nS: 220 go\nC: EHLO client.test\nWAIT 301000\n", "tls, failed timed-out@ehlo", NULL},
	{"no answer to MAIL", EHLO_PIPE FROM_ME TO_ALICE DATA "WAIT 301999\nWAIT 1\n", "ready, done timed-out@mail, failed timed-out@mail", NULL},
	{"no answer to a RCPT", EHLO_PIPE FROM_ME TO_ALICE TO_BOB DATA "WAIT 301999\nS: 250 ok\nS: 550 no\nWAIT 302999\nWAIT 1\n",
		"ready, done refused@rcpt 550 / timed-out@rcpt, failed timed-out@rcpt", two},
	{"no answer to DATA", EHLO_MIN UP_TO_DATA "WAIT 119999\nWAIT 1\n", "ready, done timed-out@data, failed timed-out@data", NULL},
	{"no answer to the message", EHLO_MIN UP_TO_DATA "S: 354 go\n" HELLO_TEXT "WAIT 599999\nWAIT 1\n",
		"ready, done timed-out@end doubt, failed timed-out@end doubt", NULL},
	{"a byte of the answer a minute", EHLO_MIN UP_TO_DATA "S: 354 go\n" HELLO_TEXT "s: 2\nWAIT 200000\ns: 5\nWAIT 200000\ns: 0\nWAIT 200000\n",
		"ready, done timed-out@end doubt, failed timed-out@end doubt", NULL},
	{"nobody waits for an owner", EHLO_MIN "WAIT 999999999\n", "ready", stay},
};

static void test_oddities(void **state)
{
	(void)state;
	script_rows(rows, sizeof(rows) / sizeof(rows[0]));
}

/* 300 s for each of many answers is too much in all */
static void test_total(void **state)
{
	struct fake_out f;
	unsigned answers = 0;

	(void)state;
	fake_out_init(&f);
	for (size_t i = 0; i < FAKE_OUT_RCPTS; i++)
		f.rcpts[i].address = SPAN_LIT("alice@mailroom.test");
	f.mail.rcpt_count = FAKE_OUT_RCPTS;
	f.rules.total_ms = 3600000;
	fake_out_start(&f);
	(void)script_run(&f, "total", EHLO_MIN FROM_ME "S: 250 ok\n", SCRIPT_WHOLE, false);
	while (!f.failed && answers < 100) {
		fake_out_tick(&f, 300000);
		fake_out_feed(&f, SPAN_LIT("250 ok\r\n"));
		fake_out_pump(&f);
		answers++;
	}
	assert_int_equal(answers, 12);
	assert_non_null(strstr(buf_cstr(&f.log), "failed timed-out@rcpt"));
	fake_out_clear(&f);
}

/* texts of others: what is kept of them */
static const struct { const char *said, *wanted; } words[] = {
	{"550 5.7.1 no", "no"},
	{"550", ""},
	{"550-5.7.1 one\r\n550-5.7.1 two\r\n550 5.7.1  three ", "one two three"},
	{"550-5.7.1 one\r\n550 5.7.2 two", "one 5.7.2 two"},
	{"550 2.0.0 ok", "2.0.0 ok"},
	{"550 a\tb\033[2Jc\x7f\x01\rd", "a b?[2Jc??" "?d"},
	{"550 gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
	{"550 gr\xfc\xdf", "gr??"},
	{"550 \xc2\x9b" "31m \xe2\x80\xaetxt \xe2\x80\xa8.", "?31m ?txt ?."},
	{"550-one\r\nno code\r\n550 two", "one no code two"},
};

static void test_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		for (int bytewise = 0; bytewise < 2; bytewise++) {
			struct fake_out f;
			size_t len = strlen(words[i].said);

			fake_out_init(&f);
			fake_out_start(&f);
			for (size_t at = 0; at < len; at += bytewise ? 1 : len)
				fake_out_feed(&f, span_of(words[i].said + at, bytewise ? 1 : len));
			fake_out_feed(&f, SPAN_LIT("\r\n"));
			assert_true(f.failed);
			f.words.len--;
			assert_string_equal(buf_cstr(&f.words), words[i].wanted);
			fake_out_clear(&f);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_oddities),
		cmocka_unit_test(test_total),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests_name("smtp-out-odd", tests, NULL, NULL);
}
