const ROW = 16;
/** The most rows of the hex view, because more would make the page slow. */
const MAX_ROWS = 2_048;

export function bytesOf(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
}

/** Offset, 16 bytes and their ASCII in each line. Example: `00000000  68 65 6c 6c 6f ...  hello`. */
export function hexText(bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length && lines.length < MAX_ROWS; at += ROW) {
    const row = [...bytes.subarray(at, at + ROW)];
    const hex = row.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const ascii = row.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.')).join('');
    lines.push(`${at.toString(16).padStart(8, '0')}  ${hex.padEnd(ROW * 3 - 1)}  ${ascii}`);
  }
  const rest = bytes.length - MAX_ROWS * ROW;
  return [...lines, ...(rest > 0 ? [`... and ${rest} more bytes`] : [])].join('\n');
}

/** The JSON with indents; null if the text is not JSON. */
export function jsonText(text: string | null): string | null {
  if (text === null) return null;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return null;
  }
}
