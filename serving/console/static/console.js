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

// The builder: each change is sent, and the form comes back with whom the rule finds; the newest answer counts.
const builder = document.getElementById("builder");
if (builder) {
  let newest = 0;
  const send = async (button) => {
    const form = builder.querySelector("form");
    const number = (newest += 1);
    const body = new FormData(form, button);
    const focused = document.activeElement?.id;
    builder.setAttribute("aria-busy", "true");
    const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams(body), headers: { "x-fragment": "1" } });
    const text = await answer.text();
    if (number !== newest || !answer.ok) return;
    builder.innerHTML = text;
    builder.removeAttribute("aria-busy");
    if (focused) document.getElementById(focused)?.focus();
  };
  const counter = () => builder.querySelector("button.unseen");
  builder.addEventListener("change", (event) => {
    if (event.target.name !== "sql") send(counter());
  });
  builder.addEventListener("submit", (event) => {
    const button = event.submitter ?? counter();
    if ("whole" in button.dataset) return;
    event.preventDefault();
    send(button);
  });
}

// Parts of a page that take longer are fetched after it; without scripts a link leads to them.
for (const place of document.querySelectorAll("[data-fragment]")) {
  fetch(place.dataset.fragment, { headers: { "x-fragment": "1" } })
    .then((answer) => (answer.ok ? answer.text() : null))
    .then((text) => {
      if (text !== null) place.innerHTML = text;
    });
}
