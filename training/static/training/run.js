// Keeps a run's page up to date while the run goes on, by server-sent events; asks now and then where there are none.
// The page is loaded once more when the run has ended.
(() => {
  const live = document.getElementById("run-live");
  if (!live || live.dataset.ended) return;

  const every = 1500;
  const longestLog = 400000; // characters kept in the page; the whole log can be searched and downloaded
  const log = document.getElementById("run-log");
  log.scrollTop = log.scrollHeight;

  // Whoever is leaving for another page must not be called back by the reload; if it was a download, it comes later.
  let leftAt = -Infinity;
  window.addEventListener("beforeunload", () => { leftAt = performance.now(); });
  const reload = () => {
    const wait = leftAt + 3000 - performance.now();
    if (wait > 0) window.setTimeout(reload, wait); else window.location.reload();
  };

  const put = (id, html) => { document.getElementById(id).innerHTML = html; };

  const showLog = (text, isWhole) => {
    const wasAtEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 4;
    log.hidden = false;
    const none = document.getElementById("run-no-log");
    if (none) none.remove();
    const before = isWhole ? "" : log.textContent;
    const joint = before && !before.endsWith("\n") && !isWhole ? "\n" : "";
    log.textContent = (before + joint + text).slice(-longestLog);
    if (wasAtEnd) log.scrollTop = log.scrollHeight;
  };

  const look = async () => {
    try {
      const answer = await fetch(live.dataset.url, { headers: { Accept: "application/json" } });
      if (answer.ok) {
        const run = await answer.json();
        put("run-head", run.head);
        put("run-charts", run.charts);
        if (run.log !== null) showLog(run.log, true);
        if (run.is_ended) { reload(); return; }
      }
    } catch (error) { /* the server restarts; the next look finds it again */ }
    window.setTimeout(look, document.hidden ? every * 5 : every);
  };

  const listen = () => {
    const source = new EventSource(live.dataset.events);
    const on = (name, act) => source.addEventListener(name, (event) => act(JSON.parse(event.data)));
    on("head", (data) => put("run-head", data.html));
    on("charts", (data) => put("run-charts", data.html));
    on("log", (data) => showLog(data.text, false));
    on("end", () => { source.close(); reload(); });
    source.addEventListener("error", () => { // CLOSED: refused for good, or a server that cannot; otherwise it comes again by itself
      if (source.readyState === EventSource.CLOSED) window.setTimeout(look, every);
    });
    window.addEventListener("pagehide", () => source.close());
  };

  if (window.EventSource) listen(); else window.setTimeout(look, every);
})();
