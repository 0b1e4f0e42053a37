// The operator's page: one WebSocket to the program that teleoperates. What is held goes out 30 times a second.

import { Hands } from "./hands.js";
import { Cameras, Chart } from "./views.js";

const PERIOD_MS = 33, IDLE_MS = 66, PING_MS = 500, RECONNECT_MS = 1000;
const CROWDED = 4096; // bytes that wait to be sent: then only a release is added
const ACROSS_M = 0.5; // of a drag over the width of a picture
const $ = (id) => document.getElementById(id);

const token = (() => {
  const found = new URLSearchParams(location.hash.slice(1)).get("token");
  if (found) sessionStorage.setItem("token", found);
  history.replaceState(null, "", location.pathname); // not for those who look over the shoulder
  return found ?? sessionStorage.getItem("token") ?? "";
})();

let scene = null; // of a simulated arm, how often it was set up anew
let socket = null, setting = null, cameras = null, maps = [], drives = false, sequence = 0;
let sentAt = 0, pingAt = 0, heardAt = 0, roundTrip = null, wasHeld = false, heldBack = 0;
const counts = { inputs: 0, at: performance.now(), pictures: [], rates: "" };

const hands = new Hands({ changed: () => speak(true), order, faster });

// ------------------------------------------------------------------------------------------------ out
function send(message) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function speak(now = false) {
  if (!drives || socket?.readyState !== WebSocket.OPEN) return;
  const wanted = hands.wanted($("frame").value, Number($("scale").value)), time = performance.now();
  if (!now && !wanted.held && time - sentAt < IDLE_MS) return;
  if (wanted.held && socket.bufferedAmount > CROWDED) return; // the newest will do, later
  // a new press: whatever was silent before, the arm knows that nothing was held
  if (wanted.held && !wasHeld) send({ type: "input", sequence: sequence++, sent_ms: time, ...wanted, held: false });
  send({ type: "input", sequence: sequence++, sent_ms: time, ...wanted });
  sentAt = time;
  counts.inputs += 1;
  if (wanted.held !== wasHeld) navigator.vibrate?.(wanted.held ? 15 : 0);
  wasHeld = wanted.held;
}

function order(name) {
  send({ type: "order", order: name });
}

function faster(sign) {
  $("scale").value = Number($("scale").value) + 0.1 * sign;
  $("scale-shown").value = $("scale").value;
}

setInterval(() => {
  hands.readPad();
  speak();
  const now = performance.now();
  if (now - pingAt > PING_MS) { pingAt = now; send({ type: "ping", at: Math.round(now * 1000) }); }
  if (now - counts.at > 1000) countRates(now);
  showLink(now);
}, PERIOD_MS);

// ------------------------------------------------------------------------------------------------- in
function connect() {
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/socket`);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => { sequence = 0; send({ type: "hello", token }); };
  socket.onmessage = (event) => {
    heardAt = performance.now();
    if (typeof event.data !== "string") {
      cameras?.draw(event.data).then((frame) => send({ type: "seen", frame }));
      return;
    }
    const message = JSON.parse(event.data);
    if (message.type === "welcome") welcome(message);
    else if (message.type === "pong") roundTrip = performance.now() - message.at / 1000;
    else if (message.type === "status") show(message);
  };
  socket.onclose = (event) => {
    drives = wasHeld = false;
    hands.releaseAll(); // what is down now must be pressed anew
    lamp("command", "no connection", "bad");
    $("why").textContent = event.reason || "the program does not answer";
    if (event.code !== 1008) setTimeout(connect, RECONNECT_MS);
  };
}

function welcome(message) {
  drives = message.drives;
  if (setting) return; // back after a lost connection
  setting = message.setting;
  $("arm").textContent = setting.arm;
  cameras = new Cameras($("cameras"), setting.cameras);
  counts.pictures = setting.cameras.map(() => 0);
  for (const canvas of cameras.canvases) {
    hands.addDrag(canvas, null, (dx, dy) => {
      const metres = ACROSS_M / canvas.getBoundingClientRect().width;
      return [0, -dx * metres, -dy * metres];
    });
  }
  const { box_low: low, box_high: high } = setting;
  maps = [new Chart($("top"), [1, -1], [0, 1], low, high), new Chart($("side"), [0, 1], [2, 1], low, high)];
  for (const map of maps) hands.addDrag(map.canvas, "base", (dx, dy) => map.metres(dx, dy));
  hands.addStick($("left"));
  hands.addStick($("right"));
  for (const [name, words] of Object.entries(setting.orders)) {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: name, title: words, id: `order-${name}` });
    button.onclick = () => { order(name); button.blur(); };
    if (name !== "stop") $("orders").append(button);
  }
  const drive = Object.assign(document.createElement("button"), { type: "button", textContent: "drive from here", id: "drive" });
  drive.onclick = () => send({ type: "drive" });
  $("orders").append(drive);
}

// ---------------------------------------------------------------------------------------------- shown
function lamp(id, words, kind = "") {
  $(id).textContent = words;
  $(id).className = `lamp ${kind}`;
}

function fill(id, sentences) {
  if ($(id).dataset.shown === sentences.join("\n")) return; // a screen reader says again what is put there again
  $(id).dataset.shown = sentences.join("\n");
  $(id).replaceChildren(...sentences.map((words) => Object.assign(document.createElement("li"), { textContent: words })));
}

function show(status) {
  drives = status.drives;
  const arbiter = status.arbiter, mode = arbiter?.mode ?? "no arbiter";
  lamp("command", `command: ${mode}`, mode === "teleop" || mode === "intervene" ? "on" : mode === "fault" || !arbiter ? "bad" : "");
  lamp("hold", status.pressed ? "you hold the arm" : "released", status.pressed ? "on" : "");
  const held = arbiter?.rule && arbiter.rule !== "released" ? arbiter.words : "";
  const watching = status.driven ? "another page drives: this one watches" : "nobody drives: press \"drive from here\"";
  $("why").textContent = drives ? held || status.words : watching;
  $("drive").hidden = drives || status.driven;
  $("gripper").textContent = `gripper: ${status.gripper > 0 ? "closed" : "open"}`;
  $("recording").textContent = status.recording ? status.recording.words : "";
  fill("troubles", status.recording?.troubles ?? []);
  for (const name of Object.keys(setting.orders)) {
    const button = $(`order-${name}`);
    if (button) button.disabled = !drives;
  }
  for (const map of maps) map.draw(status.measured, status.target, setting.leash_m);
  fill("said", status.said);
  numbers(status);
  const hits = Object.values(status.held_back).reduce((sum, n) => sum + n, 0);
  if (status.pressed && hits > heldBack) navigator.vibrate?.(30);
  heldBack = hits;
  hands.gripperNow = status.gripper;
  if (status.scene !== scene) hands.gripper = null; // other fingers than those it was said of
  scene = status.scene;
  if (!status.pressed && mode !== "teleop" && mode !== "intervene") hands.gripper = null; // what was said then is over
  Object.assign(document.body.dataset, { drives, pressed: status.pressed, mode, measured: JSON.stringify(status.measured) });
}

function numbers(status) {
  const list = (found) => Object.entries(found ?? {}).filter(([, n]) => n).map(([name, n]) => `${name} ${n}`).join(", ") || "none";
  const place = (point) => (point ? point.map((v) => v.toFixed(3)).join(", ") + " m" : "unknown");
  const rows = [
    ["hand", place(status.measured)],
    ["target", status.target ? place(status.target) : "none"],
    ["held back by", list(status.held_back)],
    ["limits", list(status.arbiter?.limits)],
    ["state", status.state_age_s === null ? "none yet" : `${Math.round(status.state_age_s * 1000)} ms old`],
    ["loop", `${status.loop_hz} Hz`],
    ["here", counts.rates],
    ["inputs", list(status.inputs)],
    ["refused", status.refused ? `${status.refused}: ${status.last_refused}` : "none"],
    ["pages", String(status.pages)],
  ];
  $("numbers").replaceChildren(...rows.map((row) => {
    const line = document.createElement("tr");
    line.append(...row.map((words) => Object.assign(document.createElement("td"), { textContent: words })));
    return line;
  }));
}

function countRates(now) {
  const seconds = (now - counts.at) / 1000;
  const pictures = (cameras?.counts ?? []).map((n, i) => ((n - counts.pictures[i]) / seconds).toFixed(0));
  counts.rates = `${pictures.join(" + ") || 0} pictures/s, ${(counts.inputs / seconds).toFixed(0)} inputs/s`;
  document.body.dataset.pictures = pictures.join(",");
  counts.pictures = [...(cameras?.counts ?? [])];
  Object.assign(counts, { inputs: 0, at: now });
}

function showLink(now) {
  const age = heardAt ? now - heardAt : Infinity;
  $("link").textContent = Number.isFinite(age)
    ? `link ${Math.round(age)} ms old, round trip ${roundTrip === null ? "?" : roundTrip.toFixed(1)} ms` : "no link";
  $("link").style.color = age > 500 ? "var(--bad)" : "";
  document.body.dataset.roundTrip = roundTrip ?? "";
}

$("stop").onclick = () => { hands.releaseAll(); order("stop"); $("stop").blur(); };
hands.addButton($("gripper"), () => { if (drives) hands.toggleGripper(); });
$("gripper").onclick = () => $("gripper").blur();
$("scale").oninput = () => { $("scale-shown").value = $("scale").value; };
for (const id of ["scale", "frame"]) $(id).onchange = () => $(id).blur();
connect();
