// The playground page: draw or upload, ask, show the answer, send the verdict.

import { hasInk, makeRow, readGray } from "./picture.js";

const PAUSE_MS = 120; // between questions while drawing
const STROKE = 22; // of the 280 pixel board: MNIST's pen

const byId = (id) => document.getElementById(id);
const description = byId("playground-description") && JSON.parse(byId("playground-description").textContent);
const state = { answer: null, isAsking: false, isStale: false, timer: 0 };

async function post(url, message) {
  const response = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRFToken": document.querySelector("[name=csrfmiddlewaretoken]").value },
    body: JSON.stringify(message),
  });
  const text = await response.text();
  let body = {};
  try { body = JSON.parse(text); } catch { /* a proxy's error page */ }
  if (!response.ok) throw new Error(body.error || `The server answered with status ${response.status}`);
  return body;
}

function currentRow() {
  if (!description.image) return JSON.parse(byId("row").value);
  const picture = readGray(byId("board"), byId("invert").checked);
  if (!hasInk(picture)) return null;
  const row = makeRow(picture, description.image, byId("centre").checked);
  showSeen(row);
  return row;
}

function showSeen(row) {
  const { height, width, channels, low, high } = description.image;
  const context = byId("seen").getContext("2d");
  const pixels = context.createImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    const cell = row[Math.floor(i / width)][i % width];
    for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = (255 * (cell[channels === 1 ? 0 : c] - low)) / (high - low);
    pixels.data[4 * i + 3] = 255;
  }
  context.putImageData(pixels, 0, 0);
}

// One question at a time: what was drawn meanwhile is asked when the answer is there.
async function ask() {
  expectAnswer();
  if (state.isAsking) { state.isStale = true; return; }
  state.isAsking = true;
  state.isStale = false;
  try {
    const row = currentRow();
    if (row === null) showNothing();
    else showAnswer(await post(description.predict_url, { endpoint: description.endpoint, row }));
    byId("problem").hidden = true;
  } catch (error) {
    byId("problem").textContent = error instanceof SyntaxError ? `This is no JSON: ${error.message}` : error.message;
    byId("problem").hidden = false;
  } finally {
    state.isAsking = false;
    if (state.isStale) askSoon();
  }
}

function askSoon() {
  expectAnswer();
  if (state.timer) return;
  state.timer = setTimeout(() => { state.timer = 0; ask(); }, PAUSE_MS);
}

// A verdict is about the answer that is shown, so there is none to give while another is on its way.
function expectAnswer() {
  byId("thanks").hidden = true;
  setVerdictEnabled(false);
}

function showNothing() {
  state.answer = null;
  byId("answer").textContent = "–";
  byId("bars").replaceChildren();
  byId("verdict").hidden = byId("facts").hidden = true;
  byId("seen").getContext("2d").clearRect(0, 0, byId("seen").width, byId("seen").height);
}

function showAnswer(answer) {
  state.answer = answer;
  byId("answer").textContent = answer.label ?? (answer.value === null ? "?" : Number(answer.value.toPrecision(6)));
  showBars(answer);
  byId("version").textContent = answer.version;
  byId("latency").textContent = `${answer.latency_ms} ms`;
  byId("prediction-id").textContent = answer.prediction_id;
  byId("facts").hidden = false;
  byId("verdict").hidden = answer.label === null;
  byId("right").textContent = `Right, it is ${answer.label}`;
  for (const button of byId("labels").children) button.hidden = button.dataset.label === answer.label;
  setVerdictEnabled(!state.isStale && !state.timer);
}

function showBars(answer) {
  const bars = byId("bars");
  if (bars.children.length !== answer.probabilities.length) {
    bars.replaceChildren(...answer.probabilities.map(() => {
      const row = document.createElement("div");
      row.className = "playground-row";
      row.append(...["playground-label", "playground-track", "playground-percent"].map((name) => {
        const part = document.createElement("div");
        part.className = name;
        return part;
      }));
      row.children[1].append(Object.assign(document.createElement("div"), { className: "playground-fill" }));
      return row;
    }));
  }
  answer.probabilities.forEach(({ label, probability }, index) => {
    const row = bars.children[index];
    row.classList.toggle("playground-row-best", label === answer.label);
    row.children[0].textContent = label;
    row.children[1].firstChild.style.width = `${100 * probability}%`;
    row.children[2].textContent = `${(100 * probability).toFixed(1)} %`;
  });
}

async function tellTruth(label) {
  const { prediction_id, version } = state.answer;
  setVerdictEnabled(false);
  try {
    await post(description.truth_url, { prediction_id, label });
    byId("thanks").textContent = `Noted: it is ${label}. This counts in the accuracy of version ${version}.`;
    byId("thanks").hidden = false;
  } catch (error) {
    byId("problem").textContent = error.message;
    byId("problem").hidden = false;
    setVerdictEnabled(true);
  }
}

function setVerdictEnabled(isEnabled) {
  byId("verdict").querySelectorAll("button").forEach((button) => { button.disabled = !isEnabled; });
}

function makeLabelButtons() {
  byId("labels").replaceChildren(...description.labels.map((label) => {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "console-button", textContent: label });
    button.dataset.label = label;
    button.addEventListener("click", () => tellTruth(label));
    return button;
  }));
  byId("right").addEventListener("click", () => tellTruth(state.answer.label));
}

function startBoard() {
  const board = byId("board");
  const context = board.getContext("2d", { willReadFrequently: true });
  const clear = () => {
    context.fillStyle = "#000";
    context.fillRect(0, 0, board.width, board.height);
  };
  let last = null;
  const place = (event) => {
    const box = board.getBoundingClientRect();
    return [((event.clientX - box.left) * board.width) / box.width, ((event.clientY - box.top) * board.height) / box.height];
  };
  const draw = (event) => {
    const next = place(event);
    Object.assign(context, { strokeStyle: "#fff", lineWidth: STROKE, lineCap: "round", lineJoin: "round" });
    context.beginPath();
    context.moveTo(...last);
    context.lineTo(...next);
    context.stroke();
    last = next;
    if (byId("live").checked) askSoon();
  };
  board.addEventListener("pointerdown", (event) => {
    board.setPointerCapture(event.pointerId);
    if (byId("invert").checked) { byId("invert").checked = false; clear(); }
    byId("centre").checked = true;
    last = place(event);
    draw(event);
  });
  board.addEventListener("pointermove", (event) => { if (last) draw(event); });
  const end = () => { if (last) { last = null; if (byId("live").checked) askSoon(); } };
  board.addEventListener("pointerup", end);
  board.addEventListener("pointercancel", end);
  byId("clear").addEventListener("click", () => { clear(); showNothing(); });
  byId("upload").addEventListener("click", () => chooseFile(board, clear));
  for (const id of ["centre", "invert"]) byId(id).addEventListener("change", askSoon);
  clear();
}

// The input is never part of the page: the admin's script expects a text field beside every file input.
function chooseFile(board, clear) {
  const input = Object.assign(document.createElement("input"), { type: "file", accept: "image/png,image/jpeg" });
  input.addEventListener("change", () => { if (input.files.length) loadFile(input.files[0], board, clear); });
  input.click();
}

async function loadFile(file, board, clear) {
  try {
    const bitmap = await createImageBitmap(file);
    clear();
    board.getContext("2d").drawImage(bitmap, 0, 0, board.width, board.height);
    byId("centre").checked = false;
    askSoon();
  } catch {
    byId("problem").textContent = `${file.name} is no image that this browser can read`;
    byId("problem").hidden = false;
  }
}

if (description) {
  byId("endpoint").addEventListener("change", (event) => event.target.form.submit());
  byId("ask").addEventListener("click", ask);
  makeLabelButtons();
  if (description.image) startBoard();
  else byId("row").value = JSON.stringify(description.sample ?? {}, null, 2);
}
