"""Can the crash test fail? The promise is broken on purpose, from outside the server, and each break has to be reported by its name."""
import os
import random
import sqlite3
import time

from clients import Refused, Smtp, make_text, read_mail
from ledger import DOUBLED, LOST, PERMANENT, RETURNED, UNKNOWN
from kill import Session
from rig import Rig

ALICE, DAVE = 'alice@mailroom.test', 'dave@mailroom.test'


def database(rig):
    return os.path.join(rig.home, 'store', 'mail.db')


def forgotten_log(rig):
    """a power cut on a disk that had not synced: what was only in the write-ahead log is gone"""
    Session(rig, random.Random(1), 'lost').run(large=False)
    rig.kill()
    for tail in ('-wal', '-shm'):
        os.unlink(database(rig) + tail)
    rig.start()


def vanished_copy(rig):
    """one copy of one acknowledged message is taken out behind the server's back"""
    rig.post(random.Random(2), 'vanish').send([ALICE], 300)
    rig.stop()
    db = sqlite3.connect(database(rig))
    db.execute('DELETE FROM mailbox_item WHERE message = (SELECT max(message) FROM mailbox_item)')
    db.commit()
    db.close()
    rig.start()


def second_copy(rig):
    """the same Message-ID from another sender is a message of its own: to the ledger, which was told of one, a second copy"""
    mid = '<second@crash.test>'
    rig.ledger.send(mid, [ALICE])
    for sender in ('one@crash.test', 'two@crash.test'):
        conn = Smtp(rig.port['mx'])
        conn.message(sender, [ALICE], make_text(mid, 100))
        conn.close()
    rig.ledger.ack(mid)


def deleted_and_back(rig):
    """mail that its owner deleted is handed in again as it was, past what the server would know as a repeat"""
    post = rig.post(random.Random(3), 'back')
    post.send([DAVE], 100)
    read_mail(rig, rig.ledger, DAVE)
    mid = next(iter(rig.ledger.gone))[0]
    conn = Smtp(rig.port['mx'])
    conn.message('other@crash.test', [DAVE], make_text(mid, 100))
    conn.close()


def never_sent(rig):
    conn = Smtp(rig.port['mx'])
    conn.message('s@crash.test', [ALICE], make_text('<never@crash.test>', 100))
    conn.close()


def refused_for_good(rig):
    """a 5xx (here deserved: nobody of that name) counts"""
    conn = Smtp(rig.port['mx'])
    try:
        conn.message('s@crash.test', ['nobody@mailroom.test'], make_text('<r@crash.test>', 100))
    except Refused as e:
        rig.ledger.refuse(e.code, e.words)
    conn.close()


def no_service(rig):
    """nobody answers: a return to service that does not come"""
    rig.stop()


CASES = ((forgotten_log, LOST), (vanished_copy, LOST), (second_copy, DOUBLED), (deleted_and_back, RETURNED), (never_sent, UNKNOWN), (refused_for_good, PERMANENT))


def run():
    passed = failed = 0

    def result(what, ok, words):
        nonlocal passed, failed
        passed, failed = passed + ok, failed + (not ok)
        print('selftest: %-17s %s: %s' % (what, words, 'ok' if ok else 'FAILED'), flush=True)

    for case, expected in CASES:
        with Rig(workers=1, prefix=case.__name__) as rig:
            clean = rig.back('selftest', []) and not rig.audit()[0]
            case(rig)
            bad = rig.audit()[0]
        names = {name: len(cases) for name, cases in bad.items()}
        result(case.__name__, clean and set(names) == {expected}, 'reported %s' % names)
    with Rig(workers=1, prefix='none') as rig:
        no_service(rig)
        problems = []
        begin = time.monotonic()
        back = rig.back('selftest', problems, within_s=0.3)
        result('no_service', not back and bool(problems), 'given up after %.1f s' % (time.monotonic() - begin))
    print('%d passed, %d failed' % (passed, failed))
    return 1 if failed or not passed else 0
