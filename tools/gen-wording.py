"""Reads knowledge/wording.yaml (what single words mean, and which of them together name which cause) for gen-replies.py, which checks and writes it with the rest.

The format is described in knowledge/README.md; what the table is for in src/answer/explain_wording.h."""

import re

CONCEPTS_MAX = 64  # bits of a word in C
WORD_MIN, WORD_MAX = 1, 32  # bytes
SURE_MAX = 0.8
SLOTS = 1 << 13
PREFIX = 0x5bd1e995  # told from whole words by this


def is_wide(char):
    """written without blanks between words; explain_wording.c knows them by their first byte"""
    return 0x2e80 <= ord(char) <= 0xffff


def check_word(need, concept, word):
    where = f'words.{concept}: "{word}"'
    need(isinstance(word, str) and word.strip() == word and word, f'{where}: must be text without blanks around it')
    need(word == word.lower(), f'{where}: must be lower case')
    need('*' not in word[:-1], f'{where}: * only at the end')
    size = len(word.rstrip('*').encode())
    need(WORD_MIN <= size <= WORD_MAX, f'{where}: {WORD_MIN} to {WORD_MAX} bytes')
    need(not word.endswith('*') or size >= 3, f'{where}: too short for a beginning')
    need(len(re.split(r'[ /\'’-]', word)) <= 3, f'{where}: at most three words')
    need(not word.endswith('*') or not any(map(is_wide, word)), f'{where}: is found anywhere without *')


def check(need, data, slugs):
    need(isinstance(data, dict) and set(data) == {'words', 'also', 'rules'}, 'must have words, also and rules')
    concepts = data['words']
    need(isinstance(concepts, dict) and len(concepts) <= CONCEPTS_MAX, f'words: at most {CONCEPTS_MAX} concepts')
    for concept, words in concepts.items():
        need(re.fullmatch(r'[a-z]+', concept) and isinstance(words, list) and words, f'words.{concept}: a list of words')
        need(len(set(words)) == len(words), f'words.{concept}: {sorted({w for w in words if words.count(w) > 1})} stands twice')
        for word in words:
            check_word(need, concept, word)
    for also in data['also']:
        need(isinstance(also, dict) and set(also) == {'all', 'gives'} and {also['gives'], *also['all']} <= set(concepts), f'also {also}: all and gives, of the words')
    seen = set()
    for rule in data['rules']:
        where = f'rule {rule}'
        need(isinstance(rule, dict) and {'all', 'cause', 'sure'} <= set(rule) <= {'all', 'not', 'cause', 'sure'}, f'{where}: all, cause, sure and perhaps not')
        for concept in rule['all'] + rule.get('not', []):
            need(concept in concepts, f'{where}: there is no "{concept}" among the words')
        need(rule['cause'] in slugs, f'{where}: there is no "{rule["cause"]}" in causes/')
        need(isinstance(rule['sure'], (int, float)) and 0 < rule['sure'] <= SURE_MAX, f'{where}: sure is more than 0 and at most {SURE_MAX}')
        need(not set(rule['all']) & set(rule.get('not', [])), f'{where}: the same in all and not')
        key = (frozenset(rule['all']), rule['cause'])
        need(key not in seen, f'{where}: is there twice')
        seen.add(key)
    return data


def fnv(data):
    value = 2166136261
    for byte in data:
        value = (value ^ byte) * 16777619 & 0xffffffff
    return value


def table(data):
    """[(hash, concepts)] in the slots in which explain_wording.c looks"""
    bits = {concept: 1 << i for i, concept in enumerate(data['words'])}
    means = {}
    for concept, words in data['words'].items():
        for word in words:
            value = fnv(word.rstrip('*').encode()) ^ (PREFIX if word.endswith('*') else 0)
            means[value or 1] = means.get(value or 1, 0) | bits[concept]
    slots = [None] * SLOTS
    for value, concepts in sorted(means.items()):
        slot = value % SLOTS
        while slots[slot]:
            slot = (slot + 1) % SLOTS
        slots[slot] = (value, concepts)
    return slots, bits


def c(data, enum_name):
    slots, bits = table(data)
    mask = lambda names: f'{sum(bits[n] for n in names):#x}U'
    words = ''.join(f'\t[{i}] = {{{v:#x}U, {m:#x}U}},\n' for i, (v, m) in ((i, s) for i, s in enumerate(slots) if s))
    rules = ''.join(f'\t{{{mask(r["all"])}, {mask(r.get("not", []))}, {enum_name(r["cause"])}, {round(r["sure"] * 100)}}},\n' for r in data['rules'])
    also = ''.join(f'\t{{{mask(a["all"])}, {mask([a["gives"]])}}},\n' for a in data['also'])
    return (f'const struct wording_also wording_alsos[] = {{\n{also}}};\nconst size_t wording_also_count = {len(data["also"])};\n'
            f'const struct wording_word wording_words[WORDING_SLOTS] = {{\n{words}}};\nconst struct wording_rule wording_rules[] = {{\n{rules}}};\n'
            f'const size_t wording_rule_count = {len(data["rules"])};\n')
