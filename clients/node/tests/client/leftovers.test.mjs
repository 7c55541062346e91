// What is thrown away at the end is gone at the end, and what a sudden end leaves is gone with the next start.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { createWebStorage } from "webstorage-client";
import { openEnvironment } from "webstorage-client/environment";
import { serverPath } from "../paths.mjs";
import { runModule, temporaryDirectory, until } from "./processes.mjs";

const OPEN = `
  import { createWebStorage } from "webstorage-client";
  import { openEnvironment } from "webstorage-client/environment";
`;
const IN_A_DIRECTORY = `${OPEN}
  const environment = openEnvironment({ global: globalThis }, { temporaryDir: true });
  localStorage.setItem("a", "1");
`;

/** A temporary directory for the processes of one test. */
function place() {
  const TMPDIR = temporaryDirectory();
  return { TMPDIR, left: (purpose = "") => readdirSync(TMPDIR).filter((name) => name.startsWith(`webstorage-${purpose}`)) };
}

/** A `mkfifo` that takes so long that a process can be ended before it is done. */
function slowMkfifo() {
  const directory = temporaryDirectory();
  writeFileSync(join(directory, "mkfifo"), "#!/bin/sh\nsleep 1\nexit 1\n");
  chmodSync(join(directory, "mkfifo"), 0o755);
  return `${directory}:${process.env.PATH}`;
}

async function assertTidied({ TMPDIR, left }) {
  const { code, errors } = await runModule(`${OPEN} const storage = createWebStorage(); storage.localStorage.length; storage.close();`, { TMPDIR });
  assert.equal(code, 0, errors);
  assert.deepEqual(left(), []);
}

test("a process that ends leaves no directory", async () => {
  const { TMPDIR, left } = place();
  const { code, errors } = await runModule(`${IN_A_DIRECTORY} environment.close();`, { TMPDIR });
  assert.equal(code, 0, errors);
  assert.deepEqual(left(), []);
});

test("register removes its directory at the end", async () => {
  const { TMPDIR, left } = place();
  const WEBSTORAGE_OPTIONS = '{"temporaryDir": true}';
  const { code, output, errors } = await runModule(
    `import "webstorage-client/register"; import { readdirSync } from "node:fs"; localStorage.setItem("a", "1"); console.log(readdirSync(${JSON.stringify(TMPDIR)}).length);`,
    { TMPDIR, WEBSTORAGE_OPTIONS },
  );
  assert.equal(code, 0, errors);
  assert.equal(output, "1\n");
  assert.deepEqual(left(), []);
});

for (const signal of ["SIGINT", "SIGTERM", "SIGKILL"]) {
  test(`what a process leaves that is ended by ${signal} is removed by the next one`, async () => {
    const files = place();
    const ended = await runModule(`${IN_A_DIRECTORY} console.log("ready"); setInterval(() => {}, 1000);`, { TMPDIR: files.TMPDIR, killAt: "ready", signal });
    assert.equal(ended.signal, signal, ended.errors);
    assert.equal(files.left("test").length, 1);
    await assertTidied(files);
  });
}

test("what a process leaves that is ended while it starts a server is removed by the next one", async () => {
  const files = place();
  const source = `${OPEN} createWebStorage().localStorage.length;`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", source], {
    cwd: fileURLToPath(new URL(".", import.meta.url)),
    env: { ...process.env, NODE_TEST_CONTEXT: undefined, WEBSTORAGE_SERVER: serverPath(), TMPDIR: files.TMPDIR, PATH: slowMkfifo() },
    stdio: "ignore",
  });
  await until(() => files.left("fifos").length === 1, "the directory");
  child.kill("SIGTERM");
  await new Promise((resolve) => child.on("exit", resolve));
  assert.equal(files.left("fifos").length, 1);
  await assertTidied(files);
});

test("what a thread leaves that is ended while it starts a server is removed when its process is gone", async () => {
  const files = place();
  const thread = `import("webstorage-client").then(({ createWebStorage }) => createWebStorage().localStorage.length);`;
  const { code, errors } = await runModule(
    `
      import { readdirSync } from "node:fs";
      import { Worker } from "node:worker_threads";
      const worker = new Worker(${JSON.stringify(thread)}, { eval: true });
      const look = setInterval(() => {
        if (readdirSync(${JSON.stringify(files.TMPDIR)}).length === 0) return;
        clearInterval(look);
        worker.terminate();
      }, 1);
    `,
    { TMPDIR: files.TMPDIR, PATH: slowMkfifo() },
  );
  assert.equal(code, 0, errors);
  assert.equal(files.left("fifos").length, 1);
  await assertTidied(files);
});

test("directories of living processes and of others are left alone", { skip: process.platform !== "linux" }, async (t) => {
  const { TMPDIR, left } = place();
  const target = temporaryDirectory();
  writeFileSync(join(target, "item"), "");
  const before = process.env.TMPDIR;
  process.env.TMPDIR = TMPDIR;
  t.after(() => (before === undefined ? delete process.env.TMPDIR : (process.env.TMPDIR = before)));
  const environment = openEnvironment({ global: {} }, { temporaryDir: true, server: serverPath() });
  t.after(() => environment.close());
  const [living] = left("test");
  const [, space, pid, start] = /^webstorage-test-([\w.]+)-(\d+)-(\d+)-\w+$/.exec(living);
  assert.equal(Number(pid), process.pid);
  // No process has an id beyond the greatest that Linux gives.
  const gone = 2 ** 22 + 1;
  const make = (name, owner) => {
    mkdirSync(join(TMPDIR, name));
    if (owner !== undefined) chownSync(join(TMPDIR, name), owner, owner);
    return name;
  };
  const abandoned = [make(`webstorage-test-${space}-${gone}-1-abcdef`), make(`webstorage-fifos-${space}-${pid}-${Number(start) - 1}-abcdef`)];
  writeFileSync(join(TMPDIR, abandoned[0], "item"), "");
  const kept = [
    living,
    make(`webstorage-test-${space}-${pid}-${start}-abcdef`),
    make(`webstorage-test-0${space}-${gone}-1-abcdef`),
    make(`webstorage-other-${space}-${gone}-1-abcdef`),
    make("webstorage-abcdef"),
  ];
  if (process.getuid() === 0) kept.push(make(`webstorage-test-${space}-${gone}-2-abcdef`, 12345));
  symlinkSync(target, join(TMPDIR, `webstorage-test-${space}-${gone}-3-abcdef`));
  writeFileSync(join(TMPDIR, `webstorage-test-${space}-${gone}-4-abcdef`), "");
  kept.push(`webstorage-test-${space}-${gone}-3-abcdef`, `webstorage-test-${space}-${gone}-4-abcdef`);
  // Several processes that tidy at once do not disturb each other.
  const starts = [1, 2, 3].map(() => runModule(`${OPEN} const storage = createWebStorage(); storage.localStorage.length; storage.close();`, { TMPDIR }));
  for (const { code, errors } of await Promise.all(starts)) assert.equal(code, 0, errors);
  assert.deepEqual(left().sort(), kept.sort());
  assert.ok(existsSync(join(target, "item")));
});

test("a temporary directory that cannot be used is said", (t) => {
  const before = process.env.TMPDIR;
  process.env.TMPDIR = "/nowhere";
  t.after(() => (before === undefined ? delete process.env.TMPDIR : (process.env.TMPDIR = before)));
  const storage = createWebStorage({ server: serverPath() });
  assert.throws(() => storage.localStorage.length, (error) => error instanceof DOMException && /made in \/nowhere .*TMPDIR/.test(error.message));
});
