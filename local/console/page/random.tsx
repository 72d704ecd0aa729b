/** Random bits in base64url. */
export function randomText(bytes: number): string {
  const bits = crypto.getRandomValues(new Uint8Array(bytes));
  return btoa(String.fromCharCode(...bits))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}
