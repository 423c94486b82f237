// What each step of one sequence attended to on another, where a model attends.

async function drawAttention() {
  const recording = recordingAtCursor();
  const { attentions } = recording;
  byId("attention-card").hidden = !attentions.length;
  if (!attentions.length) return;
  const select = byId("attention-choice");
  fill(select, attentions.map((each, k) => [k, seen(each.name)]), select.value);
  select.hidden = attentions.length < 2;
  const attention = attentions[Number(select.value) || 0];
  const { values } = await block(attention.weights);
  const [queries, memory] = [recording.axis(attention.queries), recording.axis(attention.memory)];
  const { rows, columns } = attention.weights;
  const shade = { low: 0, high: rangeOf(values)[1], map: colours().sequential };
  const host = byId("attention-map");
  const left = Math.min(130, 12 + rowWidth(queries));
  const cell = (Math.max(host.clientWidth, 240) - left) / Math.max(columns, 1);
  const top = cell >= 9 ? Math.min(96, 10 + widest(memory)) : 16;
  drawMatrix(host, { rows, columns, values }, shade, {
    height: top + clamp(rows * Math.min(cell, 22), 80, 620),
    left,
    top,
    label: `Attention of ${queries.name} to ${memory.name}`,
    words: (row, column) =>
      `${stepWords(queries, row)} attends to ${stepWords(memory, column)}: ${written(values[row * columns + column], 3)}`,
    decorate: (context, place) => decorateAttention(context, place, queries, memory),
  });
  byId("attention-range").replaceChildren(legend(shade, "0", written(shade.high, 2)));
}

const rowWidth = (axis) => (axis.kind === "spectrogram" ? 30 : widest(axis));

/** Names along both sides where there is room for them, numbers where there is not. */
function decorateAttention(context, place, queries, memory) {
  const { ink, faint } = colours();
  const [tall, wide] = [place.height / queries.names.length, place.width / memory.names.length];
  context.font = `12px ${FONT}`;
  context.textAlign = "right";
  const every = tall >= 11 ? 1 : roundUp(14 / tall);
  for (let row = 0; row < queries.names.length; row += every) {
    context.fillStyle = every === 1 ? ink : faint;
    const words = every === 1 ? cut(context, seen(queries.names[row]), place.left - 12) : row;
    context.fillText(words, place.left - 6, place.top + (row + 0.5) * tall);
  }
  const upright = wide >= 9;
  const step = upright ? Math.ceil(13 / wide) : roundUp(40 / wide);
  for (let column = 0; column < memory.names.length; column += step) {
    const x = place.left + (column + 0.5) * wide;
    context.fillStyle = upright ? ink : faint;
    if (upright) {
      context.save();
      context.translate(x, place.top - 4);
      context.rotate(-Math.PI / 2);
      context.textAlign = "left";
      context.fillText(cut(context, seen(memory.names[column]), place.top - 8), 0, 0);
      context.restore();
    } else {
      context.textAlign = "center";
      context.fillText(column, x, 8);
    }
  }
}

function startAttention() {
  byId("attention-choice").addEventListener("change", drawAttention);
  redraw(byId("attention-card"), drawAttention, ["theme", "input", "on"]);
  drawAttention();
}

/** Puts the chosen attribution over the sequences that it is of. */
function chooseAttribution() {
  for (const recording of recordings) {
    for (const axis of recording.axes) axis.attribution = null;
    const chosen = recording.attributions[view.attribution];
    if (chosen) recording.axis(chosen.axis).attribution = chosen;
  }
  const words = recordingAtCursor().attributions[view.attribution];
  byId("attribution-words").textContent = words ? attributionWords(words) : "";
}

function attributionWords({ method, total, values }) {
  const sum = values.reduce((all, value) => all + value, 0);
  const promise = Number.isNaN(total) ? "" : `, of ${written(total, 3)} in all`;
  return `${method}: bars up raised it, bars down lowered it; together ${written(sum, 3)}${promise}`;
}

function startAttributions() {
  const all = recordings.flatMap((each) => each.attributions);
  byId("attribution-control").hidden = !all.length;
  const show = () => {
    const names = recordingAtCursor().attributions.map((each, k) => [k, seen(each.name)]);
    fill(byId("attribution"), [[-1, "none"], ...names], view.attribution);
    chooseAttribution();
  };
  byId("attribution").addEventListener("change", (event) => {
    change({ attribution: Number(event.target.value) });
  });
  watch(["attribution", "input", "on"], show);
  if (all.length) view.attribution = 0;
  show();
}
