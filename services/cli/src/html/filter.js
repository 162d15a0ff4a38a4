"use strict";
for (const box of document.querySelectorAll(".filterable")) {
  const tools = box.querySelector(".tools");
  const input = tools.querySelector("input");
  const buttons = [...tools.querySelectorAll("button")];
  const output = tools.querySelector("output");
  const rows = [...box.querySelectorAll("tbody tr")].map((row) => [row, row.textContent.toLowerCase()]);
  const apply = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const tags = buttons.filter((b) => b.getAttribute("aria-pressed") === "true").map((b) => b.value);
    let shown = 0;
    for (const [row, text] of rows) {
      const fits = words.every((word) => text.includes(word)) && (tags.length === 0 || tags.includes(row.dataset.tag));
      row.hidden = !fits;
      shown += fits ? 1 : 0;
    }
    output.textContent = shown === rows.length ? `${rows.length}` : `${shown} of ${rows.length}`;
  };
  input.addEventListener("input", apply);
  for (const button of buttons) {
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
      apply();
    });
  }
  tools.hidden = false;
  apply();
}
