// The other process of the tests with two: evaluates what it is sent.
import { createWebStorage } from "webstorage-client";

const storage = createWebStorage(JSON.parse(process.argv[2]));
const { localStorage } = storage;
const heard = [];
storage.target.addEventListener("storage", ({ key, oldValue, newValue, url }) => heard.push({ key, oldValue, newValue, url }));
const evaluate = new Function("storage", "localStorage", "heard", "expression", "return eval(expression);");

process.on("message", (expression) => {
  try {
    process.send({ value: evaluate(storage, localStorage, heard, expression) ?? null });
  } catch (error) {
    process.send({ error: `${error.name}: ${error.message}` });
  }
});
process.send("ready");
