#!/usr/bin/python3
"""Makes ipc_messages.h and ipc_messages.c (structs, tables, record readers) from src/ipc/messages.def; --doc prints docs/MESSAGES.md.

usage: gen-messages.py DEF OUT.h OUT.c | gen-messages.py --doc DEF | gen-messages.py --check-doc DEF FILE
"""
import re
import sys

ROLES = ["none", "parent", "mx", "user", "auth", "keys", "store", "dns", "relay", "fetch"]
INTS = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "bool": 1}
CTYPES = {"u8": "uint8_t", "u16": "uint16_t", "u32": "uint32_t", "u64": "uint64_t", "bool": "bool", "span": "struct span",
          "list": "struct msg_list", "fd": "int"}
KEYWORDS = {"auto", "break", "case", "const", "continue", "default", "do", "else", "enum", "extern", "for", "goto", "if", "return", "signed", "static",
            "struct", "switch", "union", "void", "volatile", "while"}
FRAME_FDS_MAX = 4  # LIMIT_FRAME_FDS; the generated C asserts that it is the same


def die(line, words):
    sys.exit("messages.def:%d: %s" % (line, words))


class Field:
    def __init__(self, kind, name, maximum=0, record=None):
        self.kind, self.name, self.max, self.record = kind, name, maximum, record

    def bytes_max(self):
        if self.kind in INTS:
            return INTS[self.kind]
        if self.kind == "span":
            return 4 + self.max
        if self.kind == "list":
            return 4 + self.max * self.record.bytes_max()
        return 0

    def words(self):
        if self.kind == "span":
            return "%s: up to %d bytes" % (self.name, self.max)
        if self.kind == "list":
            return "%s: up to %d x %s" % (self.name, self.max, self.record.name)
        return "%s: %s" % (self.name, self.kind)


class Part:
    """A record or a message."""

    def __init__(self, name, line):
        self.name, self.line, self.fields = name, line, []
        self.sender, self.receiver, self.grant, self.secret = [], [], False, False

    def bytes_max(self):
        return sum(f.bytes_max() for f in self.fields)

    def fds(self):
        return [f for f in self.fields if f.kind == "fd"]


class Parser:
    def __init__(self, path):
        self.tokens = []
        with open(path, encoding="ascii") as f:
            for number, text in enumerate(f, 1):
                for word in re.findall(r"->|[{},]|[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[^\s]", text.split("#", 1)[0]):
                    self.tokens.append((number, word))
        self.at, self.records, self.messages = 0, {}, []
        while self.at < len(self.tokens):
            self.part()

    def line(self):
        return self.tokens[min(self.at, len(self.tokens) - 1)][0]

    def take(self, want=None, pattern=None):
        if self.at >= len(self.tokens):
            die(self.line(), "ends too early")
        line, word = self.tokens[self.at]
        if want is not None and word != want:
            die(line, "expected '%s', found '%s'" % (want, word))
        if pattern is not None and not re.fullmatch(pattern, word):
            die(line, "'%s' does not fit here" % word)
        self.at += 1
        return word

    def peek(self):
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def roles(self):
        found = []
        while True:
            word = self.take(pattern="[a-z]+")
            if word not in ROLES[1:]:
                die(self.line(), "no role '%s'" % word)
            found.append(word)
            if self.peek() != ",":
                return found
            self.take(",")

    def part(self):
        what, line = self.take(), self.line()
        if what == "record":
            part = Part(self.take(pattern="[a-z][a-z0-9_]*"), line)
            if part.name in self.records:
                die(line, "record '%s' is there already" % part.name)
            self.body(part, inside_record=True)
            self.records[part.name] = part
        elif what == "message":
            part = Part(self.take(pattern="[A-Z][A-Z0-9_]*"), line)
            if any(m.name == part.name for m in self.messages):
                die(line, "message '%s' is there already" % part.name)
            part.sender = self.roles()
            self.take("->")
            part.receiver = self.roles()
            while self.peek() in ("grant", "secret"):
                setattr(part, self.take(), True)
            self.body(part, inside_record=False)
            self.check(part)
            self.messages.append(part)
        else:
            die(line, "expected 'record' or 'message', found '%s'" % what)

    def body(self, part, inside_record):
        self.take("{")
        while self.peek() != "}":
            kind, line = self.take(pattern="[a-z0-9]+"), self.line()
            if kind not in CTYPES:
                die(line, "no kind '%s'" % kind)
            if inside_record and kind in ("list", "fd"):
                die(line, "a record holds no %s" % kind)
            record = maximum = None
            if kind == "list":
                name = self.take()
                record = self.records.get(name) or die(line, "no record '%s' before this line" % name)
            if kind in ("span", "list"):
                maximum = int(self.take(pattern="[1-9][0-9]*"))
            field = Field(kind, self.take(pattern="[a-z_][a-z0-9_]*"), maximum or 0, record)
            if any(f.name == field.name for f in part.fields):
                die(line, "field '%s' is there already" % field.name)
            part.fields.append(field)
        self.take("}")
        if not any(f.kind != "fd" for f in part.fields):
            die(part.line, "'%s' has no field" % part.name)

    def check(self, part):
        sessions = [f for f in part.fields if f.name == "session"]
        if sessions and sessions[0].kind != "u64":
            die(part.line, "the session of '%s' is not a u64" % part.name)
        if part.grant and not sessions:
            die(part.line, "'%s' needs a grant and names no session" % part.name)
        if len(part.fds()) > FRAME_FDS_MAX:
            die(part.line, "'%s' has more than %d descriptors" % (part.name, FRAME_FDS_MAX))


def struct_text(tag, part):
    rows = ["struct %s {" % tag]
    rows += ["\t%s %s;" % (CTYPES[f.kind], f.name) for f in part.fields]
    return "\n".join(rows + ["};", ""])


def member(message):
    """of union msg_any; a C keyword gets an underscore behind it"""
    name = message.name.lower()
    return name + "_" if name in KEYWORDS else name


def mask(roles):
    return " | ".join("1u << ROLE_%s" % r.upper() for r in roles)


def header(defs):
    out = ["/* Made by tools/gen-messages.py from src/ipc/messages.def. */", "#ifndef MAILROOM_IPC_MESSAGES_H", "#define MAILROOM_IPC_MESSAGES_H", "",
           '#include "ipc/frame.h"', "",
           "enum role_id {", *["\tROLE_%s," % r.upper() for r in ROLES], "\tROLE_COUNT,", "};", "",
           "enum msg_type {", "\tMSG_NONE,", *["\tMSG_%s," % m.name for m in defs.messages], "\tMSG_COUNT,", "};", ""]
    for r in defs.records.values():
        out += [struct_text("rec_" + r.name, r),
                "extern const struct msg_layout rec_%s_layout;" % r.name,
                "/* takes the next record off a list that msg_decode has checked; false: no more */",
                "bool rec_%s_next(struct span *cursor, struct rec_%s *out);" % (r.name, r.name),
                "/* adds one record to a list under way */",
                "void rec_%s_add(struct buf *out, const struct rec_%s *r);" % (r.name, r.name), ""]
    out += [struct_text("msg_" + m.name.lower(), m) for m in defs.messages]
    out += ["union msg_any {", *["\tstruct msg_%s %s;" % (m.name.lower(), member(m)) for m in defs.messages], "};", "",
            '#include "ipc/codec.h"', "", "#endif", ""]
    return "\n".join(out)


def field_rows(tag, part):
    rows = []
    for f in part.fields:
        record = "&rec_%s_layout" % f.record.name if f.record else "NULL"
        rows.append('\t{"%s", MSG_FIELD_%s, %d, offsetof(struct %s, %s), %s},' % (f.name, f.kind.upper(), f.max, tag, f.name, record))
    return rows


def source(defs):
    out = ["/* Made by tools/gen-messages.py from src/ipc/messages.def. */", '#include "ipc_messages.h"', "", "#include <stddef.h>", "",
           '#include "base/limits.h"', "",
           '_Static_assert(LIMIT_FRAME_FDS == %d, "tools/gen-messages.py counts descriptors");' % FRAME_FDS_MAX]
    for m in defs.messages:
        out.append('_Static_assert(%d + FRAME_HEADER_BYTES <= LIMIT_FRAME_BYTES, "%s at its longest is no legal frame");' % (m.bytes_max(), m.name))
    for r in defs.records.values():
        out.append('_Static_assert(sizeof(struct rec_%s) <= RECORD_STRUCT_MAX_BYTES, "record %s");' % (r.name, r.name))
    out += ["", "const char *const role_names[ROLE_COUNT] = {%s};" % ", ".join('"%s"' % r for r in ROLES), ""]
    for r in defs.records.values():
        out += ["static const struct msg_field rec_%s_fields[] = {" % r.name, *field_rows("rec_" + r.name, r), "};",
                'const struct msg_layout rec_%s_layout = {"%s", rec_%s_fields, %d, sizeof(struct rec_%s)};'
                % (r.name, r.name, r.name, len(r.fields), r.name), "",
                "bool rec_%s_next(struct span *cursor, struct rec_%s *out)" % (r.name, r.name), "{",
                "\treturn codec_record_next(&rec_%s_layout, cursor, out);" % r.name, "}", "",
                "void rec_%s_add(struct buf *out, const struct rec_%s *r)" % (r.name, r.name), "{",
                "\tcodec_record_add(&rec_%s_layout, out, r);" % r.name, "}", ""]
    for m in defs.messages:
        tag = "msg_" + m.name.lower()
        out += ["static const struct msg_field %s_fields[] = {" % tag, *field_rows(tag, m), "};"]
    out += ["", "const struct msg_info msg_infos[MSG_COUNT] = {"]
    for m in defs.messages:
        tag = "msg_" + m.name.lower()
        session = "offsetof(struct %s, session)" % tag if any(f.name == "session" for f in m.fields) else "MSG_NO_SESSION"
        out += ['\t[MSG_%s] = {{"%s", %s_fields, %d, sizeof(struct %s)}, %s, %s, %s, %s, %d, %d, %s},'
                % (m.name, m.name, tag, len(m.fields), tag, mask(m.sender), mask(m.receiver), str(m.grant).lower(), str(m.secret).lower(),
                   len(m.fds()), m.bytes_max(), session)]
    return "\n".join(out + ["};", ""])


def doc(defs):
    rows = ["# Frames between roles", "",
            "Made from `src/ipc/messages.def` by `tools/gen-messages.py --doc`; do not edit. Only the roles named may send and receive a frame;",
            "*grant*: only for a session that auth granted to this worker; *secret*: wiped from the buffers after use.", "",
            "| message | from | to | only | fields | descriptors | longest, bytes |", "|---|---|---|---|---|---|---|"]
    for m in defs.messages:
        only = ", ".join(w for w in ("grant", "secret") if getattr(m, w))
        fields = "; ".join(f.words() for f in m.fields if f.kind != "fd")
        rows.append("| %s | %s | %s | %s | %s | %s | %d |" % (m.name, " ".join(m.sender), " ".join(m.receiver), only, fields,
                                                             " ".join(f.name for f in m.fds()), m.bytes_max()))
    rows += ["", "| record | fields |", "|---|---|"]
    rows += ["| %s | %s |" % (r.name, "; ".join(f.words() for f in r.fields)) for r in defs.records.values()]
    return "\n".join(rows)


def main(args):
    if len(args) == 2 and args[0] == "--doc":
        print(doc(Parser(args[1])))
    elif len(args) == 3 and args[0] == "--check-doc":
        with open(args[2], encoding="ascii") as f:
            if f.read() != doc(Parser(args[1])) + "\n":
                sys.exit("%s is older than %s; `ninja docs-messages` writes it again" % (args[2], args[1]))
    elif len(args) == 3:
        defs = Parser(args[0])
        for path, text in ((args[1], header(defs)), (args[2], source(defs))):
            with open(path, "w", encoding="ascii") as f:
                f.write(text)
    else:
        sys.exit(__doc__)


main(sys.argv[1:])
