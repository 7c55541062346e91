#!/usr/bin/env python3
"""A client of webstorage-server in Python's standard library, from nothing but schema/: python3 examples/client.py [PROGRAM]"""
import json
import subprocess
import sys


class StorageError(Exception):
    def __init__(self, error):
        super().__init__(error["message"])
        self.code = error["code"]
        self.name = error.get("data", {}).get("name")


class Server:
    """A server of our own. Events that come between two replies are kept in `events`."""

    def __init__(self, *command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.last_id = 0
        self.events = []

    def call(self, method, **params):
        self.last_id += 1
        message = {"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params}
        # Escapes for everything beyond ASCII keep lone surrogates exact.
        self.process.stdin.write(json.dumps(message).encode("ascii") + b"\n")
        self.process.stdin.flush()
        while True:
            reply = json.loads(self.process.stdout.readline().decode("utf-8"))
            if "method" in reply:
                self.events.append(reply["params"])
            elif "error" in reply:
                raise StorageError(reply["error"])
            else:
                return reply["result"]

    def close(self):
        self.process.stdin.close()
        return self.process.wait()


if __name__ == "__main__":
    server = Server(*(sys.argv[1:] or ["webstorage-server"]), "--no-persistent")
    area = server.call("storage/open", persistent=False, quota=100)["storage"]
    listener = server.call("storage/open", persistent=False)["storage"]
    server.call("storage/subscribe", storage=listener)
    server.call("storage/setItem", storage=area, key="theme", value="dark")
    server.call("storage/setItem", storage=area, key="\ud800", value="a lone surrogate")
    print(server.call("storage/keys", storage=area), server.call("storage/getItem", storage=area, key="theme"))
    print([(event["key"], event["newValue"]) for event in server.events])
    try:
        server.call("storage/setItem", storage=area, key="long", value="x" * 1000)
    except StorageError as error:
        print(error.name, error.code)
    print("exit code", server.close())
