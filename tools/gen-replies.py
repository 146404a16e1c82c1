#!/usr/bin/python3
"""Reads knowledge/replies, knowledge/clients, knowledge/tests and knowledge/wording.yaml, checks them strictly, writes replies_table.c.

gen-replies.py KNOWLEDGE TABLE_C [DEPFILE]     gen-replies.py --check KNOWLEDGE     gen-replies.py --selftest
The formats are described in knowledge/README.md."""

import datetime
import importlib.util
import os
import pathlib
import re
import sys

import yaml


def load_tool(name):
    spec = importlib.util.spec_from_file_location(name.replace('-', '_'), pathlib.Path(__file__).with_name(f'{name}.py'))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


causes, wording = load_tool('gen-causes'), load_tool('gen-wording')
need, Bad = causes.need, causes.Bad

KINDS = ['provider', 'mta', 'library', 'middlebox', 'filter', 'client']  # the order of enum emitter_kind
STAGES = ['connect', 'banner', 'helo', 'starttls', 'auth', 'mail', 'rcpt', 'data', 'end-of-message', 'queue', 'pop3', 'imap', 'client']  # bits of REPLY_AT_*
EMITTER_KEYS = {'slug', 'name', 'kind', 'recognise', 'source'}
REPLY_KEYS = {'code', 'enhanced', 'stage', 'pattern', 'cause', 'sure', 'lang', 'source', 'checked', 'ask', 'note', 'only', 'frame'}
CLIENT_KEYS = {'slug', 'name', 'platform', 'recognise', 'source', 'checked', 'settings', 'steps', 'dialogs'}
DIALOG_KEYS = REPLY_KEYS | {'shown'}
WHAT = ['account', 'address', 'password', 'user-name', 'incoming-type', 'incoming-server', 'incoming-port', 'incoming-security', 'incoming-auth', 'outgoing-server',
        'outgoing-port', 'outgoing-security', 'outgoing-auth', 'outgoing-choose', 'leave-copy', 'identity', 'protocol-log']  # the order of enum client_what
LINE = ['outgoing', 'imap', 'pop3', 'tls', 'starttls', 'none']  # of the settings in one line: as struct client_line has them
LINE_FACTS = {'address', 'login', 'login-url', 'host', 'port', 'security'}
FACTS = {'address', 'login', 'imap-host', 'imap-port', 'imap-tls', 'pop3-host', 'pop3-port', 'pop3-tls', 'smtp-host', 'smtp-port', 'smtp-tls'}
TEST_KEYS = {'text', 'cause', 'source', 'emitter', 'note'}
PATTERN_MIN, PATTERN_MAX = 4, 80
PROBE_MAX = 140
CODES_MAX = 4
CAUSES_MAX = 4
# words that say only that something went wrong: a pattern of nothing else would fit every refusal
EMPTY = set('error errors failed failure failing denied rejected refused reject message mail email server smtp sorry please the a an your you is was not '
            'this that by for from to of and or in on at it address command 550 554 553 552 551 503 421 450 451 452 unknown service connection host '
            'try again later with http https www com see more info information'.split())
GAP = r'[^\n]{0,80}?'


def check_words(where, text, longest):
    need(isinstance(text, str) and text.strip() == text and text, f'{where}: must be text without blanks around it')
    need(all(c.isprintable() for c in text), f'{where}: no control characters')
    need(len(text) <= longest, f'{where}: {len(text)} characters, at most {longest}')


def check_pattern(pattern):
    where = f'pattern "{pattern}"'
    check_words(where, pattern, PATTERN_MAX)
    need(pattern == pattern.lower(), f'{where}: must be lower case (matching ignores the case of A-Z)')
    need('  ' not in pattern and '**' not in pattern and pattern[0] != '*' and pattern[-1] != '*', f'{where}: no double blanks, no * at its ends')
    need(len(pattern.replace('*', '')) >= PATTERN_MIN, f'{where}: shorter than {PATTERN_MIN} characters')
    for word in re.split(r'[ *]', pattern):
        need(not re.match(r'[(<\["\'#:;,=]*([45][0-57][0-9](?![a-z0-9.])|[45]\.[0-9]{1,3}\.[0-9]{1,3})', word),
             f'{where}: "{word}" is a code; codes stand in code and enhanced, matching takes them out of the words')
    words = re.findall(r'\w+', pattern)
    need([w for w in words if w not in EMPTY], f'{where}: fits every refusal')
    for piece in pattern.split('*'):
        need(len(piece.strip()) >= 2, f'{where}: "{piece}" beside a * is too short')


def check_causes(value, slugs):
    """[(slug, weight)], best first"""
    if isinstance(value, str):
        value = [{'slug': value, 'weight': 1}]
    need(isinstance(value, list) and 0 < len(value) <= CAUSES_MAX, f'cause: a slug, or a list of 1 to {CAUSES_MAX} {{slug, weight}}')
    ranked = []
    for one in value:
        need(isinstance(one, dict) and set(one) == {'slug', 'weight'}, 'cause: each must have exactly slug and weight')
        need(one['slug'] in slugs, f'cause: there is no "{one["slug"]}" in causes/')
        need(isinstance(one['weight'], (int, float)) and 0 < one['weight'] <= 1, 'cause.weight: more than 0, at most 1')
        ranked.append((one['slug'], one['weight']))
    need([w for _, w in ranked] == sorted((w for _, w in ranked), reverse=True), 'cause: the heaviest first')
    need(len({s for s, _ in ranked}) == len(ranked), 'cause: the same slug twice')
    return ranked


def as_list(value):
    return value if isinstance(value, list) else [] if value is None else [value]


def check_codes(reply):
    codes, enhanced = as_list(reply.get('code')), as_list(reply.get('enhanced'))
    need(len(codes) <= CODES_MAX and len(enhanced) <= CODES_MAX, f'code, enhanced: at most {CODES_MAX}')
    for code in codes:
        need(re.fullmatch(r'[2345]([0-9][0-9]|[0-9]x|xx)|-ERR|NO|BAD|BYE', str(code)), f'code: "{code}" must be like 550, 55x, 5xx, or -ERR, NO, BAD, BYE')
    for code in enhanced:
        need(isinstance(code, str) and re.fullmatch(r'[245]\.[0-9]{1,3}\.[0-9]{1,3}|[A-Z][A-Z/-]+', code), f'enhanced: "{code}" must be like 5.7.1, or AUTH')


def check_reply(reply, slugs, keys, sources, checked):
    """fills in what the file says for all of its replies"""
    need(isinstance(reply, dict), 'a reply must be a map')
    need('pattern' in reply, f'a reply without pattern: {reply}')
    where = f'"{reply["pattern"]}"'
    try:
        need(set(reply) <= keys, f'unknown: {" ".join(sorted(set(reply) - keys))}')
        check_pattern(reply['pattern'])
        check_codes(reply)
        reply['causes'] = check_causes(reply.get('cause'), slugs)
        sure = reply.get('sure')
        need(isinstance(sure, (int, float)) and 0 < sure <= 1, 'sure: more than 0, at most 1')
        reply['stages'] = as_list(reply.get('stage'))
        need(set(reply['stages']) <= set(STAGES), f'stage: only {" ".join(STAGES)}')
        need('source' in reply, 'source: where can it be looked up?')
        reply['source'] = sources.get(reply['source'], reply['source'])
        check_words('source', reply['source'], 200)
        need(' ' in reply['source'], f'source: "{reply["source"]}" is not among the sources of the file')
        reply.setdefault('checked', checked)
        need(isinstance(reply['checked'], datetime.date), 'checked: a date, 2026-11-22')
        need(re.fullmatch(r'[a-z]{2}', reply.get('lang', 'en')), 'lang: two letters')
        need(isinstance(reply.get('only', True), bool), 'only: true or false')
        need(isinstance(reply.get('frame', True), bool), 'frame: true or false')
        for key in ['ask', 'note', 'shown']:
            if key in reply:
                check_words(key, reply[key], 200)
        need(len(reply['causes']) == 1 or 'ask' in reply, 'ask: the words do not decide; what should one fetch next?')
    except Bad as e:
        raise Bad(f'{where}: {e}') from None


def check_recognise(values):
    need(isinstance(values, list) and values, 'recognise: at least one pattern')
    for value in values:
        check_words('recognise', value, PATTERN_MAX)
        need(value == value.lower() and len(value) >= 3, f'recognise: "{value}" must be lower case, at least 3 characters')


def check_head(entry, stem, keys):
    need(isinstance(entry, dict) and set(entry) >= keys, f'missing: {" ".join(sorted(keys - set(entry or {})))}')
    need(entry['slug'] == stem and re.fullmatch(r'[a-z0-9]+(-[a-z0-9]+)*', stem) and len(stem) <= 32, f'slug "{entry["slug"]}" and the name of the file differ')
    check_words('name', entry['name'], 80)
    check_recognise(entry['recognise'])
    check_words('source', entry['source'], 200)


def check_emitter_file(data, stem, slugs):
    need(isinstance(data, dict) and set(data) <= {'emitter', 'sources', 'checked', 'replies'}, 'must have emitter, sources, checked and replies')
    emitter = data['emitter']
    check_head(emitter, stem, EMITTER_KEYS)
    need(set(emitter) == EMITTER_KEYS, 'emitter: unknown key')
    need(emitter['kind'] in KINDS, f'kind: one of {" ".join(KINDS)}')
    need(isinstance(data['replies'], list) and data['replies'], 'replies: at least one')
    for reply in data['replies']:
        check_reply(reply, slugs, REPLY_KEYS, data.get('sources', {}), data.get('checked'))
    return dict(emitter, replies=data['replies'])


def check_facts(where, text, longest):
    check_words(where, text, longest)
    for name in re.findall(r'\{([^}]*)\}', text):
        need(name in FACTS, f'{where}: unknown placeholder {{{name}}}; known: {" ".join(sorted(FACTS))}')


def check_line(line):
    need(isinstance(line, dict) and set(line) <= set(LINE) and 'outgoing' in line, f'line: outgoing, and of {" ".join(LINE)} what the program can')
    for key in LINE[:3]:
        if key in line:
            check_words('line.' + key, line[key], 240)
            for name in re.findall(r'\{([^}]*)\}', line[key]):
                need(name in LINE_FACTS, f'line.{key}: unknown placeholder {{{name}}}; known: {" ".join(sorted(LINE_FACTS))}')
    for key in LINE[3:]:
        need(isinstance(line.get(key, ''), str) and len(line.get(key, '')) <= 60, f'line.{key}: how the program calls it, at most 60 characters')


def check_client_file(data, stem, slugs):
    need(isinstance(data, dict), 'must be a map')
    client = dict(data)
    line = client.pop('line', {})
    if line:
        check_line(line)
    sources = client.pop('sources', {})
    check_head(client, stem, {'slug', 'name', 'platform', 'recognise', 'source', 'checked', 'settings', 'steps', 'dialogs'})
    need(set(client) == CLIENT_KEYS, f'unknown: {" ".join(sorted(set(client) - CLIENT_KEYS))}')
    check_words('platform', client['platform'], 80)
    for setting in client['settings']:
        need(isinstance(setting, dict) and set(setting) == {'what', 'where'}, 'settings: each must have exactly what and where')
        need(setting['what'] in WHAT, f'settings.what: "{setting["what"]}" is not one of {" ".join(WHAT)}')
        check_facts('settings.where', setting['where'], 240)
    need(len({s['what'] for s in client['settings']}) == len(client['settings']), 'settings: the same twice')
    need(isinstance(client['steps'], list) and client['steps'], 'steps: at least one')
    for step in client['steps']:
        check_facts('steps', step, 300)
    for dialog in client['dialogs']:
        check_reply(dialog, slugs, DIALOG_KEYS, sources, client['checked'])
        dialog['stages'] = dialog['stages'] or ['client']
    return dict(client, kind='client', line=line, replies=client['dialogs'])


def check_tests(data, slugs, emitters):
    """[(text, [slugs])]"""
    tests = []
    need(isinstance(data, dict) and set(data) == {'sources', 'messages'}, 'must have sources and messages')
    for test in data['messages']:
        need(isinstance(test, dict) and {'text', 'cause', 'source'} <= set(test) <= TEST_KEYS, f'{test}: must have text, cause and source')
        where = f'"{test["text"][:60]}"'
        wanted = as_list(test['cause'])
        need(test['text'].strip() and wanted, f'{where}: text and cause')
        for slug in wanted:
            need(slug in slugs, f'{where}: there is no "{slug}" in causes/')
        need(test['source'] in data['sources'] or ' ' in test['source'], f'{where}: source "{test["source"]}" is not among the sources')
        need(test.get('emitter') is None or test['emitter'] in emitters, f'{where}: there is no emitter "{test.get("emitter")}"')
        tests.append((test['text'], wanted))
    texts = [t for t, _ in tests]
    need(len(texts) == len(set(texts)), f'the same text twice: {[t for t in texts if texts.count(t) > 1][:1]}')
    return tests


def as_regex(pattern):
    return re.compile(GAP.join(re.escape(piece) for piece in pattern.split('*')))


def plain(text):
    """as explain sees it: lower case, single blanks"""
    return re.sub(r'\s+', ' ', re.sub(r'(?m)^([245][0-9][0-9])-', r'\1 ', text)).lower()


def known_words(tests, emitters):
    """how many of the tests stand literally in the patterns"""
    regexes = [as_regex(r['pattern']) for e in emitters for r in e['replies']]
    return sum(any(r.search(plain(text)) for r in regexes) for text, _ in tests)


def overlap(a, b):
    """could both be said with the same code?"""
    for key in ['code', 'enhanced']:
        x, y = set(map(str, as_list(a.get(key)))), set(map(str, as_list(b.get(key))))
        if x and y and not x & y:
            return False
    return True


def contradictions(emitters):
    seen = {}
    for emitter in emitters:
        for reply in emitter['replies']:
            for other, before in seen.get(reply['pattern'], []):
                apart = reply.get('only') and before.get('only') and other != emitter['slug']
                if overlap(reply, before) and (other == emitter['slug'] or reply['causes'] != before['causes'] and not apart):
                    yield f'{emitter["slug"]}: pattern "{reply["pattern"]}" is given again, in {other}'
            seen.setdefault(reply['pattern'], []).append((emitter['slug'], reply))


def load_probes(path, slugs, problems):
    """{slug: what to fetch}"""
    try:
        probes = yaml.load(path.read_text(encoding='utf-8'), causes.StrictLoader)
        need(isinstance(probes, dict), 'must be a map')
        for slug, text in probes.items():
            need(slug in slugs, f'there is no "{slug}" in causes/')
            check_words(slug, text, PROBE_MAX)
        return probes
    except (Bad, yaml.YAMLError, OSError, UnicodeDecodeError) as e:
        problems.append(f'{path}: {e}')
        return {}


def load_wording(path, slugs, problems):
    try:
        return wording.check(need, yaml.load(path.read_text(encoding='utf-8'), causes.StrictLoader), slugs)
    except (Bad, yaml.YAMLError, OSError, UnicodeDecodeError, TypeError) as e:
        problems.append(f'{path}: {e}')
        return {'words': {}, 'also': [], 'rules': []}


def load_directory(directory, check, problems, slugs):
    entries = []
    for path in sorted(directory.glob('*.yaml')):
        try:
            entries.append(check(yaml.load(path.read_text(encoding='utf-8'), causes.StrictLoader), path.stem, slugs))
        except (Bad, yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError) as e:
            problems.append(f'{path}: {e}')
    return entries


def load(knowledge):
    entries, problems = causes.load(knowledge / 'causes')
    emitters = load_directory(knowledge / 'replies', check_emitter_file, problems, entries)
    clients = load_directory(knowledge / 'clients', check_client_file, problems, entries)
    names = [e['slug'] for e in emitters + clients]
    problems += [f'the slug "{n}" is given twice' for n in set(names) if names.count(n) > 1]
    problems += contradictions(emitters + clients)
    return emitters, clients, load_probes(knowledge / 'probes.yaml', entries, problems), load_wording(knowledge / 'wording.yaml', entries, problems), problems


def check(knowledge):
    emitters, clients, probes, words, problems = load(knowledge)
    entries, _ = causes.load(knowledge / 'causes')
    tests = []
    for path in sorted((knowledge / 'tests').glob('*.yaml')):
        try:
            data = yaml.load(path.read_text(encoding='utf-8'), causes.StrictLoader)
            found = check_tests(data, entries, {e['slug'] for e in emitters + clients})
            literal = known_words(found, emitters + clients)
            if path.stem == 'messages' and literal * 2 > len(found):
                problems.append(f'{path}: {literal} of {len(found)} messages stand literally in the patterns, at most half may')
            both = {t for t, _ in tests} & {t for t, _ in found}
            if both:
                problems.append(f'{path}: {len(both)} messages stand in another file, too')
            tests += found
        except (Bad, yaml.YAMLError, OSError, UnicodeDecodeError) as e:
            problems.append(f'{path}: {e}')
    literal = known_words(tests, emitters + clients)
    for problem in problems:
        print(f'gen-replies: {problem}', file=sys.stderr)
    if problems:
        return 1
    replies = [r for e in emitters for r in e['replies']]
    dialogs = [r for c in clients for r in c['replies']]
    print(f'{len(replies)} reply patterns of {len(emitters)} emitters, {len({s for r in replies + dialogs for s, _ in r["causes"]})} causes named; '
          f'{len(clients)} mail programs with {sum(len(c["settings"]) for c in clients)} places of settings and {len(dialogs)} dialogs; '
          f'{len(tests)} test messages, {len(tests) - literal} of them in no pattern; {len(entries)} causes, {len(probes)} with a probe; '
          f'{sum(map(len, words["words"].values()))} words of {len(words["words"])} concepts in {len(words["rules"])} rules')
    return 0


PLANTED = [  # a change to a good reply, and a word of the complaint that must follow
    ({}, None),
    ({'code': ['55x', '4xx'], 'enhanced': ['5.7.1', '4.7.1']}, None),
    ({'cause': [{'slug': 'rcpt-unknown', 'weight': 0.6}, {'slug': 'mail-loop', 'weight': 0.4}], 'ask': 'the line before'}, None),
    ({'cause': 'no-such-slug'}, 'there is no'),
    ({'cause': [{'slug': 'mail-loop', 'weight': 0.3}, {'slug': 'rcpt-unknown', 'weight': 0.7}], 'ask': 'x'}, 'heaviest first'),
    ({'cause': [{'slug': 'mail-loop', 'weight': 0.6}, {'slug': 'rcpt-unknown', 'weight': 0.4}]}, 'fetch next'),
    ({'pattern': 'abc'}, 'shorter'),
    ({'pattern': 'x' * 81}, 'at most'),
    ({'pattern': 'message rejected'}, 'fits every refusal'),
    ({'pattern': '*relay denied'}, 'at its ends'),
    ({'pattern': 'Relay denied'}, 'lower case'),
    ({'pattern': 'relay denied (#5.7.1)'}, 'is a code'),
    ({'code': 900}, 'must be like'),
    ({'enhanced': '5.7'}, 'must be like'),
    ({'stage': 'later'}, 'stage'),
    ({'sure': 2}, 'sure'),
    ({'source': 'zz'}, 'not among the sources'),
    ({'source': None}, 'source'),
    ({'colour': 'red'}, 'unknown'),
]


PLANTED_WORDS = [  # the same for knowledge/wording.yaml
    ({}, None),
    ({'words': {'a': ['no such'], 'b': ['exist*']}}, None),
    ({'words': {'a': ['No'], 'b': ['x']}}, 'lower case'),
    ({'words': {'a': ['n*o'], 'b': ['x']}}, 'only at the end'),
    ({'words': {'a': ['ab*'], 'b': ['x']}}, 'too short'),
    ({'words': {'a': ['one two three four'], 'b': ['x']}}, 'three words'),
    ({'words': {'a': ['x', 'x'], 'b': ['y']}}, 'stands twice'),
    ({'words': {f'c{chr(97 + i % 26)}{chr(97 + i // 26)}': ['x'] for i in range(65)}}, 'at most'),
    ({'also': [{'all': ['a', 'c'], 'gives': 'b'}]}, 'of the words'),
    ({'rules': [{'all': ['c'], 'cause': 'mail-loop', 'sure': 0.5}]}, 'no "c"'),
    ({'rules': [{'all': ['a'], 'cause': 'no-such-slug', 'sure': 0.5}]}, 'no "no-such-slug"'),
    ({'rules': [{'all': ['a'], 'cause': 'mail-loop', 'sure': 0.9}]}, 'at most'),
    ({'rules': [{'all': ['a'], 'not': ['a'], 'cause': 'mail-loop', 'sure': 0.5}]}, 'in all and not'),
    ({'rules': [{'all': ['a', 'b'], 'cause': 'mail-loop', 'sure': 0.5}, {'all': ['b', 'a'], 'cause': 'mail-loop', 'sure': 0.4}]}, 'twice'),
]


def selftest_words():
    wrong = 0
    for change, complaint in PLANTED_WORDS:
        words = {'words': {'a': ['no'], 'b': ['yes']}, 'also': [], 'rules': [{'all': ['a'], 'not': ['b'], 'cause': 'mail-loop', 'sure': 0.5}], **change}
        try:
            wording.check(need, words, {'mail-loop'})
            said = None
        except Bad as e:
            said = str(e)
        if (said is None) != (complaint is None) or complaint and complaint not in said:
            print(f'gen-replies: {change}: wanted {complaint}, got {said}', file=sys.stderr)
            wrong += 1
    return wrong


def selftest():
    wrong = selftest_words()
    for change, complaint in PLANTED:
        reply = {'pattern': 'relay access denied', 'cause': 'rcpt-unknown', 'sure': 0.9, 'source': 'c', **change}
        reply = {k: v for k, v in reply.items() if v is not None}
        try:
            check_reply(reply, {'rcpt-unknown', 'mail-loop'}, REPLY_KEYS, {'c': 'a source'}, datetime.date(2026, 11, 22))
            said = None
        except Bad as e:
            said = str(e)
        if (said is None) != (complaint is None) or complaint and complaint not in said:
            print(f'gen-replies: {change}: wanted {complaint}, got {said}', file=sys.stderr)
            wrong += 1
    twice = [{'slug': s, 'replies': [{'pattern': 'same words', 'causes': [(c, 1)], 'code': 550}]} for s, c in [('a', 'rcpt-unknown'), ('b', 'mail-loop')]]
    wrong += len(list(contradictions(twice))) != 1
    print(f'{len(PLANTED) + len(PLANTED_WORDS) + 1} planted replies and words, {wrong} judged wrongly')
    return 1 if wrong else 0


def c_string(text):
    return '"' + ''.join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f'\\{b:03o}' for b in text.encode()) + '"'


class Pool:
    """all strings in one array, each once; offset 0 is the empty string"""

    def __init__(self):
        self.at, self.items, self.size = {'': 0}, [''], 1

    def add(self, text):
        if text not in self.at:
            self.at[text] = self.size
            self.items.append(text)
            self.size += len(text.encode()) + 1
        return self.at[text]

    def c(self):
        lines = []
        for text in self.items:
            lines.append(f'\t{c_string(text)[:-1]}\\0"\n')
        return ''.join(lines)


class Tables:
    def __init__(self):
        self.pool, self.words, self.causes, self.replies, self.emitters, self.settings, self.clients = Pool(), [], [], [], [], [], []

    def list(self, values):
        """first place and number in reply_words"""
        first = len(self.words)
        self.words += [self.pool.add(v) for v in values]
        return first, len(values)

    def code(self, code):
        """550 as 550, "55x" as 55, "5xx" as 5; POP3 and IMAP as 1"""
        text = str(code)
        return int(text.rstrip('x')) if text[0].isdigit() else 1

    def add_reply(self, emitter, reply):
        first = len(self.causes)
        for slug, weight in reply['causes']:
            self.causes.append(f'{{{causes.enum_name(slug)}, {round(weight * 100)}}}')
        codes = [self.code(c) for c in as_list(reply.get('code'))]
        piece = max(reply['pattern'].split('*'), key=len)
        stages = sum(1 << STAGES.index(s) for s in reply['stages'])
        add = self.pool.add
        self.replies.append(f'{{{add(reply["pattern"])}, {add(" ".join(as_list(reply.get("enhanced"))))}, {add(reply["source"])}, {add(reply.get("ask", ""))}, '
                            f'{add(reply.get("note", ""))}, {add(reply.get("lang", "en"))}, {{{", ".join(map(str, codes)) or 0}}}, {emitter}, {first}, {len(reply["causes"])}, '
                            f'{round(reply["sure"] * 100)}, {stages}, {len(reply["pattern"][:reply["pattern"].index(piece)].encode())}, {len(piece.encode())}, '
                            f'{int(reply.get("only", False))}, {int(reply.get("frame", False))}}}')

    def add_emitter(self, entry):
        first, index = len(self.replies), len(self.emitters)
        for reply in entry['replies']:
            self.add_reply(index, reply)
        word, count = self.list(entry['recognise'])
        add = self.pool.add
        self.emitters.append(f'{{{add(entry["slug"])}, {add(entry["name"])}, {add(entry["source"])}, {first}, {len(entry["replies"])}, {word}, {count}, '
                             f'EMITTER_{entry["kind"].upper()}}}')

    def add_client(self, entry):
        first = len(self.settings)
        for setting in entry['settings']:
            self.settings.append(f'{{CLIENT_{setting["what"].upper().replace("-", "_")}, {self.pool.add(setting["where"])}}}')
        word, count = self.list(entry['steps'])
        self.clients.append(f'{{{len(self.emitters)}, {self.pool.add(entry["platform"])}, {first}, {len(entry["settings"])}, {word}, {count}, '
                            f'{{{", ".join(str(self.pool.add(entry["line"].get(k, ""))) for k in LINE)}}}, '
                            f'{sum(1 << i for i, k in enumerate(LINE) if k in entry["line"])}}}')
        self.add_emitter(entry)

    def c(self, probes):
        def array(kind, name, rows):
            return f'const {kind} {name}[] = {{\n' + ''.join(f'\t{r},\n' for r in rows) + '};\n'

        return ('/* generated from knowledge/replies and knowledge/clients by tools/gen-replies.py */\n#include "answer/replies_table.h"\n\n'
                f'const char reply_pool[] =\n{self.pool.c()}\t"";\n' + array('uint32_t', 'reply_words', self.words) + array('struct reply_cause', 'reply_causes', self.causes)
                + array('struct reply_pattern', 'reply_patterns', self.replies) + array('struct reply_emitter', 'reply_emitters', self.emitters)
                + array('struct client_setting', 'client_settings', self.settings) + array('struct client_program', 'client_programs', self.clients)
                + 'const char *const cause_probes[CAUSE_COUNT] = {\n' + ''.join(f'\t[{causes.enum_name(s)}] = {c_string(t)},\n' for s, t in sorted(probes.items())) + '};\n'
                + f'const size_t reply_pattern_count = {len(self.replies)};\nconst size_t reply_emitter_count = {len(self.emitters)};\n'
                f'const size_t client_program_count = {len(self.clients)};\n')


def main(argv):
    if len(argv) == 3 and argv[1] == '--check':
        return check(pathlib.Path(argv[2]))
    if argv[1:] == ['--selftest']:
        return selftest()
    if len(argv) not in (3, 4):
        print(__doc__, file=sys.stderr)
        return 2
    knowledge = pathlib.Path(argv[1])
    emitters, clients, probes, words, problems = load(knowledge)
    for problem in problems:
        print(f'gen-replies: {problem}', file=sys.stderr)
    if problems:
        return 1
    tables = Tables()
    for entry in emitters:
        tables.add_emitter(entry)
    for entry in clients:
        tables.add_client(entry)
    causes.write_changed(argv[2], tables.c(probes) + wording.c(words, causes.enum_name))
    if len(argv) == 4:  # a directory is a dependency too: a new file changes its time
        deps = [p for d in ['causes', 'replies', 'clients'] for p in [knowledge / d, *sorted((knowledge / d).glob('*.yaml'))]] + [knowledge / 'probes.yaml', knowledge / 'wording.yaml']
        name = os.path.relpath(argv[2]) if not os.path.isabs(argv[2]) else argv[2]
        pathlib.Path(argv[3]).write_text(f'{name}: {" ".join(str(p).replace(" ", chr(92) + " ") for p in deps)}\n')
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv))
