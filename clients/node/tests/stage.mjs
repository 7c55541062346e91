// Puts the built packages where an installation puts them. Test runners treat files under
// node_modules differently from linked folders, and users have the former.
import { cpSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

const packages = new URL("../packages/", import.meta.url);
const modules = new URL("projects/node_modules/", import.meta.url);

rmSync(modules, { recursive: true, force: true });
for (const name of ["webstorage-client", "vitest-environment-webstorage", "jest-environment-webstorage"]) {
  const source = new URL(`${name}/`, packages);
  const { files } = JSON.parse(readFileSync(new URL("package.json", source), "utf8"));
  mkdirSync(new URL(`${name}/`, modules), { recursive: true });
  for (const file of ["package.json", ...files]) {
    cpSync(fileURLToPath(new URL(file, source)), fileURLToPath(new URL(`${name}/${file}`, modules)), { recursive: true });
  }
}
