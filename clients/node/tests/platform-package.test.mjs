// The packages as archives of npm, that of the server included, installed in a project of its own.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { root, serverPath } from "./paths.mjs";

const folder = mkdtempSync(join(tmpdir(), "webstorage-install-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
const { WEBSTORAGE_SERVER, NODE_TEST_CONTEXT, ...inherited } = process.env;

function run(program, args, { cwd = root, env = inherited } = {}) {
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd, env, encoding: "utf8" });
  assert.equal(status, 0, error?.message ?? stderr);
  return stdout.trim();
}

const archiveOf = (name) => join(folder, `${name}-0.1.0.tgz`);
const pack = (...args) => run(process.execPath, ["platform-package.mjs", "--server", serverPath(), "--out", folder, ...args]);

const project = join(folder, "project");

before(() => {
  mkdirSync(project);
  writeFileSync(join(project, "package.json"), '{ "private": true }\n');
  run("npm", ["pack", "--workspaces", "--ignore-scripts", "--pack-destination", folder]);
  const archives = [archiveOf("webstorage-client"), archiveOf("jest-environment-webstorage"), pack()];
  run("npm", ["install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund", ...archives], { cwd: project });
});

describe("the packages of the clients", () => {
  for (const name of ["webstorage-client", "vitest-environment-webstorage", "jest-environment-webstorage"]) {
    test(`the archive of ${name} has what is built and the licences`, () => {
      const files = run("tar", ["-tzf", archiveOf(name)]).split("\n");
      for (const file of ["package.json", "README.md", "dist/index.js", "dist/index.d.ts"]) assert.ok(files.includes(`package/${file}`), file);
      for (const licence of ["LICENSE-MIT", "LICENSE-APACHE"]) {
        assert.equal(run("tar", ["-xzOf", archiveOf(name), `package/${licence}`]), readFileSync(join(root, "../..", licence), "utf8").trim());
      }
    });
  }

  test("the environment's storage is found where the client is the plugin's own", () => {
    const strict = join(folder, "strict");
    const plugin = join(strict, "node_modules/jest-environment-webstorage");
    cpSync(join(project, "node_modules/jest-environment-webstorage"), plugin, { recursive: true });
    cpSync(join(project, "node_modules/webstorage-client"), join(plugin, "node_modules/webstorage-client"), { recursive: true });
    for (const [type, load] of [["commonjs", 'require("jest-environment-webstorage/current")'], ["module", 'await import("jest-environment-webstorage/current")']]) {
      const output = run(process.execPath, [`--input-type=${type}`, "-e", `console.log(typeof (${load}).currentWebStorage)`], { cwd: strict });
      assert.equal(output, "function");
    }
  });

  test("a plugin finds the client that is installed beside it", () => {
    const output = run(process.execPath, ["-p", 'require.resolve("webstorage-client", { paths: [require.resolve("jest-environment-webstorage/package.json")] })'], { cwd: project });
    assert.equal(output, join(project, "node_modules/webstorage-client/dist/index.js"));
  });
});

describe("the package of the server", () => {
  const name = `webstorage-server-${process.platform}-${process.arch}`;

  test("says which machines it is for and brings the licences", () => {
    const installed = join(project, "node_modules", name);
    const manifest = JSON.parse(readFileSync(join(installed, "package.json"), "utf8"));
    assert.deepEqual([manifest.name, manifest.os, manifest.cpu], [name, [process.platform], [process.arch]]);
    assert.equal(run(join(installed, "bin/webstorage-server"), ["--version"]), `webstorage-server ${manifest.version}`);
    assert.deepEqual([manifest.bin, manifest.scripts, manifest.dependencies], [undefined, undefined, undefined]);
    for (const licence of ["LICENSE-MIT", "LICENSE-APACHE"]) {
      assert.equal(readFileSync(join(installed, licence), "utf8"), readFileSync(join(root, "../..", licence), "utf8"));
    }
  });

  for (const mode of ["mirrored", "direct"]) {
    test(`is what a ${mode} storage uses where there is no other server`, () => {
      const source = `
        const { createWebStorage, locateServer } = require("webstorage-client");
        const storage = createWebStorage({ mode: "${mode}", storageDir: "storage-${mode}" });
        storage.localStorage.setItem("a", "1");
        storage.close();
        const again = createWebStorage({ mode: "${mode}", storageDir: "storage-${mode}" });
        console.log(again.localStorage.getItem("a"), locateServer());
        again.close();
      `;
      const output = run(process.execPath, ["-e", source], { cwd: project, env: { PATH: "" } });
      assert.equal(output, `1 ${join(project, "node_modules", name, "bin/webstorage-server")}`);
    });
  }

  test("is what the asynchronous client uses where there is no other server", () => {
    const source = `
      const { connect } = require("webstorage-client");
      connect().then(async (connection) => {
        const area = await connection.open({ persistent: false });
        await area.setItem("a", "1");
        console.log(await area.getItem("a"));
        await connection.close();
      });
    `;
    assert.equal(run(process.execPath, ["-e", source], { cwd: project, env: { PATH: "" } }), "1");
  });

  test("is not installed on other machines", () => {
    const other = process.arch === "arm64" ? "x64" : "arm64";
    const archive = pack("--arch", other);
    const elsewhere = join(folder, "elsewhere");
    mkdirSync(elsewhere);
    writeFileSync(join(elsewhere, "package.json"), '{ "private": true }\n');
    const { status, stderr } = spawnSync("npm", ["install", "--offline", "--ignore-scripts", archive], { cwd: elsewhere, env: inherited, encoding: "utf8" });
    assert.notEqual(status, 0);
    assert.match(stderr, /EBADPLATFORM/);
  });

  test("is not made of something that is not this version of the server", () => {
    const { status, stderr } = spawnSync(process.execPath, [join(root, "platform-package.mjs"), "--server", process.execPath, "--out", folder], { env: inherited, encoding: "utf8" });
    assert.equal(status, 1);
    assert.match(stderr, /No package was made/);
  });
});
