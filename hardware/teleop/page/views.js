// What is drawn: pictures of the cameras as they come, and the target in the workspace from above and from the side.

export class Cameras {
  constructor(place, names) {
    this.counts = names.map(() => 0);
    this.canvases = names.map((name) => {
      const figure = document.createElement("figure"), canvas = document.createElement("canvas");
      const words = document.createElement("figcaption");
      canvas.className = "camera";
      canvas.width = canvas.height = 128;
      words.textContent = name;
      figure.append(canvas, words);
      place.append(figure);
      return canvas;
    });
  }

  // bytes: camera, number of the frame, JPEG; returns the number once it is drawn
  async draw(bytes) {
    const view = new DataView(bytes), canvas = this.canvases[view.getUint8(0)], number = view.getUint32(1);
    try {
      const picture = await createImageBitmap(new Blob([new Uint8Array(bytes, 5)], { type: "image/jpeg" }));
      if (canvas.width !== picture.width || canvas.height !== picture.height) {
        canvas.width = picture.width;
        canvas.height = picture.height;
      }
      canvas.getContext("2d").drawImage(picture, 0, 0);
      picture.close();
      this.counts[view.getUint8(0)] += 1;
    } catch { /* a broken picture: the next one comes */ }
    return number;
  }
}

// A map of two axes of the workspace. `across` and `up` are [axis, sign]: which number of a position goes right, and up.
export class Chart {
  constructor(canvas, across, up, low, high) {
    Object.assign(this, { canvas, across, up, low, high });
    const size = (axis) => high[axis] - low[axis];
    this.scale = 0.86 * Math.min(canvas.width / size(across[0]), canvas.height / size(up[0]));
    this.middle = low.map((value, i) => (value + high[i]) / 2);
  }

  at(point) {
    const [a, s] = this.across, [u, t] = this.up;
    return [
      this.canvas.width / 2 + s * (point[a] - this.middle[a]) * this.scale,
      this.canvas.height / 2 - t * (point[u] - this.middle[u]) * this.scale,
    ];
  }

  // CSS pixels to [x, y, z] m
  metres(dx, dy) {
    const shown = this.canvas.width / this.canvas.getBoundingClientRect().width / this.scale, found = [0, 0, 0];
    found[this.across[0]] = this.across[1] * dx * shown;
    found[this.up[0]] = -this.up[1] * dy * shown;
    return found;
  }

  draw(measured, target, leash) {
    const pen = this.canvas.getContext("2d"), [x0, y0] = this.at(this.low), [x1, y1] = this.at(this.high);
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    pen.lineWidth = 1.5;
    pen.strokeStyle = "#8a8f98";
    pen.strokeRect(Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0));
    if (!measured) return;
    const [mx, my] = this.at(measured);
    pen.fillStyle = "#3b82c4";
    pen.beginPath(); pen.arc(mx, my, 5, 0, 7); pen.fill();
    if (!target) return;
    const [tx, ty] = this.at(target);
    pen.setLineDash([3, 4]);
    pen.beginPath(); pen.arc(mx, my, leash * this.scale, 0, 7); pen.stroke();
    pen.setLineDash([]);
    pen.strokeStyle = "#2e9d57";
    pen.beginPath(); pen.moveTo(mx, my); pen.lineTo(tx, ty); pen.stroke();
    pen.beginPath(); pen.arc(tx, ty, 8, 0, 7); pen.stroke();
  }
}
