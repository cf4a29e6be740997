/** A delivery as bare as it can be: the request, and its answer to the end. */
export async function post(url: string, body: Uint8Array, id: string): Promise<void> {
  const headers = { "content-type": "application/json", "webhook-id": id };
  const response = await fetch(url, { method: "POST", headers, body, redirect: "manual" });
  await response.arrayBuffer();
}
