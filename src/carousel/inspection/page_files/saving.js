// What can be taken away: a picture, the numbers that it shows, and one step's numbers.

function download(content, name) {
  const url = URL.createObjectURL(content);
  const link = make("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

const fileName = (ending) => {
  const parts = [view.layer, view.quantity, view.input === "A" && recordings.length < 2 ? "" : view.input];
  return `${parts.filter(Boolean).join("-").replace(/[^\w.-]+/g, "_")}.${ending}`;
};

/** The whole picture, with a title and the meaning of its shades, on one canvas. */
function pictureCanvas() {
  const [title, bottom, gap] = [34, 34, 10];
  const shown = shownPanes();
  const heightOf = (pane) => pane.stripSize + pane.height + LINE_HEIGHT + gap;
  const width = GUTTER + shown[0].width + 16;
  const height = title + shown.reduce((sum, pane) => sum + heightOf(pane), 0) + bottom;
  const canvas = make("canvas");
  const context = prepared(canvas, width, height);
  const { ground, ink, faint } = colours();
  context.fillStyle = ground;
  context.fillRect(0, 0, width, height);
  context.fillStyle = ink;
  context.font = `600 15px ${FONT}`;
  context.fillText(pictureTitle(context, width - 24), 12, title / 2);
  let y = title;
  for (const pane of shown) {
    const parts = [
      [pane.strip, 0, GUTTER + pane.width, pane.stripSize],
      [pane.gutter, 0, GUTTER, pane.height],
      [pane.line, 0, GUTTER + pane.width, LINE_HEIGHT],
    ];
    const tops = [y, y + pane.stripSize, y + pane.stripSize + pane.height];
    parts.forEach(([part, x, w, h], k) => context.drawImage(part, x, tops[k], w, h));
    for (const part of [pane.heat, pane.overlay]) {
      context.drawImage(part, GUTTER, tops[1], pane.width, pane.height);
    }
    y += heightOf(pane);
  }
  const shade = currentShade();
  context.font = `12px ${FONT}`;
  const [low, high, lost] = shadeWords(shade);
  context.fillStyle = faint;
  context.textAlign = "left";
  context.fillText(low, GUTTER, y + 12);
  const start = GUTTER + context.measureText(low).width + 8;
  drawShades(context, shade, start, y + 6);
  context.fillStyle = faint;
  context.fillText(lost ? `${high} · ${lost}` : high, start + 168, y + 12);
  return canvas;
}

/** What a picture shows, in one line: of which inputs, whose titles are cut to fit, and what of them. */
function pictureTitle(context, width) {
  const layer = layerAtCursor();
  const shown = layer instanceof Difference
    ? [layer.left.recording, layer.right.recording]
    : shownLayers().map((each) => each.recording);
  const order = view.order === "number" ? "" : `, by ${view.order}`;
  const what = ` · ${seen(layer.name)} · ${WORDS[view.quantity]} ${LETTERS[view.quantity]}${order}`;
  const ending = cut(context, what, 0.6 * width);
  const labels = shown.map(({ label }, k) => `${k ? " · " : ""}${recordings.length > 1 ? `${label}: ` : ""}`);
  const opening = layer instanceof Difference ? "A − B · " : "";
  const wide = (words) => context.measureText(words).width;
  const room = width - 1 - wide(opening + labels.join("") + ending); // 1 for kerning between the parts
  const titles = shown.map((each) => seen(each.title));
  // What one leaves of its share the other may have.
  const taken = titles.map((words) => Math.min(wide(words), room / titles.length));
  const left = room - taken.reduce((sum, each) => sum + each, 0);
  const fitted = titles.map((words, k) => labels[k] + cut(context, words, taken[k] + left));
  return opening + fitted.join("") + ending;
}

function savePicture() {
  if (!shownPanes().length) return;
  // After the next frame, when all that was asked for is drawn.
  soon("picture", () => {
    pictureCanvas().toBlob((content) => download(content, fileName("png")), "image/png");
  });
}

const cellText = (words) => (/[",\n\r]/.test(words) ? `"${words.replaceAll('"', '""')}"` : words);

/** The cells that can be seen, a row for each step, a column for each unit from top to bottom. */
function shownCsv() {
  const lines = [];
  for (const pane of shownPanes()) {
    const axis = axesOf(pane.layer)[0];
    const [from, to] = visible(pane.place);
    const [first, last] = pane.visibleRows();
    const units = pane.order.slice(first, last);
    if (!lines.length) lines.push(["input", "step", "name", ...units.map((unit) => `unit ${unit}`)].join(","));
    const input = pane.layer instanceof Difference ? "A-B" : pane.layer.recording.label;
    for (let t = from; t < to; t += 1) {
      const values = units.map((unit) => shortest(pane.layer.at(view.quantity, t, unit)));
      lines.push([input, t, cellText(axis.names[t]), ...values].join(","));
    }
  }
  return `${lines.join("\n")}\n`;
}

function saveValues() {
  // The mark of UTF-8 in front, without which some spreadsheets guess another encoding.
  download(new Blob(["\ufeff", shownCsv()], { type: "text/csv" }), fileName("csv"));
}

/** One step of one unit, a line for each number, with tabs. */
async function stepTsv() {
  const layer = layerAtCursor();
  const { step, unit } = view;
  await layer.loadAll();
  const lines = [
    ["layer", layer.name],
    ["step", step],
    ["name", axesOf(layer)[0].names[step].replace(/[\t\n\r]/g, " ")],
    ["unit", unit],
  ];
  if (layer instanceof Difference) {
    lines.push(["", "A", "B", "A-B"]);
    for (const letter of QUANTITIES.filter((each) => unit < layer.rows(each))) {
      const values = [layer.left, layer.right, layer].map((each) => each.at(letter, step, unit));
      lines.push([letter, ...values.map(shortest)]);
    }
  } else {
    const found = layer.equation(step, unit);
    for (const letter of ["f", "i", "g", "o"]) {
      const { value, ...parts } = found[letter];
      lines.push([letter, shortest(value)]);
      for (const name of ["recurrent", "input", "bias", "sum"]) {
        if (parts[name] !== undefined) lines.push([`${letter} ${name}`, Number(parts[name].toPrecision(9))]);
      }
    }
    lines.push(["c before", shortest(found.c.before)], ["c", shortest(found.c.value)]);
    if (found.h) lines.push(["h", shortest(found.h.value)]);
  }
  return lines.map((line) => line.join("\t")).join("\n");
}

async function copyStep() {
  const button = byId("copy");
  const text = await stepTsv();
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    done = copyThroughSelection(text); // where a page from a file may not use the clipboard
  }
  button.textContent = done ? "Copied" : "Not copied";
  setTimeout(() => {
    button.textContent = "Copy numbers";
  }, 1500);
}

function copyThroughSelection(text) {
  const field = make("textarea", { class: "unseen" });
  field.value = text;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  return done;
}

function startSaving() {
  byId("save-picture").addEventListener("click", savePicture);
  byId("save-values").addEventListener("click", saveValues);
  byId("copy").addEventListener("click", copyStep);
}
