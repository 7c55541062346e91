"""A server process, calls to it, and strace beside it."""

import json
import os
import re
import select
import signal
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PATIENCE = 60


def program():
    """The program under test: the one that is named, else the newest that was built."""
    named = os.environ.get("WEBSTORAGE_SERVER")
    built = [os.path.join(ROOT, "target", kind, "webstorage-server") for kind in ("release", "debug")]
    found = [path for path in ([named] if named else built) if os.path.exists(path)]
    if not found:
        raise SystemExit("no server to test: run `cargo build --release`, or name one in WEBSTORAGE_SERVER")
    return max(found, key=os.path.getmtime)


class Fault(Exception):
    """The error of a call."""

    def __init__(self, error):
        super().__init__(error["message"])
        self.code = error["code"]
        self.name = error.get("data", {}).get("name")
        self.data = error.get("data", {})


class Server:
    """A server on a storage directory. Leaving the `with` block ends its process, and no other."""

    def __init__(self, directory, *flags, wrapper=()):
        environment = {name: value for name, value in os.environ.items() if name not in ("WEBSTORAGE_DIR", "RUST_LOG")}
        command = [*wrapper, program(), "--storage-dir", directory, *flags]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        self.sent = self.answered = 0
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                pipe.close()
            except BrokenPipeError:
                pass

    @property
    def pid(self):
        return self.process.pid

    def send(self, *calls):
        """Sends calls, each a method and its params, in one write."""
        text = ""
        for method, *params in calls:
            self.sent += 1
            text += json.dumps({"jsonrpc": "2.0", "id": self.sent, "method": method, "params": params}) + "\n"
        try:
            self.process.stdin.write(text.encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            pass

    def receive(self):
        """The next reply: a result or a Fault; None at the end of the output."""
        deadline = time.monotonic() + PATIENCE
        while b"\n" not in self.buffer:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError("no reply came in time")
            chunk = os.read(self.process.stdout.fileno(), 1 << 16)
            if not chunk:
                return None
            self.buffer += chunk
        line, self.buffer = self.buffer.split(b"\n", 1)
        reply = json.loads(line)
        self.answered += 1
        assert reply["id"] == self.answered, "replies come in the order of the calls"
        return Fault(reply["error"]) if "error" in reply else (reply["result"],)

    def all(self, calls):
        """Makes calls in one write and takes all their replies."""
        calls = list(calls)
        self.send(*calls)
        return [self.receive() for _ in calls]

    def call(self, *call):
        """Makes a call that must succeed."""
        self.send(call)
        reply = self.receive()
        if isinstance(reply, Fault):
            raise reply
        assert reply is not None, "the server ended without an answer"
        return reply[0]

    def fail(self, *call):
        """Makes a call that must fail."""
        try:
            result = self.call(*call)
        except Fault as fault:
            return fault
        raise AssertionError(f"{call[0]} succeeded with {result!r}")

    def end(self):
        """Ends the input; the exit code, once the server has ended."""
        self.process.stdin.close()
        return self.process.wait(PATIENCE)


def items(directory):
    """Every item that a server started now finds, with a check that length, usage and keys agree."""
    with Server(directory) as server:
        opened = server.call("storage/open", True)
        keys = server.call("storage/keys", opened["storage"])
        values = server.all(("getItem", opened["storage"], key) for key in keys)
        found = {key: value[0] for key, value in zip(keys, values)}
        assert len(found) == opened["length"] == len(keys), "length and keys agree"
        usage = sum(2 * (len(key) + len(value)) for key, value in found.items())
        assert usage == opened["usage"], f"usage {opened['usage']} and items {usage} agree"
        assert server.end() == 0
    return found


class Injected:
    """Lets system calls of a running server fail while the `with` block is inside, by `strace --inject`; with `path` those
    that concern this file."""

    def __init__(self, pid, injection, path=None):
        call = injection.split(":")[0]
        only = ["-P", path] if path else []
        self.strace = subprocess.Popen(
            ["strace", "-f", "-q", "-e", f"trace={call}", "-e", f"inject={injection}", *only, "-o", "/dev/null", "-p", str(pid)],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.pid = pid

    def __enter__(self):
        deadline = time.monotonic() + PATIENCE
        tasks = f"/proc/{self.pid}/task"
        # It is attached once it traces every thread.
        while any(not re.search(r"^TracerPid:\s*[1-9]", open(f"{tasks}/{task}/status").read(), re.M) for task in os.listdir(tasks)):
            assert self.strace.poll() is None, f"strace cannot attach: {self.strace.stderr.read().decode()}"
            assert time.monotonic() < deadline, "strace does not attach"
            time.sleep(0.001)
        return self

    def __exit__(self, *_):
        if self.strace.poll() is None:
            self.strace.send_signal(signal.SIGINT)
        try:
            self.strace.wait(2)
        except subprocess.TimeoutExpired:
            # It can wait for ever for a thread of a process that it has killed.
            self.strace.kill()
            self.strace.wait()
        self.strace.stderr.close()
