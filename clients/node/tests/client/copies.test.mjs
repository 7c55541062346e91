// The logic of copies under every order in which commits and events can come, without processes: the
// total order of the server is a list here, and each step of it is drawn from a fixed sequence.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";

const require = createRequire(import.meta.url);
const dist = require.resolve("webstorage-client");
const { MirroredArea } = require(dist.replace(/index\.js$/, "mirrored-area.js"));
const { PendingWrites } = require(dist.replace(/index\.js$/, "pending-writes.js"));

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
  posted = [];
  events = [];

  constructor(order) {
    this.order = order;
    order.connections.push(this);
  }

  call(method) {
    if (method === "storage/open") return { storage: 1, length: this.order.items.size, quota: 1e6 };
    if (method === "storage/subscribe") return { subscription: 1 };
    assert.equal(method, "storage/entries");
    return [...this.order.items].map(([key, value]) => ({ key, value }));
  }

  post(method, params) {
    this.posted.push([method, JSON.parse(params)]);
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
      const area = new MirroredArea(wire, { persistent: true, origin: "o" }, assert.fail, () => undefined);
      return { wire, area, view: area.open({ url: "", emitSelf: false, deliver: () => undefined }) };
    });
    const takeEvent = (copy) => {
      current = copy;
      if (copy.wire.events.length > 0) copy.area.apply(copy.wire.events.shift());
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
