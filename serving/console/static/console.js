// What pages do beyond reading: everything here only adds to pages that work without it.
"use strict";

document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (button && button.dataset.confirm && !window.confirm(button.dataset.confirm)) event.preventDefault();
});

// The cut-off: what a probability selects is on the page for every step of the slider.
const slider = document.querySelector("input[data-steps]");
if (slider) {
  const steps = JSON.parse(document.getElementById(slider.dataset.steps).textContent);
  const language = document.documentElement.lang;
  const whole = new Intl.NumberFormat(language, { maximumFractionDigits: 0 });
  const share = (part, of) => (of ? `${((100 * part) / of).toFixed(1)} %` : "–");
  const show = (name, text) => {
    const place = document.querySelector(`[data-cut="${name}"]`);
    if (place) place.textContent = text;
  };
  slider.addEventListener("input", () => {
    const i = Math.round(Number(slider.value) * (steps.at.length - 1));
    document.getElementById("shown-at").textContent = steps.at[i].toFixed(3);
    show("users", whole.format(steps.users[i]));
    show("hits", whole.format(steps.hits[i]));
    show("precision", share(steps.hits[i], steps.users[i]));
    show("recall", share(steps.hits[i], steps.hits[0]));
    if (steps.profit[i] !== null) show("profit", whole.format(steps.profit[i]));
  });
}
document.querySelector("#outcome")?.addEventListener("change", (event) => event.target.form.submit());
