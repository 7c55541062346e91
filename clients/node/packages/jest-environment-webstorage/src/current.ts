// For test files. Strict installers show a project only what it asks for, which the client need not be.
export { currentWebStorage } from "webstorage-client/environment";
