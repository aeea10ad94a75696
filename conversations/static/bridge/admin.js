// What the pages do by themselves; the Content-Security-Policy allows no script in them.
"use strict";

document.addEventListener("change", (event) => {
  const list = event.target.closest("select[data-follow]");
  if (list) {
    window.location.search = list.value;
  }
});

// Clipboard access needs https; without it the text is selected, ready for Ctrl+C.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) {
    return;
  }
  const field = document.getElementById(button.dataset.copy);
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
  } catch {
    if (!document.execCommand("copy")) {
      return;
    }
  }
  button.textContent = button.dataset.copied;
});
