import { environmentOn } from "./compose.js";

/** `environment: "webstorage/jsdom"`: jsdom with this Web Storage. */
export default environmentOn("webstorage/jsdom", "client", "jsdom");
