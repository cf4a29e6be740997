/**
 * The body; null when it is too large. One whose length is told is read in one piece, because no more can follow
 * (RFC 9112 §6.3); any other is counted while it is read.
 */
export async function readCapped(request: Request, maxBytes: number): Promise<Uint8Array | null> {
  const told = request.headers.get("content-length");
  if (told === null || !/^\d{1,15}$/.test(told) || Number(told) > maxBytes) {
    return request.body === null ? new Uint8Array() : readCounting(request.body, maxBytes);
  }
  const body = new Uint8Array(await request.arrayBuffer());
  return body.length > maxBytes ? null : body;
}

async function readCounting(
  stream: ReadableStream<Uint8Array>,
  maxBytes: number,
): Promise<Uint8Array | null> {
  const reader = stream.getReader();
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.length;
    if (length > maxBytes) {
      await reader.cancel();
      return null;
    }
    chunks.push(value);
  }
  const body = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    body.set(chunk, offset);
    offset += chunk.length;
  }
  return body;
}
