// Compiles the packages. The code is CommonJS and each entry has an ES module that hands the same
// objects on, so that a program that mixes both kinds of import has one server and not two.
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const require = createRequire(import.meta.url);
const compiler = require.resolve("typescript/bin/tsc");
const packages = {
  "webstorage-client": ["index", "environment"],
  "vitest-environment-webstorage": [],
  "jest-environment-webstorage": ["index", "jsdom", "current"],
};

for (const [name, entries] of Object.entries(packages)) {
  const folder = new URL(`packages/${name}/`, import.meta.url);
  const dist = new URL("dist/", folder);
  rmSync(dist, { recursive: true, force: true });
  // npm packs only what is in the folder of a package.
  for (const licence of ["LICENSE-MIT", "LICENSE-APACHE"]) copyFileSync(new URL(`../../${licence}`, import.meta.url), new URL(licence, folder));
  const result = spawnSync(process.execPath, [compiler, "-p", fileURLToPath(folder)], { stdio: "inherit" });
  if (result.status !== 0) process.exit(result.status ?? 1);
  for (const entry of entries) {
    const declaration = readFileSync(new URL(`${entry}.d.ts`, dist), "utf8");
    const hasDefault = /export default|export \{[^}]*\bdefault\b/.test(declaration);
    const source = hasDefault
      ? `import commonjs from "./${entry}.js";\nexport * from "./${entry}.js";\nexport default commonjs.default;\n`
      : `export * from "./${entry}.js";\n`;
    writeFileSync(new URL(`${entry}.mjs`, dist), source);
    copyFileSync(new URL(`${entry}.d.ts`, dist), new URL(`${entry}.d.mts`, dist));
  }
}
