"""Lost power: what the disk may hold at any moment, rebuilt from a record of every write and sync."""

import os
import random
import re
import shutil
import subprocess

from server import Fault, Server

KEYS = 24
WRITES = 900
IMAGES = 80
SECTOR = 512

TRACED = "openat,pwrite64,pwritev2,write,fsync,fdatasync,ftruncate,unlink,rename"
LINE = re.compile(r"^(\d+)\s+(\w+)\((.*)$")


def write_of(number):
    """The write with this number: a key and its value, or None to remove it. Some values fill several pages."""
    key = f"k{number * 7 % KEYS}"
    return key, None if number % 9 == 0 else f"{number}:" + "v" * (6000 if number % 37 == 0 else number % 60)


def after(last):
    """What the bottle holds after the writes up to this number. Every key is written once in KEYS writes."""
    state = {}
    for number in range(max(1, last - KEYS + 1), last + 1):
        key, value = write_of(number)
        state.pop(key, None)
        if value is not None:
            state[key] = value
    return state


def unescape(text):
    return bytes.fromhex(text.replace("\\x", ""))


class Disk:
    """The files of one directory: what is safely on the disk, and what has been written since."""

    def __init__(self):
        self.files = {}      # number of a file: its content as the disk safely has it
        self.pending = {}    # number of a file: the writes since its last sync
        self.names = {}      # names in use now
        self.safe_names = {} # names that the disk safely has
        self.next = 0

    def create(self, name):
        if name not in self.names:
            self.names[name] = self.next
            self.files[self.next], self.pending[self.next] = b"", []
            self.next += 1

    def write(self, name, offset, data):
        self.create(name)
        self.pending[self.names[name]].append((offset, data))

    def truncate(self, name, length):
        self.create(name)
        self.pending[self.names[name]].append((length, None))

    def sync(self, name):
        number = self.names.get(name)
        if number is not None:
            self.files[number] = play(self.files[number], self.pending[number])
            self.pending[number] = []

    def sync_names(self):
        self.safe_names = dict(self.names)

    def image(self, kept, chance):
        """What could be there after the power was lost: of the writes since the last sync all, none, some, or parts of some."""
        names = self.names if kept == "all" else self.safe_names
        if kept in ("some", "torn"):
            names = {**self.safe_names, **{name: number for name, number in self.names.items() if chance.random() < 0.5}}
        image = {}
        for name, number in names.items():
            writes = self.pending[number]
            if kept == "none":
                writes = []
            elif kept == "some":
                writes = [write for write in writes if chance.random() < 0.5]
            elif kept == "torn":
                writes = [torn for write in writes for torn in tear(write, chance)]
            image[name] = play(self.files[number], writes)
        return image


def tear(write, chance):
    offset, data = write
    if data is None:
        return [write] if chance.random() < 0.5 else []
    parts = [(offset + at, data[at:at + SECTOR]) for at in range(0, len(data), SECTOR)]
    return [part for part in parts if chance.random() < 0.7]


def play(content, writes):
    content = bytearray(content)
    for offset, data in writes:
        if data is None:
            del content[offset:]
            content.extend(bytes(offset - len(content)))
        else:
            content.extend(bytes(max(0, offset + len(data) - len(content))))
            content[offset:offset + len(data)] = data
    return bytes(content)


def record(directory, durability, trace):
    """Lets a server write, one call at a time and in groups, and records every write and sync of it."""
    strace = ("strace", "-f", "-y", "-xx", "-s", "2000000", "-o", trace, "-e", f"trace={TRACED}")
    with Server(directory, "--durability", durability, wrapper=strace) as server:
        storage = server.call("storage/open", True)["storage"]
        number = 0
        while number < WRITES:
            burst = 1 if number % 2 else 40
            calls = []
            for number in range(number + 1, number + burst + 1):
                key, value = write_of(number)
                calls.append(("removeItem", storage, key) if value is None else ("setItem", storage, key, value))
            assert not any(isinstance(reply, Fault) for reply in server.all(calls))
        server.end()


def events(trace, directory):
    """What the record says, in its order: functions that do it to a Disk, and the numbers of acknowledged writes."""
    bottles = os.path.join(directory, "bottles").encode()
    begun = {}
    acknowledged = 0
    for line in open(trace):
        match = LINE.match(line)
        if match:
            process, call, rest = match.groups()
            if "<unfinished ..." in rest:
                begun[process] = (call, rest.split("<unfinished ...")[0])
                continue
        else:
            match = re.match(r"^(\d+)\s+<\.\.\. (\w+) resumed>(.*)$", line)
            if not match or match.group(1) not in begun:
                continue
            process, call, rest = match.groups()
            rest = begun.pop(process)[1] + rest
        result = re.search(r"\)\s+= (-?\d+)", rest)
        if not result or int(result.group(1)) < 0:
            continue
        paths = [unescape(path) for path in re.findall(r"\d+<([^>]*)>", rest)]
        strings = [unescape(text) for text in re.findall(r'"([^"]*)"', rest)]
        path = paths[0] if paths else b""
        inside = os.path.dirname(path) == bottles
        numbers = [int(number) for number in re.findall(r", (\d+)", rest.split(") ")[0])]
        if call in ("write", "pwritev2") and strings and b'"jsonrpc"' in strings[0] and not inside:
            acknowledged += strings[0].count(b'"result":null')
            yield None, acknowledged
        elif call == "openat" and "O_CREAT" in rest and os.path.dirname(strings[0]) == bottles:
            yield (lambda disk, name=strings[0]: disk.create(name)), None
        elif call == "pwrite64" and inside:
            yield (lambda disk, name=path, data=strings[0], at=numbers[-1]: disk.write(name, at, data)), None
        elif call == "ftruncate" and inside:
            yield (lambda disk, name=path, length=numbers[-1]: disk.truncate(name, length)), None
        elif call in ("fsync", "fdatasync") and inside:
            yield (lambda disk, name=path: disk.sync(name)), None
        elif call == "fsync" and path == bottles:
            yield (lambda disk: disk.sync_names()), None
        elif call == "unlink" and os.path.dirname(strings[0]) == bottles:
            yield (lambda disk, name=strings[0]: disk.names.pop(name, None)), None


def check_image(image, directory, sent, at_least):
    """A server started on the image finds what was written up to some moment; the number of that write."""
    bottles = os.path.join(directory, "bottles")
    shutil.rmtree(directory, ignore_errors=True)
    for name in ("", "bottles", "damaged"):
        os.makedirs(os.path.join(directory, name), mode=0o700, exist_ok=True)
    for path, content in image.items():
        # Shared memory is made anew after a start.
        if not path.endswith(b"-shm"):
            with open(os.open(os.path.join(bottles, os.path.basename(path).decode()), os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
                file.write(content)
    with Server(directory) as server:
        opened = server.call("storage/open", True)
        keys = server.call("storage/keys", opened["storage"])
        values = server.all(("getItem", opened["storage"], key) for key in keys)
        found = {key: value[0] for key, value in zip(keys, values)}
        assert opened["length"] == len(found)
        assert opened["usage"] == sum(2 * (len(key) + len(value)) for key, value in found.items())
        assert server.call("setItem", opened["storage"], "again", "x") is None
        server.end()
    last = next((last for last in range(at_least, sent + 1) if after(last) == found), None)
    assert last is not None, f"what is found is not what was written up to any moment from {at_least} to {sent}: {sorted(found)}"
    return last


def lose_power(new_directory, durability, seed):
    chance = random.Random(seed)
    directory = new_directory()
    trace = directory + ".trace"
    record(directory, durability, trace)
    history = list(events(trace, directory))
    acknowledged_at_all = max(number or 0 for _, number in history)
    assert acknowledged_at_all >= WRITES, f"the record has all {WRITES} acknowledgements: {acknowledged_at_all}"
    chosen = set(chance.sample(range(len(history)), min(IMAGES, len(history))))
    disk, acknowledged, images, lost = Disk(), 0, 0, 0
    for position, (action, number) in enumerate(history):
        if action:
            action(disk)
        else:
            acknowledged = number
        if position in chosen:
            for kept in ("all", "none", "some", "torn"):
                at_least = acknowledged if durability == "full" else 0
                last = check_image(disk.image(kept, chance), directory + ".image", WRITES + 40, at_least)
                lost = max(lost, acknowledged - last)
                images += 1
    return f"{images} images; at most {max(0, lost)} of {acknowledged_at_all} acknowledged writes lost"


def full_durability_loses_nothing_with_the_power(new_directory):
    return lose_power(new_directory, "full", 1)


def normal_durability_keeps_a_prefix_when_power_is_lost(new_directory):
    return lose_power(new_directory, "normal", 2)


CHECKS = (full_durability_loses_nothing_with_the_power, normal_durability_keeps_a_prefix_when_power_is_lost)
