// What the pages do by themselves; the Content-Security-Policy allows no script in them.
"use strict";

document.addEventListener("change", (event) => {
  const list = event.target.closest("select[data-follow]");
  if (list) {
    window.location.search = list.value;
  }
});
