from __future__ import annotations

import threading

from oomguard.mailbox import Mailbox
from tests.processfolder import eventually


def test_things_come_in_their_order() -> None:
    box: Mailbox[int] = Mailbox()
    for each in range(3):
        box.put(each)
    assert [box.take() for _ in range(3)] == [0, 1, 2]


def test_who_takes_waits_and_each_thing_comes_once() -> None:
    box: Mailbox[int] = Mailbox()
    taken: list[int] = []
    takers = [threading.Thread(target=lambda: taken.append(box.take()), daemon=True) for _ in range(8)]
    for taker in takers:
        taker.start()
    assert taken == []
    for each in range(8):
        box.put(each)
    assert eventually(lambda: sorted(taken) == list(range(8)))


def test_nothing_is_lost_where_many_are_at_both_ends() -> None:
    box: Mailbox[int] = Mailbox()
    taken: list[int] = []

    def take() -> None:
        while (item := box.take()) >= 0:
            taken.append(item)

    def put() -> None:
        for each in range(2000):
            box.put(each)

    takers = [threading.Thread(target=take, daemon=True) for _ in range(4)]
    putters = [threading.Thread(target=put, daemon=True) for _ in range(4)]
    for thread in (*takers, *putters):
        thread.start()
    for thread in putters:
        thread.join()
    for _ in takers:
        box.put(-1)
    for thread in takers:
        thread.join(timeout=10)
    assert sorted(taken) == sorted(4 * list(range(2000)))
