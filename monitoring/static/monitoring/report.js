// <report-list>: filters, sorts and searches the features of a report. What a person chose and opened is kept while
// the page refreshes itself. Without this script the list stands there whole, worst first.
"use strict";

(() => {
  const chosen = { filter: "", sort: "", search: "", open: new Map() };
  const ORDERS = {
    "": null,
    name: (a, b) => a.dataset.name.localeCompare(b.dataset.name),
    p: (a, b) => Number(a.dataset.p) - Number(b.dataset.p),
    samples: (a, b) => Number(b.dataset.samples) - Number(a.dataset.samples),
  };

  class ReportList extends HTMLElement {
    connectedCallback() {
      this.items = [...this.querySelectorAll("[data-items] > details")];
      this.querySelector(".report-tools").hidden = false;
      for (const button of this.querySelectorAll("[data-filter]")) {
        button.addEventListener("click", () => { chosen.filter = button.dataset.filter; this.apply(); });
      }
      const sort = this.querySelector("[data-sort]"), search = this.querySelector("[data-search]");
      sort.value = chosen.sort;
      search.value = chosen.search;
      sort.addEventListener("change", () => { chosen.sort = sort.value; this.apply(); });
      search.addEventListener("input", () => { chosen.search = search.value; this.apply(); });
      for (const item of this.items) {
        if (chosen.open.has(item.dataset.name)) item.open = chosen.open.get(item.dataset.name);
        item.addEventListener("toggle", () => chosen.open.set(item.dataset.name, item.open));
      }
      this.apply();
    }

    apply() {
      for (const button of this.querySelectorAll("[data-filter]")) {
        button.setAttribute("aria-pressed", String(button.dataset.filter === chosen.filter));
      }
      const order = ORDERS[chosen.sort];
      this.querySelector("[data-items]").append(...(order ? [...this.items].sort(order) : this.items));
      const wanted = chosen.search.trim().toLowerCase();
      for (const item of this.items) {
        const isShown = ["", item.dataset.verdict].includes(chosen.filter) && item.dataset.name.toLowerCase().includes(wanted);
        item.hidden = !isShown;
      }
      this.querySelector("[data-none]").hidden = this.items.some((item) => !item.hidden);
    }
  }

  // A link to a section opens the details that it lies in.
  window.addEventListener("hashchange", () => {
    const target = document.getElementById(location.hash.slice(1));
    for (let part = target; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
  });

  const define = () => customElements.define("report-list", ReportList);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", define);
  else define();
})();
