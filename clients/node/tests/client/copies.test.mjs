// The logic of copies under every order in which commits and events can come, without processes: the
// total order of the server is a list here, and each step of it is drawn from a fixed sequence.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";

const require = createRequire(import.meta.url);
const dist = require.resolve("webstorage-client");
const { MirroredArea } = require(dist.replace(/index\.js$/, "mirrored-area.js"));
const { eventIn } = require(dist.replace(/index\.js$/, "event-line.js"));
const { PendingWrites } = require(dist.replace(/index\.js$/, "pending-writes.js"));

const ADDRESS = { persistent: true, origin: "o" };

/** What the server does with changes: applies them in one order and tells every connection of each. */
class TotalOrder {
  items = new Map();
  connections = [];

  commit([method, [, key, value]]) {
    const old = this.items.get(key) ?? null;
    if (method === "storage/clear") {
      if (this.items.size > 0) this.tell(null, null, null);
      this.items.clear();
    } else if (method === "storage/removeItem") {
      if (this.items.delete(key)) this.tell(key, old, null);
    } else if (old !== value) {
      this.items.set(key, value);
      this.tell(key, old, value);
    }
  }

  tell(key, oldValue, newValue) {
    for (const { events } of this.connections) events.push({ key, oldValue, newValue, url: "" });
  }
}

/** What a copy needs of a connection: calls are answered at once, posted changes wait for their commit. */
class Wire {
  alive = true;
  writesThrough = false;
  posted = [];
  events = [];
  subscriptions = 0;

  constructor(order) {
    this.order = order;
    order.connections.push(this);
  }

  call(method) {
    if (method === "storage/open") return { storage: 1, length: this.order.items.size, quota: 1e6 };
    if (method === "storage/unsubscribe") return null;
    assert.equal(method, "storage/subscribe");
    // Events of an earlier subscription find nobody any more.
    this.events = [];
    const items = [...this.order.items].map(([key, value]) => ({ key, value }));
    return { subscription: ++this.subscriptions, sequence: 0, gap: false, items, quota: 1e6, others: 0 };
  }

  post(owner, method, ...params) {
    this.posted.push([method, params]);
  }

  commitOne() {
    if (this.posted.length > 0) this.order.commit(this.posted.shift());
  }

  flush() {
    while (this.posted.length > 0) this.commitOne();
  }
}

test("three copies end like the server, in content and in order, whatever the interleaving", (t) => {
  let state = 1;
  const random = (below) => (state = (state * 48271) % 2147483647) % below;
  const unsettled = new Set();
  const { judge } = PendingWrites.prototype;
  t.mock.method(PendingWrites.prototype, "judge", function (...change) {
    const verdict = judge.apply(this, change);
    if (this.empty) unsettled.delete(current);
    else unsettled.add(current);
    return verdict;
  });
  let current;
  for (let round = 0; round < 2000; round++) {
    state = round * 7 + 13;
    const order = new TotalOrder();
    const copies = [0, 1, 2].map(() => {
      const wire = new Wire(order);
      const area = new MirroredArea(wire, ADDRESS, new Map(), assert.fail, () => undefined);
      return { wire, area, view: area.open(ADDRESS, { url: "", emitSelf: false, deliver: () => undefined }) };
    });
    const takeEvent = (copy) => {
      current = copy;
      if (copy.wire.events.length === 0) return;
      const event = copy.wire.events.shift();
      const before = [...copy.area.items.entries()];
      // What is taken in in the middle of a script must not show there.
      if (random(2) === 0 && copy.area.arrive(event, true)) assert.deepEqual([...copy.area.items.entries()], before, `round ${round}`);
      else copy.area.apply(event);
    };
    // The server drops what a client is too slow to read, and says so.
    const overflow = (copy) => {
      copy.wire.events.splice(random(copy.wire.events.length + 1));
      assert.equal(copy.area.miss(), false);
      for (const event of copy.wire.events) assert.ok(copy.area.arrive(event, false));
      assert.equal(copy.area.miss(), true);
      copy.area.reload();
      unsettled.delete(copy);
      assert.deepEqual([...copy.area.items.entries()], [...order.items], `round ${round}`);
    };
    for (let step = 40 + random(40); step > 0; step--) {
      const copy = copies[random(3)];
      const action = random(10);
      if (action < 4) {
        const [key, change] = [`k${random(4)}`, random(20)];
        unsettled.add(copy);
        if (change < 12) copy.view.setItem(key, `v${random(3)}`);
        else if (change < 18) copy.view.removeItem(key);
        else copy.view.clear();
      } else if (action < 7) copy.wire.commitOne();
      else if (random(30) === 0) overflow(copy);
      else takeEvent(copy);
    }
    for (const { wire } of copies) wire.flush();
    for (const copy of copies) while (copy.wire.events.length > 0) takeEvent(copy);
    for (const copy of copies) {
      // Writes without effect on the server have no event; the copy is loaded again after a while.
      if (unsettled.has(copy)) copy.area.reload();
      assert.deepEqual([...copy.area.items.entries()], [...order.items], `round ${round}`);
      copy.view.dispose();
    }
    unsettled.clear();
  }
});

test("an area in memory sends the last of several waiting writes, and the server never sees more than the quota", () => {
  let state = 5;
  const random = (below) => (state = (state * 48271) % 2147483647) % below;
  const QUOTA = 60;
  let replaced = 0;
  for (let round = 0; round < 500; round++) {
    const server = new Map();
    const usage = () => [...server].reduce((sum, [key, value]) => sum + 2 * (key.length + value.length), 0);
    let waiting = [];
    const connection = {
      alive: true,
      round: 0,
      call: () => ({ storage: 1, length: 0, quota: QUOTA }),
      post(owner, method, handle, key, value) {
        const call = { method, key, value, final: false };
        waiting.push(call);
        return call;
      },
      sendOne() {
        const call = waiting.shift();
        if (call === undefined) return;
        call.final = true;
        if (call.method === "storage/clear") server.clear();
        else if (call.method === "storage/removeItem") server.delete(call.key);
        else server.set(call.key, call.value);
        assert.ok(usage() <= QUOTA, `round ${round}`);
        if (waiting.length === 0) this.round++;
      },
    };
    const address = { persistent: false, origin: "o" };
    const area = new MirroredArea(connection, address, new Map(), assert.fail, () => undefined);
    const view = area.open(address, { url: "", emitSelf: false, deliver: () => undefined });
    for (let step = 60; step > 0; step--) {
      const [key, action] = [`k${random(4)}`, random(12)];
      const before = waiting.length;
      const old = view.getItem(key);
      const value = "v".repeat(random(14));
      if (action < 8) {
        try {
          view.setItem(key, value);
          if (value !== old && waiting.length === before) replaced++;
        } catch (error) {
          assert.equal(error.name, "QuotaExceededError");
        }
      } else if (action < 9) view.removeItem(key);
      else if (action < 10 && random(5) === 0) view.clear();
      else connection.sendOne();
    }
    while (waiting.length > 0) connection.sendOne();
    assert.deepEqual([...server], [...area.items.entries()], `round ${round}`);
  }
  assert.ok(replaced > 1000, `${replaced} writes were replaced`);
});

test("an event is read without a parser as a parser reads it, or not at all", () => {
  const line = (members) =>
    JSON.stringify({ jsonrpc: "2.0", method: "storage/event", params: { subscription: 7, storage: 12, sequence: 345, ...members } });
  const url = "http://localhost/";
  for (const event of [
    { key: "k", oldValue: null, newValue: "v", url },
    { key: "", oldValue: "", newValue: null, url },
    { key: null, oldValue: null, newValue: null, url: "" },
    { key: "null", oldValue: "é\u2028\ud83d\ude00", newValue: '{}],"url":', url },
    { key: 'a"b', oldValue: "\n", newValue: "\\", url },
    { key: "\ud800", oldValue: null, newValue: "", url },
  ]) {
    const text = line(event);
    assert.deepEqual(eventIn(text), text.includes("\\") ? undefined : JSON.parse(text).params);
  }
  const good = line({ key: "k", oldValue: null, newValue: "v", url });
  for (let end = 0; end < good.length; end++) assert.equal(eventIn(good.slice(0, end)), undefined);
  for (const other of [`${good} `, line({ key: "k", url }), line({ key: "k", oldValue: 1, newValue: "v", url }), good.replace("storage/event", "storage/overflow")]) {
    assert.equal(eventIn(other), undefined);
  }
});
