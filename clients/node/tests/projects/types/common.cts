// The same packages where modules are CommonJS.
import client = require("webstorage-client");
import environment = require("webstorage-client/environment");
import jest = require("jest-environment-webstorage");

const storage: client.WebStorage = client.createWebStorage({ seed: { a: "1" } });
console.log(storage.snapshot(), environment.currentWebStorage().pending);
export class OnNode extends jest.TestEnvironment {}
