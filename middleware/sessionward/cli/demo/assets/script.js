// The server renders every state. This script fetches the page again and puts in what has changed.
"use strict";

const PAUSE = 1000; // milliseconds between two looks
const card = document.getElementById("card");
const content = document.getElementById("content");
const status = document.getElementById("status");
const wire = document.getElementById("wire");
let looks = 0; // an answer that a later look has overtaken is dropped
let busy = false;
let stopped = false;

card.addEventListener("submit", (event) => {
  if (event.target.id === "others") {
    event.preventDefault(); // without JavaScript the form does the same
    if (!busy) signOutOthers();
  }
});

async function signOutOthers() {
  busy = true;
  say();
  try {
    const response = await fetch("/auth/sessions", { method: "DELETE" });
    const text = await response.text();
    const body = JSON.parse(text);
    show(`DELETE /auth/sessions\n${response.status} ${response.ok ? text : body.error.id}`);
    if (response.ok) say(counted(body.count));
    else if (response.status !== 401) say(body.error.message); // of a 401 the page itself speaks
    await look();
  } catch {
    hasStopped();
  }
  busy = false;
}

function counted(revoked) {
  if (revoked === 0) return "No other device was signed in.";
  return `${revoked} other ${revoked === 1 ? "device was" : "devices were"} signed out.`;
}

async function look() {
  const turn = ++looks;
  const response = await fetch("/");
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  if (turn !== looks || !response.ok) return;
  if (stopped || fresh.getElementById("card").dataset.session !== card.dataset.session) {
    putIn(fresh);
  } else if (card.dataset.state === "in") {
    const [devices, now] = [document.getElementById("devices"), fresh.getElementById("devices")];
    if (devices.innerHTML !== now.innerHTML) devices.replaceChildren(...now.childNodes);
  }
}

function putIn(fresh) {
  const hadFocus = content.contains(document.activeElement);
  stopped = false;
  document.title = fresh.title;
  Object.assign(card.dataset, fresh.getElementById("card").dataset);
  fresh.querySelector("[autofocus]")?.removeAttribute("autofocus"); // nobody has asked for a keyboard on the screen
  content.replaceChildren(...fresh.getElementById("content").childNodes);
  status.replaceChildren(...fresh.getElementById("status").childNodes);
  show("");
  if (hadFocus) content.querySelector("h1").focus(); // what had it is gone
}

function hasStopped() {
  if (!stopped) say("The demo has stopped. Start it again with “sessionward demo”.");
  stopped = true;
}

function say(text) {
  const paragraph = document.createElement("p");
  paragraph.textContent = text;
  status.replaceChildren(...(text ? [paragraph] : []));
}

function show(text) {
  wire.textContent = text;
  wire.hidden = !text;
}

async function watch() {
  if (!document.hidden && !busy) await look().catch(hasStopped);
  setTimeout(watch, PAUSE);
}

document.addEventListener("visibilitychange", () => document.hidden || look().catch(hasStopped));
watch();
