
"use strict";
(() => {
  const { films, strings, bounds } = JSON.parse(
    document.getElementById("films").textContent,
  );
  const [SURE, EVEN] = bounds;
  const NOTHING = "\u25e6"; // stands for a token that adds no text
  const END = "\u25a0";
  const PLAYING_MS = 5000;

  const element = (name, className, text) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const drawn = (name, className, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    made.setAttribute("class", className);
    for (const key in attributes) made.setAttribute(key, attributes[key]);
    return made;
  };
  const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
  const probability = (percent) => (percent / 100).toFixed(3);
  const shown = ([text, , , , isEnd]) =>
    isEnd ? END : strings[text] === "" ? NOTHING : strings[text];

  // One draw: its tokens, its curves, and the token whose numbers are told.
  const drawPanel = (panel, draws, noise) => {
    const noisy = panel.querySelector(".noise");
    const code = panel.querySelector(".code");
    const readout = panel.querySelector(".readout");
    const curves = panel.querySelector(".curves");
    const chances = draws.map((tokens) => mean(tokens.map((token) => token[1])));
    const distances = draws.map((tokens) => mean(tokens.map((token) => token[3])));
    const farthest = Math.max(...distances, 1e-9);
    const last = Math.max(draws.length - 1, 1);
    const path = (heights) =>
      "M" + heights.map((h, i) => `${(100 * i) / last} ${23 - 22 * h}`).join("L");
    const cursor = drawn("path", "cursor", {});
    curves.append(
      drawn("path", "distance", { d: path(distances.map((d) => d / farthest)) }),
      drawn("path", "probability", { d: path(chances.map((p) => p / 100)) }),
      cursor,
    );
    noisy.hidden = false;
    let index = 0;
    let chosen = -1;
    let tallest = 0;

    const tell = () => {
      const token = draws[index][chosen];
      if (!token) {
        readout.textContent =
          `mean probability ${probability(chances[index])}, ` +
          `distance ${distances[index].toFixed(3)}`;
        return;
      }
      const [, percent, nearest, distance] = token;
      readout.replaceChildren(
        `token ${chosen + 1}: `,
        element("code", "", shown(token)),
        ` probability ${probability(percent)}; nearest embedding `,
        element("code", "", strings[nearest] || NOTHING),
        ` at distance ${distance.toFixed(3)}`,
      );
    };
    const mark = () => {
      for (const [i, span] of [...code.children].entries()) {
        span.classList.toggle("chosen", i === chosen);
      }
      tell();
    };
    const choose = (i) => {
      chosen = i;
      mark();
    };
    const span = (token) => {
      const percent = token[1];
      const doubt = percent >= SURE ? 0 : percent >= EVEN ? 1 : 2;
      const made = element("span", `token doubt-${doubt}`, shown(token));
      if (made.textContent.includes("\n")) made.dataset.break = "";
      made.style.setProperty("--unsureness", 1 - percent / 100);
      made.dataset.percent = Math.round(percent);
      return made;
    };
    const show = (i) => {
      index = i;
      noisy.textContent = strings[noise[i]];
      code.replaceChildren(...draws[i].map(span));
      const x = (100 * i) / last;
      cursor.setAttribute("d", `M${x} 0V24`);
      // A panel does not shrink while the film plays, or the page would jump.
      tallest = Math.max(tallest, code.scrollHeight);
      code.style.minHeight = `${tallest}px`;
      mark();
    };
    const place = (target) => [...code.children].indexOf(target.closest(".token"));
    code.addEventListener("pointerover", (event) => {
      if (event.pointerType === "mouse") choose(place(event.target));
    });
    code.addEventListener("click", (event) => choose(place(event.target)));
    panel.addEventListener("keydown", (event) => {
      const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
      const count = draws[index].length;
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "Escape") choose(-1);
      if (!by) return;
      event.preventDefault();
      choose(Math.min(Math.max(chosen + by, 0), count - 1));
    });
    const resize = () => {
      tallest = 0;
      code.style.minHeight = "";
    };
    return { show, resize };
  };

  const filmPlayer = (section, { stills }) => {
    const play = section.querySelector(".play");
    const scrub = section.querySelector(".scrub");
    const where = section.querySelector(".where");
    const panels = [...section.querySelectorAll(".draw")].map((panel, i) =>
      drawPanel(
        panel,
        stills.map((still) => still.draws[i]),
        stills.map((still) => still.noise[i]),
      ),
    );
    const last = stills.length - 1;
    const total = stills[last].step;
    let timer = 0;

    const show = (i) => {
      const index = Math.min(Math.max(i, 0), last);
      const { step, t } = stills[index];
      scrub.value = index;
      where.textContent = `step ${step} of ${total}, t ${t.toFixed(3)}`;
      scrub.setAttribute("aria-valuetext", where.textContent);
      for (const panel of panels) panel.show(index);
    };
    const pause = () => {
      clearInterval(timer);
      timer = 0;
      play.textContent = "Play";
    };
    const start = () => {
      if (Number(scrub.value) >= last) show(0);
      const beat = Math.min(Math.max(PLAYING_MS / (last + 1), 60), 500);
      play.textContent = "Pause";
      timer = setInterval(() => {
        show(Number(scrub.value) + 1);
        if (Number(scrub.value) >= last) pause();
      }, beat);
    };
    const toggle = () => (timer ? pause() : start());
    const go = (i) => {
      pause();
      show(i);
    };
    play.addEventListener("click", toggle);
    scrub.addEventListener("input", () => go(Number(scrub.value)));
    section.querySelector(".numbers").addEventListener("change", (event) => {
      section.classList.toggle("with-numbers", event.target.checked);
      for (const panel of panels) panel.resize();
      show(Number(scrub.value));
    });
    addEventListener("resize", () => {
      for (const panel of panels) panel.resize();
      show(Number(scrub.value));
    });
    section.querySelector(".controls").hidden = false;
    show(last);
    const keys = {
      " ": toggle,
      ArrowLeft: () => go(Number(scrub.value) - 1),
      ArrowRight: () => go(Number(scrub.value) + 1),
      Home: () => go(0),
      End: () => go(last),
    };
    return { section, keys, start };
  };

  const sections = [...document.querySelectorAll(".film")];
  const players = sections.map((section, i) => filmPlayer(section, films[i]));
  let current = players[0];
  const touched = (event) => {
    const section = event.target.closest(".film");
    current = players.find((player) => player.section === section) || current;
  };
  addEventListener("focusin", touched);
  addEventListener("pointerdown", touched);
  addEventListener("keydown", (event) => {
    const act = current.keys[event.key];
    const isPressed = event.key === " " && event.target.closest("button, .switch");
    if (!act || isPressed || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  });

  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (!calm) players[0].start();

  // In a notebook: the frame around the page takes its height.
  const fit = () => {
    try {
      const frame = window.frameElement;
      if (frame) frame.style.height = `${document.documentElement.offsetHeight}px`;
    } catch {
      // A frame of another origin keeps the height that it has.
    }
  };
  new ResizeObserver(fit).observe(document.body);
})();
