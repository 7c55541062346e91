"""python-lsp-jsonrpc, the library under python-lsp-server, as a client."""
import os
import subprocess
import sys
import threading
import traceback

from pylsp_jsonrpc.endpoint import Endpoint
from pylsp_jsonrpc.exceptions import JsonRpcException
from pylsp_jsonrpc.streams import JsonRpcStreamReader, JsonRpcStreamWriter

TIMEOUT = 30


def connect(*flags, dispatcher=None):
    process = subprocess.Popen(
        [os.environ["WEBSTORAGE_SERVER"], *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    endpoint = Endpoint(dispatcher or {}, JsonRpcStreamWriter(process.stdin).write)
    reader = JsonRpcStreamReader(process.stdout)
    threading.Thread(target=reader.listen, args=(endpoint.consume,), daemon=True).start()
    return process, endpoint


def call(endpoint, method, params=None):
    return endpoint.request(method, params).result(timeout=TIMEOUT)


def requests_and_exit():
    process, endpoint = connect("--no-persistent")
    result = call(endpoint, "initialize", {"processId": os.getpid(), "rootUri": None, "capabilities": {}})
    assert result["serverInfo"]["name"] == "webstorage-server", result
    endpoint.notify("initialized", {})
    storage = call(endpoint, "storage/open", {"persistent": False})["storage"]
    for value in ["plain", "", "é😀", "\ud800", "a\x00b", "x" * 100_000]:
        assert call(endpoint, "setItem", [storage, "k", value]) is None
        assert call(endpoint, "getItem", {"storage": storage, "key": "k"}) == value
    assert call(endpoint, "shutdown") is None
    endpoint.notify("exit")
    assert process.wait(TIMEOUT) == 0


def errors():
    process, endpoint = connect("--no-persistent")
    try:
        call(endpoint, "storage/length", {"storage": 99})
    except JsonRpcException as error:
        assert (error.code, error.data) == (11, {"name": "InvalidStateError"}), (error.code, error.data)
    else:
        raise AssertionError("an unknown handle is an error")
    process.stdin.close()
    assert process.wait(TIMEOUT) == 0


def events():
    heard, arrived = [], threading.Event()

    def on_event(params):
        heard.append((params["key"], params["newValue"]))
        arrived.set()

    process, endpoint = connect("--no-persistent", dispatcher={"storage/event": on_event})
    first, second = (call(endpoint, "storage/open", {"persistent": False})["storage"] for _ in range(2))
    call(endpoint, "storage/subscribe", {"storage": second})
    call(endpoint, "setItem", [first, "k", "v"])
    assert arrived.wait(TIMEOUT) and heard == [("k", "v")], heard
    process.stdin.close()
    assert process.wait(TIMEOUT) == 0


for check in (requests_and_exit, errors, events):
    name = f"python-lsp-jsonrpc: {check.__name__.replace('_', ' ')}"
    try:
        check()
        print(f"ok - {name}", flush=True)
    except Exception:
        traceback.print_exc(file=sys.stderr)
        print(f"not ok - {name}", flush=True)
