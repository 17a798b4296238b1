// A canvas in the page's own colours.

const COLOURS = {};
function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["ink", "soft", "line", "fill", "raw", "seen", "answer", "reference", "warn", "bad", "lost", "card"]) {
    COLOURS[name] = style.getPropertyValue(`--${name}`).trim();
  }
}

const FONT = "12px system-ui, sans-serif";

class Plot {
  constructor(canvas) {
    this.canvas = canvas;
    this.pen = canvas.getContext("2d");
    this.fit();
  }

  fit() {
    const sharp = window.devicePixelRatio || 1, { clientWidth, clientHeight } = this.canvas;
    this.width = clientWidth;
    this.height = clientHeight;
    this.canvas.width = Math.round(clientWidth * sharp);
    this.canvas.height = Math.round(clientHeight * sharp);
    this.pen.setTransform(sharp, 0, 0, sharp, 0, 0);
  }

  clear() {
    this.pen.clearRect(0, 0, this.width, this.height);
    this.pen.font = FONT;
    this.pen.lineWidth = 1;
    this.pen.textBaseline = "alphabetic";
  }

  text(words, x, y, align = "left", colour = COLOURS.soft) {
    this.pen.textAlign = align;
    this.pen.fillStyle = colour;
    this.pen.fillText(words, x, y);
  }

  rule(y, from, to) {
    this.pen.strokeStyle = COLOURS.line;
    this.pen.beginPath();
    this.pen.moveTo(from, Math.round(y) + 0.5);
    this.pen.lineTo(to, Math.round(y) + 0.5);
    this.pen.stroke();
  }
}

