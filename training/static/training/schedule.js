// The form of a schedule: shows the field of the chosen kind, and the next times of the cron line while it is written.
(() => {
  const form = document.getElementById("schedule-form");
  if (!form) return;

  const list = document.getElementById("schedule-times");
  const cron = form.elements.cron;
  let asked = 0;
  let timer = 0;

  const showKind = () => {
    const chosen = form.querySelector("input[name=when]:checked");
    for (const part of form.querySelectorAll("[data-when]")) part.hidden = !!chosen && part.dataset.when !== chosen.value;
  };

  const showTimes = (lines, isError) => {
    list.classList.toggle("errorlist", isError);
    list.replaceChildren(...lines.map((line) => Object.assign(document.createElement("li"), { textContent: line })));
  };

  const ask = async () => {
    const number = ++asked;
    try {
      const answer = await fetch(`${form.dataset.times}?cron=${encodeURIComponent(cron.value)}`, { headers: { Accept: "application/json" } });
      const { times, error } = await answer.json();
      if (number === asked) showTimes(error ? [error] : times, error !== "");
    } catch (error) { /* the server is away: what was shown stays, and saving checks the line anyway */ }
  };

  form.addEventListener("change", showKind);
  cron.addEventListener("input", () => { window.clearTimeout(timer); timer = window.setTimeout(ask, 250); });
  showKind();
})();
