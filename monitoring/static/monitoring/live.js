// Keeps a page of statistics current: fetches the same address and replaces the parts marked data-live.
// A hidden tab waits; a failed fetch leaves what is shown and tries again.
"use strict";

(() => {
  const EVERY_MS = 10000;

  async function refresh() {
    const response = await fetch(window.location.href, { credentials: "same-origin", redirect: "error" });
    if (!response.ok) return;
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    for (const part of document.querySelectorAll("[data-live]")) {
      const next = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
      if (next) part.replaceWith(document.adoptNode(next));
    }
  }

  window.setInterval(() => {
    if (!document.hidden) refresh().catch(() => undefined);
  }, EVERY_MS);
})();
