"""Builds and breaks down what Python programs are made of, and prints what came of it."""

import collections
import gc
import hashlib
import heapq
import io
import json
import os
import random
import re
import threading
import zlib

numbers = random.Random(7)


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def dictionaries():
    table = {}
    for i in range(30000):
        table[f"key {numbers.randrange(20000)}"] = [i, str(i) * (i % 9), {"n": i}]
        if i % 3 == 0:
            table.pop(next(iter(table)))
    return table


def documents(table):
    text = json.dumps(table, sort_keys=True, indent=1)
    assert json.loads(text) == table
    packed = zlib.compress(text.encode())
    assert zlib.decompress(packed).decode() == text
    return digest(text)


def sorting():
    words = ["".join(numbers.choices("abcdefgh", k=numbers.randrange(1, 12))) for _ in range(30000)]
    counted = collections.Counter(words)
    heap = list(words)
    heapq.heapify(heap)
    assert [heapq.heappop(heap) for _ in range(len(words))] == sorted(words)
    return digest(" ".join(sorted(words, key=lambda word: (len(word), word)))), counted.most_common(3)


def texts():
    out = io.StringIO()
    for i in range(20000):
        out.write(f"line {i}: {i * i}\n")
    text = re.sub(r"(\d+): (\d+)", r"\2 is \1 squared", out.getvalue())
    return digest(text), len(text)


def large():
    blocks = [bytearray(size) for size in range(1, 3000000, 100003)]
    for number, block in enumerate(blocks):
        assert not any(block[:: 4096])
        block[:] = bytes([number]) * len(block)
        block.extend(b"tail")
    return sum(sum(block[::1000]) for block in blocks)


def cycles():
    class Node:
        pass

    for _ in range(5000):
        one, other = Node(), Node()
        one.other, other.one = other, one
        one.weight = [0] * 100
    return gc.collect() > 0


def threads():
    results = {}

    def work(number):
        own = {}
        for i in range(5000):
            own[i] = bytes([number]) * (i % 1500)
            if i > 200:
                assert own.pop(i - 200) == bytes([number]) * ((i - 200) % 1500)
        results[number] = len(own)

    started = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in started:
        thread.start()
    # A child of a process with threads, which allocates.
    child = os.fork()
    if child == 0:
        os._exit(len(json.dumps(list(range(1000)))) % 100)
    status = os.waitpid(child, 0)[1]
    for thread in started:
        thread.join()
    return sorted(results.items()), status


table = dictionaries()
print(len(table), documents(table))
print(*sorting())
print(*texts())
print(large(), cycles())
print(*threads())
