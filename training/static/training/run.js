// Draws the moving part of a run's page again while the run goes on; reloads once when it has ended.
(() => {
  const live = document.getElementById("run-live");
  if (!live || live.dataset.ended) return;

  const every = 1500;

  const redraw = (html) => {
    const log = document.getElementById("run-log");
    const wasAtEnd = !log || log.scrollTop + log.clientHeight >= log.scrollHeight - 4;
    live.innerHTML = html;
    const next = document.getElementById("run-log");
    if (next && wasAtEnd) next.scrollTop = next.scrollHeight;
  };

  const look = async () => {
    try {
      const answer = await fetch(live.dataset.url, { headers: { Accept: "application/json" } });
      if (answer.ok) {
        const run = await answer.json();
        redraw(run.html);
        if (run.is_ended) { window.location.reload(); return; }
      }
    } catch (error) { /* the server restarts; the next look finds it again */ }
    window.setTimeout(look, document.hidden ? every * 5 : every);
  };

  window.setTimeout(look, every);
})();
