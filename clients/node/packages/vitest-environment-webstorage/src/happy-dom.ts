import { environmentOn } from "./compose.js";

/** `environment: "webstorage/happy-dom"`: happy-dom with this Web Storage. */
export default environmentOn("webstorage/happy-dom", "client", "happy-dom");
