#!/usr/bin/env python3
"""Holds mailroom's MIME scanner against Python's email package: made-up messages, well formed and a little less so, in both.

usage: mime_diff.py MIME_TRY [--count N] [--seed S]     exit 1 when they differ

Python has to find the same parts with the same types and the same bytes; and the file name that Python finds must be among our candidates.
Where mailroom sees more on purpose (delimiters behind the closing one, fields behind a broken line) nothing is generated.
"""
import argparse
import email
import email.policy
import json
import os
import random
import subprocess
import sys
import tempfile

WORDS = ["text/plain", "text/html; charset=utf-8", "application/octet-stream", "image/png", "Application/PDF", "text/plain; charset=\"us-ascii\""]
NAMES = ["a.exe", "b c.zip", "semi;colon.doc", "quo\\\"te.exe", "x.tar.gz", "caf\u00e9.exe", "\u65e5\u672c.zip", "pa(ren).txt"]


def encoded_name(r, name):
    from urllib.parse import quote
    kind = r.randrange(5)
    plain = name.replace("\\\"", "\"")
    if not name.isascii() or kind == 0:
        q = quote(plain, safe="")
        if r.random() < 0.5 or len(q) < 6:
            return f"filename*=utf-8''{q}"
        cut = q.index("%") if "%" in q[2:] else len(q) // 2
        cut = max(1, cut)
        return f"filename*0*=utf-8''{q[:cut]}; filename*1*={q[cut:]}"
    if kind == 1 and all(c.isalnum() or c in ".-" for c in name):
        return f"filename={name}"
    if kind == 2:
        return f"filename=\r\n\t\"{name}\""
    return f"filename=\"{name}\""


def lines(r):
    return "".join(r.choice(["text\r\n", "--\r\n", "-- \r\n", "--x\r\n", "\r\n", "a=3Db\r\n", " indented\r\n", "Field: value\r\n", "UEsDBA==\r\n",
                             "-" * r.randrange(90) + "\r\n"]) for _ in range(r.randrange(6)))


def part(r, depth):
    kind = r.random()
    fields = []
    if r.random() < 0.3:
        fields.append("Subject: =?utf-8?q?x?=\r\n folded\r\n")
    if depth < 5 and kind < 0.35:
        boundary = "=_" + "".join(r.choice("abcXYZ019'()+_,-./:=?") for _ in range(r.randrange(1, 60))) + "z"
        spelled = "\"" + boundary + "\"" if r.random() < 0.8 or not boundary.strip("abcXYZ019").isalnum() else boundary
        fields.append(r.choice([f"Content-Type: multipart/mixed; boundary={spelled}\r\n",
                                f"CONTENT-TYPE: Multipart/Alternative;\r\n\tboundary={spelled}; x=y\r\n"]))
        inner = [part(r, depth + 1) for _ in range(r.randrange(1, 4))]
        body = (r.choice(["", "preamble\r\n"]) + "".join(f"--{boundary}{r.choice(['', ' ', '  '])}\r\n{p}\r\n" for p in inner) +
                f"--{boundary}--" + r.choice(["", "\r\n", "\r\nepilogue"]))
    elif depth < 5 and kind < 0.45:
        fields.append("Content-Type: message/rfc822\r\n")
        body = part(r, depth + 1)
    else:
        if r.random() < 0.8:
            fields.append(f"Content-Type: {r.choice(WORDS)}\r\n")
        if r.random() < 0.5:
            fields.append(f"Content-Disposition: {r.choice(['attachment', 'inline', 'Attachment'])}; {encoded_name(r, r.choice(NAMES))}\r\n")
        if r.random() < 0.3:
            fields.append(f"Content-Transfer-Encoding: {r.choice(['base64', 'quoted-printable', '7bit'])}\r\n")
        body = lines(r) + r.choice(["", "end", "end\r\n"])
    r.shuffle(fields)
    return "".join(fields) + "\r\n" + body


def walk(message, depth=0):
    """What Python sees: (depth, type, body bytes or None for what has parts, file name)."""
    payload = message.get_payload()
    parts = payload if isinstance(payload, list) else []
    text = None if parts else payload.encode("utf-8", "surrogateescape")
    yield depth, message.get_content_type(), text, message.get_filename()
    for p in parts:
        yield from walk(p, depth + 1)


def text_of(s):
    """mime_try shows bytes one by one."""
    return s.encode("latin-1").decode("utf-8")


def differs(data, ours):
    theirs = list(walk(email.message_from_bytes(data, policy=email.policy.compat32)))
    if [(t[0], t[1]) for t in theirs] != [(o["depth"], o["type"] + "/" + o["subtype"]) for o in ours]:
        return f"parts: Python {[t[:2] for t in theirs]}\nours: {[(o['depth'], o['type'], o['subtype']) for o in ours]}"
    for t, o in zip(theirs, ours):
        body = data[o["body"][0]:o["body"][1]]
        if t[2] is not None and t[2] != body:
            return f"body of {t[1]}: Python {t[2]!r}\nours: {body!r}"
        names = [text_of(n) for n in o["names"]]
        if t[3] is not None and " ".join(t[3].split()) not in [" ".join(n.split()) for n in names]:
            return f"name: Python {t[3]!r}, ours {names!r}"
    return None


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("mime_try")
    p.add_argument("--count", type=int, default=500)
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    parts = 0
    with tempfile.TemporaryDirectory() as place:
        paths = []
        for i in range(args.count):
            paths.append(os.path.join(place, str(args.seed + i)))
            with open(paths[-1], "wb") as f:
                f.write(part(random.Random(args.seed + i), 0).encode())
        shown = subprocess.run([args.mime_try, "--json"] + paths, stdout=subprocess.PIPE, check=True).stdout.decode("ascii").splitlines()
        if len(shown) != len(paths):
            print(f"{len(paths)} messages, {len(shown)} answers")
            return 1
        for path, line in zip(paths, shown):
            with open(path, "rb") as f:
                data = f.read()
            ours = json.loads(line)
            parts += len(ours)
            why = differs(data, ours)
            if why:
                print(f"seed {os.path.basename(path)}: {why}\n{data!r}")
                return 1
    print(f"{args.count} messages with {parts} parts: the same parts, bytes and names")
    return 0


sys.exit(main())
