// Turns what was drawn or uploaded into the rows that the model takes: height x width x channels,
// white ink on black, scaled by exact area averages so that thin lines do not vanish.

const DIGIT_BOX = 20 / 28; // of MNIST's frame, the part that the digit fills

export function readGray(canvas, invert) {
  const { width, height } = canvas;
  const pixels = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  const colours = [0, 1, 2].map((channel) => {
    const plane = new Float64Array(width * height);
    for (let i = 0; i < plane.length; i++) plane[i] = invert ? 255 - pixels[4 * i + channel] : pixels[4 * i + channel];
    return plane;
  });
  const gray = colours[0].map((red, i) => 0.299 * red + 0.587 * colours[1][i] + 0.114 * colours[2][i]);
  return { width, height, gray, colours };
}

export function hasInk(picture) {
  return picture.gray.some((value) => value > 40);
}

// The part of the picture to look at, in its pixels: all of it, or a square around the ink.
export function chooseFrame(picture, rows, columns, isCentred) {
  if (!isCentred) return { left: 0, top: 0, width: picture.width, height: picture.height };
  const box = inkBox(picture);
  if (!box) return { left: 0, top: 0, width: picture.width, height: picture.height };
  // Small grids have no margin: their digits were cut at the edge.
  const share = Math.min(rows, columns) < 16 ? 1 : DIGIT_BOX;
  const side = Math.max(box.right - box.left, box.bottom - box.top) / share;
  const isTight = share === 1;
  const x = isTight ? (box.left + box.right) / 2 : box.massX;
  const y = isTight ? (box.top + box.bottom) / 2 : box.massY;
  return { left: x - side / 2, top: y - side / 2, width: side, height: side };
}

function inkBox({ width, height, gray }) {
  let left = width, right = 0, top = height, bottom = 0, mass = 0, sumX = 0, sumY = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const value = gray[y * width + x];
      if (value <= 40) continue;
      left = Math.min(left, x); right = Math.max(right, x + 1);
      top = Math.min(top, y); bottom = Math.max(bottom, y + 1);
      mass += value; sumX += value * (x + 0.5); sumY += value * (y + 0.5);
    }
  }
  return mass ? { left, right, top, bottom, massX: sumX / mass, massY: sumY / mass } : null;
}

// rows x columns averages of one plane inside the frame; outside the picture is black.
export function shrink(plane, picture, frame, rows, columns) {
  const table = summedArea(plane, picture.width, picture.height);
  const result = [];
  for (let row = 0; row < rows; row++) {
    const line = [];
    for (let column = 0; column < columns; column++) {
      const left = frame.left + (frame.width * column) / columns;
      const top = frame.top + (frame.height * row) / rows;
      const right = frame.left + (frame.width * (column + 1)) / columns;
      const bottom = frame.top + (frame.height * (row + 1)) / rows;
      const area = Math.max((right - left) * (bottom - top), 1e-9);
      line.push(sumInside(table, picture, left, top, right, bottom) / area);
    }
    result.push(line);
  }
  return result;
}

function summedArea(plane, width, height) {
  const table = new Float64Array((width + 1) * (height + 1));
  for (let y = 0; y < height; y++) {
    let sum = 0;
    for (let x = 0; x < width; x++) {
      sum += plane[y * width + x];
      table[(y + 1) * (width + 1) + x + 1] = table[y * (width + 1) + x + 1] + sum;
    }
  }
  return table;
}

function sumInside(table, { width, height }, left, top, right, bottom) {
  const at = (x, y) => interpolate(table, width, height, x, y);
  return at(right, bottom) - at(left, bottom) - at(right, top) + at(left, top);
}

// The integral from the corner to (x, y); between pixels it is linear in each direction.
function interpolate(table, width, height, x, y) {
  const cx = Math.min(Math.max(x, 0), width), cy = Math.min(Math.max(y, 0), height);
  const x0 = Math.min(Math.floor(cx), width - 1), y0 = Math.min(Math.floor(cy), height - 1);
  const fx = cx - x0, fy = cy - y0, stride = width + 1;
  const a = table[y0 * stride + x0], b = table[y0 * stride + x0 + 1];
  const c = table[(y0 + 1) * stride + x0], d = table[(y0 + 1) * stride + x0 + 1];
  return a * (1 - fx) * (1 - fy) + b * fx * (1 - fy) + c * (1 - fx) * fy + d * fx * fy;
}

// The row as the model takes it: [height][width][channels] between image.low and image.high.
export function makeRow(picture, image, isCentred) {
  const frame = chooseFrame(picture, image.height, image.width, isCentred);
  const planes = (image.channels === 1 ? [picture.gray] : picture.colours).map((plane) =>
    shrink(plane, picture, frame, image.height, image.width),
  );
  const scale = (value) => Math.round((image.low + ((image.high - image.low) * value) / 255) * 1000) / 1000;
  return planes[0].map((line, y) => line.map((_, x) => planes.map((plane) => scale(plane[y][x]))));
}
