#!/usr/bin/env python3
"""Finds what is banned in src and the preprocessor (src/base/banned.h) cannot see.

usage: check-banned.py [--src DIR] | --selftest     exit 1 when a line offends
"""
import os
import re

import source_check

# Fixed character arrays in structs of headers, (file, struct, member): why it may stand. A text that somebody else sizes is never here.
FIXED_TEXT = {
    ("answer/explain.h", "explanation", "enhanced"): "d.ddd.ddd is the longest (RFC 3463 2); only compared with codes of the catalogue",
    ("answer/explain_scan.h", "scan_reply", "enhanced"): "as in explanation; a longer POP3 response code is none that we know, cut or not",
    ("base/err.h", "err", "words"): "short-lived, on the stack of whoever asks; words for a person may be cut",
    ("proto/smtp/smtp_internal.h", "smtp_in", "ref"): "the owner's own session name, at most 16 bytes by contract",
    ("proto/smtp/smtp_internal.h", "smtp_in", "mechanism"): "SASL names have at most 20 characters (RFC 4422 3.1), longer ones are refused",
    ("proto/smtp/smtp_out_internal.h", "smtp_out_reply", "enhanced"): "d.ddd.ddd is the longest (RFC 3463 2); anything longer is none",
    ("role/dns_answer.h", "dns_answer", "canonical"): "a name of the DNS, 255 bytes at most (RFC 1035 2.3.4)",
    ("role/dns_answer.h", "dns_answer", "words"): "words for the log, may be cut",
    ("role/relay.h", "relay_failure", "enhanced"): "d.ddd.ddd is the longest (RFC 3463 2)",
    ("role/relay.h", "relay_failure", "host"): "a host name, 255 bytes at most",
    ("role/relay.h", "relay_failure", "address"): "a numeric IP address and a port",
    ("role/relay.h", "relay_failure", "tls"): "words for the log, may be cut",
    ("role/relay.h", "relay_failure", "words"): "a remote's words, cut by the engine already",
    ("role/relay.h", "relay_conn", "address"): "a numeric IP address and a port",
    ("role/relay.h", "relay_conn", "tls_words"): "words for the log, may be cut",
    ("role/relay_route.h", "relay_host", "name"): "a host name, 255 bytes at most; longer ones are refused",
    ("role/relay_tls.h", "relay_tls_state", "words"): "words for the log, may be cut",
    ("role/relay_tls_internal.h", "relay_tls_host", "words"): "words for the log, may be cut",
    ("role/role_store_rates.h", "role_rates_said", "limit"): "a number and words of rate_kind.c, far shorter",
    ("role/role_store_rates.h", "role_rates_said", "retry"): "a number and a unit",
    ("role/worker.h", "session", "ref"): "the session name that we make ourselves",
    ("role/worker.h", "session", "peer_text"): "a numeric IP address from inet_ntop, 45 characters at most",
    ("store/store_internal.h", "store_spool", "name"): "a decimal 64-bit number",
}
# SQL that is no literal at the call, (file, argument): why it may stand.
SQL_ARGUMENTS = {
    ("store/store_sql.c", "literal"): "one wrapper, whose callers pass string constants of that file",
    ("store/store_sql.c", "q->schema->texts[statement]"): "the table of statements, all string constants",
}
NEVER = {
    "system": "runs a shell",
    "popen": "runs a shell",
    "execl": "use execv with an argument array",
    "execlp": "use execv with an argument array",
    "execle": "use execve with an argument array",
    "execvp": "searches PATH",
    "execvpe": "searches PATH",
}
NETWORK_NEVER = {
    "getaddrinfo": "blocks, reads files and opens sockets",
    "gethostbyname": "blocks, reads files and opens sockets",
    "syslog": "opens a socket of its own; roles log through base/log",
    "openlog": "opens a socket of its own; roles log through base/log",
}
# what a role that parses bytes from the network is made of
NETWORK = re.compile(r"^(base|loop|ipc|mail|cause|proto|policy)/|^role/(mx|user|relay|dns|fetch|names|session|web|worker|role_(mx|user|relay|dns|fetch))[^/]*$")

TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
CALL = re.compile(r"(?<![\w.])(?<!->)([A-Za-z_]\w*)\s*\(")
SQL_CALL = re.compile(r"\b(sqlite3_(?:exec|prepare(?:16)?(?:_v[23])?))\s*\(")


def blank(m, keep_strings):
    """Comments become blanks; strings keep their quotes (and, where wanted, their words) so that offsets and lines stay."""
    s = m.group(0)
    if s[0] == "/" or not keep_strings:
        inner = "".join(c if c == "\n" else " " for c in s)
        return inner if s[0] == "/" else s[0] + inner[1:-1] + s[-1]
    return s


def line_of(text, at):
    return text.count("\n", 0, at) + 1


def arguments(text, at):
    """The arguments of the call whose opening parenthesis is right before `at`."""
    depth, args, start = 0, [], at
    for i in range(at, len(text)):
        c = text[i]
        if c in "([{":
            depth += 1
        elif c in ")]}":
            if depth == 0:
                return args + [text[start:i].strip()]
            depth -= 1
        elif c == "," and depth == 0:
            args.append(text[start:i].strip())
            start = i + 1
    return args


def check_sql(path, text, used):
    for m in SQL_CALL.finditer(text):
        where = f"{path}:{line_of(text, m.start())}: {m.group(1)}"
        if not path.startswith("store/"):
            yield f"{where}: SQL outside src/store"
            continue
        args = arguments(text, m.end())
        sql = args[1] if len(args) > 1 else ""
        if re.fullmatch(r'("[^"]*"\s*)+', sql):
            continue
        if (path, sql) in SQL_ARGUMENTS:
            used.add((path, sql))
            continue
        yield f"{where}: the SQL text '{sql}' is no string literal and not in SQL_ARGUMENTS"


def check_calls(path, text):
    for m in CALL.finditer(text):
        name = m.group(1)
        reason = NEVER.get(name) or (NETWORK_NEVER.get(name) if NETWORK.search(path) else None)
        if reason:
            yield f"{path}:{line_of(text, m.start())}: {name}: {reason}"


def matching(text, at):
    depth = 0
    for i in range(at, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return i
    return len(text)


def check_members(path, text, used):
    for m in re.finditer(r"\b(?:struct|union)\s+(\w+)?\s*\{", text):
        body_at = m.end()
        body = text[body_at:matching(text, m.end() - 1)]
        # inner structs with a name are found by themselves; parameters of function pointers are no members
        body = re.sub(r"\b(?:struct|union)\s+\w+\s*\{[^{}]*\}", lambda k: re.sub(r"[^\n]", " ", k.group(0)), body)
        while True:
            flat = re.sub(r"\([^()]*\)", lambda k: re.sub(r"[^\n]", " ", k.group(0)), body)
            if flat == body:
                break
            body = flat
        for member in re.finditer(r"\bchar\b([^;{}]*);", body):
            for name in re.finditer(r"(?<![\w*])(\w+)\s*\[[^\]]*\]", re.sub(r"\*[\s\w]*", "*", member.group(1))):
                key = (path, m.group(1), name.group(1))
                if key in FIXED_TEXT:
                    used.add(key)
                    continue
                line = line_of(text, body_at + member.start())
                yield f"{path}:{line}: struct {m.group(1)}: char {name.group(1)}[]: a fixed text in a struct that lives, not in FIXED_TEXT"


def check(src):
    bad, used, files = [], set(), set()
    for place, _, names in sorted(os.walk(src)):
        for name in sorted(names):
            if not name.endswith((".c", ".h")):
                continue
            full = os.path.join(place, name)
            path = os.path.relpath(full, src).replace(os.sep, "/")
            files.add(path)
            if path == "base/banned.h":
                continue
            with open(full, encoding="utf-8", errors="replace") as f:
                text = f.read()
            bare = TOKEN.sub(lambda m: blank(m, False), text)
            bad += check_sql(path, bare, used)
            bad += check_calls(path, bare)
            if name.endswith(".h"):
                bad += check_members(path, bare, used)
    for entry in list(FIXED_TEXT) + list(SQL_ARGUMENTS):
        if entry[0] in files and entry not in used:
            bad.append(f"{entry[0]}: {entry[1:]} is allowed in tools/check-banned.py but no longer there")
    return bad, len(files)


def selftest():
    good = {
        "cli/a.c": 'int f(void) { return getaddrinfo(0, 0, 0, 0); } /* system(x) popen(y) */\nconst char *s = "system(";\n',
        "store/a.c": 'void f(void) { sqlite3_exec(db, "BEGIN" " IMMEDIATE", 0, 0, 0); x->system(1); file_system(2); }\n',
        "mail/a.h": "struct a { const char *name, *const names[7]; int (*f)(char out[14]); uint8_t key[32]; };\nchar *num(char out[14]);\n",
    }
    planted = [
        ("mail/b.c", "int f(void) { return system (cmd); }\n"),
        ("role/b.c", 'void f(void) { popen("ls", "r"); }\n'),
        ("role/b.c", 'void f(void) { execlp("ls", "ls", 0); }\n'),
        ("role/mx.c", "void f(void) { getaddrinfo(a, b, c, d); }\n"),
        ("proto/smtp/b.c", 'void f(void) { syslog(1, "x"); }\n'),
        ("role/b.c", 'void f(void) { sqlite3_exec(db, "BEGIN", 0, 0, 0); }\n'),
        ("store/b.c", "void f(void) { sqlite3_prepare_v2(db, buf_cstr(&b), -1, &st, 0); }\n"),
        ("store/b.c", 'void f(void) { sqlite3_exec(db, on ? "A" : b, 0, 0, 0); }\n'),
        ("mail/b.h", "struct b {\n\tint n;\n\tchar name[64];\n};\n"),
        ("mail/b.h", "struct b {\n\tunsigned char *x, name[64];\n};\n"),
        ("mail/b.h", "struct b {\n\tstruct c { char name[64]; } c;\n};\n"),
        ("mail/b.h", "struct b {\n\tunion { char name[64]; int n; };\n};\n"),
        ("base/err.h", "struct err { int n; };\n"),
    ]
    return source_check.selftest(check, good, planted, "uses")


source_check.main(__doc__, check, selftest, "sources", "files, nothing banned")
