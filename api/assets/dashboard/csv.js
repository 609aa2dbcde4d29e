// Figures to take along: CSV (RFC 4180) that spreadsheets open as it is meant.

/** What a spreadsheet would take for the beginning of a formula, and the characters that it reads as such. */
const FORMULA = /^[=+\-@\t\r\n＝＋－＠]/;
/** Tells spreadsheets that the text is UTF-8. */
const BYTE_ORDER_MARK = '\ufeff';

/** @typedef {string | number | null} Cell a text, a figure, or nothing */

/**
 * @param {string[]} head
 * @param {Cell[][]} rows
 */
export function csvOf(head, rows) {
  return BYTE_ORDER_MARK + [head, ...rows].map((row) => `${row.map(field).join(',')}\r\n`).join('');
}

/** @param {Cell} cell */
function field(cell) {
  if (cell === null) return '';
  if (typeof cell === 'number') return String(cell);
  const text = FORMULA.test(cell) ? `'${cell}` : cell;
  return `"${text.replaceAll('"', '""')}"`;
}

/**
 * Gives a file to the visitor.
 * @param {string} name
 * @param {string} text
 */
export function download(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: 'text/csv;charset=utf-8' }));
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  URL.revokeObjectURL(address);
}
