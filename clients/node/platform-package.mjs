// Makes the npm package that brings the server for one platform, and prints the path of the archive:
//
//   node platform-package.mjs [--server PATH] [--platform linux] [--arch x64] [--out FOLDER]
//
// The client finds an installed `webstorage-server-<platform>-<arch>` by itself. Nothing is downloaded or
// run when it is installed.
import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const repository = fileURLToPath(new URL("../../", import.meta.url));
const manifest = readFileSync(join(repository, "Cargo.toml"), "utf8");

const { values } = parseArgs({
  options: {
    server: { type: "string", default: process.env.WEBSTORAGE_SERVER ?? join(repository, "target/release/webstorage-server") },
    platform: { type: "string", default: process.platform },
    arch: { type: "string", default: process.arch },
    out: { type: "string", default: "." },
  },
});

function fail(message) {
  console.error(message);
  process.exit(1);
}

/** The C library that a Linux program needs, as npm names it; none for a static one. */
function libraryOf(program) {
  if (program.includes("/ld-linux")) return ["glibc"];
  return program.includes("/ld-musl") ? ["musl"] : undefined;
}

const { platform, arch } = values;
const version = /^version = "([^"]+)"/m.exec(manifest)?.[1] ?? fail(`${repository}Cargo.toml has no version.`);
let program;
try {
  program = readFileSync(values.server);
} catch (error) {
  fail(`There is no server at ${values.server} (${error.code}). Build it with 'cargo build --release', or name it with --server.`);
}
if (platform === process.platform && arch === process.arch) {
  const { stdout } = spawnSync(resolve(values.server), ["--version"], { encoding: "utf8" });
  const own = stdout?.trim();
  if (own !== `webstorage-server ${version}`) fail(`${values.server} says it is '${own ?? "nothing"}' and not 'webstorage-server ${version}'. No package was made.`);
}

const name = `webstorage-server-${platform}-${arch}`;
const executable = platform === "win32" ? "webstorage-server.exe" : "webstorage-server";
const libc = platform === "linux" ? libraryOf(program) : undefined;
const folder = mkdtempSync(join(tmpdir(), "webstorage-package-"));
try {
  mkdirSync(join(folder, "bin"));
  copyFileSync(values.server, join(folder, "bin", executable));
  chmodSync(join(folder, "bin", executable), 0o755);
  for (const licence of ["LICENSE-MIT", "LICENSE-APACHE"]) copyFileSync(join(repository, licence), join(folder, licence));
  writeFileSync(join(folder, "README.md"), `# ${name}\n\nThe program webstorage-server for ${platform} on ${arch}. The package webstorage-client finds it where it is installed.\n`);
  const contents = {
    name,
    version,
    description: `webstorage-server for ${platform} on ${arch}`,
    license: "MIT OR Apache-2.0",
    os: [platform],
    cpu: [arch],
    ...(libc === undefined ? {} : { libc }),
    files: ["bin", "LICENSE-MIT", "LICENSE-APACHE"],
    preferUnplugged: true,
  };
  writeFileSync(join(folder, "package.json"), `${JSON.stringify(contents, null, 2)}\n`);
  mkdirSync(values.out, { recursive: true });
  const packed = spawnSync("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", resolve(values.out)], {
    cwd: folder,
    encoding: "utf8",
    shell: process.platform === "win32",
  });
  if (packed.status !== 0) fail(`npm could not pack ${name}: ${packed.error?.message ?? packed.stderr}`);
  console.log(join(resolve(values.out), `${name}-${version}.tgz`));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
