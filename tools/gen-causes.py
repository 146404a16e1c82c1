#!/usr/bin/python3
"""Reads knowledge/causes/*.yaml, checks every entry strictly, writes cause_ids.h and cause_table.c.

gen-causes.py DIR IDS_H TABLE_C [DEPFILE]     gen-causes.py --check DIR
The format is described in knowledge/README.md."""

import datetime
import os
import pathlib
import re
import sys

import yaml

FORMS = ['smtp', 'smtp-closing', 'smtp-auth', 'pop3']  # the order of enum cause_form
KEYS = {'slug', 'own', 'shown-as', 'common', 'consequence', 'replies', 'next', 'meaning', 'likely', 'fix', 'patterns', 'also', 'permanent', 'retry',
        'source', 'checked'}
REQUIRED = KEYS - {'own', 'shown-as', 'common', 'consequence', 'replies', 'next', 'patterns', 'also'}
FACTS = {'rcpt', 'sender', 'command', 'missing', 'limit', 'detail', 'account', 'retry'}
WHO = {'sender', 'client', 'admin', 'remote-admin', 'nobody'}
RETRY = {'no', 'later', 'after-fix'}
POP3_CODES = {'', 'AUTH', 'IN-USE', 'LOGIN-DELAY', 'SYS/TEMP', 'SYS/PERM', 'UTF8'}  # RFC 2449 8, RFC 3206, RFC 6856
CLOSING = {421, 451, 454}  # 421 says it; the others answer the command in hand, and the end follows
MIXED = {(454, '5.5.1')}  # a large provider's, which senders know: for now, but the same command never helps
TEXT_MAX = 140
NEXT_MAX = 200
# The shared vocabulary: other programs may rely on these, so none may go missing.
SHARED = '''auth-required auth-bad-credentials auth-app-password auth-web-login auth-disabled-by-admin auth-basic-disabled
auth-not-advertised auth-rate-limited auth-syntax auth-mechanism-unknown auth-account-disabled auth-temporarily-unavailable
pop-before-smtp relay-window-closed relay-denied-unauth rcpt-domain-not-hosted submission-on-port-25 sender-not-owned
sender-domain-not-found sender-verify-failed sender-blocked sender-account-suspended local-domain-not-configured tls-required
tls-not-offered tls-mode-mismatch tls-cert-untrusted tls-cert-name-mismatch tls-repeated tls-injection seq-no-helo
seq-repeated-helo seq-no-mail seq-nested-mail rcpt-none-accepted message-sent-as-commands helo-invalid rcpt-syntax
sender-syntax smtputf8-unsupported command-unknown command-not-enabled too-many-bad-commands rcpt-unknown rcpt-disabled
rcpt-mailbox-full rcpt-rate-limited rcpt-domain-not-found rcpt-refuses-sender rcpt-suppressed rcpt-not-allowed-for-account
null-mx too-many-recipients too-many-domains quota-sender-daily rate-limit-sender rate-limit-ip rate-limit-domain greylisted
too-many-connections ip-dnsbl ip-blocked-provider ip-reputation ip-reputation-throttle ip-dynamic-range domain-blocklisted
dnsbl-query-refused rdns-missing client-host-denied spf-fail dkim-fail dmarc-reject bulk-sender-auth-missing
policy-unspecified spam-content virus-detected attachment-type-blocked message-too-big message-malformed line-too-long
bare-newline mail-loop server-temp-error server-overloaded server-storage-full content-filter-unavailable dns-failure
remote-unreachable queue-expired port25-outbound-blocked port-blocked-or-wrong-host ipv6-not-available timeout
insufficient-text'''.split()


class Bad(Exception):
    pass


class StrictLoader(yaml.SafeLoader):
    """A key given twice is a mistake, not an override."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=deep)
            if key in seen:
                raise Bad(f'line {key_node.start_mark.line + 1}: "{key}" is given twice')
            seen.add(key)
        return super().construct_mapping(node, deep)


def need(ok, words):
    if not ok:
        raise Bad(words)


def check_text(where, text, longest, template=False):
    need(isinstance(text, str) and text.strip() == text and text, f'{where}: must be text without blanks around it')
    need(all(' ' <= c <= '~' for c in text), f'{where}: plain ASCII without line breaks only')
    need('\\' not in text, f'{where}: no backslash')
    need(len(text) <= longest, f'{where}: {len(text)} characters, at most {longest}')
    if not template:
        need(not re.search(r'[{}]', text), f'{where}: no placeholders here')
        return
    for name in re.findall(r'\{([^}]*)\}', text):
        need(name in FACTS, f'{where}: unknown placeholder {{{name}}}; known: {" ".join(sorted(FACTS))}')
    bare = re.sub(r'\{[a-z]+\}', '', text)
    need(not re.search(r'[{}]', bare), f'{where}: a brace without its partner')
    need(re.fullmatch(r'[^\[\]]*(\[[^\[\]]*\][^\[\]]*)*', text), f'{where}: [ ] must come in pairs and not be nested')
    for part in re.findall(r'\[([^\]]*)\]', text):
        need('{' in part, f'{where}: "[{part}]" is left out when its placeholder is empty, but it has none')


def check_reply(form, reply):
    where = f'replies.{form}'
    need(isinstance(reply, dict), f'{where}: must be a map')
    if form == 'pop3':
        need(set(reply) == {'code', 'text'}, f'{where}: must have exactly code and text')
        need(reply['code'] in POP3_CODES, f'{where}.code: one of {sorted(POP3_CODES)}')
    else:
        need(set(reply) == {'code', 'enhanced', 'text'}, f'{where}: must have exactly code, enhanced and text')
        code, enhanced = reply['code'], reply['enhanced']
        need(isinstance(code, int) and 400 <= code <= 599, f'{where}.code: a number from 400 to 599')
        need(isinstance(enhanced, str) and re.fullmatch(r'[45]\.[0-7]\.[0-9]{1,3}', enhanced), f'{where}.enhanced: like 5.7.1')
        need(enhanced[0] == str(code)[0] or (code, enhanced) in MIXED, f'{where}: {code} and {enhanced} are of different classes')
        if form == 'smtp-closing':
            need(code in CLOSING or code // 100 == 5, f'{where}: a session is closed with one of {sorted(CLOSING)} or a 5xx')
    check_text(f'{where}.text', reply['text'], TEXT_MAX, template=True)


def check_list(entry, key, longest=200):
    values = entry.get(key, [])
    need(isinstance(values, list), f'{key}: must be a list')
    for value in values:
        check_text(key, value, longest)
    need(len(values) == len(set(values)), f'{key}: the same text twice')
    return values


def check_guidance(entry):
    if 'next' in entry:
        check_text('next', entry['next'], NEXT_MAX, template=True)
    check_text('meaning', entry['meaning'], 300)
    need(check_list(entry, 'likely'), 'likely: at least one reason')
    need(isinstance(entry['fix'], list) and entry['fix'], 'fix: at least one {who, what}')
    for advice in entry['fix']:
        need(isinstance(advice, dict) and set(advice) == {'who', 'what'}, 'fix: each must have exactly who and what')
        need(advice['who'] in WHO, f'fix.who: one of {sorted(WHO)}')
        check_text('fix.what', advice['what'], 300)
    for pattern in check_list(entry, 'patterns', 120):
        need(len(pattern.replace('*', '').strip()) >= 3, f'patterns: "{pattern}" is too short to mean anything')
        need(pattern == pattern.lower(), f'patterns: "{pattern}" must be lower case (matching ignores case)')
    for hint in check_list(entry, 'also', 30):
        need(re.fullmatch(r'[45][0-9][0-9]( [45]\.[0-9]{1,3}\.[0-9]{1,3})?|[45]\.[0-9]{1,3}\.[0-9]{1,3}|-ERR( \[[A-Z0-9/-]+\])?', hint),
             f'also: "{hint}" must be like "550 5.7.1", "550", "5.7.1" or "-ERR [AUTH]"')
    permanent = entry['permanent']
    need(isinstance(permanent, dict) and set(permanent) == {'code', 'cause'} and all(isinstance(v, bool) for v in permanent.values()),
         'permanent: must have exactly code and cause, true or false')
    need(entry['retry'] in RETRY, f'retry: one of {sorted(RETRY)}')
    check_text('source', entry['source'], 200)
    need(isinstance(entry['checked'], datetime.date), 'checked: a date, 2026-11-22')
    need(entry.get('common', 3) in range(1, 6), 'common: 1 (rare) to 5 (daily)')


def check_entry(entry, stem):
    need(isinstance(entry, dict), 'must be a map')
    need(set(entry) <= KEYS, f'unknown: {" ".join(sorted(set(entry) - KEYS))}')
    need(REQUIRED <= set(entry), f'missing: {" ".join(sorted(REQUIRED - set(entry)))}')
    slug = entry['slug']
    need(isinstance(slug, str) and re.fullmatch(r'[a-z0-9]+(-[a-z0-9]+)*', slug) and len(slug) <= 32, 'slug: a-z 0-9 and -, at most 32 characters')
    need(slug == stem, f'slug "{slug}" and the name of the file differ')
    replies = entry.get('replies', {})
    need(isinstance(replies, dict) and set(replies) <= set(FORMS), f'replies: only {" ".join(FORMS)}')
    for key in ['own', 'consequence']:
        need(isinstance(entry.get(key, True), bool), f'{key}: true or false')
    need(replies or 'shown-as' in entry or not entry.get('own', True), 'replies: at least one form (or own: false, or shown-as)')
    need(not (replies and 'shown-as' in entry), 'an entry is shown with its own replies or as another, not both')
    for form, reply in replies.items():
        check_reply(form, reply)
    check_guidance(entry)
    for form in FORMS[:3]:
        if form in replies:
            need(entry['permanent']['code'] == (replies[form]['code'] >= 500), f'permanent.code: does not fit the code of replies.{form}')
            break


def load(directory):
    entries, problems = {}, []
    for path in sorted(directory.glob('*.yaml')):
        try:
            entry = yaml.load(path.read_text(encoding='utf-8'), StrictLoader)
            check_entry(entry, path.stem)
            entries[entry['slug']] = entry
        except (Bad, yaml.YAMLError, UnicodeDecodeError) as e:
            problems.append(f'{path}: {e}')
    if not problems:
        for slug, entry in entries.items():
            other = entries.get(entry.get('shown-as', slug))
            if other is None or 'shown-as' in other and other is not entry:
                problems.append(f'{slug}: shown-as must name an entry that is shown as itself')
        problems += [f'{slug}: an entry of the shared vocabulary is missing' for slug in SHARED if slug not in entries]
    return entries, problems


def filled_replies(entry, entries):
    """The forms as the program has them: AUTH and CLOSING come from SMTP where the entry does not give them."""
    replies = dict(entries[entry['shown-as']].get('replies', {}) if 'shown-as' in entry else entry.get('replies', {}))
    smtp = replies.get('smtp')
    if smtp:
        replies.setdefault('smtp-auth', smtp)
        closing = dict(smtp)
        if smtp['code'] < 500:  # RFC 5321 4.2.1: a passing failure that ends the session is 421
            closing['code'] = 421
        replies.setdefault('smtp-closing', closing)
    return replies


def enum_name(slug):
    return 'CAUSE_' + slug.upper().replace('-', '_')


def c_str(text):
    return '"' + text.replace('\\', '\\\\').replace('"', '\\"').replace('??', '?\\?') + '"'


def c_list(slug, name, values):
    if not values:
        return 'none', ''
    var = f'{name}_{slug.replace("-", "_")}'
    body = ''.join(f'\t{c_str(v)},\n' for v in values)
    return var, f'static const char *const {var}[] = {{\n{body}\tNULL,\n}};\n'


def c_entry(slug, entry, entries):
    lists, names = '', {}
    for key in ['likely', 'patterns', 'also']:
        names[key], text = c_list(slug, key, entry.get(key, []))
        lists += text
    fixes = f'fixes_{slug.replace("-", "_")}'
    body = ''.join(f'\t{{{c_str(a["who"])}, {c_str(a["what"])}}},\n' for a in entry['fix'])
    lists += f'static const struct cause_advice {fixes}[] = {{\n{body}\t{{NULL, NULL}},\n}};\n'
    replies = filled_replies(entry, entries)
    forms = ''
    for i, form in enumerate(FORMS):
        if form in replies:
            r = replies[form]
            code, word = (0, r['code']) if form == 'pop3' else (r['code'], r['enhanced'])
            forms += f'\t\t\t[{i}] = {{{code}, {c_str(word)}, {c_str(r["text"])}}},\n'
    flag = {True: 'true', False: 'false'}
    shown = enum_name(entry['shown-as']) if 'shown-as' in entry else 'CAUSE_NONE'
    row = (f'\t[{enum_name(slug)}] = {{\n\t\t.slug = {c_str(slug)},\n\t\t.forms = {{\n{forms}\t\t}},\n\t\t.next = {c_str(entry["next"]) if "next" in entry else "NULL"},\n'
           f'\t\t.meaning = {c_str(entry["meaning"])},\n\t\t.likely = {names["likely"]},\n\t\t.fixes = {fixes},\n'
           f'\t\t.patterns = {names["patterns"]},\n\t\t.also = {names["also"]},\n'
           f'\t\t.code_permanent = {flag[entry["permanent"]["code"]]},\n\t\t.cause_permanent = {flag[entry["permanent"]["cause"]]},\n'
           f'\t\t.retry = {c_str(entry["retry"])},\n\t\t.source = {c_str(entry["source"])},\n\t\t.shown_as = {shown},\n'
           f'\t\t.own = {flag[entry.get("own", True)]},\n\t\t.consequence = {flag[entry.get("consequence", False)]},\n'
           f'\t\t.common = {entry.get("common", 3)},\n\t}},\n')
    return lists, row


def write_changed(path, text):
    path = pathlib.Path(path)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def main(argv):
    check_only = len(argv) == 3 and argv[1] == '--check'
    if not check_only and len(argv) not in (4, 5):
        print(__doc__, file=sys.stderr)
        return 2
    directory = pathlib.Path(argv[2] if check_only else argv[1])
    entries, problems = load(directory)
    for problem in problems:
        print(f'gen-causes: {problem}', file=sys.stderr)
    if problems:
        return 1
    if check_only:
        print(f'{len(entries)} causes are well formed')
        return 0
    slugs = sorted(entries)
    ids = ''.join(f'\t{enum_name(s)},\n' for s in slugs)
    write_changed(argv[2], '/* generated from knowledge/causes by tools/gen-causes.py */\n#ifndef MAILROOM_CAUSE_IDS_H\n#define MAILROOM_CAUSE_IDS_H\n\n'
                  f'enum cause_id {{\n\tCAUSE_NONE,\n{ids}\tCAUSE_COUNT\n}};\n\n#endif\n')
    lists, rows = zip(*(c_entry(s, entries[s], entries) for s in slugs))
    # sorted by slug, so that cause_by_slug can halve
    write_changed(argv[3], '/* generated from knowledge/causes by tools/gen-causes.py */\n#include "cause/cause_table.h"\n\n'
                  f'static const char *const none[] = {{NULL}};\n{"".join(lists)}\n'
                  f'const struct cause cause_table[CAUSE_COUNT] = {{\n{"".join(rows)}}};\n')
    if len(argv) == 5:  # the directory itself is a dependency: a new file changes its time
        deps = ' '.join(str(p).replace(' ', '\\ ') for p in [directory, *sorted(directory.glob('*.yaml'))])
        names = ' '.join(os.path.relpath(p) if not os.path.isabs(p) else p for p in argv[2:4])
        pathlib.Path(argv[4]).write_text(f'{names}: {deps}\n')
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv))
