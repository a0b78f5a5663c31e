// @ts-check
// Rows as a CSV file.

// Text that a spreadsheet would take for a formula gets a leading apostrophe. Numbers stay numbers.
const cell = (/** @type {string | number} */ value) => {
  if (typeof value === "number") return String(value);
  const text = /^[\s]*[=+\-@]/.test(value) || /^[\t\r]/.test(value) ? `'${value}` : value;
  return `"${text.replaceAll('"', '""')}"`;
};

/** @param {(string | number)[][]} rows */
export const csv = (rows) => rows.map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
