// Every figure on the page that has maps becomes one that can be touched.
import { mount } from "./explorer.js";

for (const figure of document.querySelectorAll("figure[data-explorer]")) {
  const folder = figure.dataset.maps ?? "../maps/";
  const url = new URL(`${folder}${figure.dataset.explorer}.json`, document.baseURI);
  const begin = async () => {
    const answer = await fetch(url);
    if (!answer.ok) return; // the static figure stays
    mount(figure, await answer.json());
  };
  const seen = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    seen.disconnect();
    begin().catch((error) => console.warn(`explorer: ${error}`));
  }, { rootMargin: "600px" });
  seen.observe(figure);
}
