// Runs named checks one after the other and prints a line for each, as ../run counts them.
import { once } from "node:events";
import { spawn } from "node:child_process";

export const server = process.env.WEBSTORAGE_SERVER;

export async function check(name, body) {
  try {
    await body();
    console.log(`ok - ${name}`);
  } catch (error) {
    console.log(`not ok - ${name}`);
    console.error(error);
  }
}

/** Starts a server as editors do, with the flag that they append. */
export function start(...flags) {
  const child = spawn(server, [...flags, "--stdio"], { stdio: ["pipe", "pipe", "inherit"] });
  return { child, exited: once(child, "exit").then(([code]) => code) };
}

/** Another program that holds the write lock of a database until it is told to let go. */
export async function lock(file) {
  const program = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN IMMEDIATE'); print('locked', flush=True); sys.stdin.read()";
  const child = spawn("python3", ["-c", program, file], { stdio: ["pipe", "pipe", "inherit"] });
  const exited = once(child, "exit");
  await once(child.stdout, "data");
  return async () => {
    child.stdin.end();
    await exited;
  };
}
