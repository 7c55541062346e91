module.exports = {
  testEnvironment: process.env.TEST_BASE === "jsdom" ? "jest-environment-webstorage/jsdom" : "webstorage",
  testEnvironmentOptions: { globalsCleanup: "on", webstorage: { seed: { seeded: "yes" }, quota: 2000, ...JSON.parse(process.env.TEST_OPTIONS ?? "{}") } },
  testMatch: ["**/*.test.js"],
};
