import { environmentOn } from "./compose.js";

export type { Base, VitestEnvironmentOptions } from "./compose.js";
export { currentWebStorage } from "webstorage-client/environment";

/** `environment: "webstorage"`: Web Storage on the environment that the option `base` names. */
export default environmentOn("webstorage", "ssr");
