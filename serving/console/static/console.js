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
  // what came true is counted by the service, once the slider is let go
  let newest = 0;
  slider.addEventListener("change", async () => {
    const mine = ++newest;
    const asked = new URLSearchParams(new FormData(slider.form));
    const answer = await fetch(`${slider.form.action}?${asked}`, { headers: { "x-fragment": "1" } });
    const text = await answer.text();
    if (answer.ok && mine === newest) document.getElementById("matured").innerHTML = text;
  });
}
document.querySelector("#outcome")?.addEventListener("change", (event) => event.target.form.submit());

// The builder: each change is sent, and the form comes back with whom the rule finds; the newest answer counts. What is
// filled in while an answer is on its way is put into the form that comes, and sent after it. Numbers are fields of
// text, since browsers do not say what is selected in a field of type "number", and what is typed replaces that.
const builder = document.getElementById("builder");
if (builder) {
  let newest = 0;
  let waiting = 0;
  const touched = new Set();
  const counter = () => builder.querySelector("button.unseen");
  const read = (field) => (field.multiple ? [...field.selectedOptions].map((option) => option.value) : field.value);
  const fill = (field, value) => {
    if (field.multiple) for (const option of field.options) option.selected = value.includes(option.value);
    else field.value = value;
  };
  const show = (text) => {
    const focused = document.activeElement;
    const [id, from, to] = [focused?.id, focused?.selectionStart, focused?.selectionEnd];
    const kept = [...touched].map((name) => [name, read(document.getElementById(name))]);
    builder.innerHTML = text;
    for (const [name, value] of kept) {
      const field = document.getElementById(name);
      if (field) fill(field, value);
    }
    const again = id && document.getElementById(id);
    if (again) {
      again.focus();
      if (from != null) again.setSelectionRange(from, to);
    }
  };
  const send = async (button) => {
    clearTimeout(waiting);
    touched.clear();
    const form = builder.querySelector("form");
    const number = (newest += 1);
    const body = new URLSearchParams(new FormData(form, button));
    builder.setAttribute("aria-busy", "true");
    const answer = await fetch(form.action, { method: "POST", body, headers: { "x-fragment": "1" } });
    const text = await answer.text();
    if (number !== newest) return;
    if (answer.ok) show(text);
    if (touched.size) send(counter());
    else builder.removeAttribute("aria-busy");
  };
  builder.addEventListener("input", (event) => {
    if (event.target.id && event.target.name !== "sql") {
      touched.add(event.target.id);
      clearTimeout(waiting);
      if (!builder.hasAttribute("aria-busy")) waiting = setTimeout(() => send(counter()), 400);
    }
  });
  builder.addEventListener("change", (event) => {
    if (event.target.name !== "sql" && !builder.hasAttribute("aria-busy")) send(counter());
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
