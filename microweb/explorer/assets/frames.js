// Frames: the messages of a WebSocket, found in the bytes of its wire (RFC 6455, 5.2).

const TEXT = 1, BINARY = 2;

// Each whole message of one way: its bytes, unmasked, and where on the wire they stand.
export function messagesOf(way) {
  const start = way.parts.find((part) => part.name === "opaque")?.start;
  if (start === undefined) return [];
  const messages = [];
  let open = null;
  for (const frame of framesIn(way.text(start, way.size))) {
    if (frame.opcode === TEXT || frame.opcode === BINARY) open = { data: "", spans: [] };
    if (open === null || frame.opcode > BINARY) continue; // a ping, a pong or a goodbye
    open.data += frame.data;
    open.spans.push([start + frame.from, start + frame.to]);
    if (frame.isLast) {
      messages.push(open);
      open = null;
    }
  }
  return messages;
}

function* framesIn(bytes) {
  const octet = (index) => bytes.charCodeAt(index);
  const number = (index, size) => [...bytes.slice(index, index + size)].reduce((sum, each) => sum * 256 + each.charCodeAt(0), 0);
  for (let at = 0; at + 2 <= bytes.length;) {
    const short = octet(at + 1) & 0x7f;
    const extended = { 126: 2, 127: 8 }[short] ?? 0;
    const size = extended ? number(at + 2, extended) : short;
    const isMasked = (octet(at + 1) & 0x80) !== 0;
    const mask = isMasked ? bytes.slice(at + 2 + extended, at + 6 + extended) : "\0\0\0\0";
    const from = at + 2 + extended + (isMasked ? 4 : 0);
    if (from + size > bytes.length) return; // it is not whole, or was not kept
    const data = [...bytes.slice(from, from + size)]
      .map((each, index) => String.fromCharCode(each.charCodeAt(0) ^ mask.charCodeAt(index % 4))).join("");
    yield { opcode: octet(at) & 0x0f, isLast: (octet(at) & 0x80) !== 0, from, to: from + size, data };
    at = from + size;
  }
}

// The bytes of a message as an application has it, as text or as bytes.
export const bytesOfMessage = ({ text, bytes }) => (typeof text === "string"
  ? String.fromCharCode(...new TextEncoder().encode(text)) : bytes?.$bytes ?? null);
