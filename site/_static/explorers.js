// Every figure on the page that has maps becomes one that can be touched.
import { mount } from "./explorer.js";

for (const figure of document.querySelectorAll("figure[data-explorer]")) {
  const folder = figure.dataset.maps ?? "../maps/";
  const file = (kind) => fetch(new URL(`${folder}${figure.dataset.explorer}.${kind}`, document.baseURI));
  const begin = async () => {
    const [spec, maps] = await Promise.all([file("json"), file("maps")]);
    if (!spec.ok || !maps.ok) return; // the static figure stays
    await mount(figure, await spec.json(), await maps.arrayBuffer());
  };
  const seen = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    seen.disconnect();
    begin().catch((error) => console.warn(`explorer: ${error}`));
  }, { rootMargin: "600px" });
  seen.observe(figure);
}
