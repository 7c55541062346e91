const { currentWebStorage } = require("webstorage-client/environment");
const defineCases = require("../shared/cases.cjs");

function spyOn(object, method) {
  const spy = jest.spyOn(object, method);
  let count;
  return { count: () => count ?? spy.mock.calls.length, restore: () => ((count = spy.mock.calls.length), spy.mockRestore()) };
}

defineCases({ test, spyOn, currentWebStorage, file: "one" });
