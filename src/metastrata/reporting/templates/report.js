// The slider of each explorer, and paper: nothing here computes a result, every number stands in the page already.
(() => {
  "use strict";
  const write = (group, lower, mean, upper, text) => {
    const line = group.querySelector("line");
    line.setAttribute("x1", lower);
    line.setAttribute("x2", upper);
    group.querySelector("circle").setAttribute("cx", mean);
    group.querySelector(".value").textContent = text;
  };
  for (const figure of document.querySelectorAll(".explorer")) {
    const data = JSON.parse(figure.querySelector('script[type="application/json"]').textContent);
    const [low, high, left, right] = data.x;
    const place = (v) => left + ((Math.min(Math.max(v, low), high) - low) / (high - low)) * (right - left);
    const means = [...figure.querySelectorAll(".mean")];
    const first = means.map((g) => {
      const line = g.querySelector("line");
      return [line.getAttribute("x1"), g.querySelector("circle").getAttribute("cx"), line.getAttribute("x2"),
        g.querySelector(".value").textContent];
    });
    const says = figure.querySelector(".says");
    const about = figure.querySelector(".about");
    const slider = figure.querySelector("input");
    figure.querySelector(".controls").hidden = false;
    figure.querySelector(".scripted").hidden = false;
    const reset = () => {
      means.forEach((g, i) => write(g, ...first[i]));
      says.textContent = "This analysis: omega has its prior and learns from the data.";
      slider.setAttribute("aria-valuetext", "this analysis");
    };
    const move = () => {
      const step = data.steps[Number(slider.value)];
      const said = data.strata.map((s, i) => {
        const cell = step.cells[s];
        const [mean, lower, upper] = cell.values.map(place);
        const group = means.find((g) => g.dataset.stratum === s);
        if (group) write(group, lower, mean, upper, cell.text);
        return `${data.labels[i]} ${cell.text}${cell.benefit ? `, P(benefit) ${cell.benefit.replace(/^(?=\d)/, "= ")}` : ""}`;
      });
      says.textContent = `Omega ${step.said} (pooling factor ${step.pooling}): ${said.join("; ")}.`;
      slider.setAttribute("aria-valuetext", `omega ${step.said}`);
    };
    slider.addEventListener("input", move);
    figure.querySelector("button").addEventListener("click", reset);
    for (const study of figure.querySelectorAll(".study")) {
      const tell = () => { about.textContent = study.getAttribute("aria-label"); };
      study.addEventListener("pointerenter", tell);
      study.addEventListener("focus", tell);
    }
    reset();
  }
  // On paper everything is open.
  const closed = [];
  addEventListener("beforeprint", () => {
    for (const part of document.querySelectorAll("details:not([open])")) { part.open = true; closed.push(part); }
  });
  addEventListener("afterprint", () => { while (closed.length) closed.pop().open = false; });
})();
