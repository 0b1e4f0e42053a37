// What the operator's hands do: keys, sticks, pointer and game pad, as one input. Nothing is held but what is down now.

const KEYS = { // code -> [linear, angular], in the operator's frame: x ahead, y left, z up
  KeyW: [[1, 0, 0], null], KeyS: [[-1, 0, 0], null],
  KeyA: [[0, 1, 0], null], KeyD: [[0, -1, 0], null],
  KeyE: [[0, 0, 1], null], KeyQ: [[0, 0, -1], null],
  ArrowLeft: [null, [0, 0, 1]], ArrowRight: [null, [0, 0, -1]],
  ArrowUp: [null, [0, -1, 0]], ArrowDown: [null, [0, 1, 0]],
  KeyZ: [null, [-1, 0, 0]], KeyX: [null, [1, 0, 0]],
  ShiftLeft: [null, null], ShiftRight: [null, null], Space: [null, null],
};
const DEAD_ZONE = 0.12; // of sticks
const FURTHEST_M = 1; // of a drag

const within = (value, most) => Math.max(-most, Math.min(most, value));
const live = (value) => (Math.abs(value) < DEAD_ZONE ? 0 : within(value, 1));
const plus = (sum, part) => sum.map((value, i) => within(value + part[i], 1));

export class Hands {
  // `changed()` is called at each press and release; `order(name)` at Escape; `faster(sign)` at + and -
  constructor({ changed, order, faster }) {
    Object.assign(this, { changed, order, faster });
    this.keys = new Set();
    this.sticks = new Map(); // element id -> [right, up]
    this.buttons = new Set(); // element ids
    this.drag = null; // [x, y, z] m
    this.dragFrame = null; // the frame of the view in which it is dragged; null: the chosen one
    this.gripper = null; // -1 opens, 1 closes, null: nothing said yet
    this.gripperNow = -1; // as the arm has it
    this.pad = { linear: [0, 0, 0], angular: [0, 0, 0], held: false, up: false, a: false };
    this.listen();
  }

  listen() {
    addEventListener("keydown", (event) => this.onKey(event, true));
    addEventListener("keyup", (event) => this.onKey(event, false));
    for (const name of ["blur", "pagehide", "pointercancel"]) addEventListener(name, () => this.releaseAll());
    addEventListener("contextmenu", (event) => {
      if (event.target.closest?.(".stick, canvas, #gripper")) event.preventDefault(); // a long touch is no menu there
      else this.releaseAll();
    });
    for (const name of ["visibilitychange", "freeze"]) document.addEventListener(name, () => this.releaseAll());
  }

  onKey(event, down) {
    if (event.ctrlKey || event.metaKey || event.altKey) return this.releaseAll();
    if (down && event.code === "Escape") { this.releaseAll(); return this.order("stop"); }
    if (down && (event.key === "+" || event.key === "-")) return this.faster(event.key === "+" ? 1 : -1);
    if (!(event.code in KEYS)) return;
    event.preventDefault(); // no scrolling, and no click on a button that has the focus
    if (event.repeat) return; // a key that was down when the page lost it does not take hold again
    if (down && event.code === "Space") this.toggleGripper();
    if (down) this.keys.add(event.code); else this.keys.delete(event.code);
    this.changed();
  }

  toggleGripper() {
    this.gripper = (this.gripper ?? this.gripperNow) > 0 ? -1 : 1;
  }

  // a button on the screen that does something as it is pressed, and holds while it is down, as a key does
  addButton(element, press) {
    element.addEventListener("pointerdown", (event) => {
      element.setPointerCapture(event.pointerId);
      press();
      this.buttons.add(element.id);
      element.classList.add("held");
      this.changed();
    });
    const end = () => {
      element.classList.remove("held");
      if (this.buttons.delete(element.id)) this.changed();
    };
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) element.addEventListener(name, end);
  }

  // a stick on the screen
  addStick(element) {
    const knob = element.querySelector("i");
    let pointer = null;
    const put = (event) => {
      const box = element.getBoundingClientRect(), radius = box.width / 2;
      const x = within((event.clientX - box.left - radius) / (0.6 * radius), 1);
      const y = within((event.clientY - box.top - radius) / (0.6 * radius), 1);
      knob.style.transform = `translate(${x * 2.2}rem, ${y * 2.2}rem)`;
      this.sticks.set(element.id, [live(x), live(-y)]);
      element.classList.add("held");
    };
    const end = (event) => {
      if (event.pointerId !== pointer) return;
      pointer = null;
      knob.style.transform = "";
      element.classList.remove("held");
      this.sticks.delete(element.id);
      this.changed();
    };
    element.addEventListener("pointerdown", (event) => {
      if (pointer !== null) return;
      pointer = event.pointerId;
      element.setPointerCapture(pointer);
      put(event);
      this.changed();
    });
    element.addEventListener("pointermove", (event) => event.pointerId === pointer && this.sticks.has(element.id) && put(event));
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) element.addEventListener(name, end);
  }

  // a canvas in which a target is dragged: `metres(dx, dy)` turns CSS pixels into [x, y, z]
  addDrag(element, frame, metres) {
    let from = null;
    const end = () => {
      if (from === null) return;
      from = null;
      this.drag = this.dragFrame = null;
      this.changed();
    };
    element.addEventListener("pointerdown", (event) => {
      if (this.drag) return;
      from = [event.clientX, event.clientY];
      element.setPointerCapture(event.pointerId);
      this.drag = [0, 0, 0];
      this.dragFrame = frame;
      this.changed();
    });
    element.addEventListener("pointermove", (event) => {
      if (from === null || !this.drag) return;
      const [dx, dy] = [event.clientX - from[0], event.clientY - from[1]];
      this.drag = metres(dx, dy).map((value) => within(value, FURTHEST_M));
    });
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) element.addEventListener(name, end);
  }

  // pads say nothing by themselves: called again and again
  readPad() {
    const pad = Array.from(navigator.getGamepads?.() ?? []).find((one) => one && one.connected);
    const down = (i) => Boolean(pad?.buttons[i]?.pressed), value = (i) => pad?.buttons[i]?.value ?? 0;
    const wanted = Boolean(pad) && (down(4) || down(5)) && document.hasFocus() && !document.hidden;
    const before = this.pad.held;
    if (!wanted) this.pad.up = true; // seen to be let go
    this.pad.held = wanted && this.pad.up;
    if (down(0) && !this.pad.a) this.toggleGripper();
    this.pad.a = down(0);
    const axis = (i) => live(pad?.axes[i] ?? 0);
    this.pad.linear = [-axis(1), -axis(0), live(value(7) - value(6))];
    this.pad.angular = [0, axis(3), -axis(2)];
    if (before !== this.pad.held) this.changed();
  }

  releaseAll() {
    this.keys.clear();
    this.sticks.clear();
    this.buttons.clear();
    this.drag = this.dragFrame = null;
    this.pad.held = this.pad.up = false;
    this.changed();
  }

  get held() {
    return this.keys.size > 0 || this.sticks.size > 0 || this.buttons.size > 0 || this.drag !== null || this.pad.held;
  }

  // the numbers of an input; without type, sequence and time
  wanted(frame, scale) {
    let linear = [0, 0, 0], angular = [0, 0, 0];
    for (const code of this.keys) {
      const [move, turn] = KEYS[code];
      if (move) linear = plus(linear, move);
      if (turn) angular = plus(angular, turn);
    }
    const left = this.sticks.get("left"), right = this.sticks.get("right");
    if (left) linear = plus(linear, [left[1], -left[0], 0]);
    if (right) { linear = plus(linear, [0, 0, right[1]]); angular = plus(angular, [0, 0, -right[0]]); }
    if (this.pad.held) { linear = plus(linear, this.pad.linear); angular = plus(angular, this.pad.angular); }
    const held = this.held, drag = held ? this.drag : null;
    return {
      held, angular, linear: drag ? [0, 0, 0] : linear, drag, gripper: this.gripper, scale,
      frame: drag && this.dragFrame ? this.dragFrame : frame,
    };
  }
}
