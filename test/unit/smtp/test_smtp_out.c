/* ordinary conversations: what is said to which server, and what becomes of each recipient */
#include "out_script.h"

static void two(struct fake_out *f)
{
	f->rcpts[1].address = SPAN_LIT("bob@mailroom.test");
	f->mail.rcpt_count = 2;
}

static void twice(struct fake_out *f)
{
	f->mails = 2;
}

static void two_twice(struct fake_out *f)
{
	two(f);
	f->mails = 2;
}

static void bounce(struct fake_out *f)
{
	f->mail.sender = SPAN_NONE;
}

static void dotted(struct fake_out *f)
{
	f->body = SPAN_LIT(".\r\n..\r\n.x\r\na.\r\n\r\n.");
	f->piece = 1;
}

static void nothing(struct fake_out *f)
{
	f->body = SPAN_NONE;
	f->mail.bytes = 1;
	f->empty_last = true;
}

static void every_parameter(struct fake_out *f)
{
	two(f);
	f->mail.body_8bit = f->mail.smtputf8 = f->mail.requiretls = f->tls_up = true;
	f->mail.ret = 1;
	f->mail.envid = SPAN_LIT("a+b=c d");
	f->rcpts[0].notify = 2 | 4 | 8;
	f->rcpts[0].orcpt = SPAN_LIT("rfc822;al+2Bice@x.test");
	f->rcpts[1].notify = 1;
	f->rcpts[1].address = SPAN_LIT("b\xc3\xb6@mailroom.test");
}

static void utf8_domains(struct fake_out *f)
{
	two(f);
	f->mail.sender = SPAN_LIT("me@b\xc3\xbc" "cher.test");
	f->rcpts[0].address = SPAN_LIT("alice@B\xc3\xbc" "cher.test");
	f->rcpts[1].address = SPAN_LIT("bob@b\xc3\xbc" "cher.test");
}

static void bad_parameters(struct fake_out *f)
{
	two(f);
	f->mail.ret = 2;
	f->rcpts[0].orcpt = SPAN_LIT("rfc822;a b");
	f->rcpts[1].orcpt = SPAN_LIT("no-type");
}

static void eight(struct fake_out *f)
{
	f->mail.body_8bit = true;
	f->body = SPAN_LIT("Subject: x\r\n\r\nh\xe9llo\r\n");
}

static void binary(struct fake_out *f)
{
	f->mail.body_binary = true;
	f->body = SPAN_LIT("a\r\n.b\nc\rd");
	f->piece = 4;
}

static void binary_empty_last(struct fake_out *f)
{
	binary(f);
	f->empty_last = true;
}

static void utf8(struct fake_out *f)
{
	f->mail.smtputf8 = true;
}

static void utf8_address(struct fake_out *f)
{
	two(f);
	f->rcpts[0].address = SPAN_LIT("\xc3\xa9@mailroom.test");
}

static void utf8_sender(struct fake_out *f)
{
	f->mail.sender = SPAN_LIT("\xc3\xa9@client.test");
}

static void require_tls(struct fake_out *f)
{
	f->mail.requiretls = true;
}

static void big(struct fake_out *f)
{
	f->mail.bytes = 1001;
}

static void bare(struct fake_out *f)
{
	f->body = SPAN_LIT("Subject: x\r\n\r\nhel\nlo\r\n");
	f->mails = 2;
}

static void bad_addresses(struct fake_out *f)
{
	two(f);
	f->rcpts[0].address = SPAN_LIT("x> NOTIFY=NEVER\r\nRCPT TO:<y@z.test");
	f->rcpts[2].address = SPAN_LIT("c\n@d.test");
	f->mail.rcpt_count = 3;
}

static void bad_sender(struct fake_out *f)
{
	f->mail.sender = SPAN_LIT("a@b.test>\r\nQUIT");
}

static void no_body(struct fake_out *f)
{
	f->abort_body = true;
}

static const struct out_row rows[] = {
	{"step by step", EHLO_MIN FROM_ME "S: 250 ok\n" TO_ALICE "S: 250 ok\n" DATA "S: 354 go\n" HELLO_TEXT TAKEN QUIT, READY_DONE, NULL},
	{"pipelined", EHLO_PIPE FROM_ME TO_ALICE DATA "S: 250 ok\nS: 250 ok\nS: 354 go\n" HELLO_TEXT TAKEN QUIT, READY_DONE, NULL},
	{"null sender", EHLO_MIN "C: MAIL FROM:<>\nS: 250 ok\n" TO_ALICE "S: 250 ok\n" DATA "S: 354 go\n" HELLO_TEXT TAKEN QUIT, READY_DONE, bounce},
	{"two messages", EHLO_PIPE FROM_ME TO_ALICE DATA "S: 250 ok\nS: 250 ok\nS: 354 go\n" HELLO_TEXT TAKEN FROM_ME TO_ALICE DATA
		"S: 250 ok\nS: 250 ok\nS: 354 go\n" HELLO_TEXT TAKEN QUIT,
		"ready, done sent@end 250 2.0.0, ready, done sent@end 250 2.0.0, ready, close", twice},
	{"one of two taken", EHLO_PIPE FROM_ME TO_ALICE TO_BOB DATA "S: 250 ok\nS: 550 5.1.1 who?\nS: 250 ok\nS: 354 go\n" HELLO_TEXT TAKEN QUIT,
		"ready, done refused@rcpt 550 5.1.1 / sent@end 250 2.0.0, ready, close", two},
	{"one now, one later, step by step", EHLO_MIN FROM_ME "S: 250 ok\n" TO_ALICE "S: 451 4.7.1 wait\n" TO_BOB "S: 250 ok\n" DATA "S: 354 go\n"
		HELLO_TEXT TAKEN QUIT,
		"ready, done later@rcpt 451 4.7.1 / sent@end 250 2.0.0, ready, close", two},
	{"none taken, step by step, then the next message", EHLO_MIN FROM_ME "S: 250 ok\n" TO_ALICE "S: 550 no\n" TO_BOB "S: 450 no\n" "C: RSET\n"
		"S: 250 ok\n" FROM_ME
		"S: 250 ok\n" TO_ALICE "S: 250 ok\n" TO_BOB "S: 251 forwarded\n" DATA "S: 354 go\n" HELLO_TEXT TAKEN QUIT,
		"ready, done refused@rcpt 550 / later@rcpt 450, ready, done sent@end 250 2.0.0 / sent@end 250 2.0.0, ready, close", two_twice},
	{"none taken, DATA refused with them", EHLO_PIPE FROM_ME TO_ALICE DATA "S: 250 ok\nS: 550 5.1.1 no\nS: 503 5.5.1 no recipients\n" "C: RSET\n"
		FROM_ME TO_ALICE DATA
		"S: 250 ok\nS: 250 ok\nS: 252 perhaps\nS: 354 go\n" HELLO_TEXT TAKEN QUIT,
		"ready, done refused@rcpt 550 5.1.1, ready, done sent@end 250 2.0.0, ready, close", twice},
	{"none taken, DATA taken", EHLO_PIPE FROM_ME TO_ALICE DATA "S: 250 ok\nS: 550 5.1.1 no\nS: 354 go\nC: .\nS: 554 5.5.1 no valid recipients\n" QUIT,
		"ready, done refused@rcpt 550 5.1.1, ready, close", NULL},
	{"none taken, DATA taken, even the empty message", EHLO_PIPE FROM_ME TO_ALICE DATA "S: 250 ok\nS: 450 no\nS: 354 go\nC: .\nS: 250 ok\n" QUIT,
		"ready, done later@rcpt 450, ready, close", NULL},
	{"MAIL refused", EHLO_MIN FROM_ME "S: 550 5.7.1 not you\n" QUIT, "ready, done refused@mail 550 5.7.1, ready, close", NULL},
	{"MAIL refused, pipelined", EHLO_PIPE FROM_ME TO_ALICE DATA "S: 451 4.3.0 later\nS: 503 no MAIL\nS: 503 no RCPT\n" QUIT,
		"ready, done later@mail 451 4.3.0, ready, close", NULL},
	{"MAIL refused, pipelined, DATA taken all the same", EHLO_PIPE FROM_ME TO_ALICE DATA "S: 550 no\nS: 250 ok\nS: 354 go\nC: .\nS: 250 ok\n" QUIT,
		"ready, done refused@mail 550, ready, close", NULL},
	{"DATA refused", EHLO_MIN UP_TO_DATA "S: 554 5.7.1 no\n" QUIT, "ready, done refused@data 554 5.7.1, ready, close", NULL},
	{"the message refused", EHLO_MIN UP_TO_DATA "S: 354 go\n" HELLO_TEXT "S: 554 5.7.1 spam\n" QUIT,
		"ready, done refused@end 554 5.7.1, ready, close", NULL},
	{"the message put off", EHLO_MIN UP_TO_DATA "S: 354 go\n" HELLO_TEXT "S: 451 4.3.0 disk\n" QUIT,
		"ready, done later@end 451 4.3.0, ready, close", NULL},
	{"any 3xx is a go-ahead", EHLO_MIN UP_TO_DATA "S: 353 go\n" HELLO_TEXT TAKEN QUIT, READY_DONE, NULL},
	{"dots", EHLO_MIN UP_TO_DATA "S: 354 go\nC: ..\nC: ...\nC: ..x\nC: a.\nC: \nC: ..\nC: .\n" TAKEN QUIT, READY_DONE, dotted},
	{"an empty message", EHLO_MIN UP_TO_DATA "S: 354 go\nC: .\n" TAKEN QUIT, READY_DONE, nothing},
	{"every parameter", EHLO_WITH("S: 250-PIPELINING\nS: 250-SIZE 1000\nS: 250-8BITMIME\nS: 250-SMTPUTF8\nS: 250-REQUIRETLS\nS: 250 DSN\n")
		"C: MAIL FROM:<me@client.test> SIZE=21 BODY=8BITMIME SMTPUTF8 REQUIRETLS RET=HDRS ENVID=a+2Bb+3Dc+20d\n"
		"C: RCPT TO:<alice@mailroom.test> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;al+2Bice@x.test\n"
		"C: RCPT TO:<b\xc3\xb6@mailroom.test> NOTIFY=NEVER\n" DATA "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\n" HELLO_TEXT TAKEN QUIT,
		"ready, done sent@end 250 2.0.0 dsn / sent@end 250 2.0.0 dsn, ready, close", every_parameter},
	{"parameters that would break the line stay away", EHLO_WITH("S: 250 DSN\n") "C: MAIL FROM:<me@client.test> RET=FULL\nS: 250 ok\n"
		TO_ALICE "S: 250 ok\n"
		TO_BOB "S: 250 ok\n" DATA "S: 354 go\n" HELLO_TEXT TAKEN QUIT,
		"ready, done sent@end 250 2.0.0 dsn / sent@end 250 2.0.0 dsn, ready, close", bad_parameters},
	{"8-bit text to a server that does not say it takes it", EHLO_MIN UP_TO_DATA "S: 354 go\nC: Subject: x\nC: \nC: h\xe9llo\nC: .\n" TAKEN QUIT,
		READY_DONE, eight},
	{"BDAT", EHLO_WITH("S: 250-PIPELINING\nS: 250-BINARYMIME\nS: 250 CHUNKING\n") "C: MAIL FROM:<me@client.test> BODY=BINARYMIME\n"
		TO_ALICE "S: 250 ok\nS: 250 ok\n"
		"C: BDAT 4\nc: a\\r\\n.\nC: BDAT 4\nc: b\\nc\\r\nC: BDAT 1 LAST\nc: d\nS: 250 4\nS: 250 4\n" TAKEN QUIT, READY_DONE, binary},
	{"BDAT, step by step, nothing behind the last piece", EHLO_WITH("S: 250-BINARYMIME\n"
		"S: 250 CHUNKING\n") "C: MAIL FROM:<me@client.test> BODY=BINARYMIME\nS: 250 ok\n"
		TO_ALICE "S: 250 ok\nC: BDAT 4\nc: a\\r\\n.\nS: 250 4\nC: BDAT 4\nc: b\\nc\\r\nS: 250 4\nC: BDAT 1\nc: d\nS: 250 1\nC: BDAT 0 LAST\n"
		TAKEN QUIT, READY_DONE,
		binary_empty_last},
	{"BDAT, nobody taken", EHLO_WITH("S: 250-PIPELINING\nS: 250-BINARYMIME\nS: 250 CHUNKING\n") "C: MAIL FROM:<me@client.test> BODY=BINARYMIME\n" TO_ALICE
		"S: 250 ok\nS: 550 no\n" QUIT, "ready, done refused@rcpt 550, ready, close", binary},
	{"BDAT, refused in the middle", EHLO_WITH("S: 250-BINARYMIME\nS: 250 CHUNKING\n") "C: MAIL FROM:<me@client.test> BODY=BINARYMIME\nS: 250 ok\n"
		TO_ALICE "S: 250 ok\nC: BDAT 4\nc: a\\r\\n.\nS: 552 5.3.4 too big\n" QUIT, "ready, done refused@body 552 5.3.4, ready, close", binary},
	{"BDAT, refused in the middle, pipelined", EHLO_WITH("S: 250-PIPELINING\nS: 250-BINARYMIME\n"
		"S: 250 CHUNKING\n") "C: MAIL FROM:<me@client.test> BODY=BINARYMIME\n"
		TO_ALICE "S: 250 ok\nS: 250 ok\nC: BDAT 4\nc: a\\r\\n.\nC: BDAT 4\nc: b\\nc\\r\nC: BDAT 1 LAST\nc: d\nS: 451 4.3.0 disk\nS: 503 no\n"
		"S: 503 no\n" QUIT,
		"ready, done later@body 451 4.3.0, ready, close", binary},
	{"binary, and no BDAT", EHLO_WITH("S: 250 8BITMIME\n") QUIT, "ready, done unable@mail binary, ready, close", binary},
	{"header beyond ASCII, and no SMTPUTF8", EHLO_MIN QUIT, "ready, done unable@mail smtputf8, ready, close", utf8},
	{"sender beyond ASCII, and no SMTPUTF8", EHLO_MIN QUIT, "ready, done unable@mail smtputf8, ready, close", utf8_sender},
	{"one address beyond ASCII, and no SMTPUTF8", EHLO_MIN FROM_ME "S: 250 ok\n" TO_BOB "S: 250 ok\n" DATA "S: 354 go\n" HELLO_TEXT TAKEN QUIT,
		"ready, done unable@rcpt smtputf8 / sent@end 250 2.0.0, ready, close", utf8_address},
	{"domains beyond ASCII, and no SMTPUTF8", EHLO_MIN "C: MAIL FROM:<me@xn--bcher-kva.test>\nS: 250 ok\nC: RCPT TO:<alice@xn--bcher-kva.test>\nS: 250 ok\n"
		"C: RCPT TO:<bob@xn--bcher-kva.test>\nS: 250 ok\n" DATA "S: 354 go\n" HELLO_TEXT TAKEN QUIT,
		"ready, done sent@end 250 2.0.0 / sent@end 250 2.0.0, ready, close", utf8_domains},
	{"domains beyond ASCII, and SMTPUTF8", EHLO_WITH("S: 250 SMTPUTF8\n") "C: MAIL FROM:<me@b\xc3\xbc" "cher.test> SMTPUTF8\nS: 250 ok\n"
		"C: RCPT TO:<alice@b\xc3\xbc" "cher.test>\nS: 250 ok\nC: RCPT TO:<bob@b\xc3\xbc" "cher.test>\nS: 250 ok\n" DATA "S: 354 go\n" HELLO_TEXT TAKEN QUIT,
		"ready, done sent@end 250 2.0.0 / sent@end 250 2.0.0, ready, close", utf8_domains},
	{"no REQUIRETLS", EHLO_WITH("S: 250 REQUIRETLS\n") QUIT, "ready, done unable@mail requiretls, ready, close", require_tls},
	{"too big", EHLO_WITH("S: 250 SIZE 1000\n") QUIT, "ready, done unable@mail size, ready, close", big},
	{"no limit on the size", EHLO_WITH("S: 250 SIZE 0\n") "C: MAIL FROM:<me@client.test> SIZE=1001\nS: 250 ok\n" TO_ALICE "S: 250 ok\n" DATA
		"S: 354 go\n" HELLO_TEXT TAKEN QUIT,
		READY_DONE, big},
	{"a lone LF never leaves", EHLO_MIN UP_TO_DATA "S: 354 go\n", "ready, done unable@body binary, failed unable@body binary", bare},
	{"addresses that are none never leave", EHLO_MIN FROM_ME "S: 250 ok\n" TO_BOB "S: 250 ok\n" DATA "S: 354 go\n" HELLO_TEXT TAKEN QUIT,
		"ready, done unable@rcpt / sent@end 250 2.0.0 / unable@rcpt, ready, close", bad_addresses},
	{"a sender that is none never leaves", EHLO_MIN QUIT, "ready, done unable@mail, ready, close", bad_sender},
	{"the body cannot be had", EHLO_MIN UP_TO_DATA "S: 354 go\n", "ready, done lost@body, failed lost@body", no_body},
};

static void test_conversations(void **state)
{
	(void)state;
	script_rows(rows, sizeof(rows) / sizeof(rows[0]));
}

static void tls_must(struct fake_out *f)
{
	f->tls = SMTP_OUT_TLS_MUST;
}

static void tls_never(struct fake_out *f)
{
	f->tls = SMTP_OUT_TLS_NEVER;
}

static void auth(struct fake_out *f)
{
	f->want_auth = true;
}

static void auth_no_initial(struct fake_out *f)
{
	f->want_auth = true;
	f->auth_initial = false;
}

static void auth_login(struct fake_out *f)
{
	auth_no_initial(f);
	f->mechanism = "LOGIN";
}

static void auth_cancel(struct fake_out *f)
{
	auth_login(f);
	f->auth_cancel = true;
}

#define EHLO_TLS EHLO_WITH("S: 250-STARTTLS\nS: 250 PIPELINING\n")
#define MAIL_GOES FROM_ME TO_ALICE DATA "S: 250 ok\nS: 250 ok\nS: 354 go\n" HELLO_TEXT TAKEN QUIT
#define MAIL_GOES_STEPS FROM_ME "S: 250 ok\n" TO_ALICE "S: 250 ok\n" DATA "S: 354 go\n" HELLO_TEXT TAKEN QUIT
#define PLAIN_TEXT "AGFsaWNlAHdvbmRlcmxhbmQ="

static const struct out_row hellos[] = {
	{"TLS, and what was offered before it is forgotten", EHLO_TLS "C: STARTTLS\nS: 220 go\nC: EHLO client.test\nS: 250 mx.test\n" MAIL_GOES_STEPS,
		"tls, " READY_DONE, NULL},
	{"TLS is not offered again", EHLO_TLS "C: STARTTLS\nS: 220 go\nC: EHLO client.test\nS: 250-mx.test\nS: 250-STARTTLS\nS: 250 PIPELINING\n"
		MAIL_GOES, "tls, " READY_DONE, tls_must},
	{"TLS refused for now, and not needed", EHLO_TLS "C: STARTTLS\nS: 454 4.7.0 not now\n" MAIL_GOES, READY_DONE, NULL},
	{"TLS refused, and not needed", EHLO_TLS "C: STARTTLS\nS: 502 what?\n" MAIL_GOES, READY_DONE, NULL},
	{"TLS refused, and needed", EHLO_TLS "C: STARTTLS\nS: 454 4.7.0 not now\n", "failed no-tls@starttls 454 4.7.0", tls_must},
	{"TLS not offered, and needed", EHLO_PIPE, "failed no-tls@starttls", tls_must},
	{"TLS not wanted", EHLO_TLS MAIL_GOES, READY_DONE, tls_never},
	{"text behind the 220", EHLO_TLS "C: STARTTLS\nS: 220 go\nS: 250-mx.test\nS: 250 PIPELINING\n", "failed garbled@starttls", NULL},
	{"a byte behind the 220", EHLO_TLS "C: STARTTLS\nS: 220 go\ns: 2\n", "failed garbled@starttls", NULL},
	{"TLS does not come", EHLO_TLS "C: STARTTLS\nS: 220 go\n", "tls", NULL},
	{"HELO", "S: 220 mx.test\nC: EHLO client.test\nS: 502 5.5.1 what?\nC: HELO client.test\nS: 250 mx.test\n" MAIL_GOES_STEPS, READY_DONE, NULL},
	{"no HELO where TLS is needed", "S: 220 mx.test\nC: EHLO client.test\nS: 502 5.5.1 what?\n", "failed no-tls@ehlo 502 5.5.1", tls_must},
	{"HELO under TLS", EHLO_TLS "C: STARTTLS\nS: 220 go\nC: EHLO client.test\nS: 500 what?\nC: HELO client.test\nS: 250 mx.test\n"
		MAIL_GOES_STEPS, "tls, " READY_DONE, tls_must},
	{"no HELO where one has to sign in", "S: 220 mx.test\nC: EHLO client.test\nS: 502 what?\nC: HELO client.test\nS: 250 mx.test\n",
		"failed no-auth@auth", auth},
	{"HELO refused", "S: 220 mx.test\nC: EHLO client.test\nS: 550 no\nC: HELO client.test\nS: 550 5.7.1 no\n", "failed refused@ehlo 550 5.7.1", NULL},
	{"EHLO put off", "S: 220 mx.test\nC: EHLO client.test\nS: 450 4.3.2 busy\n", "failed later@ehlo 450 4.3.2", NULL},
	{"greeting refuses", "S: 554 5.3.2 no mail here\n", "failed refused@greeting 554 5.3.2", NULL},
	{"greeting puts off", "S: 450 not now\n", "failed later@greeting 450", NULL},
	{"greeting of several lines", "S: 220-mx.test\nS: 220-welcome\nS: 220 you\nC: EHLO client.test\nS: 250 mx.test\n" MAIL_GOES_STEPS, READY_DONE, NULL},
	{"PLAIN", EHLO_WITH("S: 250 AUTH PLAIN login\n") "C: AUTH PLAIN " PLAIN_TEXT "\nS: 235 2.7.0 you are\n" MAIL_GOES_STEPS, "auth PLAIN LOGIN, "
		READY_DONE, auth},
	{"PLAIN, without an initial response", EHLO_WITH("S: 250 AUTH PLAIN\n") "C: AUTH PLAIN\nS: 334\nC: " PLAIN_TEXT "\nS: 235 2.7.0 you are\n"
		MAIL_GOES_STEPS,
		"auth PLAIN, step '', " READY_DONE, auth_no_initial},
	{"LOGIN, in the old spelling", EHLO_WITH("S: 250-AUTH=LOGIN PLAIN\nS: 250 AUTH LOGIN PLAIN\n") "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: YWxpY2U=\n"
		"S: 334 UGFzc3dvcmQ6\nC: d29uZGVybGFuZA==\nS: 235 ok\n" MAIL_GOES_STEPS, "auth LOGIN PLAIN, step 'Username:', step 'Password:', "
		READY_DONE, auth_login},
	{"sign-in refused", EHLO_WITH("S: 250 AUTH PLAIN\n") "C: AUTH PLAIN " PLAIN_TEXT "\nS: 535 5.7.8 no\n",
		"auth PLAIN, failed refused@auth 535 5.7.8", auth},
	{"sign-in put off", EHLO_WITH("S: 250 AUTH PLAIN\n") "C: AUTH PLAIN " PLAIN_TEXT "\nS: 454 4.7.0 later\n",
		"auth PLAIN, failed later@auth 454 4.7.0", auth},
	{"sign-in given up", EHLO_WITH("S: 250 AUTH LOGIN\n") "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: *\nS: 501 5.7.0 as you like\n" MAIL_GOES_STEPS,
		"auth LOGIN, step 'Username:', auth LOGIN, " READY_DONE, auth_cancel},
	{"a challenge that is no base64", EHLO_WITH("S: 250 AUTH PLAIN\n") "C: AUTH PLAIN " PLAIN_TEXT "\nS: 334 what?\n",
		"auth PLAIN, failed garbled@auth", auth},
	{"sign-in is not offered", EHLO_WITH("S: 250 AUTH\n"), "failed no-auth@auth", auth},
};

static void test_hellos(void **state)
{
	(void)state;
	script_rows(hellos, sizeof(hellos) / sizeof(hellos[0]));
}

static void test_offers(void **state)
{
	struct fake_out f;

	(void)state;
	fake_out_init(&f);
	f.mails = 0;
	f.stay = true;
	f.tls = SMTP_OUT_TLS_NEVER;
	fake_out_start(&f);
	assert_int_equal(smtp_out_rcpt_max(f.s), 100);
	(void)script_run(&f, "offers",
		"S: 220 mx1.mailroom.test ESMTP\nS: \nC: EHLO client.test\nS: 250-mx.test PIPELINING SIZE=7\nS: 250-size=52428800\nS: 250-starttls\n"
		"S: 250-DSN\n"
		"S: 250-LIMITS MAILMAX=5 RCPTMAX=50 RCPTDOMAINMAX=1 MAILMAX=x\n"
		"S: 250 AUTH PLAIN NOT/ONE x_OAUTH2 PLAIN THISISFARTOOLONGFORAMECHANISM\n", SCRIPT_BYTES, true);
	assert_string_equal(buf_cstr(&f.log), "ready");
	assert_true(smtp_out_has_starttls(f.s) && smtp_out_has_dsn(f.s));
	assert_int_equal(smtp_out_size_max(f.s), 52428800);
	assert_int_equal(smtp_out_rcpt_max(f.s), 50);
	assert_int_equal(smtp_out_mail_max(f.s), 5);
	assert_true(span_eq(smtp_out_server_name(f.s), SPAN_LIT("mx1.mailroom.test")));
	assert_true(span_eq(smtp_out_mechanisms(f.s), SPAN_LIT("PLAIN X_OAUTH2")));
	fake_out_clear(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conversations),
		cmocka_unit_test(test_hellos),
		cmocka_unit_test(test_offers),
	};

	return cmocka_run_group_tests_name("smtp-out", tests, NULL, NULL);
}
