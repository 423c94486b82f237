/* The pictures of the guided tour: a passage whose characters show one value of one memory cell,
   and below it the textbook's equation with the numbers of the character that is pointed at. The
   data stands in tour-data.js, which docs/_tour.py writes. Knows nothing of other pages. */
"use strict";

(function () {
  const NAMES = { f: "forget gate", i: "input gate", g: "candidate", c: "memory cell", o: "output gate", h: "hidden state" };

  function number(value) {
    const shown = Math.abs(value).toFixed(3);
    return (value < 0 ? "−" : "") + shown; // a real minus sign, as wide as a digit
  }

  function gate(letter) {
    return (unit, t) => `${letter}<sub>t</sub> = σ(${number(unit[`${letter}_sum`][t])}) = <b>${number(unit[letter][t])}</b>`;
  }

  const EQUATIONS = {
    f: gate("f"),
    i: gate("i"),
    o: gate("o"),
    g: (unit, t) => `C̃<sub>t</sub> = tanh(${number(unit.g_sum[t])}) = <b>${number(unit.g[t])}</b>`,
    c: (unit, t) => {
      const before = t > 0 ? unit.c[t - 1] : unit.before_c;
      return (
        `C<sub>t</sub> = f<sub>t</sub> · C<sub>t−1</sub> + i<sub>t</sub> · C̃<sub>t</sub> = ` +
        `${number(unit.f[t])} · ${number(before)} + ${number(unit.i[t])} · ${number(unit.g[t])} = <b>${number(unit.c[t])}</b>`
      );
    },
    h: (unit, t) =>
      `h<sub>t</sub> = o<sub>t</sub> · tanh(C<sub>t</sub>) = ${number(unit.o[t])} · tanh(${number(unit.c[t])}) = <b>${number(unit.h[t])}</b>`,
  };

  /* A share from 0 (nothing) to 1 of the strongest ink; the sign of a value is told by the hue and
     by a line under what is negative, which is seen in grey too. */
  function ink(value, most) {
    return Math.min(1, Math.abs(value) / most);
  }

  function draw(place, data) {
    const unit = data.units[place.dataset.unit];
    const quantity = place.dataset.quantity;
    const isGate = "fio".includes(quantity);
    const most = isGate ? 1 : Math.max(...unit[quantity].map(Math.abs));
    const text = document.createElement("div");
    text.className = "tour-text";
    text.tabIndex = 0;
    text.setAttribute("role", "group");
    text.setAttribute("aria-label", `${NAMES[quantity]} of unit ${unit.unit} at every character; arrow keys move`);
    const equation = document.createElement("p");
    equation.className = "tour-equation";
    equation.setAttribute("aria-live", "polite");
    const signs = [...data.text].map((sign, t) => {
      const span = document.createElement("span");
      span.textContent = sign === "\n" ? "⏎" : sign;
      const value = unit[quantity][t];
      span.style.setProperty("--ink", ink(value, most).toFixed(3));
      if (value < 0) span.classList.add("tour-negative");
      span.addEventListener("pointerenter", () => point(t));
      text.append(span);
      if (sign === "\n") text.append(document.createElement("br"));
      return span;
    });
    let at = -1;

    function point(t) {
      if (at >= 0) signs[at].classList.remove("tour-here");
      at = Math.max(0, Math.min(signs.length - 1, t));
      signs[at].classList.add("tour-here");
      const sign = data.text[at] === "\n" ? "line end" : data.text[at] === " " ? "blank" : `“${data.text[at]}”`;
      equation.replaceChildren();
      const label = document.createElement("span");
      label.className = "tour-sign";
      label.textContent = `at ${sign}: `;
      const sum = document.createElement("span");
      sum.innerHTML = EQUATIONS[quantity](unit, at);
      equation.append(label, sum);
    }

    text.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      point(at + step);
    });
    place.append(text, equation);
    point(Number(place.dataset.start || 0));
  }

  document.addEventListener("DOMContentLoaded", () => {
    for (const place of document.querySelectorAll(".carousel-tour")) draw(place, window.carouselTour);
  });
})();
