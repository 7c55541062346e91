"""Disks that fail: each call is answered with the truth, what was acknowledged stays, and the next call works."""

import glob
import os
import signal
import subprocess
import time

from server import Fault, Injected, Server, items


def check_members(replies, found, before):
    """Acknowledged sets are found, those that failed are not: all or error."""
    expected = dict(before)
    for (key, value), reply in replies:
        assert reply is not None, "every call is answered"
        if isinstance(reply, Fault):
            assert reply.name in ("UnknownError", "DataCorruption"), f"{reply.name}: {reply}"
        else:
            expected[key] = value
    lost = {key for key in expected if found.get(key) != expected[key]}
    assert not lost, f"acknowledged and lost: {sorted(lost)}"
    surplus = {key for key in found if key not in expected}
    assert not surplus, f"answered with an error and stored: {sorted(surplus)}"


def burst(tag, count):
    return [(f"{tag}-{n}", f"{tag}:{n}" + "v" * (n % 7 * 300)) for n in range(count)]


def group_with(injection, directory, flags=()):
    """A group of pipelined sets and gets meets a failing disk; returns how many of its calls failed."""
    before = dict(burst("before", 300))
    with Server(directory, *flags) as server:
        storage = server.call("storage/open", True)["storage"]
        server.all(("setItem", storage, key, value) for key, value in before.items())
        # Another process writes, so that pages must be read again.
        with Server(directory) as other:
            handle = other.call("storage/open", True)["storage"]
            other.call("setItem", handle, "other", "x")
            before["other"] = "x"
            other.end()
        wanted = burst("group", 60)
        calls = []
        for n, (key, value) in enumerate(wanted):
            calls += [("setItem", storage, key, value), ("getItem", storage, f"before-{n * 5 % 300}")]
        with Injected(server.pid, injection):
            replies = server.all(calls)
        sets, gets = replies[0::2], replies[1::2]
        for n, reply in enumerate(gets):
            if not isinstance(reply, Fault):
                assert reply[0] == before[f"before-{n * 5 % 300}"], "a read is right or fails"
        assert server.call("setItem", storage, "after", "x") is None
        assert server.call("getItem", storage, "after") == "x"
        before["after"] = "x"
        length = server.call("length", storage)
        assert server.end() == 0
    found = items(directory)
    check_members(list(zip(wanted, sets)), found, before)
    assert length == len(found), f"length {length} was told, {len(found)} items are there"
    return sum(isinstance(reply, Fault) for reply in replies)


def failing_syscalls(new_directory):
    """The k-th write, read or sync after a moment fails, or all do. SQLite takes a read that fails with EIO for damage, and
    rolls the transaction back if it fails with another error."""
    cases = failed = 0
    for call, error, flags in (("pwrite64", "EIO", ()), ("pwrite64", "ENOSPC", ()), ("pread64", "EIO", ()), ("pread64", "ENOMEM", ()),
                               ("fdatasync", "EIO", ("--durability", "full")), ("fsync", "EIO", ("--durability", "full"))):
        hits = 0
        for when in ("1", "2", "3", "5", "8", "13", "40", "1+", "4+"):
            count = group_with(f"{call}:error={error}:when={when}", new_directory(), flags)
            hits += count > 0
            failed += count
            cases += 1
        if call != "fdatasync":
            assert hits > 0, f"no injected {error} of {call} was met"
    return f"{cases} groups, {failed} calls failed and said so"


def single_calls_meet_a_failing_disk(new_directory):
    """One call at a time: it fails with the code of SQLite, changes nothing, and the next one works."""
    directory = new_directory()
    failed = 0
    with Server(directory) as server:
        storage = server.call("storage/open", True)["storage"]
        server.call("setItem", storage, "k", "old")
        for when in range(1, 7):
            with Injected(server.pid, f"pwrite64:error=EIO:when={when}"):
                server.send(("setItem", storage, "k", f"new{when}" + "v" * 9000))
                reply = server.receive()
            value = server.call("getItem", storage, "k")
            if isinstance(reply, Fault):
                failed += 1
                assert reply.name == "UnknownError" and isinstance(reply.data.get("sqliteCode"), int), f"{reply.name} {reply.data}"
                assert value == "old", value
            server.call("setItem", storage, "k", "old")
            assert server.call("length", storage) == 1
        server.end()
    assert items(directory) == {"k": "old"}
    assert failed > 0
    return f"{failed} calls failed and changed nothing"


def opening_meets_a_failing_disk(new_directory):
    """A disk that fails while a sound bottle is opened is an error, and never a reason to move the bottle aside."""
    directory = new_directory()
    with Server(directory) as server:
        storage = server.call("storage/open", True)["storage"]
        server.all(("setItem", storage, key, value) for key, value in burst("k", 200))
        server.process.kill()
    cases = refused = 0
    for call in ("pread64", "pwrite64", "openat", "fstat", "newfstatat", "ftruncate", "mmap", "fcntl"):
        for when in ("1", "2", "3", "4", "6", "1+"):
            with Server(directory, "--busy-timeout", "200") as server:
                server.call("storage/open", False)
                with Injected(server.pid, f"{call}:error=EIO:when={when}"):
                    server.send(("storage/open", True))
                    reply = server.receive()
                assert reply is not None, f"{call} {when}: the server died"
                if isinstance(reply, Fault):
                    refused += 1
                    assert "moved" not in str(reply) and not reply.data.get("movedTo"), f"{call} {when}: {reply}"
                opened = server.call("storage/open", True)
                assert opened["length"] == 200, f"{call} {when}: {opened}"
                cases += 1
    assert os.listdir(os.path.join(directory, "damaged")) == []
    assert len(items(directory)) == 200
    return f"{cases} openings, {refused} refused, none moved aside"


def a_disk_that_does_not_read(new_directory):
    """A bottle that the disk cannot read, once or for long, is an error of the disk. It is not moved aside, and there again."""
    cases = 0
    for suffix in ("", "-wal"):
        directory = new_directory()
        with Server(directory) as server:
            storage = server.call("storage/open", True)["storage"]
            server.all(("setItem", storage, key, value) for key, value in burst("k", 200))
            # What ends orderly leaves no WAL.
            if suffix:
                server.process.kill()
        (bottle,) = glob.glob(os.path.join(directory, "bottles", "*.sqlite"))
        for when in ("1", "2", "1+", "2+", "3+"):
            with Server(directory, "--busy-timeout", "200") as server:
                server.call("storage/open", False)
                with Injected(server.pid, f"pread64:error=EIO:when={when}", bottle + suffix):
                    server.send(("storage/open", True))
                    reply = server.receive()
                    opened = not isinstance(reply, Fault)
                    if opened:
                        reply = server.fail("storage/entries", reply["storage"]) if when == "1+" else None
                assert reply is None or reply.name == "UnknownError" and "disk" in str(reply), f"{suffix} {when}: {reply.name}: {reply}"
                server.call("storage/open", True)
                cases += 1
                if suffix:
                    server.process.kill()
        assert os.listdir(os.path.join(directory, "damaged")) == []
        assert len(items(directory)) == 200
    return f"{cases} openings, none moved aside"


def killed_in_a_system_call(new_directory):
    """SIGKILL in the k-th write, sync or truncation: what was acknowledged is there."""
    cases = 0
    for call, whens in (("pwrite64", (1, 2, 3, 7, 20, 55, 150, 400)), ("fsync", (1, 2)), ("ftruncate", (1,)), ("unlink", (1, 2))):
        for when in whens:
            directory = new_directory()
            with Server(directory) as server:
                storage = server.call("storage/open", True)["storage"]
                wanted = burst("k", 1500)
                with Injected(server.pid, f"{call}:signal=SIGKILL:when={when}"):
                    server.send(*(("setItem", storage, key, value) for key, value in wanted))
                    server.process.stdin.close()
                    acknowledged = 0
                    while True:
                        reply = server.receive()
                        if reply is None:
                            break
                        assert not isinstance(reply, Fault), reply
                        acknowledged += 1
            found = list(items(directory).items())
            assert acknowledged <= len(found), f"{acknowledged} acknowledged, {len(found)} found"
            assert found == wanted[:len(found)], "what is there is what was written up to some moment"
            cases += 1
    return f"{cases} kills"


def mounted(directory, kind, options):
    os.makedirs(directory, exist_ok=True)
    subprocess.run(["mount", "-t", kind, "-o", options, kind, directory], check=True)


def fill(server, storage, most):
    """Sets items until one fails for lack of space, before `most` are set; those that were acknowledged."""
    written = {}
    for n in range(most):
        server.send(("setItem", storage, f"k{n}", "v" * 1000))
        reply = server.receive()
        if isinstance(reply, Fault):
            break
        written[f"k{n}"] = "v" * 1000
    assert isinstance(reply, Fault) and reply.name == "UnknownError" and "space" in str(reply), repr(reply)
    return written


def full_disk(new_directory):
    """A file system without space: writes fail and say so, reads and session areas work, and space brings all back."""
    directory = new_directory()
    mounted(directory, "tmpfs", "size=1536k,mode=700")
    try:
        with Server(directory) as server:
            storage = server.call("storage/open", True)["storage"]
            session = server.call("storage/open", False)["storage"]
            written = fill(server, storage, 4000)
            assert len(written) > 100
            replies = server.all(("setItem", storage, f"g{n}", "v" * 1000) for n in range(50))
            written.update({f"g{n}": "v" * 1000 for n, reply in enumerate(replies) if not isinstance(reply, Fault)})
            assert server.call("getItem", storage, "k5") == "v" * 1000
            assert server.call("length", storage) == len(written)
            server.call("setItem", session, "k", "v")
            other = server.fail("storage/open", True, "https://other.example")
            assert other.name == "UnknownError" and "space" in str(other), f"{other.name} {other}"
            subprocess.run(["mount", "-o", "remount,size=16m", directory], check=True)
            server.call("setItem", storage, "after", "x")
            written["after"] = "x"
            server.call("storage/open", True, "https://other.example")
            assert server.end() == 0
        assert items(directory) == written
        return f"{len(written)} items kept"
    finally:
        subprocess.run(["umount", "-l", directory], check=True)


def read_only_disk(new_directory):
    """A read-only file system: a clear error, and all is back when it can be written again."""
    directory = new_directory()
    with Server(directory) as server:
        storage = server.call("storage/open", True)["storage"]
        server.call("setItem", storage, "k", "v")
        server.end()
    subprocess.run(["mount", "--bind", directory, directory], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", directory], check=True)
        for origin in ("http://localhost", "https://new.example"):
            with Server(directory) as server:
                fault = server.fail("storage/open", True, origin)
                assert fault.name in ("UnknownError", "NotSupportedError") and "read-only" in str(fault).lower(), f"{fault.name}: {fault}"
                assert server.call("storage/open", False)["length"] == 0
                assert server.end() == 0
        subprocess.run(["mount", "-o", "remount,bind,rw", directory], check=True)
    finally:
        subprocess.run(["umount", "-l", directory], check=True)
    assert items(directory) == {"k": "v"}
    return "refused, and then not"


def file_size_limit(new_directory):
    """`ulimit -f`: the signal that goes with it kills nobody."""
    directory = new_directory()
    with Server(directory, wrapper=("bash", "-c", "ulimit -f 400; exec \"$0\" \"$@\"")) as server:
        storage = server.call("storage/open", True)["storage"]
        written = fill(server, storage, 2000)
        assert server.call("length", storage) == len(written)
        assert server.end() == 0
    assert items(directory) == written
    return f"{len(written)} items kept"


def stopped_holder_of_the_write_lock(new_directory):
    """SIGSTOP hits a process that holds the write lock: others wait as long as they are told, and then say so."""
    directory = new_directory()
    for attempt in range(200):
        with Server(directory) as holder, Server(directory, "--busy-timeout", "300") as server:
            handle = holder.call("storage/open", True)["storage"]
            storage = server.call("storage/open", True)["storage"]
            value = f"{attempt:04}" * 750
            holder.send(*(("setItem", handle, f"h{n}", value) for n in range(600)))
            # Most of the time of a group of writes is spent with the lock held.
            time.sleep(0.0005 * (attempt % 20))
            os.kill(holder.pid, signal.SIGSTOP)
            server.send(("setItem", storage, "k", str(attempt)))
            reply = server.receive()
            reads = server.call("length", storage)
            os.kill(holder.pid, signal.SIGCONT)
            for _ in range(600):
                assert not isinstance(holder.receive(), Fault)
            server.call("setItem", storage, f"after {attempt}", "x")
            assert server.call("length", storage) >= reads + 1
            assert holder.end() == 0 and server.end() == 0
        if isinstance(reply, Fault):
            assert reply.name == "TimeoutError", f"{reply.name}: {reply}"
            found = items(directory)
            assert all(found[f"h{n}"] == value for n in range(600))
            return f"met the lock in attempt {attempt + 1}"
    raise AssertionError("in 200 attempts the holder was never stopped with the lock held")


CHECKS = (failing_syscalls, single_calls_meet_a_failing_disk, opening_meets_a_failing_disk, a_disk_that_does_not_read, killed_in_a_system_call, full_disk,
          read_only_disk, file_size_limit, stopped_holder_of_the_write_lock)
