/** The origin of a URL as the server writes it. */
export function originOf(url: string): string {
  const { origin, protocol, host } = new URL(url === "null" ? "data:," : url);
  // Schemes of host programs have origins here, although the URL class calls them opaque.
  return origin === "null" && host !== "" && protocol !== "file:" ? `${protocol}//${host}` : origin;
}
