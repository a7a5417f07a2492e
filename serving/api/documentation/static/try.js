// Lets a reader send the calls of the page: each form is sent with the key, and the answer is shown below it.
"use strict";

const key = document.querySelector("#key input");

function addressOf(form) {
  const query = new URLSearchParams();
  let path = form.dataset.path;
  for (const input of form.querySelectorAll("input")) {
    if (input.dataset.in === "path") path = path.replace(`{${input.name}}`, encodeURIComponent(input.value));
    else if (input.value !== "") query.set(input.name, input.value);
  }
  return new URL(path.slice(1) + (query.size ? `?${query}` : ""), document.baseURI);
}

function requestOf(form) {
  const headers = key.value ? { Authorization: `Bearer ${key.value}` } : {};
  const body = form.elements.body?.value;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  return { method: form.dataset.method, headers, body, credentials: "omit" };
}

function shown(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text; // an answer that is not JSON is shown as it came
  }
}

async function send(event) {
  event.preventDefault();
  const form = event.target;
  const [button, status, answer] = ["button", ".status", "pre"].map((part) => form.querySelector(part));
  button.disabled = true;
  answer.hidden = true;
  try {
    const response = await fetch(addressOf(form), requestOf(form));
    status.textContent = `${response.status} ${response.statusText}`;
    status.className = `status ${response.ok ? "good" : "bad"}`;
    answer.firstElementChild.textContent = shown(await response.text());
    answer.hidden = false;
  } catch (error) {
    status.textContent = `No answer: ${error.message}. See whether the service is running.`;
    status.className = "status bad";
  } finally {
    button.disabled = false;
  }
}

document.querySelector("#key").hidden = false;
for (const details of document.querySelectorAll(".try")) {
  details.hidden = false;
  details.querySelector("form").addEventListener("submit", send);
}
