// Programs that tests run as processes of their own, with the server that all suites use.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { serverPath } from "./paths.mjs";

/** Runs a program; resolves to its exit code, or what ended it, and everything it printed. */
export function runProgram(program, args, cwd, environment = {}) {
  const { NODE_TEST_CONTEXT, NODE_OPTIONS, FORCE_COLOR, ...inherited } = process.env;
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      cwd,
      env: { ...inherited, NO_COLOR: "1", CI: "true", WEBSTORAGE_SERVER: serverPath(), ...environment },
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text));
    child.on("close", (code, signal) => resolve({ code: signal ?? code, output }));
  });
}

/** Asserts that a program ended well and printed what it should. */
export function assertPassed({ code, output }, pattern) {
  assert.equal(code, 0, `ended with ${code}\n${output}`);
  assert.match(output, pattern, output);
}
