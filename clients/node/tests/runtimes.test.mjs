// The suites of the client once more, held by Deno and Bun: their files, processes and ends differ from Node's.
import { createRequire } from "node:module";
import { join } from "node:path";
import { describe, test } from "node:test";
import { root } from "./paths.mjs";
import { assertPassed, runProgram } from "./programs.mjs";

const SUITES = ["storage", "two-processes", "bursts", "copies", "durability", "faults", "connect", "states"];

// The packages `deno` and `bun` would link the programs in install scripts, which are not run.
function program(name, file) {
  return join(createRequire(import.meta.url).resolve(`${name}/package.json`), "..", file);
}

const platform = `${process.platform}-${process.arch}`;
const deno = program(`@deno/${platform}${process.platform === "linux" ? "-glibc" : ""}`, "deno");
const bun = program(`@oven/bun-${platform}`, "bin/bun");

for (const [name, runtime, args, passed] of [
  ["Deno", deno, ["test", "--allow-all", "--no-check", "--node-modules-dir=manual"], /[1-9]\d* passed.* 0 failed/],
  ["Bun", bun, ["test"], /[1-9]\d* pass\n\s*0 fail\n/],
]) {
  describe(name, { concurrency: 1 }, () => {
    for (const suite of SUITES) {
      test(suite, async () => {
        assertPassed(await runProgram(runtime, [...args, `./tests/client/${suite}.test.mjs`], root), passed);
      });
    }
  });
}
