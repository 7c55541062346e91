const { currentWebStorage } = require("webstorage-client/environment");
const defineCases = require("../shared/cases.cjs");

function spyOn(object, method) {
  const original = object[method];
  let calls = 0;
  object[method] = function (...args) {
    calls++;
    return Reflect.apply(original, this, args);
  };
  return { count: () => calls, restore: () => (object[method] = original) };
}

defineCases({ test: it, spyOn, currentWebStorage, file: "two" });
