"""How often explain is right, on the real messages of knowledge/tests; run with -s to see the figures, the wrong ones and the calibration.

The weights of explain.c were chosen while looking at these messages, so the figures are no estimate for texts that nobody has seen; they are a floor that a change must not
fall below. Where several causes are right, naming one of them without saying "undecided" counts as right too. The calibration leaves out the messages whose right answer is
insufficient-text; these count in the two tests before it.

right: the first cause is (one of) the right one(s), and undecided only where the words do not decide. undecided: said so. wrong: a wrong cause, not said to be undecided.
"""
import collections
import json
import os
import subprocess

import pytest
import yaml

import mailroom

RIGHT_AT_LEAST = 0.73    # of all; reached: see the figures printed
WRONG_AT_MOST = 0.09
# Wrong with a confidence of 0.9 or more. Words that mean something else at other servers; no other may join them.
KNOWN_WRONG = {
    'header size exceeds maximum permitted',
    'mail file size exceeds the maximum size allowed for mail delivery',
    'vdelivermail: account is locked email bounced',
    '451 Temporary local problem - please try later',
}
Judged = collections.namedtuple('Judged', 'verdict wanted first confidence text')


def judge(test, answer):
    wanted = test['cause'] if isinstance(test['cause'], list) else [test['cause']]
    causes, undecided = answer['causes'], answer['undecided'] or answer['verdict'] == 'insufficient-text'
    first, confidence = causes[0]['slug'], causes[0]['confidence']
    if wanted == ['insufficient-text']:
        verdict = 'right' if undecided or confidence < 0.5 else 'wrong'
    elif first in wanted and (not undecided or len(wanted) > 1):
        verdict = 'right'
    else:
        verdict = 'undecided' if undecided else 'wrong'
    return Judged(verdict, wanted, first, confidence, test['text'])


@pytest.fixture(scope='module')
def judged(tmp_path_factory):
    with open(os.path.join(mailroom.ROOT, 'knowledge/tests/messages.yaml'), encoding='utf-8') as f:
        tests = yaml.safe_load(f)['messages']
    file = tmp_path_factory.mktemp('explain') / 'messages'
    file.write_text(''.join(t['text'].replace('\n', '\\n') + '\n' for t in tests), encoding='utf-8')
    p = subprocess.run([mailroom.program(), 'explain', '--batch', str(file)], capture_output=True, text=True, timeout=120)
    answers = [json.loads(line) for line in p.stdout.splitlines()]
    assert len(answers) == len(tests)
    return [judge(t, a) for t, a in zip(tests, answers)]


def test_accuracy(judged):
    count = collections.Counter(j.verdict for j in judged)
    print(f'\n{len(judged)} messages: {count["right"]} right, {count["undecided"]} undecided, {count["wrong"]} wrong')
    for j in sorted(judged, key=lambda j: -j.confidence):
        if j.verdict == 'wrong':
            print(f'  wrong, {j.confidence:.2f} {j.first}, should be {" or ".join(j.wanted)}: {j.text[:110]!r}')
    assert count['right'] >= RIGHT_AT_LEAST * len(judged)
    assert count['wrong'] <= WRONG_AT_MOST * len(judged)


def test_nothing_wrong_is_said_with_confidence(judged):
    wrong = {j.text for j in judged if j.verdict == 'wrong' and j.confidence >= 0.9}
    assert wrong <= KNOWN_WRONG, wrong - KNOWN_WRONG


def test_confidence_means_what_it_says(judged):
    table = collections.defaultdict(list)
    for j in judged:
        if j.wanted != ['insufficient-text'] and j.first != 'insufficient-text':
            table[min(int(j.confidence * 10), 9)].append(j.first in j.wanted)
    print()
    for tenth in sorted(table):
        hits = table[tenth]
        print(f'  confidence {tenth / 10:.1f} to {(tenth + 1) / 10:.1f}: {sum(hits)} of {len(hits)} right, {sum(hits) / len(hits):.2f}')
    assert sum(table[9]) >= 0.95 * len(table[9])
    assert sum(table[8]) >= 0.8 * len(table[8])
    middle = table[6] + table[7]
    assert 0.6 * len(middle) <= sum(middle)
