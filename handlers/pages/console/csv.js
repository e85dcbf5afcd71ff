// Figures as a CSV file that is safe to open in a spreadsheet.

/** A spreadsheet runs a cell that begins with one of these as a formula. */
const FORMULA = /^[=+\-@\t\r]/;

/** Rows of texts and numbers as CSV, with line ends as RFC 4180 has them. */
export function csvOf(rows) {
  return rows.map((row) => `${row.map(cellOf).join(",")}\r\n`).join("");
}

/** An apostrophe before a formula makes it text. Numbers stay numbers, negative ones too. */
function cellOf(value) {
  if (typeof value === "number") return String(value);
  const harmless = FORMULA.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}

/** Let the browser save a text as a file. */
export function saveFile(name, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // some browsers read it only after the click
}
