// The suites of the client once more, held by Deno: its processes, files and ends differ from Node's.
import { createRequire } from "node:module";
import { join } from "node:path";
import { describe, test } from "node:test";
import { root } from "./paths.mjs";
import { assertPassed, runProgram } from "./programs.mjs";

// The package `deno` would link the program in an install script, which is not run.
const platform = process.platform === "linux" ? `${process.platform}-${process.arch}-glibc` : `${process.platform}-${process.arch}`;
const deno = join(createRequire(import.meta.url).resolve(`@deno/${platform}/package.json`), "../deno");

describe("Deno", { concurrency: 1 }, () => {
  for (const suite of ["storage", "two-processes", "bursts", "copies", "durability", "faults", "connect"]) {
    test(suite, async () => {
      const args = ["test", "--allow-all", "--no-check", "--node-modules-dir=manual", `tests/client/${suite}.test.mjs`];
      assertPassed(await runProgram(deno, args, root), /\d+ passed.* 0 failed/);
    });
  }
});
