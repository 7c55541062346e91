// Two and three processes that open one directory, write, end and are killed in any order, while the area may be deleted
// under them: whenever nothing is on its way any more, the copy of each equals the database, in content and in order.
// WEBSTORAGE_SEED repeats a run.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { createWebStorage } from "webstorage-client";
import { serverPath } from "../paths.mjs";
import { temporaryDirectory } from "./processes.mjs";

const PEER = fileURLToPath(new URL("rounds-peer.mjs", import.meta.url));
const ROUNDS = Number(process.env.WEBSTORAGE_ROUNDS ?? 12);
const seed = Number(process.env.WEBSTORAGE_SEED ?? 1 + Math.floor(Math.random() * 2147483645));

let state;
const random = (below) => (state = (state * 48271) % 2147483647) % below;

/** A process of a round, which another takes the place of once it was killed or has ended. */
class Peer {
  #child;
  #answers = [];

  async start() {
    const child = spawn(process.execPath, [PEER], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
    this.#child = child;
    this.#answers = [];
    await new Promise((resolve) => child.once("message", resolve));
    const answers = this.#answers;
    child.on("message", (answer) => answers.shift()?.(answer));
    // Who is killed owes its answers.
    this.gone = new Promise((resolve) => child.once("exit", resolve)).then(() => answers.splice(0).forEach((answer) => answer({ value: null })));
  }

  async tell(order, argument) {
    const answered = new Promise((resolve) => this.#answers.push(resolve));
    this.#child.send([order, argument]);
    const { value, error } = await answered;
    assert.equal(error, undefined);
    return value;
  }

  async kill() {
    this.#child.kill("SIGKILL");
    await this.gone;
  }

  async end() {
    void this.tell("end");
    await this.gone;
  }
}

function changes() {
  return Array.from({ length: 1 + random(30) }, () => {
    const [key, action] = [`k${random(12)}`, random(20)];
    if (action < 13) return ["setItem", key, `${random(1000)}`];
    return action < 19 ? ["removeItem", key] : ["clear"];
  });
}

/** Deletes the area, and its file with it, by a process of its own. */
async function deleteArea(storageDir) {
  const child = spawn(serverPath(), ["delete", "--storage-dir", storageDir, "--origin", "http://localhost"], { stdio: "ignore" });
  const code = await new Promise((resolve) => child.once("exit", resolve));
  assert.ok(code === 0 || code === 1, `delete ended with ${code}`);
}

async function settled(peers, storageDir, what) {
  await Promise.all(peers.map((peer) => peer.tell("flush")));
  const truth = createWebStorage({ server: serverPath(), storageDir, mode: "direct" });
  try {
    // Nobody writes now, so this is what all of them are to show.
    const items = truth.snapshot().localStorage;
    const end = performance.now() + 5000;
    for (const [n, peer] of peers.entries()) {
      let copy;
      do copy = await peer.tell("entries");
      while (JSON.stringify(copy) !== JSON.stringify(items) && performance.now() < end);
      assert.deepEqual(copy, items, `the copy of process ${n}, ${what}`);
    }
  } finally {
    truth.close();
  }
}

for (const count of [2, 3]) {
  test(`${count} processes that start, write, end and are killed in any order show what is stored (seed ${seed})`, async (t) => {
    state = seed;
    const peers = Array.from({ length: count }, () => new Peer());
    t.after(() => Promise.all(peers.map((peer) => peer.kill())));
    await Promise.all(peers.map((peer) => peer.start()));
    for (let round = 0; round < ROUNDS; round++) {
      const storageDir = temporaryDirectory();
      const options = { server: serverPath(), storageDir };
      const what = `seed ${seed}, round ${round}`;
      await Promise.all(peers.map((peer) => peer.tell("open", options)));
      for (let step = 1 + random(4); step > 0; step--) {
        const deleted = random(6) === 0 ? deleteArea(storageDir) : undefined;
        await Promise.all(
          peers.map(async (peer) => {
            const [fate, before, after] = [random(30), changes(), changes()];
            const written = random(2) === 0 ? peer.tell("change", before) : peer.tell("entries");
            if (fate > 3) return written;
            if (fate < 2) await peer.kill();
            else await peer.end();
            await peer.start();
            await peer.tell("open", options);
            await peer.tell("change", after);
          }),
        );
        await deleted;
        if (random(2) === 0) await settled(peers, storageDir, what);
      }
      await settled(peers, storageDir, what);
      await Promise.all(peers.map((peer) => peer.tell("close")));
    }
  });
}
