const sinon = require("sinon");
const { currentWebStorage } = require("webstorage-client/environment");
const defineCases = require("../shared/cases.cjs");

function spyOn(object, method) {
  const spy = sinon.spy(object, method);
  return { count: () => spy.callCount, restore: () => spy.restore() };
}

defineCases({ test: it, spyOn, currentWebStorage, file: "one" });
