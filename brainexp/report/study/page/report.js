"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // Plots take the colours of the page, and change with them.
  function themed(layout) {
    const axis = { color: colour("--ink"), gridcolor: colour("--grid"), linecolor: colour("--line"), showline: true };
    const made = { ...layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: colour("--ink"), size: 13 } };
    made.modebar = { bgcolor: "rgba(0,0,0,0)", color: colour("--soft"), activecolor: colour("--accent"), orientation: "v" };
    for (const key of Object.keys(layout)) if (/^[xy]axis\d*$/.test(key)) made[key] = { ...layout[key], ...axis };
    return made;
  }
  // Nothing leaves the page: the buttons that would send a plot elsewhere go.
  const away = ["sendChartToCloud", "sendDataToCloud", "editInChartStudio"];
  const shown = { responsive: true, displaylogo: false, plotlyServerURL: "", modeBarButtonsToRemove: [...away, "lasso2d", "select2d"] };
  const places = [...document.querySelectorAll("[data-plot]")];
  const draw = () => places.map((place) => {
    const plot = data.plots[place.dataset.plot];
    return Plotly.react(place, plot.data, themed(plot.layout), shown);
  });

  // Tables are sorted by their columns: numbers by value, words by letters, what is missing last.
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    [...table.tHead.rows[0].cells].forEach((heading, column) => heading.firstElementChild.addEventListener("click", () => {
      const rising = heading.getAttribute("aria-sort") !== "ascending";
      for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
      heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
      const numeric = !heading.classList.contains("text");
      const key = (row) => numeric ? row.cells[column].dataset.value : row.cells[column].textContent;
      const missing = (value) => value === undefined || value === "";
      const compared = (one, other) => numeric ? Number(one) - Number(other) : one.localeCompare(other, "en", { numeric: true });
      const rows = [...body.rows].map((row) => [key(row), row]);
      rows.sort(([one], [other]) => missing(one) || missing(other)
        ? missing(one) - missing(other) : (rising ? 1 : -1) * compared(one, other));
      body.append(...rows.map(([, row]) => row));
    }));
  }

  const bytes = (text) => Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  const floats = (text) => new Float32Array(bytes(text).buffer);

  function brain(view) {
    const place = document.getElementById("map-view"), choice = document.getElementById("map-choice"), scale = document.getElementById("map-key");
    const [x, y, z] = ["x", "y", "z"].map((axis) => floats(view[axis]));
    const shade = view.shade ? bytes(view.shade) : null;
    const groups = new Map();
    view.maps.forEach((map, number) => {
      if (!groups.has(map.group)) {
        const group = document.createElement("optgroup");
        group.label = map.group;
        groups.set(map.group, group);
        choice.append(group);
      }
      groups.get(map.group).append(new Option(map.title, number));
    });
    const words = (map, code) => code === 255 ? "no value" : map.classes.length ? map.classes[code]
      : (map.low + (code / 253) * (map.high - map.low)).toFixed(3);
    const axis = { visible: false, showspikes: false };
    const scene = { xaxis: axis, yaxis: axis, zaxis: axis, aspectmode: "data" };
    const upwards = { x: 0, y: 0, z: 1 };
    const sides = {
      left: { eye: { x: -1.5, y: 0, z: 0.1 }, up: upwards }, right: { eye: { x: 1.5, y: 0, z: 0.1 }, up: upwards },
      front: { eye: { x: 0, y: 1.5, z: 0.1 }, up: upwards }, back: { eye: { x: 0, y: -1.5, z: 0.1 }, up: upwards },
      above: { eye: { x: 0, y: 0, z: 1.6 }, up: { x: 0, y: 1, z: 0 } }, below: { eye: { x: 0, y: 0, z: -1.6 }, up: { x: 0, y: 1, z: 0 } },
    };
    scene.camera = sides.left;
    const row = document.getElementById("map-sides");
    for (const [name, camera] of Object.entries(sides)) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = name;
      button.addEventListener("click", () => Plotly.relayout(place, { "scene.camera": camera }));
      row.append(button);
    }
    function trace(map) {
      const codes = bytes(map.values);
      const text = Array.from(codes, (code) => words(map, code));
      if (view.kind === "points") {
        const known = Array.from(codes.keys()).filter((at) => codes[at] !== 255);
        const pick = (values) => known.map((at) => values[at]);
        return {
          type: "scatter3d", mode: "markers", x: pick(x), y: pick(y), z: pick(z), text: pick(text), hovertemplate: "%{text}<extra></extra>",
          marker: { size: view.size, color: known.map((at) => map.palette[codes[at]]) },
        };
      }
      const faces = new Uint16Array(bytes(view.faces).buffer), n = faces.length / 3;
      const corner = (which) => Array.from({ length: n }, (_, at) => faces[3 * at + which]);
      const grey = (at) => `rgb(${shade[at]},${shade[at]},${shade[at]})`;
      return {
        type: "mesh3d", x, y, z, i: corner(0), j: corner(1), k: corner(2), text, hovertemplate: "%{text}<extra></extra>",
        vertexcolor: Array.from(codes, (code, at) => code === 255 ? grey(at) : map.palette[code]),
        lighting: { ambient: 0.75, diffuse: 0.45, specular: 0.05, roughness: 0.9 }, lightposition: { x: 0, y: 0, z: 1000 },
      };
    }
    function show() {
      const map = view.maps[Number(choice.value)];
      const camera = place.layout ? place.layout.scene.camera : scene.camera;
      Plotly.react(place, [trace(map)], {
        margin: { l: 0, r: 0, t: 0, b: 0 }, paper_bgcolor: "rgba(0,0,0,0)", scene: { ...scene, camera }, uirevision: "same",
      }, shown);
      scale.replaceChildren();
      if (map.classes.length) {
        map.classes.forEach((name, at) => {
          const key = document.createElement("span"), box = document.createElement("i");
          key.className = "key";
          box.style.background = map.palette[at];
          key.append(box, name);
          scale.append(key);
        });
      } else {
        const bar = document.createElement("span");
        bar.className = "bar";
        bar.style.background = `linear-gradient(to right, ${map.palette.filter((_, at) => at % 16 === 0).join(",")})`;
        scale.append(map.low.toFixed(3), bar, map.high.toFixed(3), ` ${map.group}`);
      }
    }
    choice.addEventListener("change", show);
    choice.value = "0";
    show();
  }

  draw();
  if (data.brain) brain(data.brain);
  dark.addEventListener("change", draw);
  window.addEventListener("beforeprint", () => {
    for (const one of document.querySelectorAll("details")) one.open = true;
    for (const place of places) Plotly.Plots.resize(place);
  });
  document.documentElement.dataset.ready = "true";
})();
