"use strict";
// The page works without this script. With it, a question opens in place, and its answer comes without a new page.
(() => {
  const byId = id => document.getElementById(id);
  const words = byId("words"), dialog = byId("dialog"), answer = byId("answer"), after = byId("after");
  if (!words || !dialog) return;
  const language = document.documentElement.lang;
  const asked = { id: "", opener: null };

  // Back and forward restore an old list, even with Cache-Control: no-store.
  addEventListener("pageshow", event => { if (event.persisted) location.reload(); });

  // The answer in the address is told once: a reload does not repeat it.
  const address = new URL(location.href);
  if (address.searchParams.has("revoked")) {
    address.searchParams.delete("revoked");
    history.replaceState(null, "", address.pathname + address.search);
    answer.focus();
  }

  // Times, in the reader's zone and always fresh. Now is the server's: the reader's clock may be wrong.
  const began = performance.now(), served = Date.parse(words.dataset.now);
  const relative = new Intl.RelativeTimeFormat(language, { numeric: "always" });
  const full = new Intl.DateTimeFormat(language, { dateStyle: "full", timeStyle: "short" });
  const units = [["day", 86400000], ["hour", 3600000], ["minute", 60000]];
  const tell = () => {
    const now = served + performance.now() - began;
    for (const time of document.querySelectorAll("time")) {
      const apart = Date.parse(time.dateTime) - now;
      const unit = units.find(([, size]) => Math.abs(apart) >= size);
      if (!unit || Math.abs(apart) >= 31 * 86400000) continue;  // the server's words stay
      time.textContent = relative.format(Math.trunc(apart / unit[1]), unit[0]);
    }
  };
  for (const time of document.querySelectorAll("time")) time.title = full.format(Date.parse(time.dateTime));
  tell();
  setInterval(tell, 60000);

  // The question.
  document.addEventListener("submit", event => {
    const form = event.target;
    if (!form.classList.contains("ask")) return;
    event.preventDefault();
    asked.id = form.dataset.id;
    asked.opener = form.querySelector("button");
    byId("dialog-title").textContent = form.dataset.title;
    byId("dialog-text").textContent = form.dataset.text;
    dialog.querySelector("form").action = `${words.dataset.path}/${asked.id === "others" ? "revoke-others" : asked.id + "/revoke"}`;
    dialog.showModal();
    byId("cancel").focus();
  });
  byId("cancel").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => { if (asked.opener && asked.opener.isConnected) asked.opener.focus(); });

  // The answer, which names the number that the server has said.
  const say = text => {
    answer.textContent = text;
    answer.parentElement.classList.remove("empty");
    answer.focus();
  };
  const counted = count => {
    if (!count) return words.dataset.none;
    const rules = new Intl.PluralRules(language);
    const samples = Object.keys(words.dataset).filter(key => key.startsWith("others-")).map(key => +key.slice(7));
    const like = samples.find(sample => rules.select(sample) === rules.select(count)) ?? samples[0];
    return words.dataset[`others-${like}`].replace("{n}", new Intl.NumberFormat(language).format(count));
  };
  const gone = id => {
    const others = [...document.querySelectorAll(".devices > li")].filter(row => row.querySelector(".ask"));  // the rest stays
    for (const row of id === "others" ? others : [byId("s-" + id)]) row?.remove();
    for (const group of document.querySelectorAll(".group")) if (!group.querySelector("li")) group.remove();
    const left = document.querySelectorAll(".devices > li").length;
    byId("none").hidden = left > 0;
    for (const number of document.querySelectorAll("#others .total, #others .count")) number.remove();  // they were true before
    if (id === "others" || !left) document.querySelector("#others nav")?.remove();
    if (!document.querySelector(".devices .ask")) document.querySelector(".bar .ask")?.remove();
  };
  dialog.querySelector("form").addEventListener("submit", async event => {
    event.preventDefault();
    const form = event.target, id = asked.id, button = form.querySelector(".danger");
    if (button.getAttribute("aria-busy") === "true") return;
    button.setAttribute("aria-busy", "true");
    try {
      const path = words.dataset.path + (id === "others" ? "" : "/" + id);
      const reply = await fetch(path, { method: "DELETE", headers: { accept: "application/json" }, credentials: "same-origin" });
      if (!reply.ok && reply.status !== 503) return form.submit();  // the server's own page says why
      const said = reply.status === 204 ? {} : await reply.json();
      asked.opener = null;
      dialog.close();
      if (!reply.ok) return say(said.error.id === "backend_unavailable" ? words.dataset.unchanged : words.dataset.unknown);
      gone(id);
      after.hidden = false;
      for (const text of after.querySelectorAll("[data-after]")) text.hidden = (text.dataset.after === "others") !== (id === "others");
      say(id === "others" ? counted(said.count) : words.dataset.one);
    } catch {  // the network, or an answer that is none
      asked.opener = null;
      dialog.close();
      say(words.dataset.unknown);
    } finally {
      button.removeAttribute("aria-busy");
    }
  });
})();
