// A server that is missing, refuses, dies or hangs gives a clear exception, soon, and leaves nothing behind.
import assert from "node:assert/strict";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { connect, createWebStorage, locateServer, platformPackage } from "webstorage-client";
import { serverPath } from "../paths.mjs";
import { exists, runModule, temporaryDirectory, until } from "./processes.mjs";

function withEnvironment(changes, action) {
  const before = Object.fromEntries(Object.keys(changes).map((name) => [name, process.env[name]]));
  const apply = (values) => {
    for (const [name, value] of Object.entries(values)) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  };
  apply(changes);
  try {
    return action();
  } finally {
    apply(before);
  }
}

test("the server is found by option, by WEBSTORAGE_SERVER, and on PATH, in this order", (t) => {
  const directory = temporaryDirectory();
  const program = join(directory, "webstorage-server");
  writeFileSync(program, "#!/bin/sh\n");
  chmodSync(program, 0o755);
  withEnvironment({ PATH: `/nowhere:${directory}`, WEBSTORAGE_SERVER: undefined }, () => assert.equal(locateServer(), program));
  withEnvironment({ PATH: directory, WEBSTORAGE_SERVER: serverPath() }, () => {
    assert.equal(locateServer(), serverPath());
    assert.equal(locateServer(program), program);
  });
});

test("a missing server is said with what to do about it", () => {
  const { localStorage } = withEnvironment({ PATH: "/nowhere", WEBSTORAGE_SERVER: undefined }, () => {
    const storage = createWebStorage();
    assert.throws(() => storage.localStorage.length, {
      name: "NotSupportedError",
      message: new RegExp(`${platformPackage()}.*WEBSTORAGE_SERVER`),
    });
    return storage;
  });
  withEnvironment({ WEBSTORAGE_SERVER: "/nowhere/server" }, () => {
    assert.throws(() => localStorage.getItem("a"), { name: "NotSupportedError", message: /WEBSTORAGE_SERVER.*\/nowhere\/server/ });
  });
  withEnvironment({ WEBSTORAGE_SERVER: serverPath() }, () => assert.equal(localStorage.length, 0));
});

test("a program that is no server is said with what it printed", (t) => {
  const program = join(temporaryDirectory(), "not-a-server");
  writeFileSync(program, "#!/bin/sh\necho 'cannot run here' >&2\nexit 1\n");
  chmodSync(program, 0o755);
  for (const mode of ["mirrored", "direct"]) {
    const storage = createWebStorage({ server: program, mode });
    assert.throws(() => storage.localStorage.length, {
      name: "UnknownError",
      message: /not-a-server ended unexpectedly \(exit code 1\) before it answered\..*cannot run here.*'server', WEBSTORAGE_SERVER or PATH/,
    });
  }
});

for (const [what, script, message] of [
  ["ends at once", "exit 0", /ended unexpectedly \(exit code 0\) before it answered/],
  ["is killed", "kill -KILL $$", /ended unexpectedly \(SIGKILL\) before it answered/],
  ["writes something else", "echo hello; exec sleep 60", /wrote a line that is no message, and was ended: "hello" before it answered/],
]) {
  test(`a program that ${what} is said to be no server`, async () => {
    const program = join(temporaryDirectory(), "not-a-server");
    writeFileSync(program, `#!/bin/sh\n${script}\n`);
    chmodSync(program, 0o755);
    for (const mode of ["mirrored", "direct"]) {
      const storage = createWebStorage({ server: program, mode });
      const refused = (error) => error instanceof DOMException && error.name === "UnknownError" && message.test(error.message) && /--version/.test(error.message);
      assert.throws(() => storage.localStorage.length, refused);
      assert.throws(() => storage.snapshot(), refused);
      storage.close();
    }
    await assert.rejects(connect({ server: program }), (error) => error instanceof DOMException && message.test(error.message));
  });
}

// Deno leaves a child another number of its output, so that a program there cannot end its output before itself.
if (!("Deno" in globalThis)) {
  test("a clock that a test has stopped does not keep a call waiting for the end of the server", () => {
    const program = join(temporaryDirectory(), "not-a-server");
    // Its output ends, and it does not for longer than a call waits for that.
    writeFileSync(program, "#!/bin/sh\nexec sleep 3 >&-\n");
    chmodSync(program, 0o755);
    const real = Object.getOwnPropertyDescriptor(globalThis, "performance");
    Object.defineProperty(globalThis, "performance", { configurable: true, value: { now: () => 0 } });
    try {
      const storage = createWebStorage({ server: program });
      assert.throws(() => storage.localStorage.length, { name: "UnknownError", message: /ended unexpectedly before it answered/ });
      storage.close();
    } finally {
      Object.defineProperty(globalThis, "performance", real);
    }
  });
}

test("a program that gives no answer is ended, with what it printed", () => {
  const program = join(temporaryDirectory(), "not-a-server");
  writeFileSync(program, "#!/bin/sh\necho 'waits for ever' >&2\nexec sleep 60\n");
  chmodSync(program, 0o755);
  for (const mode of ["mirrored", "direct"]) {
    const storage = createWebStorage({ server: program, mode, timeout: 300 });
    assert.throws(() => storage.localStorage.length, { name: "TimeoutError", message: /no answer for 300 ms and was ended\. It said: waits for ever/ });
  }
});

test("a seed file that cannot be used is said with the option and what was expected", () => {
  const directory = temporaryDirectory();
  const path = (name, content) => (writeFileSync(join(directory, name), content), join(directory, name));
  for (const [seed, why] of [
    [join(directory, "missing.json"), /missing\.json, which does not exist/],
    [directory, /which is no regular file/],
    [path("broken.json", "{"), /broken\.json, which is not JSON/],
    [path("name.json", '"other.json"'), /^The file \/.*name\.json of the option seed is wrong: .* found a string/],
  ]) {
    assert.throws(
      () => createWebStorage({ seed }),
      (error) => /^The (option seed names the )?file \//.test(error.message) && why.test(error.message) && /expected (a JSON file with )?a storageState/.test(error.message),
    );
  }
});

for (const mode of ["mirrored", "direct"]) {
  describe(`${mode} storage`, () => {
    const open = (t, options = {}) => {
      const storage = createWebStorage({ mode, server: serverPath(), ...options });
      t.after(() => storage.close());
      return storage;
    };

    test("a killed server: everything throws, and a new storage works", async (t) => {
      const storage = open(t);
      storage.localStorage.setItem("a", "1");
      storage.flush();
      const pid = storage.serverPid;
      process.kill(pid, "SIGKILL");
      await until(() => !exists(pid), "the end of the server");
      assert.throws(
        () => {
          storage.localStorage.setItem("b", "2");
          storage.flush();
        },
        (error) => error instanceof DOMException && error.name === "UnknownError" && /ended unexpectedly/.test(error.message),
      );
      const { localStorage } = storage;
      for (const operation of [
        () => localStorage.setItem("c", "3"),
        () => localStorage.getItem("a"),
        () => localStorage.a,
        () => localStorage.length,
        () => localStorage.key(0),
        () => Object.keys(localStorage),
        () => localStorage.removeItem("a"),
        () => localStorage.clear(),
      ]) {
        assert.throws(operation, (error) => error instanceof DOMException && error.name === "UnknownError", String(operation));
      }
      const next = open(t);
      next.localStorage.setItem("a", "new");
      assert.equal(next.localStorage.getItem("a"), "new");
    });

    test("a server that died unseen: close tells of the changes that were lost, and of nothing else", (t) => {
      const unconfirmed = [
        [1, /The last change was not confirmed/],
        [3, /The last 3 changes were not confirmed/],
      ];
      for (const [changes, message] of [[0, /Every earlier change was confirmed/], ...(mode === "mirrored" ? unconfirmed : [])]) {
        const storage = open(t, { storageDir: temporaryDirectory() });
        storage.openWindow();
        storage.sessionStorage.setItem("a", "1");
        storage.flush();
        process.kill(storage.serverPid, "SIGSTOP");
        for (let n = 0; n < changes; n++) storage.localStorage.setItem(`k${n}`, "1");
        assert.equal(storage.pending, changes);
        process.kill(storage.serverPid, "SIGKILL");
        assert.throws(() => storage.close(), (error) => error instanceof DOMException && error.name === "UnknownError" && message.test(error.message));
        storage.close();
        assert.throws(() => storage.localStorage.length, { name: "InvalidStateError" });
      }
    });

    test("a hung server: an exception after the timeout, and the server is ended", async (t) => {
      const storage = open(t, { timeout: 300 });
      storage.localStorage.setItem("a", "1");
      storage.flush();
      const pid = storage.serverPid;
      process.kill(pid, "SIGSTOP");
      const start = performance.now();
      assert.throws(
        () => {
          storage.localStorage.setItem("b", "2");
          storage.flush();
        },
        (error) => error instanceof DOMException && error.name === "TimeoutError" && /300 ms/.test(error.message),
      );
      const waited = performance.now() - start;
      assert.ok(waited >= 250 && waited < 3000, `waited ${waited} ms`);
      await until(() => !exists(pid), "the end of the server");
    });

    test("a hung server does not keep the process from ending", async () => {
      const result = await runModule(`
        import { createWebStorage } from "webstorage-client";
        const storage = createWebStorage({ mode: "${mode}", timeout: 300 });
        storage.localStorage.setItem("a", "1");
        storage.flush();
        process.kill(storage.serverPid, "SIGSTOP");
        try {
          storage.localStorage.setItem("b", "2");
        } catch (error) {
          process.stderr.write(error.message);
        }
        process.stdout.write(String(storage.serverPid));
      `);
      assert.equal(result.code, 0);
      assert.match(result.errors, /no answer for 300 ms/);
      await until(() => !exists(Number(result.output)), "the end of the server");
    });

    test("a directory that cannot be used is an error, and nothing is kept in memory instead", (t) => {
      const file = join(temporaryDirectory(), "file");
      writeFileSync(file, "");
      const storage = open(t, { storageDir: join(file, "below") });
      for (let attempt = 0; attempt < 2; attempt++) {
        assert.throws(
          () => storage.localStorage.setItem("a", "1"),
          (error) => error instanceof DOMException && /option storageDir/.test(error.message) && !error.message.includes("--"),
        );
      }
    });

    test("values larger than any buffer pass", (t) => {
      const storage = open(t, { storageDir: temporaryDirectory(), quota: 64 * 1024 * 1024 });
      const value = "\u2028é".repeat(2_000_000);
      storage.localStorage.setItem("large", value);
      storage.localStorage.setItem("small", "after it");
      storage.flush();
      storage.localStorage.removeItem("other");
      assert.equal(storage.localStorage.getItem("large"), value);
      assert.equal(storage.localStorage.getItem("small"), "after it");
    });

    test("the quota alone decides what is too large", (t) => {
      const storage = open(t, { quota: 64 * 1024 * 1024 });
      // Each of these takes six bytes on the way, which makes more of them than a server accepts by itself.
      const value = "\u0001".repeat(12_000_000);
      storage.localStorage.setItem("large", value);
      storage.flush();
      storage.localStorage.setItem("small", "after it");
      storage.flush();
      assert.ok(storage.localStorage.getItem("large") === value);
    });

    test("a program that is interrupted leaves no server", async () => {
      const result = await runModule(
        `
        import { createWebStorage } from "webstorage-client";
        const storage = createWebStorage({ mode: "${mode}" });
        storage.localStorage.setItem("a", "1");
        process.stdout.write(storage.serverPid + " ready");
        setInterval(() => {}, 1000);
      `,
        { killAt: "ready" },
      );
      assert.equal(result.signal, "SIGKILL");
      await until(() => !exists(parseInt(result.output)), "the end of the server");
    });
  });
}

for (const [what, end, after] of [
  ["the storage was closed", "storage.close();", "InvalidStateError"],
  ["the server was killed", 'storage.flush(); process.kill(storage.serverPid, "SIGKILL");', "UnknownError"],
]) {
  test(`a change that is refused when ${what} does not end the program`, async () => {
    const { code, output, errors } = await runModule(`
      import { createWebStorage } from "webstorage-client";
      const options = { storageDir: ${JSON.stringify(temporaryDirectory())} };
      const storage = createWebStorage({ ...options, quota: 1e12, keepServer: true });
      // It comes and lowers the quota while this script runs, which hears of neither.
      const other = createWebStorage({ ...options, quota: 100, mode: "direct" });
      storage.localStorage.setItem("a", "1");
      storage.flush();
      other.localStorage.setItem("b", "x".repeat(40));
      storage.localStorage.setItem("c", "x".repeat(40));
      ${end}
      setTimeout(() => {
        try {
          storage.localStorage.length;
        } catch (error) {
          console.log(error instanceof DOMException, error.name);
        }
      }, 200);
    `);
    assert.equal(code, 0, errors);
    assert.equal(output, `true ${after}\n`);
    assert.match(errors, /refused a change that was already visible/);
  });
}

/** The bytes that are in use, without those that only wait to be collected: how many these are differs between versions of Node. */
function bytesInUse() {
  if ("Bun" in globalThis) {
    Bun.gc(true);
  } else {
    setFlagsFromString("--expose-gc");
    runInNewContext("gc")();
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

for (const [name, options] of [["memory", () => ({})], ["a directory", () => ({ storageDir: temporaryDirectory() })]]) {
  test(`a mirrored program may run far ahead of the server in ${name}, and memory stays bounded`, (t) => {
    const storage = createWebStorage({ server: serverPath(), ...options() });
    t.after(() => storage.close());
    const value = "x".repeat(1000);
    const before = bytesInUse();
    for (let n = 0; n < 100_000; n++) storage.localStorage.setItem(`k${n % 100}`, value + n);
    // 100 MB were written.
    const more = bytesInUse() - before;
    assert.ok(more < 75e6, `${more} bytes more`);
    storage.flush();
    assert.equal(storage.localStorage.getItem("k99"), `${value}99999`);
  });
}
