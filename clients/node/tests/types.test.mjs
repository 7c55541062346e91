// The types, as programs see them that have the packages installed.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "./paths.mjs";

const compiler = join(createRequire(import.meta.url).resolve("typescript/package.json"), "../bin/tsc");

for (const [module, resolution] of [["nodenext", "nodenext"], ["esnext", "bundler"]]) {
  test(`strict programs compile with the resolution ${resolution}`, () => {
    const options = ["--noEmit", "--strict", "--target", "es2022", "--types", "node", "--module", module, "--moduleResolution", resolution];
    const { status, stdout } = spawnSync(process.execPath, [compiler, ...options, "programs.mts"], {
      cwd: join(root, "tests/projects/types"),
      encoding: "utf8",
    });
    assert.equal(status, 0, stdout);
  });
}
