// Tests replace functions of Node's modules and count their calls. The storage uses none of what they put there.
import assert from "node:assert/strict";
import childProcess from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { mock, test } from "node:test";
import timers from "node:timers";
import vm from "node:vm";
import { createWebStorage } from "webstorage-client";
import { serverPath } from "../paths.mjs";
import { temporaryDirectory } from "./processes.mjs";

const globals = ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "setImmediate", "clearImmediate", "queueMicrotask"];
// Every class stays: what is made with `new` is no call that a program counts. `process.nextTick` stays too, which Node itself
// needs for processes.
const functionsOf = (object) => Object.keys(object).filter((name) => typeof object[name] === "function" && !/^[A-Z]/.test(name));
const watched = [
  ...[fs, childProcess, net, os, vm, timers].flatMap((module) => functionsOf(module).map((name) => [module, name])),
  ...["join", "resolve", "normalize"].map((name) => [path, name]),
  ...globals.map((name) => [globalThis, name]),
  ...["now", "mark", "measure"].map((name) => [performance, name]),
  [Date, "now"],
  ...["parse", "stringify"].map((name) => [JSON, name]),
  ...["on", "once", "kill", "emitWarning", "hrtime", "cwd"].map((name) => [process, name]),
];

const server = serverPath();
const realImmediate = globalThis.setImmediate;

/** Uses a storage in every way and checks that it works. */
async function use(options, directory) {
  const storage = createWebStorage({ server, ...options });
  const { localStorage, sessionStorage } = storage;
  const heard = [];
  const other = storage.openWindow();
  storage.target.addEventListener("storage", ({ key }) => heard.push(key));
  for (let n = 0; n < 3000; n++) localStorage.setItem(`k${n}`, "1");
  sessionStorage.setItem("a", "1");
  assert.equal(localStorage.length, 3000);
  assert.equal(sessionStorage.getItem("a"), "1");
  other.localStorage.setItem("other", "1");
  while (heard.length === 0) await new Promise((resolve) => realImmediate(resolve));
  assert.deepEqual(heard, ["other"]);
  storage.flush();
  storage.storageState({ path: `${directory}/state.json` });
  storage.close();
}

for (const mode of ["mirrored", "direct"]) {
  for (const persistent of [false, true]) {
    const where = persistent ? "in a directory" : "in memory";
    test(`no function that a test has replaced is called: ${mode}, ${where}`, async () => {
      const directory = temporaryDirectory();
      const seed = `${directory}/seed.json`;
      fs.writeFileSync(seed, "{}");
      const mocks = watched.map(([object, name]) => [name, mock.method(object, name)]);
      try {
        await use({ mode, seed, ...(persistent ? { storageDir: `${directory}/storage` } : {}) }, directory);
      } finally {
        mock.restoreAll();
      }
      assert.deepEqual(mocks.filter(([, { mock }]) => mock.callCount() > 0).map(([name, { mock }]) => [name, mock.calls[0].stack.stack.split("\n").slice(1, 6)]), []);
    });

    test(`functions that do nothing change nothing: ${mode}, ${where}`, async () => {
      const directory = temporaryDirectory();
      for (const [object, name] of watched) if (name !== "cwd") mock.method(object, name, () => undefined);
      try {
        await use({ mode, ...(persistent ? { storageDir: `${directory}/storage` } : {}) }, directory);
      } finally {
        mock.restoreAll();
      }
    });
  }
}
