#!/usr/bin/python3
"""No refusal without the catalogue.

check-catalogue.py [ROOT]      fails when C under ROOT/src (outside src/cause) has a string literal that is a 4xx or 5xx reply or
                               -ERR, or uses a cause in a protocol for which its entry has no words; warns about own entries that
                               no source uses
check-catalogue.py --selftest  shows on planted files that each of these is seen"""

import pathlib
import re
import sys
import tempfile

import yaml

# a comment, a string literal or a character constant; what else there is does not matter here
TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
REPLY = re.compile(r'(?:\\r\\n|\\n)?(?:[45][0-9][0-9](?:[ -]|$)|-ERR\b)|.*(?:\\r\\n|\\n)(?:[45][0-9][0-9][ -]|-ERR\b)', re.S)
CAUSE = re.compile(r'\bCAUSE_[A-Z0-9_]+\b')
NOT_IDS = {'CAUSE_NONE', 'CAUSE_COUNT', 'CAUSE_SMTP', 'CAUSE_SMTP_CLOSING', 'CAUSE_SMTP_AUTH', 'CAUSE_POP3', 'CAUSE_FORM_COUNT'}
ROOMS = {'src/proto/smtp/': {'smtp', 'smtp-closing', 'smtp-auth'}, 'src/proto/pop3/': {'pop3'}}
# these read other servers' replies: they know "-ERR" without ever saying it
READERS = ('src/conf/settings.def', 'src/answer/', 'src/cli/cli_explain.c', 'src/cli/cli_doctor', 'src/mail/words_tables.h')


def literals(text):
    """(line number, contents) of each string literal; neighbours that C joins are joined."""
    joined, end = [], None
    for m in TOKEN.finditer(text):
        if m.group(0)[0] != '"':
            if m.group(0)[0] == "'":
                end = None
            continue
        if joined and end is not None and not re.sub(r'/\*.*?\*/|//[^\n]*', '', text[end:m.start()], flags=re.S).strip():
            joined[-1][1] += m.group(0)[1:-1]
        else:
            joined.append([text.count('\n', 0, m.start()) + 1, m.group(0)[1:-1]])
        end = m.end()
    return joined


def sources(root):
    for path in sorted((root / 'src').rglob('*')):
        if path.suffix in ('.c', '.h', '.def') and path.is_file():
            yield path.relative_to(root).as_posix(), path.read_text(encoding='utf-8', errors='replace')


def entries(root):
    found = {}
    for path in (root / 'knowledge/causes').glob('*.yaml'):
        entry = yaml.safe_load(path.read_text())
        found['CAUSE_' + entry['slug'].upper().replace('-', '_')] = entry
    return found


def forms(entry, known):
    if 'shown-as' in entry:
        entry = known['CAUSE_' + entry['shown-as'].upper().replace('-', '_')]
    return set(entry.get('replies', {}))


def check(root):
    problems, warnings, used = [], [], set()
    known = entries(root)
    for name, text in sources(root):
        if name.startswith('src/cause/'):
            continue
        if not name.startswith(READERS):
            problems += [f'{name}:{line}: a reply text in C: "{words[:60]}"; refusals are written by cause_write_* from knowledge/causes'
                         for line, words in literals(text) if REPLY.match(words)]
        code = TOKEN.sub(lambda m: re.sub(r'[^\n]', ' ', m.group(0)), text)
        for m in CAUSE.finditer(code):
            if m.group(0) in NOT_IDS:
                continue
            line = text.count('\n', 0, m.start()) + 1
            used.add(m.group(0))
            if m.group(0) not in known:
                problems.append(f'{name}:{line}: {m.group(0)} has no entry in knowledge/causes')
                continue
            for room, wanted in ROOMS.items():
                if name.startswith(room) and not wanted & forms(known[m.group(0)], known):
                    problems.append(f'{name}:{line}: {m.group(0)} is used here but its entry has none of the replies {sorted(wanted)}')
    for cause, entry in sorted(known.items()):
        if entry.get('own', True) and cause not in used:
            warnings.append(f'{entry["slug"]}: no source uses it (own: false says that only explain knows it)')
        if not entry.get('own', True) and any(cause in text for name, text in sources(root) if name.startswith('src/proto/')):
            warnings.append(f'{entry["slug"]}: is own: false, but src/proto says it')
    return problems, warnings


def selftest():
    good_entry = 'slug: {}\nreplies:\n  {}: {{code: 550, enhanced: 5.1.1, text: "no"}}\n'
    plants = [
        ('src/proto/smtp/a.c', 'f("550 5.1.1 no");', True),
        ('src/proto/smtp/a.c', 'f("421-x" " y");', True),
        ('src/role/a.c', 'f("ok" "\\r\\n503 5.5.1 x");', True),
        ('src/role/a.c', 'f("-ERR no\\r\\n");', True),
        ('src/proto/pop3/a.c', 'f("+OK\\r\\n-ERR");', True),
        ('src/role/a.c', 'f("250 ok"); g("5.1.1"); h("port 587"); /* "550 x" */ // "550 x"', False),
        ('src/role/a.c', 'f(\'"\'); /* 550 */ g("1550 x", "5500");', False),
        ('src/cause/a.c', 'f("550 5.1.1 no");', False),
        ('src/answer/a.c', 'f("-ERR");', False),
        ('src/proto/smtp/a.c', 'f(CAUSE_ONLY_SMTP);', False),
        ('src/proto/pop3/a.c', 'f(CAUSE_ONLY_SMTP);', True),
        ('src/proto/smtp/a.c', 'f(CAUSE_ONLY_POP);', True),
        ('src/proto/pop3/a.c', 'f(CAUSE_ONLY_POP);', False),
        ('src/proto/pop3/a.c', 'f(CAUSE_MASKED); /* CAUSE_ONLY_SMTP */', False),
        ('src/proto/smtp/a.c', 'f(CAUSE_NOT_THERE);', True),
    ]
    wrong = 0
    for name, text, bad in plants:
        with tempfile.TemporaryDirectory() as tmp:
            root = pathlib.Path(tmp)
            (root / 'knowledge/causes').mkdir(parents=True)
            (root / 'knowledge/causes/only-smtp.yaml').write_text(good_entry.format('only-smtp', 'smtp'))
            (root / 'knowledge/causes/only-pop.yaml').write_text('slug: only-pop\nreplies:\n  pop3: {code: "", text: "no"}\n')
            (root / 'knowledge/causes/masked.yaml').write_text('slug: masked\nshown-as: only-pop\n')
            (root / name).parent.mkdir(parents=True)
            (root / name).write_text(text + '\n')
            problems, _ = check(root)
            if bool(problems) != bad:
                wrong += 1
                print(f'selftest: {name}: {text}: {"not seen" if bad else problems}', file=sys.stderr)
    print(f'{len(plants)} planted files, {wrong} judged wrongly')
    return 1 if wrong else 0


def main(argv):
    if argv[1:] == ['--selftest']:
        return selftest()
    root = pathlib.Path(argv[1] if len(argv) > 1 else pathlib.Path(__file__).parent.parent)
    problems, warnings = check(root)
    for warning in warnings:
        print(f'warning: {warning}')
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv))
