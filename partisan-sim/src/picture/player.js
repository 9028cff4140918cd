"use strict";
(() => {
  const data = JSON.parse(document.getElementById("snapshots").textContent);
  const canvas = document.getElementById("overlay"), pen = canvas.getContext("2d");
  const slider = document.getElementById("time"), button = document.getElementById("play");
  const clock = document.getElementById("clock"), facts = document.getElementById("facts");
  const shots = data.snapshots;
  let at = shots.length - 1, playing = false, last = 0, pointed = -1;
  slider.max = at;
  slider.value = at;

  const color = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const neighbors = shots.map(shot => {
    const counts = new Map(shot.live.map(node => [node, 0]));
    for (let i = 0; i < shot.links.length; i += 2) {
      counts.set(shot.links[i], counts.get(shot.links[i]) + 1);
      counts.set(shot.links[i + 1], counts.get(shot.links[i + 1]) + 1);
    }
    for (let i = 0; i < shot.broken.length; i += 2)
      counts.set(shot.broken[i], counts.get(shot.broken[i]) + 1);
    return counts;
  });
  const place = (node, size) => {
    const a = shots[Math.floor(at)], b = shots[Math.ceil(at)], part = at - Math.floor(at);
    const mix = i => 14 + (a.points[i] * (1 - part) + b.points[i] * part) / 1000 * (size - 28);
    return [mix(2 * node), mix(2 * node + 1)];
  };
  const lines = (list, size, style, width, alpha) => {
    pen.strokeStyle = style; pen.lineWidth = width; pen.globalAlpha = alpha;
    pen.beginPath();
    for (let i = 0; i < list.length; i += 2) {
      pen.moveTo(...place(list[i], size));
      pen.lineTo(...place(list[i + 1], size));
    }
    pen.stroke(); pen.globalAlpha = 1;
  };
  const level = degree => Math.max(Math.min(5, Math.floor(degree * 5 / data.wanted)), degree > 0 ? 1 : 0);

  function draw() {
    const size = canvas.clientWidth, scale = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(size * scale)) canvas.width = canvas.height = Math.round(size * scale);
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, size, size);
    const shot = shots[Math.floor(at)], counts = neighbors[Math.floor(at)];
    const dense = Math.min(1, 1500 / (shot.links.length / 2 + 1));
    lines(shot.links, size, color("--link"), .8, .08 + .3 * dense);
    lines(shot.broken, size, color("--bad"), 1.6, 1);
    if (pointed >= 0) {
      const mine = [];
      for (let i = 0; i < shot.links.length; i += 2)
        if (shot.links[i] === pointed || shot.links[i + 1] === pointed) mine.push(shot.links[i], shot.links[i + 1]);
      lines(mine, size, color("--c0"), 1.8, 1);
    }
    const radius = Math.max(2, Math.min(6.5, 70 / Math.sqrt(shot.live.length)));
    const fill = data.regions ? [0, 1, 2, 3, 4, 5, 6, 7].map(i => color("--c" + i)) : [0, 1, 2, 3, 4, 5].map(i => color("--l" + i));
    pen.strokeStyle = color("--card"); pen.lineWidth = 1;
    for (const node of shot.live) {
      const [x, y] = place(node, size);
      pen.fillStyle = fill[data.regions ? data.regions[node] % 8 : level(counts.get(node))];
      pen.beginPath();
      pen.arc(x, y, node === pointed ? radius + 2 : radius, 0, 7);
      pen.fill(); pen.stroke();
    }
    clock.textContent = shot.at.toFixed(1) + " s";
    tell(shot, counts);
  }

  function tell(shot, counts) {
    const sample = shot.sample, row = (name, value) => `<dt>${name}</dt><dd>${value}</dd>`;
    const percent = x => (100 * x).toFixed(x > .9995 || x < .0005 ? 0 : 1) + " %";
    let text = row("nodes alive", sample.live) + row("components", sample.components)
      + row("nodes cut off from the largest", sample.cut_off)
      + row("neighbours: fewest, mean, most", `${sample.degrees[0]}, ${sample.degrees[1].toFixed(2)}, ${sample.degrees[2]}`)
      + row("links that lead back", percent(sample.symmetric))
      + row("named neighbours that live", percent(sample.accuracy));
    if (sample.passive) text += row("known besides, of them alive", `${sample.passive[0].toFixed(1)}, ${percent(sample.passive[1])}`);
    text += row("frames by node and second", sample.frames.toFixed(1));
    if (pointed >= 0 && counts.has(pointed)) text += row("node " + pointed, counts.get(pointed) + " neighbours");
    facts.innerHTML = text;
  }

  function step(now) {
    if (!playing) return;
    at = Math.min(at + Math.min(.1, (now - last) / 1000) * Math.max(4, shots.length / 10), shots.length - 1);
    last = now; slider.value = at;
    if (at >= shots.length - 1) stop();
    draw();
    if (playing) requestAnimationFrame(step);
  }
  function stop() { playing = false; button.textContent = "Play"; }
  button.onclick = () => {
    if (playing) return stop();
    if (at >= shots.length - 1) at = 0;
    playing = true; last = performance.now(); button.textContent = "Pause";
    requestAnimationFrame(step);
  };
  slider.oninput = () => { stop(); at = Number(slider.value); draw(); };
  canvas.onpointermove = event => {
    const box = canvas.getBoundingClientRect(), shot = shots[Math.floor(at)];
    let best = 144, found = -1;
    for (const node of shot.live) {
      const [x, y] = place(node, box.width);
      const way = (x - event.clientX + box.left) ** 2 + (y - event.clientY + box.top) ** 2;
      if (way < best) { best = way; found = node; }
    }
    if (found !== pointed) { pointed = found; draw(); }
  };
  canvas.onpointerleave = () => { pointed = -1; draw(); };
  new ResizeObserver(draw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").onchange = draw;
  draw();
})();
