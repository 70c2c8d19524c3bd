// Copying and downloading what a page shows once, and times in the reader's own zone. Every page works without it.
"use strict";
(() => {
  const prepare = (root) => {
    for (const button of root.querySelectorAll("[data-copy]")) {
      button.hidden = false;
      button.addEventListener("click", async () => {
        const field = document.getElementById(button.dataset.copy);
        field.select();
        await navigator.clipboard.writeText(field.value);
        const word = button.textContent;
        button.textContent = button.dataset.done;
        setTimeout(() => { button.textContent = word; }, 1500);
      });
    }
    for (const button of root.querySelectorAll("[data-download]")) {
      button.hidden = false;
      button.addEventListener("click", () => {
        const link = document.createElement("a");
        link.href = "data:text/plain," + encodeURIComponent(document.getElementById(button.dataset.download).value);
        link.download = button.dataset.name;
        link.click();
      });
    }
    localise(root);
  };
  const localise = (root) => {
    for (const time of root.querySelectorAll("time:not(.countdown)")) {
      time.textContent = new Date(time.dateTime).toLocaleString(document.documentElement.lang);
    }
  };
  const count = () => {
    for (const time of document.querySelectorAll("time.countdown")) {
      const seconds = Math.max(0, Math.floor((new Date(time.dateTime) - Date.now()) / 1000));
      time.textContent = Math.floor(seconds / 60) + ":" + String(seconds % 60).padStart(2, "0");
    }
  };
  setInterval(count, 1000);
  document.addEventListener("DOMContentLoaded", () => prepare(document));
  document.addEventListener("htmx:after:swap", (event) => localise(event.target.parentElement || document));
})();
