// The types, as programs see them that have the packages installed. The declarations are checked as well, since
// not every program skips those of libraries, and a program for Node need not have the compiler's library `dom`.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "./paths.mjs";
import { assertPassed, runProgram } from "./programs.mjs";

const compiler = join(createRequire(import.meta.url).resolve("typescript/package.json"), "../bin/tsc");
const project = join(root, "tests/projects/types");

for (const [module, resolution, libraries, ...further] of [
  ["node16", "node16", ["es2022"], "common.cts"],
  ["esnext", "bundler", ["es2022"]],
  ["nodenext", "nodenext", ["es2022", "dom"], "documents.mts"],
]) {
  test(`strict programs compile with the resolution ${resolution} and the libraries ${libraries}`, async () => {
    const options = ["--noEmit", "--strict", "--exactOptionalPropertyTypes", "--target", "es2022", "--types", "node", "--lib", libraries.join()];
    const files = ["programs.mts", "jest.mts", "vitest.mts", ...further];
    const { code, output } = await runProgram(process.execPath, [compiler, ...options, "--module", module, "--moduleResolution", resolution, ...files], project);
    assert.equal(code, 0, output);
  });
}

test("the options in a configuration of Vitest have types", async () => {
  // The declarations of "vitest/node" do not compile with the types of every version of Node.
  const options = ["--noEmit", "--strict", "--exactOptionalPropertyTypes", "--skipLibCheck", "--target", "es2022", "--types", "node"];
  for (const [module, resolution] of [["node16", "node16"], ["esnext", "bundler"]]) {
    const { code, output } = await runProgram(process.execPath, [compiler, ...options, "--module", module, "--moduleResolution", resolution, "vitest.config.mts"], project);
    assert.equal(code, 0, output);
  }
});

test("what the types call a class is one", async () => {
  for (const name of ["jest-environment-webstorage", "jest-environment-webstorage/jsdom"]) {
    const source = `
      import { createRequire } from "node:module";
      import Environment, { TestEnvironment } from "${name}";
      const common = createRequire(process.cwd() + "/program.js")("${name}");
      console.log(typeof Environment, Environment === TestEnvironment, common.TestEnvironment === TestEnvironment, common.default === TestEnvironment);
    `;
    assertPassed(await runProgram(process.execPath, ["--input-type=module", "-e", source], project), /^function true true true$/m);
  }
});
