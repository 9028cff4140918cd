//! The report of a run: one HTML file that needs nothing else.

use std::fmt::Write as _;

use partisan_proto::{Duration, Instant};
use serde_json::{Value, json};

use super::page::{card, escape, manager_name, page, parameter_card, span, stack};
use super::{
    Bars, Chart, Coloring, Curve, Layout, MOST_NODES, Picture, Seen, SpaceTime, Tree, heat_map,
    number, overlay,
};
use crate::check::Violation;
use crate::latency::Latency;
use crate::measure::broadcast::payloads;
use crate::measure::{Histogram, Overlay, Recorder, Shape, Snapshot, Stop, Trail};
use crate::run::Scenario;
use crate::world::World;

const PLAYER: &str = include_str!("player.js");

/// What the bars of degrees tell.
const DEGREES: &str = "how many nodes have how many";
/// What the bars of distances tell.
const DISTANCES: &str = "how many pairs of nodes are how many hops apart; orange a random graph of \
                         the same size and mean degree";
/// How many samples a recording has.
const SAMPLES: u32 = 60;
/// The most points of all nodes in all snapshots of a page together; fewer snapshots are shown
/// where there would be more.
const MOST_POINTS: usize = 30_000;
/// The most links with which a broadcast is drawn, and more than which nobody could tell apart.
const MOST_LINKS: usize = 12_000;

/// In clusters of up to so many nodes every message is shown.
const MOST_LANES: usize = 16;
/// The most messages that are shown.
const MOST_MESSAGES: usize = 150;

/// A run with what was seen of it.
#[derive(Debug)]
pub struct Recording {
    scenario: Scenario,
    recorder: Recorder,
    shape: Shape,
    ideal: Shape,
    probe: Option<Probe>,
    wanted: usize,
    seen: Option<Seen>,
    hash: u64,
    events: u64,
    frames: u64,
    violations: Vec<Violation>,
}

impl Recording {
    /// Runs the first part of a scenario, bootstrap and work and faults, and records it; tells
    /// `progress` the simulated time now and then.
    pub fn of(scenario: &Scenario, progress: &mut dyn FnMut(Instant)) -> Self {
        Self::watch(scenario, scenario.world(), progress)
    }

    fn watch(scenario: &Scenario, mut world: World, progress: &mut dyn FnMut(Instant)) -> Self {
        let (watch, seen) = SpaceTime::new(MOST_MESSAGES);
        if scenario.nodes <= MOST_LANES {
            world.check(watch);
        }
        let every = (scenario.span / SAMPLES).max(Duration::from_millis(1));
        let mut recorder = Recorder::new(every, true);
        recorder.run(&mut world, Instant::ZERO + scenario.span, progress);
        let overlay = Overlay::of(&world);
        let shape = Shape::of(&overlay, scenario.seed);
        let ideal = Shape::of(&overlay.ideal(scenario.seed), scenario.seed);
        let mut recording = Self {
            scenario: scenario.clone(),
            wanted: wanted(&recorder),
            recorder,
            shape,
            ideal,
            probe: None,
            seen: (scenario.nodes <= MOST_LANES).then(|| seen.take()),
            hash: world.hash(),
            events: world.events(),
            frames: world.frames(),
            violations: world.violations().to_vec(),
        };
        // What comes now is no part of the run.
        recording.probe = Probe::of(&mut world);
        recording
    }

    /// What the checkers found while it ran.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// The overlay at the end, in numbers.
    #[must_use]
    pub const fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The pictures of the end and of the way there, by name, each for a file of its own.
    #[must_use]
    pub fn pictures(&self) -> Vec<(&'static str, Picture)> {
        let mut pictures = vec![
            ("degrees", self.degree_bars()),
            ("distances", self.distance_bars()),
            ("components", self.component_curves()),
            ("neighbors", self.neighbor_curves()),
            ("frames", self.frame_curves()),
        ];
        if let Some(Snapshot { overlay: graph, .. }) = self.recorder.snapshots.last() {
            if graph.len() <= MOST_NODES {
                let layouts = self.layouts();
                let layout = layouts.last().expect("one for each snapshot");
                pictures.push(("overlay", overlay(graph, layout, &self.coloring())));
            } else {
                pictures.push(("overlay", heat_map(graph)));
            }
        }
        pictures
            .extend(self.seen.iter().map(|seen| ("messages", seen.picture(self.scenario.nodes))));
        pictures.extend(self.tree_picture().map(|picture| ("broadcast", picture)));
        pictures
    }

    /// The whole report. `command` is what runs it again.
    #[must_use]
    pub fn html(&self, command: &str) -> String {
        let scenario = &self.scenario;
        let title = format!(
            "{}: {} nodes, seed {}",
            manager_name(scenario),
            number(scenario.nodes as f64),
            scenario.seed
        );
        let subtitle = format!(
            "{} of simulated time, {} events, {} frames. {}",
            span(scenario.span),
            number(self.events as f64),
            number(self.frames as f64),
            if self.violations.is_empty() { "No violation." } else { "Violations were found." },
        );
        let footer = format!(
            "The run follows from its seed to the bit; its hash is <code>{:016x}</code>. Again: \
             <code>{}</code>",
            self.hash,
            escape(command)
        );
        let player = self.has_player();
        let mut cards = String::new();
        self.violation_card(&mut cards);
        self.overlay_cards(&mut cards, player);
        self.curve_cards(&mut cards);
        if let Some(seen) = &self.seen {
            let note = "the first messages, by the time of their sending; point at one to read it";
            let picture = seen.picture(scenario.nodes);
            cards += &card("wide", &picture.title, note, &picture.inline());
        }
        cards += &parameter_card(scenario);
        let scripts = if player { self.scripts() } else { String::new() };
        page(&title, &escape(&subtitle), &self.numbers(), &cards, &footer, &scripts)
    }

    fn has_player(&self) -> bool {
        self.scenario.nodes <= MOST_NODES && !self.recorder.snapshots.is_empty()
    }

    fn numbers(&self) -> String {
        let (shape, ideal) = (&self.shape, &self.ideal);
        let percent = |share: f64| format!("{} %", number((share * 1e4).round() / 100.0));
        let good = |good: bool| if good { "good" } else { "bad" };
        let last = self.recorder.samples.iter().rev().take(10);
        let rest =
            last.clone().map(|sample| sample.frames).sum::<f64>() / last.count().max(1) as f64;
        let whole = shape.components == 1;
        let pieces = if whole {
            "nobody is cut off".into()
        } else {
            percent(shape.largest) + " in the largest"
        };
        let random = |value: f64| format!("random graph: {}", number(value));
        let degrees = format!("from {} to {}", shape.degrees.least(), shape.degrees.most());
        let mut out = String::new();
        for (value, name, note, class) in [
            (
                number(shape.components as f64),
                if whole { "component" } else { "components" },
                pieces,
                good(whole),
            ),
            (number(shape.degrees.mean()), "neighbours, mean", degrees, ""),
            (number(shape.path), "average shortest path", random(ideal.path), ""),
            (number(shape.last_hop), "hops to the last delivery", random(ideal.last_hop), ""),
            (number(shape.clustering), "clustering", random(ideal.clustering), ""),
            (
                percent(shape.reach),
                "reached by a flood",
                "mean over all senders".into(),
                good(shape.reach >= 1.0),
            ),
            (
                percent(shape.symmetric),
                "links that lead back",
                format!("{} links", number(shape.degrees.mean() * shape.nodes as f64)),
                good(shape.symmetric >= 1.0),
            ),
            (
                number((rest * 100.0).round() / 100.0),
                "frames by node and second",
                "towards the end".into(),
                "",
            ),
        ] {
            let _ = write!(
                out,
                "<div class=\"number {class}\"><b>{value}</b><span>{name}</span><i>{note}</i></div>"
            );
        }
        out
    }

    fn violation_card(&self, out: &mut String) {
        if self.violations.is_empty() {
            return;
        }
        let items = self.violations.iter().take(20);
        let items: String =
            items.map(|found| format!("<li>{}</li>", escape(&found.to_string()))).collect();
        let list = format!("<ul class=\"violations\">{items}</ul>");
        *out += &card("wide", "Violations", "what the checkers found", &list);
    }

    fn overlay_cards(&self, out: &mut String, player: bool) {
        if player {
            let body = format!(
                "<canvas id=\"overlay\"></canvas><div class=\"player\"><button id=\"play\">Play\
                 </button><input id=\"time\" type=\"range\" min=\"0\" step=\"any\" \
                 aria-label=\"time\"><output id=\"clock\"></output></div>{}",
                self.key()
            );
            *out += &card(
                "big",
                "The overlay over time",
                "who is next to whom; point at a node to see its links",
                &body,
            );
            let part = |title: &str, note: &str, bars: &Picture| {
                let bars = bars.inline();
                format!("<div><h2>{title}</h2><p class=\"quiet\">{note}</p>{bars}</div>")
            };
            let facts = "<div><h2>At this moment</h2><dl id=\"facts\"></dl></div>";
            let degrees = part("Neighbours at the end", DEGREES, &self.degree_bars());
            let distances = part("Distances at the end", DISTANCES, &self.distance_bars());
            let _ = writeln!(out, "<div class=\"card side\">{facts}{degrees}{distances}</div>");
        } else if let Some(snapshot) = self.recorder.snapshots.last() {
            let note = "links between blocks of nodes, in the order in which they were added";
            *out +=
                &card("", "The overlay at the end", note, &heat_map(&snapshot.overlay).inline());
            let degrees = card("", "Neighbours at the end", DEGREES, &self.degree_bars().inline());
            let bars = self.distance_bars().inline();
            let distances = card("", "Distances at the end", DISTANCES, &bars);
            *out += &stack(&[degrees, distances]);
        }
    }

    fn curve_cards(&self, out: &mut String) {
        let note = "how the cluster grows together, and what falls off";
        let components = card("", "Components", note, &self.component_curves().inline());
        let note = "the fewest, the mean and the most that a live node has";
        let neighbors = card("", "Neighbours", note, &self.neighbor_curves().inline());
        let note = "sent by a node in a second";
        let frames = card("", "Frames", note, &self.frame_curves().inline());
        let note = "the share of the peers in the views that live";
        let views = self.view_curves();
        let views = views.map(|picture| card("", "Views", note, &picture.inline()));
        let cards = [Some(components), Some(neighbors), Some(frames), views];
        let cards: Vec<_> = cards.into_iter().flatten().collect();
        let Some(picture) = self.tree_picture() else {
            return *out += &cards.concat();
        };
        let note = self.probe.as_ref().map(Probe::note).unwrap_or_default();
        *out += &card("", "A broadcast", &note, &picture.inline());
        // Two are as high as it is; the others stand beside each other.
        let (beside, below) = cards.split_at(if cards.len() > 3 { 2 } else { cards.len() });
        *out += &stack(beside);
        *out += &below.concat();
    }

    fn degree_bars(&self) -> Picture {
        let degrees = &self.shape.degrees;
        let bars = Bars {
            title: "Neighbours of each node",
            axis: "neighbours",
            what: "nodes",
            histogram: degrees,
            compare: None,
        };
        bars.picture()
    }

    fn distance_bars(&self) -> Picture {
        let from = |pairs: &[u64]| Histogram { counts: [&[0], pairs].concat() };
        let (ours, ideal) = (from(&self.shape.distances), from(&self.ideal.distances));
        let bars = Bars {
            title: "Distances between nodes",
            axis: "hops",
            what: "pairs",
            histogram: &ours,
            compare: Some(&ideal),
        };
        bars.picture()
    }

    fn chart(&self, title: &str, top: f64, curves: Vec<Curve>) -> Picture {
        let plan = self.scenario.plan();
        let mut marks: Vec<(f64, String)> = Vec::new();
        for (at, fault) in &plan.faults {
            let at = at.as_secs_f64();
            // Those of one moment are one thing to the reader.
            if marks
                .last()
                .is_none_or(|(last, _)| at - last > self.scenario.span.as_secs_f64() / 30.0)
            {
                marks.push((at, fault.name().to_owned()));
            }
        }
        Chart { title, axis: "seconds", curves, range: (0.0, top), marks }.picture()
    }

    fn curve(&self, name: &str, value: impl Fn(&crate::measure::Sample) -> f64) -> Curve {
        let points = self.recorder.samples.iter().map(|sample| (sample.at, value(sample)));
        Curve { name: name.into(), points: points.collect() }
    }

    fn component_curves(&self) -> Picture {
        let curves = vec![
            self.curve("components", |sample| sample.components as f64),
            self.curve("cut off", |sample| sample.cut_off as f64),
            self.curve("alive", |sample| sample.live as f64),
        ];
        self.chart("Components over time", 1.0, curves)
    }

    fn neighbor_curves(&self) -> Picture {
        let curves = vec![
            self.curve("mean", |sample| sample.degrees.1),
            self.curve("fewest", |sample| sample.degrees.0 as f64),
            self.curve("most", |sample| sample.degrees.2 as f64),
        ];
        self.chart("Neighbours over time", 1.0, curves)
    }

    fn frame_curves(&self) -> Picture {
        let curves = vec![self.curve("frames", |sample| sample.frames)];
        self.chart("Frames over time", 1.0, curves)
    }

    fn view_curves(&self) -> Option<Picture> {
        self.recorder.samples.iter().find_map(|sample| sample.passive)?;
        let curves = vec![
            self.curve("neighbours", |sample| sample.accuracy),
            self.curve("known besides", |sample| sample.passive.map_or(0.0, |passive| passive.1)),
        ];
        Some(self.chart("Accuracy of views over time", 1.0, curves))
    }

    fn tree_picture(&self) -> Option<Picture> {
        let Probe { tree, overlay, .. } = self.probe.as_ref()?;
        let few = overlay.len() <= MOST_NODES && overlay.link_count() <= MOST_LINKS;
        few.then(|| tree.picture(overlay))
    }

    fn coloring(&self) -> Coloring {
        match self.regions() {
            Some(regions) => Coloring::Region(regions),
            None => Coloring::Degree(self.wanted),
        }
    }

    fn regions(&self) -> Option<Vec<usize>> {
        (0..self.scenario.nodes).map(|node| self.scenario.latency.region(node)).collect()
    }

    fn key(&self) -> String {
        let dot = |class: &str| {
            format!(
                "<svg viewBox=\"0 0 10 10\"><circle cx=\"5\" cy=\"5\" r=\"5\" class=\"{class}\"/></svg>"
            )
        };
        let mut items = Vec::new();
        if let Some(regions) = self.regions() {
            let count = regions.iter().max().map_or(0, |most| most + 1);
            items.extend((0..count).map(|region| {
                dot(&format!("f{}", region % 8)) + &format!("region {}", region + 1)
            }));
        } else {
            let wanted = self.wanted;
            items.push(dot("v0") + "no neighbour");
            items.push(dot("v2") + "some");
            items.push(dot("v5") + &format!("{wanted} or more"));
        }
        let line = "<svg viewBox=\"0 0 10 10\"><rect y=\"4\" width=\"10\" height=\"2\" class=\"v0\"/></svg>";
        items.push(format!("{line}a link that does not lead back"));
        let items: String = items.iter().map(|item| format!("<span>{item}</span>")).collect();
        format!("<div class=\"key\">{items}</div>")
    }

    /// A layout for each snapshot, each going on where the one before ended.
    fn layouts(&self) -> Vec<Layout> {
        let (scenario, snapshots) = (&self.scenario, &self.recorder.snapshots);
        if let Latency::Plane(_) = scenario.latency {
            let place = |node| scenario.latency.position(scenario.seed, node);
            let points: Vec<_> = (0..scenario.nodes).filter_map(place).collect();
            return vec![Layout::fixed(points); snapshots.len()];
        }
        let mut layout = Layout::scattered(scenario.seed, scenario.nodes);
        let rounds = (20_000 / scenario.nodes.max(1)).clamp(10, 60);
        let settle = |snapshot: &Snapshot| {
            layout.settle(&snapshot.overlay, rounds, 0.12);
            layout.clone()
        };
        snapshots.iter().map(settle).collect()
    }

    fn scripts(&self) -> String {
        let stride = (self.recorder.snapshots.len() * self.scenario.nodes).div_ceil(MOST_POINTS);
        let layouts = self.layouts();
        let last = layouts.len() - 1;
        let shown =
            (0..layouts.len()).filter(|number| (last - number).is_multiple_of(stride.max(1)));
        let snapshots: Vec<_> = shown
            .map(|number| self.snapshot(&self.recorder.snapshots[number], &layouts[number]))
            .collect();
        let data = json!({
            "wanted": self.wanted,
            "regions": self.regions(),
            "snapshots": snapshots,
        });
        format!(
            "<script type=\"application/json\" id=\"snapshots\">{data}</script>\n\
             <script>\n{PLAYER}</script>"
        )
    }

    fn snapshot(&self, snapshot: &Snapshot, layout: &Layout) -> Value {
        let graph = &snapshot.overlay;
        let points: Vec<u32> = layout
            .fitted(graph)
            .into_iter()
            .flat_map(|(x, y)| [(x * 1000.0).round() as u32, (y * 1000.0).round() as u32])
            .collect();
        let (mut links, mut broken) = (Vec::new(), Vec::new());
        for (from, to) in graph.links() {
            let pair = [graph.node(from), graph.node(to)];
            if !graph.has_link(to, from) {
                broken.extend(pair);
            } else if from < to {
                links.extend(pair);
            }
        }
        let live: Vec<_> = (0..graph.len()).map(|place| graph.node(place)).collect();
        let near = |sample: &&crate::measure::Sample| sample.at >= snapshot.at;
        let sample = self.recorder.samples.iter().find(near);
        json!({
            "at": snapshot.at,
            "points": points,
            "links": links,
            "broken": broken,
            "live": live,
            "sample": sample,
        })
    }
}

/// Between two broadcasts of a probe.
const PROBE_PAUSE: Duration = Duration::from_secs(3);
/// The broadcast of a probe that is drawn: those before shape the tree.
const PROBES: usize = 4;

/// A broadcast after the run, by the first node.
#[derive(Debug)]
struct Probe {
    tree: Tree,
    overlay: Overlay,
    /// How many payloads it cost.
    payloads: u64,
}

impl Probe {
    fn of(world: &mut World) -> Option<Self> {
        let root = world.live().next()?;
        let (mut stops, mut cost) = (Vec::new(), 0);
        for _ in 0..PROBES {
            let trail = Trail::default();
            world.check(trail.clone());
            let before = payloads(world);
            world.broadcast(root, "a message to all");
            world.run_for(PROBE_PAUSE);
            // Others may broadcast as well.
            let mine = |stops: &Vec<Stop>| stops.first().is_some_and(|stop| stop.node == root);
            stops = trail.take().into_values().find(mine).unwrap_or_default();
            cost = payloads(world).saturating_sub(before);
        }
        let overlay = Overlay::of(world);
        Some(Self { tree: Tree::of(&stops, &overlay), overlay, payloads: cost })
    }

    fn note(&self) -> String {
        let (reached, hops, last) = self.tree.extent();
        let milliseconds = last.map_or(0.0, |last| (last.as_secs_f64() * 1e5).round() / 100.0);
        format!(
            "as it travelled: {} of {} nodes in {hops} hops and {} ms, for {} payloads. Solid who \
             had it from whom, a colour for each neighbour of the sender, and the number of the \
             hop; dotted the links that only announced it",
            number(reached as f64),
            number(self.overlay.len() as f64),
            number(milliseconds),
            number(self.payloads as f64),
        )
    }
}

/// How many neighbours a node should have: the most that it had on average at any time.
fn wanted(recorder: &Recorder) -> usize {
    let means = recorder.samples.iter().map(|sample| sample.degrees.1);
    means.fold(1.0, f64::max).round() as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Death, Sparse};

    fn recorded() -> Recording {
        let scenario = Scenario { seed: 3, nodes: 12, ..Scenario::default() };
        let mut told = 0;
        let recording = Recording::of(&scenario, &mut |_| told += 1);
        assert_eq!(told, 60);
        recording
    }

    #[test]
    fn a_report_needs_nothing_else_and_is_the_same_each_time() {
        let recording = recorded();
        assert_eq!(recording.violations(), []);
        assert_eq!((recording.shape().nodes, recording.shape().components), (12, 1));
        let html = recording.html("partisan-sim report <&>");
        for outside in ["http:", "https:", "src=", "@import", "url("] {
            let without_names = html.replace("http://www.w3.org/2000/svg", "");
            assert!(!without_names.contains(outside), "{outside}");
        }
        assert!(html.contains("12 nodes, seed 3") && html.contains("report &lt;&amp;&gt;"));
        assert!(!html.contains("{{") && !html.contains("NaN"));
        assert!(html.contains("connections."), "the parameters are there");
        assert_eq!(html, recorded().html("partisan-sim report <&>"));
    }

    #[test]
    fn snapshots_travel_as_numbers_that_fit_together() {
        let html = recorded().html("");
        let (_, data) = html.split_once("id=\"snapshots\">").unwrap();
        let data: Value = serde_json::from_str(data.split_once("</script>").unwrap().0).unwrap();
        let snapshots = data["snapshots"].as_array().unwrap();
        assert_eq!(snapshots.len(), 61);
        let last = snapshots.last().unwrap();
        assert_eq!(last["points"].as_array().unwrap().len(), 24);
        assert_eq!(last["links"].as_array().unwrap().len(), 2 * 66);
        assert_eq!(last["broken"].as_array().unwrap().len(), 0);
        assert_eq!(last["sample"]["live"], 12);
    }

    #[test]
    fn every_picture_is_a_file_of_its_own() {
        for (name, picture) in recorded().pictures() {
            let text = picture.standalone();
            assert!(text.starts_with("<svg") && text.contains("<style"), "{name}");
        }
    }

    #[test]
    fn partial_views_are_drawn_with_what_is_wrong_with_them() {
        let scenario = Scenario { seed: 1, nodes: 200, ..Scenario::default() };
        let sparse = Sparse { seed: 1, nodes: 200, span: scenario.span, memory: None };
        let mut world = sparse.world();
        for node in 0..40 {
            let fault = crate::fault::Fault::Crash { node, death: Death::Machine, restart: None };
            world.plan_fault(Instant::ZERO + scenario.span / 2, fault);
        }
        let recording = Recording::watch(&scenario, world, &mut |_| {});
        let html = recording.html("");
        assert!(html.contains("160</b>") || html.contains("\"live\":160"), "a sample says so");
        assert!(html.contains("class=\"eager s") && html.contains("160 of 160 nodes"));
    }
}
